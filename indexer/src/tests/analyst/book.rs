//! The query book: each question runs as the read-only role, those that say so read next to no jobs, and answers are those that
//! follow from the facts.

use std::collections::BTreeMap;

use super::market;
use super::plans::rows_read;
use super::world::{Fact, MODEL, MODELS, Outcome, PRICE_CHANGES, START, VALIDATOR, World, key};
use super::{BATCH, write};
use crate::tests::postgres::Database;

const JOBS: u64 = 3_000;

/// The questions by the names of their files.
pub fn questions() -> BTreeMap<String, String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/examples");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let sql = std::fs::read_to_string(&path).unwrap();
            (name, sql.trim_end().trim_end_matches(';').to_owned())
        })
        .collect()
}

/// Makes what a question reads beside the index, and takes the analyst's role.
pub async fn as_analyst(db: &Database) {
    db.client
        .batch_execute(include_str!(
            "../../../../sql/settler/0001_reconciliation.sql"
        ))
        .await
        .unwrap();
    db.client
        .batch_execute(include_str!("../../../../sql/settler/0002_market.sql"))
        .await
        .unwrap();
    let compared = "INSERT INTO settler.reconciliation (ok, context_slot, accounts, differing, confirmed, unbacked, inexact,
                        stored_on_chain, stored_in_index, details) VALUES (true, 1, 1, 0, 0, 0, 0, '{}', '{}', '{}')";
    db.client.batch_execute(compared).await.unwrap();
    db.client
        .batch_execute("SET ROLE mythic_reader; SET search_path = public; SET jit = off")
        .await
        .unwrap();
}

fn base58(kind: u8, n: u64) -> String {
    bs58::encode(key(kind, n)).into_string()
}

fn day(world: &World, slot: u64) -> String {
    format!("2026-01-{:02}", 1 + (world.time(slot) - START) / 86_400)
}

#[tokio::test]
async fn the_query_book_is_answered_rightly_and_by_indexes() {
    let db = Database::new("query_book").await;
    let mut world = World::new(JOBS, 11);
    write(&db, &mut world, BATCH, false).await;
    as_analyst(&db).await;
    let book = questions();
    assert!(book.len() >= 20, "{} questions", book.len());
    let mut by_index = 0;
    for (name, sql) in &book {
        let question = sql.lines().next().unwrap();
        assert!(
            question.starts_with("-- "),
            "{name} does not say what it asks"
        );
        let read = rows_read(&db.client, sql, "job").await;
        if question.contains("(by index)") {
            assert!(read < JOBS / 10, "{name} read {read} jobs");
            by_index += 1;
        }
    }
    assert!(
        by_index >= 10,
        "{by_index} questions are answered by an index"
    );

    sums_are_right(&db, &world, &book).await;
    lists_are_right(&db, &world, &book).await;
    histories_are_right(&db, &world, &book).await;
    the_market_is_right(&db, &world, &book).await;
    for (name, sql) in &book {
        let promise = sql.contains("Returns no rows.");
        let sql = as_of(&world, sql);
        let found = db
            .texts(&format!("SELECT count(*) > 0 FROM ({sql}) q"))
            .await;
        let expected = if promise { "(f)" } else { "(t)" };
        assert_eq!(found, [expected], "{name}");
    }
}

/// A question asked when the newest block that is final was made.
fn as_of(world: &World, sql: &str) -> String {
    let then = format!("to_timestamp({}) - interval", world.time(world.root()));
    sql.replace("now() - interval", &then)
}

