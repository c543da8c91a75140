-- run: views
-- What was called, by whom and with what end; and sums over days of models and validators.

CREATE OR REPLACE VIEW analytics.program_errors AS SELECT e.code, e.name, e.message FROM program_error e;
COMMENT ON VIEW analytics.program_errors IS 'The errors of the program, by their codes';

DO $build$
DECLARE
    c record;
    -- Of a call `c`: the text of key number n.
    account CONSTANT text := 'CASE WHEN k.key IS DISTINCT FROM (SELECT p.key FROM program p) THEN COALESCE((SELECT a.base58 FROM address a WHERE a.key = k.key), analytics.base58(k.key)) END';
    keys CONSTANT text := 'generate_series(0, length(c.accounts) / 32 - 1) n CROSS JOIN LATERAL (SELECT substr(c.accounts, n * 32 + 1, 32) AS key) k';
BEGIN
FOR c IN SELECT * FROM (VALUES
    ('processed', '(s.status = 3 OR s.on_processed)'), ('confirmed', '(s.status = 3 OR s.on_confirmed)'), ('finalized', 's.status = 3')
) v(commitment, shown) LOOP
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.instruction_calls_%1$s AS
SELECT c.slot, s.block_time AS at, analytics.base58(c.signature) AS signature, c.signature AS signature_key,
       c.transaction AS transaction_index, c.instruction AS instruction_index, c.inner_instruction AS inner_index, i.name,
       COALESCE((SELECT a.base58 FROM address a WHERE a.key = c.signer), analytics.base58(c.signer)) AS signer, c.signer AS signer_key,
       (SELECT a.base58 FROM address a WHERE a.key = c.job) AS job, c.job AS job_key,
       (SELECT jsonb_object_agg(COALESCE(r.name,
                   i.following || '_' || n - (SELECT max(x.place) FROM instruction_role x WHERE x.tag = c.tag), 'account_' || n + 1), %3$s)
          FROM %4$s LEFT JOIN instruction_role r ON r.tag = c.tag AND r.place = n) AS accounts,
       c.arguments, encode(c.data, 'hex') AS data, c.success, c.error_code, COALESCE(e.name, c.error) AS error, e.message AS error_message,
       c.fee_lamports, c.compute_units,
       CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END AS commitment, s.calls = 2 AS exact
FROM call c JOIN slot s ON s.bank = c.bank LEFT JOIN instruction i ON i.tag = c.tag LEFT JOIN program_error e ON e.code = c.error_code
WHERE %2$s
$v$, c.commitment, c.shown, account, keys);
EXECUTE format('COMMENT ON VIEW analytics.instruction_calls_%1$s IS
    ''Instructions of the program in the transactions of blocks, failed and inner ones too, as far as the validator told them (as %1$s)''', c.commitment);
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.slot_calls_%1$s AS
SELECT s.slot, s.block_time AS at, CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END AS commitment,
       s.calls > 0 AS complete
FROM slot s WHERE %2$s AND s.status <> 6
$v$, c.commitment, c.shown);
EXECUTE format('COMMENT ON VIEW analytics.slot_calls_%1$s IS
    ''Whether all instructions of a block are in instruction_calls (as %1$s)''', c.commitment);
END LOOP;
CREATE OR REPLACE VIEW analytics.instruction_calls AS SELECT * FROM analytics.instruction_calls_processed;
COMMENT ON VIEW analytics.instruction_calls IS
    'Instructions of the program in the transactions of blocks, failed and inner ones too, as far as the validator told them (as processed)';
CREATE OR REPLACE VIEW analytics.slot_calls AS SELECT * FROM analytics.slot_calls_processed;
COMMENT ON VIEW analytics.slot_calls IS 'Whether all instructions of a block are in instruction_calls (as processed)';

EXECUTE format($v$
CREATE OR REPLACE VIEW dune.instruction_calls AS
SELECT c.slot AS block_slot, s.block_time, (s.block_time AT TIME ZONE 'UTC')::date AS block_date, analytics.base58(s.blockhash) AS block_hash,
       analytics.base58(c.signature) AS tx_id,
       COALESCE((SELECT a.base58 FROM address a WHERE a.key = c.signer), analytics.base58(c.signer)) AS tx_signer,
       c.transaction AS tx_index, c.success AS tx_success, c.fee_lamports AS tx_fee_lamports, c.compute_units AS tx_compute_units,
       c.instruction AS outer_instruction_index, c.inner_instruction AS inner_instruction_index, c.inner_instruction IS NOT NULL AS is_inner,
       (SELECT analytics.base58(p.key) FROM program p) AS executing_account, i.name AS instruction_name,
       ARRAY(SELECT COALESCE((SELECT a.base58 FROM address a WHERE a.key = k.key), analytics.base58(k.key)) FROM %1$s ORDER BY n) AS account_arguments,
       c.arguments, encode(c.data, 'hex') AS data, c.error_code, COALESCE(e.name, c.error) AS error
FROM call c JOIN slot s ON s.bank = c.bank LEFT JOIN instruction i ON i.tag = c.tag LEFT JOIN program_error e ON e.code = c.error_code
WHERE s.status = 3
$v$, keys);
COMMENT ON VIEW dune.instruction_calls IS 'Instructions of the program, failed and inner ones too, by the block of their transaction';

