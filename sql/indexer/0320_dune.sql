-- run: views
-- Finalized rows under the names that tables of Dune have: block_slot, block_time, block_date, block_hash, tx_id, tx_signer, and
-- money in lamports. A filter by block_date or block_time reads the slots of that time alone.
CREATE SCHEMA IF NOT EXISTS dune;

CREATE OR REPLACE VIEW dune.blocks AS
SELECT s.slot AS block_slot, s.block_time, (s.block_time AT TIME ZONE 'UTC')::date AS block_date, analytics.base58(s.blockhash) AS block_hash,
       s.parent_slot AS parent_block_slot, analytics.base58(s.parent_blockhash) AS parent_block_hash, s.accounts AS account_updates
FROM slot s WHERE s.status = 3;
COMMENT ON VIEW dune.blocks IS 'Finalized blocks';

DO $build$
DECLARE
    -- Of an event in slot %s: its block.
    block CONSTANT text := '%1$s AS block_slot, s.block_time, (s.block_time AT TIME ZONE ''UTC'')::date AS block_date,
        analytics.base58(s.blockhash) AS block_hash';
    joined CONSTANT text := 'LEFT JOIN slot s ON s.slot = %1$s AND s.status = 3';
    -- Of a job `j`: the transaction that first showed a step.
    signature CONSTANT text := '(SELECT analytics.base58(g.signature) FROM job_signature g
        WHERE g.pubkey = j.pubkey AND g.requested_slot = j.requested_slot AND g.step = %1$s) AS tx_id';
    unknown CONSTANT text := 'NULL::text AS tx_id, NULL::text AS tx_signer';
    -- Of a job `j`: whose it is.
    parties CONSTANT text := 'i.base58 AS job, o.base58 AS owner, q.base58 AS requester, m.base58 AS model, v.base58 AS validator';
    named CONSTANT text := 'LEFT JOIN address i ON i.key = j.pubkey LEFT JOIN address o ON o.key = j.owner
        LEFT JOIN address q ON q.key = j.requester LEFT JOIN address m ON m.key = j.model LEFT JOIN address v ON v.key = j.validator';
    state CONSTANT text := 'CASE j.status WHEN 1 THEN ''open'' WHEN 2 THEN ''accepted'' WHEN 3 THEN ''submitted'' WHEN 4 THEN ''disputed''
        WHEN 5 THEN ''settled'' WHEN 6 THEN ''refunded'' WHEN 7 THEN ''slashed'' END';
    t record;
