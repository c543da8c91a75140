//! Plays a story: writes its log to a real spool, runs the real indexer on a real database, compares.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use mythic_indexer::{IndexerConfig, IndexerError, SpoolConfig, Swap};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::database::Database;
use crate::judge::{Judge, Shown, Verdict};
use crate::log::Producer;
use crate::observer::Observer;
use crate::proxy::{End, Proxy};
use crate::story::{Item, Story, Trouble};
use crate::tables::Commitment;
use crate::truth::Truth;

/// An indexer that has not applied all when it was looked for so many times is stuck: about a minute, and longer on a machine that is
/// busy with other things, where it works as slowly as whoever looks.
const PATIENCE: u32 = 4_000;

fn spool(producer: usize) -> String {
    format!("spool-{producer}")
}

/// A running indexer.
struct Indexer {
    task: AbortOnDropHandle<Result<(), IndexerError>>,
    stop: CancellationToken,
}

impl Indexer {
    /// Of the producers' spools in `dir`.
    fn start(url: String, dir: &Path, story: &Story) -> Self {
        let stop = CancellationToken::new();
        let more = (1..story.producers()).map(|number| SpoolConfig {
            name: format!("producer-{number}"),
            dir: dir.join(spool(number)),
        });
        let config = IndexerConfig {
            database_url: url,
            spool_dir: dir.join(spool(0)),
            more_spools: more.collect(),
            metrics_addr: None,
            batch_updates: story.batch_updates,
            idle_linger_ms: 0,
            max_held_bytes: match story.spills {
                true => 1 << 20,
                false => 512 << 20,
            },
            lease_ttl_s: 5,
            ..IndexerConfig::default()
        };
        let task = AbortOnDropHandle::new(tokio::spawn(mythic_indexer::run(config, stop.clone())));
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

/// How far an indexer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Through,
    /// It ended before.
    Ended,
    Stuck,
}

struct Player<'a> {
    story: &'a Story,
    truth: Truth,
    database: &'a mut Database,
    dir: tempfile::TempDir,
    producers: Vec<Producer>,
    seen: Observer,
    indexer: Option<Indexer>,
    verdict: Verdict,
}

