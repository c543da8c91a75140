//! Plays a story: writes its log to a real spool, runs the real indexer on a real database, compares.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use mythic_indexer::{IndexerConfig, IndexerError, Swap};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::judge::{Judge, Shown, Verdict};
use crate::log::Producer;
use crate::observer::Observer;
use crate::proxy::Proxy;
use crate::story::{Item, Story, Trouble};
use crate::tables::Commitment;
use crate::truth::Truth;

/// An indexer that has applied nothing new for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running indexer.
struct Indexer {
    task: JoinHandle<Result<(), IndexerError>>,
    stop: CancellationToken,
}

impl Indexer {
    fn start(url: String, spool: &Path, story: &Story) -> Self {
        let stop = CancellationToken::new();
        let config = IndexerConfig {
            database_url: url,
            spool_dir: spool.to_path_buf(),
            metrics_addr: None,
            batch_updates: story.batch_updates,
            idle_linger_ms: 0,
            lease_ttl_s: 5,
            ..IndexerConfig::default()
        };
        let task = tokio::spawn(mythic_indexer::run(config, stop.clone()));
        Self { task, stop }
    }

    /// Ends it as a crash does.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn end(self) -> Result<(), String> {
        self.stop.cancel();
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

struct Player<'a> {
    story: &'a Story,
    truth: Truth,
    database: &'a Database,
    dir: tempfile::TempDir,
    producer: Producer,
    seen: Observer,
    indexer: Option<Indexer>,
    verdict: Verdict,
    complete: bool,
}

/// Plays a story on an empty database. `complete`: nothing is missing from its log. An error is one of the
/// simulation, not of the index.
pub async fn play(database: &mut Database, story: &Story, complete: bool) -> Result<Verdict> {
    database.reset().await?;
    let shared = Path::new("/dev/shm");
    let dir = match shared.is_dir() {
        true => tempfile::Builder::new()
            .prefix("mythic-sim")
            .tempdir_in(shared)?,
        false => tempfile::Builder::new().prefix("mythic-sim").tempdir()?,
    };
    let mut player = Player {
        story,
        truth: Truth::of(story),
        database,
        producer: Producer::new(dir.path().join("spool")),
        dir,
        seen: Observer::default(),
        indexer: None,
        verdict: Verdict::default(),
        complete,
    };
    for (number, item) in story.items.iter().enumerate() {
        match item {
            Item::Check => player.check(number + 1 == story.items.len()).await?,
            Item::Trouble(trouble) => player.trouble(*trouble).await?,
            item => player
                .producer
                .say(story, &player.truth, item, &mut player.seen)?,
        }
        if !player.verdict.faults.is_empty() {
            break;
        }
    }
    if let Some(indexer) = player.indexer.take()
        && let Err(error) = indexer.end().await
    {
        player.verdict.fault("stopped", error);
    }
    Ok(player.verdict)
}

impl Player<'_> {
    fn spool(&self) -> std::path::PathBuf {
        self.dir.path().join("spool")
    }

    fn start(&mut self, url: String) -> Indexer {
        Indexer::start(url, &self.spool(), self.story)
    }

    fn running(&mut self) {
        if self.indexer.is_none() {
            self.indexer = Some(self.start(self.database.url.clone()));
        }
    }

    async fn trouble(&mut self, trouble: Trouble) -> Result<()> {
        self.producer.sync()?;
        match trouble {
            Trouble::Cut(messages) => {
                if let Some(indexer) = self.indexer.take() {
                    indexer.kill().await;
                }
                let proxy = Proxy::start(self.dir.path(), self.database.socket.clone(), messages)?;
                self.indexer = Some(self.start(proxy.url(&self.database.name)));
                // It may get through before the way breaks.
                let _ = tokio::time::timeout(PATIENCE, async {
                    tokio::select! {
                        () = proxy.broken() => Ok(true),
                        done = self.through() => done,
                    }
                })
                .await;
                if let Some(indexer) = self.indexer.take() {
                    indexer.kill().await;
                }
            }
            Trouble::Disconnect => {
                self.running();
                tokio::time::sleep(Duration::from_millis(3)).await;
                self.database.disconnect().await?;
            }
            Trouble::Handover => {
                self.running();
                let second = self.start(self.database.url.clone());
                tokio::time::sleep(Duration::from_millis(3)).await;
                if let Some(first) = self.indexer.replace(second) {
                    first.kill().await;
                }
            }
        }
        Ok(())
    }

    /// Waits until the indexer has applied all that was written; false if it ended.
    async fn through(&self) -> Result<bool> {
        let Some(last) = self.producer.last() else {
            return Ok(true);
        };
        let mut pause = Duration::from_millis(2);
        while !self.database.has_applied(last).await? {
            if self
                .indexer
                .as_ref()
                .is_none_or(|indexer| indexer.task.is_finished())
            {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(16));
        }
        Ok(true)
    }

    async fn check(&mut self, last: bool) -> Result<()> {
        self.producer.sync()?;
        self.running();
        let began = Instant::now();
        match tokio::time::timeout(PATIENCE, self.through()).await {
            Ok(through) => {
                if !through? {
                    // Its own error is told when it is taken down.
                    if let Some(indexer) = self.indexer.take() {
                        let error = indexer.end().await.err().unwrap_or_default();
                        self.verdict.fault("stopped", error);
                    }
                    return Ok(());
                }
            }
            Err(_) => {
                self.verdict.fault(
                    "stuck",
                    format!("nothing was applied for {:?}", began.elapsed()),
                );
                return Ok(());
            }
        }
        let shown = match self.shown().await {
            Ok(shown) => shown,
            Err(error) => {
                self.verdict.fault("view", format!("{error:#}"));
                return Ok(());
            }
        };
        let mut judge = Judge::new(self.story, &self.truth, &self.seen, self.complete);
        judge.compare(&shown);
        if last {
            let root = shown.views[&Commitment::Finalized]
                .slots
                .iter()
                .find(|row| !row.gap);
            let root = root.and_then(|row| judge.block(row.blockhash.as_deref()));
            judge.feed(&self.database.feed().await?, root);
        }
        let found = judge.verdict;
        self.verdict.rows += found.rows;
        self.verdict.unreasoned += found.unreasoned;
        self.verdict.faults.extend(found.faults);
        if last && self.story.rebuild && self.verdict.faults.is_empty() {
            let report = mythic_indexer::rebuild(&self.database.url, Swap::Never).await?;
            if !report.different.is_empty() {
                self.verdict.fault(
                    "rebuild",
                    format!("a rebuild differs in {:?}", report.different),
                );
            }
        }
        Ok(())
    }

    async fn shown(&self) -> Result<Shown> {
        let mut views = std::collections::BTreeMap::new();
        for commitment in Commitment::ALL {
            let view = self.database.view(commitment).await?;
            views.insert(commitment, view);
        }
        let banks = self.database.banks().await?;
        Ok(Shown { views, banks })
    }
}
