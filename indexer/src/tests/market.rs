//! Leases in the tables: at each commitment, across forks, crashes, gaps and rebuilds, past the end of their rings, and with content that
//! no program writes.

use bytemuck::Zeroable;
use mythic_interface::le::Text;
use mythic_interface::market::params::{Grid, MarketParams};
use mythic_interface::market::state::{
    EpochState, Lease, LeaseDispute, LeaseEpoch, LeaseStatus, Provider, Request,
};
use mythic_interface::{COMPUTE_MARKET_ID, PROGRAMS};
use mythic_stream::proto::{BaseEnd, Event};
use serde_json::json;

use super::chain::*;
use super::postgres::Database;
use super::steps::outcome;
use super::{drain, told};
use crate::{IndexerError, Swap, rebuild};

const PROVIDER: u8 = 50;
const REQUEST: u8 = 51;
const LEASE: u8 = 52;
const DISPUTE: u8 = 53;
const TENANT: [u8; 32] = [61; 32];
const AUTHORITY: [u8; 32] = [62; 32];

/// Slots of an epoch.
const EPOCH: u64 = 4;
/// What an epoch of 60 seconds costs, and how it is split.
const PRICE: u64 = 6_000;
const SHARES: (u64, u64, u64) = (3_000, 600, 2_400);
const DEPOSIT: u64 = 100 * PRICE;

fn market(key: u8, data: Vec<u8>) -> Write {
    Write {
        owner: COMPUTE_MARKET_ID,
        ..write(key, data)
    }
}

