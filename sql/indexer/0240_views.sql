-- run: views
-- What analysts and the gateway read: schema `analytics`. Run with search_path = the projection's
-- schema; run again when a rebuild swaps schemas. Columns are only ever added at the end.
--
-- Schema `listing` holds the same rows in parts, for whoever wants the first N of a sorted list: NAME_processed_rooted and
-- NAME_processed_unrooted, NAME_confirmed_…, NAME_finalized. Take the first N of each part.
-- Cases, burns and sums over days are in 0260_dispute_views.sql.
--
-- Each view exists as NAME_processed, NAME_confirmed, NAME_finalized (state at that commitment) and
-- NAME (= NAME_processed). Keys are base58 text; `…_key` columns are the same key as bytes and indexed.
-- Values that aren't known yet are null. Expensive columns (times, transitions) cost only when selected.

CREATE SCHEMA IF NOT EXISTS listing;

DO $build$
DECLARE
    c text;
BEGIN
FOREACH c IN ARRAY ARRAY['processed', 'confirmed', 'finalized'] LOOP

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.slots_%1$s AS
SELECT s.slot, s.last_slot, analytics.base58(s.blockhash) AS blockhash, s.parent_slot,
       analytics.base58(s.parent_blockhash) AS parent_blockhash, s.block_time AS at,
       CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' WHEN 3 THEN 'finalized' WHEN 6 THEN 'finalized' END AS commitment,
       s.status = 6 AS gap, s.healed, s.whole AND s.status <> 6 AS exact, s.accounts AS account_updates
FROM slot s WHERE %2$s
$v$, c, CASE c WHEN 'processed' THEN 's.status IN (3, 6) OR s.on_processed'
               WHEN 'confirmed' THEN 's.status IN (3, 6) OR s.on_confirmed' ELSE 's.status IN (3, 6)' END);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.job_events_%1$s AS
SELECT i.base58 AS job, e.pubkey AS job_key, e.requested_slot, e.step,
       CASE e.step WHEN 1 THEN 'open' WHEN 2 THEN 'accepted' WHEN 3 THEN 'cancelling' WHEN 4 THEN 'submitted' WHEN 5 THEN 'disputed'
            ELSE CASE e.status WHEN 5 THEN 'settled' WHEN 6 THEN 'refunded' WHEN 7 THEN 'slashed' END END AS status,
       e.slot, (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = e.slot AND NOT s.gap LIMIT 1) AS at,
       COALESCE((SELECT s.commitment FROM analytics.slots_%1$s s WHERE s.slot = e.slot AND NOT s.gap LIMIT 1), 'finalized') AS commitment,
       (SELECT analytics.base58(g.signature) FROM job_signature_%1$s g
         WHERE g.pubkey = e.pubkey AND g.requested_slot = e.requested_slot AND g.step = e.step) AS signature
FROM job_event_%1$s e LEFT JOIN address i ON i.key = e.pubkey
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.validator_stake_%1$s AS
SELECT i.base58 AS validator, pubkey AS validator_key, (SELECT a.base58 FROM address a WHERE a.key = d.authority) AS authority, slot, ordinal,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = d.slot AND NOT s.gap LIMIT 1) AS at, stake, activating, unbonding,
       stake - COALESCE(before_stake, 0) AS stake_change, exact,
       stake AS stake_lamports, activating AS activating_lamports, unbonding AS unbonding_lamports,
       stake - COALESCE(before_stake, 0) AS stake_change_lamports
FROM (SELECT t.*, lag(stake) OVER w AS before_stake, lag(activating) OVER w AS before_activating, lag(unbonding) OVER w AS before_unbonding
      FROM validator_stake_%1$s t WINDOW w AS (PARTITION BY pubkey ORDER BY slot, ordinal)) d
     LEFT JOIN address i ON i.key = d.pubkey
