/** Carries what a page asks to the worker, and waits for what somebody decides. It holds nothing, and believes nobody. */

import { browser } from "wxt/browser";
import { defineContentScript } from "wxt/utils/define-content-script";
import { CHANNEL, type FromPage, type FromRelay } from "../src/channel";
import { askWorker, type SiteAnswer, type SiteMethod } from "../src/messages";
import { pack } from "../src/wire";

const LOOK_MS = 400;
const METHODS: ReadonlySet<string> = new Set<SiteMethod>(["seen", "connect", "disconnect", "signMessage", "signTransaction", "send"]);
/** Bytes of the longest thing that may be signed, and some. */
const MOST_BYTES = 20_000;
/** Questions of a page that are under way at once. */
const MOST_CARRIED = 16;

export default defineContentScript({
  matches: ["https://*/*"],
  runAt: "document_start",
  main() {
    const tell = (answer: Omit<FromRelay, "channel" | "to">): void => window.postMessage({ channel: CHANNEL, to: "page", ...answer }, location.origin);

    const ask = (method: SiteMethod, id: string, params: Record<string, unknown>): Promise<SiteAnswer> =>
      askWorker({ to: "site", method, id, params: pack(params) }) as Promise<SiteAnswer>;

    /** Under a name of ours: the page's own would let it guess those of others. */
    async function carry(method: SiteMethod, params: Record<string, unknown>): Promise<SiteAnswer> {
      const id = crypto.randomUUID();
      let answer = await ask(method, id, params);
      while (answer.state === "waiting") {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        answer = await ask("poll", answer.id, {});
      }
      return answer;
    }

    let carried = 0;
    /** No page keeps the worker busy with more than a few questions. */
    async function bounded(method: SiteMethod, params: Record<string, unknown>): Promise<SiteAnswer> {
      if (carried >= MOST_CARRIED) throw new Error("too many questions to the wallet at once");
      carried++;
      try {
        return await carry(method, params);
      } finally {
        carried--;
      }
    }

    /** Of what a page says, what the wallet takes. */
    function paramsOf({ account, bytes, chain, silent }: Record<string, unknown>): Record<string, unknown> {
      return {
        ...(typeof account === "string" && account.length < 64 && { account }),
        ...(bytes instanceof Uint8Array && bytes.length < MOST_BYTES && { bytes }),
        ...(typeof chain === "string" && chain.length < 64 && { chain }),
        ...(silent === true && { silent }),
      };
    }

    window.addEventListener("message", (event: MessageEvent<Partial<FromPage> | null>) => {
      const { source, data } = event;
      if (source !== window || data?.channel !== CHANNEL || data.to !== "relay") return;
      const { id, method, params } = data;
      if (typeof id !== "string" || typeof method !== "string" || !METHODS.has(method)) return;
      bounded(method as SiteMethod, paramsOf(params ?? {})).then(
        ({ state, accounts, chain, result, signature, words }) => {
          if (state === "refused") return tell({ id, error: words ?? "refused" });
          tell({ id, ...(accounts && { accounts }), ...(chain && { chain }), ...(result && { result }), ...(signature && { signature }) });
        },
        (error: unknown) => tell({ id, error: error instanceof Error ? error.message : String(error) }),
      );
    });

    browser.runtime.onMessage.addListener(() => {
      void ask("seen", crypto.randomUUID(), {}).then(({ accounts = [], chain = "" }) => tell({ id: null, accounts, chain }), () => undefined);
    });
  },
});
