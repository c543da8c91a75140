//! Tables of a schema that nobody reads yet: without indexes for readers and without sums, which are cheaper to make at once.

use tokio_postgres::Client;

use crate::error::IndexerError;

/// Memory for making indexes and sums.
const MEMORY: &str = "SET LOCAL maintenance_work_mem = '256MB'; SET LOCAL work_mem = '256MB'";

/// A schema that was stripped.
#[derive(Debug)]
pub(crate) struct Bare {
    schema: String,
    /// Definitions of the indexes that are missing.
    indexes: Vec<String>,
    /// Tables whose triggers are off.
    triggered: Vec<String>,
}

impl Bare {
    /// Takes the indexes that no writer looks into, and the triggers that keep sums. Inside the caller's transaction.
    pub async fn strip(client: &Client, schema: &str) -> Result<Self, IndexerError> {
        // `slot` is looked into, overlays are laid at the end, and sums are few.
        let rows = client
            .query(
                "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
                   JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT i.indisunique AND c.relname !~ '_(overlay|hot)$'
                    AND c.relname <> ALL ('{slot,empty_slot,tally,daily_sum}')",
                &[&schema],
            )
            .await?;
        for row in &rows {
            let name: String = row.get(0);
            client.batch_execute(&format!("DROP INDEX {name}")).await?;
        }
        let indexes = rows.iter().map(|row| row.get(1)).collect();
        let rows = client
            .query(
                "SELECT DISTINCT t.tgrelid::regclass::text FROM pg_trigger t
                   JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = $1 AND NOT t.tgisinternal",
                &[&schema],
            )
            .await?;
        let triggered: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        for table in &triggered {
            let sql = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
            client.batch_execute(&sql).await?;
        }
        Ok(Self {
            schema: schema.to_owned(),
            indexes,
            triggered,
        })
    }

    /// Makes the indexes and the sums.
    pub async fn dress(self, client: &Client) -> Result<(), IndexerError> {
        client.batch_execute("BEGIN").await?;
        client.batch_execute(MEMORY).await?;
        for index in &self.indexes {
            client.batch_execute(index).await?;
        }
        let recount = format!("SELECT {}.recount()", self.schema);
        client.batch_execute(&recount).await?;
        for table in &self.triggered {
            let sql = format!("ALTER TABLE {table} ENABLE TRIGGER USER");
            client.batch_execute(&sql).await?;
        }
        client.batch_execute("COMMIT").await?;
        Ok(())
    }
}
