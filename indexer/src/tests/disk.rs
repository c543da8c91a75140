//! What a job and an empty slot take on the disk, by table and index; `make bench-disk`.
//!
//! A made chain goes through the writer, once without upkeep and once with it, each table vacuumed as autovacuum would: a day of
//! slots without content (`MYTHIC_BENCH_SLOTS`), and jobs with the accounts that a job writes on its way (`MYTHIC_BENCH_JOBS`).

use std::collections::BTreeMap;

use mythic_interface::AI_PRECOMPILES_ID;

use super::chain::*;
use super::postgres::{Database, Server};
use super::real::*;
use crate::archive::Spans;
use crate::db::Session;
use crate::holder::{Input, SealedBank};
use crate::lease;
use crate::plan::Reached;
use crate::projection::Account;
use crate::tree::BankId;
use crate::upkeep::{Bounds, archive_step, step};
use crate::writer::{Mode, Step, Writer};

/// Slots of a day at 400 ms.
const DAY: u64 = 216_000;
/// Slots between a block and its finality.
const LAG: u64 = 32;
/// Slots in a transaction.
const BATCH: u64 = 200;
const JOBS_PER_SLOT: u64 = 10;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Bytes as random as hashes and keys are.
fn random(seed: (u64, u64)) -> [u8; 32] {
    use sha2::Digest;
    let (a, b) = (seed.0.to_le_bytes(), seed.1.to_le_bytes());
    sha2::Sha256::new_with_prefix([a, b].concat())
        .finalize()
        .into()
}

fn id(slot: u64) -> BankId {
    BankId {
        slot,
        hash: if slot == 0 {
            [0; 32]
        } else {
            random((slot, 0))
        },
    }
}

fn update(slot: u64, key: [u8; 32], place: u64, data: Vec<u8>) -> Account {
    let (a, b) = (random((slot, place)), random((place, slot)));
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&a);
    signature[32..].copy_from_slice(&b);
    Account {
        pubkey: key,
        owner: AI_PRECOMPILES_ID,
        lamports: 6_000_000,
        data: data.into(),
        signature: Some(signature),
        write_version: slot * 1_000 + place,
        slot,
    }
}

/// What the jobs of a slot write: requested in one slot, accepted, submitted and settled in the next ones.
fn content(slot: u64, jobs: u64) -> Vec<Account> {
    let mut accounts = Vec::new();
    for stage in 0..4 {
        let Some(requested) = slot.checked_sub(stage).filter(|slot| *slot > 0) else {
            continue;
        };
        for place in 0..JOBS_PER_SLOT {
            let nth = (requested - 1) * JOBS_PER_SLOT + place;
            if nth >= jobs {
                break;
            }
            let reached = |at: u64| if stage >= at { requested + at } else { 0 };
            let life = Life {
                requested,
                accepted: reached(1),
                submitted: reached(2),
                ended: reached(3),
            };
            let mut put = |key, data| {
                let place = accounts.len() as u64;
                accounts.push(update(slot, key, place, data));
            };
            put(random((nth, 1 << 40)), a_job(nth, stage + 1, life));
            let (vault, validator) = (nth % 50, nth % 20);
            let (owner, by) = (random((vault, 1 << 41)), random((validator, 1 << 42)));
            if stage == 0 || stage == 3 {
                put(owner, a_vault(vault, slot * 100 + place));
            }
            if stage == 1 || stage == 3 {
                put(by, a_validator(validator, slot * 100 + place));
            }
        }
    }
    accounts
}

fn inputs(slot: u64, jobs: u64) -> Vec<Input> {
    let run = [1; 16];
    let bank = |accounts| {
        Input::Bank(SealedBank {
            run,
            generation: 1,
            id: id(slot),
            parent: id(slot - 1),
            block_time: Some(1_800_000_000 + slot as i64 * 2 / 5),
            digest: random((slot, 7)).to_vec().repeat((jobs > 0).into()),
            filter_hash: vec![3; 32],
            whole: true,
            accounts,
            transactions: true,
        })
    };
    let mut all = vec![bank(content(slot, jobs))];
    if let Some(before) = slot.checked_sub(2).filter(|slot| *slot > 0) {
        let hash = Some(id(before).hash);
        all.push(Input::Confirmed {
            run,
            slot: before,
            hash,
        });
    }
    if let Some(before) = slot.checked_sub(LAG).filter(|slot| *slot > 0) {
        let (hash, parent) = (Some(id(before).hash), Some(before - 1));
        all.push(Input::Rooted {
            run,
            slot: before,
            hash,
            parent,
        });
    }
    all
}