fn base58(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

fn provider(seq: u64, leased: u16) -> Vec<u8> {
    let mut provider = Provider::zeroed();
    provider.header = header(Provider::DISCRIMINATOR, 1, seq);
    provider.authority = AUTHORITY;
    provider.operator = [63; 32];
    provider.stake = 1_000_000.into();
    provider.staked = 1_000_000.into();
    provider.units = 2.into();
    provider.leased = leased.into();
    provider.price = 100.into();
    provider.endpoint = Text::new("http://127.0.0.1:8070").unwrap();
    provider.registered_slot = 1.into();
    bytemuck::bytes_of(&provider).to_vec()
}

fn request(seq: u64, status: u8, ended: u64) -> Vec<u8> {
    let mut request = Request::zeroed();
    request.header = header(Request::DISCRIMINATOR, status, seq);
    request.terms.tenant = TENANT;
    request.terms.kind = 1;
    request.terms.model = [13; 32];
    request.terms.units = 1;
    request.terms.price = 100.into();
    request.terms.seconds = 6_000.into();
    request.terms.rules = MarketParams::dev().rules;
    request.terms.spec_source = Text::new("http://127.0.0.1:8070/specs/1").unwrap();
    request.requested_slot = 1.into();
    request.deadline_slot = 100.into();
    request.ended_slot = ended.into();
    if ended == 0 {
        request.escrow = DEPOSIT.into();
    }
    bytemuck::bytes_of(&request).to_vec()
}

/// Slots of a lease's life, 0 = not yet; and the epochs that were proved, with what became of them.
#[derive(Clone, Default)]
struct Told {
    accepted: u64,
    started: u64,
    proofs: Vec<(u64, EpochState)>,
    ended: u64,
}

impl Told {
    /// Another epoch, proved in this slot.
    fn proved(&self, slot: u64) -> Self {
        let mut told = self.clone();
        told.proofs.push((slot, EpochState::Pending));
        told
    }

    fn ended(&self, slot: u64) -> Self {
        Self {
            ended: slot,
            ..self.clone()
        }
    }

    /// Epoch of the last proof, of the start before there is one.
    fn last_proved(&self) -> u64 {
        self.proofs.last().map_or(self.started, |(slot, _)| *slot) / EPOCH
    }

    /// The account. A proof pays what had its place in the ring.
    fn lease(&self, seq: u64) -> Vec<u8> {
        let mut lease = Lease::zeroed();
        let status = match self {
            Self { ended: 1.., .. } => LeaseStatus::Ended,
            Self { started: 1.., .. } => LeaseStatus::Active,
            _ => LeaseStatus::Accepted,
        };
        lease.header = header(Lease::DISCRIMINATOR, status as u8, seq);
        let terms = &mut lease.terms;
        terms.request = [REQUEST; 32];
        terms.tenant = TENANT;
        terms.provider = AUTHORITY;
        terms.units = 1;
        terms.price = 100.into();
        terms.seconds = 6_000.into();
        terms.grid = Grid {
            epoch_slots: (EPOCH as u32).into(),
            epoch_seconds: 60.into(),
        };
        terms.rules = MarketParams::dev().rules;
        lease.accepted_slot = self.accepted.into();
        lease.started_slot = self.started.into();
        lease.acknowledged_slot = self.started.into();
        lease.ended_slot = self.ended.into();
        lease.reason = u8::from(self.ended > 0);
        let (mut pending, mut paid) = (0, 0);
        for (slot, state) in &self.proofs {
            let place = Lease::place(slot / EPOCH);
            if lease.ring[place].is_pending() {
                pending -= 1;
                paid += 1;
            }
            lease.ring[place] = entry(*slot, *state);
            match state {
                EpochState::Pending => pending += 1,
                _ => paid += 1,
            }
        }
        if self.started > 0 {
            let (start, last) = (self.started / EPOCH, self.last_proved());
            let silent = (self.ended / EPOCH).saturating_sub(last + 1);
            lease.last_proved = last.into();
            lease.missed = (last - start - self.proofs.len() as u64 + silent).into();
            lease.started_at = 1_800_000_000.into();
            lease.mark = (1_800_000_000 + 60 * self.proofs.len() as u64).into();
            lease.ends_at = 1_800_006_000.into();
        }
        lease.deposited = DEPOSIT.into();
        lease.pending = (pending * PRICE).into();
        lease.paid = (paid * SHARES.0).into();
        lease.foundation = (paid * SHARES.1).into();
        lease.burned = (paid * SHARES.2).into();
        let rest = DEPOSIT - (pending + paid) * PRICE;
        if self.ended > 0 {
            lease.refunded = rest.into();
            lease.tenant_due = rest.into();
        } else {
            lease.escrow = rest.into();
        }
        bytemuck::bytes_of(&lease).to_vec()
    }
}

fn entry(slot: u64, state: EpochState) -> LeaseEpoch {
    let mut entry = LeaseEpoch::zeroed();
    entry.epoch = (slot / EPOCH).into();
    entry.hash = [7; 32];
    entry.proof = [slot as u8 | 1; 32];
    entry.seconds = 60.into();
    entry.amount = PRICE.into();
    entry.slot = slot.into();
    entry.state = state as u8;
    entry
}

fn dispute(seq: u64, opened: u64, resolved: u64) -> Vec<u8> {
    let mut dispute = LeaseDispute::zeroed();
    let status = if resolved > 0 { 3 } else { 1 };
    dispute.header = header(LeaseDispute::DISCRIMINATOR, status, seq);
    dispute.lease = [LEASE; 32];
    dispute.epoch = 1.into();
    dispute.disputer = [64; 32];
    dispute.provider = AUTHORITY;
    dispute.count = 1;
    dispute.fee = 10.into();
    dispute.at_stake = 90.into();
    dispute.opened_slot = opened.into();
    dispute.openings_end = (opened + 50).into();
    dispute.resolved_slot = resolved.into();
    if resolved > 0 {
        dispute.opened = 1;
        dispute.end = 1;
        dispute.paid = 10.into();
        dispute.burned = 90.into();
    } else {
        dispute.held = 100.into();
    }
    bytemuck::bytes_of(&dispute).to_vec()
}

async fn rebuilds(db: &Database) {
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
}

/// What each view says of the lease: state, epochs, lamports pending.
async fn shown(db: &Database, commitment: &str) -> Vec<String> {
    db.texts(&format!(
        "SELECT status, epochs_proved, pending_lamports, commitment FROM analytics.leases_{commitment}"
    ))
    .await
}

/// What was undone left no trace; what stands is told with its slots, and by whom.
async fn what_stands_is_told(db: &Database) {
    let retracted = "SELECT count(*) FROM feed.event WHERE topic = 'leases' AND op = 'retract'";
    assert_eq!(db.texts(retracted).await, ["(4)"]);
    let events = "SELECT event, slot, epoch, detail, signature FROM analytics.lease_events_finalized ORDER BY slot, step";
    let line = |event: &str, slot: u64, key: u8, more: &str| {
        let signature = bs58::encode(signature(slot, 0, key)).into_string();
        format!("({event},{slot},{more},{signature})")
    };
    assert_eq!(
        db.texts(events).await,
        [
            line("requested", 1, REQUEST, ","),
            line("accepted", 4, LEASE, ","),
            line("started", 7, LEASE, ","),
            line("acknowledged", 7, LEASE, ","),
            line("proved", 10, LEASE, "2,"),
            line("ended", 13, LEASE, ",completed"),
        ]
    );
    let events = told(db, "e.topic = 'leases' AND e.op = 'add'").await;
    let said: Vec<_> = events
        .iter()
        .filter(|told| told["object"] == "lease")
        .map(|told| told["events"].clone())
        .collect();
    let twice = |names: serde_json::Value| [names.clone(), names];
    assert_eq!(
        said,
        [
            twice(json!(["accepted"])),
            twice(json!(["started", "acknowledged"])),
            twice(json!(["proved"])),
            twice(json!(["ended"])),
        ]
        .concat()
    );
}

#[tokio::test]
async fn a_fork_under_any_step_of_a_lease_is_shown_taken_back_and_made_good() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_forks").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            market(PROVIDER, provider(1, 0)),
            market(REQUEST, request(1, 1, 0)),
        ],
    );
    chain.root(1, 0);
    let accepted = |slot| Told {
        accepted: slot,
        ..Told::default()
    };
    let (mut tip, mut before, mut seq) = (1, Told::default(), 1);
    // AcceptJob, StartLease, SubmitProof, CloseLease: each in a block that is orphaned, and again in one that stays.
    type Step<'a> = &'a dyn Fn(&Told, u64) -> Told;
    let steps: [(Step<'_>, &str); 4] = [
        (&|_, slot| accepted(slot), "(accepted,0,0,"),
        (
            &|told, slot| Told {
                started: slot,
                ..told.clone()
            },
            "(active,0,0,",
        ),
        (&|told, slot| told.proved(slot), "(active,1,6000,"),
        (&|told, slot| told.ended(slot), "(ended,1,6000,"),
    ];
    let mut final_before: Vec<String> = Vec::new();
    for (step, expected) in steps {
        let writes = |slot: u64| {
            let lease = market(LEASE, step(&before, slot).lease(seq));
            // The request and the provider's units change with the first.
            let taken = market(REQUEST, request(2, 2, slot));
            let leased = market(PROVIDER, provider(2, 1));
            match seq {
                1 => vec![taken, leased, lease],
                _ => vec![lease],
            }
        };
        chain.bank(tip + 1, 1, (tip, 0), &writes(tip + 1));
        chain.sync();
        drain(&db.url, spool.path(), 1, None).await.unwrap();
        assert_eq!(
            shown(&db, "processed").await,
            [format!("{expected}processed)")]
        );
        assert_eq!(shown(&db, "finalized").await, final_before);
        // A longer fork knows nothing of it.
        chain.bank(tip + 2, 0, (tip, 0), &[]);
        chain.sync();
        drain(&db.url, spool.path(), 1, None).await.unwrap();
        assert_eq!(shown(&db, "processed").await, final_before);
        chain.bank(tip + 3, 0, (tip + 2, 0), &writes(tip + 3));
        chain.confirm(tip + 3, 0);
        chain.root(tip + 3, 0);
        chain.sync();
        drain(&db.url, spool.path(), 1, None).await.unwrap();
        final_before = vec![format!("{expected}finalized)")];
        for commitment in ["processed", "confirmed", "finalized"] {
            assert_eq!(shown(&db, commitment).await, final_before);
        }
        (before, tip, seq) = (step(&before, tip + 3), tip + 3, seq + 1);
    }
    what_stands_is_told(&db).await;
    rebuilds(&db).await;
}

