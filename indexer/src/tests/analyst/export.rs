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
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in one {
        assert!(bytes == &two[name], "{name} differs");
    }

    // What the files say, from the facts.
    let world = world.unwrap();
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
    let dir = folder.path().join("operator_one");
    let manifest: Manifest = serde_json::from_slice(&one["manifest.json"]).unwrap();
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
