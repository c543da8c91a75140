-- run: projection
-- Accounts of the Compute Market: what a tenant asks for (request), what was agreed and metered (lease, its epochs), who disputes it, and
-- the money. Amounts and slots that are not known yet are null. Columns that end in _second are seconds of Unix time.

-- Makes the views of an entity table: its state at each commitment, and the two parts of its lists. In the form of 0302.
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
        EXECUTE format('CREATE VIEW %1$I AS SELECT %2$s FROM %3$I u
            WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)',
            name || '_' || c.word || '_rooted', cols, name, name || '_overlay', c.chain, on_keys);
        EXECUTE format('CREATE VIEW %1$I AS SELECT %2$s FROM %3$I WHERE chain = %4$s',
            name || '_' || c.word || '_unrooted', cols, name || '_overlay', c.chain);
        EXECUTE format('CREATE VIEW %1$I AS SELECT %2$s FROM (
                SELECT NULL::smallint AS chain, %2$s FROM %3$I UNION ALL SELECT chain, %2$s FROM %4$I) u
             WHERE u.chain = %5$s OR (u.chain IS NULL AND NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s))',
            name || '_' || c.word, cols, name, name || '_overlay', c.chain, on_keys);
    END LOOP;
    EXECUTE format('CREATE VIEW %I AS SELECT %s FROM %I', name || '_finalized', cols, name);
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

CREATE TABLE market_config (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey           bytea NOT NULL,
    admin            bytea NOT NULL,
    pending_admin    bytea,
    foundation       bytea NOT NULL,
    paused           boolean NOT NULL,
    epoch_slots      bigint NOT NULL,
    epoch_seconds    bigint NOT NULL,
    parameters       jsonb NOT NULL,
    initialized_slot bigint NOT NULL,
    updated_slot     bigint NOT NULL,
    lamports         bigint NOT NULL
);
SELECT pg_temp.make_entity('market_config', 'pubkey');

CREATE TABLE market_treasury (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey             bytea NOT NULL,
    balance_lamports   bigint NOT NULL,
    withdrawn_lamports bigint NOT NULL,
    received_lamports  bigint NOT NULL,
    lamports           bigint NOT NULL
) WITH (fillfactor = 80);
SELECT pg_temp.make_entity('market_treasury', 'pubkey');

-- What each unit proves in each epoch: products of two matrices of so many rows, so many rounds of them, in so many slots.
CREATE TABLE class (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey                  bytea NOT NULL,
    name                    text NOT NULL,
    retired                 boolean NOT NULL,
    matrix_side             bigint NOT NULL,
    rounds                  bigint NOT NULL,
    proof_slots             bigint NOT NULL,
    stake_per_unit_lamports bigint NOT NULL,
    vram_mib                bigint NOT NULL,
    calibrated              boolean NOT NULL,
    rent_payer              bytea NOT NULL,
    registered_slot         bigint NOT NULL,
    retired_slot            bigint,
    lamports                bigint NOT NULL
);
SELECT pg_temp.make_entity('class', 'pubkey');
CREATE INDEX class_registered ON class (registered_slot DESC, pubkey DESC);