#[tokio::test]
async fn epochs_stay_when_the_ring_goes_on_and_what_was_pending_is_known_to_be_paid() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_ring").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    let mut told = Told {
        accepted: 1,
        started: 1,
        ..Told::default()
    };
    let mut parent = (0, 0);
    for n in 1..=40 {
        told = told.proved(EPOCH * n);
        chain.bank(EPOCH * n, 0, parent, &[market(LEASE, told.lease(n))]);
        parent = (EPOCH * n, 0);
    }
    chain.root(EPOCH * 40, 0);
    chain.sync();
    drain(&db.url, spool.path(), 5, None).await.unwrap();
    let epochs = "SELECT status, in_ring, exact, count(*), sum(amount_lamports), sum(provider_lamports + foundation_lamports + burned_lamports)
        FROM analytics.lease_epochs_finalized GROUP BY 1, 2, 3 ORDER BY 1";
    assert_eq!(
        db.texts(epochs).await,
        [
            format!("(pending,t,t,32,{},)", 32 * PRICE),
            format!("(released,f,t,8,{},{})", 8 * PRICE, 8 * PRICE),
        ]
    );
    let sums = "SELECT epochs_proved, pending_lamports, paid_lamports, astray_lamports FROM analytics.leases_finalized";
    assert_eq!(
        db.texts(sums).await,
        [format!("(40,{},{},0)", 32 * PRICE, 8 * SHARES.0)]
    );
    // The block in which each was paid is known from the balances.
    let paid =
        "SELECT slot, paid_change_lamports, burned_change_lamports FROM analytics.lease_balances
        WHERE paid_change_lamports > 0 ORDER BY slot";
    let expected: Vec<String> = (33..=40)
        .map(|n| format!("({},{},{})", EPOCH * n, SHARES.0, SHARES.2))
        .collect();
    assert_eq!(db.texts(paid).await, expected);
    let burned = "SELECT kind, slot, lamports FROM analytics.burns_finalized ORDER BY slot";
    let expected: Vec<String> = (33..=40)
        .map(|n| format!("(lease,{},{})", EPOCH * n, SHARES.2))
        .collect();
    assert_eq!(db.texts(burned).await, expected);
    rebuilds(&db).await;
}

