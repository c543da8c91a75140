// The gateway's feed: says that something changed, and whether it is connected. What changed is read anew, so that a gap, a retraction
// or a feed that has expired needs no care of its own.

export type Connection = "connecting" | "live" | "reconnecting";

export interface Follower {
  /** Something that was asked for changed, or may have while the feed was away. */
  changed: () => void;
  connection: (state: Connection) => void;
}

/** The part of EventSource that is needed; tests bring their own. */
export interface Source {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  addEventListener: (name: "gap", then: () => void) => void;
  readonly readyState: number;
  close: () => void;
}

const CLOSED = 2;
const LEAST = 1_000;
const MOST = 30_000;

/** Pauses between tries: twice as long each time, some of it by chance, so that not all pages come back at once. */
export const pause = (tries: number, chance: number): number => Math.min(MOST, LEAST * 2 ** tries) * (0.5 + chance / 2);

/** Follows `/v1/stream` with a query until the function that it gives is called. */
export function follow(query: string, follower: Follower, open: (address: string) => Source = (address) => new EventSource(address)): () => void {
  let source: Source | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let tries = 0;
  const connect = (): void => {
    source = open("/v1/stream" + query);
    source.onopen = () => {
      tries = 0;
      follower.connection("live");
      follower.changed();
    };
    source.onmessage = follower.changed;
    source.addEventListener("gap", follower.changed);
    source.onerror = () => {
      follower.connection("reconnecting");
      // A browser comes back by itself after a broken connection, not after a refusal: too many subscribers, an expired feed.
      if (source?.readyState !== CLOSED) return;
      source.close();
      timer = setTimeout(connect, pause(tries++, Math.random()));
    };
  };
  follower.connection("connecting");
  connect();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}