BEGIN
FOR t IN SELECT * FROM (VALUES
    ('jobs', 'Requested jobs, by the block of the request, as they are now', 'j.requested_slot', format(signature, 1) || ', q.base58 AS tx_signer',
     parties || ', ' || state || ' AS status, j.prompt_tokens, j.max_output_tokens, j.output_tokens, j.price_in AS price_in_lamports,
        j.price_out AS price_out_lamports, j.ceiling_lamports, j.fee_lamports',
     'job j ' || named),
    ('settlements', 'Jobs that ended, by the block of the end', 'j.ended_slot', format(signature, 6) || ', NULL::text AS tx_signer',
     parties || ', ' || state || ' AS status, j.prompt_tokens, j.output_tokens, j.ceiling_lamports, j.fee_lamports, j.validator_lamports,
        j.foundation_lamports, j.burned_lamports, j.refunded_lamports, j.slashed_lamports',
     'job j ' || named),
    ('job_events', 'The transitions of jobs, by the block of each', 'j.slot',
     format(signature, 'j.step') || ', CASE j.step WHEN 1 THEN (SELECT q.base58 FROM job r JOIN address q ON q.key = r.requester
        WHERE r.pubkey = j.pubkey AND r.requested_slot = j.requested_slot) END AS tx_signer',
     'i.base58 AS job, CASE j.step WHEN 1 THEN ''open'' WHEN 2 THEN ''accepted'' WHEN 3 THEN ''cancelling'' WHEN 4 THEN ''submitted''
        WHEN 5 THEN ''disputed'' ELSE ' || state || ' END AS event', 'job_event_finalized j LEFT JOIN address i ON i.key = j.pubkey'),
    ('disputes', 'Cases: results that were challenged or proved faulty, by the block in which each was opened, as they are now', 'd.opened_slot', unknown,
     'i.base58 AS dispute, b.base58 AS job, c.base58 AS challenger, u.base58 AS submitter,
        CASE d.verdict WHEN 1 THEN ''guilty'' WHEN 2 THEN ''not_guilty'' WHEN 3 THEN ''void'' WHEN 4 THEN ''fault'' END AS verdict,
        d.claims, d.bonds_lamports, d.slashed_lamports, d.reward_lamports, d.resolved_slot AS resolved_block_slot',
     'dispute_case d LEFT JOIN address i ON i.key = d.pubkey LEFT JOIN address b ON b.key = d.job LEFT JOIN address c ON c.key = d.challenger
        LEFT JOIN address u ON u.key = d.submitter'),
    ('claims', 'Claims against results, by the block in which each was made, as they are now', 'w.claimed_slot', unknown,
     'i.base58 AS dispute, b.base58 AS job, c.base58 AS claimant, CASE w.kind WHEN 1 THEN ''withheld'' WHEN 2 THEN ''false'' END AS claim_kind,
        CASE w.outcome WHEN 1 THEN ''right'' WHEN 2 THEN ''wrong'' WHEN 3 THEN ''undecided'' END AS outcome,
        w.at_stake_lamports + w.answering_fee_lamports + w.tariffs_lamports AS bond_lamports, w.amount_lamports',
     'claim w LEFT JOIN address i ON i.key = w.pubkey LEFT JOIN address b ON b.key = w.job LEFT JOIN address c ON c.key = w.claimant'),
    ('model_prices', 'Prices of models, by the block that wrote them', 'p.slot', unknown,
     'i.base58 AS model, n.name, p.price_in AS price_in_lamports, p.price_out AS price_out_lamports, p.retired',
     'model_price p LEFT JOIN address i ON i.key = p.pubkey LEFT JOIN model n ON n.pubkey = p.pubkey'),
    ('validator_balances', 'Stake, earnings and debts of validators, by the block that wrote them', 'b.slot', unknown,
     'i.base58 AS validator, b.stake AS stake_lamports, b.activating AS activating_lamports, b.unbonding AS unbonding_lamports,
        b.claimable AS claimable_lamports, b.owed_foundation AS owed_foundation_lamports, b.owed_burn AS owed_burn_lamports,
        b.earned AS earned_lamports, b.slashed AS slashed_lamports',
     'validator_balance b LEFT JOIN address i ON i.key = b.pubkey'),
    ('vault_balances', 'Balances of vaults, by the block that wrote them', 'b.slot', unknown,
     'i.base58 AS vault, o.base58 AS owner, b.balance AS balance_lamports, b.held AS held_lamports, b.deposited AS deposited_lamports,
        b.withdrawn AS withdrawn_lamports, b.spent AS spent_lamports',
     'vault_balance b LEFT JOIN vault w ON w.pubkey = b.pubkey LEFT JOIN address i ON i.key = b.pubkey LEFT JOIN address o ON o.key = w.owner'),
    ('burns', 'Lamports destined to be burned, by the block that burned them', 'b.slot',
     '(SELECT analytics.base58(g.signature) FROM job_signature g JOIN job j ON j.pubkey = g.pubkey AND j.requested_slot = g.requested_slot
        WHERE b.kind = ''fee'' AND g.pubkey = b.account_key AND g.step = 6 AND j.ended_slot = b.slot) AS tx_id, NULL::text AS tx_signer',
     'b.kind, b.account, b.lamports AS burned_lamports', 'analytics.burns_finalized b')
) v(name, comment, slot, tx, columns, origin) LOOP
    EXECUTE format('CREATE OR REPLACE VIEW dune.%I AS SELECT %s, %s, %s FROM %s %s WHERE %s IS NOT NULL',
        t.name, format(block, t.slot), t.tx, t.columns, t.origin, format(joined, t.slot), t.slot);
    EXECUTE format('COMMENT ON VIEW dune.%I IS %L', t.name, t.comment);
END LOOP;
END $build$;

DO $role$
BEGIN
    GRANT USAGE ON SCHEMA dune TO mythic_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics, dune TO mythic_reader;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RAISE NOTICE 'the read-only role mythic_reader was not granted schema dune';
END $role$;
