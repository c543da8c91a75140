/** A wallet on a fake chain, whose worker may be killed and come back. */

import { Core } from "../../src/core/core";
import { FakeChain } from "./chain";
import { Disk, Life } from "./area";

/** The phrase of BIP-39's vectors; its addresses are those that Phantom shows. */
export const PHRASE = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
export const PASSWORD = "correct horse";
/** scrypt's cheapest that a lock may have. */
export const COST = 2 ** 14;
export const SITE = "https://app.example";

export class World {
  readonly local = new Disk();
  readonly session = new Disk();
  readonly chain: FakeChain;
  now = 1_700_000_000_000;
  shown = 0;
  #ids = 0;

  constructor(chain = new FakeChain()) {
    this.chain = chain;
  }

  /** Waits until nothing of what was begun can go on by itself. */
  idle(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** A worker that lives so many steps. */
  core(steps = Infinity): Core {
    const life = new Life(steps);
    return new Core({
      local: this.local.area(life),
      session: this.session.area(life),
      now: () => this.now,
      newId: () => `own-request-${++this.#ids}`,
      rpc: () => (method, params) => life.step(() => this.chain.rpc(method, params)),
      show: () => life.step(() => void this.shown++),
      cost: COST,
    });
  }

  /** With a wallet that is open. */
  async open(): Promise<{ core: Core; address: string }> {
    const core = this.core();
    await core.create(PHRASE, PASSWORD);
    const address = (await core.state()).accounts?.list[0]?.address ?? "";
    return { core, address };
  }

  /** And a site that sees its account. */
  async connected(): Promise<{ core: Core; address: string }> {
    const opened = await this.open();
    const asked = await opened.core.ask({ id: "connect-1", origin: SITE, kind: "connect" });
    if ("id" in asked) await opened.core.decide({ id: asked.id, yes: true });
    return opened;
  }
}
