/** What sites may ask, and what they are told. */

import type { Core } from "./core/core";
import { WalletError } from "./core/error";
import { isEnded } from "./core/requests";
import { type RequestKind, type RequestRecord, WALLET } from "./core/records";
import type { SiteAnswer, SiteMethod } from "./messages";
import { base64 } from "@scure/base";

interface Params {
  account?: unknown;
  bytes?: unknown;
  chain?: unknown;
  silent?: unknown;
}

/** `origin` is the browser's word, never the page's. */
export async function answerSite(core: Core, origin: string, method: SiteMethod, id: string, params: Params): Promise<SiteAnswer> {
  switch (method) {
    case "seen":
      return { id, state: "done", accounts: await core.seen(origin), chain: await core.chain() };
    case "disconnect":
      await core.leave(origin);
      return { id, state: "done", accounts: [] };
    case "poll": {
      const record = await core.request(id);
      if (record.origin !== origin || record.origin === WALLET) throw new WalletError("unknown", "this request is gone");
      return told(core, record);
    }
    case "connect":
      if (params.silent === true) return { id, state: "done", accounts: await core.seen(origin), chain: await core.chain() };
      return ask(core, origin, "connect", id, params);
    case "signMessage":
    case "signTransaction":
    case "send":
      return ask(core, origin, method, id, params);
  }
}

async function ask(core: Core, origin: string, kind: RequestKind, id: string, { account, bytes, chain }: Params): Promise<SiteAnswer> {
  const found = await core.ask({
    id,
    origin,
    kind,
    ...(typeof account === "string" && { account }),
    ...(bytes instanceof Uint8Array && { payload: bytes }),
    ...(typeof chain === "string" && { chain }),
  });
  return "id" in found ? told(core, found) : { id, state: "done", accounts: found.shared, chain: await core.chain() };
}

async function told(core: Core, record: RequestRecord): Promise<SiteAnswer> {
  const { id, state, result, signature, words } = record;
  if (state === "refused" || state === "failed" || state === "lapsed") {
    return { id, state: "refused", words: words ?? "refused", ...(signature !== null && { signature }) };
  }
  // A transaction that is signed and under way is the site's business already: its signature is known.
  if (!isEnded(record) && state !== "signed") return { id, state: "waiting" };
  return {
    id,
    state: "done",
    chain: await core.chain(),
    ...(record.kind === "connect" && { accounts: record.shared }),
    ...(result !== null && { result: base64.decode(result) }),
    ...(signature !== null && { signature }),
  };
}
