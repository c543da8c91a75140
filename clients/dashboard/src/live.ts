// Data of a page that stays up to date: read now, after events of the feed, and now and then.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api";
import type { Connection } from "./feed";
import { follow } from "./feed";

/** How a page stands to the gateway; shown in the header. */
export interface Standing {
  connection: Connection;
  /** When data was last read. */
  at: Date | null;
  /** What went wrong since. */
  error: ApiError | null;
}

let standing: Standing = { connection: "connecting", at: null, error: null };
const changes = new EventTarget();

function stand(change: Partial<Standing>): void {
  standing = { ...standing, ...change };
  changes.dispatchEvent(new Event("change"));
}

export function useStanding(): Standing {
  const [shown, set] = useState(standing);
  useEffect(() => {
    const update = (): void => set(standing);
    update();
    changes.addEventListener("change", update);
    return () => changes.removeEventListener("change", update);
  }, []);
  return shown;
}

export interface Loaded<T> {
  data: T | null;
  error: ApiError | null;
}

/** Least milliseconds between two reads: a busy feed is not a busy gateway. */
const CALM = 1_000;

export interface Live {
  /** Query of the feed: `?topics=jobs`. */
  feed: string;
  /** Seconds after which it is read without an event too: slots, ages and what is announced move by themselves. */
  every: number;
}

/**
 * What `load` reads. `key` names what it reads: another key begins anew. An error keeps what was read before.
 */
export function useLive<T>(key: string, load: (signal: AbortSignal) => Promise<T>, { feed, every }: Live): Loaded<T> {
  const [loaded, set] = useState<Loaded<T> & { key: string }>({ key, data: null, error: null });
  const newest = useRef(load);
  newest.current = load;
  useEffect(() => {
    const end = new AbortController();
    let due = false;
    let busy = false;
    stand({ connection: "connecting", at: null, error: null });
    const refresh = async (): Promise<void> => {
      due = true;
      if (busy) return;
      busy = true;
      while (due && !end.signal.aborted) {
        due = false;
        try {
          const data = await newest.current(end.signal);
          if (end.signal.aborted) return;
          set({ key, data, error: null });
          stand({ at: new Date(), error: null });
        } catch (error) {
          if (end.signal.aborted) return;
          const shown = error instanceof ApiError ? error : new ApiError(0, null, "This page failed: " + String(error));
          set((before) => ({ key, data: before.key === key ? before.data : null, error: shown }));
          stand({ error: shown });
        }
        await new Promise((resolve) => setTimeout(resolve, CALM));
      }
      busy = false;
    };
    const seen = (): void => {
      if (!document.hidden) void refresh();
    };
    // A page that nobody looks at reads nothing and follows nothing: a browser has six connections to a gateway, for all its tabs.
    let leave: (() => void) | null = null;
    const attend = (): void => {
      if (document.hidden) {
        leave?.();
        leave = null;
        return;
      }
      leave ??= follow(feed, { changed: seen, connection: (connection) => stand({ connection }) });
      void refresh();
    };
    if (document.hidden) void refresh();
    attend();
    const timer = setInterval(seen, every * 1000);
    document.addEventListener("visibilitychange", attend);
    return () => {
      end.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", attend);
      leave?.();
    };
  }, [key, feed, every]);
  return loaded.key === key ? loaded : { data: null, error: null };
}
