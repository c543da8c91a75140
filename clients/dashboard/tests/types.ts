// What pages read is what the gateway's description says: tsc holds these types against those that are made of /openapi.json.
import type { components } from "../../sdk/src/generated/api";
import type { Burn, Case, CaseDetails, Day, Health, Job, JobDetails, LeaseRequest, Model, Network, Settlement, Validator } from "../src/types";

type Described = components["schemas"];
/** As it is on the wire: a field that is not known is null, and there. */
type Wire<T> = T extends (infer Item)[] ? Wire<Item>[] : T extends object ? { [Name in keyof T]-?: Wire<Exclude<T[Name], undefined>> } : T;

export const read = {
  job: (wire: Wire<Described["Job"]>): Job => wire,
  jobDetails: (wire: Wire<Described["JobDetails"]>): JobDetails => wire,
  case: (wire: Wire<Described["Case"]>): Case => wire,
  caseDetails: (wire: Wire<Described["CaseDetails"]>): CaseDetails => wire,
  validator: (wire: Wire<Described["Validator"]>): Validator => wire,
  model: (wire: Wire<Described["Model"]>): Model => wire,
  request: (wire: Wire<Described["LeaseRequest"]>): LeaseRequest => wire,
  network: (wire: Wire<Described["Network"]>): Network => wire,
  health: (wire: Wire<Described["Health"]>): Health => wire,
  day: (wire: Wire<Described["Page_DailyRow"]>["data"][number]): Day => wire,
  burn: (wire: Wire<Described["Page_BurnRow"]>["data"][number]): Burn => wire,
  settlement: (wire: Wire<Described["Page_SettlementRow"]>["data"][number]): Settlement => wire,
};
