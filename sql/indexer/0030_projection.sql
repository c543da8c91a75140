-- run: projection
-- The projected tables. Run with search_path = the projection's schema, once by `migrate` and again by
-- every rebuild into a shadow schema, so nothing here names its own schema.
--
-- For each entity: NAME holds rooted state; NAME_hot one row per entity and unrooted bank;
-- NAME_overlay the newest unrooted row per entity on the processed (chain 1) and the confirmed
-- (chain 2) chain. NAME_processed, NAME_confirmed and NAME_finalized are what they add up to.
-- Keys are bytes, money is lamports, slots are bigint; values above 2^63-1 never get here.

-- Every sealed bank, every gap (status 6, from slot to last_slot; its parent columns name the newest
-- bank that is missing, null once all came) and every dead slot. entities: which tables it changes.
-- status: 1 processed, 2 confirmed, 3 finalized, 4 orphaned, 5 dead, 6 gap
CREATE TABLE slot (
    bank             bigint PRIMARY KEY,
    slot             bigint NOT NULL,
    last_slot        bigint NOT NULL,
    blockhash        bytea,
    parent_slot      bigint,
    parent_blockhash bytea,
    block_time       timestamptz,
    status           smallint NOT NULL,
    on_processed     boolean NOT NULL DEFAULT false,
    replaced         boolean NOT NULL DEFAULT false,
    accounts         integer NOT NULL DEFAULT 0,
    entities         integer NOT NULL DEFAULT 0,
    whole            boolean NOT NULL DEFAULT true,
    healed           boolean NOT NULL DEFAULT false
) WITH (fillfactor = 80);
CREATE INDEX slot_slot ON slot (slot);
CREATE INDEX slot_gap ON slot (last_slot) WHERE status = 6;
CREATE INDEX slot_broken ON slot (slot) WHERE NOT whole;

-- One row: the rooted and chain heads, what the fork tree waits for (a base, the first seal of a run), and the last slot that an unhealed gap covers (rows last written
-- at or below it may have changed unseen).
CREATE TABLE head (
    only_row         boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    processed_bank   bigint,
    processed_slot   bigint,
    confirmed_slot   bigint,
    finalized_slot   bigint,
    inexact_through  bigint NOT NULL DEFAULT -1,
    last_event       bigint NOT NULL DEFAULT 0,
    root_hash        bytea,
    run_fresh        boolean NOT NULL DEFAULT false,
    base_event       bigint,
    base_slot        bigint,
    base_as_of_slot  bigint,
    base_as_of_hash  bytea
) WITH (fillfactor = 50);
INSERT INTO head DEFAULT VALUES;

-- Makes NAME_hot, NAME_overlay and the three views of an entity table.
CREATE FUNCTION pg_temp.make_entity(name text, keys text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    on_keys text;
    cols text;
    c record;
BEGIN
    SELECT string_agg(format('o.%1$I = f.%1$I', trim(k)), ' AND ') INTO on_keys FROM unnest(string_to_array(keys, ',')) k;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO cols
        FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped;
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)', name, keys);
    EXECUTE format('CREATE TABLE %I (LIKE %I, PRIMARY KEY (bank, %s))
        WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)', name || '_hot', name, keys);
    EXECUTE format('CREATE TABLE %I (chain smallint NOT NULL, LIKE %I, PRIMARY KEY (chain, %s))
        WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)', name || '_overlay', name, keys);
    EXECUTE format('CREATE INDEX ON %I (bank)', name || '_overlay');
    FOR c IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word) LOOP
        EXECUTE format('CREATE VIEW %1$I AS
            SELECT %2$s FROM %3$I f WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)
            UNION ALL SELECT %2$s FROM %4$I WHERE chain = %5$s',
            name || '_' || c.word, cols, name, name || '_overlay', c.chain, on_keys);
    END LOOP;
    EXECUTE format('CREATE VIEW %I AS SELECT %s FROM %I', name || '_finalized', cols, name);
END $$;

