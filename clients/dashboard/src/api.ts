// Reading the gateway's API.

/** A refusal, with the API's word for it where it has one. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string | null,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** What an answer may take. */
const PATIENCE = 15_000;

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
/** No character: no text of an answer begins with it. */
const MARK = "\uffff";

/** JSON whose integers beyond 2^53 are bigints: lamports go to 2^63. */
export function parse(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const isLarge = (token: string): boolean => /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
  const marked = text.replace(STRING_OR_NUMBER, (token) => (isLarge(token) ? `"${MARK}${token}"` : token));
  return JSON.parse(marked, (_key, value: unknown) => (typeof value === "string" && /^\uffff-?\d+$/.test(value) ? BigInt(value.slice(1)) : value));
}

let ahead = 0;

/** The gateway's time in milliseconds, as far as its answers told it: this machine's clock may be wrong. */
export const now = (): number => Date.now() + ahead;

function learn(response: Response): void {
  const date = Date.parse(response.headers.get("date") ?? "");
  // Headers have whole seconds: less than two apart is the same.
  if (!Number.isNaN(date)) ahead = Math.abs(date - Date.now()) < 2_000 ? 0 : date - Date.now();
}

async function ask(path: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]), headers: { accept: "application/json" } });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, null, "The gateway does not answer.");
  }
  learn(response);
  return response;
}

/** The text that a route answers, whatever it is. */
export async function text(path: string, signal: AbortSignal): Promise<string> {
  const response = await ask(path, signal);
  if (!response.ok) throw new ApiError(response.status, null, response.statusText);
  return response.text();
}

interface Refusal {
  error?: { code?: unknown; message?: unknown };
  object?: unknown;
}

/** What a route answers. `/health` is an answer too when it is a 503. */
export async function get<T>(path: string, signal: AbortSignal): Promise<T> {
  const response = await ask(path, signal);
  let body: Refusal;
  try {
    body = parse(await response.text()) as Refusal;
  } catch {
    throw new ApiError(response.status, null, `The gateway answers ${response.status} without JSON.`);
  }
  if (response.ok || body?.object === "health") return body as T;
  const { code, message } = body?.error ?? {};
  throw new ApiError(response.status, typeof code === "string" ? code : null, typeof message === "string" ? message : response.statusText);
}

/** Asks again only after so many seconds, for what changes slowly; what failed is asked again at once. */
export function kept<T>(seconds: number, load: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let last: { at: number; value: T } | null = null;
  return async (signal) => {
    if (last === null || Date.now() - last.at > seconds * 1000) last = { at: Date.now(), value: await load(signal) };
    return last.value;
  };
}

/** The same, or null where it is not to be had. */
export const maybe = <T>(answer: Promise<T>): Promise<T | null> =>
  answer.catch((error: unknown) => {
    if (error instanceof ApiError) return null;
    throw error;
  });