-- backed: units that stake stands behind. staked_lamports: of all kinds + slashed_lamports + withdrawn_stake_lamports;
-- earned_lamports = claimable_lamports + withdrawn_lamports.
CREATE TABLE provider (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey                   bytea NOT NULL,
    authority                bytea NOT NULL,
    operator                 bytea NOT NULL,
    rent_payer               bytea NOT NULL,
    class                    bytea NOT NULL,
    status                   smallint NOT NULL,
    stake_per_unit_lamports  bigint NOT NULL,
    stake_lamports           bigint NOT NULL,
    activating_lamports      bigint NOT NULL,
    activation_slot          bigint,
    unbonding_lamports       bigint NOT NULL,
    unbonding_slot           bigint,
    obliged_until_slot       bigint,
    claimable_lamports       bigint NOT NULL,
    owed_foundation_lamports bigint NOT NULL,
    owed_burn_lamports       bigint NOT NULL,
    units                    integer NOT NULL,
    leased                   integer NOT NULL,
    backed                   integer NOT NULL,
    price_lamports           bigint NOT NULL,
    region                   text NOT NULL,
    isolation                smallint NOT NULL,
    endpoint                 text NOT NULL,
    open_leases              bigint NOT NULL,
    open_disputes            bigint NOT NULL,
    leases                   bigint NOT NULL,
    proved                   bigint NOT NULL,
    missed                   bigint NOT NULL,
    refuted                  bigint NOT NULL,
    unserved_lamports        bigint NOT NULL,
    staked_lamports          bigint NOT NULL,
    withdrawn_stake_lamports bigint NOT NULL,
    earned_lamports          bigint NOT NULL,
    withdrawn_lamports       bigint NOT NULL,
    slashed_lamports         bigint NOT NULL,
    registered_slot          bigint NOT NULL,
    updated_slot             bigint NOT NULL,
    jailed_until             bigint,
    lamports                 bigint NOT NULL
) WITH (fillfactor = 80);
SELECT pg_temp.make_entity('provider', 'pubkey');
CREATE INDEX provider_registered ON provider (registered_slot DESC, pubkey DESC);
CREATE INDEX provider_overlay_registered ON provider_overlay (registered_slot DESC, pubkey DESC);
CREATE INDEX provider_authority ON provider (authority);
CREATE INDEX provider_overlay_authority ON provider_overlay (authority);
CREATE INDEX provider_class ON provider (class, registered_slot DESC, pubkey DESC);
CREATE INDEX provider_owing ON provider ((owed_foundation_lamports + owed_burn_lamports)) WHERE owed_foundation_lamports + owed_burn_lamports > 0;

-- deposited_lamports: the price of all seconds, which it paid in. An address is used once: its nonce is over before it is closed.
-- due_slot, here and below: from this slot on anyone may have something done about the account as it stands. What is due is found by it.
CREATE TABLE request (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey             bytea NOT NULL,
    tenant             bytea NOT NULL,
    nonce              bytea NOT NULL,
    kind               smallint NOT NULL,
    spec_hash          bytea NOT NULL,
    spec_source        text NOT NULL,
    model              bytea,
    class              bytea NOT NULL,
    units              smallint NOT NULL,
    region             text NOT NULL,
    isolation          smallint NOT NULL,
    provider           bytea,
    price_lamports     bigint NOT NULL,
    seconds            bigint NOT NULL,
    epoch_slots        bigint NOT NULL,
    epoch_seconds      bigint NOT NULL,
    rules              jsonb NOT NULL,
    rent_payer         bytea NOT NULL,
    status             smallint NOT NULL,
    terms_hash         bytea NOT NULL,
    requested_slot     bigint NOT NULL,
    deadline_slot      bigint NOT NULL,
    ended_slot         bigint,
    deposited_lamports bigint NOT NULL,
    escrow_lamports    bigint NOT NULL,
    refunded_lamports  bigint NOT NULL,
    due_slot           bigint,
    lamports           bigint NOT NULL
);
SELECT pg_temp.make_entity('request', 'pubkey');
CREATE INDEX request_recent ON request (requested_slot DESC, pubkey DESC);
CREATE INDEX request_overlay_recent ON request_overlay (requested_slot DESC, pubkey DESC);
CREATE INDEX request_tenant ON request (tenant, requested_slot DESC, pubkey DESC);
CREATE INDEX request_status ON request (status, requested_slot DESC, pubkey DESC);
CREATE INDEX request_provider ON request (provider, requested_slot DESC, pubkey DESC) WHERE provider IS NOT NULL;
CREATE INDEX request_class ON request (class, requested_slot DESC, pubkey DESC);
CREATE INDEX request_ended ON request (ended_slot) WHERE ended_slot IS NOT NULL;
CREATE INDEX request_open_due ON request (due_slot, pubkey) WHERE ended_slot IS NULL;
CREATE INDEX request_ended_due ON request (due_slot, pubkey) WHERE ended_slot IS NOT NULL;

