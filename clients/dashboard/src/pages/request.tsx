// One request of capacity: whether somebody took it, what was paid in for it, what it asks for.
import type { JSX } from "preact";
import { get } from "../api";
import { count, known, words } from "../format";
import { question, rowsOf } from "../sql";
import type { LeaseRequest, Network } from "../types";
import type { Step } from "../ui/basics";
import { Count, Facts, Foreign, Key, Money, Section, Slot, Source, Steps, Time } from "../ui/basics";
import { AsOf, Body, Heading, useLive } from "../ui/page";

type Way = Pick<LeaseRequest, "status" | "requested_slot" | "ended_slot">;

export function steps({ status, requested_slot: asked, ended_slot: ended }: Way): Step[] {
  const open: Step = { name: "open", note: "slot " + count(asked), state: status === "open" ? "now" : "done" };
  if (status === "open") return [open, { name: "accepted", note: "to come", state: "later" }];
  return [open, { name: words(status), note: known(ended) ? "slot " + count(ended) : "", state: status === "accepted" ? "done" : "over" }];
}

function Next({ request, slot }: { request: LeaseRequest; slot: number | null }): JSX.Element {
  const { deadline_slot: deadline, provider, lease } = request;
  if (request.status === "accepted") return <>Accepted{known(lease) ? <>: its lease is <Key id={lease} kind="leases" whole /></> : null}.</>;
  if (request.status === "cancelled") return <>Taken back by its tenant.</>;
  if (request.status === "expired") return <>Nobody took it in time.</>;
  if (known(slot) && slot >= deadline) return <>Nobody can take it from slot {count(deadline)} on: what was paid in goes back to the tenant.</>;
  return <>{provider ? "Its provider" : "Any provider of its class"} may take it{known(slot) ? <>, for {count(deadline - slot)} slots more</> : <> until slot {count(deadline)}</>}.</>;
}

function Shown({ request, network }: { request: LeaseRequest; network: Network }): JSX.Element {
  const path = "/v1/requests/" + request.id;
  return (
    <>
      <AsOf slot={network.slot} finalized={network.finalized_slot} />
      {request.exact === false ? <p class="card warn">A gap in the index may hide changes of this request.</p> : null}
      <Section title="Where it stands">
        <div class="card">
          <p role="status" class="next"><Next request={request} slot={network.slot} /></p>
          <Steps steps={steps(request)} />
        </div>
      </Section>
      <Section title="Money">
        <div class="card">
          <Facts
            facts={[
              ["Paid in", <Money amount={request.deposited_lamports} />, "seconds × units × price"],
              ["Price", <Money amount={request.price_lamports} />, "at most, a second and unit"],
              ["Lies here", <Money amount={request.escrow_lamports} />, "an accepted one's moved into its lease"],
              ["Back to the tenant without a lease", <Money amount={request.refunded_lamports} />],
            ]}
          />
        </div>
      </Section>
      <Section title="What it asks for">
        <div class="card">
          <Facts
            facts={[
              ["Tenant", <Key id={request.tenant} whole />],
              ["Provider", request.provider ? <Key id={request.provider} kind="providers" whole /> : "any of the class"],
              ["Kind", words(request.kind)],
              ["Model", request.kind === "container" ? "none" : known(request.model) ? <bdi class="foreign">{request.model}</bdi> : null],
              ["Class", <bdi class="foreign">{request.class_name ?? request.class}</bdi>],
              ["Units", <Count value={request.units} />],
              ["Seconds", <Count value={request.seconds} />],
              ["Region", request.region === "" ? "anywhere" : <bdi class="foreign">{request.region}</bdi>],
              ["Isolation", words(request.isolation), "the least"],
              ["Epoch", count(request.epoch_seconds) + " s", <>{count(request.epoch_slots)} slots</>],
              ["Spec at", <Foreign text={request.spec_source} none="not said" />, "as the tenant says; not a link"],
              ["Spec hash", <Key id={request.spec_hash} whole />],
              ["Terms hash", <Key id={request.terms_hash} whole />],
            ]}
          />
        </div>
      </Section>
      <Section title="When">
        <div class="card">
          <Facts
            facts={[
              ["Asked", <Time at={request.requested_at} />, "slot " + count(request.requested_slot)],
              ["Can be taken until", <Slot slot={request.deadline_slot} />],
              ["Ended", request.status === "open" ? "no" : <Time at={request.ended_at} />, known(request.ended_slot) ? "slot " + count(request.ended_slot) : null],
              ["Account closed", known(request.closed_slot) ? "in slot " + count(request.closed_slot) : "no"],
              ["Held at", words(request.commitment)],
            ]}
          />
        </div>
      </Section>
      <Source json={[path]} sql={[rowsOf("requests", "id", request.id), question("newest-requests")]} />
    </>
  );
}

export function RequestPage({ id }: { id: string }): JSX.Element {
  const loaded = useLive(
    "request " + id,
    async (signal) => {
      const [request, network] = await Promise.all([get<LeaseRequest>("/v1/requests/" + id, signal), get<Network>("/v1/network", signal)]);
      return { request, network };
    },
    { feed: "?topics=leases&request=" + id, every: 2 },
  );
  return (
    <>
      <Heading title="Request"><Key id={id} whole /></Heading>
      <Body loaded={loaded} gone="No request with this address is indexed.">{({ request, network }) => <Shown request={request} network={network} />}</Body>
    </>
  );
}
