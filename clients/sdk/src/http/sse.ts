/** Server-sent events, read as the HTML standard says, within bounds: a stream may be cut, drip or be hostile. */

import { ProtocolError } from "../errors.js";

/** One event. */
export interface ServerSentEvent {
  /** `message` unless the stream names it. */
  event: string;
  data: string;
  /** The last id that the stream gave, which resumes it. */
  id: string | undefined;
}

/** Longest event, characters: no answer of a gateway comes near it. */
const LONGEST_EVENT = 4 << 20;

/** Takes text as it comes and gives whole events. */
export class SseParser {
  #text = "";
  /** Up to here there is no end of a line. */
  #searched = 0;
  #size = 0;
  #event = "";
  #data: string[] = [];
  #id: string | undefined;
  #began = false;

  /** The events that `text` completes. */
  *push(text: string): Generator<ServerSentEvent> {
    this.#text += text;
    if (!this.#began && this.#text !== "") {
      this.#began = true;
      if (this.#text.startsWith("\ufeff")) this.#text = this.#text.slice(1);
    }
    for (let line = this.#line(); line !== undefined; line = this.#line()) {
      const event = this.#take(line);
      if (event) yield event;
    }
    if (this.#text.length + this.#size > LONGEST_EVENT) {
      throw new ProtocolError(`an event of a stream is longer than ${LONGEST_EVENT} characters`);
    }
  }

  /** The next whole line. A CR at the end of what has come may be the half of a CRLF. */
  #line(): string | undefined {
    const breaks = /[\r\n]/g;
    breaks.lastIndex = this.#searched;
    const end = breaks.exec(this.#text)?.index ?? -1;
    if (end < 0 || (this.#text[end] === "\r" && end + 1 === this.#text.length)) {
      this.#searched = end < 0 ? this.#text.length : end;
      return undefined;
    }
    this.#searched = 0;
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(this.#text.startsWith("\r\n", end) ? end + 2 : end + 1);
    return line;
  }

  #take(line: string): ServerSentEvent | undefined {
    if (line === "") return this.#finish();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (name === "event") {
      this.#event = value;
    } else if (name === "id" && !value.includes("\0")) {
      this.#id = value;
    }
    return undefined;
  }

  #finish(): ServerSentEvent | undefined {
    const event = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    this.#size = 0;
    return isEmpty ? undefined : event;
  }
}

/** The events of a body. What follows the last whole one is dropped: a cut stream has half an event at its end. */
export async function* serverSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const parser = new SseParser();
  const decoder = new TextDecoder();
  for await (const bytes of body) {
    yield* parser.push(decoder.decode(bytes, { stream: true }));
  }
}