-- One a request, for ever. deposited_lamports + compensated_lamports = escrow_lamports + pending_lamports + paid_lamports +
-- foundation_lamports + burned_lamports + refunded_lamports; tenant_due_lamports of what is refunded still lies there.
CREATE TABLE lease (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey                  bytea NOT NULL,
    request                 bytea NOT NULL,
    request_hash            bytea NOT NULL,
    tenant                  bytea NOT NULL,
    provider                bytea NOT NULL,
    class                   bytea NOT NULL,
    rent_payer              bytea NOT NULL,
    status                  smallint NOT NULL,
    reason                  smallint,
    units                   smallint NOT NULL,
    price_lamports          bigint NOT NULL,
    seconds                 bigint NOT NULL,
    matrix_side             bigint NOT NULL,
    rounds                  bigint NOT NULL,
    proof_slots             bigint NOT NULL,
    stake_per_unit_lamports bigint NOT NULL,
    epoch_slots             bigint NOT NULL,
    epoch_seconds           bigint NOT NULL,
    rules                   jsonb NOT NULL,
    terms_hash              bytea NOT NULL,
    access_hash             bytea,
    accepted_slot           bigint NOT NULL,
    start_end_slot          bigint NOT NULL,
    started_slot            bigint,
    ack_end_slot            bigint,
    acknowledged_slot       bigint,
    notice_epoch            bigint,
    notice_proved           bigint NOT NULL,
    ended_slot              bigint,
    refuted_slot            bigint,
    started_second          bigint,
    metered_second          bigint,
    ends_second             bigint,
    last_proved_epoch       bigint,
    missed                  bigint NOT NULL,
    disputes                bigint NOT NULL,
    open_disputes           bigint NOT NULL,
    deposited_lamports      bigint NOT NULL,
    compensated_lamports    bigint NOT NULL,
    escrow_lamports         bigint NOT NULL,
    pending_lamports        bigint NOT NULL,
    tenant_due_lamports     bigint NOT NULL,
    paid_lamports           bigint NOT NULL,
    foundation_lamports     bigint NOT NULL,
    burned_lamports         bigint NOT NULL,
    refunded_lamports       bigint NOT NULL,
    slashed_lamports        bigint NOT NULL,
    due_slot                bigint,
    lamports                bigint NOT NULL
) WITH (fillfactor = 80);
SELECT pg_temp.make_entity('lease', 'pubkey');
CREATE INDEX lease_accepted ON lease (accepted_slot DESC, pubkey DESC);
CREATE INDEX lease_overlay_accepted ON lease_overlay (accepted_slot DESC, pubkey DESC);
CREATE INDEX lease_tenant ON lease (tenant, accepted_slot DESC, pubkey DESC);
CREATE INDEX lease_provider ON lease (provider, accepted_slot DESC, pubkey DESC);
CREATE INDEX lease_status ON lease (status, accepted_slot DESC, pubkey DESC);
CREATE INDEX lease_class ON lease (class, accepted_slot DESC, pubkey DESC);
CREATE INDEX lease_running_due ON lease (due_slot, pubkey) WHERE ended_slot IS NULL;
CREATE INDEX lease_running_ends ON lease (ends_second, pubkey) WHERE ended_slot IS NULL;
CREATE INDEX lease_owing_due ON lease (due_slot, pubkey) WHERE ended_slot IS NOT NULL AND pending_lamports + tenant_due_lamports > 0;
CREATE INDEX lease_ended_due ON lease (due_slot, pubkey) WHERE ended_slot IS NOT NULL;
CREATE INDEX lease_request ON lease (request);
CREATE INDEX lease_overlay_request ON lease_overlay (request);
CREATE INDEX lease_ended ON lease (ended_slot DESC, pubkey DESC) WHERE ended_slot IS NOT NULL;

-- An epoch of a lease as it was last seen in the ring of its account, which has the newest 32: rows stay when their place is needed for
-- another. pubkey: the lease. proof: null for the seconds behind the last one. The shares are what the parties get if it is paid.
CREATE TABLE lease_epoch (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey                    bytea NOT NULL,
    epoch                     bigint NOT NULL,
    hash                      bytea,
    proof                     bytea,
    seconds                   bigint NOT NULL,
    amount_lamports           bigint NOT NULL,
    provider_share_lamports   bigint NOT NULL,
    foundation_share_lamports bigint NOT NULL,
    burn_share_lamports       bigint NOT NULL,
    metered_slot              bigint NOT NULL,
    dispute_end_slot          bigint NOT NULL,
    open_disputes             bigint NOT NULL,
    state                     smallint NOT NULL
);
SELECT pg_temp.make_entity('lease_epoch', 'pubkey, epoch');
CREATE INDEX lease_epoch_metered ON lease_epoch (metered_slot DESC, pubkey DESC, epoch DESC);
CREATE INDEX lease_epoch_overlay_metered ON lease_epoch_overlay (metered_slot DESC, pubkey DESC, epoch DESC);
CREATE INDEX lease_epoch_unserved ON lease_epoch (metered_slot DESC, pubkey) WHERE state = 3;

