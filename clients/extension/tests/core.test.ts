/** The wallet behind its pages: what it allows, what it refuses, and that it may die at any await. */

import { base64 } from "@scure/base";
import { address } from "@solana/kit";
import { describe, expect, test } from "vitest";
import { compile, transfer } from "../src/chain/build";
import type { Core } from "../src/core/core";
import { WalletError } from "../src/core/error";
import { refusalOf, refused, newSite } from "../src/core/permissions";
import type { RequestRecord } from "../src/core/records";
import { accountKey } from "../src/crypto/phrase";
import { signedBytes } from "../../sdk/src/http/signed";
import { Killed } from "./support/area";
import { PASSWORD, PHRASE, SITE, World } from "./support/world";

const OTHER = accountKey(PHRASE, 7).address;
const SOL = 1_000_000_000n;

const code = async (work: Promise<unknown>): Promise<string> => work.then(() => "none", (error: unknown) => (error instanceof WalletError ? error.code : String(error)));

/** Bytes of a transfer as a site would make it. */
const bytesOf = (world: World, from: string, lamports = SOL): Uint8Array =>
  compile(from, [transfer(from, OTHER, lamports)], { blockhash: world.chain.blockhash(), lastValidBlockHeight: 1 });

const blindBytes = (world: World, from: string): Uint8Array =>
  compile(from, [{ programAddress: address(OTHER), accounts: [], data: Uint8Array.of(1) }], { blockhash: world.chain.blockhash(), lastValidBlockHeight: 1 });

async function finish(core: Core, id: string): Promise<RequestRecord> {
  for (let turn = 0; turn < 20; turn++) {
    const record = await core.request(id);
    if (record.state !== "signed" && record.state !== "waiting") return record;
  }
  throw new Error("it did not end");
}

describe("the lock", () => {
  test("a wallet is made once, locked and opened", async () => {
    const world = new World();
    const { core } = await world.open();
    expect((await core.state()).stage).toBe("open");
    await core.lock();
    expect((await core.state()).stage).toBe("locked");
    expect(await code(core.unlock("wrong password"))).toBe("password");
    await core.unlock(PASSWORD);
    expect((await core.state()).stage).toBe("open");
    expect(await code(core.create(accountPhrase, PASSWORD))).toBe("exists");
  });

  test("nothing of the phrase or password lies on disk, and no key of an account in memory", async () => {
    const world = new World();
    await world.open();
    const disk = [...world.local.values.values()].join();
    const memory = [...world.session.values.values()].join();
    for (const secret of [PHRASE, "abandon", PASSWORD, base64.encode(accountKey(PHRASE, 0).secret)]) {
      expect([disk.includes(secret), memory.includes(secret)]).toEqual([false, false]);
    }
  });

  test("it locks by itself, also when nobody looks, and when the clock goes back", async () => {
    const world = new World();
    const { core } = await world.open();
    world.now += 15 * 60_000;
    expect(await code(core.reveal("wrong password"))).toBe("password");
    expect((await core.state()).stage).toBe("locked");
    expect(world.session.values.size).toBe(0);
    await core.unlock(PASSWORD);
    world.now -= 1;
    expect((await core.state()).stage).toBe("locked");
  });

  test("the lock waits while somebody is there", async () => {
    const world = new World();
    const { core } = await world.open();
    for (let i = 0; i < 5; i++) {
      world.now += 10 * 60_000;
      await core.touch();
    }
    expect((await core.state()).stage).toBe("open");
  });

  test("wrong passwords make each next one wait longer, over restarts too", async () => {
    const world = new World();
    await world.open();
    await world.core().lock();
    for (let i = 0; i < 4; i++) expect(await code(world.core().unlock("wrong password"))).toBe("password");
    expect(await code(world.core().unlock(PASSWORD))).toBe("wait");
    world.now += 2_000;
    await world.core().unlock(PASSWORD);
  });

  test("a lock is not undone by what was at work when it came", async () => {
    for (const work of [(core: Core) => core.touch(), (core: Core) => core.delegate(), (core: Core) => core.setSettings({ autoLockMinutes: 5, allowBlind: false })]) {
      const world = new World();
      const { core } = await world.open();
      const [, locked] = [work(core).catch(() => undefined), core.lock()];
      await locked;
      await world.idle();
      expect([(await core.state()).stage, world.session.values.size]).toEqual(["locked", 0]);
    }
  });

  test("a password that is changed while somebody locks the wallet leaves it locked", async () => {
    const world = new World();
    const { core } = await world.open();
    const changed = core.changePassword(PASSWORD, "another one");
    await core.lock();
    await changed;
    expect((await core.state()).stage).toBe("locked");
    await core.unlock("another one");
  });

  test("a clock that was ahead when passwords were wrong locks nobody out for longer than the longest wait", async () => {
    const world = new World();
    const { core } = await world.open();
    world.now += 1_000_000_000_000;
    for (let i = 0; i < 4; i++) expect(await code(core.unlock("wrong password"))).toBe("password");
    world.now -= 1_000_000_000_000;
    expect(await code(core.unlock(PASSWORD))).toBe("wait");
    world.now += 15 * 60_000;
    await core.unlock(PASSWORD);
  });

  test("a session key is gone when the wallet is locked", async () => {
    const world = new World();
    const { core } = await world.open();
    const delegate = await core.delegate();
    expect([...world.session.values.keys()].some((key) => key.startsWith("session-key:"))).toBe(true);
    await core.lock();
    expect(world.session.values.size).toBe(0);
    await core.unlock(PASSWORD);
    expect(await core.delegate()).toBe(delegate);
  });

  test("the password changes, the phrase stays; it is shown to who has the password", async () => {
    const world = new World();
    const { core } = await world.open();
    await core.changePassword(PASSWORD, "another one");
    await core.lock();
    expect(await code(core.unlock(PASSWORD))).toBe("password");
    await core.unlock("another one");
    expect(await core.reveal("another one")).toBe(PHRASE);
    expect(await code(core.changePassword("another one", "short"))).toBe("password");
  });
});