#[tokio::test]
async fn an_epoch_that_left_the_ring_in_a_gap_is_not_exact() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_ring_gap").await;
    let told = Told {
        accepted: 1,
        started: 1,
        proofs: vec![(EPOCH, EpochState::Pending)],
        ended: 0,
    };
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(EPOCH, 0, (0, 0), &[market(LEASE, told.lease(1))]);
    chain.root(EPOCH, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    drop(chain);
    // Its place was needed while nobody looked: perhaps the tenant had called it unserved before.
    let later = told.proved(EPOCH * 33);
    let base = [market(LEASE, later.lease(9))];
    let mut chain = Chain::start(spool.path(), 2, EPOCH * 33, &base);
    chain.bank(EPOCH * 33 + 1, 0, (EPOCH * 33, 0), &[]);
    chain.root(EPOCH * 33 + 1, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT gaps_open FROM analytics.pipeline_status")
            .await,
        ["(0)"]
    );
    let epochs =
        "SELECT epoch, status, in_ring, exact FROM analytics.lease_epochs_finalized ORDER BY epoch";
    assert_eq!(
        db.texts(epochs).await,
        ["(1,released,f,f)", "(33,pending,t,f)"]
    );
    rebuilds(&db).await;
}

#[tokio::test]
async fn an_ended_lease_stays_with_its_money_when_its_accounts_are_closed() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_closed").await;
    let told = Told {
        accepted: 2,
        started: 3,
        proofs: vec![(4, EpochState::Released), (8, EpochState::Unserved)],
        ended: 9,
    };
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            market(PROVIDER, provider(1, 0)),
            market(REQUEST, request(1, 1, 0)),
        ],
    );
    chain.bank(
        2,
        0,
        (1, 0),
        &[
            market(REQUEST, request(2, 2, 2)),
            market(DISPUTE, dispute(1, 2, 0)),
        ],
    );
    chain.bank(3, 0, (2, 0), &[market(DISPUTE, dispute(2, 2, 3))]);
    chain.bank(4, 0, (3, 0), &[]);
    chain.bank(8, 0, (4, 0), &[]);
    chain.bank(9, 0, (8, 0), &[market(LEASE, told.lease(7))]);
    chain.bank(
        10,
        0,
        (9, 0),
        &[
            closed(LEASE),
            closed(REQUEST),
            closed(PROVIDER),
            closed(DISPUTE),
        ],
    );
    // The same address disputes once more.
    chain.bank(11, 0, (10, 0), &[market(DISPUTE, dispute(1, 11, 0))]);
    chain.root(11, 0);
    chain.sync();
    drain(&db.url, spool.path(), 2, None).await.unwrap();
    let rest = DEPOSIT - 2 * PRICE;
    assert_eq!(
        db.texts("SELECT status, reason, closed_slot, paid_lamports, refunded_lamports, held_lamports, astray_lamports, exact FROM analytics.leases_finalized").await,
        [format!("(ended,completed,10,{},{rest},0,0,t)", 2 * SHARES.0)]
    );
    assert_eq!(
        db.texts("SELECT status, lease, closed_slot FROM analytics.requests_finalized")
            .await,
        [format!("(accepted,{},10)", base58(LEASE))]
    );
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.providers_finalized")
            .await,
        ["(0)"]
    );
    assert_eq!(
        db.texts("SELECT opened_slot, status, outcome, burned_lamports, closed_slot, exact FROM analytics.lease_disputes_finalized ORDER BY 1").await,
        ["(2,resolved,answered,90,10,t)", "(11,open,,,,t)"]
    );
    let half = PRICE / 2;
    assert_eq!(
        db.texts("SELECT kind, sum(lamports) FROM analytics.burns_finalized GROUP BY 1 ORDER BY 1")
            .await,
        [
            format!("(lease,{})", 2 * SHARES.2),
            "(lease_dispute,90)".into(),
            format!("(lease_unserved,{half})"),
        ]
    );
    assert_eq!(
        db.texts("SELECT sum(burned_lamports) FROM analytics.burned_daily")
            .await,
        [format!("({})", 2 * SHARES.2 + 90 + half)]
    );
    assert_eq!(
        db.texts("SELECT day, requests, leases_accepted, leases_ended, epochs_proved, disputes FROM analytics.market_daily").await,
        ["(2027-01-15,1,1,1,2,2)"]
    );
    assert_eq!(
        db.texts("SELECT leases, running_leases, disputes, open_disputes, astray_lamports FROM analytics.market_finalized").await,
        ["(1,0,2,1,0)"]
    );
    rebuilds(&db).await;
}

