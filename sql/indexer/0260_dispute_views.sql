-- run: views
-- Cases with their claims, juries, openings and output, what was slashed and burned, and the sums over days: schema `analytics`,
-- with the manners of 0240_views.sql.
-- A case's address is used once: its job has no second one. Rows of an account that was at this address before the case was opened
-- are left out all the same, unless the case's newest write made them, whatever slots it states.

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
CREATE OR REPLACE VIEW %2$I.cases_%3$s AS
SELECT i.base58 AS id, d.pubkey AS id_key, j.base58 AS job, d.job AS job_key, m.base58 AS model, d.model AS model_key,
       b.base58 AS submitter, d.submitter AS submitter_key, k.base58 AS challenger, d.challenger AS challenger_key,
       (SELECT a.base58 FROM address a WHERE a.key = d.prover) AS prover, d.prover AS prover_key,
       CASE d.status WHEN 1 THEN 'opening' WHEN 2 THEN 'joining' WHEN 3 THEN 'jury' WHEN 4 THEN 'resolved' END AS status,
       CASE d.verdict WHEN 1 THEN 'guilty' WHEN 2 THEN 'not_guilty' WHEN 3 THEN 'void' WHEN 4 THEN 'fault' END AS verdict,
       CASE d.ground WHEN 1 THEN 'jury' WHEN 2 THEN 'unanswered' WHEN 3 THEN 'no_claim' WHEN 5 THEN 'fault'
            WHEN 6 THEN 'no_quorum' WHEN 7 THEN 'too_few_judges' END AS ground,
       encode(d.fingerprint, 'hex') AS fingerprint, d.exact_profile, d.claims, d.false_claims, d.jury_seats,
       (SELECT count(*) FROM juror_%1$s u WHERE u.pubkey = d.pubkey AND (u.slot >= d.opened_slot OR u.slot = d.slot)) AS committed_seats,
       (SELECT count(*) FROM juror_%1$s u
         WHERE u.pubkey = d.pubkey AND (u.slot >= d.opened_slot OR u.slot = d.slot) AND u.revealed_slot IS NOT NULL) AS revealed_seats,
       d.sampled AS sampled_positions, d.named AS named_positions, d.opened AS opened_positions, d.output_tokens,
       (SELECT max(o.chunks_total) FROM output_%1$s o WHERE o.job = d.job AND o.page = 0) AS output_chunks_posted,
       (SELECT max(o.completed_slot) FROM output_%1$s o WHERE o.job = d.job AND o.page = 0) AS output_completed_slot,
       d.requested_slot, d.submitted_slot, d.opened_slot, d.shown_slot, d.joining_end_slot, d.leaves_slot, d.leaves_due_slot,
       d.commit_from_slot, d.commit_end_slot, d.reveal_end_slot, d.due_slot, d.resolved_slot, d.retention_end_slot, d.forfeit_end_slot,
       (SELECT x.slot FROM closure_%1$s x WHERE x.pubkey = d.pubkey AND (x.slot, x.ordinal) > (d.slot, d.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1) AS closed_slot,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = d.opened_slot AND NOT s.gap LIMIT 1) AS opened_at,
       (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = d.resolved_slot AND NOT s.gap LIMIT 1) AS resolved_at,
       d.stake_at_result_lamports, d.committed_stake_lamports, d.tariff_lamports, d.bonds_lamports, d.slashed_lamports, d.reward_lamports,
       d.claimants_lamports, d.jurors_lamports, d.submitter_lamports, d.prover_lamports, d.burned_lamports, d.penalties_lamports,
       d.forfeited_lamports, d.held_lamports, d.output_rent_lamports, d.paid, d.collected,
       (SELECT a.base58 FROM address a WHERE a.key = d.rent_payer) AS rent_payer, d.slot, d.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = d.bank), 'finalized') AS commitment,
       d.exact AND d.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = d.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (d.slot, d.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = d.pubkey AND (x.slot, x.ordinal) > (d.slot, d.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact,
       d.lamports, d.status AS status_code
FROM dispute_case_%3$s d LEFT JOIN address i ON i.key = d.pubkey LEFT JOIN address j ON j.key = d.job LEFT JOIN address m ON m.key = d.model
     LEFT JOIN address k ON k.key = d.challenger LEFT JOIN address b ON b.key = d.submitter
$v$, c, part.schema, part.suffix);

EXECUTE format($v$
CREATE OR REPLACE VIEW %2$I.slashes_%3$s AS
SELECT id AS dispute, id_key AS dispute_key, job, job_key, submitter AS validator, submitter_key AS validator_key, challenger,
       verdict, ground, slashed_lamports, reward_lamports AS challenger_reward_lamports, jurors_lamports,
       slashed_lamports - reward_lamports - jurors_lamports AS burned_lamports, resolved_slot, resolved_at, commitment, exact
FROM %2$I.cases_%3$s WHERE slashed_lamports > 0 AND resolved_slot IS NOT NULL
$v$, c, part.schema, part.suffix);

burns := '{}';
FOR burn IN SELECT * FROM (VALUES
    ('fee', 'job', 'ended_slot', 'b.burned_lamports'), ('registration', 'model', 'registered_slot', 'b.burned_lamports'),
    ('dispute', 'dispute_case', 'resolved_slot', 'COALESCE(b.burned_lamports, 0) + COALESCE(b.penalties_lamports, 0) + COALESCE(b.forfeited_lamports, 0)'),
    ('lease', 'lease_burn', 'slot', 'b.lamports'), ('lease_dispute', 'lease_dispute', 'resolved_slot', 'b.burned_lamports'),
    ('lease_unserved', 'lease_unserved', 'slot', 'b.lamports')
) v(kind, origin, slot, lamports) LOOP
    burns := burns || format($v$
        SELECT %4$L::text AS kind, i.base58 AS account, b.pubkey AS account_key, b.%6$I AS slot,
               (SELECT s.at FROM analytics.slots_%1$s s WHERE s.slot = b.%6$I AND NOT s.gap LIMIT 1) AS at, %7$s AS lamports
        FROM %5$s_%3$s b LEFT JOIN address i ON i.key = b.pubkey WHERE %7$s > 0 AND b.%6$I IS NOT NULL
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

-- What the disputes of one challenger were is now a claim in a case; what they were together is the case.
EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.disputes_%1$s AS
SELECT id, id_key, job, job_key, challenger, challenger_key, submitter, submitter_key, model, model_key, status, verdict, ground,
       fingerprint, jury_seats, bonds_lamports, slashed_lamports, reward_lamports, claimants_lamports, jurors_lamports, submitter_lamports,
       burned_lamports, penalties_lamports, opened_slot, due_slot, resolved_slot, opened_at, resolved_at, closed_slot, commitment, exact
FROM analytics.cases_%1$s
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.claims_%1$s AS
SELECT i.base58 AS dispute, w.pubkey AS dispute_key, j.base58 AS job, w.job AS job_key, w.place,
       k.base58 AS claimant, w.claimant AS claimant_key, CASE w.kind WHEN 1 THEN 'withheld' WHEN 2 THEN 'false' END AS claim_kind,
       CASE w.outcome WHEN 1 THEN 'right' WHEN 2 THEN 'wrong' WHEN 3 THEN 'undecided' END AS outcome,
       w.claimed_slot, w.named AS named_positions,
       (SELECT jsonb_agg(o.position ORDER BY o.place) FROM opening_%1$s o
         WHERE o.pubkey = w.pubkey AND o.claim = w.place AND NOT EXISTS (SELECT FROM dispute_case_%1$s d
                WHERE d.pubkey = o.pubkey AND d.opened_slot > o.slot AND d.slot <> o.slot)) AS positions,
       w.digest_place, encode(w.digest, 'hex') AS digest,
       w.at_stake_lamports + w.answering_fee_lamports + w.tariffs_lamports AS bond_lamports,
       w.at_stake_lamports, w.answering_fee_lamports, w.tariffs_lamports, w.amount_lamports,
       greatest(w.amount_lamports - w.at_stake_lamports - w.answering_fee_lamports - w.tariffs_lamports, 0) AS reward_lamports, w.collected,
       w.slot, w.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = w.bank), 'finalized') AS commitment,
       w.exact AND w.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = w.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (w.slot, w.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = w.pubkey AND (x.slot, x.ordinal) > (w.slot, w.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact
FROM claim_%1$s w LEFT JOIN address i ON i.key = w.pubkey LEFT JOIN address j ON j.key = w.job LEFT JOIN address k ON k.key = w.claimant
WHERE NOT EXISTS (SELECT FROM dispute_case_%1$s d WHERE d.pubkey = w.pubkey AND d.opened_slot > w.slot AND d.slot <> w.slot)
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.jurors_%1$s AS
SELECT i.base58 AS dispute, u.pubkey AS dispute_key, j.base58 AS job, u.job AS job_key, u.seat,
       k.base58 AS juror, u.juror AS juror_key, u.rank / 65536.0 AS rank,
       encode(u.commitment, 'hex') AS commitment_hash, u.committed_slot, u.revealed_slot,
       (e.vote->>'right')::bigint & 2 <> 0 AS finds_sample_true, (e.vote->>'right')::bigint AS finds_true,
       e.vote->'agrees' AS agrees,
       CASE WHEN e.exact_profile THEN e.vote->'digests' END AS digests,
       CASE WHEN NOT e.exact_profile THEN e.vote->'values' END AS vector,
       u.reward_lamports, u.penalty_lamports, u.collected,
       CASE WHEN u.penalty_lamports > 0 THEN 'penalised'
            WHEN EXISTS (SELECT FROM juror_%1$s p WHERE p.pubkey = u.pubkey AND p.juror = u.juror AND p.reward_lamports > 0) THEN 'paid'
            WHEN u.reward_lamports = 0 THEN 'unpaid' END AS outcome,
       u.slot, u.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = u.bank), 'finalized') AS commitment,
       u.exact AND u.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = u.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (u.slot, u.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = u.pubkey AND (x.slot, x.ordinal) > (u.slot, u.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact
FROM juror_%1$s u LEFT JOIN address i ON i.key = u.pubkey LEFT JOIN address j ON j.key = u.job LEFT JOIN address k ON k.key = u.juror
     LEFT JOIN LATERAL (SELECT v.votes->u.seat AS vote, d.exact_profile FROM votes_%1$s v JOIN dispute_case_%1$s d ON d.pubkey = v.dispute_case
                         WHERE v.dispute_case = u.pubkey AND u.revealed_slot IS NOT NULL AND jsonb_typeof(v.votes->u.seat) = 'object'
                         ORDER BY v.slot DESC LIMIT 1) e ON true
WHERE NOT EXISTS (SELECT FROM dispute_case_%1$s d WHERE d.pubkey = u.pubkey AND d.opened_slot > u.slot AND d.slot <> u.slot)
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.votes_%1$s AS
SELECT (SELECT a.base58 FROM address a WHERE a.key = v.pubkey) AS id, v.pubkey AS id_key, i.base58 AS dispute, v.dispute_case AS dispute_key,
       (SELECT a.base58 FROM address a WHERE a.key = v.rent_payer) AS rent_payer, v.votes,
       (SELECT x.slot FROM closure_%1$s x WHERE x.pubkey = v.pubkey AND (x.slot, x.ordinal) > (v.slot, v.ordinal)
         ORDER BY x.slot, x.ordinal LIMIT 1) AS closed_slot,
       v.slot, v.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = v.bank), 'finalized') AS commitment,
       v.exact AND v.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = v.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (v.slot, v.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = v.pubkey AND (x.slot, x.ordinal) > (v.slot, v.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact,
       v.lamports
FROM votes_%1$s v LEFT JOIN address i ON i.key = v.dispute_case
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.openings_%1$s AS
SELECT i.base58 AS dispute, o.pubkey AS dispute_key, j.base58 AS job, o.job AS job_key, o.place,
       o.position, CASE o.asked WHEN 1 THEN 'sample' WHEN 2 THEN 'claim' WHEN 3 THEN 'fault' END AS asked_by, o.claim AS claim_place,
       o.token IS NOT NULL AS shown, o.token, o.ids, o.logits,
       o.slot, o.write_seq,
       COALESCE((SELECT CASE s.status WHEN 1 THEN 'processed' WHEN 2 THEN 'confirmed' ELSE 'finalized' END
                   FROM slot s WHERE s.bank = o.bank), 'finalized') AS commitment,
       o.exact AND o.slot > (SELECT through FROM inexact_%1$s)
               AND NOT EXISTS (SELECT FROM unreadable_%1$s q WHERE q.pubkey = o.pubkey AND q.reason IS NOT NULL
                                AND (q.slot, q.ordinal) > (o.slot, o.ordinal))
               AND COALESCE((SELECT x.exact FROM closure_%1$s x WHERE x.pubkey = o.pubkey AND (x.slot, x.ordinal) > (o.slot, o.ordinal)
                              ORDER BY x.slot, x.ordinal LIMIT 1), true) AS exact
FROM opening_%1$s o LEFT JOIN address i ON i.key = o.pubkey LEFT JOIN address j ON j.key = o.job
WHERE NOT EXISTS (SELECT FROM dispute_case_%1$s d WHERE d.pubkey = o.pubkey AND d.opened_slot > o.slot AND d.slot <> o.slot)
$v$, c);

EXECUTE format($v$
CREATE OR REPLACE VIEW analytics.outputs_%1$s AS
SELECT i.base58 AS id, o.pubkey AS id_key, j.base58 AS job, o.job AS job_key,
       (SELECT a.base58 FROM address a WHERE a.key = o.rent_payer) AS rent_payer, encode(o.fingerprint, 'hex') AS fingerprint, o.page, o.token_count, o.tokens,
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
FROM output_%1$s o LEFT JOIN address i ON i.key = o.pubkey LEFT JOIN address j ON j.key = o.job
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
       (SELECT count(*) FROM dispute_case_%1$s d WHERE d.status <> 4) AS disputes_open,
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
    ('cases', 'What is said against a result, one case a job, or a proven fault: phases by their slots, verdict, amounts; id is the case account'),
    ('claims', 'Claims against results, in the order in which they were made: who says what with which bond, and what became of it'),
    ('disputes', 'Cases under their older name, with the columns that mean the same: challenger is who got the reward, else who opened it or proved the fault'),
    ('jurors', 'The taken seats of juries: who sits there, what it committed to and showed, what it got or lost'),
    ('votes', 'What the juries of cases revealed, an account a case; jurors shows each vote with its seat'),
    ('openings', 'Positions that cases check, and leaves of proven faults: token, the four likeliest ids and their logits in Q16.16, null until shown'),
    ('outputs', 'Token ids posted in cases, up to 2,048 a page; null where a chunk of 128 is not posted'),
    ('slashes', 'Stake that validators lost: challenger_reward_lamports + jurors_lamports + burned_lamports = slashed_lamports'),
    ('burns', 'Lamports destined to be burned: 40 % of fees (owed by the validator until swept), registration fees, what cases burn with the penalties of jurors; and of leases their shares and slashed stake, lost bonds, and what tenants pay to call an epoch unserved; not what is burned as a lease account is closed because the tenant''s wallet can''t hold it (leases.tenant_due_lamports), of which no account says whether it was'),
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
    RAISE NOTICE 'the read-only role mythic_reader was not granted the views of cases';
END $role$;
