// A dApp's and a wallet's calls with @solana/web3.js 1.x and @solana/spl-token. Prints a line of JSON.
import * as web3 from '@solana/web3.js';
import * as spl from '@solana/spl-token';

const [rpc, wsEndpoint] = process.argv.slice(2);
const connection = new web3.Connection(rpc, { commitment: 'confirmed', wsEndpoint });
const payer = web3.Keypair.generate();
const airdrop = await connection.requestAirdrop(payer.publicKey, 5 * web3.LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });

const seen = { slotUpdates: 0, slots: 0, roots: 0, account: null };
connection.onSlotUpdate(() => { seen.slotUpdates += 1; });
connection.onSlotChange(() => { seen.slots += 1; });
connection.onRootChange(() => { seen.roots += 1; });
const to = web3.Keypair.generate();
connection.onAccountChange(to.publicKey, (account) => { seen.account = account.lamports; });

const transfer = new web3.Transaction().add(
  web3.ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 5 }),
  web3.SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: to.publicKey, lamports: 2_000_000 }),
);
const signature = await web3.sendAndConfirmTransaction(connection, transfer, [payer]);
const mint = await spl.createMint(connection, payer, payer.publicKey, null, 6);
const holder = await spl.getOrCreateAssociatedTokenAccount(connection, payer, mint, payer.publicKey);
await spl.mintTo(connection, payer, mint, holder.address, payer, 7_000_000n);

const found = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
const block = await connection.getBlock(found.slot, { maxSupportedTransactionVersion: 0, commitment: 'confirmed' });
const parsed = await connection.getParsedBlock(found.slot, { maxSupportedTransactionVersion: 0, commitment: 'confirmed' });
const signatures = await connection.getBlockSignatures(found.slot, 'confirmed');
const tokens = await connection.getParsedTokenAccountsByOwner(payer.publicKey, { mint });
const checks = {
  version: Number.isInteger((await connection.getVersion())['feature-set']),
  block: block.transactions.some((tx) => tx.transaction.signatures.includes(signature)),
  parsed: parsed.transactions.length === block.transactions.length,
  signatures: signatures.signatures.includes(signature),
  tokens: tokens.value[0].account.data.parsed.info.tokenAmount.uiAmountString === '7',
  raw: (await connection.getTokenAccountsByOwner(payer.publicKey, { programId: spl.TOKEN_PROGRAM_ID })).value.length === 1,
  balance: (await connection.getTokenAccountBalance(holder.address)).value.amount === '7000000',
  supply: (await connection.getTokenSupply(mint)).value.uiAmount === 7,
  largest: (await connection.getTokenLargestAccounts(mint)).value.length === 1,
  nodes: (await connection.getClusterNodes()).length === 1,
  votes: (await connection.getVoteAccounts()).current.length === 0,
  leader: (await connection.getSlotLeader()) === (await connection.getSlotLeaders(0, 1))[0].toBase58(),
  schedule: Object.keys(await connection.getLeaderSchedule()).length === 1,
  fees: (await connection.getRecentPrioritizationFees()).some((fee) => fee.prioritizationFee >= 0),
  samples: Array.isArray(await connection.getRecentPerformanceSamples(5)),
  production: (await connection.getBlockProduction()).value.range.lastSlot > 0,
  accounts: (await connection.getLargestAccounts()).value.length === 20,
  total: (await connection.getSupply()).value.total > 0,
  inflation: (await connection.getInflationRate()).total === 0 && (await connection.getInflationGovernor()).initial === 0,
  stake: (await connection.getStakeMinimumDelegation()).value === 1,
  epoch: (await connection.getEpochInfo()).slotsInEpoch === (await connection.getEpochSchedule()).slotsPerEpoch,
  blocks: (await connection.getBlocks(found.slot, found.slot, 'confirmed')).length === 1,
  time: (await connection.getBlockTime(found.slot)) === block.blockTime,
  first: (await connection.getFirstAvailableBlock()) === (await connection.getMinimumLedgerSlot()),
  history: (await connection.getSignaturesForAddress(to.publicKey))[0].signature === signature,
};
const deadline = Date.now() + 20_000;
while (!(seen.slotUpdates && seen.slots && seen.roots && seen.account) && Date.now() < deadline) {
  // The first transfer may have landed before the subscription stood.
  if (!seen.account) await connection.requestAirdrop(to.publicKey, 1_000);
  await new Promise((resolve) => setTimeout(resolve, 100));
}
console.log(JSON.stringify({ failed: Object.keys(checks).filter((name) => !checks[name]), seen }));
process.exit(0);