#[tokio::test]
async fn what_strangers_write_costs_a_row_each_and_is_doubtful_where_it_is() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_hostile").await;
    let told = Told {
        accepted: 1,
        ..Told::default()
    };
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            market(PROVIDER, provider(1, 0)),
            market(REQUEST, request(1, 1, 0)),
            market(LEASE, told.lease(1)),
        ],
    );
    chain.root(1, 0);
    // A URL with a NUL, text that is no UTF-8, an amount that no column holds, and an account of the other program.
    let mut url = provider(2, 0);
    url[260] = 0;
    let mut text = request(2, 1, 0);
    text[100] = 0xff;
    let mut far = told.lease(2);
    far[502..510].copy_from_slice(&u64::MAX.to_le_bytes());
    let stray = write(70, told.lease(1));
    let hostile = [
        market(PROVIDER, url),
        market(REQUEST, text),
        market(LEASE, far),
        stray,
    ];
    chain.bank(2, 0, (1, 0), &hostile);
    chain.root(2, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let reasons = "SELECT reason FROM pipeline.dead_letter ORDER BY ordinal";
    assert_eq!(
        db.texts(reasons).await,
        [
            r#"("endpoint is not printable text")"#.to_owned(),
            r#"("spec_source is not printable text")"#.to_owned(),
            format!(r#"("escrow = {} is above the largest bigint")"#, u64::MAX),
            r#"("account type 37 is unknown")"#.to_owned(),
        ]
    );
    for view in ["providers", "requests", "leases"] {
        let sql = format!("SELECT write_seq, exact FROM analytics.{view}_finalized");
        assert_eq!(db.texts(&sql).await, ["(1,f)"], "{view}");
    }
    let quarantined = "SELECT quarantined FROM analytics.pipeline_status";
    assert_eq!(db.texts(quarantined).await, ["(4)"]);
    // Read again, all is well.
    chain.bank(
        3,
        0,
        (2, 0),
        &[
            market(PROVIDER, provider(3, 0)),
            market(REQUEST, request(3, 1, 0)),
            market(LEASE, told.lease(3)),
            closed(70),
        ],
    );
    chain.root(3, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    for view in ["providers", "requests", "leases"] {
        let sql = format!("SELECT write_seq, exact FROM analytics.{view}_finalized");
        assert_eq!(db.texts(&sql).await, ["(3,t)"], "{view}");
    }
    assert_eq!(db.texts(quarantined).await, ["(0)"]);
    rebuilds(&db).await;
}

#[tokio::test]
async fn epochs_that_were_proved_unseen_are_counted() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_unseen").await;
    let mut told = Told {
        accepted: 1,
        started: 1,
        ..Told::default()
    };
    // Of fifty epochs the tenth and the last two were missed.
    for n in (1..=47).filter(|n| *n != 10) {
        told = told.proved(EPOCH * n);
    }
    let told = told.ended(EPOCH * 50);
    let base = [market(LEASE, told.lease(9))];
    let mut chain = Chain::start(spool.path(), 1, EPOCH * 50, &base);
    chain.bank(EPOCH * 50 + 1, 0, (EPOCH * 50, 0), &[]);
    chain.root(EPOCH * 50 + 1, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    for view in ["leases", "market"] {
        let sql = format!("SELECT epochs_proved, epochs_missed FROM analytics.{view}_finalized");
        assert_eq!(db.texts(&sql).await, ["(46,3)"], "{view}");
    }
    rebuilds(&db).await;
}

#[tokio::test]
async fn what_an_end_counts_as_missed_is_no_proof() {
    let db = Database::new("market_proved").await;
    // Started in epoch 2, of four slots and 60 seconds; the last proof is that of epoch 10, its seconds are up to 1,000; one was missed.
    for (end, reason, missed, ends, over, proved) in [
        ("NULL", "NULL", 1, 2_000, "NULL", "(7)"),
        // In the epoch after it, in a later one, when the time was over, and when a proof was refuted.
        ("44", "2", 1, 2_000, "NULL", "(7)"),
        ("56", "6", 4, 2_000, "NULL", "(7)"),
        ("56", "1", 3, 1_130, "NULL", "(7)"),
        ("56", "2", 1, 1_000, "NULL", "(7)"),
        ("56", "7", 1, 2_000, "NULL", "(7)"),
        // Whoever closed it closed it before or after its time: the block says.
        ("56", "3", 4, 1_130, "false", "(7)"),
        ("56", "3", 3, 1_130, "true", "(7)"),
        ("56", "3", 3, 1_130, "NULL", "()"),
    ] {
        let sql = format!(
            "SELECT projection_1.lease_proved(8, 9, {end}, {reason}::smallint, 4, 60, 10, {missed}, 1000, {ends}, {over})"
        );
        assert_eq!(db.texts(&sql).await, [proved], "{sql}");
    }
    // Before the start there is none; what was not acknowledged ends without more.
    for (sql, proved) in [
        (
            "NULL, NULL, 60, 4::smallint, 4, 60, NULL, 0, NULL, NULL, NULL",
            "(0)",
        ),
        (
            "8, NULL, 60, 5::smallint, 4, 60, 10, 1, 1000, 2000, NULL",
            "(7)",
        ),
    ] {
        let sql = format!("SELECT projection_1.lease_proved({sql})");
        assert_eq!(db.texts(&sql).await, [proved], "{sql}");
    }
}

#[tokio::test]
async fn lamports_that_anyone_sends_to_a_lease_write_its_row_alone() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_gift").await;
    let mut told = Told {
        accepted: 1,
        started: 1,
        ..Told::default()
    };
    for n in 1..=40 {
        told = told.proved(EPOCH * n);
    }
    let slot = EPOCH * 40;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(slot, 0, (0, 0), &[market(LEASE, told.lease(5))]);
    chain.root(slot, 0);
    let gift = Write {
        lamports: 1_000_001,
        ..market(LEASE, told.lease(5))
    };
    chain.bank(slot + 1, 0, (slot, 0), &[gift]);
    chain.root(slot + 1, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let written = "SELECT slot, lamports, exact FROM projection_1.lease";
    let expected = format!("({},1000001,t)", slot + 1);
    assert_eq!(db.texts(written).await, [expected]);
    let epochs = "SELECT slot, count(*) FROM projection_1.lease_epoch GROUP BY 1";
    assert_eq!(db.texts(epochs).await, [format!("({slot},32)")]);
    let told = "SELECT slot FROM feed.event WHERE topic = 'leases' AND op = 'add'";
    assert_eq!(db.texts(told).await, [format!("({slot})")]);
    rebuilds(&db).await;
}

/// The market's sums, made of all rows.
const SUMS: &str = "SELECT (SELECT count(*) FROM projection_1.request_{c} WHERE status = 1), count(*), count(*) FILTER (WHERE status <> 5),
    (SELECT count(*) FROM projection_1.lease_dispute_{c}), (SELECT count(*) FROM projection_1.lease_dispute_{c} WHERE status <> 3),
    COALESCE(sum(missed), 0)::bigint, COALESCE(sum(deposited_lamports), 0)::bigint, COALESCE(sum(escrow_lamports), 0)::bigint,
    COALESCE(sum(paid_lamports), 0)::bigint, COALESCE(sum(refunded_lamports), 0)::bigint FROM projection_1.lease_{c}";
/// What each day saw, made of all rows.
const DAYS: &str = "SELECT (s.block_time AT TIME ZONE 'UTC')::date AS day, sum(e.n[1])::bigint, sum(e.n[2])::bigint, sum(e.n[3])::bigint,
        sum(e.n[4])::bigint, sum(e.n[5])::bigint, sum(e.n[6])::bigint, sum(e.n[7])::bigint
    FROM (SELECT requested_slot AS slot, '{1,0,0,0,0,0,0}'::bigint[] AS n FROM projection_1.request
          UNION ALL SELECT accepted_slot, '{0,1,0,0,0,0,0}' FROM projection_1.lease
          UNION ALL SELECT ended_slot, '{0,0,1,0,0,0,0}' FROM projection_1.lease
          UNION ALL SELECT metered_slot, '{0,0,0,1,0,0,0}' FROM projection_1.lease_epoch WHERE proof IS NOT NULL
          UNION ALL SELECT opened_slot, '{0,0,0,0,1,0,0}' FROM projection_1.lease_dispute
          UNION ALL SELECT slot, ARRAY[0, 0, 0, 0, 0, paid_lamports - COALESCE(lag(paid_lamports) OVER w, 0),
                                       refunded_lamports - COALESCE(lag(refunded_lamports) OVER w, 0)]
                      FROM projection_1.lease_balance WINDOW w AS (PARTITION BY pubkey ORDER BY slot, ordinal)) e
         JOIN projection_1.slot s ON s.slot = e.slot AND s.status = 3 AND s.block_time IS NOT NULL GROUP BY 1 ORDER BY 1";

async fn sums_are_exact(db: &Database) {
    for commitment in ["processed", "confirmed", "finalized"] {
        let kept = format!(
            "SELECT open_requests, leases, running_leases, disputes, open_disputes, epochs_missed, deposited_lamports, escrow_lamports,
                    paid_lamports, refunded_lamports FROM analytics.market_{commitment}"
        );
        let made = SUMS.replace("{c}", commitment);
        assert_eq!(db.texts(&kept).await, db.texts(&made).await, "{commitment}");
    }
    let kept = "SELECT day, requests, leases_accepted, leases_ended, epochs_proved, disputes, paid_lamports, refunded_lamports
        FROM analytics.market_daily ORDER BY 1";
    assert_eq!(db.texts(kept).await, db.texts(DAYS).await);
}

#[tokio::test]
async fn the_markets_sums_are_those_of_the_rows_through_forks_gaps_and_late_banks() {
    let db = Database::new("market_sums").await;
    let spool = tempfile::tempdir().unwrap();
    history(spool.path());
    drain(&db.url, spool.path(), 3, None).await.unwrap();
    sums_are_exact(&db).await;
    // Something unrooted over it, amounts that come between others, and a slot whose time comes late.
    let columns = "pubkey, deposited_lamports, compensated_lamports, escrow_lamports, pending_lamports, tenant_due_lamports,
        paid_lamports, foundation_lamports, burned_lamports, refunded_lamports, slashed_lamports";
    let changes = [
        "INSERT INTO lease_overlay SELECT 1, l.* FROM lease l; UPDATE lease_overlay SET status = 3, paid_lamports = 7".to_owned(),
        "INSERT INTO request_overlay SELECT c, r.* FROM request r, (VALUES (1), (2)) v(c); UPDATE request_overlay SET status = 1".to_owned(),
        format!(
            "INSERT INTO lease_balance (bank, slot, ordinal, exact, {columns})
             SELECT bank, slot, ordinal + 1, true, pubkey, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 FROM lease_balance WHERE ordinal < 2147483647"
        ),
        "UPDATE lease SET accepted_slot = 7 WHERE accepted_slot = 2".to_owned(),
        "INSERT INTO slot (bank, slot, last_slot, blockhash, parent_slot, parent_blockhash, block_time, status)
         VALUES (1000, 7, 7, '\\x01', 6, '\\x02', '2027-02-01', 3)".to_owned(),
    ];
    for sql in changes {
        let sql = format!("SET search_path = projection_1, public; {sql}; RESET search_path");
        db.client.batch_execute(&sql).await.unwrap();
        sums_are_exact(&db).await;
    }
    let days = "SELECT * FROM projection_1.market_day ORDER BY day";
    let before = db.texts(days).await;
    db.client
        .batch_execute("SELECT projection_1.recount()")
        .await
        .unwrap();
    sums_are_exact(&db).await;
    assert_eq!(db.texts(days).await, before);
}

#[tokio::test]
async fn what_was_earned_starts_again_with_a_new_registration() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_registered_again").await;
    let earned = |seq: u64, lamports: u64| {
        let mut data = provider(seq, 0);
        let account: &mut Provider = bytemuck::from_bytes_mut(&mut data);
        account.earned = lamports.into();
        account.claimable = lamports.into();
        market(PROVIDER, data)
    };
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[earned(1, 50)]);
    chain.bank(2, 0, (1, 0), &[closed(PROVIDER)]);
    chain.bank(3, 0, (2, 0), &[earned(1, 60)]);
    chain.bank(4, 0, (3, 0), &[closed(PROVIDER), earned(1, 5)]);
    chain.bank(5, 0, (4, 0), &[earned(2, 7)]);
    chain.root(5, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT slot, earned_change_lamports FROM analytics.provider_balances ORDER BY 1")
            .await,
        ["(1,50)", "(3,60)", "(4,5)", "(5,2)"]
    );
}

