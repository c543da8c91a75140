//! One private server for all stories; a database for each worker, emptied before each story.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mythic_postgres::{Cluster, ClusterConfig, ConnectionGuard, Manner, connect};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Statement};

use crate::tables::{self, BankRow, Commitment, FeedRow, Queries, View};

/// Remembers what a fresh database holds, so that it can be made fresh again in milliseconds.
const REMEMBER: &str = "
CREATE SCHEMA sim;
CREATE TABLE sim.tables (number serial PRIMARY KEY, name text NOT NULL, kept boolean NOT NULL DEFAULT false);
INSERT INTO sim.tables (name)
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema|sim$)'
      AND c.relname <> 'migration' ORDER BY 1;
DO $$
DECLARE t record; filled boolean;
BEGIN
    FOR t IN SELECT * FROM sim.tables LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', t.name) INTO filled;
        IF filled THEN
            EXECUTE format('CREATE TABLE sim.kept_%s AS SELECT * FROM %s', t.number, t.name);
            UPDATE sim.tables SET kept = true WHERE number = t.number;
        END IF;
    END LOOP;
END $$;
DO $$
DECLARE body text;
BEGIN
    -- Statements that are planned once.
    SELECT string_agg(format('DELETE FROM %s; ', name), '' ORDER BY number)
        || COALESCE(string_agg(format('INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM sim.kept_%s; ', name, number), '' ORDER BY number)
                    FILTER (WHERE kept), '')
      INTO body FROM sim.tables;
    EXECUTE format('CREATE FUNCTION sim.reset() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS %L',
                   'BEGIN ' || body || 'END');
END $$;";
/// A database that was emptied so many times is swept.
const SWEEP: u32 = 40;

/// The private server.
pub struct Server {
    cluster: Cluster,
    _dir: tempfile::TempDir,
}

impl Server {
    pub async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("mythic-sim-pg").tempdir()?;
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        };
        let cluster = Cluster::start(config)
            .await
            .context("the simulation needs PostgreSQL 15 or later")?;
        let server = Self { cluster, _dir: dir };
        let (client, _guard) = server.connect("postgres").await?;
        // Nothing here has to survive a power cut.
        for setting in [
            "fsync = off",
            "synchronous_commit = off",
            "full_page_writes = off",
            "autovacuum = off",
            // An indexer lives as long as a story: most of its time would be spent on plans that are used once.
            "plan_cache_mode = force_generic_plan",
            "jit = off",
        ] {
            client
                .batch_execute(&format!("ALTER SYSTEM SET {setting}"))
                .await?;
        }
        client.batch_execute("SELECT pg_reload_conf()").await?;
        client.batch_execute("CREATE DATABASE sim_template").await?;
        mythic_indexer::migrate(&server.url("sim_template")).await?;
        let (template, guard) = server.connect("sim_template").await?;
        template.batch_execute(REMEMBER).await?;
        drop((template, guard));
        Ok(server)
    }

    pub fn url(&self, database: &str) -> String {
        let url = self.cluster.url();
        let base = url.rsplit_once('/').map_or(url, |(base, _)| base);
        format!("{base}/{database}")
    }

    /// The socket that the server listens on.
    pub fn socket(&self) -> Result<PathBuf> {
        let config: tokio_postgres::Config = self.cluster.url().parse()?;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Unix(dir)) => Ok(dir.join(format!(".s.PGSQL.{port}"))),
            other => anyhow::bail!("the server has no socket: {other:?}"),
        }
    }

    async fn connect(&self, database: &str) -> Result<(Client, ConnectionGuard)> {
        Ok(connect(&self.url(database), &Manner::named("simulation")).await?)
    }

    /// A database of its own, as the indexer makes it.
    pub async fn database(&self, number: usize) -> Result<Database> {
        let name = format!("sim_{number}");
        let (admin, _guard) = self.connect("postgres").await?;
        let mut tries = 0;
        // A session that has just ended still counts as a user of the template.
        while let Err(error) = admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE sim_template"))
            .await
        {
            tries += 1;
            anyhow::ensure!(tries < 50, "making database {name}: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (client, guard) = self.connect(&name).await?;
        Ok(Database {
            url: self.url(&name),
            socket: self.socket()?,
            name,
            queries: Queries::prepare(&client).await?,
            applied: client
                .prepare(
                    "SELECT FROM pipeline.position WHERE applied_run = $1 AND applied_seq > $2",
                )
                .await?,
            empty: client.prepare("SELECT sim.reset()").await?,
            client,
            _guard: guard,
            used: 0,
        })
    }

    pub async fn stop(self) -> Result<()> {
        Ok(self.cluster.stop().await?)
    }
}

/// A worker's database.
pub struct Database {
    pub url: String,
    pub name: String,
    pub socket: PathBuf,
    client: Client,
    queries: Queries,
    applied: Statement,
    empty: Statement,
    _guard: ConnectionGuard,
    used: u32,
}

impl Database {
    /// As it was when it was made.
    pub async fn reset(&mut self) -> Result<()> {
        self.client
            .execute(&self.empty, &[])
            .await
            .context("emptying the database")?;
        self.used += 1;
        if self.used.is_multiple_of(SWEEP) {
            self.client.batch_execute("VACUUM").await?;
        }
        Ok(())
    }

    /// Ends the indexer's connections, as a server does that restarts.
    pub async fn disconnect(&self) -> Result<()> {
        self.client
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .context("ending connections")
    }

    /// Whether everything up to an entry of the log is applied.
    pub async fn has_applied(&self, (run, seq): ([u8; 16], u64)) -> Result<bool> {
        let rows = self
            .client
            .query(&self.applied, &[&run.as_slice(), &(seq as i64)])
            .await
            .context("reading the position")?;
        Ok(!rows.is_empty())
    }

    pub async fn view(&self, commitment: Commitment) -> Result<View> {
        tables::view(&self.client, &self.queries, commitment).await
    }

    pub async fn banks(&self) -> Result<Vec<BankRow>> {
        tables::banks(&self.client, &self.queries).await
    }

    pub async fn feed(&self) -> Result<Vec<FeedRow>> {
        tables::feed(&self.client, &self.queries).await
    }
}
