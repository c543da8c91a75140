-- Who said that a proof of a lease is false, with which bond, and what came of it?
SELECT id, lease, epoch, disputer, provider, status, outcome, bond_lamports, reward_lamports, slashed_lamports, burned_lamports, opened_at
FROM analytics.lease_disputes_finalized
ORDER BY opened_slot DESC, id_key DESC LIMIT 20;
