// The frame around all pages.
import type { JSX } from "preact";
import { time } from "./format";
import { useStanding } from "./live";
import { CasePage } from "./pages/case";
import { CasesPage } from "./pages/cases";
import { Economics } from "./pages/economics";
import { Home } from "./pages/home";
import { JobPage } from "./pages/job";
import { Jobs } from "./pages/jobs";
import { LeasePage } from "./pages/lease";
import { LeaseList, Market, RequestList } from "./pages/market";
import { Missing } from "./pages/missing";
import { ModelPage, Models } from "./pages/models";
import { ProviderPage } from "./pages/provider";
import { RequestPage } from "./pages/request";
import { Status } from "./pages/status";
import { ValidatorPage } from "./pages/validator";
import { Validators } from "./pages/validators";
import type { Route } from "./router";
import { route, useAddress } from "./router";

const LINKS: [address: string, name: string, pages: Route["page"][]][] = [
  ["/", "Network", ["home"]],
  ["/jobs", "Jobs", ["jobs", "job"]],
  ["/cases", "Cases", ["cases", "case"]],
  ["/validators", "Validators", ["validators", "validator"]],
  ["/models", "Models", ["models", "model"]],
  ["/market", "Market", ["market", "leases", "lease", "requests", "request", "provider"]],
  ["/economics", "Economics", ["economics"]],
  ["/status", "Status", ["status"]],
];

/** Whether what is shown is up to date: as long as it is not, it says of when it is. */
function Standing(): JSX.Element {
  const { connection, at, error } = useStanding();
  const asOf = at ? ", as of " + time(at.toISOString()) : "";
  const [word, tone] =
    connection === "reconnecting" ? ["reconnecting" + asOf, "bad"]
    : error ? [(at ? "not up to date" : "no data") + asOf, "bad"]
    : connection === "connecting" ? ["connecting", "wait"]
    : ["live", "good"];
  return <span id="state" class={"pill " + tone} role="status">{word}</span>;
}

function Page({ shown, search }: { shown: Route; search: string }): JSX.Element {
  switch (shown.page) {
    case "home": return <Home />;
    case "jobs": return <Jobs search={search} />;
    case "job": return <JobPage id={shown.id} />;
    case "cases": return <CasesPage search={search} />;
    case "case": return <CasePage id={shown.id} />;
    case "validators": return <Validators search={search} />;
    case "validator": return <ValidatorPage id={shown.id} />;
    case "models": return <Models />;
    case "model": return <ModelPage id={shown.id} />;
    case "market": return <Market />;
    case "leases": return <LeaseList search={search} />;
    case "lease": return <LeasePage id={shown.id} />;
    case "requests": return <RequestList search={search} />;
    case "request": return <RequestPage id={shown.id} />;
    case "provider": return <ProviderPage id={shown.id} />;
    case "economics": return <Economics />;
    case "status": return <Status />;
    case "missing": return <Missing />;
  }
}

export function App(): JSX.Element {
  const { pathname, search } = useAddress();
  const shown = route(pathname);
  return (
    <>
      <a class="skip" href="#content">to the content</a>
      <header>
        <a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" /><path d="M7 24V9l9 9 9-9v15" /></svg>Mythic</a>
        <nav aria-label="Pages">
          {LINKS.map(([address, name, pages]) => <a key={address} href={address} aria-current={pages.includes(shown.page) ? "page" : undefined}>{name}</a>)}
        </nav>
        {shown.page === "missing" ? null : <Standing />}
      </header>
      <main id="content" key={pathname} tabIndex={-1}><Page shown={shown} search={search} /></main>
      <footer>
        <a href="/openapi.json">API</a> <a href="/health">health</a> <a href="/metrics">metrics</a>
        <span>Amounts are lamports and SOL of the chain that this gateway follows. – means not known, never zero.</span>
      </footer>
    </>
  );
}
