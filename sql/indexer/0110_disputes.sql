-- run: projection
-- Disputes in full: what a dispute is about, its phases and amounts, the seats of its jury, its checked positions, and the
-- output posted under it. Amounts and slots that are not known yet are null.

-- (Re)makes the views of an entity table: its state at each commitment, and the two parts of its lists.
CREATE FUNCTION pg_temp.make_views(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    on_keys text;
    cols text;
    c record;
BEGIN
    SELECT string_agg(format('o.%1$I = f.%1$I', a.attname), ' AND ') INTO on_keys
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = name::regclass AND i.indisprimary;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO cols
        FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped;
    FOR c IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word) LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I f
            WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)',
            name || '_' || c.word || '_rooted', cols, name, name || '_overlay', c.chain, on_keys);
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I WHERE chain = %4$s',
            name || '_' || c.word || '_unrooted', cols, name || '_overlay', c.chain);
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS
            SELECT %2$s FROM %3$I f WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)
            UNION ALL SELECT %2$s FROM %4$I WHERE chain = %5$s',
            name || '_' || c.word, cols, name, name || '_overlay', c.chain, on_keys);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE VIEW %I AS SELECT %s FROM %I', name || '_finalized', cols, name);
END $$;

-- Makes NAME_hot, NAME_overlay and the views of a new entity table.
CREATE FUNCTION pg_temp.make_entity(name text, keys text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)', name, keys);
    EXECUTE format('CREATE TABLE %I (LIKE %I, PRIMARY KEY (bank, %s))
        WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)', name || '_hot', name, keys);
    EXECUTE format('CREATE TABLE %I (chain smallint NOT NULL, LIKE %I, PRIMARY KEY (chain, %s))
        WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)', name || '_overlay', name, keys);
    EXECUTE format('CREATE INDEX ON %I (bank)', name || '_overlay');
    PERFORM pg_temp.make_views(name);
END $$;

DO $alter$
DECLARE t text;
BEGIN
FOREACH t IN ARRAY ARRAY['dispute', 'dispute_hot', 'dispute_overlay'] LOOP
    EXECUTE format($sql$
        ALTER TABLE %I
            ALTER COLUMN slashed_lamports DROP NOT NULL,
            ALTER COLUMN challenger_lamports DROP NOT NULL,
            ALTER COLUMN jurors_lamports DROP NOT NULL,
            ALTER COLUMN submitter_lamports DROP NOT NULL,
            ALTER COLUMN burned_lamports DROP NOT NULL,
            ADD COLUMN model bytea,
            ADD COLUMN rent_payer bytea,
            ADD COLUMN ground smallint,
            ADD COLUMN exact_profile boolean,
            ADD COLUMN sampled smallint,
            ADD COLUMN named smallint,
            ADD COLUMN opened smallint,
            ADD COLUMN output_tokens bigint,
            ADD COLUMN requested_slot bigint,
            ADD COLUMN submitted_slot bigint,
            ADD COLUMN openings_end_slot bigint,
            ADD COLUMN commit_from_slot bigint,
            ADD COLUMN commit_end_slot bigint,
            ADD COLUMN reveal_end_slot bigint,
            ADD COLUMN due_slot bigint,
            ADD COLUMN retention_end_slot bigint,
            ADD COLUMN at_stake_lamports bigint,
            ADD COLUMN answering_fee_lamports bigint,
            ADD COLUMN tariff_lamports bigint,
            ADD COLUMN held_lamports bigint,
            ADD COLUMN output_rent_lamports bigint,
            ADD COLUMN penalties_lamports bigint,
            -- Resolved, and everybody has what is due.
            ADD COLUMN collected boolean NOT NULL DEFAULT false
        $sql$, t);
END LOOP;
END $alter$;
SELECT pg_temp.make_views('dispute');
CREATE INDEX dispute_unfinished ON dispute (opened_slot) WHERE NOT collected;
CREATE INDEX dispute_retention ON dispute (retention_end_slot) WHERE collected;
CREATE INDEX dispute_slashed ON dispute (resolved_slot DESC, pubkey) WHERE slashed_lamports > 0 AND resolved_slot IS NOT NULL;
CREATE INDEX dispute_status ON dispute (status, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_submitter ON dispute (submitter, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_challenger ON dispute (challenger, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_overlay_job ON dispute_overlay (chain, job);

-- The taken seats of a jury. pubkey: the dispute. rank and the numbers of vector are Q16.16; vector has for each checked
-- position the juror's logits at the submitter's four ids and its own fourth-largest. agrees: bit per seat.
CREATE TABLE juror (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey           bytea NOT NULL,
    seat             smallint NOT NULL,
    job              bytea NOT NULL,
    juror            bytea NOT NULL,
    rank             integer NOT NULL,
    commitment       bytea NOT NULL,
    committed_slot   bigint NOT NULL,
    revealed_slot    bigint,
    fraud            boolean,
    agrees           integer,
    vector           jsonb,
    reward_lamports  bigint,
    penalty_lamports bigint,
    collected        boolean NOT NULL
);
SELECT pg_temp.make_entity('juror', 'pubkey, seat');
CREATE INDEX juror_juror ON juror (juror);

-- The checked positions of a dispute, sampled ones first. pubkey: the dispute. Null until shown.
CREATE TABLE opening (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey   bytea NOT NULL,
    place    smallint NOT NULL,
    job      bytea NOT NULL,
    position bigint NOT NULL,
    named    boolean NOT NULL,
    token    bigint,
    ids      jsonb,
    logits   jsonb
);
SELECT pg_temp.make_entity('opening', 'pubkey, place');

-- Pages of posted output. tokens: null where a chunk of 128 is not posted. chunks_total: on page 0, of all pages.
CREATE TABLE output (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey         bytea NOT NULL,
    job            bytea NOT NULL,
    rent_payer     bytea NOT NULL,
    fingerprint    bytea NOT NULL,
    page           bigint NOT NULL,
    token_count    bigint NOT NULL,
    chunks         integer NOT NULL,
    chunks_total   bigint,
    updated_slot   bigint NOT NULL,
    completed_slot bigint,
    tokens         jsonb NOT NULL,
    lamports       bigint NOT NULL
);
SELECT pg_temp.make_entity('output', 'pubkey');
CREATE INDEX output_job ON output (job, page);

DROP FUNCTION pg_temp.make_entity(text, text);
DROP FUNCTION pg_temp.make_views(text);