/** Another phrase of BIP-39's vectors. */
const accountPhrase = "legal winner thank year wave sausage worth useful legal winner thank yellow";

describe("damage", () => {
  test("a wallet that can't be read is said to be damaged, and is not made anew over it", async () => {
    const world = new World();
    await world.open();
    world.local.values.set("wallet", '{"version":1,"lock":{"n":1}}');
    const core = world.core();
    expect((await core.state()).stage).toBe("damaged");
    expect(await code(core.create(PHRASE, PASSWORD))).toBe("exists");
    await core.wipe();
    expect((await core.state()).stage).toBe("none");
    expect(world.local.values.size).toBe(0);
  });

  test("damaged permissions connect nobody, damaged settings allow nothing blind, damaged accounts come back", async () => {
    const world = new World();
    const { core } = await world.connected();
    await core.setSettings({ autoLockMinutes: 15, allowBlind: true });
    world.local.values.set("sites", `{"${SITE}":{"accounts":"all"}}`);
    world.local.values.set("settings", '{"allowBlind":1}');
    world.local.values.set("accounts", "[]");
    world.local.values.set("networks", "null");
    const { settings, networks } = await core.state();
    expect([await core.seen(SITE), settings.allowBlind, networks.active]).toEqual([[], false, "local"]);
    await core.lock();
    await core.unlock(PASSWORD);
    expect((await core.state()).accounts?.list[0]?.address).toBe(accountKey(PHRASE, 0).address);
  });
});

