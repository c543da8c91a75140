-- run: projection
-- The two parts of a list. NAME_processed and NAME_confirmed are final rows without the overlaid ones, and overlay
-- rows; PostgreSQL can't take the first N of a sorted union of them without sorting all. These views are one part each
-- (NAME_processed_rooted, NAME_processed_unrooted, …), and each part has an index in the order of the list,
-- so that a reader takes the first N of each.

CREATE FUNCTION pg_temp.make_parts(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    keys text;
    cols text;
    c record;
BEGIN
    SELECT string_agg(format('o.%1$I = f.%1$I', a.attname), ' AND ') INTO keys
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = name::regclass AND i.indisprimary;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO cols
        FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped;
    FOR c IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word) LOOP
        EXECUTE format('CREATE VIEW %1$I AS SELECT %2$s FROM %3$I f
            WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)',
            name || '_' || c.word || '_rooted', cols, name, name || '_overlay', c.chain, keys);
        EXECUTE format('CREATE VIEW %1$I AS SELECT %2$s FROM %3$I WHERE chain = %4$s',
            name || '_' || c.word || '_unrooted', cols, name || '_overlay', c.chain);
    END LOOP;
END $$;
SELECT pg_temp.make_parts('job');
SELECT pg_temp.make_parts('validator');
SELECT pg_temp.make_parts('model');
SELECT pg_temp.make_parts('dispute');
DROP FUNCTION pg_temp.make_parts(text);

CREATE INDEX job_settled ON job (ended_slot DESC, pubkey) WHERE ended_slot IS NOT NULL;
DROP INDEX job_ended;
CREATE INDEX job_status ON job (status, requested_slot DESC, pubkey);
DROP INDEX job_running;
CREATE INDEX job_submitted ON job (submitted_slot DESC, pubkey) WHERE submitted_slot IS NOT NULL;
CREATE INDEX job_overlay_recent ON job_overlay (chain, requested_slot DESC, pubkey);
CREATE INDEX job_overlay_settled ON job_overlay (chain, ended_slot DESC, pubkey) WHERE ended_slot IS NOT NULL;
CREATE INDEX job_overlay_submitted ON job_overlay (chain, submitted_slot DESC, pubkey) WHERE submitted_slot IS NOT NULL;
CREATE INDEX validator_registered ON validator (registered_slot, pubkey);
CREATE INDEX validator_overlay_registered ON validator_overlay (chain, registered_slot, pubkey);
CREATE INDEX model_registered ON model (registered_slot DESC, pubkey);
CREATE INDEX model_overlay_registered ON model_overlay (chain, registered_slot DESC, pubkey);
CREATE INDEX dispute_opened ON dispute (opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_overlay_opened ON dispute_overlay (chain, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_resolved ON dispute (resolved_slot DESC, pubkey) WHERE resolved_slot IS NOT NULL;
CREATE INDEX dispute_overlay_resolved ON dispute_overlay (chain, resolved_slot DESC, pubkey) WHERE resolved_slot IS NOT NULL;
