-- run: views
-- The Compute Market: who leases out what, what is asked for, leases with their epochs and disputes, and the money: schema `analytics`,
-- with the manners of 0240_views.sql. Rows of requests, leases, epochs and disputes stay when accounts are closed.

DO $build$
DECLARE
    c text;
    part record;
    -- Of a row %1$s: whether it is all that there is to know, at commitment %%1$s.
    seen CONSTANT text := '%1$s.exact AND %1$s.slot > (SELECT through FROM inexact_%%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%%1$s q WHERE q.pubkey = %1$s.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (%1$s.slot, %1$s.ordinal))';
    -- And of one that stays when its account is closed.
    stays CONSTANT text := '
               AND COALESCE((SELECT x.exact FROM closure_%%1$s x WHERE x.pubkey = %1$s.pubkey AND (x.slot, x.ordinal) > (%1$s.slot, %1$s.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true)';
    -- Of a row %1$s: how far it has come.
    came CONSTANT text := 'COALESCE((SELECT CASE s.status WHEN 1 THEN ''processed'' WHEN 2 THEN ''confirmed'' ELSE ''finalized'' END
                   FROM slot s WHERE s.bank = %1$s.bank), ''finalized'')';
    -- The slot in which the account of a row %1$s was closed.
    closing CONSTANT text := '(SELECT x.slot FROM closure_%%1$s x WHERE x.pubkey = %1$s.pubkey AND (x.slot, x.ordinal) > (%1$s.slot, %1$s.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1)';
BEGIN
FOR part IN SELECT * FROM (VALUES
    ('analytics', 'processed', 'processed'), ('analytics', 'confirmed', 'confirmed'), ('analytics', 'finalized', 'finalized'),
    ('listing', 'processed_rooted', 'processed'), ('listing', 'processed_unrooted', 'processed'),
    ('listing', 'confirmed_rooted', 'confirmed'), ('listing', 'confirmed_unrooted', 'confirmed'), ('listing', 'finalized', 'finalized')
) v(schema, suffix, commitment) LOOP
c := part.commitment;

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.classes_%3$s AS
SELECT i.base58 AS id, k.pubkey AS id_key, k.name, k.retired, k.matrix_side, k.rounds, k.proof_slots, k.stake_per_unit_lamports, k.vram_mib,
       k.calibrated, (SELECT a.base58 FROM address a WHERE a.key = k.rent_payer) AS rent_payer, k.registered_slot, k.retired_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = k.registered_slot AND NOT s.gap LIMIT 1) AS registered_at,
       k.slot, k.write_seq, $v$ || format(came, 'k') || $v$ AS commitment, $v$ || format(seen, 'k') || $v$ AS exact, k.lamports
FROM class_%3$s k LEFT JOIN address i ON i.key = k.pubkey
WHERE NOT EXISTS (SELECT FROM closure_%1$s x WHERE x.pubkey = k.pubkey AND (x.slot, x.ordinal) > (k.slot, k.ordinal))
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.providers_%3$s AS
SELECT i.base58 AS id, p.pubkey AS id_key, u.base58 AS authority, p.authority AS authority_key, o.base58 AS operator, p.operator AS operator_key,
       k.base58 AS class, p.class AS class_key, (SELECT n.name FROM class_%1$s n WHERE n.pubkey = p.class) AS class_name,
       CASE p.status WHEN 1 THEN 'active' WHEN 2 THEN 'jailed' END AS status,
       p.units, p.leased AS leased_units, p.backed AS backed_units, greatest(p.units - p.leased, 0) AS free_units, p.price_lamports, p.region,
       CASE p.isolation WHEN 0 THEN 'process' WHEN 1 THEN 'container' WHEN 2 THEN 'sandbox' END AS isolation, p.endpoint,
       p.stake_lamports, p.activating_lamports, p.activation_slot, p.unbonding_lamports, p.unbonding_slot, p.obliged_until_slot,
       p.stake_per_unit_lamports, p.claimable_lamports, p.owed_foundation_lamports, p.owed_burn_lamports,
       p.open_leases, p.open_disputes, p.leases, p.proved AS epochs_proved, p.missed AS epochs_missed, p.refuted AS proofs_refuted,
       p.unserved_lamports, p.staked_lamports AS paid_in_lamports, p.withdrawn_stake_lamports, p.earned_lamports, p.withdrawn_lamports,
       p.slashed_lamports, p.registered_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = p.registered_slot AND NOT s.gap LIMIT 1) AS registered_at,
       p.updated_slot, p.jailed_until AS jailed_until_slot, (SELECT a.base58 FROM address a WHERE a.key = p.rent_payer) AS rent_payer,
       p.slot, p.write_seq, $v$ || format(came, 'p') || $v$ AS commitment, $v$ || format(seen, 'p') || $v$ AS exact, p.lamports
FROM provider_%3$s p LEFT JOIN address i ON i.key = p.pubkey LEFT JOIN address u ON u.key = p.authority
     LEFT JOIN address o ON o.key = p.operator LEFT JOIN address k ON k.key = p.class
WHERE (SELECT x.slot FROM closure_%1$s x WHERE x.pubkey = p.pubkey AND (x.slot, x.ordinal) > (p.slot, p.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1) IS NULL
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.requests_%3$s AS
SELECT i.base58 AS id, r.pubkey AS id_key, t.base58 AS tenant, r.tenant AS tenant_key,
       CASE r.status WHEN 1 THEN 'open' WHEN 2 THEN 'accepted' WHEN 3 THEN 'cancelled' WHEN 4 THEN 'expired' END AS status,
       CASE r.kind WHEN 1 THEN 'endpoint' WHEN 2 THEN 'container' END AS kind,
       m.base58 AS model, r.model AS model_key, k.base58 AS class, r.class AS class_key,
       (SELECT n.name FROM class_%1$s n WHERE n.pubkey = r.class) AS class_name, p.base58 AS provider, r.provider AS provider_key,
       r.units, r.region, CASE r.isolation WHEN 0 THEN 'process' WHEN 1 THEN 'container' WHEN 2 THEN 'sandbox' END AS isolation,
       r.price_lamports, r.seconds, r.deposited_lamports, r.escrow_lamports, r.refunded_lamports,
       encode(r.spec_hash, 'hex') AS spec_hash, r.spec_source, encode(r.terms_hash, 'hex') AS terms_hash, encode(r.nonce, 'hex') AS nonce,
       r.epoch_slots, r.epoch_seconds, r.rules,
       (SELECT a.base58 FROM lease_%1$s l JOIN address a ON a.key = l.pubkey WHERE l.request = r.pubkey LIMIT 1) AS lease,
       r.requested_slot, r.deadline_slot, r.ended_slot, $v$ || format(closing, 'r') || $v$ AS closed_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = r.requested_slot AND NOT s.gap LIMIT 1) AS requested_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = r.ended_slot AND NOT s.gap LIMIT 1) AS ended_at,
       (SELECT a.base58 FROM address a WHERE a.key = r.rent_payer) AS rent_payer,
       r.slot, r.write_seq, $v$ || format(came, 'r') || $v$ AS commitment, $v$ || format(seen || stays, 'r') || $v$ AS exact,
       r.lamports, r.status AS status_code, r.due_slot