WHERE (stake, activating, unbonding) IS DISTINCT FROM (before_stake, before_activating, before_unbonding)
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.vaults_%1$s AS
SELECT i.base58 AS id, v.pubkey AS id_key, o.base58 AS owner, v.owner AS owner_key,
       v.balance, v.held, v.open_jobs, v.deposited, v.withdrawn, v.spent, v.created_slot, v.slot, v.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = v.bank), 'finalized') AS commitment,
       v.exact AND v.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = v.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (v.slot, v.ordinal)) AS exact,
       v.lamports, v.balance AS balance_lamports, v.held AS held_lamports, v.deposited AS deposited_lamports,
       v.withdrawn AS withdrawn_lamports, v.spent AS spent_lamports
FROM vault_%1$s v LEFT JOIN address i ON i.key = v.pubkey LEFT JOIN address o ON o.key = v.owner
WHERE NOT EXISTS (SELECT FROM closure_%1$s x WHERE x.pubkey = v.pubkey AND (x.slot, x.ordinal) > (v.slot, v.ordinal))
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.grants_%1$s AS
SELECT i.base58 AS id, g.pubkey AS id_key, o.base58 AS owner, g.owner AS owner_key,
       d.base58 AS delegate, g.delegate AS delegate_key, g.per_job_max, g.window_max, g.window_slots,
       g.window_start, g.window_spent, g.lifetime_cap, g.lifetime_spent, g.expiry_slot, g.revoked, g.revoked_slot, g.created_slot, g.open_jobs, g.models,
       g.slot, g.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = g.bank), 'finalized') AS commitment,
       g.exact AND g.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = g.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (g.slot, g.ordinal)) AS exact,
       g.lamports, g.per_job_max AS per_job_max_lamports, g.window_max AS window_max_lamports, g.window_spent AS window_spent_lamports,
       g.lifetime_cap AS lifetime_cap_lamports, g.lifetime_spent AS lifetime_spent_lamports
FROM spend_grant_%1$s g LEFT JOIN address i ON i.key = g.pubkey LEFT JOIN address o ON o.key = g.owner
     LEFT JOIN address d ON d.key = g.delegate
WHERE NOT EXISTS (SELECT FROM closure_%1$s x WHERE x.pubkey = g.pubkey AND (x.slot, x.ordinal) > (g.slot, g.ordinal))
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.treasury_%1$s AS
SELECT (SELECT a.base58 FROM address a WHERE a.key = t.pubkey) AS id, t.balance, t.withdrawn, t.received, t.slot, t.write_seq, t.lamports,
       t.balance AS balance_lamports, t.withdrawn AS withdrawn_lamports, t.received AS received_lamports,
       t.exact AND t.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = t.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (t.slot, t.ordinal)) AS exact
FROM treasury_%1$s t
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.config_%1$s AS
SELECT (SELECT a.base58 FROM address a WHERE a.key = t.pubkey) AS id, (SELECT a.base58 FROM address a WHERE a.key = t.admin) AS admin,
       (SELECT a.base58 FROM address a WHERE a.key = t.pending_admin) AS pending_admin,
       (SELECT a.base58 FROM address a WHERE a.key = t.foundation) AS foundation, t.paused, t.parameters, t.slot, t.write_seq,
       t.exact AND t.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = t.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (t.slot, t.ordinal)) AS exact
FROM config_%1$s t
$v$, c);

END LOOP;
END $build$;