-- An address may be used again, so its disputes are told apart by their slots. opened: elements that were shown and are right.
CREATE TABLE lease_dispute (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey             bytea NOT NULL,
    opened_slot        bigint NOT NULL,
    lease              bytea NOT NULL,
    epoch              bigint NOT NULL,
    number             bigint NOT NULL,
    disputer           bytea NOT NULL,
    provider           bytea NOT NULL,
    rent_payer         bytea NOT NULL,
    hash               bytea NOT NULL,
    proof              bytea NOT NULL,
    matrix_side        bigint NOT NULL,
    rounds             bigint NOT NULL,
    units              smallint NOT NULL,
    status             smallint NOT NULL,
    outcome            smallint,
    named              smallint NOT NULL,
    opened             smallint NOT NULL,
    elements           jsonb NOT NULL,
    fee_lamports       bigint NOT NULL,
    at_stake_lamports  bigint NOT NULL,
    openings_end_slot  bigint NOT NULL,
    resolved_slot      bigint,
    retention_end_slot bigint,
    held_lamports      bigint NOT NULL,
    returned_lamports  bigint,
    reward_lamports    bigint,
    slashed_lamports   bigint,
    burned_lamports    bigint,
    paid_lamports      bigint,
    due_slot           bigint,
    lamports           bigint NOT NULL
);
SELECT pg_temp.make_entity('lease_dispute', 'pubkey, opened_slot');
CREATE INDEX lease_dispute_opened ON lease_dispute (opened_slot DESC, pubkey DESC);
CREATE INDEX lease_dispute_overlay_opened ON lease_dispute_overlay (opened_slot DESC, pubkey DESC);
CREATE INDEX lease_dispute_lease ON lease_dispute (lease);
CREATE INDEX lease_dispute_overlay_lease ON lease_dispute_overlay (lease);
CREATE INDEX lease_dispute_disputer ON lease_dispute (disputer, opened_slot DESC, pubkey DESC);
CREATE INDEX lease_dispute_provider ON lease_dispute (provider, opened_slot DESC, pubkey DESC);
CREATE INDEX lease_dispute_open_due ON lease_dispute (due_slot, pubkey) WHERE resolved_slot IS NULL;
CREATE INDEX lease_dispute_resolved_due ON lease_dispute (due_slot, pubkey) WHERE resolved_slot IS NOT NULL;
CREATE INDEX lease_dispute_resolved ON lease_dispute (resolved_slot DESC, pubkey) WHERE resolved_slot IS NOT NULL;

-- The transaction that first showed that something happened to a request, a lease or a dispute, in the slot in which it did.
-- step: 1 requested, 2 accepted, 3 started, 4 acknowledged, 5 proved, 7 disputed, 8 resolved, 9 refuted, 10 ended, 11 cancelled, 12 expired
CREATE TABLE lease_signature (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey    bytea NOT NULL,
    step      smallint NOT NULL,
    signature bytea NOT NULL
);
SELECT pg_temp.make_entity('lease_signature', 'pubkey, slot, step');

DROP FUNCTION pg_temp.make_entity(text, text);
DROP FUNCTION pg_temp.make_views(text);

