/** Storage in memory, that may kill whoever uses it at the nth await. */

import type { Area } from "../../src/areas";

export class Killed extends Error {}

/** The life of a worker: it ends at an await, before or after what it does, and then nothing of it happens any more. */
export class Life {
  #left: number;

  constructor(steps = Infinity) {
    this.#left = steps;
  }

  /** A step: one await before it and one after it at which the worker may die. */
  async step<T>(work: () => T | Promise<T>): Promise<T> {
    this.#spend();
    const done = await work();
    this.#spend();
    return done;
  }

  #spend(): void {
    if (this.#left <= 0) throw new Killed();
    this.#left--;
    if (this.#left <= 0) throw new Killed();
  }
}

export class Disk {
  readonly values = new Map<string, string>();

  area(life: Life = new Life()): Area {
    const { values } = this;
    const read = (key: string): unknown => {
      const found = values.get(key);
      return found === undefined ? undefined : (JSON.parse(found) as unknown);
    };
    return {
      get: (key) => life.step(() => read(key)),
      all: (prefix) => life.step(() => new Map([...values.keys()].filter((key) => key.startsWith(prefix)).map((key) => [key, read(key)]))),
      set: (key, value) => life.step(() => void values.set(key, JSON.stringify(value))),
      setAll: (all) => life.step(() => { for (const [key, value] of Object.entries(all)) values.set(key, JSON.stringify(value)); }),
      remove: (keys) => life.step(() => { for (const key of keys) values.delete(key); }),
    };
  }
}
