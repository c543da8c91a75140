/** What a site does with the wallet. It runs in the page, which has nothing of this file. */

interface Wallet {
  name: string;
  accounts: { address: string }[];
  features: Record<string, Record<string, (...args: unknown[]) => Promise<unknown>>>;
}

/** In a page: finds the wallet as libraries do, and keeps it. */
export const find = (): Promise<string> =>
  new Promise((resolve) => {
    const register = (wallet: Wallet): void => {
      if (wallet.name !== "Mythic") return;
      (globalThis as unknown as { found: Wallet }).found = wallet;
      resolve(wallet.name);
    };
    const detail = { register };
    dispatchEvent(new CustomEvent("wallet-standard:app-ready", { detail }));
  });

/** In a page: asks to be connected so many times at once. What came of it, without repeats, each with how often. */
export const flood = async (times: number): Promise<Record<string, number>> => {
  const wallet = (globalThis as unknown as { found: Wallet }).found;
  const connect = wallet.features["standard:connect"]!["connect"]!;
  const told = await Promise.all(Array.from({ length: times }, () => connect({}).then(() => "connected", (error: unknown) => (error as Error).message)));
  return Object.fromEntries([...new Set(told)].map((words) => [words, told.filter((one) => one === words).length]));
};

export interface Asked {
  feature: string;
  method: string;
  input: Record<string, unknown>;
}

/** In a page: calls a feature, and says what came of it. */
export const call = async ({ feature, method, input }: Asked): Promise<string> => {
  const wallet = (globalThis as unknown as { found: Wallet }).found;
  const given: Record<string, unknown> = { ...input, ...(wallet.accounts[0] && feature !== "standard:connect" ? { account: wallet.accounts[0] } : {}) };
  for (const name of ["message", "transaction"]) if (Array.isArray(given[name])) given[name] = Uint8Array.from(given[name] as number[]);
  try {
    const done = (await wallet.features[feature]![method]!(given)) as { accounts?: { address: string }[] } & { signature?: Uint8Array; signedTransaction?: Uint8Array }[];
    return done.accounts ? `accounts ${done.accounts.map(({ address }) => address).join()}` : `bytes ${(done[0]?.signature ?? done[0]?.signedTransaction)?.length}`;
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
};
