import { fileURLToPath } from "node:url";
import { defineConfig } from "wxt";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Public half of a key that nobody keeps: the unpacked build has the same id everywhere, which a development network knows. Stores give ids of their own. */
const KEY =
  "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAnmocbuWkjgiLnPx3U3dbvBQlUMNh7p6Ac5IBjtWfsMkYuzuv1fEUFc5ZkHS8TiFTqOdMfeHGvuJBSp8ML8wlMhtqxWSbqqQWesKAuFScIO9M1MFTfy4jmpVwHFKDxJCRTlLn8ui/5R6Q3H4IQM9NC4FOxX25wf+hjhEZTcpH1Dzm1GIEre7PHltg8HzTvmrCZrgZ1pSI7St9jOkpeR7T+QwJFQrX7XcE2oU3xBCs85Yf52uN8xsaqT/HmUBqrsSNupPBNeq3L1GQu9LnxFC3Io0lQTNoJOrd51EKRhtB1wL1AfAXEL1v4yTdsGbE3ChJcZsQhWBR5T4zXNbEvo5XDwIDAQAB";

/** Scripts of the package alone; nothing is loaded, framed or sent to a form. Answers come over https, on this machine also over http. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src https: http://127.0.0.1:* http://localhost:*",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const PAGES = ["https://*/*", "http://127.0.0.1/*", "http://localhost/*"];

export default defineConfig({
  outDir: "dist",
  manifestVersion: 3,
  imports: false,
  manifest: ({ browser }) => ({
    name: "Mythic Wallet",
    short_name: "Mythic",
    description: "A wallet for verifiable AI: ask models, pay by the token, within limits that the chain enforces, and check every answer yourself.",
    permissions: ["storage", "alarms"],
    // Gateway and RPC of a network on this machine, which answer no other origin. Those of the open net are reached as any page reaches them.
    host_permissions: ["http://127.0.0.1/*", "http://localhost/*"],
    content_security_policy: { extension_pages: POLICY },
    action: { default_title: "Mythic Wallet" },
    icons: { 16: "icon/16.png", 32: "icon/32.png", 48: "icon/48.png", 128: "icon/128.png" },
    incognito: "not_allowed",
    ...(browser === "firefox"
      ? { browser_specific_settings: { gecko: { id: "wallet@mythic.invalid", strict_min_version: "128.0", data_collection_permissions: { required: ["none"] } } } }
      : { key: KEY, minimum_chrome_version: "120" }),
  }),
  vite: () => ({
    resolve: {
      alias: [
        { find: "@mythic/ai-sdk/wallet", replacement: here("../sdk/src/wallet/index.ts") },
        { find: "@mythic/ai-sdk", replacement: here("../sdk/src/index.ts") },
      ],
    },
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: { target: "es2022", modulePreload: { polyfill: false }, sourcemap: false },
  }),
  hooks: {
    // What pages are matched with is one list.
    "build:manifestGenerated": (_wxt, manifest) => {
      for (const script of manifest.content_scripts ?? []) script.matches = [...PAGES];
    },
  },
});
