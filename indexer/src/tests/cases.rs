//! Histories of cases: phases, claims, juries, votes and amounts in the tables, across forks, crashes, rebuilds, and with content
//! that no program writes.

use bytemuck::Zeroable;
use mythic_interface::leaf::Leaf;
use mythic_interface::params::Params;
use mythic_interface::state::{
    Case, CaseStatus, ClaimKind, Ground, Job, Outcome, Output, Verdict, Votes,
};
use serde_json::json;

use super::chain::*;
use super::drain;
use super::postgres::Database;
use super::steps::outcome;
use crate::{IndexerError, Swap, rebuild};

const JOB: u8 = 3;
const CASE: u8 = 40;
const PAGE: u8 = 41;
const VOTES: u8 = 42;
const OPENER: u8 = 15;
const JOINER: u8 = 16;

fn base58(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

/// A case of the result of job 3, opened in `slot` by who says that it is false and names a position beside the one of the
/// sample. A jury of three.
fn opened(seq: u64, slot: u64) -> Box<Case> {
    let mut case = Box::new(Case::zeroed());
    case.header = header(8, CaseStatus::Opening as u8, seq);
    case.job = [JOB; 32];
    case.model = [13; 32];
    case.submitter = [14; 32];
    case.fingerprint = [15; 32];
    case.rules = Params::dev().rules;
    case.exact = 1;
    case.commit_slots = 100.into();
    case.jury_seats = 3;
    case.sampled = 1;
    case.leaves[0].position = 6.into();
    case.output_tokens = 7.into();
    case.requested_slot = 2.into();
    case.submitted_slot = 4.into();
    case.opened_slot = slot.into();
    case.stake_at_result = 4_002.into();
    case.tariff = 200.into();
    (case.claim_count, case.false_count) = (1, 1);
    let claim = &mut case.claims[0];
    claim.claimant = [OPENER; 32];
    claim.kind = ClaimKind::False as u8;
    claim.named = 1;
    claim.leaves[0].position = 2.into();
    claim.claimed_slot = slot.into();
    claim.at_stake = 300.into();
    claim.answering_fee = 100.into();
    claim.tariffs = 600.into();
    case.held = 1_000.into();
    case.output_rent = 50.into();
    case
}

/// The same, with everything shown in `slot`.
fn answered(seq: u64, slot: u64) -> Box<Case> {
    let mut case = opened(seq, 5);
    case.header.status = CaseStatus::Joining as u8;
    case.shown_slot = slot.into();
    case.leaves_slot = slot.into();
    case.output_rent = 0.into();
    let show = |leaf: &mut mythic_interface::state::OpenedLeaf, position| {
        leaf.show(&Leaf {
            position,
            token: 100 + position,
            top4: [(100 + position, 9), (1, 8), (2, -7), (3, -8)],
        });
    };
    show(&mut case.leaves[0], 6);
    show(&mut case.claims[0].leaves[0], 2);
    case.claims[0].digest = [31; 32];
    case.opened = 1;
    case
}

/// The same, joined by another, with two jurors on three seats, of whom the first has revealed.
fn judged(seq: u64) -> Box<Case> {
    let mut case = answered(seq, 6);
    case.header.status = CaseStatus::Jury as u8;
    (case.claim_count, case.false_count) = (2, 2);
    let claim = &mut case.claims[1];
    claim.claimant = [JOINER; 32];
    claim.kind = ClaimKind::False as u8;
    claim.claimed_slot = 7.into();
    claim.at_stake = 600.into();
    case.held = 1_600.into();
    case.committed_stake = 9_000.into();
    for (seat, juror) in case.seats.iter_mut().zip([21, 21, 22]) {
        seat.juror = [juror; 32];
        seat.rank = (-32_768).into();
        seat.commitment = [9; 32];
        seat.committed_slot = 7.into();
    }
    for seat in case.seats.iter_mut().take(2) {
        seat.revealed_slot = 8.into();
    }
    case
}

/// What the first juror revealed in both of its seats: the sample is true, the named position is not.
fn votes(seq: u64) -> Vec<u8> {
    let mut votes = Box::new(Votes::zeroed());
    votes.header = header(10, 1, seq);
    votes.case = [CASE; 32];
    for vote in votes.votes.iter_mut().take(2) {
        for (digest, byte) in vote.body.chunks_exact_mut(32).zip([51, 52, 53]) {
            digest.fill(byte);
        }
        vote.agrees[..3].fill(3.into());
        vote.right = 2.into();
    }
    bytemuck::bytes_of(&*votes).to_vec()
}

/// The same, guilty: 2,001 lamports slashed, two fifths to the first claimant, a tariff to the juror, the rest burned.
fn guilty(seq: u64, collected: bool) -> Box<Case> {
    let mut case = judged(seq);
    case.header.status = CaseStatus::Resolved as u8;
    case.resolved_slot = 9.into();
    case.verdict = Verdict::Guilty as u8;
    case.ground = Ground::Jury as u8;
    case.slashed_amount = 2_001.into();
    case.claims[0].outcome = Outcome::Right as u8;
    case.claims[0].amount = 1_800.into();
    case.claims[1].outcome = Outcome::Wrong as u8;
    case.claimants_amount = 1_800.into();
    case.jurors_amount = 200.into();
    case.burned_amount = 1_601.into();
    case.held = 2_000.into();
    case.seats[0].reward = 200.into();
    case.seats[2].penalty = 70.into();
    if collected {
        case.held = 0.into();
        case.penalties_amount = 60.into();
        case.forfeited_amount = 3.into();
        case.seats[2].penalty = 60.into();
        for claim in case.claims.iter_mut().take(2) {
            claim.collected = 1;
        }
        for seat in case.seats.iter_mut().take(3) {
            seat.collected = 1;
        }
    }
    case
}

fn bytes(case: &Case) -> Vec<u8> {
    bytemuck::bytes_of(case).to_vec()
}

/// A page of the 200 tokens 1000, 1001, … of which the chunks in `chunks` are posted.
fn page(seq: u64, chunks: u16) -> Vec<u8> {
    let mut output = Box::new(Output::zeroed());
    output.header = header(9, 1, seq);
    output.job = [JOB; 32];
    output.fingerprint = [15; 32];
    output.updated_slot = 6.into();
    output.count = 200.into();
    output.chunks = chunks.into();
    output.posted = chunks.count_ones().into();
    if chunks == 3 {
        output.completed_slot = 6.into();
    }
    for (id, token) in (1_000..).zip(&mut output.tokens) {
        *token = id.into();
    }
    bytemuck::bytes_of(&*output).to_vec()
}

/// Job 3 with a result of slot 4, its case opened in `disputed` and ended in `ended`, each 0 = not.
fn disputed_job(seq: u64, disputed: u64, ended: u64) -> Vec<u8> {
    let life = Life {
        requested: 2,
        accepted: 3,
        submitted: 4,
        ended: 0,
    };
    let mut job = *Job::load(&super::chain::job(seq, life)).unwrap();
    job.case_slot = disputed.into();
    job.stake_at_result = 4_002.into();
    if disputed > 0 {
        job.header.status = 4;
    }
    if ended > 0 {
        job.header.status = 7;
        job.end_reason = 7;
        job.ended_slot = ended.into();
        job.refunded_amount = 1_250.into();
        job.slashed_amount = 2_001.into();
    }
    bytemuck::bytes_of(&job).to_vec()
}

/// A case from its first claim to its close, beside an abandoned fork in which another came, and a restart with a base.
fn history(dir: &std::path::Path) {
    let mut chain = Chain::start(dir, 1, 0, &[]);
    chain.bank(4, 0, (0, 0), &[write(JOB, disputed_job(3, 0, 0))]);
    let claim = [
        write(JOB, disputed_job(4, 5, 0)),
        write(CASE, bytes(&opened(1, 5))),
        write(VOTES, votes(0)),
    ];
    chain.bank(5, 0, (4, 0), &claim);
    chain.confirm(4, 0);
    // A fork in which nobody posts output and another job has a case.
    let mut other = opened(1, 6);
    other.job = [4; 32];
    chain.bank(
        6,
        1,
        (5, 0),
        &[write(50, bytes(&other)), write(JOB, disputed_job(5, 5, 0))],
    );
    let shown = [
        write(PAGE, page(1, 1)),
        write(PAGE, page(2, 3)),
        write(CASE, bytes(&opened(2, 5))),
        write(CASE, bytes(&answered(3, 6))),
    ];
    chain.bank(7, 0, (5, 0), &shown);
    let judge = [write(CASE, bytes(&judged(6))), write(VOTES, votes(1))];
    chain.bank(8, 0, (7, 0), &judge);
    chain.confirm(7, 0);
    chain.root(5, 0);
    let verdict = [
        write(CASE, bytes(&guilty(7, false))),
        write(JOB, disputed_job(5, 5, 9)),
    ];
    chain.bank(9, 0, (8, 0), &verdict);
    chain.root(7, 0);
    chain.root(9, 0);
    drop(chain);
    // The producer restarts, and has the collected case in its base.
    let base = [
        write(JOB, disputed_job(5, 5, 9)),
        write(PAGE, page(2, 3)),
        write(CASE, bytes(&guilty(10, true))),
        write(VOTES, votes(1)),
    ];
    let mut chain = Chain::start(dir, 2, 10, &base);
    chain.bank(11, 0, (10, 0), &[]);
    chain.root(11, 0);
    chain.bank(12, 0, (11, 0), &[closed(CASE), closed(VOTES), closed(PAGE)]);
    chain.root(12, 0);
    chain.sync();
}

#[tokio::test]
async fn a_crash_in_a_case_changes_nothing_and_a_rebuild_reproduces_it() {
    let spool = tempfile::tempdir().unwrap();
    history(spool.path());
    let whole = Database::new("court_whole").await;
    let plenty = 1_000_000;
    let left = drain(&whole.url, spool.path(), 3, Some(plenty))
        .await
        .unwrap()
        .unwrap();
    let statements = plenty - left;
    let expected = outcome(&whole).await;
    for stop in (5..statements).step_by(statements / 8) {
        let db = Database::new(&format!("court_{stop}")).await;
        let stopped = drain(&db.url, spool.path(), 3, Some(stop)).await;
        assert!(
            matches!(stopped, Err(IndexerError::Injected)),
            "{stop}: {stopped:?}"
        );
        drain(&db.url, spool.path(), 1, None).await.unwrap();
        assert_eq!(
            outcome(&db).await,
            expected,
            "stopped before statement {stop}"
        );
    }
    let seen = "SELECT * FROM analytics.cases_processed";
    let before = whole.texts(seen).await;
    let report = rebuild(&whole.url, Swap::IfEqual).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
    assert!(report.swapped);
    assert_eq!(whole.texts(seen).await, before);
    assert_eq!(before.len(), 1, "the abandoned fork's is gone: {before:?}");
}

#[tokio::test]
async fn a_case_is_told_with_its_claims_its_jury_its_openings_and_where_all_money_went() {
    let spool = tempfile::tempdir().unwrap();
    history(spool.path());
    let db = Database::new("court_told").await;
    drain(&db.url, spool.path(), 2, None).await.unwrap();
    let told = db
        .texts(
            "SELECT job, challenger, status, verdict, ground, claims, false_claims, sampled_positions, named_positions, opened_positions,
                    shown_slot, joining_end_slot, leaves_due_slot, commit_from_slot, commit_end_slot, reveal_end_slot, due_slot,
                    resolved_slot, forfeit_end_slot, closed_slot, committed_seats, revealed_seats, output_chunks_posted, paid, collected, exact
               FROM analytics.cases_finalized",
        )
        .await;
    assert_eq!(
        told,
        [format!(
            "({},{},resolved,guilty,jury,2,2,1,1,2,6,106,156,126,226,276,,9,4509,12,3,2,2,t,t,f)",
            base58(JOB),
            base58(OPENER)
        )]
    );
    assert_eq!(
        db.texts("SELECT place, claimant, claim_kind, outcome, claimed_slot, positions, digest_place, left(digest, 4), bond_lamports, amount_lamports, reward_lamports FROM analytics.claims_finalized ORDER BY place")
            .await,
        [
            format!("(0,{},false,right,5,[2],2,1f1f,1000,1800,800)", base58(OPENER)),
            format!("(1,{},false,wrong,7,,,,600,0,0)", base58(JOINER)),
        ]
    );
    assert_eq!(
        db.texts("SELECT seat, juror, rank, finds_sample_true, finds_true, left(digests->>2, 4), agrees->0, vector, reward_lamports, penalty_lamports, outcome FROM analytics.jurors_finalized ORDER BY seat")
            .await,
        [
            format!("(0,{},-0.50000000000000000000,t,2,3535,3,,200,0,paid)", base58(21)),
            format!("(1,{},-0.50000000000000000000,t,2,3535,3,,0,0,paid)", base58(21)),
            format!("(2,{},-0.50000000000000000000,,,,,,0,60,penalised)", base58(22)),
        ]
    );
    assert_eq!(
        db.texts("SELECT place, position, asked_by, claim_place, shown, token, ids, logits FROM analytics.openings_finalized ORDER BY place")
            .await,
        [
            "(0,6,sample,,t,106,\"[106, 1, 2, 3]\",\"[9, 8, -7, -8]\")",
            "(16,2,claim,0,t,102,\"[102, 1, 2, 3]\",\"[9, 8, -7, -8]\")",
        ]
    );
    assert_eq!(
        db.texts("SELECT dispute, jsonb_array_length(votes), votes->2, closed_slot FROM analytics.votes_finalized")
            .await,
        [format!("({},15,null,12)", base58(CASE))]
    );
    assert_eq!(
        db.texts("SELECT job, challenger, verdict, bonds_lamports, reward_lamports FROM analytics.disputes_finalized")
            .await,
        [format!("({},{},guilty,1600,800)", base58(JOB), base58(OPENER))]
    );
    assert_eq!(
        db.texts("SELECT job, page, token_count, chunks_posted, completed_slot, tokens->199, closed_slot FROM analytics.outputs_finalized")
            .await,
        [format!("({},0,200,2,6,1199,12)", base58(JOB))]
    );
    assert_eq!(
        db.texts("SELECT validator, slashed_lamports, challenger_reward_lamports, jurors_lamports, burned_lamports FROM analytics.slashes_finalized")
            .await,
        [format!("({},2001,800,200,1001)", base58(14))]
    );
    assert_eq!(
        db.texts("SELECT kind, slot, lamports FROM analytics.burns_finalized")
            .await,
        ["(dispute,9,1664)"],
        "with the juror's penalty and what was forfeited"
    );
    assert_eq!(
        db.texts("SELECT status, end_reason, dispute, refunded_lamports, slashed_lamports FROM analytics.jobs_finalized")
            .await,
        [format!("(slashed,guilty,{},1250,2001)", base58(CASE))]
    );
    assert_eq!(
        db.texts("SELECT status FROM analytics.job_events_finalized ORDER BY step")
            .await,
        [
            "(open)",
            "(accepted)",
            "(submitted)",
            "(disputed)",
            "(slashed)"
        ]
    );
    assert_eq!(
        db.texts("SELECT disputes, slashed_lamports, jobs_slashed, burned_lamports FROM analytics.network_daily_finalized WHERE disputes > 0")
            .await,
        ["(1,2001,1,1664)"]
    );
}

#[tokio::test]
async fn cases_that_ended_in_a_healed_gap_are_inexact_at_every_commitment() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("court_gap").await;
    let other = 50;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    let opened = [
        write(JOB, disputed_job(4, 5, 0)),
        write(CASE, bytes(&opened(1, 5))),
        write(other, bytes(&opened(1, 5))),
    ];
    chain.bank(5, 0, (0, 0), &opened);
    chain.root(5, 0);
    // Nobody sees how one ends in slot 9, and how the other is closed.
    chain.bank(10, 0, (9, 0), &[]);
    chain.root(10, 0);
    drop(chain);
    let base = [
        write(JOB, disputed_job(5, 5, 9)),
        write(CASE, bytes(&guilty(7, false))),
    ];
    let mut chain = Chain::start(spool.path(), 2, 10, &base);
    chain.bank(11, 0, (10, 0), &[]);
    chain.confirm(11, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let gaps = "SELECT gaps_open FROM analytics.pipeline_status";
    assert_eq!(db.texts(gaps).await, ["(0)"]);
    let shown = async |view: &str, columns: &str| {
        let sql = format!("SELECT {columns} FROM analytics.{view} ORDER BY 1");
        db.texts(&sql).await
    };
    let columns = "status, verdict, resolved_slot, closed_slot, exact";
    for commitment in ["processed", "confirmed", "finalized"] {
        assert_eq!(
            shown(&format!("cases_{commitment}"), columns).await,
            ["(opening,,,10,f)", "(resolved,guilty,9,,f)"],
            "{commitment}"
        );
        let (view, columns) = (
            format!("slashes_{commitment}"),
            "slashed_lamports, resolved_slot, exact",
        );
        assert_eq!(shown(&view, columns).await, ["(2001,9,f)"], "{view}");
        let (view, columns) = (
            format!("jobs_{commitment}"),
            "status, end_reason, ended_slot, exact",
        );
        assert_eq!(
            shown(&view, columns).await,
            ["(slashed,guilty,9,f)"],
            "{view}"
        );
    }
    // What is seen again is exact again.
    chain.bank(12, 0, (11, 0), &[write(CASE, bytes(&guilty(10, true)))]);
    chain.root(12, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        shown("cases_finalized", columns).await,
        ["(opening,,,10,f)", "(resolved,guilty,9,,t)"]
    );
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
}

#[tokio::test]
async fn each_commitment_has_its_own_case_and_a_fork_only_its_own_jurors() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("court_forks").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(5, 0, (0, 0), &[write(CASE, bytes(&opened(1, 5)))]);
    chain.bank(7, 0, (5, 0), &[write(CASE, bytes(&answered(2, 6)))]);
    chain.bank(8, 0, (7, 0), &[write(CASE, bytes(&judged(3)))]);
    chain.confirm(7, 0);
    chain.root(5, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let state = |view: &str| {
        let sql = format!(
            "SELECT status, commitment, due_slot, committed_seats, slashed_lamports FROM analytics.cases{view}"
        );
        let db = &db;
        async move { db.texts(&sql).await }
    };
    assert_eq!(state("").await, ["(jury,processed,276,3,)"]);
    assert_eq!(state("_confirmed").await, ["(joining,confirmed,226,0,)"]);
    assert_eq!(state("_finalized").await, ["(opening,finalized,55,0,)"]);
    // A longer fork without the jurors.
    chain.bank(9, 1, (7, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(state("").await, ["(joining,confirmed,226,0,)"]);
    let jurors = "SELECT count(*) FROM analytics.jurors_processed";
    assert_eq!(db.texts(jurors).await, ["(0)"]);
    // And back.
    chain.bank(10, 0, (8, 0), &[]);
    chain.root(10, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(state("_finalized").await, ["(jury,finalized,276,3,)"]);
    assert_eq!(db.texts(jurors).await, ["(3)"]);
    assert_eq!(
        db.texts("SELECT count(*) FROM projection_1.juror_hot")
            .await,
        ["(0)"]
    );
}

#[tokio::test]
async fn the_feed_tells_each_phase_with_the_slots_of_what_comes_next() {
    let spool = tempfile::tempdir().unwrap();
    history(spool.path());
    let db = Database::new("court_feed").await;
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let slots = db
        .texts(&format!(
            "SELECT slot FROM feed.event WHERE topic = 'disputes' AND op = 'add' AND entity = '{}' ORDER BY seq",
            base58(CASE)
        ))
        .await;
    assert_eq!(slots, ["(5)", "(7)", "(8)", "(9)"], "one in a bank");
    let mut told = super::told(&db, "e.topic = 'disputes' AND e.op = 'add'").await;
    told.retain(|told| told["id"] == base58(CASE));
    let phases = told.iter().map(|told| {
        [
            "status",
            "leaves_due_slot",
            "commit_from_slot",
            "commit_end_slot",
            "reveal_end_slot",
            "due_slot",
            "verdict",
            "revealed_seats",
        ]
        .map(|field| told[field].clone())
    });
    let n = json!(null);
    assert_eq!(
        phases.collect::<Vec<_>>(),
        [
            [
                json!("opening"),
                json!(55),
                n.clone(),
                n.clone(),
                n.clone(),
                json!(55),
                n.clone(),
                json!(0)
            ],
            [
                json!("joining"),
                json!(156),
                json!(126),
                json!(226),
                json!(276),
                json!(226),
                n.clone(),
                json!(0)
            ],
            [
                json!("jury"),
                json!(156),
                json!(126),
                json!(226),
                json!(276),
                json!(276),
                n.clone(),
                json!(2)
            ],
            [
                json!("resolved"),
                json!(156),
                json!(126),
                json!(226),
                json!(276),
                n,
                json!("guilty"),
                json!(2)
            ],
        ],
        "the newest state in a bank"
    );
    assert_eq!(told[2]["jurors"], json!([base58(21), base58(22)]));
    assert_eq!(
        told[2]["claimants"],
        json!([base58(OPENER), base58(JOINER)])
    );
    let retracted = db
        .texts("SELECT topic, slot FROM feed.event WHERE op = 'retract' ORDER BY topic")
        .await;
    assert_eq!(retracted, ["(disputes,6)", "(jobs,6)"]);
}

#[tokio::test]
async fn what_no_program_writes_is_refused_with_its_reason() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("court_hostile").await;
    let strange = |change: fn(&mut Case)| {
        let mut case = guilty(1, false);
        change(&mut case);
        bytes(&case)
    };
    let mut long_page = Output::zeroed();
    long_page.header = header(9, 1, 1);
    long_page.count = 2_049.into();
    let long_page = bytemuck::bytes_of(&long_page).to_vec();
    let writes: Vec<Write> = [
        strange(|c| c.jury_seats = 16),
        strange(|c| c.sampled = 200),
        strange(|c| c.claims[0].named = 3),
        strange(|c| c.claim_count = 18),
        strange(|c| c.false_count = 17),
        strange(|c| c.claims[1].kind = 7),
        strange(|c| c.claims[1].outcome = 4),
        strange(|c| c.verdict = 9),
        strange(|c| c.ground = 4),
        strange(|c| c.header.status = 0),
        strange(|c| c.opened_slot = u64::MAX.into()),
        strange(|c| c.shown_slot = u64::MAX.into()),
        strange(|c| c.seats[0].reward = u64::MAX.into()),
        strange(|c| c.header.version = 9),
        bytes(&guilty(1, false))[1..].to_vec(),
        long_page,
        page(1, 4),
    ]
    .into_iter()
    .zip(60u8..)
    .map(|(data, key)| write(key, data))
    .collect();
    let count = writes.len();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &writes);
    // Nonsense that fits is shown as it is.
    let lone = [write(CASE, strange(|c| c.seats[0].juror = [0; 32]))];
    chain.bank(2, 0, (1, 0), &lone);
    chain.root(2, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let reasons = db
        .texts("SELECT reason FROM pipeline.dead_letter ORDER BY ordinal")
        .await;
    assert_eq!(reasons.len(), count, "{reasons:?}");
    for (reason, part) in reasons.iter().zip([
        "jury_seats = 16 is above 15",
        "sampled = 200 is above 16",
        "named = 3 is above 2",
        "claim_count = 18 is above 17",
        "false_count = 17 is above 16",
        "kind = 7 is not listed",
        "outcome = 4 is not listed",
        "verdict = 9 is not listed",
        "ground = 4 is not listed",
        "status = 0 is not listed",
        "opened_slot = 18446744073709551615",
        "joining_end = 18446744073709551615",
        "reward = 18446744073709551615",
        "layout version 9",
        &format!("account of {} bytes", Case::LEN - 1),
        "count = 2049 is above 2048",
        "chunks = 4 is above 3",
    ]) {
        assert!(reason.contains(part), "{reason}: {part}");
    }
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.jurors").await,
        ["(2)"]
    );
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn what_was_at_the_address_before_a_case_is_not_shown_as_its_own() {
    let mut again = opened(1, 10);
    again.claims[0].named = 0;
    let again = write(CASE, bytes(&again));
    let old = write(CASE, bytes(&guilty(7, false)));
    // It is made again in a block of its own, or in the one that changes and closes the other.
    for (name, writes) in [
        ("court_again", vec![again.clone()]),
        ("court_at_once", vec![old, closed(CASE), again.clone()]),
    ] {
        let spool = tempfile::tempdir().unwrap();
        let db = Database::new(name).await;
        let mut chain = Chain::start(spool.path(), 1, 0, &[]);
        chain.bank(8, 0, (0, 0), &[write(CASE, bytes(&judged(6)))]);
        if writes.len() == 1 {
            chain.bank(9, 0, (8, 0), &[closed(CASE)]);
        } else {
            chain.bank(9, 0, (8, 0), &[]);
        }
        chain.bank(10, 0, (9, 0), &writes);
        chain.root(10, 0);
        chain.sync();
        drain(&db.url, spool.path(), 1, None).await.unwrap();
        for (query, expected) in [
            (
                "SELECT claims, committed_seats, revealed_seats FROM analytics.cases_finalized",
                &["(1,0,0)"][..],
            ),
            (
                "SELECT place, positions FROM analytics.claims_finalized",
                &["(0,)"],
            ),
            ("SELECT seat FROM analytics.jurors_finalized", &[]),
            (
                "SELECT position, asked_by FROM analytics.openings_finalized",
                &["(6,sample)"],
            ),
        ] {
            assert_eq!(db.texts(query).await, expected, "{name}: {query}");
        }
    }
}

#[tokio::test]
async fn a_proven_fault_has_a_verdict_without_a_jury() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("court_fault").await;
    let mut fault = Box::new(Case::zeroed());
    fault.header = header(8, CaseStatus::Resolved as u8, 1);
    fault.job = [JOB; 32];
    fault.submitter = [14; 32];
    fault.prover = [OPENER; 32];
    fault.rules = Params::dev().rules;
    fault.verdict = Verdict::Fault as u8;
    fault.ground = Ground::Fault as u8;
    fault.opened_slot = 9.into();
    fault.resolved_slot = 9.into();
    fault.fault.show(&Leaf {
        position: 5,
        token: 7,
        top4: [(7, 1), (7, 1), (7, 1), (7, 1)],
    });
    fault.slashed_amount = 2_001.into();
    fault.prover_amount = 200.into();
    fault.prover_collected = 1;
    fault.burned_amount = 1_801.into();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(9, 0, (0, 0), &[write(CASE, bytes(&fault))]);
    chain.root(9, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(
            "SELECT challenger, verdict, ground, claims, leaves_due_slot, commit_from_slot, due_slot, collected, committed_seats, output_chunks_posted
               FROM analytics.cases"
        )
        .await,
        [format!("({},fault,fault,0,,,,t,0,)", base58(OPENER))]
    );
    assert_eq!(
        db.texts("SELECT asked_by, position, token FROM analytics.openings")
            .await,
        ["(fault,5,7)"]
    );
    assert_eq!(
        db.texts("SELECT slashed_lamports, challenger_reward_lamports, jurors_lamports, burned_lamports FROM analytics.slashes")
            .await,
        ["(2001,200,0,1801)"]
    );
    // A claim beside it that was wrong has no part in that.
    fault.header.seq = 2.into();
    fault.claim_count = 1;
    fault.claims[0].claimant = [20; 32];
    fault.claims[0].kind = ClaimKind::False as u8;
    fault.claims[0].outcome = Outcome::Wrong as u8;
    chain.bank(10, 0, (9, 0), &[write(CASE, bytes(&fault))]);
    chain.root(10, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT challenger, claims FROM analytics.cases")
            .await,
        [format!("({},1)", base58(OPENER))]
    );
}
