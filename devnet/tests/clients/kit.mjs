// The same with @solana/kit. Prints a line of JSON.
import * as kit from '@solana/kit';

const [url, wsUrl] = process.argv.slice(2);
const rpc = kit.createSolanaRpc(url);
const subscriptions = kit.createSolanaRpcSubscriptions(wsUrl);
const payer = (await kit.generateKeyPairSigner()).address;
const commitment = 'confirmed';
const abort = new AbortController();
const slots = await subscriptions.slotNotifications().subscribe({ abortSignal: abort.signal });
const signature = await rpc.requestAirdrop(payer, kit.lamports(2_000_000n), { commitment }).send();
const told = await subscriptions.signatureNotifications(signature, { commitment, enableReceivedNotification: true })
  .subscribe({ abortSignal: abort.signal });
const values = [];
for await (const { value } of told) {
  values.push(value === 'receivedSignature' ? value : value.err);
  if (value !== 'receivedSignature') break;
}
let slot;
for await (const notice of slots) { slot = notice.slot; break; }
const status = (await rpc.getSignatureStatuses([signature]).send()).value[0];
const block = await rpc.getBlock(status.slot, { commitment, maxSupportedTransactionVersion: 0 }).send();
const checks = {
  told: values.at(-1) === null,
  slot: typeof slot === 'bigint',
  block: block.transactions.some((tx) => tx.transaction.signatures.includes(signature)),
  balance: (await rpc.getBalance(payer, { commitment }).send()).value === 2_000_000n,
  version: typeof (await rpc.getVersion().send())['feature-set'] === 'number',
  votes: (await rpc.getVoteAccounts().send()).current.length === 0,
  nodes: (await rpc.getClusterNodes().send()).length === 1,
  fees: (await rpc.getRecentPrioritizationFees().send()).length > 0,
  identity: (await rpc.getIdentity().send()).identity === (await rpc.getSlotLeader().send()),
  schedule: Object.keys(await rpc.getLeaderSchedule().send()).length === 1,
  largest: (await rpc.getLargestAccounts().send()).value.length === 20,
};
abort.abort();
console.log(JSON.stringify({ failed: Object.keys(checks).filter((name) => !checks[name]) }));
process.exit(0);
