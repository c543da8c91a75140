//! Throughput of the whole pipeline beside floors measured in the same run on the same server; `make bench-indexer`.
//!
//! The way of every update: spool, holder, fork tree, projection, one transaction a batch with archive, hot rows, overlays,
//! final tables, feed and position, up to finality: every slot is rooted. The floors:
//! - `copy`: the same archive rows, encoded beforehand, by `COPY` into the same table, one transaction a slot;
//! - `merge`: `psql` alone, which copies the same archive rows and the same entity rows from files and merges the
//!   latter into the same final tables, one transaction a slot. No fork tree, overlays, feed or position.
//!
//! One JSON line a figure. The server runs with `fsync = off` for all of them.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::SinkExt;
use mythic_interface::AI_PRECOMPILES_ID;
use mythic_stream::proto::{AccountUpdate, Event};
use tokio_util::sync::CancellationToken;

use super::chain::*;
use super::postgres::{Database, Server, command};
use crate::entity::Entity;
use crate::projection::{Account, Before, project_bank};
use crate::{IndexerConfig, sql};
use mythic_postgres::CopyBuffer;

const SLOTS: u64 = 8;
const ROWS: u64 = 12_000;
const ENTITIES: u64 = 60_000;

#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    data: fn(seq: u64, slot: u64) -> Vec<u8>,
    entities: &'static [Entity],
}

const WORKLOADS: [Workload; 2] = [
    Workload {
        name: "vaults",
        data: |seq, _| vault(seq, seq),
        entities: &[Entity::Vault],
    },
    // Every update is a job that changes its status: a signature and a feed event each.
    Workload {
        name: "jobs",
        data: |seq, slot| {
            job(
                seq,
                Life {
                    requested: 1,
                    accepted: slot,
                    ..Life::default()
                },
            )
        },
        entities: &[Entity::Job, Entity::JobSignature],
    },
];

fn key(slot: u64, row: u64) -> [u8; 32] {
    let mut key = [5; 32];
    // Spread over the index, each once a slot.
    let entity = (slot * ROWS + row) % ENTITIES;
    key[..8].copy_from_slice(&entity.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

fn accounts(workload: Workload, slot: u64) -> Vec<Account> {
    (0..ROWS)
        .map(|row| Account {
            pubkey: key(slot, row),
            owner: AI_PRECOMPILES_ID,
            lamports: 1_000_000,
            data: (workload.data)(slot, slot).into(),
            signature: Some(signature(slot, 0, row as u8)),
            write_version: slot * ROWS + row,
            slot,
        })
        .collect()
}

fn fill(workload: Workload, dir: &Path) {
    let mut chain = Chain::start(dir, 1, 0, &[]);
    for slot in 1..=SLOTS {
        let generation = chain.create(slot);
        for account in accounts(workload, slot) {
            chain.push(Event::Account(AccountUpdate {
                slot,
                generation,
                write_version: account.write_version,
                pubkey: account.pubkey.to_vec().into(),
                owner: account.owner.to_vec().into(),
                lamports: account.lamports,
                data: account.data,
                is_startup: false,
                signature: account.signature.unwrap().to_vec().into(),
            }));
        }
        chain.seal(slot, 0, (slot - 1, 0), generation, ROWS);
        chain.confirm(slot, 0);
        chain.root(slot, 0);
    }
    chain.sync();
}

fn archive_rows(workload: Workload, slot: u64) -> Bytes {
    let mut rows = CopyBuffer::default();
    for (ordinal, account) in (0i32..).zip(accounts(workload, slot)) {
        rows.row(10)
            .i64(slot as i64)
            .i64(slot as i64)
            .i32(ordinal)
            .i64(account.write_version as i64)
            .i64(slot as i64)
            .bytes(&account.pubkey)
            .bytes(&account.owner)
            .bytes(&account.lamports.to_le_bytes())
            .opt_bytes(account.signature.as_ref().map(|s| &s[..]))
            .bytes(&account.data);
    }
    rows.finish()
}

const ARCHIVE: &str = "archive.account (slot, bank, ordinal, write_version, account_slot, pubkey, owner, lamports, signature, data)";
const PARTITION: &str =
    "CREATE TABLE archive.account_0 PARTITION OF archive.account FOR VALUES FROM (0) TO (432000)";

fn per_second(started: Instant) -> f64 {
    (SLOTS * ROWS) as f64 / started.elapsed().as_secs_f64()
}

async fn copy_floor(workload: Workload, db: &Database) -> f64 {
    let encoded: Vec<Bytes> = (1..=SLOTS)
        .map(|slot| archive_rows(workload, slot))
        .collect();
    db.client.batch_execute(PARTITION).await.unwrap();
    let statement = db
        .client
        .prepare(&format!("COPY {ARCHIVE} FROM STDIN (FORMAT binary)"))
        .await
        .unwrap();
    let started = Instant::now();
    for rows in encoded {
        let sink = db.client.copy_in::<_, Bytes>(&statement).await.unwrap();
        futures::pin_mut!(sink);
        sink.send(rows).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), ROWS);
    }
    per_second(started)
}