-- Lists. What closed an account is looked up row by row, since a join would read all closures for the first page. Columns that
-- came later are shown where their tables have them, and 0579_stake_views.sql makes the lists again once all have.
CREATE OR REPLACE FUNCTION analytics.make_lists() RETURNS void LANGUAGE plpgsql AS $build$
DECLARE
    c text;
    part record;
    -- What is shown of later columns of a job j, a model m, a validator v.
    later CONSTANT jsonb := (
        SELECT jsonb_object_agg(t.name, COALESCE((
            SELECT string_agg(', ' || x.shown, '' ORDER BY x.place) FROM (VALUES
                (1, 'model', 'creator', '(SELECT a.base58 FROM address a WHERE a.key = m.creator) AS creator'),
                (2, 'model', 'pending_registrant', '(SELECT a.base58 FROM address a WHERE a.key = m.pending_registrant) AS pending_registrant'),
                (3, 'validator', 'owner', '(SELECT a.base58 FROM address a WHERE a.key = v.owner) AS owner'),
                (4, 'validator', 'pending_owner', '(SELECT a.base58 FROM address a WHERE a.key = v.pending_owner) AS pending_owner'),
                (5, 'validator', 'obliged_until_slot', 'v.obliged_until_slot'),
                (6, 'validator', 'exposure_lamports', 'v.exposure_lamports'),
                (7, 'job', 'open_request', 'j.open_request'),
                (8, 'job', 'no_show_lamports', 'j.no_show_lamports'),
                (9, 'validator', 'withdrawn_stake_lamports', 'v.staked_lamports AS paid_in_lamports, v.withdrawn_stake_lamports, v.returned_lamports, v.withdrawn_lamports'),
                (10, 'job', 'stake_at_result_lamports', 'j.stake_at_result_lamports'),
                (11, 'job', 'options_hash', 'encode(CASE j.sampling_profile WHEN 2 THEN j.options_hash END, ''hex'') AS options_hash')
            ) x(place, of, name, shown)
            WHERE x.of = t.name AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(t.name) AND a.attname = x.name)
        ), '')) FROM (VALUES ('job'), ('model'), ('validator')) t(name));
    -- Of a job j: the slot in which its account was first closed after its last row.
    closing CONSTANT text := '(SELECT x.slot FROM closure_%1$s x WHERE x.pubkey = j.pubkey AND (x.slot, x.ordinal) > (j.slot, j.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1)';
    -- The slot in which its address was used again: closed by then, even if nobody saw it.
    reuse CONSTANT text := '(SELECT min(b.requested_slot) FROM job_%1$s b WHERE b.pubkey = j.pubkey AND b.requested_slot > j.requested_slot)';
