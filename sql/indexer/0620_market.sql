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

-- Sums, kept while rows are written, so that they cost the same however many leases there are. They are a function of the final rows; a
-- rebuild counts them at its end (`recount`). Lamports are numeric: what a wallet sends round and round fits, and stops no writer.

-- Epochs of a lease that have a proof: those since its start that were not missed. An end counts missed ones as well: all since the last
-- proof, or, if the paid time is over, as many as it had left. Whether it was over, its reason or its meter says, or else `over` must.
CREATE FUNCTION lease_proved(started_slot bigint, acknowledged_slot bigint, ended_slot bigint, reason smallint, epoch_slots bigint,
    epoch_seconds bigint, last_proved_epoch bigint, missed bigint, metered_second bigint, ends_second bigint, over boolean)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN $1 IS NULL THEN 0 ELSE $7 - $1 / NULLIF($5, 0) - $8 +
        CASE WHEN $3 IS NULL OR $2 IS NULL OR $4 = 7 THEN 0
             WHEN $4 = 6 OR greatest($3 / NULLIF($5, 0) - $7 - 1, 0) <= ($10 - $9) / NULLIF($6, 0)
                 THEN greatest($3 / NULLIF($5, 0) - $7 - 1, 0)
             ELSE CASE $4 = 1 OR $9 >= $10 OR $11
                      WHEN true THEN ($10 - $9) / NULLIF($6, 0) WHEN false THEN greatest($3 / NULLIF($5, 0) - $7 - 1, 0) END
        END END
$$;

