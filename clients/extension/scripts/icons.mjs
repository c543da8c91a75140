// Draws the wallet's icons: public/icon/SIZE.png. The mark is the dashboard's, clients/dashboard/public/icon.svg, in its 32 by 32 units.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";

const OUT = join(dirname(fileURLToPath(import.meta.url)), "../public/icon");
const GROUND = [0x5b, 0x3f, 0xd6];
const STROKE = 3.4;
const MARK = [[7, 24], [7, 9], [16, 18], [25, 9], [25, 24]];
const RADIUS = 7;
/** Samples of a pixel in each direction. */
const SAMPLES = 8;

const onGround = (x, y) => {
  const dx = Math.max(RADIUS - x, x - (32 - RADIUS), 0);
  const dy = Math.max(RADIUS - y, y - (32 - RADIUS), 0);
  return dx * dx + dy * dy <= RADIUS * RADIUS;
};

const onMark = (x, y) =>
  MARK.slice(1).some(([bx, by], i) => {
    const [ax, ay] = MARK[i];
    const along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2);
    const t = Math.min(1, Math.max(0, along));
    return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) <= STROKE / 2;
  });

function pixels(size) {
  const rows = Buffer.alloc(size * (1 + size * 4));
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let [ground, mark] = [0, 0];
      for (let i = 0; i < SAMPLES * SAMPLES; i++) {
        const ux = ((x + ((i % SAMPLES) + 0.5) / SAMPLES) * 32) / size;
        const uy = ((y + (Math.floor(i / SAMPLES) + 0.5) / SAMPLES) * 32) / size;
        if (!onGround(ux, uy)) continue;
        ground++;
        if (onMark(ux, uy)) mark++;
      }
      const at = y * (1 + size * 4) + 1 + x * 4;
      const white = ground ? mark / ground : 0;
      GROUND.forEach((colour, i) => (rows[at + i] = Math.round(colour + (255 - colour) * white)));
      rows[at + 3] = Math.round((255 * ground) / (SAMPLES * SAMPLES));
    }
  }
  return rows;
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

function png(size) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 6, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(pixels(size), { level: 9 })), chunk("IEND", Buffer.alloc(0))]);
}

await mkdir(OUT, { recursive: true });
for (const size of [16, 32, 48, 128]) await writeFile(join(OUT, `${size}.png`), png(size));
// The same for pages that list wallets.
const source = `// Made by scripts/icons.mjs; do not edit.\nexport const ICON = "data:image/png;base64,${png(48).toString("base64")}" as const;\n`;
await writeFile(join(OUT, "../../src/generated/icon.ts"), source);
