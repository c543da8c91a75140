-- run: views
-- Blocks with those that are rolled up, in place of the views of one table in 0240_views.sql, 0320_dune.sql and 0450_call_views.sql.

DO $build$
DECLARE
    c text;
BEGIN
FOREACH c IN ARRAY ARRAY['processed', 'confirmed', 'finalized'] LOOP
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.slots_%1$s AS
SELECT s.slot, s.last_slot, analytics.base58(s.blockhash) AS blockhash, s.parent_slot,
       analytics.base58(s.parent_blockhash) AS parent_blockhash, s.block_time AS at,
       CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' WHEN 3 THEN 'finalized' WHEN 6 THEN 'finalized' END AS commitment,
       s.status = 6 AS gap, s.healed, s.whole AND s.status <> 6 AS exact, s.accounts AS account_updates
FROM every_slot s WHERE %2$s
$v$, c, CASE c WHEN 'processed' THEN 's.status IN (3, 6) OR s.on_processed'
               WHEN 'confirmed' THEN 's.status IN (3, 6) OR s.on_confirmed' ELSE 's.status IN (3, 6)' END);
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.slot_calls_%1$s AS
SELECT s.slot, s.block_time AS at, CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END AS commitment,
       s.calls > 0 AS complete
FROM every_slot s WHERE %2$s
$v$, c, CASE c WHEN 'processed' THEN '(s.status = 3 OR s.on_processed) AND s.status <> 6'
               WHEN 'confirmed' THEN '(s.status = 3 OR s.on_confirmed) AND s.status <> 6' ELSE 's.status = 3' END);
END LOOP;
END $build$;

CREATE OR REPLACE VIEW analytics.banks AS
SELECT s.bank, s.slot, s.last_slot, analytics.base58(s.blockhash) AS blockhash, s.parent_slot,
       analytics.base58(s.parent_blockhash) AS parent_blockhash, s.block_time AS at,
       CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' WHEN 3 THEN 'finalized' WHEN 4 THEN 'orphaned'
            WHEN 5 THEN 'dead' WHEN 6 THEN 'gap' WHEN 7 THEN 'given_up' END AS status,
       s.whole, s.healed, s.accounts AS account_updates
FROM every_slot s;

CREATE OR REPLACE VIEW dune.blocks AS
SELECT s.slot AS block_slot, s.block_time, (s.block_time AT TIME ZONE 'UTC')::date AS block_date, analytics.base58(s.blockhash) AS block_hash,
       s.parent_slot AS parent_block_slot, analytics.base58(s.parent_blockhash) AS parent_block_hash, s.accounts AS account_updates
FROM every_slot s WHERE s.status = 3;
