-- run: projection
-- Base58 text of every key that a view shows, so that showing one costs a look-up (1 µs, not 15), and rows are found by it. One
-- row a key, made by the statement that first writes a row with the key.
CREATE TABLE address (
    key    bytea PRIMARY KEY,
    base58 text NOT NULL
);
CREATE INDEX address_base58 ON address USING hash (base58);

DO $build$
DECLARE
    v record;
    -- Of a row `r`: the keys in it.
    keys text;
BEGIN
FOR v IN
    SELECT h.relname AS hot, regexp_replace(h.relname, '_hot$', '') AS name, array_agg(a.attname) AS columns
      FROM pg_class h JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE h.relnamespace = current_schema()::regnamespace AND h.relkind = 'r' AND h.relname ~ '_hot$'
       AND h.relname NOT IN ('closure_hot', 'job_signature_hot')
       AND a.attname IN ('pubkey', 'owner', 'requester', 'canceller', 'model', 'validator', 'rent_payer', 'spend_grant', 'authority',
                         'operator', 'registrant', 'delegate', 'job', 'challenger', 'submitter', 'juror', 'admin', 'pending_admin',
                         'foundation')
     GROUP BY 1, 2
LOOP
    SELECT string_agg(format('(r.%I)', c), ', ') INTO keys FROM unnest(v.columns) c;
    -- Keys are looked up one by one: joins that read the whole table would cost more with every key that is kept.
    EXECUTE format($sql$
        CREATE FUNCTION address_%1$s() RETURNS trigger LANGUAGE plpgsql
            SET search_path FROM CURRENT SET enable_hashjoin = off SET enable_mergejoin = off AS $f$
        BEGIN
            INSERT INTO address (key, base58)
            SELECT k.key, analytics.base58(k.key)
              FROM (SELECT DISTINCT x.key FROM new_rows r CROSS JOIN LATERAL (VALUES %2$s) x(key) WHERE x.key IS NOT NULL) k
             WHERE NOT EXISTS (SELECT FROM address a WHERE a.key = k.key);
            RETURN NULL;
        END $f$;
        CREATE TRIGGER address AFTER INSERT ON %3$I REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION address_%1$s();
        $sql$, v.name, keys, v.hot);
    -- What is there already.
    EXECUTE format($sql$
        INSERT INTO address (key, base58)
        SELECT k.key, analytics.base58(k.key)
          FROM (SELECT DISTINCT x.key FROM %1$I r CROSS JOIN LATERAL (VALUES %2$s) x(key) WHERE x.key IS NOT NULL
                UNION SELECT DISTINCT x.key FROM %3$I r CROSS JOIN LATERAL (VALUES %2$s) x(key) WHERE x.key IS NOT NULL) k
         WHERE NOT EXISTS (SELECT FROM address a WHERE a.key = k.key)
        $sql$, v.name, keys, v.hot);
END LOOP;
END $build$;