describe("sites", () => {
  test("a site sees nothing before it is connected, and nothing more once it is revoked", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    expect(await core.seen(SITE)).toEqual([me]);
    expect(await core.seen("https://other.example")).toEqual([]);
    const message = { id: "message-1", origin: SITE, kind: "signMessage", account: me, payload: new TextEncoder().encode("hello") } as const;
    const asked = await core.ask(message);
    await core.setSite(SITE, "revoked");
    expect(await core.seen(SITE)).toEqual([]);
    expect((await core.request("id" in asked ? asked.id : "")).state).toBe("refused");
    expect(await code(core.ask({ ...message, id: "message-2" }))).toBe("account");
  });

  test("an account that the site does not see signs nothing for it", async () => {
    const world = new World();
    const { core } = await world.connected();
    const second = await core.addAccount();
    expect(await code(core.ask({ id: "message-1", origin: SITE, kind: "signMessage", account: second.address, payload: Uint8Array.of(65) }))).toBe("account");
  });

  test("a request is asked for once under its name, and is nobody else's", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    const asked = { id: "message-1", origin: SITE, kind: "signMessage", account: me, payload: Uint8Array.of(65) } as const;
    expect(await core.ask(asked)).toEqual(await core.ask(asked));
    expect((await core.state()).waiting).toHaveLength(1);
    expect(await code(core.ask({ ...asked, origin: "https://evil.example" }))).toBe("refused");
  });

  test("who asks again and again is not listened to, each time for longer", async () => {
    const world = new World();
    const { core } = await world.open();
    const ask = (id: string) => core.ask({ id, origin: SITE, kind: "connect" });
    for (let i = 0; i < 3; i++) {
      await ask(`request-${i}`);
      await core.decide({ id: `request-${i}`, yes: false });
    }
    expect(await code(ask("request-3"))).toBe("refused");
    world.now += 60_000;
    await ask("request-4");
    await core.decide({ id: "request-4", yes: false });
    world.now += 60_000;
    expect(await code(ask("request-5"))).toBe("refused");
    world.now += 60_000;
    await ask("request-6");
    await core.decide({ id: "request-6", yes: false, block: true });
    world.now += 24 * 60 * 60_000;
    expect(await code(ask("request-7"))).toBe("refused");
    // Nor is it unblocked by leaving.
    await core.leave(SITE);
    expect(await code(ask("request-8"))).toBe("refused");
    await core.setSite(SITE, "forgotten");
    await ask("request-9");
  });

  test("at most three requests of a site wait, and connections are one", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    const ask = (id: string) => core.ask({ id, origin: SITE, kind: "signMessage", account: me, payload: Uint8Array.of(65) });
    for (const id of ["message-1", "message-2", "message-3"]) await ask(id);
    expect(await code(ask("message-4"))).toBe("refused");
    const other = "https://other.example";
    const [one, two] = [await core.ask({ id: "connect-8", origin: other, kind: "connect" }), await core.ask({ id: "connect-9", origin: other, kind: "connect" })];
    expect(two).toEqual(one);
  });

  test("a site that asks for a connection again and again does not keep the window in front", async () => {
    const world = new World();
    const { core } = await world.open();
    for (let i = 0; i < 50; i++) await core.ask({ id: `connect-${i}`, origin: SITE, kind: "connect" });
    expect(world.shown).toBe(1);
    // Who closed the window and asks the site again gets it back.
    world.now += 10_000;
    await core.ask({ id: "connect-99", origin: SITE, kind: "connect" });
    expect([world.shown, (await core.state()).waiting.length]).toEqual([2, 1]);
  });

  test("a connection shares the account that was shown, or none", async () => {
    const world = new World();
    const { core, address: me } = await world.open();
    await core.ask({ id: "connect-1", origin: SITE, kind: "connect" });
    const second = await core.addAccount();
    expect(await code(core.decide({ id: "connect-1", yes: true, account: me }))).toBe("account");
    expect(await core.seen(SITE)).toEqual([]);
    await core.decide({ id: "connect-1", yes: true, account: second.address });
    expect(await core.seen(SITE)).toEqual([second.address]);
  });

  test("twenty requests wait at most, however many names a site has", async () => {
    const world = new World();
    const { core } = await world.open();
    const ask = (i: number) => core.ask({ id: `connect-${i}`, origin: `https://n${i}.evil.example`, kind: "connect" });
    for (let i = 0; i < 20; i++) await ask(i);
    expect(await code(ask(20))).toBe("refused");
    world.now += 6 * 60_000;
    await ask(21);
  });

  test("refusals of long ago, and of a clock that was ahead, are forgotten", () => {
    let site = newSite(0);
    for (const at of [0, 1, 1_000_000_000_000]) site = refused(site, at);
    expect(site.quietUntil).toBe(0);
    site = refused(site, 5);
    expect(refusalOf(site, 0, 5)).toBeNull();
    const ahead = 1_000_000_000_000;
    for (const at of [ahead, ahead + 1, ahead + 2]) site = refused(site, at);
    expect([refusalOf(site, 0, ahead + 3), refusalOf(site, 0, 5)]).toEqual([expect.stringContaining("too often"), null]);
  });
});