FROM request_%3$s r LEFT JOIN address i ON i.key = r.pubkey LEFT JOIN address t ON t.key = r.tenant LEFT JOIN address m ON m.key = r.model
     LEFT JOIN address k ON k.key = r.class LEFT JOIN address p ON p.key = r.provider
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.leases_%3$s AS
SELECT i.base58 AS id, l.pubkey AS id_key, q.base58 AS request, l.request AS request_key, t.base58 AS tenant, l.tenant AS tenant_key,
       p.base58 AS provider, l.provider AS provider_key, k.base58 AS class, l.class AS class_key,
       (SELECT n.name FROM class_%1$s n WHERE n.pubkey = l.class) AS class_name,
       (SELECT CASE r.kind WHEN 1 THEN 'endpoint' WHEN 2 THEN 'container' END FROM request_%1$s r WHERE r.pubkey = l.request) AS kind,
       (SELECT a.base58 FROM request_%1$s r JOIN address a ON a.key = r.model WHERE r.pubkey = l.request) AS model,
       CASE l.status WHEN 1 THEN 'accepted' WHEN 2 THEN 'started' WHEN 3 THEN 'active' WHEN 4 THEN 'closing' WHEN 5 THEN 'ended' END AS status,
       CASE l.reason WHEN 1 THEN 'completed' WHEN 2 THEN 'closed_by_tenant' WHEN 3 THEN 'closed_by_provider' WHEN 4 THEN 'never_started'
            WHEN 5 THEN 'never_acknowledged' WHEN 6 THEN 'missed_proofs' WHEN 7 THEN 'proof_refuted' END AS reason,
       l.units, l.price_lamports, l.seconds, l.epoch_slots, l.epoch_seconds, l.proof_slots, l.matrix_side, l.rounds,
       l.stake_per_unit_lamports, l.rules, encode(l.terms_hash, 'hex') AS terms_hash, encode(l.access_hash, 'hex') AS access_hash,
       l.accepted_slot, l.start_end_slot, l.started_slot, l.ack_end_slot, l.acknowledged_slot, l.notice_epoch, l.ended_slot, l.refuted_slot,
       $v$ || format(closing, 'l') || $v$ AS closed_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = l.accepted_slot AND NOT s.gap LIMIT 1) AS accepted_at,
       to_timestamp(l.started_second) AS started_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = l.acknowledged_slot AND NOT s.gap LIMIT 1) AS acknowledged_at,
       to_timestamp(l.metered_second) AS metered_at, to_timestamp(l.ends_second) AS ends_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = l.ended_slot AND NOT s.gap LIMIT 1) AS ended_at,
       lease_proved(l.started_slot, l.acknowledged_slot, l.ended_slot, l.reason, l.epoch_slots, l.epoch_seconds, l.last_proved_epoch, l.missed,
         l.metered_second, l.ends_second, (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = l.ended_slot AND NOT s.gap LIMIT 1)
         >= to_timestamp(l.ends_second)) AS epochs_proved,
       l.missed AS epochs_missed, l.last_proved_epoch, l.disputes, l.open_disputes,
       l.deposited_lamports, l.compensated_lamports, l.escrow_lamports, l.pending_lamports, l.paid_lamports, l.foundation_lamports,
       l.burned_lamports, l.refunded_lamports, l.tenant_due_lamports, l.slashed_lamports,
       CASE WHEN $v$ || format(closing, 'l') || $v$ IS NULL THEN l.escrow_lamports + l.pending_lamports + l.tenant_due_lamports ELSE 0 END
         AS held_lamports,
       (l.deposited_lamports + l.compensated_lamports) - (l.escrow_lamports + l.pending_lamports + l.paid_lamports + l.foundation_lamports
         + l.burned_lamports + l.refunded_lamports) AS astray_lamports,
       (SELECT a.base58 FROM address a WHERE a.key = l.rent_payer) AS rent_payer,
       l.slot, (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = l.slot AND NOT s.gap LIMIT 1) AS updated_at, l.write_seq,
       $v$ || format(came, 'l') || $v$ AS commitment, $v$ || format(seen || stays, 'l') || $v$ AS exact, l.lamports, l.status AS status_code, l.due_slot,
       l.ends_second
FROM lease_%3$s l LEFT JOIN address i ON i.key = l.pubkey LEFT JOIN address q ON q.key = l.request LEFT JOIN address t ON t.key = l.tenant
     LEFT JOIN address p ON p.key = l.provider LEFT JOIN address k ON k.key = l.class
$v$, c, part.schema, part.suffix);

-- `later`: the slot in which an epoch's place in the ring was needed for another one; what was pending until then was paid by it.
EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.lease_epochs_%3$s AS
SELECT i.base58 AS lease, e.pubkey AS lease_key, e.epoch, t.base58 AS tenant, l.tenant AS tenant_key, p.base58 AS provider,
       l.provider AS provider_key, w.status, e.proof IS NOT NULL AS proved, e.seconds, e.amount_lamports,
       CASE w.status WHEN 'released' THEN e.provider_share_lamports WHEN 'pending' THEN NULL ELSE 0 END AS provider_lamports,
       CASE w.status WHEN 'released' THEN e.foundation_share_lamports WHEN 'pending' THEN NULL ELSE 0 END AS foundation_lamports,
       CASE w.status WHEN 'released' THEN e.burn_share_lamports WHEN 'unserved' THEN e.amount_lamports WHEN 'forfeited' THEN e.amount_lamports
            WHEN 'refuted' THEN 0 END AS burned_lamports,
       CASE w.status WHEN 'refuted' THEN e.amount_lamports WHEN 'pending' THEN NULL ELSE 0 END AS refunded_lamports,
       e.metered_slot, (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = e.metered_slot AND NOT s.gap LIMIT 1) AS metered_at,
       e.dispute_end_slot, e.open_disputes, encode(e.hash, 'hex') AS hash, encode(e.proof, 'hex') AS proof, later.slot IS NULL AS in_ring,
       e.slot, e.write_seq, $v$ || format(came, 'e') || $v$ AS commitment, $v$ || format(seen || stays, 'e') || $v$
               AND (later.slot IS NULL OR e.state <> 1 OR NOT EXISTS (SELECT FROM slot g WHERE (g.status = 6 OR (g.status = 3 AND NOT g.whole))
                       AND g.last_slot > e.slot AND g.slot <= later.slot)
                   AND NOT EXISTS (SELECT FROM lease_balance b WHERE b.pubkey = e.pubkey AND (b.slot, b.ordinal) > (e.slot, e.ordinal)
                       AND b.slot <= later.slot AND NOT b.exact)) AS exact
