//! Exported files: equal for two operators, right, and refused where they would mix chains or be incomplete.

use std::collections::BTreeMap;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

use super::world::{START, World};
use super::{BATCH, write};
use crate::tests::postgres::Database;
use crate::{Manifest, export};

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn two_operators_export_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut exported = Vec::new();
    let mut world = None;
    // The second wrote in other batches, and is a rebuild away from its first tables.
    for (name, batch) in [("operator_one", BATCH), ("operator_two", 37)] {
        let db = Database::new(name).await;
        let mut made = World::new(800, 3);
        write(&db, &mut made, batch, true).await;
        if batch != BATCH {
            assert!(
                crate::rebuild(&db.url, crate::Swap::Always)
                    .await
                    .unwrap()
                    .swapped
            );
        }
        let dir = folder.path().join(name);
        let report = export(&db.url, &dir, None, None).await.unwrap();
        assert_eq!(report.days.len(), 9, "{:?}", report.skipped);
        assert_eq!(
            report.skipped,
            [("2026-01-10".to_owned(), "it is not over".to_owned())]
        );
        exported.push(files(&dir));
        world = Some(made);
    }
    let (one, two) = (&exported[0], &exported[1]);
    assert_eq!(
        one.len(),
        15 * 9 + 1,
        "a file of each table and day, and the manifest"
    );
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in one {
        assert!(bytes == &two[name], "{name} differs");
    }

    let world = world.unwrap();
    let dir = folder.path().join("operator_one");
    let manifest: Manifest = serde_json::from_slice(&one["manifest.json"]).unwrap();
    settlements_are_right(&world, &dir, &manifest);
    calls_and_sums_are_right(&world, &dir, &manifest);
    for file in manifest
        .tables
        .values()
        .flat_map(|table| table.files.values())
    {
        let bytes = &one[&file.path];
        let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
        assert_eq!(
            (bytes.len() as u64, sha256),
            (file.bytes, file.sha256.clone()),
            "{}",
            file.path
        );
    }
}

/// Place of a column of a table.
fn place(manifest: &Manifest, table: &str, column: &str) -> usize {
    let columns = &manifest.tables[table].columns;
    let place = columns.iter().position(|(name, _, _)| name == column);
    place.unwrap_or_else(|| panic!("{table}.{column}"))
}

/// Rows of all days of a table.
fn rows(manifest: &Manifest, dir: &Path, table: &str) -> Vec<parquet::record::Row> {
    let files = manifest.tables[table].files.values();
    let readers = files.map(|file| {
        SerializedFileReader::new(std::fs::File::open(dir.join(&file.path)).unwrap()).unwrap()
    });
    let rows = readers.flat_map(|reader| {
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    });
    rows.collect()
}

/// Whether a slot lies in a day that is over.
fn over(world: &World, slot: u64) -> bool {
    slot > 0 && world.time(slot) < START + 9 * 86_400
}

fn calls_and_sums_are_right(world: &World, dir: &Path, manifest: &Manifest) {
    let at = |column| place(manifest, "instruction_calls", column);
    let (name, arguments, accounts, error) = (
        at("instruction_name"),
        at("arguments"),
        at("account_arguments"),
        at("error"),
    );
    let calls = rows(manifest, dir, "instruction_calls");
    let requests: Vec<_> = calls
        .iter()
        .filter(|row| row.get_string(name).unwrap() == "RequestInference")
        .collect();
    let requested = world.jobs.iter().filter(|job| over(world, job.requested));
    assert_eq!(requests.len(), requested.count());
    let jobs: std::collections::BTreeSet<String> = world
        .jobs
        .iter()
        .map(|job| bs58::encode(job.key).into_string())
        .collect();
    for row in requests {
        let given: serde_json::Value =
            serde_json::from_str(row.get_string(arguments).unwrap()).unwrap();
        assert_eq!(given["price_in_lamports"], 100, "{given}");
        let list = row.get_list(accounts).unwrap();
        assert_eq!(list.len(), 10);
        let job = parquet::record::ListAccessor::get_string(list, 6).unwrap();
        assert!(jobs.contains(job), "{job}");
    }
    let failed = calls.iter().filter(|row| row.get_string(error).is_ok());
    let early = world.jobs.iter().step_by(super::calls::TOO_EARLY_EVERY);
    let early = early.filter(|job| over(world, job.submitted));
    assert_eq!(failed.count(), early.count());

    let settled = |table: &str| -> i64 {
        let at = place(manifest, table, "jobs_settled");
        let rows = rows(manifest, dir, table);
        rows.iter().map(|row| row.get_long(at).unwrap()).sum()
    };
    let facts = world
        .jobs
        .iter()
        .filter(|job| job.outcome == super::world::Outcome::Settled && over(world, job.ended));
    let facts = facts.count() as i64;
    for table in ["network_daily", "model_daily", "validator_daily"] {
        assert_eq!(settled(table), facts, "{table}");
    }
}

