//! The index's own SQL files. Files of scope `projection` and `views` are written for a search path that names the
//! projection's schema; a rebuild runs these again for its shadow schema. Views hold nothing, so a changed file of them is
//! applied again.

use mythic_postgres::{Migration, Owner, migrations};
use tokio_postgres::Client;

use crate::error::IndexerError;

const FILES: &[Migration] = migrations!("../sql/indexer":
    "0001_pipeline.sql",
    "0002_alarms.sql",
    "0003_alarm_functions.sql",
    "0004_heartbeat.sql",
    "0010_archive.sql",
    "0020_feed.sql",
    "0030_projection.sql",
    "0031_parts.sql",
    "0101_settler_indexes.sql",
    "0110_disputes.sql",
    "0115_tallies.sql",
    "0200_lease_renewal.sql",
    "0210_chains.sql",
    "0240_views.sql",
    "0250_comments.sql",
    "0260_dispute_views.sql",
    "0290_quarantine.sql",
    "0300_base58.sql",
    "0301_addresses.sql",
    "0302_chains.sql",
    "0303_history.sql",
    "0310_history_views.sql",
    "0320_dune.sql",
    "0390_column_comments.sql",
    "0400_orphaned.sql",
    "0410_heal.sql",
    "0420_feed.sql",
    "0421_overlays.sql",
    "0430_retention.sql",
    "0440_transactions.sql",
    "0441_calls.sql",
    "0442_daily_sums.sql",
    "0450_call_views.sql",
    "0460_empty_slots.sql",
    "0461_slot_views.sql",
    "0462_transactions.sql",
    "0510_parcels.sql",
    "0511_counting.sql",
    "0530_book.sql",
    "0555_kafka.sql",
    "0570_stake.sql",
    "0579_stake_views.sql",
    "0580_loss_words.sql",
    "0600_layout.sql",
    "0601_cases.sql",
    "0602_case_tallies.sql",
    "0610_relay.sql",
    "0620_market.sql",
    "0630_market_views.sql",
    "0640_options.sql",
);

const OWNER: Owner = Owner {
    schema: "pipeline",
    files: FILES,
    former: &[],
    // The settler's, and views that have another name since the tables they show have more columns.
    left: &[
        "0100_settler.sql",
        "0040_views.sql",
        "0050_comments.sql",
        "0120_dispute_views.sql",
        "0130_column_comments.sql",
        "0270_column_comments.sql",
    ],
    repeatable: &[VIEWS],
    scoped_schema: "SELECT projection FROM pipeline.lease",
};

/// Scope of the projected tables.
pub(crate) const PROJECTION: &str = "projection";
/// Scope of the views of them.
pub(crate) const VIEWS: &str = "views";

/// Brings the database up to this build's schema. Safe to run at every start and from several processes.
pub async fn migrate(database_url: &str) -> Result<(), IndexerError> {
    Ok(mythic_postgres::migrate(database_url, &OWNER).await?)
}

/// Runs the files of one scope for a schema, inside the caller's transaction.
pub(crate) async fn run_scope(
    client: &Client,
    scope: &str,
    schema: &str,
) -> Result<(), IndexerError> {
    client
        .batch_execute(&format!("SET LOCAL search_path = {schema}, public"))
        .await?;
    for migration in FILES.iter().filter(|m| m.scope() == Some(scope)) {
        client.batch_execute(migration.sql).await?;
    }
    client
        .batch_execute("SET LOCAL search_path = DEFAULT")
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed_in_order() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/indexer");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|m| m.name).collect();
        assert_eq!(listed, found);
    }
}
