/** The network: validators, cases, statistics. */

import type { RequestOptions, Transport } from "../http/transport.js";
import type { Shaped } from "../wire/shape.js";
import type { Case, CaseDetails, Schemas, Validator } from "../wire/types.js";
import { get, list, type List, type ListOptions } from "./lists.js";

export class Validators {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** A validator by its authority or its account's address. */
  get(id: string, options: RequestOptions = {}): Promise<Validator> {
    return get<Schemas["Validator"]>(this.#transport, `/v1/validators/${encodeURIComponent(id)}`, { ...options });
  }

  /** Validators by the order of their registration. */
  list(options: ListOptions = {}): List<Validator> {
    return list<Validator>(this.#transport, "/v1/validators", { ...options }, ({ id }) => id);
  }
}

/** Which cases a list holds. */
export interface CasesOptions extends ListOptions {
  job?: string;
  /** Whose result it is about. */
  validator?: string;
  challenger?: string;
  status?: string;
}

export class Cases {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** A case with its claims, jurors and what was shown. */
  get(id: string, options: RequestOptions = {}): Promise<CaseDetails> {
    return get<Schemas["CaseDetails"]>(this.#transport, `/v1/cases/${encodeURIComponent(id)}`, { ...options });
  }

  /** Cases, newest first. */
  list(options: CasesOptions = {}): List<Case> {
    return list<Case>(this.#transport, "/v1/cases", { ...options }, ({ id }) => id);
  }
}

type Rows<Name extends keyof Schemas> = Schemas[Name] extends { data: (infer Row)[] } ? Shaped<Row> : never;

/** Statistics, by their names. */
export interface Statistics {
  daily: Rows<"Page_DailyRow">;
  burns: Rows<"Page_BurnRow">;
  settlements: Rows<"Page_SettlementRow">;
  slashes: Rows<"Page_SlashRow">;
  fingerprints: Rows<"Page_FingerprintRow">;
  /** What was burned on each day, by reason. */
  burned: Rows<"Page_BurnedDay">;
  /** The Compute Market on each day. */
  market: Rows<"Page_MarketDay">;
}

/** Rows of a statistic, newest first. */
export function statistics<Name extends keyof Statistics>(transport: Transport, name: Name, options: ListOptions): List<Statistics[Name]> {
  return list<Statistics[Name]>(transport, `/v1/stats/${name}`, { ...options }, ({ cursor }) => cursor);
}
