/** What stores and browsers get: what it asks for, that it loads nothing, how large it is, and that whoever builds it gets the same bytes. */

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { packed } from "../../scripts/zip.mjs";

const HERE = fileURLToPath(new URL("../..", import.meta.url));
const CLIENTS = join(HERE, "..");
const BROWSERS = ["chrome-mv3", "firefox-mv3"] as const;
const SITES = ["https://*/*", "http://127.0.0.1/*", "http://localhost/*"];
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src https: http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/** Most bytes, as docs/wallet.md says: of all of it, the worker, the pages with what they share, what each site gets. */
const SIZES: readonly [part: RegExp, most: number][] = [[/./, 1_100_000], [/^background\.js$/, 470_000], [/^(chunks|assets)\/|\.html$/, 560_000], [/\/relay\.js$/, 10_000], [/\/provider\.js$/, 8_000]];
/** The oldest browsers that it is for. */
const OLDEST = { "chrome-mv3": "120", "firefox-mv3": "128.0" } as const;

interface Manifest {
  [key: string]: unknown;
  content_scripts: { matches: string[]; all_frames?: boolean; match_about_blank?: boolean; js: string[] }[];
}

describe.each(BROWSERS)("%s", (browser) => {
  const built = packed(join(HERE, "dist", browser));
  const textOf = async (path: string): Promise<string> => String((await built).files.find((file: { path: string }) => file.path === path)?.bytes);
  const manifest = async (): Promise<Manifest> => JSON.parse(await textOf("manifest.json")) as Manifest;

  test("it asks for what its documents explain, and for nothing else", async () => {
    const { permissions, host_permissions, optional_permissions, optional_host_permissions, content_scripts, incognito } = await manifest();
    expect({ permissions, host_permissions, optional_permissions, optional_host_permissions, incognito }).toEqual({
      permissions: ["storage", "alarms"],
      host_permissions: ["http://127.0.0.1/*", "http://localhost/*"],
      incognito: "not_allowed",
    });
    // Not in frames, so that nobody is asked in the name of a page that they don't see.
    for (const { matches, all_frames = false, match_about_blank = false } of content_scripts) expect([matches, all_frames, match_about_blank]).toEqual([SITES, false, false]);
    for (const file of ["../../docs/wallet.md", "store/listing.md"]) {
      const told = await readFile(join(HERE, file), "utf8");
      for (const asked of [...(permissions as string[]), ...(host_permissions as string[])]) expect(told, `${file}: ${asked}`).toContain(`\`${asked}\``);
    }
  });

  test("its pages run its own scripts alone, and nobody can frame, open or call it", async () => {
    const found = await manifest();
    expect(found["content_security_policy"]).toEqual({ extension_pages: POLICY });
    for (const way of ["web_accessible_resources", "externally_connectable", "sandbox", "options_page", "devtools_page", "key"]) expect(found[way], way).toBeUndefined();
    expect(await readFile(join(HERE, "../../docs/wallet.md"), "utf8")).toContain(POLICY);
  });

  test("no code comes from elsewhere, and none is made of text", async () => {
    const { files } = await built;
    for (const { path, bytes } of files as { path: string; bytes: Buffer }[]) {
      const text = path.endsWith(".png") ? "" : bytes.toString();
      expect(/\beval\(|\bnew Function\(|\bimportScripts\(|\bimport\(["'`](?![./])|WebAssembly/.exec(text)?.[0], path).toBeUndefined();
      expect(/sourceMappingURL/.test(text), path).toBe(false);
      if (!path.endsWith(".html")) continue;
      for (const [, attributes = "", inner = ""] of text.matchAll(/<script([^>]*)>([^<]*)/g)) expect([/src="\/[^/]/.test(attributes), inner.trim()], path).toEqual([true, ""]);
      expect(/\son\w+=|(?:href|src)="(?:https?:)?\/\//.exec(text)?.[0], path).toBeUndefined();
    }
  });

  test("it is no larger than it says", async () => {
    const files = (await built).files as { path: string; bytes: Buffer }[];
    for (const [part, most] of SIZES) {
      const sizes = files.filter(({ path }) => part.test(path)).map(({ bytes }) => bytes.length);
      expect(sizes.length, String(part)).toBeGreaterThan(0);
      expect(sizes.reduce((sum, size) => sum + size, 0), String(part)).toBeLessThan(most);
    }
  });

  test("it is for browsers that have what it rests on", async () => {
    const { minimum_chrome_version, browser_specific_settings } = (await manifest()) as { minimum_chrome_version?: string; browser_specific_settings?: { gecko: { strict_min_version: string } } };
    expect(minimum_chrome_version ?? browser_specific_settings?.gecko.strict_min_version).toBe(OLDEST[browser]);
  });
});

test("built by somebody else, in another place and another time zone, it is the same bytes", async () => {
  const elsewhere = await mkdtemp(join(tmpdir(), "mythic-build-"));
  try {
    for (const part of ["entrypoints", "src", "public", "scripts", "package.json", "tsconfig.json", "wxt.config.ts"]) await cp(join(HERE, part), join(elsewhere, "extension", part), { recursive: true });
    await mkdir(join(elsewhere, "sdk"));
    await cp(join(CLIENTS, "sdk/src"), join(elsewhere, "sdk/src"), { recursive: true });
    await symlink(join(CLIENTS, "node_modules"), join(elsewhere, "node_modules"));
    const env = { PATH: process.env["PATH"], HOME: elsewhere, TZ: "Asia/Kathmandu", LC_ALL: "C" };
    await promisify(execFile)("npm", ["run", "build"], { cwd: join(elsewhere, "extension"), env });
    for (const browser of BROWSERS) {
      const [here, there] = [await packed(join(HERE, "dist", browser)), await packed(join(elsewhere, "extension/dist", browser))];
      expect(there.hash, `dist/${browser} is not what its sources give: npm run build`).toBe(here.hash);
      console.log(`${here.hash}  ${browser}`);
    }
  } finally {
    await rm(elsewhere, { recursive: true, force: true });
  }
});
