/** The wallet as pages see it: Wallet Standard. It runs in the page's world and knows no more than the page. */

import { defineContentScript } from "wxt/utils/define-content-script";
import { register } from "../src/provider";

export default defineContentScript({
  matches: ["https://*/*"],
  runAt: "document_start",
  world: "MAIN",
  main() {
    register();
  },
});