FROM lease_epoch_%3$s e LEFT JOIN lease_%1$s l ON l.pubkey = e.pubkey LEFT JOIN address i ON i.key = e.pubkey
     LEFT JOIN address t ON t.key = l.tenant LEFT JOIN address p ON p.key = l.provider
     LEFT JOIN LATERAL (SELECT n.metered_slot AS slot FROM lease_epoch_%1$s n WHERE n.pubkey = e.pubkey AND n.epoch > e.epoch
                           AND (n.epoch - e.epoch) %% 32 = 0 ORDER BY n.epoch LIMIT 1) later ON true
     CROSS JOIN LATERAL (SELECT CASE WHEN e.state = 1 AND later.slot IS NOT NULL THEN 'released' ELSE CASE e.state WHEN 1 THEN 'pending'
                          WHEN 2 THEN 'released' WHEN 3 THEN 'unserved' WHEN 4 THEN 'refuted' WHEN 5 THEN 'forfeited' END END AS status) w
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.lease_disputes_%3$s AS
SELECT i.base58 AS id, d.pubkey AS id_key, b.base58 AS lease, d.lease AS lease_key, d.epoch, d.number, u.base58 AS disputer,
       d.disputer AS disputer_key, p.base58 AS provider, d.provider AS provider_key,
       CASE d.status WHEN 1 THEN 'open' WHEN 2 THEN 'wrong' WHEN 3 THEN 'resolved' END AS status,
       CASE d.outcome WHEN 1 THEN 'answered' WHEN 2 THEN 'wrong' WHEN 3 THEN 'unanswered' WHEN 4 THEN 'void' END AS outcome,
       d.named AS named_elements, d.opened AS opened_elements, d.elements, encode(d.proof, 'hex') AS proof, encode(d.hash, 'hex') AS hash,
       d.fee_lamports + d.at_stake_lamports AS bond_lamports, d.fee_lamports, d.at_stake_lamports,
       CASE WHEN z.slot IS NULL THEN d.held_lamports ELSE 0 END AS held_lamports, d.returned_lamports,
       d.reward_lamports, d.slashed_lamports, d.burned_lamports, d.paid_lamports,
       d.opened_slot, d.openings_end_slot, d.resolved_slot, d.retention_end_slot, z.slot AS closed_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = d.opened_slot AND NOT s.gap LIMIT 1) AS opened_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = d.resolved_slot AND NOT s.gap LIMIT 1) AS resolved_at,
       (SELECT a.base58 FROM address a WHERE a.key = d.rent_payer) AS rent_payer,
       d.slot, d.write_seq, $v$ || format(came, 'd') || $v$ AS commitment,
       d.exact AND d.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = d.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (d.slot, d.ordinal)
                                AND NOT EXISTS (SELECT FROM closure_%1$s x WHERE x.pubkey = d.pubkey AND (x.slot, x.ordinal) > (d.slot, d.ordinal)
                                                 AND (x.slot, x.ordinal) < (q.slot, q.ordinal)))
               AND COALESCE((SELECT x.exact AND NOT EXISTS (SELECT FROM lease_dispute_%1$s n WHERE n.pubkey = d.pubkey
                                                            AND n.opened_slot > d.opened_slot AND n.opened_slot < x.slot)
                               FROM closure_%1$s x WHERE x.pubkey = d.pubkey AND (x.slot, x.ordinal) > (d.slot, d.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1),
                            NOT EXISTS (SELECT FROM lease_dispute_%1$s n WHERE n.pubkey = d.pubkey AND n.opened_slot > d.opened_slot)) AS exact,
       d.lamports, d.status AS status_code, d.due_slot
FROM lease_dispute_%3$s d LEFT JOIN address i ON i.key = d.pubkey LEFT JOIN address b ON b.key = d.lease
     LEFT JOIN address u ON u.key = d.disputer LEFT JOIN address p ON p.key = d.provider
     CROSS JOIN LATERAL (SELECT least($v$ || format(closing, 'd') || $v$, (SELECT n.opened_slot FROM lease_dispute_%1$s n
                          WHERE n.pubkey = d.pubkey AND n.opened_slot > d.opened_slot ORDER BY n.opened_slot LIMIT 1)) AS slot) z
$v$, c, part.schema, part.suffix);

END LOOP;

FOREACH c IN ARRAY ARRAY['processed', 'confirmed', 'finalized'] LOOP

-- What happened, with the slot in which it did: a function of the last state of requests, leases, epochs and disputes. Epochs are two
-- parts, each with one step, so that who leaves a step out reads none of them.
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.lease_events_%1$s AS
SELECT i.base58 AS lease, e.lease AS lease_key, (SELECT a.base58 FROM address a WHERE a.key = e.request) AS request, e.request AS request_key,
       e.step, CASE e.step WHEN 1 THEN 'requested' WHEN 2 THEN 'accepted' WHEN 3 THEN 'started' WHEN 4 THEN 'acknowledged' WHEN 5 THEN 'proved'
            WHEN 6 THEN 'metered' WHEN 7 THEN 'disputed' WHEN 8 THEN 'resolved' WHEN 9 THEN 'refuted' WHEN 10 THEN 'ended'
            WHEN 11 THEN 'cancelled' WHEN 12 THEN 'expired' END AS event,
       e.epoch, e.slot, (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = e.slot AND NOT s.gap LIMIT 1) AS at, e.detail,
       COALESCE((SELECT s.commitment FROM analytics.slots_%1$s s WHERE s.slot = e.slot AND NOT s.gap LIMIT 1), 'finalized') AS commitment,
       (SELECT analytics.base58(g.signature) FROM lease_signature_%1$s g
         WHERE g.pubkey = e.account AND g.slot = e.slot AND g.step = e.step) AS signature