FOR c IN SELECT * FROM (VALUES
    ('model', 1, 'm.name, ', 'LEFT JOIN model m ON m.pubkey = d.key'), ('validator', 2, '', '')
) v(name, kind, named, joined) LOOP
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.%1$s_daily AS
SELECT d.day, i.base58 AS %1$s, d.key AS %1$s_key, %3$s d.jobs_requested, d.jobs_submitted, d.jobs_settled, d.jobs_refunded, d.jobs_slashed,
       d.prompt_tokens, d.output_tokens, d.fee_lamports, d.validator_lamports, d.foundation_lamports, d.burned_lamports, d.slashed_lamports
FROM daily_sum d LEFT JOIN address i ON i.key = d.key %4$s WHERE d.kind = %2$s AND d.day > '-infinity'
$v$, c.name, c.kind, c.named, c.joined);
EXECUTE format($v$
CREATE OR REPLACE VIEW dune.%1$s_daily AS
SELECT d.day AS block_date, i.base58 AS %1$s, %3$s d.jobs_requested, d.jobs_submitted, d.jobs_settled, d.jobs_refunded, d.jobs_slashed,
       d.prompt_tokens, d.output_tokens, d.fee_lamports, d.validator_lamports, d.foundation_lamports, d.burned_lamports, d.slashed_lamports
FROM daily_sum d LEFT JOIN address i ON i.key = d.key %4$s WHERE d.kind = %2$s AND d.day > '-infinity'
$v$, c.name, c.kind, c.named, c.joined);
EXECUTE format('COMMENT ON VIEW analytics.%1$s_daily IS ''What happened to the jobs of each %1$s, by UTC day of the block time (finalized); kept while rows are written''', c.name);
EXECUTE format('COMMENT ON VIEW dune.%1$s_daily IS ''What happened to the jobs of each %1$s, by UTC day of the block time''', c.name);
END LOOP;
END $build$;

DO $comments$
DECLARE
    c record;
