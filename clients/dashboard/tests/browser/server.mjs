// Serves the built pages as a gateway does, with its policy, and a small network's API beside them.
import { readFile } from "node:fs/promises";
import { createServer, request as ask } from "node:http";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { answer, world } from "./world.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
const built = join(root, "api/static");
const KINDS = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** The policy as the gateway has it. */
const POLICY = /const POLICY: &str = "([^"]+)"/.exec(await readFile(join(root, "api/src/routes/pages.rs"), "utf8"))?.[1];
if (!POLICY) throw new Error("api/src/routes/pages.rs has no policy");

/** A part of the pages, or their document, as the gateway answers it. */
async function file(response, pathname) {
  const part = /^\/static\/([\w.-]+)$/.exec(pathname)?.[1];
  const name = part ?? "index.html";
  try {
    const bytes = await readFile(join(built, name));
    response.writeHead(200, { "content-type": KINDS[extname(name)] ?? "text/html; charset=utf-8", "content-security-policy": POLICY, "x-content-type-options": "nosniff" }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}

/**
 * The pages that were built here, on a real gateway: on its own, or in front of one that was built without them or with others. Its
 * API answers for itself.
 */
export async function before(gateway) {
  const [own, here] = await Promise.all([fetch(gateway).then((response) => response.text()), readFile(join(built, "index.html"), "utf8")]);
  if (own === here) return { url: gateway, isOwn: true, close: () => undefined };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, gateway);
    if (!/^\/(v1\/|health$|metrics$|openapi.json$)/.test(pathname)) return void file(response, pathname);
    const { host: _host, ...headers } = request.headers;
    const asked = ask(new URL(request.url, gateway), { method: request.method, headers }, (answered) => {
      response.writeHead(answered.statusCode, answered.headers);
      answered.pipe(response);
    });
    asked.on("error", () => response.destroy());
    response.on("close", () => asked.destroy());
    request.pipe(asked);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    isOwn: false,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

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
    return void file(response, pathname);
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