FROM (
    SELECT r.pubkey AS account, l.pubkey AS lease, r.pubkey AS request, v.step, NULL::bigint AS epoch, v.slot, NULL::text AS detail
      FROM request_%1$s r LEFT JOIN lease_%1$s l ON l.request = r.pubkey CROSS JOIN LATERAL (VALUES (1::smallint, r.requested_slot),
           (11::smallint, CASE r.status WHEN 3 THEN r.ended_slot END), (12::smallint, CASE r.status WHEN 4 THEN r.ended_slot END)) v(step, slot)
    UNION ALL
    SELECT l.pubkey, l.pubkey, l.request, v.step, NULL, v.slot, v.detail
      FROM lease_%1$s l CROSS JOIN LATERAL (VALUES (2::smallint, l.accepted_slot, NULL::text), (3::smallint, l.started_slot, NULL),
           (4::smallint, l.acknowledged_slot, NULL), (9::smallint, l.refuted_slot, NULL),
           (10::smallint, l.ended_slot, CASE l.reason WHEN 1 THEN 'completed' WHEN 2 THEN 'closed_by_tenant' WHEN 3 THEN 'closed_by_provider'
               WHEN 4 THEN 'never_started' WHEN 5 THEN 'never_acknowledged' WHEN 6 THEN 'missed_proofs' WHEN 7 THEN 'proof_refuted' END)
           ) v(step, slot, detail)
    UNION ALL
    SELECT p.pubkey, p.pubkey, l.request, 5::smallint, p.epoch, p.metered_slot, NULL
      FROM lease_epoch_%1$s p LEFT JOIN lease_%1$s l ON l.pubkey = p.pubkey WHERE p.proof IS NOT NULL
    UNION ALL
    SELECT p.pubkey, p.pubkey, l.request, 6::smallint, p.epoch, p.metered_slot, NULL
      FROM lease_epoch_%1$s p LEFT JOIN lease_%1$s l ON l.pubkey = p.pubkey WHERE p.proof IS NULL
    UNION ALL
    SELECT d.pubkey, d.lease, l.request, v.step, d.epoch, v.slot, v.detail
      FROM lease_dispute_%1$s d LEFT JOIN lease_%1$s l ON l.pubkey = d.lease CROSS JOIN LATERAL (VALUES (7::smallint, d.opened_slot, NULL::text),
           (8::smallint, d.resolved_slot, CASE d.outcome WHEN 1 THEN 'answered' WHEN 2 THEN 'wrong' WHEN 3 THEN 'unanswered' WHEN 4 THEN 'void' END)
           ) v(step, slot, detail)
) e LEFT JOIN address i ON i.key = e.lease WHERE e.slot IS NOT NULL
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.market_config_%1$s AS
SELECT (SELECT a.base58 FROM address a WHERE a.key = t.pubkey) AS id, (SELECT a.base58 FROM address a WHERE a.key = t.admin) AS admin,
       (SELECT a.base58 FROM address a WHERE a.key = t.pending_admin) AS pending_admin,
       (SELECT a.base58 FROM address a WHERE a.key = t.foundation) AS foundation, t.paused, t.epoch_slots, t.epoch_seconds, t.parameters,
       t.initialized_slot, t.updated_slot, t.slot, t.write_seq, $v$ || format(seen, 't') || $v$ AS exact
FROM market_config_%1$s t
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.market_treasury_%1$s AS
SELECT (SELECT a.base58 FROM address a WHERE a.key = t.pubkey) AS id, t.balance_lamports, t.withdrawn_lamports, t.received_lamports,
       t.slot, t.write_seq, t.lamports, $v$ || format(seen, 't') || $v$ AS exact, t.pubkey AS id_key
FROM market_treasury_%1$s t
$v$, c);

-- One row. Lamports of leases are sums of what the leases of this chain say, those whose accounts are closed too; what no bigint holds, since
-- the same lamports may come and go for ever, is the largest.
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.market_%1$s AS
SELECT h.processed_slot AS slot, h.finalized_slot, p.registered_providers, p.offered_units, p.leased_units, p.staked_lamports,
       m.open_requests, m.leases, m.running_leases, m.epochs_missed,
       least(m.deposited_lamports, most)::bigint AS deposited_lamports, least(m.compensated_lamports, most)::bigint AS compensated_lamports,
       least(m.escrow_lamports, most)::bigint AS escrow_lamports, least(m.pending_lamports, most)::bigint AS pending_lamports,
       least(m.paid_lamports, most)::bigint AS paid_lamports, least(m.foundation_lamports, most)::bigint AS foundation_lamports,
       least(m.burned_lamports, most)::bigint AS burned_lamports, least(m.refunded_lamports, most)::bigint AS refunded_lamports,
       least(m.slashed_lamports, most)::bigint AS slashed_lamports,
       (m.deposited_lamports + m.compensated_lamports - m.escrow_lamports - m.pending_lamports - m.paid_lamports - m.foundation_lamports
         - m.burned_lamports - m.refunded_lamports)::bigint AS astray_lamports,
       m.epochs_proved, m.disputes, m.open_disputes
FROM head h CROSS JOIN market_sum_%1$s m CROSS JOIN (VALUES (9223372036854775807)) v(most)
     CROSS JOIN (SELECT count(*) AS registered_providers, COALESCE(sum(v.units), 0)::bigint AS offered_units,
                        COALESCE(sum(v.leased_units), 0)::bigint AS leased_units, COALESCE(sum(v.stake_lamports), 0)::bigint AS staked_lamports
                   FROM analytics.providers_%1$s v) p
$v$, c);

END LOOP;
END $build$;

-- Histories: finalized, one row for each block that wrote the account, so they have no suffix.
CREATE OR REPLACE VIEW analytics.lease_balances AS
SELECT i.base58 AS lease, b.pubkey AS lease_key, b.slot,
       (SELECT s.at FROM analytics.slots_finalized s WHERE s.slot = b.slot AND NOT s.gap LIMIT 1) AS at,
       b.deposited_lamports, b.compensated_lamports, b.escrow_lamports, b.pending_lamports, b.tenant_due_lamports, b.paid_lamports,
       b.foundation_lamports, b.burned_lamports, b.refunded_lamports, b.slashed_lamports,
       b.paid_lamports - COALESCE(p.paid_lamports, 0) AS paid_change_lamports,
       b.foundation_lamports - COALESCE(p.foundation_lamports, 0) AS foundation_change_lamports,
       b.burned_lamports - COALESCE(p.burned_lamports, 0) AS burned_change_lamports,
       b.refunded_lamports - COALESCE(p.refunded_lamports, 0) AS refunded_change_lamports, b.exact
FROM lease_balance b LEFT JOIN address i ON i.key = b.pubkey
     LEFT JOIN LATERAL (SELECT k.paid_lamports, k.foundation_lamports, k.burned_lamports, k.refunded_lamports FROM lease_balance k
                         WHERE k.pubkey = b.pubkey AND (k.slot, k.ordinal) < (b.slot, b.ordinal)
                         ORDER BY k.slot DESC, k.ordinal DESC LIMIT 1) p ON true;

CREATE OR REPLACE VIEW analytics.provider_balances AS
SELECT i.base58 AS provider, b.pubkey AS provider_key, b.slot,
       (SELECT s.at FROM analytics.slots_finalized s WHERE s.slot = b.slot AND NOT s.gap LIMIT 1) AS at,
       b.stake_lamports, b.activating_lamports, b.unbonding_lamports, b.claimable_lamports, b.owed_foundation_lamports, b.owed_burn_lamports,
       b.earned_lamports, b.withdrawn_lamports, b.slashed_lamports, b.unserved_lamports, b.proved AS epochs_proved, b.missed AS epochs_missed,
       b.earned_lamports - COALESCE(p.earned_lamports, 0) AS earned_change_lamports, b.exact
FROM provider_balance b LEFT JOIN address i ON i.key = b.pubkey
     -- What was earned never falls: if it did, or the account was closed, the authority has registered again.
     LEFT JOIN LATERAL (SELECT k.slot, k.ordinal, k.earned_lamports FROM provider_balance k
                         WHERE k.pubkey = b.pubkey AND (k.slot, k.ordinal) < (b.slot, b.ordinal) ORDER BY k.slot DESC, k.ordinal DESC LIMIT 1) p
       ON p.earned_lamports <= b.earned_lamports AND NOT EXISTS (SELECT FROM closure x WHERE x.pubkey = b.pubkey
          AND (x.slot, x.ordinal) > (p.slot, p.ordinal) AND (x.slot, x.ordinal) < (b.slot, b.ordinal));

