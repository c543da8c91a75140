/** When a request is sent again, and how long is waited before. */

/** Longest time that a `Retry-After` is waited for; what asks for more is an error at once. */
export const LONGEST_WAIT_MS = 60_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;

const RETRIED: ReadonlySet<number> = new Set([408, 409, 429, 500, 502, 503, 504]);

/** Whether a refusal may be other the next time. `x-should-retry` is the gateway's word and goes first. */
export function mayRetry(status: number, headers: Headers): boolean {
  const said = headers.get("x-should-retry");
  if (said === "false") return false;
  if (said === "true") return true;
  return RETRIED.has(status);
}

/** Milliseconds of a `Retry-After`: seconds or a date. */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const seconds = Number(value);
  if (value.trim() !== "" && Number.isFinite(seconds)) return Math.max(0, seconds * 1_000);
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** Pause before the attempt after `attempt`, from 0: doubled each time, with a random part so that clients do not come together. */
export function pauseMs(attempt: number, random: () => number = Math.random): number {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
  return longest * (0.75 + 0.25 * random());
}

/** Waits, or rejects with the signal's reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
