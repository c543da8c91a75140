//! The writer's connection: statements prepared once, and an end to every wait for the server.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use mythic_postgres::{ConnectionGuard, CopyBuffer, Manner, PostgresError, connect};
use tokio_postgres::{Client, Statement, types::ToSql};

use crate::error::IndexerError;

/// The server cancels a statement after this; a base of a large network is the longest.
const STATEMENT: Duration = Duration::from_secs(600);
/// A server that says nothing for this long, not even that it cancelled, is given up.
const SILENCE: Duration = Duration::from_secs(630);

async fn answered<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, IndexerError> {
    match tokio::time::timeout(SILENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(PostgresError::NoAnswer(SILENCE).into()),
    }
}

/// A connection with its prepared statements.
#[derive(Debug)]
pub struct Session {
    client: Client,
    statements: HashMap<String, Statement>,
    _guard: ConnectionGuard,
    /// Fails the n-th statement from now on: tests stop a writer between any two steps.
    #[cfg(test)]
    pub fail_after: Option<usize>,
}

impl Session {
    /// Opens a session.
    pub async fn open(url: &str, name: &str) -> Result<Self, IndexerError> {
        let manner = Manner::named(name).statement_timeout(STATEMENT).bulk();
        let (client, guard) = connect(url, &manner).await?;
        Ok(Self {
            client,
            statements: HashMap::new(),
            _guard: guard,
            #[cfg(test)]
            fail_after: None,
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    #[cfg(test)]
    fn step(&mut self) -> Result<(), IndexerError> {
        match &mut self.fail_after {
            Some(0) => Err(IndexerError::Injected),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    #[cfg(not(test))]
    #[inline(always)]
    fn step(&mut self) -> Result<(), IndexerError> {
        Ok(())
    }

    async fn prepared(&mut self, sql: &str) -> Result<Statement, IndexerError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = answered(self.client.prepare(sql)).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs a statement; returns how many rows it touched.
    pub async fn execute(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, IndexerError> {
        self.step()?;
        let statement = self.prepared(sql).await?;
        answered(self.client.execute(&statement, params)).await
    }

    /// Runs a query.
    pub async fn query(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, IndexerError> {
        self.step()?;
        let statement = self.prepared(sql).await?;
        answered(self.client.query(&statement, params)).await
    }

    /// Runs statements without parameters or results.
    pub async fn batch(&mut self, sql: &str) -> Result<(), IndexerError> {
        self.step()?;
        answered(self.client.batch_execute(sql)).await
    }

    /// `COPY target FROM STDIN`, binary. `target` is a table with its columns.
    pub async fn copy(&mut self, target: &str, rows: CopyBuffer) -> Result<u64, IndexerError> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.step()?;
        let sql = format!("COPY {target} FROM STDIN (FORMAT binary)");
        let statement = self.prepared(&sql).await?;
        answered(async {
            let sink = self.client.copy_in::<_, Bytes>(&statement).await?;
            futures::pin_mut!(sink);
            sink.send(rows.finish()).await?;
            sink.finish().await
        })
        .await
    }

    /// Leaves a transaction that failed; the connection may be gone, which has the same effect.
    pub async fn rollback(&mut self) {
        if let Err(e) = answered(self.client.batch_execute("ROLLBACK")).await {
            tracing::debug!("rollback: {e}");
        }
    }
}
