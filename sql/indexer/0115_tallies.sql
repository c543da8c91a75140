-- run: projection
-- Sums over days, kept while rows are written: what the network's figures and daily statistics are read from, so that they
-- cost the same however many jobs there are. They are a function of the final rows (rooted state); the views tally_processed and tally_confirmed
-- add the difference that the overlay makes. A rebuild fills them as it fills the tables.

-- One row per UTC day of the block time. Day -infinity: what happened in slots whose time is not known (a bank that was not
-- seen). Lamports are sums; owners and validators are numbers of different ones.
CREATE TABLE tally (
    day                 date PRIMARY KEY,
    jobs_requested      bigint NOT NULL DEFAULT 0,
    jobs_submitted      bigint NOT NULL DEFAULT 0,
    jobs_settled        bigint NOT NULL DEFAULT 0,
    jobs_refunded       bigint NOT NULL DEFAULT 0,
    jobs_slashed        bigint NOT NULL DEFAULT 0,
    owners              bigint NOT NULL DEFAULT 0,
    validators          bigint NOT NULL DEFAULT 0,
    prompt_tokens       bigint NOT NULL DEFAULT 0,
    output_tokens       bigint NOT NULL DEFAULT 0,
    fee_lamports        bigint NOT NULL DEFAULT 0,
    validator_lamports  bigint NOT NULL DEFAULT 0,
    foundation_lamports bigint NOT NULL DEFAULT 0,
    burned_lamports     bigint NOT NULL DEFAULT 0,
    disputes            bigint NOT NULL DEFAULT 0,
    slashed_lamports    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Who was counted on a day. kind 1: an owner who requested; 2: a validator who submitted.
CREATE TABLE tally_member (
    day   date NOT NULL,
    kind  smallint NOT NULL,
    key   bytea NOT NULL,
    times bigint NOT NULL,
    PRIMARY KEY (day, kind, key)
);

-- Acts of the overlay's rows, and (with sign -1) of the final rows that they cover, each found by its key.
CREATE FUNCTION pg_temp.overlay_acts(name text, keys text, commitment text, events text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT r.sign, f.* FROM (SELECT 1 AS sign, o.* FROM %1$I o UNION ALL SELECT -1, c.* FROM %1$I o
        CROSS JOIN LATERAL (SELECT * FROM %2$I x WHERE (%3$s) = (%4$s) OFFSET 0) c) r CROSS JOIN LATERAL %5$s f',
        name || '_' || commitment || '_unrooted', name,
        (SELECT string_agg('x.' || trim(k), ', ') FROM unnest(string_to_array(keys, ',')) k),
        (SELECT string_agg('o.' || trim(k), ', ') FROM unnest(string_to_array(keys, ',')) k), events)
$$;

DO $build$
DECLARE
    -- What a row says happened, and in which slot: 13 numbers, and who is counted.
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
    sums text;
    adds text;
    add_up text;
    v record;
BEGIN
    SELECT string_agg(format('sum(sign * %1$s)::bigint AS %1$s', trim(c)), ', '),
           string_agg(format('%1$s = t.%1$s + EXCLUDED.%1$s', trim(c)), ', ')
      INTO sums, adds FROM unnest(string_to_array(columns, ',')) c;
    -- From acts (day, sign, kind, key, the numbers) into both tables. Members first as they were, so that new ones are known.
    add_up := format($sql$,
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
    $sql$, columns, sums, adds);

    FOR v IN SELECT * FROM (VALUES ('job', of_job), ('model', of_model), ('dispute', of_dispute)) x(name, events) LOOP
        -- Counts what a statement wrote into a final table. The slots of rooted rows are rooted themselves, or were not seen.
        EXECUTE format($sql$
            CREATE FUNCTION tally_%1$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
            BEGIN
                IF TG_OP = 'INSERT' THEN
                    WITH acts AS (SELECT COALESCE((SELECT (s.block_time AT TIME ZONE 'UTC')::date FROM slot s
                                   WHERE s.slot = e.slot AND s.status = 3 AND s.block_time IS NOT NULL LIMIT 1), '-infinity') AS day, 1 AS sign, e.*
                                   FROM new_rows r CROSS JOIN LATERAL %2$s %3$s WHERE e.slot IS NOT NULL) %4$s
                ELSE
                    WITH both_rows AS (SELECT 1 AS sign, n.* FROM new_rows n UNION ALL SELECT -1, o.* FROM old_rows o),
                    acts AS (SELECT COALESCE((SELECT (s.block_time AT TIME ZONE 'UTC')::date FROM slot s
                              WHERE s.slot = e.slot AND s.status = 3 AND s.block_time IS NOT NULL LIMIT 1), '-infinity') AS day, r.sign, e.*
                              FROM both_rows r CROSS JOIN LATERAL %2$s %3$s WHERE e.slot IS NOT NULL) %4$s
                END IF;
                RETURN NULL;
            END $f$;
            CREATE TRIGGER tally_inserted AFTER INSERT ON %1$s REFERENCING NEW TABLE AS new_rows
                FOR EACH STATEMENT EXECUTE FUNCTION tally_%1$s();
            CREATE TRIGGER tally_updated AFTER UPDATE ON %1$s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
                FOR EACH STATEMENT EXECUTE FUNCTION tally_%1$s();
            $sql$, v.name, v.events, acts, add_up);
        -- What is there already.
        EXECUTE format($sql$
            WITH acts AS (SELECT COALESCE((SELECT (s.block_time AT TIME ZONE 'UTC')::date FROM slot s
                           WHERE s.slot = e.slot AND s.status = 3 AND s.block_time IS NOT NULL LIMIT 1), '-infinity') AS day, 1 AS sign, e.*
                           FROM %1$s r CROSS JOIN LATERAL %2$s %3$s WHERE e.slot IS NOT NULL) %4$s
            $sql$, v.name, v.events, acts, add_up);
    END LOOP;

    -- A bank that came late gives its slot a time: what happened there moves to its day.
    FOR v IN SELECT * FROM (VALUES
        ('inserted', 'INSERT', 'NEW TABLE AS new_rows', 'true'),
        ('updated', 'UPDATE', 'OLD TABLE AS old_rows NEW TABLE AS new_rows',
         'NOT EXISTS (SELECT FROM old_rows p WHERE p.bank = n.bank AND p.status = 3 AND p.block_time IS NOT NULL)')
    ) x(name, event, tables, fresh) LOOP
        EXECUTE format($sql$
            CREATE FUNCTION tally_slot_%8$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
            BEGIN
                IF NOT EXISTS (SELECT FROM tally WHERE day = '-infinity') THEN RETURN NULL; END IF;
                WITH dated AS (SELECT n.slot, (n.block_time AT TIME ZONE 'UTC')::date AS day FROM new_rows n
                                WHERE n.status = 3 AND n.block_time IS NOT NULL AND %9$s),
                moved AS (SELECT d.day AS to_day, e.* FROM dated d CROSS JOIN LATERAL (
                    SELECT f.* FROM (SELECT * FROM job WHERE requested_slot = d.slot
                                     UNION SELECT * FROM job WHERE submitted_slot = d.slot
                                     UNION SELECT * FROM job WHERE ended_slot = d.slot) r CROSS JOIN LATERAL %1$s f
                    UNION ALL
                    SELECT f.* FROM (SELECT * FROM model WHERE registered_slot = d.slot) r CROSS JOIN LATERAL %2$s f
                    UNION ALL
                    SELECT f.* FROM (SELECT * FROM dispute WHERE opened_slot = d.slot
                                     UNION ALL SELECT * FROM dispute WHERE resolved_slot = d.slot AND opened_slot <> d.slot) r
                        CROSS JOIN LATERAL %3$s f) %4$s WHERE e.slot = d.slot),
                acts AS (SELECT to_day AS day, 1 AS sign, m.* FROM moved m
                         UNION ALL SELECT '-infinity', -1, m.* FROM moved m) %5$s
                DELETE FROM tally WHERE day = '-infinity' AND (%6$s) = (%7$s);
                RETURN NULL;
            END $f$;
            CREATE TRIGGER tally_%8$s AFTER %10$s ON slot REFERENCING %11$s
                FOR EACH STATEMENT EXECUTE FUNCTION tally_slot_%8$s();
            $sql$, of_job, of_model, of_dispute, acts, add_up, columns,
            (SELECT string_agg('0', ', ') FROM unnest(string_to_array(columns, ',')) c), v.name, v.fresh, v.event, v.tables);
    END LOOP;

    -- The sums at each commitment: those of the final rows, less the rows that the overlay covers, and the overlay's.
    CREATE VIEW tally_finalized AS SELECT * FROM tally;
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
            pg_temp.overlay_acts('dispute', 'pubkey', v.name, of_dispute),
            replace(acts, 'e(slot', 'e(sign, slot'),
            (SELECT string_agg(format('sum(t.%1$I)::bigint AS %1$I', attname), ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = 'tally'::regclass AND attnum > 1),
            (SELECT string_agg(CASE WHEN attname IN ('owners', 'validators') THEN '0' ELSE format('sum(sign * %I)::bigint', attname) END, ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = 'tally'::regclass AND attnum > 1));
    END LOOP;
END $build$;
DROP FUNCTION pg_temp.overlay_acts(text, text, text, text);