describe("signing", () => {
  const send = async (world: World, core: Core, me: string, payload = bytesOf(world, me), id = "send-0001") => {
    await core.ask({ id, origin: SITE, kind: "send", account: me, payload, chain: "solana:localnet" });
    return id;
  };

  test("what is approved is sent, and lands once", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, 5n * SOL);
    world.chain.drops = 2;
    const id = await send(world, core, me);
    await core.decide({ id, yes: true });
    expect((await finish(core, id)).state).toBe("confirmed");
    expect([world.chain.landed.size, world.chain.ledger.lamports.get(OTHER)]).toEqual([1, SOL]);
  });

  test("of two windows one decides", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, 5n * SOL);
    const id = await send(world, core, me);
    const outcomes = await Promise.all([code(core.decide({ id, yes: true })), code(core.decide({ id, yes: false })), code(core.decide({ id, yes: true }))]);
    expect(outcomes).toEqual(["none", "over", "over"]);
    await finish(core, id);
    expect(world.chain.landed.size).toBe(1);
  });

  test("what would fail is not signed unless somebody says so, and then the chain's refusal has its signature", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, SOL / 2n);
    const id = await send(world, core, me);
    expect(await code(core.decide({ id, yes: true }))).toBe("fails");
    await core.decide({ id, yes: true, despite: true });
    const ended = await finish(core, id);
    expect([ended.state, ended.signature !== null, ended.words !== null]).toEqual(["failed", true, true]);
  });

  test("what nobody can read is refused, unless it is allowed and said each time", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, SOL);
    const id = await send(world, core, me, blindBytes(world, me));
    expect(await code(core.decide({ id, yes: true, blind: true }))).toBe("blind");
    await core.setSettings({ autoLockMinutes: 15, allowBlind: true });
    expect(await code(core.decide({ id, yes: true }))).toBe("blind");
    await core.decide({ id, yes: true, blind: true });
    expect((await finish(core, id)).state).toBe("confirmed");
  });

  test("a network that is switched under an approval, or is another chain now, signs nothing", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, 5n * SOL);
    const id = await send(world, core, me);
    await core.setNetwork({ id: "other", name: "Other", gatewayUrl: "https://g.example", rpcUrl: "https://rpc.example", chain: "solana:devnet", genesis: null });
    await core.chooseNetwork("other");
    expect(await code(core.decide({ id, yes: true }))).toBe("network");
    await core.chooseNetwork("local");
    world.chain.genesis = OTHER;
    expect(await code(core.decide({ id, yes: true }))).toBe("network");
    expect(world.chain.landed.size).toBe(0);
    expect(await code(send(world, core, me, undefined, "send-0002"))).toBe("network");
    await core.acceptChain("local");
    await send(world, core, me, undefined, "send-0003");
  });

  test("what lacks another's signature is not sent", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    const shared = compile(OTHER, [transfer(me, OTHER, SOL)], { blockhash: world.chain.blockhash(), lastValidBlockHeight: 1 });
    expect(await code(send(world, core, me, shared))).toBe("invalid");
    await core.ask({ id: "sign-0001", origin: SITE, kind: "signTransaction", account: me, payload: shared });
  });

  test("a site on another chain than the wallet gets nothing", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    expect(await code(core.ask({ id: "send-0001", origin: SITE, kind: "send", account: me, payload: bytesOf(world, me), chain: "solana:mainnet" }))).toBe("network");
  });

  test("an old request, a locked wallet, a chain that is away sign nothing", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, 5n * SOL);
    const id = await send(world, core, me);
    world.chain.isAway = true;
    expect(await code(core.decide({ id, yes: true }))).not.toBe("none");
    world.chain.isAway = false;
    await core.lock();
    expect(await code(core.decide({ id, yes: true }))).toBe("locked");
    await core.unlock(PASSWORD);
    world.now += 6 * 60_000;
    expect(await code(core.decide({ id, yes: true }))).toBe("over");
    expect(world.chain.landed.size).toBe(0);
  });

  test("a transaction in the dress of a text is refused", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    const message = bytesOf(world, me).subarray(65);
    await core.ask({ id: "message-1", origin: SITE, kind: "signMessage", account: me, payload: message });
    expect(await code(core.decide({ id: "message-1", yes: true }))).toBe("refused");
  });

  test("a text that nobody can read is refused, unless it is allowed and said each time", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    await core.ask({ id: "message-1", origin: SITE, kind: "signMessage", account: me, payload: Uint8Array.of(0xff, 0xfe, 0) });
    expect(await code(core.decide({ id: "message-1", yes: true, blind: true }))).toBe("blind");
    await core.setSettings({ autoLockMinutes: 15, allowBlind: true });
    expect(await code(core.decide({ id: "message-1", yes: true }))).toBe("blind");
    expect((await core.decide({ id: "message-1", yes: true, blind: true })).state).toBe("answered");
  });

  test("a site acts as its user at a gateway that is not its own where that is said, and no other way", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    const ask = (id: string, gatewayUrl: string) =>
      core.ask({ id, origin: SITE, kind: "signMessage", account: me, payload: signedBytes({ gatewayUrl, method: "POST", path: "/v1/keys", purpose: "keys", body: "{}" }, 5, new Uint8Array(16)) });
    await ask("message-1", "https://gateway.example");
    expect(await code(core.decide({ id: "message-1", yes: true, blind: true }))).toBe("refused");
    expect((await core.decide({ id: "message-1", yes: true, elsewhere: true })).state).toBe("answered");
    await ask("message-2", SITE);
    expect((await core.decide({ id: "message-2", yes: true })).state).toBe("answered");
  });

  test("a chain that hangs is asked once however often somebody looks, and keeps nobody waiting for long", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, 5n * SOL);
    world.chain.drops = 1;
    await core.decide({ id: await send(world, core, me), yes: true });
    let goOn = (): void => undefined;
    world.chain.hangs = new Promise((resolve) => (goOn = resolve));
    world.chain.asked.splice(0);
    const looks = Array.from({ length: 20 }, () => core.resume());
    const revoked = core.setSite(SITE, "revoked");
    await world.idle();
    goOn();
    await Promise.all([...looks, revoked]);
    expect(world.chain.asked.filter((method) => method === "getBlockHeight")).toHaveLength(1);
    expect(await core.seen(SITE)).toEqual([]);
  });

  test("what can't land any more is said to have lapsed", async () => {
    const world = new World();
    const { core, address: me } = await world.connected();
    world.chain.fund(me, 5n * SOL);
    world.chain.drops = 1_000;
    const id = await send(world, core, me);
    await core.decide({ id, yes: true });
    world.chain.slot += 200;
    expect((await finish(core, id)).state).toBe("lapsed");
  });
});

