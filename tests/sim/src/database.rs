//! One private server for all stories; a database for each worker, emptied before each story.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mythic_postgres::{Cluster, ClusterConfig, ConnectionGuard, Manner, connect};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Statement};

use crate::log::RUNS;
use crate::pool::Pool;
use crate::tables::{self, BankRow, Commitment, FeedRow, HeldRow, Queries, View};

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
                   'BEGIN ' || body || 'DELETE FROM sim.position; END');
END $$;
CREATE TABLE sim.position AS SELECT * FROM pipeline.position;";
/// A file system in memory, and the room that a server takes there.
const MEMORY: &str = "/dev/shm";
const ROOM: u64 = 4 << 30;
/// A database that was emptied so many times is swept.
const SWEEP: u32 = 40;
/// A server that was killed is there again in this time.
const COMES_BACK: Duration = Duration::from_secs(600);

/// The private server.
pub struct Server {
    cluster: Cluster,
    /// Before it: what indexers connect to.
    pool: Pool,
    dir: tempfile::TempDir,
    /// Databases made so far.
    made: AtomicUsize,
}

impl Server {
    /// `survives`: what is committed is there after a crash of the server.
    pub async fn start(survives: bool) -> Result<Self> {
        let mut made = tempfile::Builder::new();
        let made = made.prefix("mythic-sim-pg");
        let dir = match has_room(Path::new(MEMORY)) {
            true => made.tempdir_in(MEMORY)?,
            false => made.tempdir()?,
        };
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        };
        let cluster = Cluster::start(config)
            .await
            .context("the simulation needs PostgreSQL 15 or later")?;
        let server = Self {
            pool: Pool::start(&dir.path().join("pool"), socket(&cluster)?)?,
            cluster,
            dir,
            made: AtomicUsize::new(0),
        };
        let (client, _guard) = server.connect("postgres").await?;
        // Nothing here has to survive a power cut.
        for setting in [
            "fsync = off",
            match survives {
                true => "synchronous_commit = on",
                false => "synchronous_commit = off",
            },
            "full_page_writes = off",
            "autovacuum = off",
            "track_counts = off",
            "track_activities = on",
            "checkpoint_timeout = '1h'",
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

    async fn connect(&self, database: &str) -> Result<(Client, ConnectionGuard)> {
        Ok(connect(&self.url(database), &manner()).await?)
    }

    /// A database of its own, as the indexer makes it.
    pub async fn database(&self) -> Result<Database> {
        let name = format!("sim_{}", self.made.fetch_add(1, Ordering::Relaxed));
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
        let url = self.url(&name);
        Ok(Database {
            link: Link::open(&url).await?,
            emptier: Emptier::open(&url).await?,
            pooled: self.pool.url(&name),
            socket: self.pool.socket().to_path_buf(),
            server: self.dir.path().join("pg/data/postmaster.pid"),
            name,
            url,
            used: 0,
        })
    }

    pub async fn stop(self) -> Result<()> {
        Ok(self.cluster.stop().await?)
    }
}

/// On a machine that is busy with other things a statement may take its time.
fn manner() -> Manner {
    Manner::named("simulation").statement_timeout(Duration::ZERO)
}

/// The socket that the server listens on.
fn socket(cluster: &Cluster) -> Result<PathBuf> {
    let config: tokio_postgres::Config = cluster.url().parse()?;
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Unix(dir)) => Ok(dir.join(format!(".s.PGSQL.{port}"))),
        other => anyhow::bail!("the server has no socket: {other:?}"),
    }
}

/// Whether a file system in memory has room for a server.
fn has_room(dir: &Path) -> bool {
    let asked = std::process::Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(dir)
        .output();
    let said = asked
        .ok()
        .and_then(|out| String::from_utf8(out.stdout).ok());
    let bytes = said.and_then(|said| said.lines().last()?.trim().parse::<u64>().ok());
    bytes.is_some_and(|bytes| bytes >= ROOM)
}

/// A connection of its own for emptying: how it does that makes a connection forget all its plans.
struct Emptier {
    client: Client,
    empty: Statement,
    _guard: ConnectionGuard,
}

impl Emptier {
    async fn open(url: &str) -> Result<Self> {
        let (client, guard) = connect(url, &manner()).await?;
        Ok(Self {
            empty: client.prepare("SELECT sim.reset()").await?,
            client,
            _guard: guard,
        })
    }
}

