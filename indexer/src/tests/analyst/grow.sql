-- Makes a written network many times as long, for benchmarks: earlier copies of all that is over go before it, with jobs of their
-- own and the same models, validators and wallets. Indexes are made at the end; sums over days are made by the triggers that keep
-- them. Run with search_path = the projection's schema.
CREATE PROCEDURE pg_temp.grow(copies bigint, slots bigint, banks bigint, start_seconds bigint, span_seconds bigint)
LANGUAGE plpgsql AS $grow$
DECLARE
    -- Slots and banks that the written part moves up.
    up CONSTANT bigint := (copies - 1) * slots;
    up_banks CONSTANT bigint := (copies - 1) * banks;
    a_slot CONSTANT text := '^(.*_)?slot$';
    of_ended CONSTANT text := '%I IN (SELECT pubkey FROM job WHERE ended_slot IS NOT NULL)';
    t record;
    n bigint;
    said text;
    index_made text[] := '{}';
BEGIN
    SET LOCAL session_replication_role = replica;
    -- The written part is the newest.
    FOR t IN
        SELECT c.relname AS name, string_agg(format('%1$I = %1$I + %2$s', a.attname,
                   CASE WHEN a.attname ~ a_slot THEN up ELSE up_banks END), ', ') AS moves
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.atttypid = 'bigint'::regtype
           AND (a.attname ~ a_slot OR a.attname ~ '^(.*_)?bank$' OR a.attname = 'last_event')
         GROUP BY 1
    LOOP
        EXECUTE format('UPDATE %I SET %s', t.name, t.moves);
    END LOOP;
    said := format('to_timestamp(%s + %%s * %s / %s)', start_seconds, span_seconds, slots * copies);
    EXECUTE format('UPDATE slot SET block_time = %s WHERE block_time IS NOT NULL', format(said, 'slot'));

    FOR t IN SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made, conname AS pk, indrelid::regclass::text AS of
               FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype = 'p'
              WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace
                AND relname IN ('slot', 'job', 'job_signature', 'call', 'dispute_case', 'address', 'job_undone', 'vault_balance',
                                'validator_balance', 'treasury_balance', 'model_price', 'validator_stake'))
    LOOP
        index_made := index_made || CASE WHEN t.pk IS NULL THEN t.made
            ELSE t.made || format('; ALTER TABLE %s ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', t.of, t.pk, t.pk) END;
        EXECUTE CASE WHEN t.pk IS NULL THEN format('DROP INDEX %s', t.name) ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', t.of, t.pk) END;
    END LOOP;

    -- Copies, blocks first: triggers look for the day of a slot.
    CREATE TEMP TABLE written ON COMMIT DROP AS
    SELECT v.place, v.name, v.over,
           string_agg(CASE
               WHEN a.attname ~ a_slot AND a.atttypid = 'bigint'::regtype THEN format('w.%I - %%1$s * %s', a.attname, slots)
               WHEN a.attname = 'bank' THEN format('w.bank - %%1$s * %s', banks)
               WHEN a.attname = 'block_time' THEN format(said, format('(w.slot - %%1$s * %s)', slots))
               WHEN a.attname = ANY(v.keys) THEN format('sha256(w.%I || int8send(%%1$s))', a.attname)
               WHEN a.attname = 'signature' THEN 'sha512(w.signature || int8send(%1$s))'
               ELSE 'w.' || quote_ident(a.attname) END, ', ' ORDER BY a.attnum) AS moved
      FROM (VALUES (1, 'slot', 'status IN (3, 4)', '{}'::text[]), (2, 'job', 'ended_slot IS NOT NULL', '{pubkey}'),
                   (2, 'dispute_case', 'resolved_slot IS NOT NULL', '{pubkey, job}'), (2, 'job_signature', format(of_ended, 'pubkey'), '{pubkey}'),
                   (2, 'call', format(of_ended, 'job'), '{job}'), (2, 'job_undone', format(of_ended, 'pubkey'), '{pubkey}'), (2, 'vault_balance', 'true', '{}'),
                   (2, 'validator_balance', 'true', '{}'), (2, 'treasury_balance', 'true', '{}'), (2, 'model_price', 'true', '{}'),
                   (2, 'validator_stake', 'true', '{}')) v(place, name, over, keys)
      JOIN pg_attribute a ON a.attrelid = v.name::regclass AND a.attnum > 0 AND NOT a.attisdropped
     GROUP BY 1, 2, 3;
    FOR t IN SELECT * FROM written ORDER BY place, name LOOP
        EXECUTE format('CREATE TEMP TABLE %I ON COMMIT DROP AS SELECT * FROM %I WHERE %s', t.name || '_written', t.name, t.over);
    END LOOP;
    FOR t IN SELECT * FROM written WHERE name = 'slot' LOOP
        FOR n IN 1..copies - 1 LOOP
            EXECUTE format('INSERT INTO slot SELECT %s FROM slot_written w', format(t.moved, n));
        END LOOP;
    END LOOP;
    FOREACH said IN ARRAY index_made LOOP
        IF said ~ ' ON [^ ]*\mslot USING' THEN EXECUTE said; END IF;
    END LOOP;
    ANALYZE slot;

    -- What is counted is written anew, so that everything is counted.
    CREATE TEMP TABLE job_all ON COMMIT DROP AS SELECT * FROM job;
    CREATE TEMP TABLE model_all ON COMMIT DROP AS SELECT * FROM model;
    CREATE TEMP TABLE case_all ON COMMIT DROP AS SELECT * FROM dispute_case;
    TRUNCATE job, model, dispute_case, tally, tally_member, daily_sum;
    SET LOCAL session_replication_role = origin;
    INSERT INTO model SELECT * FROM model_all;
    INSERT INTO job SELECT * FROM job_all;
    INSERT INTO dispute_case SELECT * FROM case_all;
    FOR t IN SELECT * FROM written WHERE place = 2 ORDER BY name LOOP
        FOR n IN REVERSE copies - 1..1 LOOP
            EXECUTE format('INSERT INTO %I SELECT %s FROM %I w', t.name, format(t.moved, n), t.name || '_written');
        END LOOP;
    END LOOP;
    INSERT INTO address (key, base58)
    SELECT k.key, analytics.base58(k.key) FROM (SELECT pubkey FROM job UNION SELECT pubkey FROM job_undone UNION SELECT pubkey FROM dispute_case) k(key)
     WHERE NOT EXISTS (SELECT FROM address a WHERE a.key = k.key);
    FOREACH said IN ARRAY index_made LOOP
        IF said !~ ' ON [^ ]*\mslot USING' THEN EXECUTE said; END IF;
    END LOOP;
END $grow$;
