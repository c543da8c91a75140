/** Where the wallet keeps things: on disk, and in memory until the browser closes. Each write is whole or not there. */

export interface Area {
  get(key: string): Promise<unknown>;
  /** All keys that begin so, with their values. */
  all(prefix: string): Promise<Map<string, unknown>>;
  set(key: string, value: unknown): Promise<void>;
  /** Several at once: all or none. */
  setAll(values: Readonly<Record<string, unknown>>): Promise<void>;
  remove(keys: readonly string[]): Promise<void>;
}

/** The parts of a browser's storage area that are used. */
interface BrowserArea {
  get(keys?: string | null): Promise<Record<string, unknown>>;
  set(items: Record<string, unknown>): Promise<void>;
  remove(keys: string[]): Promise<void>;
}

export function browserArea(area: BrowserArea): Area {
  return {
    get: async (key) => (await area.get(key))[key],
    all: async (prefix) => new Map(Object.entries(await area.get(null)).filter(([key]) => key.startsWith(prefix))),
    set: (key, value) => area.set({ [key]: value }),
    setAll: (values) => area.set({ ...values }),
    remove: (keys) => area.remove([...keys]),
  };
}
