-- run: projection
-- The sums over days (0115, 0511) count cases where they counted disputes: what a row says happened has the same names. What was
-- forfeited is burned as penalties are.
DO $build$
DECLARE
    f text;
BEGIN
    ALTER FUNCTION tally_dispute() RENAME TO tally_dispute_case;
    FOREACH f IN ARRAY ARRAY['tally_dispute_case', 'tally_slot_inserted', 'tally_slot_updated', 'recount'] LOOP
        EXECUTE replace(regexp_replace(pg_get_functiondef(to_regproc(f)), '\mdispute\M', 'dispute_case', 'g'),
            'COALESCE(r.penalties_lamports, 0)', 'COALESCE(r.penalties_lamports, 0) + COALESCE(r.forfeited_lamports, 0)');
    END LOOP;
    CREATE TRIGGER tally_inserted AFTER INSERT ON dispute_case REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION tally_dispute_case();
    CREATE TRIGGER tally_updated AFTER UPDATE ON dispute_case REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION tally_dispute_case();
END $build$;

-- Acts of the overlay's rows, and (with sign -1) of the final rows that they cover, each found by its key.
CREATE FUNCTION pg_temp.overlay_acts(name text, keys text, commitment text, events text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT r.sign, f.* FROM (SELECT 1 AS sign, o.* FROM %1$I o UNION ALL SELECT -1, c.* FROM %1$I o
        CROSS JOIN LATERAL (SELECT %6$s FROM %2$I x WHERE (%3$s) = (%4$s) OFFSET 0) c) r CROSS JOIN LATERAL %5$s f',
        name || '_' || commitment || '_unrooted', name,
        (SELECT string_agg('x.' || trim(k), ', ') FROM unnest(string_to_array(keys, ',')) k),
        (SELECT string_agg('o.' || trim(k), ', ') FROM unnest(string_to_array(keys, ',')) k), events,
        -- In the order of the view, which shows them as they were when it was made.
        (SELECT string_agg(format('x.%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
          WHERE a.attrelid = to_regclass(name || '_' || commitment || '_unrooted') AND a.attnum > 0 AND NOT a.attisdropped))
$$;

DO $build$
DECLARE
    -- As in 0115: what a row says happened, and in which slot.
    acts CONSTANT text := 'e(sign, slot, jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, prompt_tokens,
        output_tokens, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, disputes, slashed_lamports, kind, key)';
    of_job CONSTANT text := '(VALUES
        (r.requested_slot, 1, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0, 0::bigint, 1::smallint, r.owner),
        (r.submitted_slot, 0, 1, 0, 0, 0, r.prompt_tokens, COALESCE(r.output_tokens, 0), 0, 0, 0, 0, 0, 0, 2::smallint, r.validator),
        (r.ended_slot, 0, 0, (r.status = 5)::int, (r.status = 6)::int, (r.status = 7)::int, 0, 0, COALESCE(r.fee_lamports, 0),
         COALESCE(r.validator_lamports, 0), COALESCE(r.foundation_lamports, 0), COALESCE(r.burned_lamports, 0), 0, 0, NULL, NULL))';
    of_model CONSTANT text := '(VALUES
        (r.registered_slot, 0, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, r.burned_lamports, 0, 0::bigint, NULL::smallint, NULL::bytea))';
    of_case CONSTANT text := '(VALUES
        (r.opened_slot, 0, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 1, 0::bigint, NULL::smallint, NULL::bytea),
        (r.resolved_slot, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, COALESCE(r.burned_lamports, 0) + COALESCE(r.penalties_lamports, 0)
         + COALESCE(r.forfeited_lamports, 0), 0,
         COALESCE(r.slashed_lamports, 0), NULL, NULL))';
    v record;
BEGIN
    -- The sums at each commitment: those of the final rows, less the rows that the overlay covers, and the overlay's.
    FOR v IN SELECT * FROM (VALUES ('processed', '(s.status = 3 OR s.on_processed)'), ('confirmed', 's.status IN (2, 3)')) x(name, known) LOOP
        EXECUTE format($sql$
            CREATE VIEW tally_%1$s AS
            WITH acts AS (
                SELECT COALESCE((SELECT (s.block_time AT TIME ZONE 'UTC')::date FROM slot s
                         WHERE s.slot = e.slot AND %2$s AND s.block_time IS NOT NULL LIMIT 1), '-infinity') AS day, e.*
                FROM (%3$s UNION ALL %4$s UNION ALL %5$s) %6$s WHERE e.slot IS NOT NULL),
            heads AS (
                SELECT day, count(DISTINCT key) FILTER (WHERE kind = 1) AS owners, count(DISTINCT key) FILTER (WHERE kind = 2) AS validators
                FROM acts a WHERE key IS NOT NULL AND sign = 1 AND day > '-infinity'
                  AND NOT EXISTS (SELECT FROM tally_member m WHERE (m.day, m.kind, m.key) = (a.day, a.kind, a.key)) GROUP BY 1)
            SELECT day, %7$s FROM (
                SELECT * FROM tally
                UNION ALL SELECT day, %8$s FROM acts GROUP BY 1
                UNION ALL SELECT day, 0, 0, 0, 0, 0, owners, validators, 0, 0, 0, 0, 0, 0, 0, 0 FROM heads) t GROUP BY day
            $sql$, v.name, v.known,
            pg_temp.overlay_acts('job', 'pubkey, requested_slot', v.name, of_job),
            pg_temp.overlay_acts('model', 'pubkey', v.name, of_model),
            pg_temp.overlay_acts('dispute_case', 'pubkey', v.name, of_case), acts,
            (SELECT string_agg(format('sum(t.%1$I)::bigint AS %1$I', attname), ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = 'tally'::regclass AND attnum > 1),
            (SELECT string_agg(CASE WHEN attname IN ('owners', 'validators') THEN '0' ELSE format('sum(sign * %I)::bigint', attname) END, ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = 'tally'::regclass AND attnum > 1));
    END LOOP;
END $build$;
DROP FUNCTION pg_temp.overlay_acts(text, text, text, text);