/// Bytes of each table and index; partitions count as their table.
async fn sizes(db: &Database) -> BTreeMap<String, i64> {
    let rows = db
        .client
        .query(
            "SELECT n.nspname || '.' || CASE WHEN c.relname ~ '^account_[0-9]+' THEN 'account (epochs)' ELSE c.relname END
                        || CASE c.relkind WHEN 'i' THEN ' (index)' ELSE '' END,
                    sum(pg_table_size(c.oid))::bigint
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname IN ('archive', 'feed', 'pipeline', 'projection_1') AND c.relkind IN ('r', 'i')
              GROUP BY 1 HAVING sum(pg_table_size(c.oid)) > 0",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn grown(
    db: &Database,
    slots: u64,
    jobs: u64,
    upkeep: Option<&Bounds>,
) -> BTreeMap<String, i64> {
    let mut session = Session::open(&db.url, "bench").await.unwrap();
    let ttl = std::time::Duration::from_secs(5);
    let lease = lease::acquire(&mut session, ttl, &mut Default::default())
        .await
        .unwrap();
    let mode = Mode::Live { epoch: lease.epoch };
    let mut writer = Writer::open(session, &lease.schema, mode).await.unwrap();
    let mut keeper = Session::open(&db.url, "upkeep").await.unwrap();
    let before = sizes(db).await;
    for from in (1..=slots).step_by(BATCH as usize) {
        let mut steps = Vec::new();
        for slot in from..(from + BATCH).min(slots + 1) {
            for input in inputs(slot, jobs) {
                let at = mythic_stream::spool::Position {
                    run: [1; 16],
                    segment: 1,
                    offset: slot,
                    seq: slot,
                };
                let reached = Some(Reached {
                    resume: at,
                    applied: at,
                });
                steps.push(Step {
                    producer: "bench".into(),
                    input,
                    reached,
                    places: None,
                });
            }
        }
        writer.apply(steps).await.unwrap();
        // As often as autovacuum would look at what was written.
        if from / 5_000 != (from + BATCH) / 5_000 {
            if let Some(bounds) = upkeep {
                while step(&mut keeper, lease.epoch, bounds).await.unwrap()
                    || archive_step(&mut keeper, lease.epoch, bounds)
                        .await
                        .unwrap()
                {}
            }
            db.client.batch_execute("VACUUM").await.unwrap();
        }
    }
    let mut after = sizes(db).await;
    for (name, bytes) in before {
        *after.entry(name).or_default() -= bytes;
    }
    after.retain(|_, bytes| *bytes > 0);
    after
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn disk() {
    let server = std::sync::Arc::new(Server::start());
    let files = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        spans: Spans {
            dir: files.path().into(),
            keep_slots: 0,
            file_bytes: 2 << 30,
        },
        ..Bounds::of(&crate::IndexerConfig::default())
    };
    let (slots, jobs) = (
        number("MYTHIC_BENCH_SLOTS", DAY),
        number("MYTHIC_BENCH_JOBS", 5_000),
    );
    for (what, slots, jobs, each) in [
        ("empty_slot", slots, 0, slots),
        ("job", jobs / JOBS_PER_SLOT + LAG + 10, jobs, jobs),
    ] {
        let mut totals = Vec::new();
        for (manner, upkeep) in [("as written", None), ("with upkeep", Some(&bounds))] {
            let name = format!("disk_{what}_{}", upkeep.is_some());
            let db = Database::on(server.clone(), &name).await;
            let grown = grown(&db, slots, jobs, upkeep).await;
            for (table, bytes) in &grown {
                if bytes / each as i64 > 0 {
                    println!(
                        "{what} {manner}: {:8.1} B  {table}",
                        *bytes as f64 / each as f64
                    );
                }
            }
            totals.push(grown.values().sum::<i64>() as f64 / each as f64);
        }
        println!(
            "{}",
            serde_json::json!({
                "figure": format!("disk_{what}"), "ours": totals[1].round(), "floor": totals[0].round(),
                "ratio": (totals[1] / totals[0] * 1000.0).round() / 1000.0, "unit": "bytes",
            })
        );
    }
}

/// The most memory that this process had since it was last asked, in MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .unwrap()
        / 1024;
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak
}

/// Memory that a base takes on its way from the spool to the tables: `MYTHIC_BENCH_ACCOUNTS=1000000`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn base_memory() {
    let accounts = number("MYTHIC_BENCH_ACCOUNTS", 1_000_000);
    let db = Database::new("disk_base").await;
    let spool = tempfile::tempdir().unwrap();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    for nth in 0..accounts {
        let account = update(0, random((nth, 1 << 43)), nth, vault(nth, nth));
        chain.push(mythic_stream::proto::Event::Account(
            mythic_stream::proto::AccountUpdate {
                slot: 0,
                generation: 0,
                write_version: nth,
                pubkey: account.pubkey.to_vec().into(),
                owner: account.owner.to_vec().into(),
                lamports: account.lamports,
                data: account.data,
                is_startup: true,
                signature: Default::default(),
            },
        ));
    }
    chain.push(mythic_stream::proto::Event::BaseEnd(
        mythic_stream::proto::BaseEnd {
            slot: 0,
            count: accounts,
        },
    ));
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    chain.sync();
    drop(chain);
    let before = peak();
    let began = std::time::Instant::now();
    super::drain(&db.url, spool.path(), 1, None).await.unwrap();
    let rows = db.texts("SELECT count(*) FROM projection_1.vault").await;
    assert_eq!(rows, [format!("({accounts})")]);
    println!(
        "{}",
        serde_json::json!({
            "figure": "base_memory", "accounts": accounts, "ours": peak(), "floor": before, "unit": "MB",
            "seconds": began.elapsed().as_secs(),
        })
    );
}
