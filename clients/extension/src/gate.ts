/** Who may ask the worker what. All of it is the browser's word: nothing that a message says of its sender is believed. */

import { CALLS, type Message } from "./messages";

/** What the browser says of a message's sender. */
export interface Sender {
  id?: string | undefined;
  url?: string | undefined;
  origin?: string | undefined;
  frameId?: number | undefined;
}

/** The extension itself: its id, and the address at which its pages begin. */
export interface Own {
  id: string;
  base: string;
}

/** The origin of the site that asks, null for a page of the wallet's own. Throws for everybody else. */
export function admit(message: Message, sender: Sender, own: Own): string | null {
  if (sender.id !== own.id) throw new Error("not for others");
  if (message.to === "wallet") {
    const isOwnPage = sender.url?.startsWith(own.base) === true;
    if (!isOwnPage || !CALLS.includes(message.call)) throw new Error("not for others");
    return null;
  }
  const { protocol, origin } = new URL(sender.url ?? "");
  // A sandboxed page has the address of its site, and another origin.
  const isItsOwn = sender.origin === undefined || sender.origin === origin;
  if (!isItsOwn || sender.frameId !== 0 || !["http:", "https:"].includes(protocol)) throw new Error("only pages may ask");
  return origin;
}