CREATE TABLE market_sum (
    only_row              boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    open_requests         bigint NOT NULL DEFAULT 0,
    leases                bigint NOT NULL DEFAULT 0,
    running_leases        bigint NOT NULL DEFAULT 0,
    epochs_proved         bigint NOT NULL DEFAULT 0,
    epochs_missed         bigint NOT NULL DEFAULT 0,
    disputes              bigint NOT NULL DEFAULT 0,
    open_disputes         bigint NOT NULL DEFAULT 0,
    deposited_lamports    numeric NOT NULL DEFAULT 0,
    compensated_lamports  numeric NOT NULL DEFAULT 0,
    escrow_lamports       numeric NOT NULL DEFAULT 0,
    pending_lamports      numeric NOT NULL DEFAULT 0,
    paid_lamports         numeric NOT NULL DEFAULT 0,
    foundation_lamports   numeric NOT NULL DEFAULT 0,
    burned_lamports       numeric NOT NULL DEFAULT 0,
    refunded_lamports     numeric NOT NULL DEFAULT 0,
    slashed_lamports      numeric NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO market_sum DEFAULT VALUES;

-- A UTC day of the block time; -infinity: what happened in slots whose time is not known.
CREATE TABLE market_day (
    day                 date PRIMARY KEY,
    requests            bigint NOT NULL DEFAULT 0,
    leases_accepted     bigint NOT NULL DEFAULT 0,
    leases_ended        bigint NOT NULL DEFAULT 0,
    epochs_proved       bigint NOT NULL DEFAULT 0,
    disputes            bigint NOT NULL DEFAULT 0,
    paid_lamports       numeric NOT NULL DEFAULT 0,
    foundation_lamports numeric NOT NULL DEFAULT 0,
    burned_lamports     numeric NOT NULL DEFAULT 0,
    refunded_lamports   numeric NOT NULL DEFAULT 0,
    slashed_lamports    numeric NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- `update market_sum` by rows `r` with a sign.
CREATE FUNCTION pg_temp.add_sums(columns text[], made text[], of_rows text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN columns <> '{}' THEN format('UPDATE market_sum m SET %s FROM (SELECT %s FROM (%s) r) d WHERE (%s) <> (%s);',
        string_agg(format('%1$s = m.%1$s + d.%1$s', c), ', '), string_agg(format('COALESCE(sum(r.sign * %s), 0) AS %s', e, c), ', '), of_rows,
        string_agg('d.' || c, ', '), string_agg('0', ', ')) END FROM unnest(columns, made) x(c, e)
$$;
-- Rows of two tables of one shape as pairs, one with a minus, if one of these columns differs.
CREATE FUNCTION pg_temp.changed(keys text, columns text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT 1 AS sign, n.* FROM new_rows n JOIN old_rows o ON %1$s WHERE (%2$s) IS DISTINCT FROM (%3$s)
        UNION ALL SELECT -1, o.* FROM new_rows n JOIN old_rows o ON %1$s WHERE (%2$s) IS DISTINCT FROM (%3$s)',
        (SELECT string_agg(format('n.%1$s = o.%1$s', trim(k)), ' AND ') FROM unnest(string_to_array(keys, ',')) k),
        string_agg('n.' || trim(c), ', '), string_agg('o.' || trim(c), ', ')) FROM unnest(string_to_array(columns, ',')) c
$$;

DO $build$
DECLARE
    amounts CONSTANT text := 'deposited_lamports, compensated_lamports, escrow_lamports, pending_lamports, paid_lamports, foundation_lamports, '
        'burned_lamports, refunded_lamports, slashed_lamports';
    -- Where neither its reason nor its meter says whether the time of a lease was over, more had passed than it had left: so it was.
    proved CONSTANT text := 'COALESCE(lease_proved(r.started_slot, r.acknowledged_slot, r.ended_slot, r.reason, r.epoch_slots, r.epoch_seconds,
        r.last_proved_epoch, r.missed, r.metered_second, r.ends_second, true), 0)';
    -- What a row says happened, and in which slot.
    columns CONSTANT text := 'requests, leases_accepted, leases_ended, epochs_proved, disputes, paid_lamports, foundation_lamports, '
        'burned_lamports, refunded_lamports, slashed_lamports';
    acts CONSTANT text := 'e(slot, ' || columns || ')';
    of_request CONSTANT text := '(VALUES (r.requested_slot, 1, 0, 0, 0, 0, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric))';
    of_lease CONSTANT text := '(VALUES (r.accepted_slot, 0, 1, 0, 0, 0, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric),
        (r.ended_slot, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0))';
    of_epoch CONSTANT text := '(VALUES (CASE WHEN r.proof IS NOT NULL THEN r.metered_slot END, 0, 0, 0, 1, 0, 0::numeric, 0::numeric,
        0::numeric, 0::numeric, 0::numeric))';
    of_dispute CONSTANT text := '(VALUES (r.opened_slot, 0, 0, 0, 0, 1, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric))';
    -- The amounts of a lease are running totals: a row moved the difference to the one before, `p`.
    of_balance CONSTANT text := '(VALUES (r.slot, 0, 0, 0, 0, 0, r.paid_lamports::numeric - COALESCE(p.paid_lamports, 0),
        r.foundation_lamports::numeric - COALESCE(p.foundation_lamports, 0), r.burned_lamports::numeric - COALESCE(p.burned_lamports, 0),
        r.refunded_lamports::numeric - COALESCE(p.refunded_lamports, 0), r.slashed_lamports::numeric - COALESCE(p.slashed_lamports, 0)))';
    before CONSTANT text := 'LEFT JOIN LATERAL (SELECT k.* FROM lease_balance k WHERE k.pubkey = r.pubkey AND (k.slot, k.ordinal) < (r.slot, r.ordinal)
        %s ORDER BY k.slot DESC, k.ordinal DESC LIMIT 1) p ON true';
    -- From `undated` acts with a sign, each slot looked up once, or `dated` ones, into the days.
    dated CONSTANT text := ',
        days AS MATERIALIZED (SELECT d.slot, COALESCE((SELECT (s.block_time AT TIME ZONE ''UTC'')::date FROM slot s
            WHERE s.slot = d.slot AND s.status = 3 AND s.block_time IS NOT NULL LIMIT 1), ''-infinity'') AS day
            FROM (SELECT DISTINCT slot FROM undated) d),
        dated AS MATERIALIZED (SELECT d.day, u.* FROM undated u JOIN days d USING (slot))';
    add_up text;
    recount text := 'DELETE FROM market_day; DELETE FROM market_sum; INSERT INTO market_sum DEFAULT VALUES;';
    v record;
    c record;
