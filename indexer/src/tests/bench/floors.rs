//! The floors: the same rows written by the database alone.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use bytes::Bytes;
use futures::SinkExt;
use mythic_postgres::CopyBuffer;

use super::per_second;
use super::work::{ROWS, SLOTS, Workload};
use crate::projection::{Account, Before, base58, project_bank};
use crate::sql;
use crate::tests::postgres::{Database, command};

/// The archive's table, for an update a row and for parcels.
const ROWS_TABLE: &str = "archive.account (slot, bank, ordinal, write_version, account_slot, pubkey, owner, lamports, signature, data)";
const PARCELS_TABLE: &str = "archive.account (slot, bank, ordinal, updates, keys, body)";
const PARTITION: &str =
    "CREATE TABLE archive.account_0 PARTITION OF archive.account FOR VALUES FROM (0) TO (432000)";

/// `COPY` of the updates, encoded beforehand, one transaction a slot: a row each, or in parcels.
pub async fn copy(workload: Workload, db: &Database, parcels: bool) -> f64 {
    let (table, encode): (_, fn(Workload, u64) -> Bytes) = match parcels {
        true => (PARCELS_TABLE, Workload::archive_parcels),
        false => (ROWS_TABLE, Workload::archive_rows),
    };
    let encoded: Vec<Bytes> = (1..=SLOTS).map(|slot| encode(workload, slot)).collect();
    db.client.batch_execute(PARTITION).await.unwrap();
    let statement = db
        .client
        .prepare(&format!("COPY {table} FROM STDIN (FORMAT binary)"))
        .await
        .unwrap();
    let started = Instant::now();
    for rows in encoded {
        let sink = db.client.copy_in::<_, Bytes>(&statement).await.unwrap();
        futures::pin_mut!(sink);
        sink.send(rows).await.unwrap();
        assert!(sink.finish().await.unwrap() > 0);
    }
    per_second(started)
}

/// `psql` alone: archive, final tables, histories and texts of keys from files, one transaction a slot.
pub async fn merge(workload: Workload, db: &Database) -> f64 {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, slot: u64| files.path().join(format!("{name}.{slot}"));
    let tables = workload.entities.iter().map(|entity| entity.table());
    let mut script = String::new();
    for table in tables.chain(["address"]) {
        script.push_str(&format!(
            "CREATE TEMP TABLE {table}_new (LIKE projection_1.{table}) ON COMMIT DELETE ROWS;\n"
        ));
    }
    let mut known = HashSet::new();
    for slot in 1..=SLOTS {
        let mut load = |target: &str, name: &str, rows: Bytes| {
            std::fs::write(file(name, slot), rows).unwrap();
            script.push_str(&format!(
                "\\copy {target} FROM '{}' (FORMAT binary)\n",
                file(name, slot).display()
            ));
        };
        load(PARCELS_TABLE, "archive", workload.archive_parcels(slot));
        let accounts: Vec<Account> = workload.accounts(slot, ROWS).collect();
        let changes = project_bank(slot, &accounts, &Default::default(), |_| Before::default());
        let mut texts = CopyBuffer::default();
        for key in changes.rows.iter().flat_map(|row| row.keys()) {
            if known.insert(key) {
                texts.row(2).bytes(&key).bytes(base58(&key).as_bytes());
            }
        }
        load("address_new", "address", texts.finish());
        for entity in workload.entities {
            let (table, columns) = (entity.table(), sql::columns(*entity));
            let mut rows = CopyBuffer::default();
            for row in changes.rows.iter().filter(|row| row.entity == *entity) {
                row.write(slot as i64, &mut rows);
            }
            load(&format!("{table}_new ({columns})"), table, rows.finish());
        }
        script.push_str(
            "INSERT INTO projection_1.address SELECT * FROM address_new ON CONFLICT DO NOTHING;\n",
        );
        for entity in workload.entities {
            let source = format!("{}_new", entity.table());
            script.push_str(&sql::merge("projection_1", *entity, &source));
            script.push_str(";\n");
        }
        if let Some(history) = workload.history {
            script.push_str(&format!(
                "INSERT INTO projection_1.{history} SELECT bank, slot, ordinal, exact, pubkey, balance, held, deposited, withdrawn, spent FROM vault_new;\n"
            ));
        }
        script.push_str("COMMIT;\nBEGIN;\n");
    }
    let path = files.path().join("merge.sql");
    let script = script.replacen("\\copy", "BEGIN;\n\\copy", 1) + "COMMIT;\n";
    std::fs::write(&path, script).unwrap();
    db.client.batch_execute(PARTITION).await.unwrap();
    let mut psql = command("psql");
    psql.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(&path)
        .arg(&db.url);
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(files.path(), readable).unwrap();
    let started = Instant::now();
    let output = psql.output().unwrap();
    let figure = per_second(started);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    figure
}