async fn the_market_is_right(db: &Database, world: &World, book: &BTreeMap<String, String>) {
    let ask = async |name: &str, columns: &str| {
        let sql = as_of(world, &book[name]);
        db.texts(&format!("SELECT {columns} FROM ({sql}) q")).await
    };
    let all = market::LEASES;
    let found = ask(
        "providers",
        "sum(leases), sum(epochs_proved), sum(epochs_missed)",
    )
    .await;
    let missed: u64 = world.leases.iter().map(|l| l.missed(u64::MAX)).sum();
    assert_eq!(found, [format!("({all},{},{missed})", 3 * all)]);
    let (provider, foundation, burn) = market::SHARES;
    let found = ask(
        "lease-money",
        "sum(leases), sum(paid_lamports), sum(foundation_lamports), sum(burned_lamports), sum(held_lamports)",
    )
    .await;
    let held = market::DEPOSIT - 3 * market::PRICE;
    let sums = [3 * provider, 3 * foundation, 3 * burn, held].map(|one| all * one);
    let [paid, foundation, burned, held] = sums;
    assert_eq!(
        found,
        [format!("({all},{paid},{foundation},{burned},{held})")]
    );
    let found = ask("provider-earnings", "sum(earned_lamports), sum(epochs)").await;
    assert_eq!(found, [format!("({paid},{})", 3 * all)]);
    let found = ask(
        "market-days",
        "sum(requests), sum(leases_ended), sum(paid_lamports)",
    )
    .await;
    assert_eq!(found, [format!("({all},{all},{paid})")]);
    // Between start and end a lease has each epoch: proved, or missed.
    let newest = world
        .leases
        .iter()
        .max_by_key(|lease| lease.accepted)
        .unwrap();
    let found = ask("epochs-missed", "count(*), bool_and(sure)").await;
    let epochs = |from: u64, to: u64| to / 4 - from / 4;
    let missed = epochs(newest.started, newest.ended) - 3;
    assert_eq!(found, [format!("({missed},t)")]);
    let found = ask("lease-timeline", "count(*)").await;
    assert_eq!(found, ["(10)"]);
    let found = ask(
        "lease-balance",
        "sum(paid_change_lamports), sum(burned_change_lamports)",
    )
    .await;
    assert_eq!(found, [format!("({},{})", 3 * provider, 3 * burn)]);
}

async fn histories_are_right(db: &Database, world: &World, book: &BTreeMap<String, String>) {
    let ask = async |name: &str, columns: &str| {
        let sql = as_of(world, &book[name]);
        let mut found = db.texts(&format!("SELECT {columns} FROM ({sql}) q")).await;
        assert_eq!(found.len(), 1, "{name}");
        found.remove(0)
    };
    let mut ended: Vec<&Fact> = world.ended().collect();
    ended.sort_by_key(|job| job.ended);
    let most = |of: fn(&Fact) -> (u64, u64)| {
        let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
        for (who, lamports) in ended.iter().map(|job| of(job)) {
            *sums.entry(who).or_default() += lamports;
        }
        sums.into_values().max().unwrap()
    };
    let spent = most(|job| (job.owner, job.fee));
    let found = ask("vault-balance", "max(spent_lamports)").await;
    assert_eq!(found, format!("({spent})"));
    let earned = most(|job| (job.validator, job.validator_lamports()));
    let found = ask("validator-balance", "max(earned_lamports)").await;
    assert_eq!(found, format!("({earned})"));
    // The treasury is written with every fiftieth job that is paid.
    let paid = ended.iter().filter(|job| job.outcome != Outcome::Refunded);
    let paid: Vec<u64> = paid.map(|job| job.foundation_lamports()).collect();
    let received: u64 = paid[..paid.len() / 50 * 50].iter().sum();
    let found = ask("treasury-balance", "max(received_lamports)").await;
    assert_eq!(found, format!("({received})"));
    let found = ask("price-history", "count(*)").await;
    assert_eq!(found, format!("({})", MODELS * (1 + PRICE_CHANGES)));

    let last = world.time(world.root()) - 86_400;
    let recent = ended.iter().filter(|job| world.time(job.ended) > last);
    let found = ask("jobs-by-hour", "sum(jobs)").await;
    assert_eq!(found, format!("({})", recent.count()));
    let slashed = ended.iter().filter(|job| job.outcome == Outcome::Slashed);
    let found = ask("dispute-outcomes", "sum(cases)").await;
    assert_eq!(found, format!("({})", slashed.count()));
    let found = ask("freshness", "processed_slot, finalized_slot").await;
    assert_eq!(found, format!("({},{})", world.slots, world.root()));
    let found = ask("job-timeline", "count(DISTINCT job)").await;
    assert_eq!(found, "(10)");
    let found = ask("reorged-jobs", "count(*)").await;
    assert_eq!(found, format!("({})", world.undone.min(50)));

    let day = |slot: u64| (world.time(slot) - START) / 86_400;
    let week = |slot: u64| slot <= world.root() && day(slot) > day(world.root()) - 7;
    let requested = world.jobs.iter().filter(|job| week(job.requested)).count();
    let fees: u64 = ended
        .iter()
        .filter(|job| week(job.ended))
        .map(|job| job.fee)
        .sum();
    let found = ask("model-days", "sum(jobs_requested), sum(fee_lamports)").await;
    assert_eq!(found, format!("({requested},{fees})"));

    let mut jobs: Vec<&Fact> = world
        .jobs
        .iter()
        .filter(|job| job.requested <= world.root())
        .collect();
    jobs.sort_by_key(|job| std::cmp::Reverse(job.requested));
    let owner = jobs[0].owner;
    let theirs = jobs.iter().filter(|job| job.owner == owner).take(20);
    let expected: Vec<String> = theirs
        .map(|job| format!("({})", bs58::encode(job.key).into_string()))
        .collect();
    let sql = format!(
        "SELECT id FROM ({}) q ORDER BY requested_slot DESC",
        book["jobs-of-an-owner"]
    );
    assert_eq!(db.texts(&sql).await, expected);
}

