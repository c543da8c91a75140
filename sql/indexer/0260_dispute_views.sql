-- run: views
-- Disputes with their juries, openings and output, what was slashed and burned, and the sums over days: schema `analytics`,
-- with the manners of 0240_views.sql.

DO $build$
DECLARE
    c text;
    v record;
    part record;
    -- Of a burn: its kind, table, slot, account and lamports.
    burn record;
    burns text[];
BEGIN
FOR part IN SELECT * FROM (VALUES
    ('analytics', 'processed', 'processed'), ('analytics', 'confirmed', 'confirmed'), ('analytics', 'finalized', 'finalized'),
    ('listing', 'processed_rooted', 'processed'), ('listing', 'processed_unrooted', 'processed'),
    ('listing', 'confirmed_rooted', 'confirmed'), ('listing', 'confirmed_unrooted', 'confirmed'), ('listing', 'finalized', 'finalized')
) v(schema, suffix, commitment) LOOP
c := part.commitment;

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.disputes_%3$s AS
SELECT analytics.base58(d.pubkey) AS id, d.pubkey AS id_key, analytics.base58(d.job) AS job, d.job AS job_key,
       analytics.base58(d.challenger) AS challenger, analytics.base58(d.submitter) AS submitter,
       CASE d.status WHEN 1 THEN 'openings' WHEN 2 THEN 'jury' WHEN 3 THEN 'resolved' END AS status,
       CASE d.verdict WHEN 1 THEN 'guilty' WHEN 2 THEN 'not_guilty' WHEN 3 THEN 'void' WHEN 4 THEN 'fault' END AS verdict,
       encode(d.fingerprint, 'hex') AS fingerprint, d.jury_seats, d.bond_lamports, d.slashed_lamports, d.challenger_lamports,
       d.jurors_lamports, d.submitter_lamports, d.burned_lamports, d.opened_slot, d.completed_slot, d.resolved_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = d.opened_slot AND NOT s.gap LIMIT 1) AS opened_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = d.resolved_slot AND NOT s.gap LIMIT 1) AS resolved_at,
       (SELECT x.slot FROM closure_%1$s x WHERE x.pubkey = d.pubkey AND (x.slot, x.ordinal) > (d.slot, d.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1) AS closed_slot,
       d.slot, d.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = d.bank), 'finalized') AS commitment,
       d.exact AND d.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = d.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (d.slot, d.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = d.pubkey AND (x.slot, x.ordinal) > (d.slot, d.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact,
       CASE d.ground WHEN 1 THEN 'jury' WHEN 2 THEN 'unanswered' WHEN 3 THEN 'no_thresholds' WHEN 4 THEN 'overtaken'
            WHEN 5 THEN 'fault' END AS ground,
       analytics.base58(d.model) AS model, d.model AS model_key, d.challenger AS challenger_key, d.submitter AS submitter_key,
       analytics.base58(d.rent_payer) AS rent_payer, d.exact_profile, d.sampled AS sampled_positions, d.named AS named_positions,
       d.opened AS opened_positions, d.output_tokens, d.requested_slot, d.submitted_slot, d.openings_end_slot,
       d.commit_from_slot, d.commit_end_slot, d.reveal_end_slot, d.due_slot, d.retention_end_slot, d.at_stake_lamports,
       d.answering_fee_lamports, d.tariff_lamports, d.held_lamports, d.output_rent_lamports, d.penalties_lamports, d.collected,
       (SELECT count(*) FROM juror_%1$s u WHERE u.pubkey = d.pubkey) AS committed_seats,
       (SELECT count(*) FROM juror_%1$s u WHERE u.pubkey = d.pubkey AND u.revealed_slot IS NOT NULL) AS revealed_seats,
       (SELECT max(o.chunks_total) FROM output_%1$s o WHERE o.job = d.job AND o.page = 0) AS output_chunks_posted,
       (SELECT max(o.completed_slot) FROM output_%1$s o WHERE o.job = d.job AND o.page = 0) AS output_completed_slot,
       d.lamports, d.status AS status_code
FROM dispute_%3$s d
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.slashes_%3$s AS
SELECT id AS dispute, id_key AS dispute_key, job, job_key, submitter AS validator, submitter_key AS validator_key, challenger,
       verdict, ground, slashed_lamports, challenger_lamports - bond_lamports AS challenger_reward_lamports, jurors_lamports,
       burned_lamports, resolved_slot, resolved_at, commitment, exact
FROM %2$I.disputes_%3$s WHERE slashed_lamports > 0 AND resolved_slot IS NOT NULL
$v$, c, part.schema, part.suffix);

burns := '{}';
FOR burn IN SELECT * FROM (VALUES
    ('fee', 'job', 'ended_slot', 'b.burned_lamports'), ('registration', 'model', 'registered_slot', 'b.burned_lamports'),
    ('dispute', 'dispute', 'resolved_slot', 'COALESCE(b.burned_lamports, 0) + COALESCE(b.penalties_lamports, 0)')
) v(kind, origin, slot, lamports) LOOP
    burns := burns || format($v$
        SELECT %4$L::text AS kind, analytics.base58(b.pubkey) AS account, b.pubkey AS account_key, b.%6$I AS slot,
               (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = b.%6$I AND NOT s.gap LIMIT 1) AS at, %7$s AS lamports
        FROM %5$s_%3$s b WHERE %7$s > 0 AND b.%6$I IS NOT NULL
        $v$, c, part.schema, part.suffix, burn.kind, burn.origin, burn.slot, burn.lamports);
    IF part.schema = 'listing' THEN
        EXECUTE format('CREATE OR REPLACE VIEW listing.burns_%s_%s AS %s', burn.kind, part.suffix, burns[cardinality(burns)]);
    END IF;
END LOOP;
IF part.schema = 'analytics' THEN
    EXECUTE format('CREATE OR REPLACE VIEW analytics.burns_%s AS %s', c, array_to_string(burns, ' UNION ALL '));
END IF;

END LOOP;

FOREACH c IN ARRAY ARRAY['processed', 'confirmed', 'finalized'] LOOP

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.jurors_%1$s AS
SELECT analytics.base58(u.pubkey) AS dispute, u.pubkey AS dispute_key, analytics.base58(u.job) AS job, u.job AS job_key, u.seat,
       analytics.base58(u.juror) AS juror, u.juror AS juror_key, u.rank / 65536.0 AS rank,
       encode(u.commitment, 'hex') AS commitment_hash, u.committed_slot, u.revealed_slot, u.fraud AS shows_fraud,
       u.agrees, u.vector, u.reward_lamports, u.penalty_lamports, u.collected,
       CASE WHEN u.reward_lamports > 0 THEN 'paid' WHEN u.penalty_lamports > 0 OR (u.collected AND u.reward_lamports = 0) THEN 'penalised'
            WHEN u.reward_lamports = 0 THEN 'unpaid' END AS outcome,
       u.slot, u.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = u.bank), 'finalized') AS commitment,
       u.exact AND u.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = u.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (u.slot, u.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = u.pubkey AND (x.slot, x.ordinal) > (u.slot, u.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact
FROM juror_%1$s u
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.openings_%1$s AS
SELECT analytics.base58(o.pubkey) AS dispute, o.pubkey AS dispute_key, analytics.base58(o.job) AS job, o.job AS job_key, o.place,
       o.position, o.named, o.token IS NOT NULL AS shown, o.token, o.ids, o.logits, o.slot, o.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = o.bank), 'finalized') AS commitment,
       o.exact AND o.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = o.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (o.slot, o.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = o.pubkey AND (x.slot, x.ordinal) > (o.slot, o.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact
FROM opening_%1$s o
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.outputs_%1$s AS
SELECT analytics.base58(o.pubkey) AS id, o.pubkey AS id_key, analytics.base58(o.job) AS job, o.job AS job_key,
       analytics.base58(o.rent_payer) AS rent_payer, encode(o.fingerprint, 'hex') AS fingerprint, o.page, o.token_count, o.tokens,
       o.chunks AS chunks_posted, o.chunks_total AS chunks_posted_on_all_pages, o.updated_slot, o.completed_slot,
       (SELECT x.slot FROM closure_%1$s x WHERE x.pubkey = o.pubkey AND (x.slot, x.ordinal) > (o.slot, o.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1) AS closed_slot,
       o.slot, o.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = o.bank), 'finalized') AS commitment,
       o.exact AND o.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = o.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (o.slot, o.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = o.pubkey AND (x.slot, x.ordinal) > (o.slot, o.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact,
       o.lamports
FROM output_%1$s o
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.network_daily_%1$s AS
SELECT day, jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, owners, validators, prompt_tokens, output_tokens,
       fee_lamports, validator_lamports, foundation_lamports, burned_lamports, disputes, slashed_lamports
FROM tally_%1$s WHERE day > '-infinity'
  AND greatest(jobs_requested, jobs_submitted, jobs_settled, jobs_refunded, jobs_slashed, burned_lamports, disputes, slashed_lamports) > 0
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.network_%1$s AS
SELECT h.processed_slot AS slot, h.finalized_slot,
       v.registered_validators, v.gpus, v.staked_lamports, t.jobs, t.jobs_settled, t.jobs_refunded, t.jobs_slashed, t.disputes,
       (SELECT count(*) FROM dispute_%1$s d WHERE d.status IN (1, 2)) AS disputes_open,
       t.prompt_tokens, t.output_tokens, t.fee_lamports, t.slashed_lamports, t.burned_lamports
FROM head h
     CROSS JOIN (SELECT count(*) AS registered_validators, count(*) FILTER (WHERE gpu_name <> '') AS gpus,
                        COALESCE(sum(stake), 0)::bigint AS staked_lamports FROM analytics.validators_%1$s) v
     CROSS JOIN (SELECT COALESCE(sum(jobs_requested), 0)::bigint AS jobs, COALESCE(sum(jobs_settled), 0)::bigint AS jobs_settled,
                        COALESCE(sum(jobs_refunded), 0)::bigint AS jobs_refunded, COALESCE(sum(jobs_slashed), 0)::bigint AS jobs_slashed,
                        COALESCE(sum(disputes), 0)::bigint AS disputes, COALESCE(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
                        COALESCE(sum(output_tokens), 0)::bigint AS output_tokens, COALESCE(sum(fee_lamports), 0)::bigint AS fee_lamports,
                        COALESCE(sum(slashed_lamports), 0)::bigint AS slashed_lamports,
                        COALESCE(sum(burned_lamports), 0)::bigint AS burned_lamports FROM tally_%1$s) t
$v$, c);

END LOOP;

FOR v IN SELECT * FROM (VALUES
    ('disputes', 'Challenges of results, and proven faults (ground fault): phases by their slots, verdict, amounts; id is the dispute account'),
    ('jurors', 'The taken seats of juries: who sits there, what it committed to and showed, what it got or lost'),
    ('openings', 'Positions that disputes check: token, the four likeliest ids and their logits in Q16.16, null until shown'),
    ('outputs', 'Token ids posted under disputes, up to 2,048 a page; null where a chunk of 128 is not posted'),
    ('slashes', 'Stake that validators lost: challenger_reward_lamports + jurors_lamports + burned_lamports = slashed_lamports'),
    ('burns', 'Lamports destined to be burned: 40 % of fees (owed by the validator until swept), registration fees, and what disputes burn with the penalties of jurors'),
    ('network_daily', 'Activity per UTC day of the block time; kept while rows are written, so that it costs the same however many jobs there are'),
    ('network', 'One row: the network at a glance, sums since the first slot; it costs the same however many jobs there are')
) t(name, comment) LOOP
    EXECUTE format('CREATE OR REPLACE VIEW analytics.%1$I AS SELECT * FROM analytics.%2$I', v.name, v.name || '_processed');
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


DO $role$
BEGIN
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics, listing TO mythic_reader;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RAISE NOTICE 'the read-only role mythic_reader was not granted the views of disputes';
END $role$;
