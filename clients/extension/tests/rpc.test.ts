/** A chain's RPC that answers as it should not. */

import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RpcError, rpcOf } from "../src/chain/rpc";

let answer: (response: ServerResponse) => void;
const server = createServer((_request, response) => answer(response));
let url = "";

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const ask = async (): Promise<string> => rpcOf(url)("getSlot").then((said) => `said ${String(said)}`, (error: unknown) => (error instanceof RpcError ? error.message : `not an RpcError: ${String(error)}`));

test("an answer is read to its end, whatever it is cut into", async () => {
  answer = (response) => {
    const bytes = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, result: "größer" }));
    for (const byte of bytes) response.write(Buffer.of(byte));
    response.end();
  };
  expect(await ask()).toBe("said größer");
});

test("one that does not end is given up, long before the memory is", async () => {
  let sent = 0;
  answer = (response) => {
    const part = Buffer.alloc(1 << 20, 0x20);
    const more = (): void => {
      while (!response.destroyed && response.write(part)) sent++;
      if (!response.destroyed) response.once("drain", more);
    };
    more();
  };
  expect(await ask()).toBe("the chain's answer is too long");
  expect(sent).toBeLessThan(64);
});

test("refusals, pages of proxies and redirects are none of its words", async () => {
  answer = (response) => response.end(JSON.stringify({ error: { code: -32000, message: "no such slot" } }));
  expect(await ask()).toBe("no such slot");
  answer = (response) => response.writeHead(502).end("<html>Bad Gateway</html>");
  expect(await ask()).toBe("the chain's RPC answers 502");
  answer = (response) => response.end("<html>");
  expect(await ask()).toBe("the chain's answer is not JSON");
  answer = (response) => response.writeHead(307, { location: "https://elsewhere.example" }).end();
  expect(await ask()).toBe(`the chain can't be reached at ${url}`);
  answer = (response) => response.destroy();
  expect(await ask()).toBe(`the chain can't be reached at ${url}`);
});
