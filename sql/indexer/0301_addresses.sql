-- run: projection
-- Base58 text of every key that a view shows, so that showing one costs a look-up (1 µs, not 15), and rows are found by it. One
-- row a key, which the writer makes in the transaction that first writes a row with the key.
CREATE TABLE address (
    key    bytea PRIMARY KEY,
    base58 text NOT NULL
);

-- What is there already.
DO $build$
DECLARE
    t record;
BEGIN
FOR t IN
    SELECT c.relname AS name, string_agg(format('(r.%I)', a.attname), ', ') AS keys
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname !~ '^(closure|job_signature|unreadable)'
       AND a.attname IN ('pubkey', 'owner', 'requester', 'canceller', 'model', 'validator', 'rent_payer', 'spend_grant', 'authority',
                         'operator', 'registrant', 'delegate', 'job', 'challenger', 'submitter', 'juror', 'admin', 'pending_admin',
                         'foundation')
     GROUP BY 1
LOOP
    EXECUTE format($sql$
        INSERT INTO address (key, base58)
        SELECT k.key, analytics.base58(k.key)
          FROM (SELECT DISTINCT x.key FROM %I r CROSS JOIN LATERAL (VALUES %s) x(key) WHERE x.key IS NOT NULL) k
         WHERE NOT EXISTS (SELECT FROM address a WHERE a.key = k.key)
        $sql$, t.name, t.keys);
END LOOP;
END $build$;
CREATE INDEX address_base58 ON address USING hash (base58);
