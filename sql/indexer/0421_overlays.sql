-- run: projection
-- Rows that are written over and over stay where they are: an update that changes no indexed column and finds room on its page
-- touches no index. Which bank an overlay's row is of changes with every write, so it is not indexed: rows of a bank are found by
-- the keys in the bank's hot rows.
DO $build$
DECLARE
    t record;
BEGIN
FOR t IN
    SELECT c.oid::regclass AS name,
           (SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'bank'
             WHERE i.indrelid = c.oid AND i.indkey::text = a.attnum::text) AS by_bank
      FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname ~ '_overlay$'
LOOP
    EXECUTE format('DROP INDEX %s', t.by_bank);
    EXECUTE format('ALTER TABLE %s SET (fillfactor = 50)', t.name);
END LOOP;
END $build$;
ALTER TABLE vault SET (fillfactor = 80);
ALTER TABLE validator SET (fillfactor = 80);
ALTER TABLE spend_grant SET (fillfactor = 80);
ALTER TABLE treasury SET (fillfactor = 80);
