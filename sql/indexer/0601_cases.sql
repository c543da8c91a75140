-- run: projection
-- One case a job: what is said against a result (claims), what was shown (openings, output), who judges (juror, votes), and the money.
-- Amounts and slots that are not known yet are null. The tables of the disputes that came before are empty, and go.

-- (Re)makes the views of an entity table: its state at each commitment, and the two parts of its lists.
CREATE FUNCTION pg_temp.make_views(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    on_keys text;
    cols text;
    c record;
BEGIN
    SELECT string_agg(format('o.%1$I = u.%1$I', a.attname), ' AND ') INTO on_keys
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = name::regclass AND i.indisprimary;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO cols
        FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped;
    FOR c IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word) LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I u
            WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)',
            name || '_' || c.word || '_rooted', cols, name, name || '_overlay', c.chain, on_keys);
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I WHERE chain = %4$s',
            name || '_' || c.word || '_unrooted', cols, name || '_overlay', c.chain);
        -- In the form of 0302, which a sorted list reads by indexes.
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM (
                SELECT NULL::smallint AS chain, %2$s FROM %3$I UNION ALL SELECT chain, %2$s FROM %4$I) u
             WHERE u.chain = %5$s OR (u.chain IS NULL AND NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s))',
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
    EXECUTE format('CREATE TABLE %I (chain smallint NOT NULL, LIKE %I, PRIMARY KEY (%s, chain))
        WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)', name || '_overlay', name, keys);
    PERFORM pg_temp.make_views(name);
END $$;

-- With what reads them: the views come again behind all of these files, those of the sums in the next one.
DROP TABLE dispute, dispute_hot, dispute_overlay, juror, juror_hot, juror_overlay, opening, opening_hot, opening_overlay CASCADE;

DO $alter$
DECLARE t text;
BEGIN
FOREACH t IN ARRAY ARRAY['job', 'job_hot', 'job_overlay'] LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN stake_at_result_lamports bigint', t);
END LOOP;
END $alter$;
SELECT pg_temp.make_views('job');