async fn merge_floor(workload: Workload, db: &Database) -> f64 {
    let files = tempfile::tempdir().unwrap();
    let mut script = String::from("SET synchronous_commit = on;\n");
    for entity in workload.entities {
        let table = entity.table();
        script.push_str(&format!(
            "CREATE TEMP TABLE {table}_new (LIKE projection_1.{table}) ON COMMIT DELETE ROWS;\n"
        ));
    }
    for slot in 1..=SLOTS {
        let file = |name: &str| files.path().join(format!("{name}.{slot}"));
        std::fs::write(file("archive"), archive_rows(workload, slot)).unwrap();
        script.push_str(&format!(
            "BEGIN;\n\\copy {ARCHIVE} FROM '{}' (FORMAT binary)\n",
            file("archive").display()
        ));
        let changes = project_bank(slot, &accounts(workload, slot), &Default::default(), |_| {
            Before::default()
        });
        for entity in workload.entities {
            let (table, columns) = (entity.table(), sql::columns(*entity));
            let mut rows = CopyBuffer::default();
            for row in changes.rows.iter().filter(|row| row.entity == *entity) {
                row.write(slot as i64, &mut rows);
            }
            std::fs::write(file(table), rows.finish()).unwrap();
            script.push_str(&format!(
                "\\copy {table}_new ({columns}) FROM '{}' (FORMAT binary)\n{};\n",
                file(table).display(),
                sql::merge("projection_1", *entity, &format!("{table}_new"))
            ));
        }
        script.push_str("COMMIT;\n");
    }
    let path = files.path().join("merge.sql");
    std::fs::write(&path, script).unwrap();
    db.client.batch_execute(PARTITION).await.unwrap();
    let mut psql = command("psql");
    psql.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(&path)
        .arg(&db.url);
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(files.path(), readable).unwrap();
    let started = Instant::now();
    let output = psql.output().unwrap();
    let figure = per_second(started);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table = workload.entities[0].table();
    let rows = db
        .texts(&format!("SELECT count(*) FROM projection_1.{table}"))
        .await;
    assert_eq!(rows, [format!("({})", ENTITIES.min(SLOTS * ROWS))]);
    figure
}

async fn ours(workload: Workload, db: &Database) -> f64 {
    let spool = tempfile::tempdir().unwrap();
    fill(workload, spool.path());
    let config = IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.path().into(),
        reader: "bench".into(),
        ..IndexerConfig::default()
    };
    let stop = CancellationToken::new();
    let started = Instant::now();
    let task = tokio::spawn(crate::run(config, stop.clone()));
    let wanted = format!("({SLOTS})");
    while db
        .texts("SELECT finalized_slot FROM analytics.pipeline_status")
        .await
        != [wanted.as_str()]
    {
        assert!(!task.is_finished(), "the indexer ended");
        assert!(
            started.elapsed() < Duration::from_secs(300),
            "the pipeline stands still"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let figure = per_second(started);
    stop.cancel();
    task.await.unwrap().unwrap();
    figure
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn throughput() {
    let server = std::sync::Arc::new(Server::start());
    for workload in WORKLOADS {
        let name = workload.name;
        let db = Database::on(server.clone(), &format!("{name}_copy")).await;
        let copy = copy_floor(workload, &db).await;
        let db = Database::on(server.clone(), &format!("{name}_merge")).await;
        let merge = merge_floor(workload, &db).await;
        let db = Database::on(server.clone(), &format!("{name}_ours")).await;
        let ours = ours(workload, &db).await;
        for (floor, figure) in [("copy", copy), ("merge", merge)] {
            println!(
                "{}",
                serde_json::json!({
                    "figure": format!("indexer_{name}_to_{floor}"), "ours": ours.round(), "floor": figure.round(),
                    "ratio": (ours / figure * 1000.0).round() / 1000.0, "unit": "rows/s",
                })
            );
        }
    }
}