BEGIN
FOR part IN SELECT * FROM (VALUES
    ('analytics', 'processed', 'processed'), ('analytics', 'confirmed', 'confirmed'), ('analytics', 'finalized', 'finalized'),
    ('listing', 'processed_rooted', 'processed'), ('listing', 'processed_unrooted', 'processed'),
    ('listing', 'confirmed_rooted', 'confirmed'), ('listing', 'confirmed_unrooted', 'confirmed'), ('listing', 'finalized', 'finalized')
) v(schema, suffix, commitment) LOOP
c := part.commitment;

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.jobs_%3$s AS
SELECT i.base58 AS id, j.pubkey AS id_key,
       CASE j.status WHEN 1 THEN 'open' WHEN 2 THEN 'accepted' WHEN 3 THEN 'submitted' WHEN 4 THEN 'disputed'
            WHEN 5 THEN 'settled' WHEN 6 THEN 'refunded' WHEN 7 THEN 'slashed' END AS status,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = j.bank), 'finalized') AS commitment,
       CASE j.end_reason WHEN 1 THEN 'claimed' WHEN 2 THEN 'cancelled' WHEN 3 THEN 'declined' WHEN 4 THEN 'expired'
            WHEN 5 THEN 'not_guilty' WHEN 6 THEN 'void' WHEN 7 THEN 'guilty' WHEN 8 THEN 'fault' END AS end_reason,
       CASE j.finish_reason WHEN 1 THEN 'eos' WHEN 2 THEN 'length' WHEN 3 THEN 'stopped' WHEN 4 THEN 'cancelled' END AS finish_reason,
       m.base58 AS model, j.model AS model_key,
       v.base58 AS validator, j.validator AS validator_key,
       o.base58 AS owner, j.owner AS owner_key,
       q.base58 AS requester, j.requester AS requester_key,
       (SELECT a.base58 FROM address a WHERE a.key = nullif(j.canceller, decode(repeat('00', 32), 'hex'))) AS canceller,
       (SELECT a.base58 FROM address a WHERE a.key = j.rent_payer) AS rent_payer,
       (SELECT a.base58 FROM address a WHERE a.key = j.spend_grant) AS spend_grant,
       encode(j.nonce, 'hex') AS nonce,
       j.prompt_tokens, j.max_output_tokens, j.output_tokens, j.price_in, j.price_out,
       j.ceiling_lamports, j.fee_lamports, j.validator_lamports, j.foundation_lamports, j.burned_lamports,
       j.refunded_lamports, j.slashed_lamports,
       encode(j.prompt_hash, 'hex') AS prompt_hash, encode(j.seed, 'hex') AS seed, j.temperature_milli, j.sampling_profile,
       encode(CASE j.sampling_profile WHEN 1 THEN j.options_hash END, 'hex') AS stop_hash, j.prompt_source, encode(j.terms_hash, 'hex') AS terms_hash,
       encode(j.output_root, 'hex') AS output_root, encode(j.fingerprint, 'hex') AS fingerprint,
       j.requested_slot, j.accepted_slot, j.cancel_slot, j.submitted_slot, j.disputed_slot, j.ended_slot,
       j.deadline_slot, j.window_slots, j.window_end_slot, j.open_disputes,
       least(%4$s, %5$s) AS closed_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = j.requested_slot AND NOT s.gap LIMIT 1) AS requested_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = j.accepted_slot AND NOT s.gap LIMIT 1) AS accepted_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = j.submitted_slot AND NOT s.gap LIMIT 1) AS submitted_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = j.ended_slot AND NOT s.gap LIMIT 1) AS ended_at,
       (SELECT jsonb_agg(jsonb_build_object('status', e.status, 'slot', e.slot, 'at', s.at, 'commitment', COALESCE(s.commitment, 'finalized'),
                                            'signature', analytics.base58(g.signature)) ORDER BY e.step)
          FROM (VALUES (1, 'open', j.requested_slot), (2, 'accepted', j.accepted_slot),
                       (3, 'cancelling', CASE WHEN j.cancel_slot IS DISTINCT FROM j.ended_slot THEN j.cancel_slot END),
                       (4, 'submitted', j.submitted_slot), (5, 'disputed', j.disputed_slot),
                       (6, CASE j.status WHEN 5 THEN 'settled' WHEN 6 THEN 'refunded' WHEN 7 THEN 'slashed' END, j.ended_slot)
               ) e(step, status, slot)
          LEFT JOIN LATERAL (SELECT t.at, t.commitment FROM analytics.slots_%1$s t WHERE t.slot = e.slot AND NOT t.gap LIMIT 1) s ON true
          LEFT JOIN job_signature_%1$s g ON g.pubkey = j.pubkey AND g.requested_slot = j.requested_slot AND g.step = e.step
         WHERE e.slot IS NOT NULL) AS transitions,
       j.slot, (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = j.slot AND NOT s.gap LIMIT 1) AS updated_at, j.write_seq,
       j.exact AND j.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = j.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (j.slot, j.ordinal)
                                AND NOT EXISTS (SELECT FROM closure_%1$s x WHERE x.pubkey = j.pubkey AND (x.slot, x.ordinal) > (j.slot, j.ordinal)
                                                 AND (x.slot, x.ordinal) < (q.slot, q.ordinal)))
               AND COALESCE((SELECT x.exact AND NOT EXISTS (SELECT FROM job_%1$s b WHERE b.pubkey = j.pubkey
                                                            AND b.requested_slot > j.requested_slot AND b.requested_slot < x.slot)
                               FROM closure_%1$s x WHERE x.pubkey = j.pubkey AND (x.slot, x.ordinal) > (j.slot, j.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1),
                            NOT EXISTS (SELECT FROM job_%1$s b WHERE b.pubkey = j.pubkey AND b.requested_slot > j.requested_slot)) AS exact,
       j.lamports, j.status AS status_code,
       (SELECT a.base58 FROM dispute_case_%1$s d JOIN address a ON a.key = d.pubkey
         WHERE d.job = j.pubkey AND d.requested_slot = j.requested_slot LIMIT 1) AS dispute,
       j.price_in AS price_in_lamports, j.price_out AS price_out_lamports%6$s
FROM job_%3$s j LEFT JOIN address i ON i.key = j.pubkey LEFT JOIN address m ON m.key = j.model LEFT JOIN address v ON v.key = j.validator
     LEFT JOIN address o ON o.key = j.owner LEFT JOIN address q ON q.key = j.requester
$v$, c, part.schema, part.suffix, format(closing, c), format(reuse, c), later->>'job');

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.fingerprints_%3$s AS
SELECT id AS job, id_key AS job_key, validator, validator_key, model, model_key, fingerprint, output_root, terms_hash,
       prompt_hash, prompt_tokens, output_tokens, finish_reason, submitted_slot, submitted_at, window_end_slot, commitment, exact
