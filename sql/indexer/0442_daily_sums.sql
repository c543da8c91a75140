-- run: projection
-- Sums over days of each model and each validator, kept while final rows of jobs are written, so that they cost the same however many
-- jobs there are. Only rooted rows count, so no fork is ever in them. A rebuild fills them as it fills the tables.

-- kind 1: a model; 2: a validator. Day -infinity: what happened in slots whose time is not known (a bank that was not seen).
CREATE TABLE daily_sum (
    kind                smallint NOT NULL,
    day                 date NOT NULL,
    key                 bytea NOT NULL,
    jobs_requested      bigint NOT NULL,
    jobs_submitted      bigint NOT NULL,
    jobs_settled        bigint NOT NULL,
    jobs_refunded       bigint NOT NULL,
    jobs_slashed        bigint NOT NULL,
    prompt_tokens       bigint NOT NULL,
    output_tokens       bigint NOT NULL,
    fee_lamports        bigint NOT NULL,
    validator_lamports  bigint NOT NULL,
    foundation_lamports bigint NOT NULL,
    burned_lamports     bigint NOT NULL,
    slashed_lamports    bigint NOT NULL,
    PRIMARY KEY (kind, day, key)
) WITH (fillfactor = 50);
CREATE INDEX daily_sum_key ON daily_sum (key, day);

DO $build$
DECLARE
    columns CONSTANT text[] := ARRAY['jobs_requested', 'jobs_submitted', 'jobs_settled', 'jobs_refunded', 'jobs_slashed', 'prompt_tokens',
        'output_tokens', 'fee_lamports', 'validator_lamports', 'foundation_lamports', 'burned_lamports', 'slashed_lamports'];
    -- What a job `r` says happened, and in which slot.
    acts CONSTANT text := '(VALUES
        (r.requested_slot, 1, 0, 0, 0, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint),
        (r.submitted_slot, 0, 1, 0, 0, 0, r.prompt_tokens, COALESCE(r.output_tokens, 0), 0, 0, 0, 0, 0),
        (r.ended_slot, 0, 0, (r.status = 5)::int, (r.status = 6)::int, (r.status = 7)::int, 0, 0, COALESCE(r.fee_lamports, 0),
         COALESCE(r.validator_lamports, 0), COALESCE(r.foundation_lamports, 0), COALESCE(r.burned_lamports, 0),
         COALESCE(r.slashed_lamports, 0))) e(slot, ' || array_to_string(columns, ', ') || ')';
    -- Acts with their UTC days, from jobs `r` with a sign. Each slot is looked up once.
    dated CONSTANT text := 'WITH undated AS MATERIALIZED (SELECT r.sign, r.model, r.validator, e.* FROM (%s) r CROSS JOIN LATERAL %s
            WHERE e.slot IS NOT NULL),
        days AS MATERIALIZED (SELECT d.slot, COALESCE((SELECT (s.block_time AT TIME ZONE ''UTC'')::date FROM slot s
            WHERE s.slot = d.slot AND s.status = 3 AND s.block_time IS NOT NULL LIMIT 1), ''-infinity'') AS day
            FROM (SELECT DISTINCT slot FROM undated) d),
        acts AS MATERIALIZED (SELECT d.day, u.* FROM undated u JOIN days d USING (slot)) ';
    -- From acts (day, sign, model, validator, the numbers) into the sums.
    add_up text;
    v record;