-- pubkey: the case. challenger: who got the reward, else who opened it or proved the fault. named: positions of all claims together,
-- opened: positions that are shown. reward_lamports: the part of the slash that went to a claimant or prover. paid: resolved, and nothing
-- lies in it for anybody; collected: and no fine is left to take.
CREATE TABLE dispute_case (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey                   bytea NOT NULL,
    job                      bytea NOT NULL,
    model                    bytea NOT NULL,
    submitter                bytea NOT NULL,
    challenger               bytea,
    prover                   bytea,
    rent_payer               bytea NOT NULL,
    fingerprint              bytea NOT NULL,
    status                   smallint NOT NULL,
    verdict                  smallint,
    ground                   smallint,
    exact_profile            boolean NOT NULL,
    jury_seats               smallint NOT NULL,
    claims                   smallint NOT NULL,
    false_claims             smallint NOT NULL,
    sampled                  smallint NOT NULL,
    named                    smallint NOT NULL,
    opened                   smallint NOT NULL,
    output_tokens            bigint NOT NULL,
    requested_slot           bigint NOT NULL,
    submitted_slot           bigint NOT NULL,
    opened_slot              bigint NOT NULL,
    shown_slot               bigint,
    joining_end_slot         bigint,
    leaves_slot              bigint,
    leaves_due_slot          bigint,
    commit_from_slot         bigint,
    commit_end_slot          bigint,
    reveal_end_slot          bigint,
    due_slot                 bigint,
    resolved_slot            bigint,
    retention_end_slot       bigint,
    forfeit_end_slot         bigint,
    stake_at_result_lamports bigint NOT NULL,
    committed_stake_lamports bigint NOT NULL,
    tariff_lamports          bigint NOT NULL,
    bonds_lamports           bigint NOT NULL,
    held_lamports            bigint NOT NULL,
    output_rent_lamports     bigint NOT NULL,
    slashed_lamports         bigint,
    reward_lamports          bigint,
    claimants_lamports       bigint,
    jurors_lamports          bigint,
    submitter_lamports       bigint,
    prover_lamports          bigint,
    burned_lamports          bigint,
    penalties_lamports       bigint,
    forfeited_lamports       bigint,
    paid                     boolean NOT NULL,
    collected                boolean NOT NULL,
    lamports                 bigint NOT NULL
);
SELECT pg_temp.make_entity('dispute_case', 'pubkey');
CREATE INDEX dispute_case_job ON dispute_case (job);
CREATE INDEX dispute_case_overlay_job ON dispute_case_overlay (chain, job);
CREATE INDEX dispute_case_opened ON dispute_case (opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_case_overlay_opened ON dispute_case_overlay (chain, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_case_resolved ON dispute_case (resolved_slot DESC, pubkey) WHERE resolved_slot IS NOT NULL;
CREATE INDEX dispute_case_overlay_resolved ON dispute_case_overlay (chain, resolved_slot DESC, pubkey) WHERE resolved_slot IS NOT NULL;
CREATE INDEX dispute_case_slashed ON dispute_case (resolved_slot DESC, pubkey) WHERE slashed_lamports > 0 AND resolved_slot IS NOT NULL;
CREATE INDEX dispute_case_status ON dispute_case (status, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_case_submitter ON dispute_case (submitter, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_case_challenger ON dispute_case (challenger, opened_slot DESC, pubkey DESC);
CREATE INDEX dispute_case_unfinished ON dispute_case (opened_slot) WHERE NOT collected;
CREATE INDEX dispute_case_retention ON dispute_case (retention_end_slot) WHERE collected;
CREATE INDEX dispute_case_forfeit ON dispute_case (forfeit_end_slot) WHERE paid AND NOT collected;

-- What somebody says of a result. pubkey: the case; place: the order in which they were made. digest_place: which digest of a vote is of the
-- positions that it names; null if it names none. digest: that of the positions as they were shown.
CREATE TABLE claim (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey                 bytea NOT NULL,
    place                  smallint NOT NULL,
    job                    bytea NOT NULL,
    claimant               bytea NOT NULL,
    kind                   smallint NOT NULL,
    named                  smallint NOT NULL,
    digest_place           smallint,
    digest                 bytea,
    outcome                smallint,
    claimed_slot           bigint NOT NULL,
    at_stake_lamports      bigint NOT NULL,
    answering_fee_lamports bigint NOT NULL,
    tariffs_lamports       bigint NOT NULL,
    amount_lamports        bigint,
    collected              boolean NOT NULL
);
SELECT pg_temp.make_entity('claim', 'pubkey, place');
CREATE INDEX claim_claimant ON claim (claimant);

-- The taken seats of a jury. pubkey: the case. rank is Q16.16. The reward of a juror stands in its first seat.
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
    reward_lamports  bigint,
    penalty_lamports bigint,
    collected        boolean NOT NULL
);
SELECT pg_temp.make_entity('juror', 'pubkey, seat');
CREATE INDEX juror_juror ON juror (juror);

-- What the jury of a case revealed. votes: by seats, null where nothing was revealed, else {digests, values, agrees, right}. An exact vote is digests
-- (of the work, the sample, each claim's positions), a calibrated one values (five logits a sampled position, Q16.16); the account does not
-- say which, so both readings stand here.
CREATE TABLE votes (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey       bytea NOT NULL,
    dispute_case bytea NOT NULL,
    rent_payer   bytea NOT NULL,
    votes        jsonb NOT NULL,
    lamports     bigint NOT NULL
);
SELECT pg_temp.make_entity('votes', 'pubkey');
CREATE INDEX votes_case ON votes (dispute_case);
CREATE INDEX votes_overlay_case ON votes_overlay (chain, dispute_case);

-- Positions that a case checks, and the leaf of a proven fault. pubkey: the case. asked: 1 by the sample, 2 by a claim (its place in `claim`), 3 the
-- fault. Null until shown.
CREATE TABLE opening (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey   bytea NOT NULL,
    place    smallint NOT NULL,
    job      bytea NOT NULL,
    asked    smallint NOT NULL,
    claim    smallint,
    position bigint NOT NULL,
    token    bigint,
    ids      jsonb,
    logits   jsonb
);
SELECT pg_temp.make_entity('opening', 'pubkey, place');

DROP FUNCTION pg_temp.make_entity(text, text);
DROP FUNCTION pg_temp.make_views(text);