/// Plays a story on an empty database. An error is one of the simulation, not of the index.
pub async fn play(database: &mut Database, story: &Story) -> Result<Verdict> {
    database.reset().await?;
    let shared = Path::new("/dev/shm");
    let dir = match shared.is_dir() {
        true => tempfile::Builder::new()
            .prefix("mythic-sim")
            .tempdir_in(shared)?,
        false => tempfile::Builder::new().prefix("mythic-sim").tempdir()?,
    };
    let number = story.producers();
    let producer = |n| {
        let dir = dir.path().join(spool(n));
        Producer::new(dir, n as u8, number == 1, story.segment_bytes)
    };
    let mut player = Player {
        story,
        truth: Truth::of(story),
        database,
        producers: (0..number).map(producer).collect(),
        dir,
        seen: Observer::of(number),
        indexer: None,
        verdict: Verdict::default(),
    };
    for (number, item) in story.items.iter().enumerate() {
        match item {
            Item::Check => player.check(number + 1 == story.items.len()).await?,
            Item::Trouble(trouble) => player.trouble(*trouble).await?,
            Item::Second(item) => player.say(1, item).await?,
            item => player.say(0, item).await?,
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
    async fn say(&mut self, number: usize, item: &Item) -> Result<()> {
        let producer = &mut self.producers[number];
        if producer.flips() {
            // What it has read already, no disk damages.
            self.halt().await;
        }
        let producer = &mut self.producers[number];
        self.seen.speaker = number;
        producer.say(self.story, &self.truth, item, &mut self.seen)
    }

    fn sync(&mut self) -> Result<()> {
        self.producers.iter_mut().try_for_each(Producer::sync)
    }

    fn start(&mut self, url: String) -> Indexer {
        Indexer::start(url, self.dir.path(), self.story)
    }

    fn running(&mut self) {
        if self.indexer.is_none() {
            self.indexer = Some(self.start(self.database.pooled.clone()));
        }
    }

    async fn trouble(&mut self, trouble: Trouble) -> Result<()> {
        self.sync()?;
        match trouble {
            Trouble::Cut(messages) => self.behind_proxy(messages, End::Process).await?,
            Trouble::Terminate(messages) => self.behind_proxy(messages, End::Connection).await?,
            Trouble::Disconnect => {
                self.running();
                tokio::time::sleep(Duration::from_millis(3)).await;
                self.database.disconnect().await?;
            }
            Trouble::Handover => {
                self.running();
                let second = self.start(self.database.pooled.clone());
                tokio::time::sleep(Duration::from_millis(3)).await;
                if let Some(first) = self.indexer.replace(second) {
                    first.kill().await;
                }
            }
            Trouble::Duel => {
                self.running();
                let second = self.start(self.database.pooled.clone());
                for _ in 0..2 {
                    tokio::time::sleep(Duration::from_millis(40)).await;
                    self.database.disconnect().await?;
                }
                tokio::time::sleep(Duration::from_millis(150)).await;
                // Whichever has the lease: the other one goes.
                if let Some(first) = self.indexer.replace(second) {
                    first.kill().await;
                }
            }
            Trouble::ServerRestart => {
                self.running();
                tokio::time::sleep(Duration::from_millis(3)).await;
                self.database.restart_server().await?;
            }
            Trouble::Unanswered(commits) => {
                self.behind_proxy(commits, End::Commit).await?;
            }
            Trouble::Back => {
                self.halt().await;
                self.database.positions_back().await?;
            }
        }
        Ok(())
    }

    /// Ends the indexer as a crash does.
    async fn halt(&mut self) {
        if let Some(indexer) = self.indexer.take() {
            indexer.kill().await;
        }
    }

    /// Lets an indexer work until it has sent so many messages to the database, and then ends it or its connections.
    async fn behind_proxy(&mut self, messages: u16, end: End) -> Result<()> {
        self.halt().await;
        let server = self.database.socket.clone();
        let proxy = Proxy::start(self.dir.path(), server, messages, end)?;
        self.indexer = Some(self.start(proxy.url(&self.database.name)));
        // It may get through before.
        let reached = tokio::select! {
            () = proxy.reached() => true,
            came = self.through() => {
                came?;
                false
            }
        };
        if end == End::Connection && reached {
            self.database.disconnect().await?;
            // The same process goes on.
            if self.through().await? != Came::Through {
                let what = "it does not go on after its connections were ended".into();
                self.verdict.fault("stuck", what);
            }
        }
        self.halt().await;
        Ok(())
    }

    /// Waits until the indexer has applied all that was written.
    async fn through(&self) -> Result<Came> {
        let mut looks = 0;
        for last in self.producers.iter().filter_map(Producer::last) {
            let mut pause = Duration::from_millis(2);
            while !self.database.has_applied(last).await? {
                let mut indexer = self.indexer.iter();
                if indexer.all(|indexer| indexer.task.is_finished()) {
                    return Ok(Came::Ended);
                }
                looks += 1;
                if looks > PATIENCE {
                    return Ok(Came::Stuck);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(16));
            }
        }
        Ok(Came::Through)
    }

    async fn check(&mut self, last: bool) -> Result<()> {
        self.sync()?;
        self.running();
        let began = Instant::now();
        match self.through().await? {
            Came::Through => {}
            Came::Ended => {
                // Its own error is told when it is taken down.
                if let Some(indexer) = self.indexer.take() {
                    let error = indexer.end().await.err().unwrap_or_default();
                    self.verdict.fault("stopped", error);
                }
                return Ok(());
            }
            Came::Stuck => {
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
        if self.story.has_repeats() {
            self.database.note_positions().await?;
        }
        let mut judge = Judge::new(self.story, &self.truth, &self.seen);
        judge.compare(&shown);
        if last {
            let root = shown.views[&Commitment::Finalized]
                .slots
                .iter()
                .find(|row| !row.gap);
            let root = root.and_then(|row| judge.block(row.blockhash.as_deref()));
            judge.feed(&self.database.feed().await?, root);
            judge.digests(self.database.has_digest_alarm().await?);
        }
        let found = judge.verdict;
        self.verdict.rows += found.rows;
        self.verdict.inexact += found.inexact;
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
        let held = self.database.held().await?;
        Ok(Shown { views, banks, held })
    }
}
