// Serves the built pages as a gateway does, with its policy, and a small network's API beside them.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { answer, world } from "./world.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
const built = join(root, "api/static");
const KINDS = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** The policy as the gateway has it. */
const POLICY = /const POLICY: &str = "([^"]+)"/.exec(await readFile(join(root, "api/src/routes/pages.rs"), "utf8"))?.[1];
if (!POLICY) throw new Error("api/src/routes/pages.rs has no policy");

export async function serve() {
  const state = { all: world(), streams: new Set(), refused: null, away: false, asked: [], rpc: null };
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://here");
    state.asked.push(request.url);
    if (pathname === "/v1/stream") {
      if (state.refused) return void response.writeHead(state.refused).end();
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
      response.write(": connected\n\n");
      state.streams.add(response);
      return void request.on("close", () => state.streams.delete(response));
    }
    if (pathname === "/rpc" && state.rpc) {
      let body = "";
      for await (const part of request) body += part;
      return void state.rpc(response, { body: JSON.parse(body) });
    }
    const json = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (pathname.startsWith("/v1/") || pathname === "/health") {
      if (state.away) return void json(503, { error: { message: "the database is away", type: "server_error", param: null, code: "database_unavailable" } });
      if (pathname === "/health") return void json(200, state.all.health);
      const { status, body } = answer(state.all, pathname, searchParams);
      return void json(status, body);
    }
    if (pathname === "/metrics") return void response.writeHead(200, { "content-type": "text/plain" }).end(state.all.metrics);
    const part = /^\/static\/([\w.-]+)$/.exec(pathname)?.[1];
    const file = part ?? "index.html";
    try {
      const bytes = await readFile(join(built, file));
      response.writeHead(200, { "content-type": KINDS[extname(file)] ?? "text/html; charset=utf-8", "content-security-policy": POLICY, "x-content-type-options": "nosniff" }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    state,
    url: `http://127.0.0.1:${server.address().port}`,
    /** Tells everybody who follows that something changed. */
    tell: (name) => {
      for (const stream of state.streams) stream.write(name ? `event: ${name}\nid: 2\ndata: {"gap":{"from":1,"to":2}}\n\n` : 'id: 1\ndata: {"seq":1}\n\n');
    },
    cut: () => {
      for (const stream of state.streams) stream.destroy();
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
