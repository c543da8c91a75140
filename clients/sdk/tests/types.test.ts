/** What the types promise: compiled by `npm run check`, with nothing to run. */

import {
  type Answer,
  type ChatCompletion,
  type CompletionStream,
  type Estimate,
  type FeedEvent,
  type FeedGap,
  type Job,
  MythicAI,
  type Network,
  type Page,
  type Receipt,
  type TextStream,
  type ToolCall,
  type Validator,
  type Verification,
} from "@mythic/ai-sdk";
import { expectTypeOf, test } from "vitest";

const ai = new MythicAI({ gatewayUrl: "http://127.0.0.1:4002" });

test("calls give what they say", () => {
  expectTypeOf(ai.chat).returns.resolves.toEqualTypeOf<Answer>();
  expectTypeOf(ai.stream).returns.toEqualTypeOf<TextStream>();
  expectTypeOf(ai.estimate).returns.resolves.toEqualTypeOf<Estimate>();
  expectTypeOf(ai.network).returns.resolves.toEqualTypeOf<Network>();
  expectTypeOf(ai.receipts.verify).returns.resolves.toEqualTypeOf<Verification>();
  expectTypeOf(ai.jobs.list).returns.toExtend<PromiseLike<Page<Job>> & AsyncIterable<Job>>();
  expectTypeOf(ai.events).returns.toEqualTypeOf<AsyncGenerator<FeedEvent | FeedGap>>();
  const completion = (): Promise<ChatCompletion> => ai.chatCompletions([{ role: "user", content: "a" }], { temperature: 0 });
  expectTypeOf<Answer["toolCalls"]>().toEqualTypeOf<ToolCall[]>();
  const chunks = (): CompletionStream => ai.chatCompletions([{ role: "user", content: "a" }], { stream: true });
  expectTypeOf(completion).toBeFunction();
  expectTypeOf(chunks).toBeFunction();
});

test("lamports are bigints, whatever may be unknown is nullable, and names are camelCase", () => {
  expectTypeOf<Answer["cost"]>().toEqualTypeOf<bigint>();
  expectTypeOf<Receipt["ceilingLamports"]>().toEqualTypeOf<bigint>();
  expectTypeOf<Receipt["feeLamports"]>().toEqualTypeOf<bigint | null | undefined>();
  expectTypeOf<Receipt["split"]["burnedLamports"]>().toEqualTypeOf<bigint | null | undefined>();
  expectTypeOf<Validator["stake"]>().toEqualTypeOf<bigint>();
  expectTypeOf<Network["activeValidators"]>().toEqualTypeOf<number | null | undefined>();
  expectTypeOf<Estimate["estimatedCostSol"]>().toEqualTypeOf<number>();
  expectTypeOf<Estimate["priceInLamportsPer1k"]>().toEqualTypeOf<number>();
  expectTypeOf<ChatCompletion["mythic"]["cost_lamports"]>().toEqualTypeOf<bigint>();
  expectTypeOf<ChatCompletion["choices"][number]["finish_reason"]>().toEqualTypeOf<string>();
});

test("what the gateway does not take is refused by the compiler", () => {
  const wrong = (): void => {
    // @ts-expect-error: there is no such option
    void ai.chat("a", { max_tokens: 5 });
    // @ts-expect-error: an open job is of a plain prompt
    void ai.submit("a", { tools: [] });
    // @ts-expect-error: a function has a name
    void ai.chat("a", { tools: [{ description: "of a city" }] });
    // @ts-expect-error: there is no such topic
    void ai.events({ topics: ["weather"] });
    // @ts-expect-error: there is no such statistic
    void ai.stats("hourly");
    // @ts-expect-error: a message has a role
    void ai.chatCompletions([{ content: "a" }]);
  };
  expectTypeOf(wrong).toBeFunction();
});
