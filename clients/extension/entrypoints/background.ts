/** The worker. It keeps nothing between two events: what it knows is in storage, and it may die at any await. */

import { browser } from "wxt/browser";
import { defineBackground } from "wxt/utils/define-background";
import { browserArea } from "../src/areas";
import { Core } from "../src/core/core";
import { admit, type Own, type Sender } from "../src/gate";
import { type CallName, type Changed, type Message, reply, replyError } from "../src/messages";
import { answerSite } from "../src/sites";
import { unpack } from "../src/wire";

const LOCK = "lock";
const [WIDTH, HEIGHT] = [376, 660];

export default defineBackground(() => {
  const session = browserArea(browser.storage.session);
  const core = new Core({ local: browserArea(browser.storage.local), session, show, told });

  // Scripts in pages have no business with what is stored.
  void browser.storage.local.setAccessLevel?.({ accessLevel: "TRUSTED_CONTEXTS" });

  /** One window for all that waits. */
  async function show(): Promise<void> {
    const known = await session.get("window");
    if (typeof known === "number") {
      const shown = await browser.windows.update(known, { focused: true, drawAttention: true }).catch(() => null);
      if (shown) return;
    }
    const url = browser.runtime.getURL("/approval.html");
    const made = await browser.windows.create({ url, type: "popup", width: WIDTH, height: HEIGHT });
    if (made?.id !== undefined) await session.set("window", made.id);
  }

  async function told(_origins: readonly string[]): Promise<void> {
    const changed: Changed = { to: "relay" };
    for (const { id } of await browser.tabs.query({})) {
      // Tabs without our script have nobody who listens.
      if (id !== undefined) await browser.tabs.sendMessage(id, changed).catch(() => undefined);
    }
  }

  const own: Own = { id: browser.runtime.id, base: browser.runtime.getURL("/") };

  async function answer(message: Message, sender: Sender): Promise<string> {
    const origin = admit(message, sender, own);
    if (message.to === "wallet") return reply(await call(message.call, unpack(message.args) as unknown[]));
    return reply(await answerSite(core, origin ?? "", message.method, message.id, unpack(message.params) as Record<string, unknown>));
  }

  async function call(name: CallName, args: unknown[]): Promise<unknown> {
    const run = core[name].bind(core) as (...args: unknown[]) => Promise<unknown>;
    const value = await run(...args);
    // What sites see may be another account or chain now.
    if (["changeAccount", "addAccount", "chooseNetwork", "create"].includes(name)) await told([]);
    return value;
  }

  browser.runtime.onMessage.addListener((message: Message, sender, respond) => {
    answer(message, sender).then(respond, (error: unknown) => respond(replyError(error)));
    return true;
  });

  // The lock is a time that is looked at; the alarm only makes sure that somebody looks, and that what was sent is followed to its end.
  browser.alarms.onAlarm.addListener(() => {
    void core.state();
    void core.resume().catch(() => undefined);
  });
  // Made anew it would begin anew each time that the worker wakes.
  void browser.alarms.get(LOCK).then(async (alarm) => {
    if (!alarm) await browser.alarms.create(LOCK, { periodInMinutes: 1 });
  });
  browser.runtime.onInstalled.addListener(({ reason }) => {
    if (reason === "install") void browser.tabs.create({ url: browser.runtime.getURL("/popup.html") });
  });
  void core.resume().catch(() => undefined);
});