#[tokio::test]
async fn what_happened_to_a_lease_is_read_without_its_epochs() {
    let db = Database::new("market_events").await;
    for commitment in ["processed", "confirmed", "finalized"] {
        let sql = format!(
            "EXPLAIN SELECT * FROM analytics.lease_events_{commitment} WHERE lease_key = '\\x01' AND event NOT IN ('proved', 'metered')"
        );
        let rows = db.client.query(&sql, &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(!plan.join("\n").contains("lease_epoch"), "{plan:#?}");
    }
}

/// A lease from its request to its end, with a fork, a base after a gap, and a closing.
fn history(dir: &std::path::Path) {
    let mut chain = Chain::start(dir, 1, 0, &[]);
    let mut told = Told {
        accepted: 2,
        ..Told::default()
    };
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            market(PROVIDER, provider(1, 0)),
            market(REQUEST, request(1, 1, 0)),
        ],
    );
    chain.bank(
        2,
        0,
        (1, 0),
        &[
            market(REQUEST, request(2, 2, 2)),
            market(LEASE, told.lease(1)),
        ],
    );
    told.started = 3;
    chain.bank(3, 0, (2, 0), &[market(LEASE, told.lease(2))]);
    chain.bank(4, 1, (3, 0), &[market(LEASE, told.proved(4).lease(3))]);
    chain.root(2, 0);
    told = told.proved(5);
    chain.bank(5, 0, (3, 0), &[market(LEASE, told.lease(3))]);
    chain.bank(6, 0, (5, 0), &[market(DISPUTE, dispute(1, 6, 0))]);
    chain.root(6, 0);
    drop(chain);
    told = told.proved(8);
    let base = [
        market(PROVIDER, provider(2, 1)),
        market(LEASE, told.lease(4)),
        market(DISPUTE, dispute(2, 6, 8)),
    ];
    let mut chain = Chain::start(dir, 2, 8, &base);
    told = told.ended(9);
    chain.bank(9, 0, (8, 0), &[market(LEASE, told.lease(5))]);
    chain.bank(10, 0, (9, 0), &[closed(LEASE), closed(DISPUTE)]);
    chain.root(10, 0);
    chain.sync();
}