CREATE OR REPLACE VIEW analytics.market_treasury_balances AS
SELECT i.base58 AS treasury, b.pubkey AS treasury_key, b.slot,
       (SELECT s.at FROM analytics.slots_finalized s WHERE s.slot = b.slot AND NOT s.gap LIMIT 1) AS at,
       b.balance_lamports, b.received_lamports, b.withdrawn_lamports,
       b.balance_lamports - COALESCE((SELECT p.balance_lamports FROM market_treasury_balance p
                                       WHERE p.pubkey = b.pubkey AND (p.slot, p.ordinal) < (b.slot, b.ordinal)
                                       ORDER BY p.slot DESC, p.ordinal DESC LIMIT 1), 0) AS balance_change_lamports,
       b.exact
FROM market_treasury_balance b LEFT JOIN address i ON i.key = b.pubkey;

-- A UTC day of the market: what was asked for, begun, ended, proved, and what blocks of the day moved. Finalized.
CREATE OR REPLACE VIEW analytics.market_daily AS
SELECT day, requests, leases_accepted, leases_ended, epochs_proved, disputes, least(paid_lamports, most)::bigint AS paid_lamports,
       least(foundation_lamports, most)::bigint AS foundation_lamports, least(burned_lamports, most)::bigint AS burned_lamports,
       least(refunded_lamports, most)::bigint AS refunded_lamports, least(slashed_lamports, most)::bigint AS slashed_lamports
FROM market_day CROSS JOIN (VALUES (9223372036854775807)) v(most) WHERE day > '-infinity';

-- Under the names of schema dune.
DO $build$
DECLARE
    block CONSTANT text := 'SELECT %1$s AS block_slot, s.block_time, (s.block_time AT TIME ZONE ''UTC'')::date AS block_date,
        analytics.base58(s.blockhash) AS block_hash, %2$s FROM %3$s LEFT JOIN slot s ON s.slot = %1$s AND s.status = 3 WHERE %1$s IS NOT NULL';
    t record;
