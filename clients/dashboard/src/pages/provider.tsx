// One provider of the Compute Market.
import type { JSX } from "preact";
import { get } from "../api";
import { count, known, words } from "../format";
import { question, rowsOf } from "../sql";
import type { Lease, List, Network, Provider } from "../types";
import { Count, Facts, Foreign, Key, Money, Pill, Section, Slot, Source, Time } from "../ui/basics";
import { Leases } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";

interface Read {
  provider: Provider;
  network: Network;
  leases: List<Lease>;
}

async function load(id: string, signal: AbortSignal): Promise<Read> {
  const [provider, network] = await Promise.all([get<Provider>("/v1/providers/" + id, signal), get<Network>("/v1/network", signal)]);
  const leases = await get<List<Lease>>("/v1/leases?limit=20&provider=" + provider.authority, signal);
  return { provider, network, leases };
}

function Shown({ read: { provider, network, leases } }: { read: Read }): JSX.Element {
  const path = "/v1/providers/" + provider.authority;
  return (
    <>
      <AsOf slot={network.slot} finalized={network.finalized_slot} />
      {provider.exact === false ? <p class="card warn">A gap in the index may hide changes of this provider.</p> : null}
      <Facts
        tiles
        facts={[
          ["Status", <Pill word={provider.status} />, known(provider.jailed_until_slot) ? <>until <Slot slot={provider.jailed_until_slot} /></> : null],
          ["Stake", <Money amount={provider.stake_lamports} />],
          ["Leases", count(provider.leases), <>{count(provider.open_leases)} open</>],
          ["Epochs proved", <Count value={provider.epochs_proved} />],
          ["Missed", <Count value={provider.epochs_missed} />],
          ["Refuted", <Count value={provider.proofs_refuted} />],
          ["Open disputes", <Count value={provider.open_disputes} />],
        ]}
      />
      <Section title="Offer">
        <div class="card">
          <Facts
            facts={[
              ["Class", <bdi class="foreign">{provider.class_name ?? provider.class}</bdi>],
              ["Units free", <>{count(provider.free_units)} of {count(provider.units)}</>, <>{count(provider.leased_units)} leased; stake stands behind {count(provider.backed_units)}</>],
              ["Price", <Money amount={provider.price_lamports} />, "a second and unit"],
              ["Region", <Foreign text={provider.region} none="not said" />, "as it says"],
              ["Isolation", words(provider.isolation), "as it says"],
              ["Endpoint", <Foreign text={provider.endpoint} none="not said" />, "as it says; not a link"],
              ["Operator", <Key id={provider.operator} whole />],
              ["Account", <Key id={provider.id} whole />],
              ["Registered", <Time at={provider.registered_at} />, "slot " + count(provider.registered_slot)],
              ["Held at", words(provider.commitment)],
            ]}
          />
        </div>
      </Section>
      <Section title="Money">
        <div class="card">
          <Facts
            facts={[
              ["Earned since it registered", <Money amount={provider.earned_lamports} />],
              ["Slashed since it registered", <Money amount={provider.slashed_lamports} />],
              ["To be claimed", <Money amount={provider.claimable_lamports} />],
              ["Owed to the foundation", <Money amount={provider.owed_foundation_lamports} />],
              ["Owed to burning", <Money amount={provider.owed_burn_lamports} />],
              ["Stake that will count soon", <Money amount={provider.activating_lamports} />],
              ["Stake that leaves", <Money amount={provider.unbonding_lamports} />],
              ["Stake a unit", <Money amount={provider.stake_per_unit_lamports} />],
              ["Epochs that tenants called unserved", <Money amount={provider.unserved_lamports} />],
            ]}
          />
        </div>
      </Section>
      <Section title="Newest leases">
        <Leases rows={leases.data} none="No lease yet." />
        <p><a href={"/leases?provider=" + provider.authority}>all its leases</a></p>
      </Section>
      <Source json={[path]} sql={[rowsOf("providers", "authority", provider.authority), question("provider-earnings")]} />
    </>
  );
}

export function ProviderPage({ id }: { id: string }): JSX.Element {
  const loaded = useLive("provider " + id, (signal) => load(id, signal), { feed: "?topics=leases&provider=" + id, every: 5 });
  return (
    <>
      <Heading title="Provider"><Key id={id} whole /></Heading>
      <Body loaded={loaded} gone="No provider with this address is indexed.">{(read) => <Shown read={read} />}</Body>
    </>
  );
}