FROM %2$I.jobs_%3$s WHERE submitted_slot IS NOT NULL
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.settlements_%3$s AS
SELECT id AS job, id_key AS job_key, status, end_reason, owner, owner_key, validator, validator_key, model, model_key,
       prompt_tokens, output_tokens, ceiling_lamports, fee_lamports, validator_lamports, foundation_lamports, burned_lamports,
       refunded_lamports, slashed_lamports, ended_slot, ended_at, commitment, exact, dispute
FROM %2$I.jobs_%3$s WHERE ended_slot IS NOT NULL
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.models_%3$s AS
SELECT i.base58 AS id, m.pubkey AS id_key, encode(m.identity, 'hex') AS identity, m.name,
       (SELECT a.base58 FROM address a WHERE a.key = m.registrant) AS registrant, m.price_in, m.price_out, m.retired,
       encode(m.weights_hash, 'hex') AS weights_hash, encode(m.tokenizer_hash, 'hex') AS tokenizer_hash,
       encode(m.template_hash, 'hex') AS template_hash, m.quantisation, m.kernel_profile, m.eos_ids, m.context_length,
       m.max_job_tokens, m.error_ppm, m.miss_ppm, m.commit_slots, m.min_vram_mib, m.registered_slot, m.retired_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = m.registered_slot AND NOT s.gap LIMIT 1) AS registered_at,
       m.burned_lamports, m.slot, m.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = m.bank), 'finalized') AS commitment,
       m.exact AND m.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = m.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (m.slot, m.ordinal)) AS exact,
       m.price_in AS price_in_lamports, m.price_out AS price_out_lamports%4$s
FROM model_%3$s m LEFT JOIN address i ON i.key = m.pubkey
WHERE NOT EXISTS (SELECT FROM closure_%1$s x WHERE x.pubkey = m.pubkey AND (x.slot, x.ordinal) > (m.slot, m.ordinal))
$v$, c, part.schema, part.suffix, later->>'model');

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.validators_%3$s AS
SELECT i.base58 AS id, v.pubkey AS id_key, u.base58 AS authority, v.authority AS authority_key,
       o.base58 AS operator, v.operator AS operator_key,
       v.stake, v.activating, v.activation_slot, v.unbonding, v.unbonding_slot, v.open_jobs, v.open_disputes,
       v.claimable, v.owed_foundation, v.owed_burn, v.gpu_name, v.vram_mib, v.endpoint, v.models,
       CASE v.status WHEN 1 THEN 'active' WHEN 2 THEN 'jailed' END AS status,
       v.jobs_settled, v.jobs_missed, v.jobs_declined, v.earned, v.slashed,
       v.registered_slot, (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = v.registered_slot AND NOT s.gap LIMIT 1) AS registered_at,
       v.jailed_until, v.slot, v.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = v.bank), 'finalized') AS commitment,
       v.exact AND v.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = v.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (v.slot, v.ordinal)) AS exact,
       v.lamports, v.stake AS stake_lamports, v.activating AS activating_lamports, v.unbonding AS unbonding_lamports,
       v.claimable AS claimable_lamports, v.owed_foundation AS owed_foundation_lamports, v.owed_burn AS owed_burn_lamports,
       v.earned AS earned_lamports, v.slashed AS slashed_lamports%4$s
