-- run: views
-- Times to slots, and what was: prices, balances, and what forks undid. History is finalized, one row for each block that
-- changed it, so its views have no suffix.

-- Reads the view that its caller may read.
CREATE OR REPLACE FUNCTION analytics.slot_at(at timestamptz) RETURNS bigint
    LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT COALESCE(
        (SELECT s.slot FROM analytics.slots_processed s WHERE s.at >= $1 AND NOT s.gap ORDER BY s.at, s.slot LIMIT 1),
        (SELECT p.processed_slot + 1 FROM analytics.pipeline_status p))
$$;
COMMENT ON FUNCTION analytics.slot_at(timestamptz) IS
    'First slot with a block at or after a time; the slot after the newest if there is none. To filter by time with an index: WHERE requested_slot >= analytics.slot_at(now() - interval ''1 hour'')';

CREATE OR REPLACE VIEW analytics.model_prices AS
SELECT i.base58 AS model, p.pubkey AS model_key, m.name, p.slot,
       (SELECT s.at FROM analytics.slots_finalized s WHERE s.slot = p.slot AND NOT s.gap) AS at,
       p.price_in AS price_in_lamports, p.price_out AS price_out_lamports,
       p.price_in - before.price_in AS price_in_change_lamports, p.price_out - before.price_out AS price_out_change_lamports,
       p.retired, p.exact
FROM model_price p LEFT JOIN address i ON i.key = p.pubkey LEFT JOIN model m ON m.pubkey = p.pubkey
     LEFT JOIN LATERAL (SELECT b.price_in, b.price_out FROM model_price b
                         WHERE b.pubkey = p.pubkey AND (b.slot, b.ordinal) < (p.slot, p.ordinal)
                         ORDER BY b.slot DESC, b.ordinal DESC LIMIT 1) before ON true;
COMMENT ON VIEW analytics.model_prices IS
    'Price history: the prices of a model after each block that wrote it (finalized), and by how much they changed';

CREATE OR REPLACE VIEW analytics.vault_balances AS
SELECT i.base58 AS vault, b.pubkey AS vault_key, o.base58 AS owner, v.owner AS owner_key, b.slot,
       (SELECT s.at FROM analytics.slots_finalized s WHERE s.slot = b.slot AND NOT s.gap) AS at,
       b.balance AS balance_lamports, b.held AS held_lamports, b.deposited AS deposited_lamports, b.withdrawn AS withdrawn_lamports,
       b.spent AS spent_lamports,
       b.balance - COALESCE((SELECT p.balance FROM vault_balance p WHERE p.pubkey = b.pubkey AND (p.slot, p.ordinal) < (b.slot, b.ordinal)
                              ORDER BY p.slot DESC, p.ordinal DESC LIMIT 1), 0) AS balance_change_lamports,
       b.exact
FROM vault_balance b LEFT JOIN vault v ON v.pubkey = b.pubkey LEFT JOIN address i ON i.key = b.pubkey LEFT JOIN address o ON o.key = v.owner;
COMMENT ON VIEW analytics.vault_balances IS
    'Balance history of vaults: the values after each block that wrote one (finalized), and by how much the balance changed';

CREATE OR REPLACE VIEW analytics.treasury_balances AS
SELECT i.base58 AS treasury, b.pubkey AS treasury_key, b.slot,
       (SELECT s.at FROM analytics.slots_finalized s WHERE s.slot = b.slot AND NOT s.gap) AS at,
       b.balance AS balance_lamports, b.received AS received_lamports, b.withdrawn AS withdrawn_lamports,
       b.balance - COALESCE((SELECT p.balance FROM treasury_balance p WHERE p.pubkey = b.pubkey AND (p.slot, p.ordinal) < (b.slot, b.ordinal)
                              ORDER BY p.slot DESC, p.ordinal DESC LIMIT 1), 0) AS balance_change_lamports,
       b.exact
FROM treasury_balance b LEFT JOIN address i ON i.key = b.pubkey;
COMMENT ON VIEW analytics.treasury_balances IS
    'Balance history of the treasury: the values after each block that wrote it (finalized), and by how much the balance changed';

CREATE OR REPLACE VIEW analytics.validator_balances AS
SELECT i.base58 AS validator, b.pubkey AS validator_key, b.slot,
       (SELECT s.at FROM analytics.slots_finalized s WHERE s.slot = b.slot AND NOT s.gap) AS at,
       b.stake AS stake_lamports, b.activating AS activating_lamports, b.unbonding AS unbonding_lamports,
       b.claimable AS claimable_lamports, b.owed_foundation AS owed_foundation_lamports, b.owed_burn AS owed_burn_lamports,
       b.earned AS earned_lamports, b.slashed AS slashed_lamports,
       b.claimable - COALESCE((SELECT p.claimable FROM validator_balance p WHERE p.pubkey = b.pubkey AND (p.slot, p.ordinal) < (b.slot, b.ordinal)
                                ORDER BY p.slot DESC, p.ordinal DESC LIMIT 1), 0) AS claimable_change_lamports,
       b.exact
FROM validator_balance b LEFT JOIN address i ON i.key = b.pubkey;
COMMENT ON VIEW analytics.validator_balances IS
    'Balance history of validators: stake, earnings and debts after each block that wrote one (finalized)';

CREATE OR REPLACE VIEW analytics.reorged_jobs AS
SELECT i.base58 AS job, u.pubkey AS job_key, u.requested_slot, u.bank, u.slot, analytics.base58(s.blockhash) AS blockhash,
       s.block_time AS at,
       CASE u.status WHEN 1 THEN 'open' WHEN 2 THEN 'accepted' WHEN 3 THEN 'submitted' WHEN 4 THEN 'disputed'
            WHEN 5 THEN 'settled' WHEN 6 THEN 'refunded' WHEN 7 THEN 'slashed' END AS status,
       v.base58 AS validator, u.validator AS validator_key, u.fee_lamports,
       (SELECT CASE j.status WHEN 1 THEN 'open' WHEN 2 THEN 'accepted' WHEN 3 THEN 'submitted' WHEN 4 THEN 'disputed'
                    WHEN 5 THEN 'settled' WHEN 6 THEN 'refunded' WHEN 7 THEN 'slashed' END
          FROM job j WHERE j.pubkey = u.pubkey AND j.requested_slot = u.requested_slot) AS status_finalized
FROM job_undone u LEFT JOIN slot s ON s.bank = u.bank LEFT JOIN address i ON i.key = u.pubkey LEFT JOIN address v ON v.key = u.validator;
COMMENT ON VIEW analytics.reorged_jobs IS
    'Reorg history: jobs as blocks had them that were orphaned. One row for each job and block; the same may have happened on the chain that won';