/// A connection with the queries that are asked again and again.
struct Link {
    client: Client,
    queries: Queries,
    applied: Statement,
    digests: Statement,
    _guard: ConnectionGuard,
}

impl Link {
    async fn open(url: &str) -> Result<Self> {
        let (client, guard) = connect(url, &manner()).await?;
        // A later run of the producer may have been begun on since.
        let applied = format!(
            "SELECT FROM pipeline.position WHERE (applied_run, applied_seq) > ($1, $2)
             AND get_byte(applied_run, 0) / {RUNS} = get_byte($1, 0) / {RUNS}"
        );
        let digests = "SELECT EXISTS (SELECT FROM pipeline.alarm WHERE kind = 'digest')";
        Ok(Self {
            queries: Queries::prepare(&client).await?,
            applied: client.prepare(&applied).await?,
            digests: client.prepare(digests).await?,
            client,
            _guard: guard,
        })
    }
}

/// A worker's database.
pub struct Database {
    pub url: String,
    pub name: String,
    /// How indexers reach it, and the socket of that way.
    pub pooled: String,
    pub socket: PathBuf,
    /// File with the server's process id.
    server: PathBuf,
    link: Link,
    emptier: Emptier,
    used: u32,
}

impl Database {
    /// As it was when it was made.
    pub async fn reset(&mut self) -> Result<()> {
        let Emptier { client, empty, .. } = &self.emptier;
        client
            .execute(empty, &[])
            .await
            .context("emptying the database")?;
        self.used += 1;
        if self.used.is_multiple_of(SWEEP) {
            self.link.client.batch_execute("VACUUM").await?;
        }
        Ok(())
    }

    /// Ends the indexer's connections, as a server does that restarts.
    pub async fn disconnect(&self) -> Result<()> {
        self.link
            .client
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name <> 'simulation'",
            )
            .await
            .context("ending connections")
    }

    /// Ends the server as a crash does, and waits until it is there again.
    pub async fn restart_server(&mut self) -> Result<()> {
        let file = std::fs::read_to_string(&self.server).context("the server's process id")?;
        let pid = file.lines().next().unwrap_or_default();
        let killed = std::process::Command::new("kill")
            .args(["-QUIT", pid])
            .status()?;
        anyhow::ensure!(killed.success(), "ending the server {pid}");
        let deadline = Instant::now() + COMES_BACK;
        // Until its end is noticed, the old one may still answer.
        tokio::time::sleep(Duration::from_millis(100)).await;
        loop {
            match self.connect_again().await {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn connect_again(&mut self) -> Result<()> {
        self.link = Link::open(&self.url).await?;
        self.emptier = Emptier::open(&self.url).await?;
        Ok(())
    }

    pub async fn has_digest_alarm(&self) -> Result<bool> {
        let row = self.link.client.query_one(&self.link.digests, &[]).await;
        Ok(row.context("reading alarms")?.get(0))
    }

    /// Whether everything up to an entry of the log is applied.
    pub async fn has_applied(&self, (run, seq): ([u8; 16], u64)) -> Result<bool> {
        let rows = self
            .link
            .client
            .query(&self.link.applied, &[&run.as_slice(), &(seq as i64)])
            .await
            .context("reading the position")?;
        Ok(!rows.is_empty())
    }

    pub async fn view(&self, commitment: Commitment) -> Result<View> {
        tables::view(&self.link.client, &self.link.queries, commitment).await
    }

    pub async fn banks(&self) -> Result<Vec<BankRow>> {
        tables::banks(&self.link.client, &self.link.queries).await
    }

    pub async fn held(&self) -> Result<Vec<HeldRow>> {
        tables::held(&self.link.client, &self.link.queries).await
    }

    /// Remembers how far the logs are applied.
    pub async fn note_positions(&self) -> Result<()> {
        let note =
            "DELETE FROM sim.position; INSERT INTO sim.position SELECT * FROM pipeline.position";
        self.link
            .client
            .batch_execute(note)
            .await
            .context("noting positions")
    }

    /// Lays back what was remembered. Nobody may write meanwhile.
    pub async fn positions_back(&self) -> Result<()> {
        let back = "DELETE FROM pipeline.position; INSERT INTO pipeline.position SELECT * FROM sim.position";
        self.link
            .client
            .batch_execute(back)
            .await
            .context("laying positions back")
    }

    pub async fn feed(&self) -> Result<Vec<FeedRow>> {
        tables::feed(&self.link.client, &self.link.queries).await
    }
}