FROM validator_%3$s v LEFT JOIN address i ON i.key = v.pubkey LEFT JOIN address u ON u.key = v.authority
     LEFT JOIN address o ON o.key = v.operator
WHERE (SELECT x.slot FROM closure_%1$s x WHERE x.pubkey = v.pubkey AND (x.slot, x.ordinal) > (v.slot, v.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1) IS NULL
$v$, c, part.schema, part.suffix, later->>'validator');

END LOOP;

FOREACH c IN ARRAY ARRAY['slots', 'job_events', 'jobs', 'fingerprints', 'settlements', 'models', 'validators',
                         'validator_stake', 'vaults', 'grants', 'treasury', 'config'] LOOP
    EXECUTE format('CREATE OR REPLACE VIEW analytics.%1$I AS SELECT * FROM analytics.%2$I', c, c || '_processed');
END LOOP;
END $build$;
REVOKE ALL ON FUNCTION analytics.make_lists() FROM PUBLIC;
SELECT analytics.make_lists();

-- One row: where the index stands. Slots are null until the first bank.
CREATE OR REPLACE VIEW analytics.pipeline_status AS
SELECT h.processed_slot, h.confirmed_slot, h.finalized_slot,
       (SELECT nullif(renewed_at, '-infinity') FROM pipeline.lease) AS committed_at,
       (SELECT count(*) FROM slot WHERE status = 6 AND NOT healed) AS gaps_open,
       nullif(h.inexact_through, -1) AS inexact_through,
       (SELECT count(*) FROM pipeline.dead_letter) AS dead_letters,
       (SELECT count(*) FROM unreadable_processed WHERE reason IS NOT NULL) AS quarantined,
       (SELECT count(*) FROM pipeline.alarm WHERE cleared_at IS NULL) AS alarms,
       (SELECT next - 1 FROM feed.counter) AS feed_seq,
       (SELECT oldest FROM feed.counter) AS feed_oldest,
       analytics.base58((SELECT genesis_hash FROM pipeline.chain)) AS genesis_hash,
       nullif(h.processed_inexact_through, -1) AS processed_inexact_through,
       nullif(h.confirmed_inexact_through, -1) AS confirmed_inexact_through
FROM head h;

-- Every bank ever sealed, orphaned and dead ones too.
CREATE OR REPLACE VIEW analytics.banks AS
SELECT s.bank, s.slot, s.last_slot, analytics.base58(s.blockhash) AS blockhash, s.parent_slot,
       analytics.base58(s.parent_blockhash) AS parent_blockhash, s.block_time AS at,
       CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' WHEN 3 THEN 'finalized' WHEN 4 THEN 'orphaned'
            WHEN 5 THEN 'dead' WHEN 6 THEN 'gap' WHEN 7 THEN 'given_up' END AS status,
       s.whole, s.healed, s.accounts AS account_updates
FROM slot s;

-- What an operator should look at, and what there was. Open: cleared_at is null.
CREATE OR REPLACE VIEW analytics.alarms AS
SELECT a.id, a.kind, a.slot, a.last_slot, a.count, a.detail, a.clears_itself, a.at AS since, a.newest_at,
       a.cleared_at, a.cleared_reason
FROM pipeline.alarm a;