BEGIN
FOR c IN
    WITH said(view, name, comment) AS (VALUES
        ('program_errors', 'code', 'Number that a failed instruction of the program gives'),
        ('program_errors', 'name', 'Name of the error'),
        ('program_errors', 'message', 'What is wrong and what would be right'),
        ('slot_calls', 'slot', 'Slot of the block'),
        ('slot_calls', 'at', 'Time of the block (UTC); null if it is not known'),
        ('slot_calls', 'commitment', 'processed, confirmed or finalized: of the block'),
        ('slot_calls', 'complete', 'True: instruction_calls has all there are, as far as the validator has told them by now; false: some may be missing; null: the validator does not tell transactions'),
        ('instruction_calls', 'slot', 'Slot of the block'),
        ('instruction_calls', 'at', 'Time of the block (UTC); null if it is not known'),
        ('instruction_calls', 'signature', 'Base58 first signature of the transaction; computed for each row that is shown, to find one use signature_key'),
        ('instruction_calls', 'signature_key', 'The same signature as 64 bytes, indexed: analytics.key(''…'', 64) gives them'),
        ('instruction_calls', 'transaction_index', 'Place of the transaction in its block, from 0'),
        ('instruction_calls', 'instruction_index', 'Place among the instructions of the transaction''s message, from 0'),
        ('instruction_calls', 'inner_index', 'Place among the instructions that this one of the message led to, from 0; null where it is the message''s own'),
        ('instruction_calls', 'name', 'Name of the instruction; null if its data are none of the program''s, which data shows then'),
        ('instruction_calls', 'signer', 'Base58 key that signed first and paid the fee'),
        ('instruction_calls', 'signer_key', 'The same key as 32 bytes'),
        ('instruction_calls', 'job', 'Base58 address of the account that the instruction takes as its job; null if it takes none'),
        ('instruction_calls', 'job_key', 'The same address as 32 bytes, indexed'),
        ('instruction_calls', 'accounts', 'Object: base58 address of each account by its role; null for an optional one that is absent'),
        ('instruction_calls', 'arguments', 'Object: the arguments by their names, which end in the unit; hashes in hex, keys in base58, what follows the arguments as hex in tail'),
        ('instruction_calls', 'data', 'Hex data of an instruction that can''t be read, at most 16 KiB; else null'),
        ('instruction_calls', 'success', 'The transaction succeeded; if not, nothing that its instructions did stands'),
        ('instruction_calls', 'error_code', 'Code that the program gave; null unless the transaction failed in this instruction and a program gave a code'),
        ('instruction_calls', 'error', 'Name of the error: of the program (see program_errors), or the runtime''s; null with success false: another instruction of the transaction failed, or a program gave a code that is none of ours'),
        ('instruction_calls', 'error_message', 'What the program says of the error; null if it is none of the program''s'),
        ('instruction_calls', 'fee_lamports', 'Lamports of fee of the whole transaction'),
        ('instruction_calls', 'compute_units', 'Compute units that the whole transaction used; null if not told'),
        ('instruction_calls', 'commitment', 'processed, confirmed or finalized: of the block'),
        ('instruction_calls', 'exact', 'False if calls of this block may be missing'),
        ('dune.instruction_calls', 'tx_id', 'Base58 first signature of the transaction'),
        ('dune.instruction_calls', 'tx_signer', 'Base58 key that signed first and paid the fee'),
        ('dune.instruction_calls', 'tx_index', 'Place of the transaction in its block, from 0'),
        ('dune.instruction_calls', 'tx_success', 'The transaction succeeded'),
        ('dune.instruction_calls', 'tx_fee_lamports', 'Lamports of fee of the whole transaction'),
        ('dune.instruction_calls', 'tx_compute_units', 'Compute units that the whole transaction used; null if not told'),
        ('dune.instruction_calls', 'outer_instruction_index', 'Place among the instructions of the transaction''s message, from 0'),
        ('dune.instruction_calls', 'inner_instruction_index', 'Place among the instructions that this one of the message led to, from 0; null where it is the message''s own'),
        ('dune.instruction_calls', 'is_inner', 'Another program called it'),
        ('dune.instruction_calls', 'executing_account', 'Base58 address of the program'),
        ('dune.instruction_calls', 'instruction_name', 'Name of the instruction; null if its data are none of the program''s'),
        ('dune.instruction_calls', 'account_arguments', 'Base58 addresses of the accounts, in their order; the program''s own for an optional one that is absent'),
        ('daily', 'model', 'Base58 address of the model'),
        ('daily', 'validator', 'Base58 address of the validator'),
        ('daily', 'name', 'Name of the model now'),
        ('daily', 'day', 'UTC day of the block time'),
        ('daily', 'jobs_requested', 'Number of jobs requested on the day; of a validator, those that it accepted then or later'),
        ('daily', 'jobs_submitted', 'Number of results submitted on the day'),
        ('daily', 'jobs_settled', 'Number of jobs settled on the day'),
        ('daily', 'jobs_refunded', 'Number of jobs refunded on the day'),
        ('daily', 'jobs_slashed', 'Number of jobs slashed on the day'),
        ('daily', 'prompt_tokens', 'Prompt tokens of the results submitted on the day'),
        ('daily', 'output_tokens', 'Output tokens of the results submitted on the day'),
        ('daily', 'fee_lamports', 'Lamports that the jobs ended on the day cost'),
        ('daily', 'validator_lamports', 'Lamports of these fees that validators earned'),
        ('daily', 'foundation_lamports', 'Lamports of these fees that the foundation earned'),
        ('daily', 'burned_lamports', 'Lamports of these fees destined to be burned'),
        ('daily', 'slashed_lamports', 'Lamports slashed over the jobs ended on the day'))
    SELECT v.relnamespace::regnamespace AS schema, v.relname AS view, a.attname AS name, d.comment
      FROM pg_class v JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped
      CROSS JOIN LATERAL (SELECT regexp_replace(v.relname, '_(processed|confirmed|finalized)$', '') AS base) b
      CROSS JOIN LATERAL (
        SELECT s.comment FROM said s WHERE s.name = a.attname
           AND s.view IN (v.relnamespace::regnamespace || '.' || b.base, b.base, CASE WHEN b.base ~ '^(model|validator)_daily$' THEN 'daily' END)
         ORDER BY s.view = b.base LIMIT 1) d
     WHERE v.relnamespace::regnamespace::text IN ('analytics', 'dune') AND v.relkind = 'v'
       AND b.base IN ('program_errors', 'slot_calls', 'instruction_calls', 'model_daily', 'validator_daily')
    UNION ALL
    SELECT 'dune'::regnamespace, v.name, x.name, x.comment
      FROM (VALUES ('instruction_calls'), ('model_daily'), ('validator_daily')) v(name), (VALUES
        ('block_slot', 'Slot of the block'), ('block_time', 'Time of the block (UTC); null if it is not known'),
        ('block_date', 'UTC day of the block time'), ('block_hash', 'Base58 hash of the block')) x(name, comment)
     WHERE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = ('dune.' || v.name)::regclass AND a.attname = x.name)
    UNION ALL
    SELECT 'analytics'::regnamespace, v.name || '_daily', v.name || '_key', 'The same address as 32 bytes'
      FROM (VALUES ('model'), ('validator')) v(name)
LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I.%I IS %L', c.schema, c.view, c.name, c.comment);
END LOOP;
END $comments$;

DO $role$
BEGIN
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics, dune TO mythic_reader;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RAISE NOTICE 'the read-only role mythic_reader was not granted the views of calls';
END $role$;
