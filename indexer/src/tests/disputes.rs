//! Dispute histories: phases, juries and amounts in the tables, across forks, crashes, rebuilds, and with content that no
//! program writes.

use bytemuck::Zeroable;
use mythic_interface::leaf::Leaf;
use mythic_interface::params::Params;
use mythic_interface::state::{Dispute, DisputeStatus, Ground, Job, Output, Verdict};
use serde_json::json;

use super::chain::*;
use super::drain;
use super::postgres::Database;
use super::steps::outcome;
use crate::{IndexerError, Swap, rebuild};

const JOB: u8 = 3;
const DISPUTE: u8 = 40;
const PAGE: u8 = 41;
const CHALLENGER: u8 = 15;

fn base58(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

/// A challenge in `slot` of the result of job 3, whose two positions are checked by a jury of three.
fn challenged(seq: u64, slot: u64) -> Box<Dispute> {
    let mut dispute = Box::new(Dispute::zeroed());
    dispute.header = header(8, DisputeStatus::Openings as u8, seq);
    dispute.job = [JOB; 32];
    dispute.model = [13; 32];
    dispute.challenger = [CHALLENGER; 32];
    dispute.submitter = [14; 32];
    dispute.fingerprint = [15; 32];
    dispute.rules = Params::dev().rules;
    dispute.exact = 1;
    dispute.commit_slots = 100.into();
    dispute.jury_seats = 3;
    dispute.sampled = 1;
    dispute.named = 1;
    dispute.leaves[0].position = 6.into();
    dispute.leaves[1].position = 2.into();
    dispute.output_tokens = 7.into();
    dispute.requested_slot = 2.into();
    dispute.submitted_slot = 4.into();
    dispute.challenged_slot = slot.into();
    dispute.bond = 1_000.into();
    dispute.at_stake = 600.into();
    dispute.answering_fee = 100.into();
    dispute.tariff = 100.into();
    dispute.held = 1_000.into();
    dispute.output_rent = 50.into();
    dispute
}

/// The same, with everything shown in `slot`.
fn answered(seq: u64, slot: u64) -> Box<Dispute> {
    let mut dispute = challenged(seq, 5);
    dispute.header.status = DisputeStatus::Jury as u8;
    dispute.completed_slot = slot.into();
    dispute.output_rent = 0.into();
    for (leaf, position) in dispute.leaves.iter_mut().zip([6, 2]) {
        leaf.show(&Leaf {
            position,
            token: 100 + position,
            top4: [(100 + position, 9), (1, 8), (2, -7), (3, -8)],
        });
    }
    dispute.opened = 2;
    dispute
}

/// The same, with two jurors on three seats, of whom the first has revealed.
fn judged(seq: u64) -> Box<Dispute> {
    let mut dispute = answered(seq, 6);
    for (seat, juror) in dispute.seats.iter_mut().zip([21, 21, 22]) {
        seat.juror = [juror; 32];
        seat.rank = (-32_768).into();
        seat.commitment = [9; 32];
        seat.committed_slot = 7.into();
    }
    for seat in dispute.seats.iter_mut().take(2) {
        seat.revealed_slot = 8.into();
        seat.fraud = 1;
        seat.agrees = 3.into();
        seat.vector[0] = [1, 2, 3, 4, 5].map(Into::into);
    }
    dispute
}

/// The same, guilty: 2,000 lamports slashed, half to the challenger, the rest to the seats that agree.
fn guilty(seq: u64, collected: bool) -> Box<Dispute> {
    let mut dispute = judged(seq);
    dispute.header.status = DisputeStatus::Resolved as u8;
    dispute.resolved_slot = 9.into();
    dispute.verdict = Verdict::Guilty as u8;
    dispute.ground = Ground::Jury as u8;
    dispute.slashed_amount = 2_001.into();
    dispute.challenger_amount = 2_000.into();
    dispute.jurors_amount = 1_000.into();
    dispute.burned_amount = 1.into();
    dispute.held = 3_000.into();
    for seat in dispute.seats.iter_mut().take(2) {
        seat.reward = 500.into();
    }
    dispute.seats[2].penalty = 70.into();
    if collected {
        dispute.challenger_collected = 1;
        dispute.held = 0.into();
        dispute.penalties_amount = 60.into();
        dispute.seats[2].penalty = 60.into();
        for seat in dispute.seats.iter_mut().take(3) {
            seat.collected = 1;
        }
    }
    dispute
}

fn bytes(dispute: &Dispute) -> Vec<u8> {
    bytemuck::bytes_of(dispute).to_vec()
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

/// Job 3 with a result of slot 4, disputed in `disputed` and ended in `ended`, each 0 = not.
fn disputed_job(seq: u64, disputed: u64, ended: u64) -> Vec<u8> {
    let life = Life {
        requested: 2,
        accepted: 3,
        submitted: 4,
        ended: 0,
    };
    let mut job = *Job::load(&super::chain::job(seq, life)).unwrap();
    job.disputed_slot = disputed.into();
    if disputed > 0 {
        job.header.status = 4;
        job.open_disputes = 1.into();
    }
    if ended > 0 {
        job.header.status = 7;
        job.end_reason = 7;
        job.open_disputes = 0.into();
        job.ended_slot = ended.into();
        job.refunded_amount = 1_250.into();
        job.slashed_amount = 2_001.into();
    }
    bytemuck::bytes_of(&job).to_vec()
}

/// A dispute from its challenge to its close, beside an abandoned fork in which another came, and a restart with a base.
fn history(dir: &std::path::Path) {
    let mut chain = Chain::start(dir, 1, 0, &[]);
    chain.bank(4, 0, (0, 0), &[write(JOB, disputed_job(3, 0, 0))]);
    let challenge = [
        write(JOB, disputed_job(4, 5, 0)),
        write(DISPUTE, bytes(&challenged(1, 5))),
    ];
    chain.bank(5, 0, (4, 0), &challenge);
    chain.confirm(4, 0);
    // A fork in which nobody posts output and another validator challenges as well.
    let mut other = challenged(1, 6);
    other.challenger = [16; 32];
    chain.bank(
        6,
        1,
        (5, 0),
        &[write(50, bytes(&other)), write(JOB, disputed_job(5, 5, 0))],
    );
    let shown = [
        write(PAGE, page(1, 1)),
        write(PAGE, page(2, 3)),
        write(DISPUTE, bytes(&challenged(2, 5))),
        write(DISPUTE, bytes(&answered(3, 6))),
    ];
    chain.bank(7, 0, (5, 0), &shown);
    chain.bank(8, 0, (7, 0), &[write(DISPUTE, bytes(&judged(6)))]);
    chain.confirm(7, 0);
    chain.root(5, 0);
    let verdict = [
        write(DISPUTE, bytes(&guilty(7, false))),
        write(JOB, disputed_job(5, 5, 9)),
    ];
    chain.bank(9, 0, (8, 0), &verdict);
    chain.root(7, 0);
    chain.root(9, 0);
    drop(chain);
    // The producer restarts, and has the collected dispute in its base.
    let base = [
        write(JOB, disputed_job(5, 5, 9)),
        write(PAGE, page(2, 3)),
        write(DISPUTE, bytes(&guilty(10, true))),
    ];
    let mut chain = Chain::start(dir, 2, 10, &base);
    chain.bank(11, 0, (10, 0), &[]);
    chain.root(11, 0);
    chain.bank(12, 0, (11, 0), &[closed(DISPUTE), closed(PAGE)]);
    chain.root(12, 0);
    chain.sync();
}

#[tokio::test]
async fn a_crash_in_a_dispute_changes_nothing_and_a_rebuild_reproduces_it() {
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
    let seen = "SELECT * FROM analytics.disputes_processed";
    let before = whole.texts(seen).await;
    let report = rebuild(&whole.url, Swap::IfEqual).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
    assert!(report.swapped);
    assert_eq!(whole.texts(seen).await, before);
    assert_eq!(before.len(), 1, "the abandoned fork's is gone: {before:?}");
}

#[tokio::test]
async fn a_dispute_is_told_with_its_jury_its_openings_and_where_all_money_went() {
    let spool = tempfile::tempdir().unwrap();
    history(spool.path());
    let db = Database::new("court_told").await;
    drain(&db.url, spool.path(), 2, None).await.unwrap();
    let told = db
        .texts(
            "SELECT job, challenger, status, verdict, ground, sampled_positions, named_positions, opened_positions, openings_end_slot,
                    completed_slot, commit_from_slot, commit_end_slot, reveal_end_slot, due_slot, resolved_slot, closed_slot,
                    committed_seats, revealed_seats, output_chunks_posted, collected, exact FROM analytics.disputes_finalized",
        )
        .await;
    assert_eq!(
        told,
        [format!(
            "({},{},resolved,guilty,jury,1,1,2,55,6,26,126,176,,9,12,3,2,2,t,f)",
            base58(JOB),
            base58(CHALLENGER)
        )]
    );
    assert_eq!(
        db.texts("SELECT seat, juror, rank, shows_fraud, vector->0, reward_lamports, penalty_lamports, outcome FROM analytics.jurors_finalized ORDER BY seat")
            .await,
        [
            format!("(0,{},-0.50000000000000000000,t,\"[1, 2, 3, 4, 5]\",500,0,paid)", base58(21)),
            format!("(1,{},-0.50000000000000000000,t,\"[1, 2, 3, 4, 5]\",500,0,paid)", base58(21)),
            format!("(2,{},-0.50000000000000000000,,,0,60,penalised)", base58(22)),
        ]
    );
    assert_eq!(
        db.texts("SELECT place, position, named, shown, token, ids, logits FROM analytics.openings_finalized ORDER BY place")
            .await,
        [
            "(0,6,f,t,106,\"[106, 1, 2, 3]\",\"[9, 8, -7, -8]\")",
            "(1,2,t,t,102,\"[102, 1, 2, 3]\",\"[9, 8, -7, -8]\")",
        ]
    );
    assert_eq!(
        db.texts("SELECT job, page, token_count, chunks_posted, completed_slot, tokens->199, closed_slot FROM analytics.outputs_finalized")
            .await,
        [format!("({},0,200,2,6,1199,12)", base58(JOB))]
    );
    assert_eq!(
        db.texts("SELECT validator, slashed_lamports, challenger_reward_lamports, jurors_lamports, burned_lamports FROM analytics.slashes_finalized")
            .await,
        [format!("({},2001,1000,1000,1)", base58(14))]
    );
    assert_eq!(
        db.texts("SELECT kind, slot, lamports FROM analytics.burns_finalized")
            .await,
        ["(dispute,9,61)"],
        "with the juror's penalty"
    );
    assert_eq!(
        db.texts("SELECT status, end_reason, dispute, refunded_lamports, slashed_lamports FROM analytics.jobs_finalized")
            .await,
        [format!("(slashed,guilty,{},1250,2001)", base58(DISPUTE))]
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
        ["(1,2001,1,61)"]
    );
}

#[tokio::test]
async fn each_commitment_has_its_own_dispute_and_a_fork_only_its_own_jurors() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("court_forks").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(5, 0, (0, 0), &[write(DISPUTE, bytes(&challenged(1, 5)))]);
    chain.bank(7, 0, (5, 0), &[write(DISPUTE, bytes(&answered(2, 6)))]);
    chain.bank(8, 0, (7, 0), &[write(DISPUTE, bytes(&judged(3)))]);
    chain.confirm(7, 0);
    chain.root(5, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let state = |view: &str| {
        let sql = format!(
            "SELECT status, commitment, due_slot, committed_seats, slashed_lamports FROM analytics.disputes{view}"
        );
        let db = &db;
        async move { db.texts(&sql).await }
    };
    assert_eq!(state("").await, ["(jury,processed,176,3,)"]);
    assert_eq!(state("_confirmed").await, ["(jury,confirmed,126,0,)"]);
    assert_eq!(state("_finalized").await, ["(openings,finalized,55,0,)"]);
    // A longer fork without the jurors.
    chain.bank(9, 1, (7, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(state("").await, ["(jury,confirmed,126,0,)"]);
    let jurors = "SELECT count(*) FROM analytics.jurors_processed";
    assert_eq!(db.texts(jurors).await, ["(0)"]);
    // And back.
    chain.bank(10, 0, (8, 0), &[]);
    chain.root(10, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(state("_finalized").await, ["(jury,finalized,176,3,)"]);
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
            base58(DISPUTE)
        ))
        .await;
    assert_eq!(slots, ["(5)", "(7)", "(8)", "(9)"], "one in a bank");
    let mut told = super::told(&db, "e.topic = 'disputes' AND e.op = 'add'").await;
    told.retain(|told| told["id"] == base58(DISPUTE));
    let phases = told.iter().map(|told| {
        [
            "status",
            "openings_end_slot",
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
                json!("openings"),
                json!(55),
                n.clone(),
                n.clone(),
                n.clone(),
                json!(55),
                n.clone(),
                json!(0)
            ],
            [
                json!("jury"),
                json!(55),
                json!(26),
                json!(126),
                json!(176),
                json!(126),
                n.clone(),
                json!(0)
            ],
            [
                json!("jury"),
                json!(55),
                json!(26),
                json!(126),
                json!(176),
                json!(176),
                n.clone(),
                json!(2)
            ],
            [
                json!("resolved"),
                json!(55),
                json!(26),
                json!(126),
                json!(176),
                n,
                json!("guilty"),
                json!(2)
            ],
        ],
        "the newest state in a bank"
    );
    assert_eq!(told[2]["jurors"], json!([base58(21), base58(22)]));
    let retracted = db
        .texts("SELECT topic, slot FROM feed.event WHERE op = 'retract' ORDER BY topic")
        .await;
    assert_eq!(retracted, ["(disputes,6)", "(jobs,6)"]);
}

#[tokio::test]
async fn what_no_program_writes_is_refused_with_its_reason() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("court_hostile").await;
    let strange = |change: fn(&mut Dispute)| {
        let mut dispute = guilty(1, false);
        change(&mut dispute);
        bytes(&dispute)
    };
    let mut long_page = Output::zeroed();
    long_page.header = header(9, 1, 1);
    long_page.count = 2_049.into();
    let long_page = bytemuck::bytes_of(&long_page).to_vec();
    let writes: Vec<Write> = [
        strange(|d| d.jury_seats = 16),
        strange(|d| d.sampled = 200),
        strange(|d| d.named = 3),
        strange(|d| d.opened = 3),
        strange(|d| d.verdict = 9),
        strange(|d| d.ground = 6),
        strange(|d| d.header.status = 0),
        strange(|d| d.challenged_slot = u64::MAX.into()),
        strange(|d| d.completed_slot = u64::MAX.into()),
        strange(|d| d.seats[0].reward = u64::MAX.into()),
        strange(|d| d.header.version += 1),
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
    let lone = [write(DISPUTE, strange(|d| d.seats[0].juror = [0; 32]))];
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
        "opened = 3 is above 2",
        "verdict = 9 is not listed",
        "ground = 6 is not listed",
        "status = 0 is not listed",
        "openings_end = 18446744073709551615",
        "commit_from = 18446744073709551615",
        "reward = 18446744073709551615",
        "layout version 2",
        "account of 8787 bytes",
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
async fn a_proven_fault_has_a_verdict_without_a_jury() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("court_fault").await;
    let mut fault = guilty(1, true);
    fault.header.status = DisputeStatus::Resolved as u8;
    fault.verdict = Verdict::Fault as u8;
    fault.ground = Ground::Fault as u8;
    fault.jury_seats = 0;
    fault.sampled = 0;
    fault.named = 1;
    fault.opened = 1;
    fault.completed_slot = 0.into();
    fault.bond = 0.into();
    fault.challenger_amount = 1_000.into();
    fault.jurors_amount = 0.into();
    fault.burned_amount = 1_001.into();
    fault.penalties_amount = 0.into();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(9, 0, (0, 0), &[write(DISPUTE, bytes(&fault))]);
    chain.root(9, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(
            "SELECT verdict, ground, openings_end_slot, commit_from_slot, due_slot, collected, committed_seats, output_chunks_posted
               FROM analytics.disputes"
        )
        .await,
        ["(fault,fault,,,,t,0,)"]
    );
    assert_eq!(
        db.texts("SELECT slashed_lamports, challenger_reward_lamports, jurors_lamports, burned_lamports FROM analytics.slashes")
            .await,
        ["(2001,1000,0,1001)"]
    );
}