BEGIN
    SELECT format($sql$
        INSERT INTO market_day AS t (day, %1$s) SELECT a.day, %2$s FROM dated a GROUP BY 1 HAVING (%2$s) <> (%3$s)
        ON CONFLICT (day) DO UPDATE SET %4$s;
        DELETE FROM market_day WHERE (%1$s) = (%3$s);
        $sql$, columns, string_agg(format('sum(a.sign * a.%s)', trim(x)), ', '), string_agg('0', ', '),
        string_agg(format('%1$s = t.%1$s + EXCLUDED.%1$s', trim(x)), ', ')) INTO add_up FROM unnest(string_to_array(columns, ',')) x;

    -- Of each table: its keys, what of it is counted in `market_sum`, the columns that this and what happened are made of.
    FOR v IN SELECT * FROM (VALUES
        ('request', 'pubkey', ARRAY['open_requests'], ARRAY['(r.status = 1)::int'], 'requested_slot, status', of_request),
        ('lease', 'pubkey', ARRAY['leases', 'running_leases', 'epochs_proved', 'epochs_missed'] || string_to_array(amounts, ', '),
         ARRAY['1', '(r.status <> 5)::int', proved, 'r.missed'] || string_to_array('r.' || replace(amounts, ', ', ', r.'), ', '),
         'accepted_slot, started_slot, acknowledged_slot, ended_slot, status, reason, epoch_slots, epoch_seconds, last_proved_epoch, missed,
          metered_second, ends_second, ' || amounts, of_lease),
        ('lease_epoch', 'pubkey, epoch', '{}', '{}', 'proof, metered_slot', of_epoch),
        ('lease_dispute', 'pubkey, opened_slot', ARRAY['disputes', 'open_disputes'], ARRAY['1', '(r.status <> 3)::int'], 'status', of_dispute)
    ) x(name, keys, counted, made, columns, happened) LOOP
        FOR c IN SELECT * FROM (VALUES
            ('inserted', 'INSERT', 'NEW TABLE AS new_rows', 'SELECT 1 AS sign, n.* FROM new_rows n'),
            ('updated', 'UPDATE', 'OLD TABLE AS old_rows NEW TABLE AS new_rows', pg_temp.changed(v.keys, v.columns))
        ) y(event, at, tables, touched) LOOP
            EXECUTE format($sql$
                CREATE FUNCTION market_%1$s_%2$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
                BEGIN
                    IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
                    %5$s
                    WITH undated AS MATERIALIZED (SELECT r.sign, e.* FROM (%6$s) r CROSS JOIN LATERAL %7$s WHERE e.slot IS NOT NULL) %8$s
                    RETURN NULL;
                END $f$;
                CREATE TRIGGER market_%2$s AFTER %3$s ON %1$s REFERENCING %4$s
                    FOR EACH STATEMENT EXECUTE FUNCTION market_%1$s_%2$s();
                $sql$, v.name, c.event, c.at, c.tables, COALESCE(pg_temp.add_sums(v.counted, v.made, c.touched), ''), c.touched,
                v.happened || ' ' || acts, dated || add_up);
        END LOOP;
        recount := recount || COALESCE(pg_temp.add_sums(v.counted, v.made, format('SELECT 1 AS sign, x.* FROM %s x', v.name)), '')
            || format('WITH undated AS MATERIALIZED (SELECT 1 AS sign, e.* FROM %s r CROSS JOIN LATERAL %s WHERE e.slot IS NOT NULL) %s',
                v.name, v.happened || ' ' || acts, dated || add_up);
    END LOOP;

    -- A row of a lease's amounts that comes between others takes its part from the next.
    EXECUTE format($sql$
        CREATE FUNCTION market_lease_balance_inserted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
        BEGIN
            IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
            WITH next AS MATERIALIZED (
                SELECT DISTINCT s.* FROM new_rows n CROSS JOIN LATERAL (SELECT k.* FROM lease_balance k
                        WHERE k.pubkey = n.pubkey AND (k.slot, k.ordinal) > (n.slot, n.ordinal) ORDER BY k.slot, k.ordinal LIMIT 1) s
                 WHERE NOT EXISTS (SELECT FROM new_rows f WHERE (f.pubkey, f.slot, f.ordinal) = (s.pubkey, s.slot, s.ordinal))),
            undated AS MATERIALIZED (
                SELECT 1 AS sign, e.* FROM (SELECT * FROM new_rows UNION ALL SELECT * FROM next) r %1$s CROSS JOIN LATERAL %3$s
                UNION ALL SELECT -1, e.* FROM next r %2$s CROSS JOIN LATERAL %3$s) %4$s
            RETURN NULL;
        END $f$;
        CREATE TRIGGER market_inserted AFTER INSERT ON lease_balance REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION market_lease_balance_inserted();
        $sql$, format(before, ''),
        format(before, 'AND NOT EXISTS (SELECT FROM new_rows f WHERE (f.pubkey, f.slot, f.ordinal) = (k.pubkey, k.slot, k.ordinal))'),
        of_balance || ' ' || acts, dated || add_up);
    recount := recount || format('WITH undated AS MATERIALIZED (SELECT 1 AS sign, e.* FROM lease_balance r %s CROSS JOIN LATERAL %s) %s',
        format(before, ''), of_balance || ' ' || acts, dated || add_up);

    -- A bank that came late gives its slot a time: what happened there moves to its day.
    FOR v IN SELECT * FROM (VALUES
        ('inserted', 'INSERT', 'NEW TABLE AS new_rows', 'true'),
        ('updated', 'UPDATE', 'OLD TABLE AS old_rows NEW TABLE AS new_rows',
         'NOT EXISTS (SELECT FROM old_rows p WHERE p.bank = n.bank AND p.status = 3 AND p.block_time IS NOT NULL)')
    ) x(event, at, tables, fresh) LOOP
        EXECUTE format($sql$
            CREATE FUNCTION market_slot_%1$s() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
            BEGIN
                IF NOT EXISTS (SELECT FROM market_day WHERE day = '-infinity') THEN RETURN NULL; END IF;
                WITH timed AS (SELECT n.slot, (n.block_time AT TIME ZONE 'UTC')::date AS day FROM new_rows n
                                WHERE n.status = 3 AND n.block_time IS NOT NULL AND %4$s),
                moved AS MATERIALIZED (SELECT d.day AS to_day, e.* FROM timed d CROSS JOIN LATERAL (
                    SELECT f.* FROM (SELECT * FROM request WHERE requested_slot = d.slot) r CROSS JOIN LATERAL %5$s f
                    UNION ALL
                    SELECT f.* FROM (SELECT * FROM lease WHERE accepted_slot = d.slot
                                     UNION ALL SELECT * FROM lease WHERE ended_slot = d.slot AND accepted_slot <> d.slot) r CROSS JOIN LATERAL %6$s f
                    UNION ALL
                    SELECT f.* FROM (SELECT * FROM lease_epoch WHERE metered_slot = d.slot) r CROSS JOIN LATERAL %7$s f
                    UNION ALL
                    SELECT f.* FROM (SELECT * FROM lease_dispute WHERE opened_slot = d.slot) r CROSS JOIN LATERAL %8$s f
                    UNION ALL
                    SELECT f.* FROM (SELECT * FROM lease_balance WHERE slot = d.slot) r %9$s CROSS JOIN LATERAL %10$s f) %11$s
                    WHERE e.slot = d.slot),
                dated AS (SELECT to_day AS day, 1 AS sign, m.* FROM moved m UNION ALL SELECT '-infinity', -1, m.* FROM moved m) %12$s
                RETURN NULL;
            END $f$;
            CREATE TRIGGER market_%1$s AFTER %2$s ON slot REFERENCING %3$s FOR EACH STATEMENT EXECUTE FUNCTION market_slot_%1$s();
            $sql$, v.event, v.at, v.tables, v.fresh, of_request, of_lease, of_epoch, of_dispute, format(before, ''), of_balance, acts, add_up);
    END LOOP;

    ALTER FUNCTION recount() RENAME TO recount_network;
    EXECUTE format('CREATE FUNCTION recount() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
        BEGIN PERFORM recount_network(); %s END $f$', recount);

    -- The sums at each commitment: those of the final rows, less the rows that the overlay covers, and the overlay's.
    CREATE VIEW market_sum_finalized AS SELECT * FROM market_sum;
    FOR v IN SELECT * FROM (VALUES ('processed'), ('confirmed')) x(name) LOOP
        EXECUTE format($sql$
            CREATE VIEW market_sum_%1$s AS
            SELECT m.only_row, m.open_requests + r.open_requests AS open_requests, m.leases + l.leases AS leases,
                   m.running_leases + l.running_leases AS running_leases, m.epochs_proved + l.epochs_proved AS epochs_proved,
                   m.epochs_missed + l.epochs_missed AS epochs_missed, m.disputes + d.disputes AS disputes,
                   m.open_disputes + d.open_disputes AS open_disputes, %2$s
              FROM market_sum m
                   CROSS JOIN (SELECT COALESCE(sum(sign * (status = 1)::int), 0)::bigint AS open_requests FROM (
                        SELECT 1 AS sign, o.status FROM request_%1$s_unrooted o
                        UNION ALL SELECT -1, f.status FROM request_%1$s_unrooted o JOIN request f USING (pubkey)) r) r
                   CROSS JOIN (SELECT COALESCE(sum(sign), 0)::bigint AS leases, COALESCE(sum(sign * (status <> 5)::int), 0)::bigint AS running_leases,
                        COALESCE(sum(sign * %3$s), 0)::bigint AS epochs_proved, COALESCE(sum(sign * missed), 0)::bigint AS epochs_missed, %4$s FROM (
                        SELECT 1 AS sign, o.* FROM lease_%1$s_unrooted o
                        UNION ALL SELECT -1, f.* FROM lease_%1$s_unrooted o JOIN lease f ON f.pubkey = o.pubkey) r) l
                   CROSS JOIN (SELECT COALESCE(sum(sign), 0)::bigint AS disputes, COALESCE(sum(sign * (status <> 3)::int), 0)::bigint AS open_disputes FROM (
                        SELECT 1 AS sign, o.status FROM lease_dispute_%1$s_unrooted o
                        UNION ALL SELECT -1, f.status FROM lease_dispute_%1$s_unrooted o JOIN lease_dispute f USING (pubkey, opened_slot)) r) d
            $sql$, v.name, (SELECT string_agg(format('m.%1$s + l.%1$s AS %1$s', a), ', ') FROM unnest(string_to_array(amounts, ', ')) a), proved,
            (SELECT string_agg(format('COALESCE(sum(sign * %1$s::numeric), 0) AS %1$s', a), ', ') FROM unnest(string_to_array(amounts, ', ')) a));
    END LOOP;
END $build$;
DROP FUNCTION pg_temp.add_sums(text[], text[], text);
DROP FUNCTION pg_temp.changed(text, text);
