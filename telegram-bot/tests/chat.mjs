// Draws a chat as the bot's messages were sent: arguments are a name, and the messages as JSON (tests/src/telegram.rs, `conversation`). The
// picture goes into the folder that MYTHIC_SCREENSHOTS names. Nothing of it is Telegram's: texts, entities and buttons are the bot's.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(new URL("../../clients/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [name, text] = process.argv.slice(2);
const folder = process.env.MYTHIC_SCREENSHOTS;
assert.ok(folder, "MYTHIC_SCREENSHOTS names no folder");

const LOOK = `
  body { margin: 0; background: #dfe6ee; font: 15px/1.4 system-ui, sans-serif; color: #16181d; }
  main { display: flex; flex-direction: column; gap: 8px; padding: 12px; }
  .bot, .asked { max-width: 88%; padding: 8px 12px; border-radius: 12px; white-space: pre-wrap; overflow-wrap: anywhere; background: #fff; }
  .asked { align-self: flex-end; background: #d6f0c8; }
  .buttons { display: flex; gap: 6px; max-width: 88%; }
  .buttons span { flex: 1; padding: 6px; border-radius: 8px; text-align: center; background: #b9c8d8; }
  code, pre { font: 13px ui-monospace, monospace; margin: 0; white-space: pre-wrap; }
  a { color: #0b5cad; }`;
const TAGS = { bold: "b", code: "code", pre: "pre", text_link: "a" };

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  const page = await browser.newPage({ viewport: { width: 360, height: 200 } });
  await page.setContent("<main></main>");
  await page.addStyleTag({ content: LOOK });
  await page.evaluate(([messages, tags]) => {
    const add = (parent, tag, text = "", kind = "") => {
      const made = document.createElement(tag);
      made.className = kind;
      made.textContent = text;
      return parent.appendChild(made);
    };
    const main = document.querySelector("main");
    for (const { asked, text, entities = [], labels = [] } of messages) {
      const bubble = add(main, "div", asked ?? "", asked === undefined ? "bot" : "asked");
      if (asked !== undefined) continue;
      // Offsets are in UTF-16 units, as those of JavaScript's strings are.
      let at = 0;
      for (const { type, offset, length } of entities) {
        bubble.append(text.slice(at, offset));
        add(bubble, tags[type], text.slice(offset, offset + length)).setAttribute("href", "#");
        at = offset + length;
      }
      bubble.append(text.slice(at));
      const row = labels.length > 0 ? add(main, "div", "", "buttons") : null;
      for (const label of labels) add(row, "span", label);
    }
  }, [JSON.parse(text), TAGS]);
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
} finally {
  await browser.close();
}
