import { expect, test } from "vitest";

test.runIf(process.env.MYTHIC_NODE)("these tests run on the Node.js that was asked for", () => {
  expect(process.versions.node.split(".")[0]).toBe(process.env.MYTHIC_NODE);
});