-- Each entity table begins with where its row was written: bank, its slot, the ordinal of the update in
-- it, the account's own write counter, and whether every write up to here was seen.
CREATE TABLE job (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey              bytea NOT NULL,
    requested_slot      bigint NOT NULL,
    owner               bytea NOT NULL,
    requester           bytea NOT NULL,
    canceller           bytea NOT NULL,
    nonce               bytea NOT NULL,
    model               bytea NOT NULL,
    validator           bytea,
    rent_payer          bytea NOT NULL,
    spend_grant         bytea,
    status              smallint NOT NULL,
    end_reason          smallint,
    finish_reason       smallint,
    prompt_hash         bytea NOT NULL,
    prompt_tokens       bigint NOT NULL,
    max_output_tokens   bigint NOT NULL,
    output_tokens       bigint,
    price_in            bigint NOT NULL,
    price_out           bigint NOT NULL,
    seed                bytea NOT NULL,
    temperature_milli   integer NOT NULL,
    sampling_profile    smallint NOT NULL,
    stop_hash           bytea,
    prompt_source       text NOT NULL,
    terms_hash          bytea NOT NULL,
    deadline_slot       bigint NOT NULL,
    window_slots        bigint NOT NULL,
    accepted_slot       bigint,
    cancel_slot         bigint,
    submitted_slot      bigint,
    disputed_slot       bigint,
    ended_slot          bigint,
    window_end_slot     bigint,
    open_disputes       integer NOT NULL,
    output_root         bytea,
    fingerprint         bytea,
    ceiling_lamports    bigint NOT NULL,
    fee_lamports        bigint,
    validator_lamports  bigint,
    foundation_lamports bigint,
    burned_lamports     bigint,
    refunded_lamports   bigint,
    slashed_lamports    bigint,
    lamports            bigint NOT NULL
);
SELECT pg_temp.make_entity('job', 'pubkey, requested_slot');
CREATE INDEX job_recent ON job (requested_slot DESC, pubkey);
CREATE INDEX job_owner ON job (owner, requested_slot DESC);
CREATE INDEX job_requester ON job (requester, requested_slot DESC);
CREATE INDEX job_validator ON job (validator, requested_slot DESC);
CREATE INDEX job_running ON job (status, window_end_slot) WHERE status IN (1, 2, 3, 4);
CREATE INDEX job_ended ON job (ended_slot) WHERE ended_slot IS NOT NULL;

-- The transaction that first showed a transition, where a bank with it was seen.
-- step: 1 requested, 2 accepted, 3 cancel noted, 4 submitted, 5 disputed, 6 ended
CREATE TABLE job_signature (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey         bytea NOT NULL,
    requested_slot bigint NOT NULL,
    step           smallint NOT NULL,
    signature      bytea NOT NULL
);
SELECT pg_temp.make_entity('job_signature', 'pubkey, requested_slot, step');

CREATE TABLE validator (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey             bytea NOT NULL,
    authority          bytea NOT NULL,
    operator           bytea NOT NULL,
    rent_payer         bytea NOT NULL,
    status             smallint NOT NULL,
    stake              bigint NOT NULL,
    activating         bigint NOT NULL,
    activation_slot    bigint,
    unbonding          bigint NOT NULL,
    unbonding_slot     bigint,
    open_jobs          bigint NOT NULL,
    open_disputes      bigint NOT NULL,
    claimable          bigint NOT NULL,
    owed_foundation    bigint NOT NULL,
    owed_burn          bigint NOT NULL,
    gpu_name           text NOT NULL,
    vram_mib           bigint NOT NULL,
    endpoint           text NOT NULL,
    models             jsonb NOT NULL,
    jobs_settled       bigint NOT NULL,
    jobs_missed        bigint NOT NULL,
    jobs_declined      bigint NOT NULL,
    earned             bigint NOT NULL,
    slashed            bigint NOT NULL,
    registered_slot    bigint NOT NULL,
    jailed_until       bigint,
    lamports           bigint NOT NULL
);
SELECT pg_temp.make_entity('validator', 'pubkey');

-- Absolute stake after every write of a validator account; differences are a view's.
CREATE TABLE validator_stake (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey     bytea NOT NULL,
    authority  bytea NOT NULL,
    stake      bigint NOT NULL,
    activating bigint NOT NULL,
    unbonding  bigint NOT NULL
);
SELECT pg_temp.make_entity('validator_stake', 'pubkey, slot, ordinal');

