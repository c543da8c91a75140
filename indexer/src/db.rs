//! A connection to Postgres: opened with the safeguards a writer needs, statements prepared once.

use std::collections::HashMap;

use bytes::Bytes;
use futures::SinkExt;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Statement, types::ToSql};

use crate::copy::CopyBuffer;
use crate::error::IndexerError;

/// Ends the connection's task when dropped, so that a dropped session is a closed one.
#[derive(Debug)]
pub struct ConnectionGuard(JoinHandle<()>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a connection.
pub async fn connect(url: &str, name: &str) -> Result<(Client, ConnectionGuard), IndexerError> {
    let mut config: tokio_postgres::Config = url.parse()?;
    config
        .application_name(name)
        .connect_timeout(std::time::Duration::from_secs(10))
        .keepalives_idle(std::time::Duration::from_secs(10))
        .tcp_user_timeout(std::time::Duration::from_secs(30));
    let (client, connection) = config.connect(NoTls).await?;
    let task = tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!("database connection ended: {e}");
        }
    });
    let guard = ConnectionGuard(task);
    // A writer that hangs inside a transaction must not hold the lease's row for ever.
    client
        .batch_execute(
            "SET idle_in_transaction_session_timeout = '30s'; SET timezone = 'UTC'; SET client_min_messages = 'warning';
             SET search_path = pg_catalog",
        )
        .await?;
    Ok((client, guard))
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
        let (client, guard) = connect(url, name).await?;
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
        let statement = self.client.prepare(sql).await?;
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
        Ok(self.client.execute(&statement, params).await?)
    }

    /// Runs a query.
    pub async fn query(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, IndexerError> {
        self.step()?;
        let statement = self.prepared(sql).await?;
        Ok(self.client.query(&statement, params).await?)
    }

    /// Runs statements without parameters or results.
    pub async fn batch(&mut self, sql: &str) -> Result<(), IndexerError> {
        self.step()?;
        Ok(self.client.batch_execute(sql).await?)
    }

    /// `COPY target FROM STDIN`, binary. `target` is a table with its columns.
    pub async fn copy(&mut self, target: &str, rows: CopyBuffer) -> Result<u64, IndexerError> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.step()?;
        let sql = format!("COPY {target} FROM STDIN (FORMAT binary)");
        let statement = self.prepared(&sql).await?;
        let sink = self.client.copy_in::<_, Bytes>(&statement).await?;
        futures::pin_mut!(sink);
        sink.send(rows.finish()).await?;
        Ok(sink.finish().await?)
    }

    /// Leaves a transaction that failed; the connection may be gone, which has the same effect.
    pub async fn rollback(&mut self) {
        if let Err(e) = self.client.batch_execute("ROLLBACK").await {
            tracing::debug!("rollback: {e}");
        }
    }
}