BEGIN
FOR t IN SELECT * FROM (VALUES
    ('lease_events', 'What happened to requests, leases, their epochs and disputes, by the block of each', 'b.slot',
     'b.signature AS tx_id, NULL::text AS tx_signer, b.lease, b.request, b.event, b.epoch, b.detail', 'analytics.lease_events_finalized b'),
    ('lease_epochs', 'Epochs of leases, by the block that metered each, as they are now', 'b.metered_slot',
     'NULL::text AS tx_id, NULL::text AS tx_signer, b.lease, b.epoch, b.tenant, b.provider, b.status, b.proved, b.seconds, b.amount_lamports,
        b.provider_lamports, b.foundation_lamports, b.burned_lamports, b.refunded_lamports', 'analytics.lease_epochs_finalized b'),
    ('leases', 'Leases, by the block of acceptance, as they are now', 'b.accepted_slot',
     'NULL::text AS tx_id, NULL::text AS tx_signer, b.id AS lease, b.request, b.tenant, b.provider, b.class, b.kind, b.model, b.status, b.reason,
        b.units, b.price_lamports, b.seconds, b.epochs_proved, b.epochs_missed, b.deposited_lamports, b.compensated_lamports, b.escrow_lamports,
        b.pending_lamports, b.paid_lamports, b.foundation_lamports, b.burned_lamports, b.refunded_lamports, b.slashed_lamports,
        b.ended_slot AS ended_block_slot', 'analytics.leases_finalized b'),
    ('lease_balances', 'Where the lamports of leases are, by the block that wrote them', 'b.slot',
     'NULL::text AS tx_id, NULL::text AS tx_signer, b.lease, b.deposited_lamports, b.compensated_lamports, b.escrow_lamports, b.pending_lamports,
        b.tenant_due_lamports, b.paid_lamports, b.foundation_lamports, b.burned_lamports, b.refunded_lamports, b.slashed_lamports',
     'analytics.lease_balances b'),
    ('provider_balances', 'Stake, earnings, debts and proofs of providers, by the block that wrote them', 'b.slot',
     'NULL::text AS tx_id, NULL::text AS tx_signer, b.provider, b.stake_lamports, b.activating_lamports, b.unbonding_lamports,
        b.claimable_lamports, b.owed_foundation_lamports, b.owed_burn_lamports, b.earned_lamports, b.withdrawn_lamports, b.slashed_lamports,
        b.epochs_proved, b.epochs_missed', 'analytics.provider_balances b')
) v(name, comment, slot, columns, origin) LOOP
    EXECUTE format('CREATE OR REPLACE VIEW dune.%I AS ', t.name) || format(block, t.slot, t.columns, t.origin);
    EXECUTE format('COMMENT ON VIEW dune.%I IS %L', t.name, t.comment);
END LOOP;
END $build$;
CREATE OR REPLACE VIEW dune.market_daily AS
SELECT day AS block_date, requests, leases_accepted, leases_ended, epochs_proved, disputes, paid_lamports, foundation_lamports, burned_lamports,
       refunded_lamports, slashed_lamports FROM analytics.market_daily;
COMMENT ON VIEW dune.market_daily IS 'Activity of the Compute Market, by UTC day of the block time';

-- What each view is, and each column of it, with its unit. One line for each name, and one more (VIEW.NAME) where a view means something
-- of its own. These come after the comments of 0390_column_comments.sql, and hold in the views of this file alone.
DO $build$
DECLARE
    c record;
    suffix text;
BEGIN
FOR c IN SELECT * FROM (VALUES
    ('providers', 'Registered providers of the Compute Market: capacity, price, stake, how they have served; id is the provider''s account'),
    ('classes', 'Classes of capacity: what each unit proves in each epoch, and the stake behind it'),
    ('requests', 'Requests for capacity, closed ones included: what a tenant asks for and has paid in'),
    ('leases', 'Leases of capacity, closed ones included: state, meter, and where every lamport is; id is the lease account'),
    ('lease_epochs', 'Epochs of leases as they were last seen in the ring of the lease, which has the newest 32; rows stay when the ring goes on'),
    ('lease_disputes', 'Disputes that say that the proof of an epoch is false: what is named, what was shown, bond and end'),
    ('lease_events', 'What happened to requests and leases: requested, cancelled, expired, accepted, started, acknowledged, proved, metered, disputed, resolved, refuted, ended; a function of the accounts'' last states'),
    ('market', 'One row: the Compute Market at a glance, sums over all its leases; costs the same however many there are'),
    ('market_config', 'The Compute Market''s parameters'),
    ('market_treasury', 'The foundation''s balance in the Compute Market')
) v(name, comment) LOOP
    EXECUTE format('CREATE OR REPLACE VIEW analytics.%1$I AS SELECT * FROM analytics.%2$I', c.name, c.name || '_processed');
    FOREACH suffix IN ARRAY ARRAY['', '_processed', '_confirmed', '_finalized'] LOOP
        EXECUTE format('COMMENT ON VIEW analytics.%I IS %L', c.name || suffix,
            c.comment || CASE suffix WHEN '' THEN ' (as processed)' ELSE ' (as ' || substr(suffix, 2) || ')' END);
    END LOOP;
END LOOP;
FOR c IN SELECT viewname AS name FROM pg_views WHERE schemaname = 'listing'
          AND viewname ~ '^(providers|classes|requests|leases|lease_epochs|lease_disputes)_(processed|confirmed|finalized)' LOOP
    EXECUTE format('COMMENT ON VIEW listing.%I IS %L', c.name,
        'A part of the analytics view of that name, with an index in the order of its list: take the first N of each part');
END LOOP;
END $build$;
COMMENT ON VIEW analytics.lease_balances IS
    'Where the lamports of a lease were after each block that wrote it (finalized), and what the block paid, burned and refunded of it';
COMMENT ON VIEW analytics.provider_balances IS
    'Stake, earnings, debts and proofs of providers after each block that wrote one (finalized)';
COMMENT ON VIEW analytics.market_treasury_balances IS
    'Balance history of the Compute Market''s treasury: the values after each block that wrote it (finalized), and by how much the balance changed';
COMMENT ON VIEW analytics.market_daily IS
    'Activity of the Compute Market per UTC day of the block time (finalized): what was asked for, begun, ended and proved, and what was paid, burned and refunded; costs the same however many leases there are';

DO $build$
DECLARE
    c record;
BEGIN
FOR c IN
    WITH said(name, comment) AS (VALUES
        ('accepted_at', 'Time of the slot in which a provider accepted it (UTC)'),
        ('accepted_slot', 'Slot in which a provider accepted it'),
        ('access_hash', 'Hex hash of what the provider gave the tenant to reach it; null before the start'),
        ('ack_end_slot', 'First slot at which the start has not been acknowledged in time; null before the start'),
        ('acknowledged_at', 'Time of the slot in which the tenant acknowledged the start (UTC); null until then'),
        ('acknowledged_slot', 'Slot in which the tenant acknowledged the start; null until then'),
        ('activating_lamports', 'Lamports of stake that count from activation_slot on'),
        ('activation_slot', 'Slot from which activating stake counts; null if none is activating'),
        ('admin', 'Base58 key that sets parameters and registers classes'),
        ('amount_lamports', 'Lamports of the metered seconds'),
        ('astray_lamports', 'Lamports of the lease that no other column accounts for: always 0'),
        ('at', 'Time of the block (UTC); null if it is not known'),
        ('at_stake_lamports', 'Lamports of the bond that are burned if everything is opened and right'),
        ('authority', 'Base58 key that registered it and owns stake and earnings: how requests and leases name it'),
        ('authority_key', 'The same key as 32 bytes'),
        ('backed_units', 'Number of units that stake stands behind: those that are leased, and those of leases that ended after a proof, until their accounts are closed'),
        ('balance_change_lamports', 'Lamports by which the balance changed; all of it in the first row'),
        ('balance_lamports', 'Lamports of the foundation that lie in the account'),
        ('block_date', 'UTC day of the block time; null if the block was not seen'),
        ('block_hash', 'Base58 hash of the block; null if it was not seen'),
        ('block_slot', 'Slot of the block'),
        ('block_time', 'Time of the block (UTC); null if the block was not seen'),
        ('bond_lamports', 'Lamports that the disputer paid in: fee and at stake'),
        ('burned_change_lamports', 'Lamports of the lease that the block burned'),
        ('burned_lamports', 'Lamports of the lease destined to be burned, slashed stake not among them'),
        ('calibrated', 'The proof''s time was measured on the device that the class is named after'),
        ('claimable_lamports', 'Lamports that the provider may withdraw'),
        ('class', 'Base58 address of the class'),
        ('class_key', 'The same address as 32 bytes'),
        ('class_name', 'Name of the class'),
        ('closed_slot', 'Slot in which the account was closed; null while it exists'),
        ('commitment', 'processed, confirmed or finalized: of the newest write'),
        ('compensated_lamports', 'Lamports of the provider''s stake that became the tenant''s'),
        ('day', 'UTC day of the block time'),
        ('deadline_slot', 'First slot at which nobody can accept it'),
        ('deposited_lamports', 'Lamports paid in: by the request, and for seconds that were added'),
        ('detail', 'Of an end its reason, of a resolved dispute its outcome; else null'),
        ('dispute_end_slot', 'First slot at which the epoch can''t be disputed any more'),
        ('disputer', 'Base58 key that says that the proof is false'),
        ('disputer_key', 'The same key as 32 bytes'),
        ('disputes', 'Number of disputes that say that a proof is false'),
        ('due_slot', 'First slot at which anyone may have something done about it as it stands; null if nothing'),
        ('earned_change_lamports', 'Lamports that the block added to earned_lamports; all of it in the first row since a registration'),
        ('earned_lamports', 'Lamports earned since registration'),
        ('elements', 'Array of {unit, round, row, column, opened}: what is said to be wrong; opened: it was shown and is right'),
        ('ended_at', 'Time of the slot in which it ended (UTC); null until then'),
        ('ended_block_slot', 'Slot in which it ended; null until then'),
        ('ended_slot', 'Slot in which it ended; null until then'),
        ('endpoint', 'URL at which the provider says that tenants reach it: anybody may register, so trust it with nothing'),
        ('ends_at', 'Time from which nothing is metered (UTC); null before the start'),
        ('ends_second', 'The same as ends_at, in seconds of Unix time, which is indexed'),
        ('epoch', 'Number of the epoch: epoch e is the slots from e × epoch_slots on'),
        ('epoch_seconds', 'Seconds that an epoch is expected to take'),
        ('epoch_slots', 'Slots of an epoch'),
        ('epochs_missed', 'Number of epochs without a proof'),
        ('epochs_proved', 'Number of epochs with a proof'),
        ('escrow_lamports', 'Lamports that lie in the account for seconds to come'),
        ('event', 'requested, cancelled, expired, accepted, started, acknowledged, proved, metered (seconds behind the last proof), disputed, resolved, refuted or ended'),
        ('exact', 'False if writes of this account may have gone unseen on this chain (a gap, an incomplete block, a base, an unseen closing, content that can''t be read)'),
        ('finalized_slot', 'Slot of the newest rooted bank; null before the first'),
        ('fee_lamports', 'Lamports of the bond that pay for the answer'),
        ('foundation', 'Base58 key that the foundation''s share is withdrawn to'),
        ('foundation_change_lamports', 'Lamports of the lease that the block gave to the foundation'),
        ('foundation_lamports', 'Lamports of the lease for the foundation'),
        ('free_units', 'Number of units that are offered and not leased'),
        ('hash', 'Hex hash of the epoch''s first slot, which the proof begins with; null for the seconds behind the last proof'),
        ('held_lamports', 'Lamports that lie in the account for somebody; 0 once it is closed'),
        ('id', 'Base58 address of the account'),
        ('id_key', 'The same address as 32 bytes; filter by it'),
        ('in_ring', 'The lease''s account still has the epoch; if not, what was pending when it was last seen was paid since'),
        ('initialized_slot', 'Slot in which the market was initialized'),
        ('isolation', 'process, container or sandbox: how far the provider says that it keeps tenants apart'),
        ('jailed_until_slot', 'First slot at which the provider may ask to be unjailed; null if it is not jailed'),
        ('kind', 'endpoint or container'),
        ('lamports', 'Lamports that the account holds, rent included'),
        ('last_proved_epoch', 'Number of the epoch of the newest proof, of the start before there is one; null before the start'),
        ('lease', 'Base58 address of the lease; null where there is none'),
        ('lease_key', 'The same address as 32 bytes'),
        ('leased_units', 'Number of units that are leased'),
        ('leases', 'Number of leases accepted since registration'),
        ('leases_accepted', 'Number of leases accepted on the day'),
        ('leases_ended', 'Number of leases that ended on the day'),
        ('matrix_side', 'Number of rows and columns of the matrices that a proof multiplies'),
        ('metered_at', 'Time up to which the lease is metered (UTC); null before the start'),
        ('metered_slot', 'Slot in which the seconds were metered: of its proof, or of the lease''s end'),
        ('model', 'Base58 address of the model of an endpoint; null for a container'),
        ('model_key', 'The same address as 32 bytes'),
        ('name', 'Name of the class'),
        ('named_elements', 'Number of elements that the dispute names'),
        ('nonce', 'Hex of the request''s nonce'),
        ('notice_epoch', 'Number of the epoch in which the provider gave notice; null if it has not'),
        ('number', 'Which dispute about the lease it is, from 0: they are decided in this order'),
        ('obliged_until_slot', 'First slot at which stake can be withdrawn, whatever else allows it: proofs may be disputed until then; null if nothing holds it'),
        ('open_disputes', 'Number of disputes that are not resolved'),
        ('open_leases', 'Number of leases whose accounts exist'),
        ('offered_units', 'Number of units that providers offer'),
        ('open_requests', 'Number of requests that nobody has accepted yet'),
        ('opened_at', 'Time of the slot in which it was opened (UTC)'),
        ('opened_elements', 'Number of named elements that were shown and are right'),
        ('opened_slot', 'Slot in which it was opened'),
        ('openings_end_slot', 'First slot at which nothing can be shown any more'),
        ('operator', 'Base58 key that accepts, starts and proves'),
        ('operator_key', 'The same key as 32 bytes'),
        ('outcome', 'answered, wrong, unanswered or void; null until resolved'),
        ('owed_burn_lamports', 'Lamports that the provider owes to be burned'),
        ('owed_foundation_lamports', 'Lamports that the provider owes to the foundation'),
        ('paid_change_lamports', 'Lamports of the lease that the block paid to the provider'),
        ('paid_in_lamports', 'Lamports of stake paid in since registration'),
        ('paid_lamports', 'Lamports of the lease paid to the provider'),
        ('parameters', 'Object of the market''s parameters: slots, epochs, seconds, lamports, basis points (…_bps)'),
        ('paused', 'No new requests are taken'),
        ('pending_admin', 'Base58 key that was offered the admin''s rights; null if none was'),
        ('pending_lamports', 'Lamports that lie in the account for epochs whose window is not over'),
        ('price_lamports', 'Lamports a second for each unit'),
        ('proof', 'Hex proof; null for the seconds behind the last one'),
        ('proof_slots', 'Slots from the beginning of an epoch in which its proof is taken'),
        ('proofs_refuted', 'Number of proofs that were refuted'),
        ('proved', 'The epoch has a proof; if not, it is the seconds behind the last one'),
        ('provider', 'Base58 authority of the provider (authority of providers, not its id)'),
        ('provider_key', 'The same key as 32 bytes'),
        ('provider_lamports', 'Lamports of the epoch that the provider was paid; null while it is pending'),
        ('reason', 'completed, closed_by_tenant, closed_by_provider, never_started, never_acknowledged, missed_proofs or proof_refuted; null until the end'),
        ('received_lamports', 'Lamports received since the beginning'),
        ('refunded_change_lamports', 'Lamports of the lease that the block made the tenant''s'),
        ('refunded_lamports', 'Lamports of the lease that are the tenant''s again, those that still lie there (tenant_due_lamports) among them'),
        ('refuted_slot', 'Slot in which a proof of it was refuted; null if none was'),
        ('region', 'Where the provider says that it is, or must be; empty: anywhere'),
        ('registered_at', 'Time of the slot in which it was registered (UTC)'),
        ('registered_slot', 'Slot in which it was registered'),
        ('registered_providers', 'Number of registered providers'),
        ('rent_payer', 'Base58 key that the rent returns to'),
        ('request', 'Base58 address of the request; null if it is not known'),
        ('request_key', 'The same address as 32 bytes'),
        ('requested_at', 'Time of the slot in which it was requested (UTC)'),
        ('requested_slot', 'Slot in which it was requested'),
        ('requests', 'Number of requests made on the day'),
        ('resolved_at', 'Time of the slot in which it was resolved (UTC); null until then'),
        ('resolved_slot', 'Slot in which it was resolved; null until then'),
        ('retention_end_slot', 'First slot at which it can be closed; null until resolved'),
        ('retired', 'No new providers, no new requests'),
        ('retired_slot', 'Slot in which it was retired; null if it is not'),
        ('returned_lamports', 'Lamports of the bond that are the disputer''s again; null until resolved'),
        ('reward_lamports', 'Lamports of stake that are the disputer''s; null until resolved'),
        ('rounds', 'Number of rounds of products that a unit proves in an epoch'),
        ('rules', 'Object of the market''s rules as they were at the request: slots, epochs, seconds, lamports, basis points (…_bps)'),
        ('running_leases', 'Number of leases that have not ended'),
        ('seconds', 'Seconds, without those that were added later'),
        ('signature', 'Base58 id of the transaction that first showed it; null if it was not seen'),
        ('slashed_lamports', 'Lamports of stake lost, those that went to tenants and disputers among them'),
        ('slot', 'Slot of the newest write of the account'),
        ('spec_hash', 'Hex salted hash of the spec'),
        ('spec_source', 'URL at which the spec is found: anybody may request, so trust it with nothing'),
        ('stake_lamports', 'Lamports of active stake'),
        ('stake_per_unit_lamports', 'Lamports of active stake that each leased unit takes up'),
        ('start_end_slot', 'First slot at which it has not been started in time'),
        ('started_at', 'Time of the start by the chain''s clock (UTC); null until then'),
        ('started_slot', 'Slot in which the provider started it; null until then'),
        ('status_code', 'The same state as a number, which is indexed'),
        ('step', 'Number of the event: 1 requested, 2 accepted, 3 started, 4 acknowledged, 5 proved, 6 metered, 7 disputed, 8 resolved, 9 refuted, 10 ended, 11 cancelled, 12 expired'),
        ('tenant', 'Base58 key that uses the lease and gets refunds'),
        ('tenant_due_lamports', 'Lamports that lie in the account for the tenant; of an account that is closed those that went out with it, to the tenant or, where its wallet could not hold them, to be burned'),
        ('tenant_key', 'The same key as 32 bytes'),
        ('terms_hash', 'Hex hash of what was agreed'),
        ('treasury', 'Base58 address of the treasury'),
        ('treasury_key', 'The same address as 32 bytes'),
        ('tx_id', 'Base58 id of the transaction; null if it is not known'),
        ('tx_signer', 'Base58 key that signed; null, since it is not known'),
        ('unbonding_lamports', 'Lamports of stake on their way out'),
        ('unbonding_slot', 'Slot from which unbonding stake can be withdrawn; null if none is unbonding'),
        ('units', 'Number of units'),
        ('unserved_lamports', 'Lamports of epochs that tenants called unserved'),
        ('updated_at', 'Time of the slot of the newest write (UTC)'),
        ('updated_slot', 'Slot of the last change of settings'),
        ('vram_mib', 'GPU memory of a unit as the class says, MiB; nothing proves it. 0: CPU only'),
        ('withdrawn_lamports', 'Lamports taken out since the beginning'),
        ('withdrawn_stake_lamports', 'Lamports of stake paid out since registration'),
        ('write_seq', 'The account''s own counter of writes'),
        -- Where a view means something of its own.
        ('classes.stake_per_unit_lamports', 'Lamports of active stake that each leased unit of the class takes up'),
        ('lease_balances.slot', 'Slot of the block that wrote the lease'),
        ('lease_disputes.burned_lamports', 'Lamports of the bond that were burned; null until resolved'),
        ('lease_disputes.hash', 'Hex hash of the epoch''s first slot'),
        ('lease_disputes.paid_lamports', 'Lamports of the bond that the provider got for its answer; null until resolved'),
        ('lease_disputes.proof', 'Hex proof that is said to be false'),
        ('lease_disputes.slashed_lamports', 'Lamports of stake that the provider lost; null until resolved'),
        ('lease_disputes.status', 'open, wrong (an element was shown and is wrong) or resolved'),
        ('lease_epochs.burned_lamports', 'Lamports of the epoch destined to be burned; null while it is pending'),
        ('lease_epochs.foundation_lamports', 'Lamports of the epoch for the foundation; null while it is pending'),
        ('lease_epochs.metered_at', 'Time of the slot in which the seconds were metered (UTC)'),
        ('lease_epochs.refunded_lamports', 'Lamports of the epoch that are the tenant''s again; null while it is pending'),
        ('lease_epochs.seconds', 'Seconds that were metered'),
        ('lease_epochs.slot', 'Slot of the newest write of the lease that still had the epoch'),
        ('lease_epochs.status', 'pending, released, unserved, refuted or forfeited. What was pending when the ring went on is released: the proof that needed its place paid it'),
        ('lease_events.epoch', 'Number of the epoch that it is about; null if it is about none'),
        ('lease_events.slot', 'Slot in which it happened'),
        ('lease_events.commitment', 'processed, confirmed or finalized: of the block in which it happened'),
        ('leases.status', 'accepted, started, active, closing or ended'),
        ('leases.epochs_proved', 'Number of epochs with a proof, also of those that were not seen; null if neither the account nor the time of the block in which it was closed says whether its time was over'),
        ('leases.epochs_missed', 'Number of epochs without a proof: between proofs, and at the end since the last one'),
        ('leases.escrow_lamports', 'Lamports that lie in the account for seconds to come; 0 once it has ended'),
        ('leases.burned_lamports', 'Lamports of the lease destined to be burned: shares of paid epochs, epochs called unserved or forfeited; slashed stake not among them'),
        ('market.disputes', 'Number of disputes ever opened'),
        ('market.epochs_proved', 'Number of epochs with a proof, of all leases together, also of those that were not seen'),
        ('market.escrow_lamports', 'Lamports of all leases together for seconds to come'),
        ('market.leases', 'Number of leases ever accepted'),
        ('market.slot', 'Slot of the head of the processed chain; null before the first'),
        ('market.staked_lamports', 'Lamports of active stake of all providers'),
        ('market_daily.burned_lamports', 'Lamports of leases that were burned on the day, slashed stake not among them'),
        ('market_daily.disputes', 'Number of disputes opened on the day'),
        ('market_daily.epochs_proved', 'Number of epochs proved on the day that were seen: not those that a lease had proved and forgotten before a base'),
        ('market_daily.foundation_lamports', 'Lamports of leases that went to the foundation on the day'),
        ('market_daily.paid_lamports', 'Lamports of leases that were paid to providers on the day'),
        ('market_daily.refunded_lamports', 'Lamports of leases that became tenants'' on the day'),
        ('market_daily.slashed_lamports', 'Lamports of stake slashed over leases on the day'),
        ('market_treasury_balances.slot', 'Slot of the block that wrote the treasury'),
        ('provider_balances.provider', 'Base58 address of the provider''s account (id of providers)'),
        ('provider_balances.slot', 'Slot of the block that wrote the provider'),
        ('providers.status', 'active or jailed'),
        ('providers.units', 'Number of units that it offers'),
        ('requests.deposited_lamports', 'Lamports that the request paid in: the price of all seconds'),
        ('requests.ended_slot', 'Slot in which it was accepted, cancelled or expired; null until then'),
        ('requests.ended_at', 'Time of the slot in which it was accepted, cancelled or expired (UTC); null until then'),
        ('requests.escrow_lamports', 'Lamports that lie in the request for seconds to come, or, once it was cancelled or expired, because the tenant''s wallet could not hold them; of an account that is closed those that went out with it, to who paid its rent'),
        ('requests.isolation', 'process, container or sandbox: the least that the provider must offer'),
        ('requests.price_lamports', 'Most lamports a second for each unit; of a named provider exactly its price'),
        ('requests.provider', 'Base58 authority of the provider that may accept (authority of providers, not its id); null: any'),
        ('requests.refunded_lamports', 'Lamports that went back to the tenant without a lease'),
        ('requests.status', 'open, accepted, cancelled or expired'))
    SELECT v.relnamespace::regnamespace AS schema, v.relname AS view, a.attname AS name, COALESCE(own.comment, common.comment) AS comment
      FROM pg_class v JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped
      CROSS JOIN LATERAL (SELECT regexp_replace(v.relname, '_(processed|confirmed|finalized)(_rooted|_unrooted)?$', '') AS base) b
      LEFT JOIN said common ON common.name = a.attname
      LEFT JOIN said own ON own.name = b.base || '.' || a.attname
     WHERE v.relnamespace::regnamespace::text IN ('analytics', 'dune', 'listing') AND v.relkind = 'v' AND COALESCE(own.comment, common.comment) IS NOT NULL
       AND b.base IN ('providers', 'classes', 'requests', 'leases', 'lease_epochs', 'lease_disputes', 'lease_events', 'lease_balances',
                      'provider_balances', 'market', 'market_config', 'market_treasury', 'market_treasury_balances', 'market_daily')
LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I.%I IS %L', c.schema, c.view, c.name, c.comment);
END LOOP;
END $build$;

DO $role$
BEGIN
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics, dune, listing TO mythic_reader;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RAISE NOTICE 'the read-only role mythic_reader was not granted the views of the market';
END $role$;