CREATE TABLE model (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey             bytea NOT NULL,
    identity           bytea NOT NULL,
    name               text NOT NULL,
    registrant         bytea NOT NULL,
    price_in           bigint NOT NULL,
    price_out          bigint NOT NULL,
    retired            boolean NOT NULL,
    weights_hash       bytea NOT NULL,
    tokenizer_hash     bytea NOT NULL,
    template_hash      bytea NOT NULL,
    quantisation       integer NOT NULL,
    kernel_profile     integer NOT NULL,
    eos_ids            jsonb NOT NULL,
    context_length     bigint NOT NULL,
    max_job_tokens     bigint NOT NULL,
    error_ppm          bigint NOT NULL,
    miss_ppm           bigint NOT NULL,
    commit_slots       bigint NOT NULL,
    min_vram_mib       bigint NOT NULL,
    registered_slot    bigint NOT NULL,
    retired_slot       bigint,
    burned_lamports    bigint NOT NULL,
    lamports           bigint NOT NULL
);
SELECT pg_temp.make_entity('model', 'pubkey');

CREATE TABLE vault (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey     bytea NOT NULL,
    owner      bytea NOT NULL,
    rent_payer bytea NOT NULL,
    balance    bigint NOT NULL,
    held       bigint NOT NULL,
    open_jobs  bigint NOT NULL,
    deposited  bigint NOT NULL,
    withdrawn  bigint NOT NULL,
    spent      bigint NOT NULL,
    created_slot bigint NOT NULL,
    lamports   bigint NOT NULL
);
SELECT pg_temp.make_entity('vault', 'pubkey');
CREATE INDEX vault_owner ON vault (owner);

CREATE TABLE spend_grant (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey         bytea NOT NULL,
    owner          bytea NOT NULL,
    delegate       bytea NOT NULL,
    rent_payer     bytea NOT NULL,
    per_job_max    bigint NOT NULL,
    window_max     bigint NOT NULL,
    window_slots   bigint NOT NULL,
    window_start   bigint NOT NULL,
    window_spent   bigint NOT NULL,
    lifetime_cap   bigint NOT NULL,
    lifetime_spent bigint NOT NULL,
    expiry_slot    bigint NOT NULL,
    revoked        boolean NOT NULL,
    revoked_slot   bigint,
    created_slot   bigint NOT NULL,
    open_jobs      bigint NOT NULL,
    models         jsonb NOT NULL,
    lamports       bigint NOT NULL
);
SELECT pg_temp.make_entity('spend_grant', 'pubkey');
CREATE INDEX spend_grant_owner ON spend_grant (owner);
CREATE INDEX spend_grant_delegate ON spend_grant (delegate);

CREATE TABLE dispute (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey         bytea NOT NULL,
    job            bytea NOT NULL,
    challenger     bytea NOT NULL,
    submitter      bytea NOT NULL,
    fingerprint    bytea NOT NULL,
    status         smallint NOT NULL,
    verdict        smallint,
    jury_seats     smallint NOT NULL,
    bond_lamports  bigint NOT NULL,
    opened_slot    bigint NOT NULL,
    completed_slot bigint,
    resolved_slot  bigint,
    slashed_lamports    bigint NOT NULL,
    challenger_lamports bigint NOT NULL,
    jurors_lamports     bigint NOT NULL,
    submitter_lamports  bigint NOT NULL,
    burned_lamports     bigint NOT NULL,
    lamports       bigint NOT NULL
);
SELECT pg_temp.make_entity('dispute', 'pubkey');
CREATE INDEX dispute_job ON dispute (job);

CREATE TABLE treasury (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey   bytea NOT NULL,
    balance  bigint NOT NULL,
    withdrawn bigint NOT NULL,
    received bigint NOT NULL,
    lamports bigint NOT NULL
);
SELECT pg_temp.make_entity('treasury', 'pubkey');

CREATE TABLE config (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey        bytea NOT NULL,
    admin         bytea NOT NULL,
    pending_admin bytea,
    foundation    bytea NOT NULL,
    paused        boolean NOT NULL,
    parameters    jsonb NOT NULL,
    lamports      bigint NOT NULL
);
SELECT pg_temp.make_entity('config', 'pubkey');

-- The newest time each account was closed (no lamports, or another owner). A row older than its
-- account's closure is hidden from the views, jobs excepted: how a job ended stays.
CREATE TABLE closure (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL
);
SELECT pg_temp.make_entity('closure', 'pubkey');
DROP FUNCTION pg_temp.make_entity(text, text);
