/** Who may ask the worker. */

import { expect, test } from "vitest";
import { admit, type Sender } from "../src/gate";
import type { Message } from "../src/messages";

const OWN = { id: "wallet-id", base: "chrome-extension://wallet-id/" };
const UNLOCK: Message = { to: "wallet", call: "unlock", args: "[]" };
const CONNECT: Message = { to: "site", method: "connect", id: "request-1", params: "{}" };
const PAGE: Sender = { id: "wallet-id", url: "https://app.example/a?b#c", origin: "https://app.example", frameId: 0 };

const whom = (message: unknown, sender: Sender): string => {
  try {
    return admit(message as Message, sender, OWN) ?? "the wallet";
  } catch {
    return "nobody";
  }
};

test("a site is its origin, by the browser's word", () => {
  expect(whom(CONNECT, PAGE)).toBe("https://app.example");
  expect(whom({ ...CONNECT, origin: "https://bank.example" }, PAGE)).toBe("https://app.example");
  // Firefox may say no origin.
  expect(whom(CONNECT, { ...PAGE, origin: undefined })).toBe("https://app.example");
  expect(whom(CONNECT, { ...PAGE, url: "http://127.0.0.1:4002/", origin: "http://127.0.0.1:4002" })).toBe("http://127.0.0.1:4002");
});

test("frames, sandboxed pages, files, other extensions and pages without an address are not heard", () => {
  const senders: Partial<Sender>[] = [
    { frameId: 3 }, { frameId: undefined }, { origin: "null" }, { origin: "https://other.example" }, { url: undefined }, { url: "about:blank" }, { id: "another-id" }, { id: undefined },
    { url: "file:///etc/passwd", origin: undefined }, { url: "data:text/html,x", origin: undefined }, { url: "chrome-extension://wallet-id/popup.html", origin: undefined },
  ];
  for (const sender of senders) expect(whom(CONNECT, { ...PAGE, ...sender }), JSON.stringify(sender)).toBe("nobody");
});

test("what is the wallet's own is for its own pages, and only what is on the list", () => {
  const popup: Sender = { id: "wallet-id", url: "chrome-extension://wallet-id/popup.html#chat" };
  expect(whom(UNLOCK, popup)).toBe("the wallet");
  // A script of ours in a site's page, in the hands of that site.
  expect(whom(UNLOCK, PAGE)).toBe("nobody");
  expect(whom(UNLOCK, { ...popup, id: "another-id" })).toBe("nobody");
  for (const url of ["https://app.example/chrome-extension://wallet-id/", "chrome-extension://wallet-idx/popup.html", undefined]) expect(whom(UNLOCK, { ...popup, url }), String(url)).toBe("nobody");
  for (const call of ["constructor", "ask", "seen", "toString", "__proto__"]) expect(whom({ ...UNLOCK, call }, popup), call).toBe("nobody");
});
