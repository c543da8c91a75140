// The types that openapi-typescript makes of /openapi.json, as a program uses them. The answers of a gateway are checked against
// them in answers.ts, which the test writes.

import type { paths } from "./api";

/** The JSON that a route answers with at a status; never where the description has none. */
export type Answer<P extends keyof paths, M extends keyof paths[P], S extends number> = paths[P][M] extends {
  responses: infer R;
}
  ? S extends keyof R
    ? R[S] extends { content: { "application/json": infer T } }
      ? T
      : never
    : never
  : never;

type Body<P extends keyof paths> = paths[P] extends {
  post: { requestBody?: { content: { "application/json": infer T } } };
}
  ? T
  : never;

export const chat: Body<"/v1/chat/completions"> = {
  model: "tiny@00000000",
  messages: [{ role: "user", content: "why?" }],
  stop: ["\n"],
  mythic: null,
};

// @ts-expect-error: a body without its messages
export const empty: Body<"/v1/chat/completions"> = { model: "tiny@00000000" };

// @ts-expect-error: an answer that lacks fields
export const short: Answer<"/v1/network", "get", 200> = { object: "network" };

// @ts-expect-error: a status that the route does not have
export const teapot: Answer<"/v1/network", "get", 418> = {};

/** A job that is waited for, from either route. */
export function fee(job: Answer<"/v1/jobs/{id}", "get", 200> | Answer<"/v1/inference", "post", 202>): number | null {
  const status: string = job.status;
  return status === "settled" ? (job.fee_lamports ?? null) : null;
}