async fn sums_are_right(db: &Database, world: &World, book: &BTreeMap<String, String>) {
    let settled: Vec<&Fact> = world
        .ended()
        .filter(|job| job.outcome == Outcome::Settled)
        .collect();
    let mut burned: BTreeMap<(String, &str), u64> = BTreeMap::new();
    *burned.entry((day(world, 1), "registration")).or_default() += MODELS * 1_000_000;
    let is_final = |slot: u64| slot > 0 && slot <= world.root();
    for lease in world.leases.iter().filter(|lease| is_final(lease.released)) {
        let burns = [
            (lease.released, "lease", 3 * market::SHARES.2),
            (lease.resolved, "lease_dispute", market::AT_STAKE),
        ];
        for (slot, kind, lamports) in burns {
            *burned.entry((day(world, slot), kind)).or_default() += lamports;
        }
    }
    for job in world.ended() {
        let (kind, lamports) = match job.outcome {
            Outcome::Slashed => ("dispute", 1),
            _ => ("fee", job.burned_lamports()),
        };
        if lamports > 0 {
            *burned.entry((day(world, job.ended), kind)).or_default() += lamports;
        }
    }
    let expected: Vec<String> = burned
        .iter()
        .map(|((day, kind), sum)| format!("({day},{kind},{sum})"))
        .collect();
    assert_eq!(db.texts(&book["burned"]).await, expected);

    // Tokens count with the result, money with the end.
    let tokens = |job: &Fact| match is_final(job.submitted) {
        true => u64::from(job.output_tokens),
        false => 0,
    };
    let mut earned: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for job in world.jobs.iter().filter(|job| is_final(job.accepted)) {
        let sums = earned.entry(base58(VALIDATOR, job.validator)).or_default();
        sums.2 += tokens(job);
        if job.outcome == Outcome::Settled && is_final(job.ended) {
            (sums.0, sums.1) = (sums.0 + 1, sums.1 + job.validator_lamports());
        }
    }
    let expected: Vec<String> = earned
        .iter()
        .map(|(v, (jobs, sum, tokens))| format!("({v},{jobs},{sum},{tokens})"))
        .collect();
    let sql = format!(
        "SELECT validator, jobs, earned_lamports, output_tokens FROM ({}) q ORDER BY validator",
        book["validator-earnings"]
    );
    assert_eq!(db.texts(&sql).await, expected);

    let mut models: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for job in &world.jobs {
        let sums = models.entry(job.model).or_default();
        sums.1 += tokens(job);
        if is_final(job.ended) {
            (sums.0, sums.2) = (sums.0 + 1, sums.2 + job.fee);
        }
    }
    let mut top: Vec<(u64, String, String)> = models
        .iter()
        .map(|(n, (jobs, tokens, fee))| {
            let text = base58(MODEL, *n);
            (
                *fee,
                text.clone(),
                format!("(model-{n},{text},{jobs},{tokens},{fee})"),
            )
        })
        .collect();
    top.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let expected: Vec<String> = top.into_iter().take(10).map(|(_, _, row)| row).collect();
    assert_eq!(db.texts(&book["top-models"]).await, expected);

    let mut slots: Vec<u64> = settled
        .iter()
        .map(|job| job.ended - job.requested)
        .collect();
    slots.sort_unstable();
    let middle = (slots[(slots.len() - 1) / 2] + slots[slots.len() / 2]) as f64 / 2.0;
    let all = book["time-to-settle"].replace("'1 day'", "'100 days'");
    let sql = format!("SELECT jobs, slots[1] FROM ({all}) q");
    assert_eq!(
        db.texts(&sql).await,
        [format!("({},{middle})", slots.len())]
    );

    let requested = world
        .jobs
        .iter()
        .filter(|job| job.requested <= world.root())
        .count();
    let sql = format!(
        "SELECT sum(jobs_requested), sum(jobs_settled) FROM ({}) q",
        book["network-days"]
    );
    assert_eq!(
        db.texts(&sql).await,
        [format!("({requested},{})", settled.len())]
    );
}

