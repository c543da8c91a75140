-- run: projection
-- Sums over days (0115) and of models and validators (0442) again, counted faster: an update of a job is counted only if it changes
-- what is counted, and the day of a slot is looked up once, not once a row. `recount` counts everything from the final rows, for a
-- rebuild that wrote them without triggers. A day whose sums came to nothing has no row, so that both come to the same.

DO $build$
DECLARE
    -- As in 0115: what a row says happened, and in which slot.
    acts CONSTANT text := 'e(slot, jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, prompt_tokens,
        output_tokens, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, disputes, slashed_lamports, kind, key)';
    of_job CONSTANT text := '(VALUES
        (r.requested_slot, 1, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0, 0::bigint, 1::smallint, r.owner),
        (r.submitted_slot, 0, 1, 0, 0, 0, r.prompt_tokens, COALESCE(r.output_tokens, 0), 0, 0, 0, 0, 0, 0, 2::smallint, r.validator),
        (r.ended_slot, 0, 0, (r.status = 5)::int, (r.status = 6)::int, (r.status = 7)::int, 0, 0, COALESCE(r.fee_lamports, 0),
         COALESCE(r.validator_lamports, 0), COALESCE(r.foundation_lamports, 0), COALESCE(r.burned_lamports, 0), 0, 0, NULL, NULL))';
    of_model CONSTANT text := '(VALUES
        (r.registered_slot, 0, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, r.burned_lamports, 0, 0::bigint, NULL::smallint, NULL::bytea))';
    of_dispute CONSTANT text := '(VALUES
        (r.opened_slot, 0, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 1, 0::bigint, NULL::smallint, NULL::bytea),
        (r.resolved_slot, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, COALESCE(r.burned_lamports, 0) + COALESCE(r.penalties_lamports, 0), 0,
         COALESCE(r.slashed_lamports, 0), NULL, NULL))';
    columns CONSTANT text := 'jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, prompt_tokens, output_tokens,
        fee_lamports, validator_lamports, foundation_lamports, burned_lamports, disputes, slashed_lamports';
    -- As in 0442.
    sum_columns CONSTANT text := 'jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, prompt_tokens,
        output_tokens, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, slashed_lamports';
    sum_acts CONSTANT text := '(VALUES
        (r.requested_slot, 1, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint),
        (r.submitted_slot, 0, 1, 0, 0, 0, r.prompt_tokens, COALESCE(r.output_tokens, 0), 0, 0, 0, 0, 0),
        (r.ended_slot, 0, 0, (r.status = 5)::int, (r.status = 6)::int, (r.status = 7)::int, 0, 0, COALESCE(r.fee_lamports, 0),
         COALESCE(r.validator_lamports, 0), COALESCE(r.foundation_lamports, 0), COALESCE(r.burned_lamports, 0),
         COALESCE(r.slashed_lamports, 0))) e(slot, ' || sum_columns || ')';
    -- Columns of a job that its acts are made of, and rows of jobs in which one of them changed, with a sign. The state of a job
    -- counts once it has ended.
    counted CONSTANT text := 'requested_slot, submitted_slot, ended_slot, owner, model, validator, status, prompt_tokens, output_tokens,
        fee_lamports, validator_lamports, foundation_lamports, burned_lamports, slashed_lamports';
    pairs CONSTANT text := 'SELECT v.* FROM new_rows n JOIN old_rows o ON o.pubkey = n.pubkey AND o.requested_slot = n.requested_slot
        CROSS JOIN LATERAL (VALUES (1, %s), (-1, %s)) v(sign, %s) WHERE (%s) IS DISTINCT FROM (%s)';
    changed text;
    -- Acts of rows `r` with a sign and their slots' days, each slot looked up once; and the same of all rows of a table.
    dated CONSTANT text := 'undated AS MATERIALIZED (SELECT r.sign, %2$s e.* FROM (%1$s) r CROSS JOIN LATERAL %3$s WHERE e.slot IS NOT NULL),
        days AS MATERIALIZED (SELECT d.slot, COALESCE((SELECT (s.block_time AT TIME ZONE ''UTC'')::date FROM slot s
            WHERE s.slot = d.slot AND s.status = 3 AND s.block_time IS NOT NULL LIMIT 1), ''-infinity'') AS day
            FROM (SELECT DISTINCT slot FROM undated) d),
        acts AS MATERIALIZED (SELECT d.day, u.* FROM undated u JOIN days d USING (slot))';
    all_dated CONSTANT text := 'acts AS MATERIALIZED (SELECT COALESCE(d.day, ''-infinity'') AS day, 1 AS sign, %2$s e.*
        FROM %1$s r CROSS JOIN LATERAL %3$s LEFT JOIN (SELECT slot, (block_time AT TIME ZONE ''UTC'')::date AS day FROM slot
            WHERE status = 3 AND block_time IS NOT NULL) d ON d.slot = e.slot WHERE e.slot IS NOT NULL)';
    empty_days text;
    add_up text;
    add_sums text;
    recount text;
    v record;
