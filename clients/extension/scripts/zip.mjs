// Packs what was built for the stores: dist/mythic-wallet-VERSION-BROWSER.zip and its SHA-256, the same bytes from the same sources.
//
//   npm run build && npm run zip
//
// Names are sorted, times are fixed, and nothing is compressed: how well a file is packed differs among versions of zlib, and stores pack anew.

import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";

const DIST = join(dirname(fileURLToPath(import.meta.url)), "../dist");
/** 1 January 1980, the first day of ZIP. */
const [DATE, TIME] = [0x21, 0];

async function filesOf(folder) {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
  return Promise.all(paths.sort().map(async (path) => ({ path, bytes: shipped(path, await readFile(join(folder, path))) })));
}

/** Stores give the extension a key of their own, and take none. */
function shipped(path, bytes) {
  if (path !== "manifest.json") return bytes;
  const { key: _key, ...manifest } = JSON.parse(bytes.toString());
  return Buffer.from(JSON.stringify(manifest));
}

function header(signature, { name, bytes }, before, after) {
  const made = Buffer.alloc(before.length + 30 + after.length);
  made.writeUInt32LE(signature, 0);
  before.copy(made, 4);
  let at = 4 + before.length;
  for (const [value, size] of [[20, 2], [0x800, 2], [0, 2], [TIME, 2], [DATE, 2], [crc32(bytes), 4], [bytes.length, 4], [bytes.length, 4], [name.length, 2], [0, 2]]) {
    if (size === 2) made.writeUInt16LE(value, at);
    else made.writeUInt32LE(value >>> 0, at);
    at += size;
  }
  after.copy(made, at);
  return Buffer.concat([made, name]);
}

export function zip(files) {
  const [local, central] = [[], []];
  let at = 0;
  for (const { path, bytes } of files) {
    const file = { name: Buffer.from(path), bytes };
    const head = header(0x04034b50, file, Buffer.alloc(0), Buffer.alloc(0));
    const place = Buffer.alloc(14);
    // Comment, disk and attributes are none; then where the file begins.
    place.writeUInt32LE(at, 10);
    central.push(header(0x02014b50, file, Buffer.from([20, 0]), place));
    local.push(head, bytes);
    at += head.length + bytes.length;
  }
  const list = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...local, list, end]);
}

/** What a store gets of a built folder: its files, the package and its SHA-256. */
export async function packed(folder) {
  const files = await filesOf(folder);
  const bytes = zip(files);
  return { files, bytes, hash: createHash("sha256").update(bytes).digest("hex") };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [folder, browser] of [["chrome-mv3", "chrome"], ["firefox-mv3", "firefox"]]) {
    const { files, bytes, hash } = await packed(join(DIST, folder));
    const { version } = JSON.parse(files.find(({ path }) => path === "manifest.json").bytes.toString());
    const name = `mythic-wallet-${version}-${browser}.zip`;
    await writeFile(join(DIST, name), bytes);
    await writeFile(join(DIST, `${name}.sha256`), `${hash}  ${name}\n`);
    console.log(`${hash}  ${name}  ${bytes.length} bytes, ${files.length} files`);
  }
}