BEGIN
    SELECT format($sql$
        INSERT INTO daily_sum AS t (kind, day, key, %1$s)
        SELECT k.kind, a.day, k.key, %2$s FROM acts a CROSS JOIN LATERAL (VALUES (1::smallint, a.model), (2::smallint, a.validator)) k(kind, key)
         WHERE k.key IS NOT NULL GROUP BY 1, 2, 3 HAVING (%2$s) <> (%3$s)
        ON CONFLICT (kind, day, key) DO UPDATE SET %4$s;
        $sql$, string_agg(c, ', '), string_agg(format('sum(a.sign * a.%s)::bigint', c), ', '), string_agg('0', ', '),
        string_agg(format('%1$s = t.%1$s + EXCLUDED.%1$s', c), ', ')) INTO add_up FROM unnest(columns) c;
    -- Sums that came to nothing, of which there are next to none.
    EXECUTE format('CREATE INDEX daily_sum_empty ON daily_sum (kind, day, key) WHERE (%s) = (%s)',
        array_to_string(columns, ', '), (SELECT string_agg('0', ', ') FROM unnest(columns)));
    add_up := add_up || format(' DELETE FROM daily_sum WHERE (%s) = (%s);',
        array_to_string(columns, ', '), (SELECT string_agg('0', ', ') FROM unnest(columns)));

    -- What a statement wrote into the final table of jobs.
    FOR v IN SELECT * FROM (VALUES
        ('inserted', 'INSERT', 'NEW TABLE AS new_rows', 'SELECT 1 AS sign, n.* FROM new_rows n'),
        ('updated', 'UPDATE', 'OLD TABLE AS old_rows NEW TABLE AS new_rows',
         'SELECT 1 AS sign, n.* FROM new_rows n UNION ALL SELECT -1, o.* FROM old_rows o')
    ) x(name, event, tables, changed) LOOP
        EXECUTE format($sql$
            CREATE FUNCTION daily_sum_job_%1$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
            BEGIN
                %4$s %5$s
                RETURN NULL;
            END $f$;
            CREATE TRIGGER daily_sum_%1$s AFTER %2$s ON job REFERENCING %3$s
                FOR EACH STATEMENT EXECUTE FUNCTION daily_sum_job_%1$s();
            $sql$, v.name, v.event, v.tables, format(dated, v.changed, acts), add_up);
    END LOOP;

    -- What is there already.
    EXECUTE format(dated, 'SELECT 1 AS sign, j.* FROM job j', acts) || add_up;

    -- A bank that came late gives its slot a time: what happened there moves to its day.
    FOR v IN SELECT * FROM (VALUES
        ('inserted', 'INSERT', 'NEW TABLE AS new_rows', 'true'),
        ('updated', 'UPDATE', 'OLD TABLE AS old_rows NEW TABLE AS new_rows',
         'NOT EXISTS (SELECT FROM old_rows p WHERE p.bank = n.bank AND p.status = 3 AND p.block_time IS NOT NULL)')
    ) x(name, event, tables, fresh) LOOP
        EXECUTE format($sql$
            CREATE FUNCTION daily_sum_slot_%1$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
            BEGIN
                IF NOT EXISTS (SELECT FROM daily_sum WHERE kind = 1 AND day = '-infinity') THEN RETURN NULL; END IF;
                WITH dated AS (SELECT n.slot, (n.block_time AT TIME ZONE 'UTC')::date AS day FROM new_rows n
                                WHERE n.status = 3 AND n.block_time IS NOT NULL AND %4$s),
                moved AS (SELECT d.day AS to_day, r.model, r.validator, e.* FROM dated d
                    CROSS JOIN LATERAL (SELECT * FROM job WHERE requested_slot = d.slot
                                        UNION SELECT * FROM job WHERE submitted_slot = d.slot
                                        UNION SELECT * FROM job WHERE ended_slot = d.slot) r
                    CROSS JOIN LATERAL %5$s WHERE e.slot = d.slot),
                acts AS (SELECT to_day AS day, 1 AS sign, m.* FROM moved m UNION ALL SELECT '-infinity', -1, m.* FROM moved m) %6$s
                RETURN NULL;
            END $f$;
            CREATE TRIGGER daily_sum_%1$s AFTER %2$s ON slot REFERENCING %3$s
                FOR EACH STATEMENT EXECUTE FUNCTION daily_sum_slot_%1$s();
            $sql$, v.name, v.event, v.tables, v.fresh, acts, add_up);
    END LOOP;
END $build$;