-- Histories, as in 0303: of rooted banks the amounts as each bank left them.
CREATE TABLE provider_balance (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL, stake_lamports bigint NOT NULL, activating_lamports bigint NOT NULL, unbonding_lamports bigint NOT NULL,
    claimable_lamports bigint NOT NULL, owed_foundation_lamports bigint NOT NULL, owed_burn_lamports bigint NOT NULL,
    earned_lamports bigint NOT NULL, withdrawn_lamports bigint NOT NULL, slashed_lamports bigint NOT NULL,
    unserved_lamports bigint NOT NULL, proved bigint NOT NULL, missed bigint NOT NULL,
    PRIMARY KEY (pubkey, slot, ordinal)
);
CREATE TABLE lease_balance (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL, deposited_lamports bigint NOT NULL, compensated_lamports bigint NOT NULL, escrow_lamports bigint NOT NULL,
    pending_lamports bigint NOT NULL, tenant_due_lamports bigint NOT NULL, paid_lamports bigint NOT NULL,
    foundation_lamports bigint NOT NULL, burned_lamports bigint NOT NULL, refunded_lamports bigint NOT NULL,
    slashed_lamports bigint NOT NULL,
    PRIMARY KEY (pubkey, slot, ordinal)
);
CREATE INDEX lease_balance_slot ON lease_balance (slot DESC, pubkey);
CREATE TABLE market_treasury_balance (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL, balance_lamports bigint NOT NULL, withdrawn_lamports bigint NOT NULL, received_lamports bigint NOT NULL,
    PRIMARY KEY (pubkey, slot, ordinal)
);

-- What a block burned of a lease: what was split, forfeited or called unserved, and stake that was slashed over it and is neither the
-- tenant's nor a disputer's. A lease has running totals, so it is the difference to the row before.
CREATE VIEW lease_burn_finalized AS
SELECT b.pubkey, b.slot,
       b.burned_lamports - COALESCE(p.burned_lamports, 0) + b.slashed_lamports - COALESCE(p.slashed_lamports, 0)
       - b.compensated_lamports + COALESCE(p.compensated_lamports, 0)
       - COALESCE((SELECT sum(d.reward_lamports)::bigint FROM lease_dispute d
                    WHERE d.lease = b.pubkey AND d.resolved_slot > COALESCE(p.slot, -1) AND d.resolved_slot <= b.slot), 0) AS lamports
  FROM lease_balance b LEFT JOIN LATERAL (
       SELECT k.slot, k.burned_lamports, k.slashed_lamports, k.compensated_lamports FROM lease_balance k
        WHERE k.pubkey = b.pubkey AND (k.slot, k.ordinal) < (b.slot, b.ordinal)
        ORDER BY k.slot DESC, k.ordinal DESC LIMIT 1) p ON true;
DO $build$
DECLARE
    c text;
BEGIN
FOREACH c IN ARRAY ARRAY['processed', 'confirmed'] LOOP
    EXECUTE format('CREATE VIEW lease_burn_%1$s_rooted AS SELECT pubkey, slot, lamports FROM lease_burn_finalized', c);
    EXECUTE format($v$
        CREATE VIEW lease_burn_%1$s_unrooted AS
        SELECT o.pubkey, o.slot,
               o.burned_lamports - COALESCE(f.burned_lamports, 0) + o.slashed_lamports - COALESCE(f.slashed_lamports, 0)
               - o.compensated_lamports + COALESCE(f.compensated_lamports, 0)
               - COALESCE((SELECT sum(d.reward_lamports)::bigint FROM lease_dispute_%1$s d
                            WHERE d.lease = o.pubkey AND d.resolved_slot > COALESCE(f.slot, -1) AND d.resolved_slot <= o.slot), 0) AS lamports
          FROM lease_%1$s_unrooted o LEFT JOIN lease f ON f.pubkey = o.pubkey
        $v$, c);
    EXECUTE format('CREATE VIEW lease_burn_%1$s AS SELECT pubkey, slot, lamports FROM lease_burn_%1$s_rooted
        UNION ALL SELECT pubkey, slot, lamports FROM lease_burn_%1$s_unrooted', c);
END LOOP;
-- What tenants paid of their own to call epochs unserved: half of the price, rounded up.
FOREACH c IN ARRAY ARRAY['finalized', 'processed', 'processed_rooted', 'processed_unrooted', 'confirmed', 'confirmed_rooted', 'confirmed_unrooted'] LOOP
    EXECUTE format('CREATE VIEW lease_unserved_%1$s AS SELECT pubkey, metered_slot AS slot, amount_lamports / 2 + mod(amount_lamports, 2) AS lamports
        FROM lease_epoch_%1$s WHERE state = 3', c);
END LOOP;
END $build$;
