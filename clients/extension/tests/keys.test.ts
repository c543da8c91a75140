/** Keys and encryption, against published vectors. */

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { entropyToMnemonic, mnemonicToSeedSync } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { describe, expect, test } from "vitest";
import { accountKey, derive, isKeyAddress, newPhrase, phraseFault, tidyPhrase } from "../src/crypto/phrase";
import { isLock, makeLock, newDataKey, open, openLock, seal } from "../src/crypto/seal";
import { sessionKey } from "../src/crypto/session-key";
import { COST, PHRASE } from "./support/world";

/** BIP-39, test vectors of its reference implementation, passphrase TREZOR: entropy, words, seed. */
const BIP39 = [
  ["00000000000000000000000000000000", PHRASE, "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04"],
  ["7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f", "legal winner thank year wave sausage worth useful legal winner thank yellow", "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6fa457fe1296106559a3c80937a1c1069be3a3a5bd381ee6260e8d9739fce1f607"],
  ["80808080808080808080808080808080", "letter advice cage absurd amount doctor acoustic avoid letter advice cage above", "d71de856f81a8acc65e6fc851a38d4d7ec216fd0796d0a6827a3ad6ed5511a30fa280f12eb2e47ed2ac03b5c462a0358d18d69fe4f985ec81778c1b370b652a8"],
] as const;

/** SLIP-0010, ed25519, test vector 1: path, chain code, private key. */
const SLIP10 = [
  [[], "90046a93de5380a72b5e45010748567d5ea02bbf6522f979e05c0d8d8ca9fffb", "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7"],
  [[0], "8b59aa11380b624e81507a27fedda59fea6d0b779a778918a2fd3590e16e9c69", "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3"],
  [[0, 1], "a320425f77d1b5c2505a6b1b27382b37368ee640e3557c315416801243552f14", "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2"],
  [[0, 1, 2], "2e69929e00b5ab250f49c3fb1c12f252de4fed2c1db88387094a0f8c4c9ccd6c", "92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9"],
  [[0, 1, 2, 2], "8f6d87f93d750e0efccda017d662a1b31a266e4a6f5993b15f5c1f07f74dd5cc", "30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662"],
  [[0, 1, 2, 2, 1_000_000_000], "68789923a0cac2cd5a29172a475fe9e0fb14cd6adb5ad98a3fa70333e7afa230", "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793"],
] as const;

describe("keys", () => {
  test.each(BIP39)("entropy %s has BIP-39's words and seed", (entropy, words, seed) => {
    expect(entropyToMnemonic(hexToBytes(entropy), wordlist)).toBe(words);
    expect(bytesToHex(mnemonicToSeedSync(words, "TREZOR"))).toBe(seed);
    expect(phraseFault(words)).toBeNull();
  });

  test.each(SLIP10)("the path %j gives SLIP-0010's key", (path, chain, key) => {
    const node = derive(hexToBytes("000102030405060708090a0b0c0d0e0f"), path);
    expect([bytesToHex(node.chain), bytesToHex(node.key)]).toEqual([chain, key]);
  });

  test("accounts are those that Phantom shows for the phrase", () => {
    expect(accountKey(PHRASE, 0).address).toBe("HAgk14JpMQLgt6rVgv7cBQFJWFto5Dqxi472uT3DKpqk");
    expect(accountKey(PHRASE, 1).address).toBe("Hh8QwFUA6MtVu1qAoq12ucvFHNwCcVTV7hpWjeY1Hztb");
  });

  test("new phrases are phrases, and differ", () => {
    const [one, two] = [newPhrase(), newPhrase()];
    expect([phraseFault(one), phraseFault(two), one === two]).toEqual([null, null, false]);
  });

  test("a phrase is read as people paste it, and its fault is named", () => {
    expect(tidyPhrase("  Abandon\n\tABANDON  about ")).toBe("abandon abandon about");
    expect(phraseFault("abandon about")).toContain("has 2");
    expect(phraseFault(PHRASE.replace("about", "abouta"))).toContain("word 12");
    expect(phraseFault(PHRASE.replace("about", "abandon"))).toContain("check sum");
  });

  test("a session key is one of its account, chain and number", () => {
    const of = (seed: number, genesis: string, number: number): string => sessionKey(new Uint8Array(32).fill(seed), genesis, number).address;
    expect(of(1, "a", 0)).toBe(of(1, "a", 0));
    expect(new Set([of(1, "a", 0), of(2, "a", 0), of(1, "b", 0), of(1, "a", 1)]).size).toBe(4);
  });

  test("an address is 32 bytes on the curve", () => {
    expect(isKeyAddress("HAgk14JpMQLgt6rVgv7cBQFJWFto5Dqxi472uT3DKpqk")).toBe(true);
    expect(isKeyAddress("HAgk14JpMQLgt6rVgv7cBQFJWFto5D")).toBe(false);
    expect(isKeyAddress("0x52908400098527886E0F7030069857D2E4169EE7")).toBe(false);
  });
});

describe("encryption at rest", () => {
  test("what is sealed opens under its key and purpose alone", () => {
    const [key, other] = [newDataKey(), newDataKey()];
    const sealed = seal(key, "phrase", Uint8Array.of(1, 2, 3));
    expect(open(key, "phrase", sealed)).toEqual(Uint8Array.of(1, 2, 3));
    expect(open(other, "phrase", sealed)).toBeNull();
    expect(open(key, "chat", sealed)).toBeNull();
    expect(open(key, "phrase", { ...sealed, text: `A${sealed.text.slice(1)}` })).toBeNull();
    expect(open(key, "phrase", { nonce: "!", text: "?" })).toBeNull();
  });

  test("the same text is never sealed alike", () => {
    const key = newDataKey();
    expect(seal(key, "a", Uint8Array.of(1))).not.toEqual(seal(key, "a", Uint8Array.of(1)));
  });

  test("a lock opens with its password alone, however its letters were typed", async () => {
    const key = newDataKey();
    const lock = await makeLock("crème brûlée", key, COST);
    expect(await openLock("cre\u0300me bru\u0302le\u0301e", lock)).toEqual(key);
    expect(await openLock("creme brulee", lock)).toBeNull();
  });

  test("a lock whose cost or salt was changed in the storage opens nothing", async () => {
    const lock = await makeLock("a password", newDataKey(), COST * 2);
    expect(await openLock("a password", { ...lock, n: COST })).toBeNull();
    expect(isLock({ ...lock, n: 2 })).toBe(false);
    expect(isLock({ ...lock, n: 2 ** 40 })).toBe(false);
    expect(isLock({ ...lock, p: 100 })).toBe(false);
    expect(isLock(lock)).toBe(true);
  });

  test("the default cost is OWASP's", async () => {
    const lock = await makeLock("a password", newDataKey());
    expect([lock.n, lock.r, lock.p]).toEqual([131_072, 8, 1]);
  });
});