describe("the session key", () => {
  test("evidence is asked for with it, and nothing else is signed", async () => {
    const world = new World();
    const { core } = await world.open();
    expect(await code(core.signEvidence("limit", new TextEncoder().encode("anything")))).toBe("refused");
  });

  test("what lies on it comes back", async () => {
    const world = new World();
    const { core, address: me } = await world.open();
    const delegate = await core.delegate();
    expect(await core.sweep().catch(() => null)).toBeNull();
    world.chain.fund(delegate, 50_000_000n);
    expect(await core.sweep()).not.toBeNull();
    expect([world.chain.ledger.lamports.get(me), world.chain.ledger.lamports.get(delegate)]).toEqual([49_995_000n, 0n]);
  });

  test("a limit is made, changed after somebody else spent under it, and revoked", async () => {
    const world = new World();
    const { core, address: me } = await world.open();
    world.chain.fund(me, 5n * SOL);
    const delegate = await core.delegate();
    const limit = { delegate, perJob: 1_000n, perWindow: 5_000n, windowSlots: 1_000, lifetime: 10_000n, validSlots: 9_000n, models: [], deposit: 1_000_000n, float: 20_000_000n };
    const first = await core.propose("Allow spending", { kind: "limit", limit });
    await core.decide({ id: first.id, yes: true });
    expect((await finish(core, first.id)).state).toBe("confirmed");
    const key = `${me}/${delegate}`;
    expect(world.chain.ledger.grants.get(key)?.perJobMax).toBe(1_000n);
    const second = await core.propose("Change", { kind: "limit", limit: { ...limit, perJob: 2_000n, deposit: 0n, float: 0n } });
    const grant = world.chain.ledger.grants.get(key);
    if (grant) world.chain.ledger.grants.set(key, { ...grant, lifetimeSpent: 700n });
    await expect(core.decide({ id: second.id, yes: true })).rejects.toThrow(/spent amount is not the one stated \(612\): .* make the change anew/);
    const third = await core.propose("Change", { kind: "limit", limit: { ...limit, perJob: 2_000n, deposit: 0n, float: 0n } });
    await core.decide({ id: third.id, yes: true });
    await finish(core, third.id);
    expect([world.chain.ledger.grants.get(key)?.perJobMax, world.chain.ledger.grants.get(key)?.lifetimeCap]).toEqual([2_000n, 10_700n]);
    const revoked = await core.propose("Revoke", { kind: "revoke", delegate });
    await core.decide({ id: revoked.id, yes: true });
    await finish(core, revoked.id);
    expect(world.chain.ledger.grants.get(key)?.header.status).toBe(2);
  });
});

