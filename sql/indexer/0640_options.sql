-- run: projection
-- A job's terms hold a hash of its options where they held one of its stop strings, which under sampling profile 1 it still is.
DO $build$
DECLARE
    r record;
BEGIN
    -- The tables of jobs, and the views of them that lie beside them; other views read these by place, not by name.
    FOR r IN
        SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v') AND a.attname = 'stop_hash' AND NOT a.attisdropped
         ORDER BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME COLUMN stop_hash TO options_hash', r.name);
    END LOOP;
END $build$;
