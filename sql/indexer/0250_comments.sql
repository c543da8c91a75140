-- run: views
-- What each analytics view is, on every commitment of it; and the read-only role.
DO $build$
DECLARE v record; c text;
BEGIN
FOR v IN SELECT * FROM (VALUES
    ('slots', 'One row per slot with a block, and one per gap (slot to last_slot): commitment, time, number of account updates'),
    ('job_events', 'The transitions of every job: open, accepted, cancelling, submitted, disputed, and settled, refunded or slashed; a function of the job''s last state'),
    ('jobs', 'Inference jobs, closed ones included; money in lamports, null until known; id is the job account'),
    ('fingerprints', 'What validators committed: one row per job with a result'),
    ('settlements', 'How jobs ended and who got what: validator_lamports + foundation_lamports + burned_lamports = fee_lamports'),
    ('models', 'Registered models; prices are lamports per 1,000 tokens; identity is the hash of the immutable part'),
    ('validators', 'Registered validators: stake, capacity, what they may withdraw'),
    ('validator_stake', 'Every change of a validator''s stake: absolute values after it, and the change of the active stake'),
    ('vaults', 'Prepaid balances of users; held is the part that open jobs hold'),
    ('grants', 'Spend grants: what a delegate may spend from an owner''s vault'),
    ('treasury', 'The foundation''s balance'),
    ('config', 'The protocol''s parameters')
) t(name, comment) LOOP
    FOREACH c IN ARRAY ARRAY['', '_processed', '_confirmed', '_finalized'] LOOP
        EXECUTE format('COMMENT ON VIEW analytics.%I IS %L', v.name || c,
            v.comment || CASE c WHEN '' THEN ' (as processed)' ELSE ' (as ' || substr(c, 2) || ')' END);
    END LOOP;
END LOOP;
FOR v IN SELECT viewname AS name FROM pg_views WHERE schemaname = 'listing' LOOP
    EXECUTE format('COMMENT ON VIEW listing.%I IS %L', v.name,
        'A part of the analytics view of that name, with an index in the order of its list: take the first N of each part');
END LOOP;
END $build$;

COMMENT ON VIEW analytics.pipeline_status IS 'Where the index stands: heads per commitment, gaps, dead letters, newest feed number';
COMMENT ON VIEW analytics.banks IS 'Every bank ever sealed: orphaned and dead ones too';
COMMENT ON VIEW analytics.alarms IS 'What an operator should look at; cleared ones stay as history (open: cleared_at is null)';

DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mythic_reader') THEN
        BEGIN
            CREATE ROLE mythic_reader NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- roles belong to the whole cluster: another database of it was faster
        END;
    END IF;
    GRANT USAGE ON SCHEMA analytics, listing, feed TO mythic_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics, listing, feed TO mythic_reader;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'no right to create or grant the read-only role mythic_reader: analysts need SELECT on schemas analytics, listing and feed';
END $role$;
