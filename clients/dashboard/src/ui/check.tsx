// "Check this answer yourself": the receipt's verification, in the page.
import type { Verification } from "@mythic/ai-sdk";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { check } from "../check";
import { count, known, words } from "../format";
import type { JobDetails } from "../types";

const VERDICTS: Record<Verification["verdict"], [tone: string, text: string]> = {
  verified: ["good", "The tokens of prompt and answer, the choice of each, the receipt and the chain's accounts agree."],
  mismatch: ["bad", "Something differs."],
  incomplete: ["warn", "Nothing differs, but not everything could be checked."],
};

const marks = (ok: boolean | null): [tone: string, mark: string, word: string] =>
  ok === null ? ["quiet", "–", "not checked"] : ok ? ["good", "✓", "holds"] : ["bad", "✗", "differs"];

/** What is said of a thing, without its name before it. */
const rest = (name: string, says: string): string => (says.startsWith(name + " ") ? says.slice(name.length + 1) : says);

/** What was found, thing by thing. */
export function Found({ found }: { found: Verification }): JSX.Element {
  const [tone, text] = VERDICTS[found.verdict];
  return (
    <>
      <p role="status" class={"verdict " + tone}>
        {text}{known(found.slot) ? <> The chain was read at slot {count(found.slot)}.</> : null}
        {found.windowOpen === true ? " The result can still be contested." : found.windowOpen === false ? " The window is over." : ""}
        {found.pending ? " What is missing may still come: check again." : ""}
      </p>
      {found.verdict === "verified" ? (
        <p class="quiet">
          Tokens are numbers: that they spell the text above, and that the model gives them, is not checked here. The command below computes the answer again, and shows what each token spells.
        </p>
      ) : null}
      <ul class="checks">
        {found.checks.map(({ name, ok, says }) => {
          const [tone, mark, word] = marks(ok);
          return <li key={name + says} class={tone}><span aria-hidden="true">{mark}</span><span class="hidden">{word}: </span><b>{words(name)}</b> <bdi class="foreign">{rest(name, says)}</bdi></li>;
        })}
      </ul>
    </>
  );
}

const isLocal = (): boolean => ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);

export function Check({ job }: { job: Pick<JobDetails, "id" | "submitted_slot"> }): JSX.Element {
  const [found, show] = useState<Verification | null>(null);
  const [said, say] = useState("");
  const [busy, work] = useState(false);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const field = (name: string): string => String(form.get(name) ?? "").trim();
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    work(true);
    say("checking…");
    try {
      const found = await check(job.id, { apiKey: field("key"), rpcUrl: field("rpc") }, signal);
      if (signal.aborted) return;
      show(found);
      say("");
    } catch (error) {
      if (signal.aborted) return;
      show(null);
      say("It could not be checked: " + (error instanceof Error ? error.message : String(error)));
    }
    work(false);
  };
  return (
    <div class="card">
      <form class="check" onSubmit={submit}>
        <label>
          API key that paid
          <input name="key" type="password" autocomplete="off" spellcheck={false} placeholder={isLocal() ? "not needed here" : "mk-…"} />
        </label>
        <label>
          RPC of the chain
          <input name="rpc" type="url" autocomplete="off" spellcheck={false} placeholder="one that you trust" defaultValue={isLocal() ? "http://127.0.0.1:8899" : ""} />
        </label>
        <button type="submit" disabled={busy}>Check this answer yourself</button>
      </form>
      <p class="quiet">
        The key stays in this page and goes to this gateway alone, which shows the evidence to who paid. The page itself comes from the gateway too: who does not trust it runs the command below.
      </p>
      {said ? <p role="status">{said}</p> : null}
      {found ? <Found found={found} /> : known(job.submitted_slot) ? null : <p class="quiet">There is no result on chain yet.</p>}
    </div>
  );
}