/** Plays a story again and again, and kills the worker one await later each time, until it ends unharmed. Another worker then goes on. */
async function everyKill(prepare: () => Promise<World>, play: (core: Core) => Promise<unknown>, after: (world: World, core: Core) => Promise<void>): Promise<number> {
  for (let steps = 1; ; steps++) {
    const world = await prepare();
    let survived = true;
    await play(world.core(steps)).catch((error: unknown) => {
      if (!(error instanceof Killed)) throw error;
      survived = false;
    });
    await after(world, world.core());
    if (survived) return steps;
    if (steps > 400) throw new Error("it never ends");
  }
}

describe("a worker that is killed at any await", () => {
  test("makes a wallet whole or not at all", async () => {
    const kills = await everyKill(
      async () => new World(),
      (core) => core.create(PHRASE, PASSWORD),
      async (_world, core) => {
        // Somebody tries once more.
        await core.create(PHRASE, PASSWORD);
        expect((await core.state()).accounts?.list[0]?.address).toBe(accountKey(PHRASE, 0).address);
        expect(await core.reveal(PASSWORD)).toBe(PHRASE);
      },
    );
    expect(kills).toBeGreaterThan(4);
  });

  test("leaves the old password or the new one, never none", async () => {
    await everyKill(
      async () => {
        const world = new World();
        await world.open();
        return world;
      },
      (core) => core.changePassword(PASSWORD, "another one"),
      async (_world, core) => {
        const found = await core.reveal(PASSWORD).catch(() => core.reveal("another one"));
        expect(found).toBe(PHRASE);
      },
    );
  });

  test("sends an approved transaction once, and the site that asks again hears of it", async () => {
    let me = "";
    const kills = await everyKill(
      async () => {
        const world = new World();
        const { core, address: owner } = await world.connected();
        me = owner;
        world.chain.fund(me, 5n * SOL);
        world.chain.drops = 1;
        await core.ask({ id: "send-0001", origin: SITE, kind: "send", account: me, payload: bytesOf(world, me) });
        return world;
      },
      async (core) => {
        await core.decide({ id: "send-0001", yes: true });
        await finish(core, "send-0001");
      },
      async (world, core) => {
        await core.resume();
        const record = await core.request("send-0001");
        // Killed before anything was signed it waits as before; then somebody presses again.
        if (record.state === "waiting") {
          expect(world.chain.landed.size).toBe(0);
          await core.decide({ id: "send-0001", yes: true });
        }
        const ended = await finish(core, "send-0001");
        expect([ended.state, world.chain.landed.size, [...world.chain.landed.keys()][0]]).toEqual(["confirmed", 1, ended.signature]);
      },
    );
    expect(kills).toBeGreaterThan(20);
  });

  test("refuses for good: what was refused is never sent", async () => {
    await everyKill(
      async () => {
        const world = new World();
        const { core, address: me } = await world.connected();
        world.chain.fund(me, 5n * SOL);
        await core.ask({ id: "send-0001", origin: SITE, kind: "send", account: me, payload: bytesOf(world, me) });
        return world;
      },
      (core) => core.decide({ id: "send-0001", yes: false, block: true }),
      async (world, core) => {
        const record = await core.request("send-0001");
        expect(["waiting", "refused"]).toContain(record.state);
        // The block is written first: what still waits can't be approved by mistake.
        if ((await core.state()).sites[SITE]?.blocked) expect(await code(core.decide({ id: "send-0001", yes: true }))).not.toBe("none");
        await core.resume();
        expect(world.chain.landed.size).toBe(0);
      },
    );
  });

  test("connects a site in the wallet before the site believes it", async () => {
    await everyKill(
      async () => {
        const world = new World();
        const { core } = await world.open();
        await core.ask({ id: "connect-1", origin: SITE, kind: "connect" });
        return world;
      },
      (core) => core.decide({ id: "connect-1", yes: true }),
      async (_world, core) => {
        const record = await core.request("connect-1");
        if (record.state === "answered") expect(await core.seen(SITE)).toEqual(record.shared);
      },
    );
  });

  test("removes the wallet, or leaves it whole", async () => {
    await everyKill(
      async () => {
        const world = new World();
        await world.connected();
        return world;
      },
      (core) => core.wipe(),
      async (world, core) => {
        const { stage } = await core.state();
        expect(["none", "locked", "open"]).toContain(stage);
        if (stage === "none") expect(world.local.values.size).toBe(0);
        else expect(await core.reveal(PASSWORD)).toBe(PHRASE);
      },
    );
  });
});