/// The transitions of a job that finalized views show.
fn shown(world: &World, job: &Fact) -> Vec<(&'static str, u64)> {
    let end = match job.outcome {
        Outcome::Settled => "settled",
        Outcome::Refunded => "refunded",
        Outcome::Slashed => "slashed",
    };
    [
        ("open", job.requested),
        ("accepted", job.accepted),
        ("submitted", job.submitted),
        ("disputed", job.disputed),
        (end, job.ended),
    ]
    .into_iter()
    .filter(|(_, slot)| *slot != 0 && *slot <= world.root())
    .collect()
}

async fn lists_are_right(db: &Database, world: &World, book: &BTreeMap<String, String>) {
    let name = |job: &Fact| bs58::encode(job.key).into_string();
    let events = || {
        world
            .jobs
            .iter()
            .flat_map(|job| shown(world, job).into_iter().map(move |event| (job, event)))
    };
    let newest = events().map(|(_, (_, slot))| slot).max().unwrap();
    let mut expected: Vec<String> = events()
        .filter(|(_, (_, slot))| *slot == newest)
        .map(|(job, (status, _))| format!("({},{status})", name(job)))
        .collect();
    expected.sort();
    let sql = format!(
        "SELECT job, status FROM ({}) q ORDER BY 1, 2",
        book["jobs-at-slot"]
    );
    assert_eq!(db.texts(&sql).await, expected);

    let first_day = day(world, 1);
    let count = events()
        .filter(|(_, (_, slot))| day(world, *slot) == first_day)
        .count();
    let sql = format!("SELECT sum(events) FROM ({}) q", book["dune-day"]);
    assert_eq!(db.texts(&sql).await, [format!("({count})")]);

    let since = world.time(world.slots) - 3_600;
    let recent = world
        .jobs
        .iter()
        .filter(|job| job.requested <= world.slots && world.time(job.requested) >= since);
    let (all, open) = recent.fold((0, 0), |(all, open), job| {
        (all + 1, open + u64::from(job.ended > world.slots))
    });
    assert_eq!(
        db.texts(&book["last-hour"]).await,
        [format!("({all},{open})")]
    );

    let mut requested: Vec<u64> = world
        .jobs
        .iter()
        .map(|job| job.requested)
        .filter(|slot| *slot <= world.slots)
        .collect();
    requested.sort_unstable_by(|a, b| b.cmp(a));
    let expected: Vec<String> = requested
        .iter()
        .take(20)
        .map(|slot| format!("({slot})"))
        .collect();
    let sql = format!("SELECT requested_slot FROM ({}) q", book["newest-jobs"]);
    assert_eq!(db.texts(&sql).await, expected);

    let last = world.ended().map(|job| job.ended).max().unwrap();
    let job = world.ended().find(|job| job.ended == last).unwrap();
    let sql = format!(
        "SELECT id, fee_lamports, jsonb_array_length(transitions) FROM ({}) q",
        book["job-by-id"]
    );
    assert_eq!(
        db.texts(&sql).await,
        [format!(
            "({},{},{})",
            name(job),
            job.fee,
            shown(world, job).len()
        )]
    );

    let slashed = world
        .ended()
        .filter(|job| job.outcome == Outcome::Slashed)
        .count();
    let sql = format!("SELECT count(*) FROM ({}) q", book["slash-history"]);
    assert_eq!(db.texts(&sql).await, [format!("({slashed})")]);
}
