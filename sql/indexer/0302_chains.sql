-- run: projection
-- NAME_processed and NAME_confirmed again, in a form that the planner looks through: final and unrooted rows as one table with
-- children, and what sorts them out above it. So a sorted list takes its first N from two indexes, a join looks rows up by their
-- keys, and nothing reads all rows to show one. Overlays have their keys first, since nothing asks for a whole chain.

DO $build$
DECLARE
    t record;
    c record;
    i record;
BEGIN
FOR t IN
    SELECT o.relname AS overlay, regexp_replace(o.relname, '_overlay$', '') AS name, p.conname AS primary_key,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) FROM unnest(p.conkey) WITH ORDINALITY k(number, place)
              JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = k.number AND a.attname <> 'chain') AS keys,
           (SELECT string_agg(format('o.%1$I = u.%1$I', a.attname), ' AND ') FROM unnest(p.conkey) k(number)
              JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = k.number AND a.attname <> 'chain') AS on_keys,
           (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
             WHERE attrelid = regexp_replace(o.relname, '_overlay$', '')::regclass AND attnum > 0 AND NOT attisdropped) AS columns
      FROM pg_class o JOIN pg_constraint p ON p.conrelid = o.oid AND p.contype = 'p'
     WHERE o.relnamespace = current_schema()::regnamespace AND o.relname ~ '_overlay$'
LOOP
    EXECUTE format('ALTER TABLE %1$I DROP CONSTRAINT %2$I, ADD CONSTRAINT %2$I PRIMARY KEY (%3$s, chain)', t.overlay, t.primary_key, t.keys);
    FOR c IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word) LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM (
                SELECT NULL::smallint AS chain, %2$s FROM %3$I UNION ALL SELECT chain, %2$s FROM %4$I) u
             WHERE u.chain = %5$s OR (u.chain IS NULL AND NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s))',
            t.name || '_' || c.word, t.columns, t.name, t.overlay, c.chain, t.on_keys);
    END LOOP;
    FOR i IN SELECT indexrelid::regclass AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
              WHERE indrelid = t.overlay::regclass AND pg_get_indexdef(indexrelid) ~ '\(chain, '
    LOOP
        EXECUTE format('DROP INDEX %s', i.name);
        EXECUTE replace(i.definition, '(chain, ', '(');
    END LOOP;
END LOOP;
END $build$;

-- The transitions of jobs: a child for each kind, so that those of a slot are found by the index of that slot column.
-- step: 1 requested, 2 accepted, 3 cancel noted, 4 submitted, 5 disputed, 6 ended
DO $build$
DECLARE
    -- Of final rows, and of those in overlays too.
    rooted text;
    unrooted text;
    part record;
BEGIN
SELECT string_agg(format(child, 'NULL::smallint', s.step, s.slot, 'job'), ' UNION ALL ' ORDER BY s.step),
       string_agg(format(child, 'chain', s.step, s.slot, 'job_overlay'), ' UNION ALL ' ORDER BY s.step)
  INTO rooted, unrooted
  FROM (VALUES (1, 'requested_slot'), (2, 'accepted_slot'), (3, 'cancel_slot'), (4, 'submitted_slot'), (5, 'disputed_slot'),
               (6, 'ended_slot')) s(step, slot),
       (VALUES ('SELECT %s AS chain, pubkey, requested_slot, status, ended_slot, %s::smallint AS step, %I AS slot FROM %I')) c(child);
FOR part IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed'), (NULL, 'finalized')) v(chain, word) LOOP
    EXECUTE format('CREATE VIEW %I AS SELECT pubkey, requested_slot, status, step, slot FROM (%s) u
        -- A cancel that ended the job is its end.
        WHERE u.slot IS NOT NULL AND (u.step <> 3 OR u.slot IS DISTINCT FROM u.ended_slot) %s',
        'job_event_' || part.word,
        CASE WHEN part.chain IS NULL THEN rooted ELSE rooted || ' UNION ALL ' || unrooted END,
        CASE WHEN part.chain IS NOT NULL THEN format('AND (u.chain = %1$s OR (u.chain IS NULL AND NOT EXISTS (
            SELECT FROM job_overlay o WHERE o.chain = %1$s AND o.pubkey = u.pubkey AND o.requested_slot = u.requested_slot)))',
            part.chain) END);
END LOOP;
END $build$;

CREATE INDEX job_accepted ON job (accepted_slot) WHERE accepted_slot IS NOT NULL;
CREATE INDEX job_cancelled ON job (cancel_slot) WHERE cancel_slot IS NOT NULL;
CREATE INDEX job_disputed ON job (disputed_slot) WHERE disputed_slot IS NOT NULL;
-- From a time to a slot, and from a day to its slots.
CREATE INDEX slot_time ON slot (block_time, slot);
CREATE INDEX slot_day ON slot (((block_time AT TIME ZONE 'UTC')::date), slot) WHERE status = 3;