BEGIN
    SELECT format(pairs, string_agg('n.' || trim(c), ', '), string_agg('o.' || trim(c), ', '), counted,
               string_agg(CASE trim(c) WHEN 'status' THEN 'CASE WHEN n.ended_slot IS NOT NULL THEN n.status END' ELSE 'n.' || trim(c) END, ', '),
               string_agg(CASE trim(c) WHEN 'status' THEN 'CASE WHEN o.ended_slot IS NOT NULL THEN o.status END' ELSE 'o.' || trim(c) END, ', '))
      INTO changed FROM unnest(string_to_array(counted, ',')) c;
    SELECT format('DELETE FROM tally WHERE (%s) = (%s);', columns, string_agg('0', ', ')) INTO empty_days
      FROM unnest(string_to_array(columns, ',')) c;

    -- From acts (day, sign, kind, key, the numbers) into both tables. Members first as they were, so that new ones are known.
    SELECT format($sql$,
        met AS (SELECT day, kind, key, sum(sign) AS times FROM acts
                 WHERE key IS NOT NULL AND day > '-infinity' GROUP BY 1, 2, 3 HAVING sum(sign) <> 0),
        seen AS (SELECT met.*, COALESCE(o.times, 0) AS before FROM met LEFT JOIN tally_member o USING (day, kind, key)),
        gone AS (DELETE FROM tally_member o USING seen s WHERE (o.day, o.kind, o.key) = (s.day, s.kind, s.key) AND s.before + s.times = 0),
        kept AS (INSERT INTO tally_member AS t (day, kind, key, times) SELECT day, kind, key, times FROM seen WHERE before + times <> 0
                 ON CONFLICT (day, kind, key) DO UPDATE SET times = t.times + EXCLUDED.times),
        heads AS (SELECT day, COALESCE(sum((before + times > 0)::int - (before > 0)::int) FILTER (WHERE kind = 1), 0)::bigint AS owners,
                         COALESCE(sum((before + times > 0)::int - (before > 0)::int) FILTER (WHERE kind = 2), 0)::bigint AS validators
                    FROM seen GROUP BY 1)
        INSERT INTO tally AS t (day, %1$s, owners, validators)
        SELECT a.*, COALESCE(h.owners, 0), COALESCE(h.validators, 0)
          FROM (SELECT day, %2$s FROM acts GROUP BY 1) a LEFT JOIN heads h USING (day)
        ON CONFLICT (day) DO UPDATE SET %3$s, owners = t.owners + EXCLUDED.owners, validators = t.validators + EXCLUDED.validators;
        $sql$, columns, string_agg(format('sum(sign * %1$s)::bigint AS %1$s', trim(c)), ', '),
        string_agg(format('%1$s = t.%1$s + EXCLUDED.%1$s', trim(c)), ', ')) INTO add_up FROM unnest(string_to_array(columns, ',')) c;

    -- From acts (day, sign, model, validator, the numbers) into the sums.
    SELECT format($sql$
        INSERT INTO daily_sum AS t (kind, day, key, %1$s)
        SELECT k.kind, a.day, k.key, %2$s FROM acts a CROSS JOIN LATERAL (VALUES (1::smallint, a.model), (2::smallint, a.validator)) k(kind, key)
         WHERE k.key IS NOT NULL GROUP BY 1, 2, 3 HAVING (%2$s) <> (%3$s)
        ON CONFLICT (kind, day, key) DO UPDATE SET %4$s;
        DELETE FROM daily_sum WHERE (%1$s) = (%3$s);
        $sql$, sum_columns, string_agg(format('sum(a.sign * a.%s)::bigint', trim(c)), ', '), string_agg('0', ', '),
        string_agg(format('%1$s = t.%1$s + EXCLUDED.%1$s', trim(c)), ', ')) INTO add_sums FROM unnest(string_to_array(sum_columns, ',')) c;

    recount := 'DELETE FROM tally; DELETE FROM tally_member; DELETE FROM daily_sum;';
    FOR v IN SELECT * FROM (VALUES
        ('job', of_job, format('SELECT 1 AS sign, %s FROM new_rows', counted), changed),
        ('model', of_model, 'SELECT 1 AS sign, n.* FROM new_rows n', 'SELECT 1 AS sign, n.* FROM new_rows n UNION ALL SELECT -1, o.* FROM old_rows o'),
        ('dispute', of_dispute, 'SELECT 1 AS sign, n.* FROM new_rows n', 'SELECT 1 AS sign, n.* FROM new_rows n UNION ALL SELECT -1, o.* FROM old_rows o')
    ) x(name, events, inserted, updated) LOOP
        EXECUTE format($sql$
            CREATE OR REPLACE FUNCTION tally_%1$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
            BEGIN
                IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
                IF TG_OP = 'INSERT' THEN
                    WITH %2$s %4$s
                ELSE
                    WITH %3$s %4$s
                END IF;
                %5$s
                RETURN NULL;
            END $f$;
            $sql$, v.name, format(dated, v.inserted, '', v.events || ' ' || acts), format(dated, v.updated, '', v.events || ' ' || acts),
            add_up, empty_days);
        recount := recount || 'WITH ' || format(all_dated, v.name, '', v.events || ' ' || acts) || add_up;
    END LOOP;
    FOR v IN SELECT * FROM (VALUES ('inserted', format('SELECT 1 AS sign, %s FROM new_rows', counted)), ('updated', changed)) x(name, rows) LOOP
        EXECUTE format($sql$
            CREATE OR REPLACE FUNCTION daily_sum_job_%1$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
            BEGIN
                IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
                WITH %2$s %3$s
                RETURN NULL;
            END $f$;
            $sql$, v.name, format(dated, v.rows, 'r.model, r.validator,', sum_acts), add_sums);
    END LOOP;
    recount := recount || 'WITH ' || format(all_dated, 'job', 'r.model, r.validator,', sum_acts) || add_sums || empty_days;
    EXECUTE format('CREATE FUNCTION recount() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$ BEGIN %s END $f$', recount);
    EXECUTE empty_days;
END $build$;