fn settlements_are_right(world: &World, dir: &Path, manifest: &Manifest) {
    let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for job in world.ended() {
        let day = format!(
            "2026-01-{:02}",
            1 + (world.time(job.ended) - START) / 86_400
        );
        let sums = expected.entry(day).or_default();
        *sums = (sums.0 + 1, sums.1 + job.fee as i64);
    }
    expected.remove("2026-01-10");
    let settlements = &manifest.tables["settlements"];
    let fee = settlements
        .columns
        .iter()
        .position(|(name, _, _)| name == "fee_lamports")
        .unwrap();
    let mut found = BTreeMap::new();
    for (day, file) in &settlements.files {
        let reader =
            SerializedFileReader::new(std::fs::File::open(dir.join(&file.path)).unwrap()).unwrap();
        let mut sums = (0, 0);
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let slot = row.get_long(0).unwrap();
            assert!(
                (file.first_slot..=file.last_slot).contains(&slot),
                "{day}: slot {slot}"
            );
            sums = (sums.0 + 1, sums.1 + row.get_long(fee).unwrap());
        }
        assert_eq!(sums.0 as u64, file.rows, "{day}");
        found.insert(day.clone(), sums);
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_table_whose_day_may_still_change_is_left_out_and_says_why() {
    let db = Database::new("export_unless").await;
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(300, 3);
    write(&db, &mut world, BATCH, true).await;
    let day = |slot: u64| format!("2026-01-{:02}", 1 + (world.time(slot) - START) / 86_400);
    let job = world.ended().find(|job| over(&world, job.ended)).unwrap();
    let (slot, ended) = (job.requested, job.ended);
    let text = bs58::encode(job.key).into_string();
    let key = hex::encode(job.key);
    db.client
        .batch_execute(&format!(
            "UPDATE projection_1.slot SET calls = NULL WHERE slot = {slot} AND status = 3;
             DELETE FROM projection_1.job_signature WHERE pubkey = '\\x{key}' AND step = 6;
             UPDATE projection_1.job SET status = 1 WHERE pubkey = '\\x{key}';
             UPDATE projection_1.dispute_case SET collected = false"
        ))
        .await
        .unwrap();
    let report = export(&db.url, folder.path(), None, None).await.unwrap();
    let mut said: Vec<(String, String)> = report.skipped;
    said.retain(|(what, _)| !what.starts_with("network_daily"));
    let expected = [
        (
            format!("instruction_calls of {}", day(slot)),
            format!("the calls of slot {slot} are not all known here"),
        ),
        (
            format!("job_events of {}", day(ended)),
            format!("the transaction of job {text} in slot {ended} is not known here"),
        ),
        (
            format!("settlements of {}", day(ended)),
            format!("the transaction that ended job {text} is not known here"),
        ),
        (
            format!("validator_daily of {}", day(slot)),
            format!("job {text}, requested on it, waits for a validator"),
        ),
        ("2026-01-10".into(), "it is not over".into()),
    ];
    said.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(said, expected);
    let manifest: Manifest =
        serde_json::from_slice(&std::fs::read(folder.path().join("manifest.json")).unwrap())
            .unwrap();
    assert_eq!(manifest.tables["blocks"].files.len(), 9);
    assert_eq!(manifest.tables["settlements"].files.len(), 8);
    let disputed = world
        .ended()
        .filter(|job| job.outcome == super::world::Outcome::Slashed && over(&world, job.ended));
    let days: std::collections::BTreeSet<String> = disputed.map(|job| day(job.ended)).collect();
    assert!(!days.is_empty());
    assert_eq!(manifest.tables["network_daily"].files.len(), 9 - days.len());
}

#[tokio::test]
async fn days_that_miss_something_and_folders_of_other_chains_are_refused() {
    let db = Database::new("export_refused").await;
    let folder = tempfile::tempdir().unwrap();
    let error = export(&db.url, folder.path(), None, None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no chain yet"), "{error}");
    let mut world = World::new(300, 3);
    write(&db, &mut world, BATCH, true).await;
    let slot = world.slots / 2;
    db.client
        .batch_execute(&format!(
            "UPDATE projection_1.slot SET whole = false WHERE slot = {slot} AND status = 3"
        ))
        .await
        .unwrap();
    let (from, to) = (Some("2026-01-02"), Some("2026-01-07"));
    let report = export(&db.url, folder.path(), from, to).await.unwrap();
    let why = format!("slots {slot} to {slot} were not seen whole");
    let day = format!("2026-01-{:02}", 1 + (world.time(slot) - START) / 86_400);
    assert_eq!(report.skipped, [(day, why)]);
    assert_eq!(report.days.len(), 5);

    // A later export adds to the folder; one of another chain does not.
    let report = export(&db.url, folder.path(), None, Some("2026-01-01"))
        .await
        .unwrap();
    assert_eq!(report.days, ["2026-01-01"]);
    let manifest: Manifest =
        serde_json::from_slice(&std::fs::read(folder.path().join("manifest.json")).unwrap())
            .unwrap();
    assert_eq!(manifest.tables["blocks"].files.len(), 6);
    db.client
        .batch_execute("UPDATE pipeline.chain SET genesis_hash = sha256('other')")
        .await
        .unwrap();
    let error = export(&db.url, folder.path(), None, None)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("choose another folder"),
        "{error}"
    );
}
