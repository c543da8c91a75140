/** Reading a body within time: a line that drips for ever is as good as dead. */

import { TimeoutError } from "../errors.js";

/** The chunks of a body; more than `idleMs` between two of them is a time-out. Leaving the loop cancels the body. */
export async function* chunksOf(body: ReadableStream<Uint8Array>, idleMs: number): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), idleMs);
      if (done) return;
      yield value;
    }
  } finally {
    // The other side may be gone already: there is nobody to tell.
    await reader.cancel().catch(() => undefined);
  }
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new TimeoutError(`nothing came for ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    // Whoever lost the race may still reject.
    promise.catch(() => undefined);
  }
}
