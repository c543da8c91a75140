-- run: views
-- Sums that are kept, under names that analysts and exports ask for.

CREATE OR REPLACE VIEW dune.network_daily AS
SELECT day AS block_date, jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, owners, validators, prompt_tokens,
       output_tokens, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, disputes, slashed_lamports
FROM analytics.network_daily_finalized;
COMMENT ON VIEW dune.network_daily IS 'Activity of the network, by UTC day of the block time; costs the same however many jobs there are';

CREATE OR REPLACE VIEW analytics.burned_daily AS
SELECT d.day, 'fee'::text AS kind, sum(d.burned_lamports)::bigint AS burned_lamports
  FROM daily_sum d WHERE d.kind = 1 AND d.day > '-infinity' GROUP BY 1 HAVING sum(d.burned_lamports) > 0
UNION ALL
SELECT (s.block_time AT TIME ZONE 'UTC')::date, b.kind, sum(b.lamports)::bigint
  FROM (SELECT 'registration'::text AS kind, registered_slot AS slot, burned_lamports AS lamports FROM model
        UNION ALL
        SELECT 'dispute', resolved_slot, COALESCE(burned_lamports, 0) + COALESCE(penalties_lamports, 0) + COALESCE(forfeited_lamports, 0) FROM dispute_case
        UNION ALL
        SELECT 'lease', slot, lamports FROM lease_burn_finalized
        UNION ALL
        SELECT 'lease_dispute', resolved_slot, burned_lamports FROM lease_dispute
        UNION ALL
        SELECT 'lease_unserved', metered_slot, amount_lamports / 2 + amount_lamports % 2 FROM lease_epoch WHERE state = 3) b
       JOIN slot s ON s.slot = b.slot AND s.status = 3 AND s.block_time IS NOT NULL
 WHERE b.lamports > 0 GROUP BY 1, 2;
COMMENT ON VIEW analytics.burned_daily IS
    'Lamports destined to be burned, by UTC day of the block time and by reason (finalized): fee, registration, dispute, lease, lease_dispute, lease_unserved, as far as burns has them; costs the same however many jobs there are';

-- Transactions, so that nobody adds a fee up once for each instruction.
DO $build$
DECLARE
    c record;
    suffix text;
BEGIN
FOR c IN SELECT * FROM (VALUES
    ('processed', '(s.status = 3 OR s.on_processed)'), ('confirmed', '(s.status = 3 OR s.on_confirmed)'), ('finalized', 's.status = 3')
) v(commitment, shown) LOOP
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.transactions_%1$s AS
SELECT c.slot, s.block_time AS at, c.transaction AS transaction_index, analytics.base58(c.signature) AS signature, c.signature AS signature_key,
       COALESCE((SELECT a.base58 FROM address a WHERE a.key = c.signer), analytics.base58(c.signer)) AS signer, c.signer AS signer_key,
       c.success, c.fee_lamports, c.compute_units,
       CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END AS commitment, s.calls = 2 AS exact
FROM call c JOIN slot s ON s.bank = c.bank
WHERE %2$s
  -- Its first instruction that is ours.
  AND (c.call = 0 OR NOT EXISTS (SELECT FROM call e WHERE e.slot = c.slot AND e.bank = c.bank AND e.transaction = c.transaction AND e.call < c.call))
$v$, c.commitment, c.shown);
END LOOP;
CREATE OR REPLACE VIEW analytics.transactions AS SELECT * FROM analytics.transactions_processed;
FOREACH suffix IN ARRAY ARRAY['', '_processed', '_confirmed', '_finalized'] LOOP
    EXECUTE format('COMMENT ON VIEW analytics.transactions%s IS %L', suffix,
        'Transactions that call the program, failed ones too, as far as the validator told them; what they call is in instruction_calls (as '
        || CASE suffix WHEN '' THEN 'processed' ELSE substr(suffix, 2) END || ')');
END LOOP;
END $build$;

DO $comments$
DECLARE
    c record;
BEGIN
FOR c IN
    SELECT 'analytics.burned_daily.' || v.name AS name, v.comment FROM (VALUES
        ('day', 'UTC day of the block time'),
        ('kind', 'What was burned: fee (40 % of it), registration of a model, what a case burned, with the penalties of its jurors and what was forfeited; or what leases (their shares and slashed stake), disputes about them and epochs called unserved burned'),
        ('burned_lamports', 'Lamports destined to be burned on the day for this reason')) v(name, comment)
    UNION ALL
    SELECT format('analytics.transactions%s.%s', x.suffix, v.name), v.comment
      FROM (VALUES (''), ('_processed'), ('_confirmed'), ('_finalized')) x(suffix), (VALUES
        ('slot', 'Slot of the block'),
        ('at', 'Time of the block (UTC); null if it is not known'),
        ('transaction_index', 'Place of the transaction in its block, from 0'),
        ('signature', 'Base58 first signature; computed for each row that is shown, to find one use signature_key'),
        ('signature_key', 'The same signature as 64 bytes, indexed: analytics.key(''…'', 64) gives them'),
        ('signer', 'Base58 key that signed first and paid the fee'),
        ('signer_key', 'The same key as 32 bytes'),
        ('success', 'It succeeded; if not, nothing that its instructions did stands'),
        ('fee_lamports', 'Lamports of its fee'),
        ('compute_units', 'Compute units that it used; null if not told'),
        ('commitment', 'processed, confirmed or finalized: of the block'),
        ('exact', 'False if transactions of this block may be missing; null if the validator does not tell them')) v(name, comment)
    UNION ALL
    -- A job names the authority of its validator; histories of a validator name its account.
    SELECT format('%s.%I.%I', v.relnamespace::regnamespace, v.relname, a.attname), CASE
           WHEN a.attname = 'validator_key' THEN 'The same key as 32 bytes'
           WHEN b.base ~ '^validator_(stake|balances)$' THEN 'Base58 address of the validator''s account (id of validators)'
           ELSE 'Base58 authority of the validator (authority of validators, not its id); null while there is none' END
      FROM pg_class v JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped
      CROSS JOIN LATERAL (SELECT regexp_replace(v.relname, '_(processed|confirmed|finalized)(_rooted|_unrooted)?$', '') AS base) b
     WHERE v.relnamespace::regnamespace::text IN ('analytics', 'dune', 'listing') AND v.relkind = 'v'
       AND a.attname IN ('validator', 'validator_key')
    UNION ALL
    SELECT 'dune.network_daily.' || a.attname, CASE a.attname WHEN 'block_date' THEN 'UTC day of the block time'
           ELSE (SELECT col_description(o.attrelid, o.attnum) FROM pg_attribute o
                  WHERE o.attrelid = 'analytics.network_daily_finalized'::regclass AND o.attname = a.attname) END
      FROM pg_attribute a WHERE a.attrelid = 'dune.network_daily'::regclass AND a.attnum > 0 AND NOT a.attisdropped
LOOP
    EXECUTE format('COMMENT ON COLUMN %s IS %L', c.name, c.comment);
END LOOP;
END $comments$;

DO $role$
BEGIN
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics, dune TO mythic_reader;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RAISE NOTICE 'the read-only role mythic_reader was not granted the views of kept sums';
END $role$;