#[tokio::test]
async fn a_crash_in_a_lease_changes_nothing_and_a_rebuild_reproduces_it() {
    let spool = tempfile::tempdir().unwrap();
    history(spool.path());
    let whole = Database::new("market_whole").await;
    let plenty = 1_000_000;
    let left = drain(&whole.url, spool.path(), 3, Some(plenty))
        .await
        .unwrap()
        .unwrap();
    let statements = plenty - left;
    let expected = outcome(&whole).await;
    for stop in (5..statements).step_by(statements / 8) {
        let db = Database::new(&format!("market_{stop}")).await;
        let stopped = drain(&db.url, spool.path(), 3, Some(stop)).await;
        assert!(
            matches!(stopped, Err(IndexerError::Injected)),
            "{stop}: {stopped:?}"
        );
        drain(&db.url, spool.path(), 3, None).await.unwrap();
        assert_eq!(outcome(&db).await, expected, "stopped before {stop}");
    }
    rebuilds(&whole).await;
    assert_eq!(
        whole
            .texts("SELECT status, closed_slot, epochs_proved, astray_lamports FROM analytics.leases_finalized")
            .await,
        ["(ended,10,2,0)"]
    );
}

#[tokio::test]
async fn an_index_of_one_program_takes_both_from_the_start_of_a_plugin_that_follows_both() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("market_upgrade").await;
    // As it was while there was one program.
    let mut chain = Chain::begin(spool.path(), 1, &PROGRAMS[..1]);
    chain.push(Event::BaseEnd(BaseEnd::default()));
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.root(1, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let open = "SELECT kind FROM analytics.alarms WHERE cleared_at IS NULL ORDER BY kind";
    assert!(db.texts(open).await.contains(&"(filter)".to_owned()));
    let detail = "SELECT detail FROM analytics.alarms WHERE kind = 'filter'";
    assert!(db.texts(detail).await[0].contains("MythicComputeMarket111111111111111111111111"));
    drop(chain);
    let base = [
        write(2, vault(2, 90)),
        market(PROVIDER, provider(1, 0)),
        market(REQUEST, request(1, 1, 0)),
    ];
    let mut chain = Chain::start(spool.path(), 2, 2, &base);
    chain.bank(3, 0, (2, 0), &[]);
    chain.root(3, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    for (view, column) in [
        ("vaults", "balance"),
        ("providers", "units"),
        ("requests", "seconds"),
    ] {
        let sql = format!("SELECT {column} FROM analytics.{view}_finalized");
        assert_eq!(db.texts(&sql).await.len(), 1, "{view}");
    }
    // What was wrong with the plugin is for the operator to clear; the gap is healed.
    assert_eq!(db.texts(open).await, ["(filter)"]);
}
