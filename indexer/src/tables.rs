//! Hashes of a projection's tables, to compare a rebuild with what it replaces.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::error::IndexerError;

/// Rows and content of one table; equal content in any order has an equal hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHash {
    pub rows: i64,
    /// Two sums of 64-bit row hashes.
    pub hash: String,
}

/// Hashes every table of a projection: final state, hot rows, overlays, slots and head. They hold no
/// wall-clock time, so they are a function of the archive.
pub async fn hash_tables(
    client: &Client,
    schema: &str,
) -> Result<BTreeMap<String, TableHash>, IndexerError> {
    let names = client
        .query(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind = 'r' ORDER BY 1",
            &[&schema],
        )
        .await?;
    let mut out = BTreeMap::new();
    // Blocks that are rolled up are compared as the rows they were.
    let names = names.iter().map(|name| name.get::<_, String>(0));
    for table in names.filter(|name| name != "empty_slot") {
        let rows = match table.as_str() {
            "slot" => "every_slot",
            table => table,
        };
        let row = client
            .query_one(
                // Each row is made a text once.
                &format!(
                    "SELECT count(*), COALESCE(sum(hashtextextended(r.text, 0)::numeric), 0)::text || '/' ||
                            COALESCE(sum(hashtextextended(r.text, 1)::numeric), 0)::text
                       FROM (SELECT t::text AS text FROM {schema}.{rows} t OFFSET 0) r"
                ),
                &[],
            )
            .await?;
        out.insert(
            table,
            TableHash {
                rows: row.get(0),
                hash: row.get(1),
            },
        );
    }
    Ok(out)
}

/// The tables in which two projections differ.
pub fn differences(
    a: &BTreeMap<String, TableHash>,
    b: &BTreeMap<String, TableHash>,
) -> Vec<String> {
    a.keys()
        .chain(b.keys())
        .filter(|name| a.get(*name) != b.get(*name))
        .cloned()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}
