//! Several producers feed one index: one loses, dies, lags, lies.

use std::path::Path;
use std::time::{Duration, Instant};

use mythic_stream::spool::Ack;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chain::*;
use super::postgres::Database;
use crate::{IndexerConfig, IndexerError, SpoolConfig, Swap, rebuild, run};

const VAULTS: &str = "SELECT balance, exact FROM analytics.vaults_finalized ORDER BY balance";
const OPEN: &str = "SELECT kind FROM analytics.alarms WHERE cleared_at IS NULL ORDER BY id";

struct Index {
    db: Database,
    task: JoinHandle<Result<(), IndexerError>>,
    stop: CancellationToken,
}

impl Index {
    async fn of(name: &str, spools: [&Path; 2]) -> Self {
        let db = Database::new(name).await;
        let config = IndexerConfig {
            database_url: db.url.clone(),
            spool_dir: spools[0].to_owned(),
            more_spools: vec![SpoolConfig {
                name: "second".into(),
                dir: spools[1].to_owned(),
            }],
            reader: "test".into(),
            metrics_addr: None,
            idle_linger_ms: 20,
            ..IndexerConfig::default()
        };
        config.validate().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, stop.clone()));
        Self { db, task, stop }
    }

    /// Waits until a query says this.
    async fn until(&self, sql: &str, wanted: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = self.db.texts(sql).await;
            if found == wanted {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{sql}: {found:?}, not {wanted:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn rooted(&self, slot: u64) {
        let sql = "SELECT finalized_slot FROM analytics.pipeline_status";
        self.until(sql, &[&format!("({slot})")]).await;
    }

    /// Stops it; a rebuild from the archive finds the same.
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        let report = rebuild(&self.db.url, Swap::Never).await.unwrap();
        assert_eq!(report.different, Vec::<String>::new());
    }
}

/// Slots 1 to `to`, each with a new balance of one vault. `lost`: the bank of this slot lacks an update.
fn banks(chain: &mut Chain, slots: std::ops::RangeInclusive<u64>, lost: Option<u64>) {
    for slot in slots {
        let generation = chain.create(slot);
        if lost != Some(slot) {
            chain.update(
                slot,
                generation,
                0,
                &write(2, vault(slot, 100 * slot)),
                false,
            );
        }
        chain.seal(slot, 0, (slot - 1, 0), generation, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_loses_another_has_whichever_comes_first() {
    for (name, first) in [("lossy_first", 0), ("lossy_last", 1)] {
        let spools = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = [spools[0].path(), spools[1].path()];
        let mut lossy = Chain::start(paths[0], 1, 0, &[]);
        let mut good = Chain::start(paths[1], 2, 0, &[]);
        let index = Index::of(name, paths).await;
        let sealed = "SELECT count(DISTINCT run) FROM archive.event WHERE kind = 3 AND slot = 4";
        for turn in 0..2 {
            if turn == first {
                banks(&mut lossy, 1..=4, Some(4));
                lossy.confirm(4, 0);
                lossy.root(4, 0);
                lossy.sync();
            } else {
                banks(&mut good, 1..=4, Some(2));
                good.sync();
            }
            index.until(sealed, &[&format!("({})", turn + 1)]).await;
        }
        index.rooted(4).await;
        index.until(VAULTS, &["(400,t)"]).await;
        index.until(OPEN, &[]).await;
        index
            .until("SELECT gaps_open FROM analytics.pipeline_status", &["(0)"])
            .await;
        index.end().await;
        // Both spools are acknowledged, each under the reader's name.
        for path in paths {
            assert!(Ack::read(path, "test").unwrap().seq > 10);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_holds_nobody_up_and_may_come_back() {
    let spools = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let paths = [spools[0].path(), spools[1].path()];
    let mut dying = Chain::start(paths[0], 1, 0, &[]);
    let mut living = Chain::start(paths[1], 2, 0, &[]);
    let index = Index::of("dying", paths).await;
    for chain in [&mut dying, &mut living] {
        banks(chain, 1..=3, None);
        chain.root(2, 0);
        chain.sync();
    }
    // In the middle of a bank.
    let generation = dying.create(4);
    dying.update(4, generation, 0, &write(2, vault(4, 1)), false);
    drop(dying);
    banks(&mut living, 4..=9, None);
    living.root(8, 0);
    living.sync();
    index.rooted(8).await;
    index.until(VAULTS, &["(800,t)"]).await;
    // It starts from an older state, seals again what is known, and goes on where the other one stops.
    let mut back = Chain::start(paths[0], 3, 5, &[write(2, vault(5, 500))]);
    drop(living);
    banks(&mut back, 6..=12, None);
    back.root(12, 0);
    back.sync();
    index.rooted(12).await;
    index.until(VAULTS, &["(1200,t)"]).await;
    index.until(OPEN, &[]).await;
    index.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_that_disagree_are_alarms_and_the_first_stands() {
    let spools = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let paths = [spools[0].path(), spools[1].path()];
    let mut honest = Chain::start(paths[0], 1, 0, &[]);
    let mut lying = Chain::start(paths[1], 2, 0, &[]);
    let index = Index::of("lying", paths).await;
    banks(&mut honest, 1..=4, None);
    honest.root(3, 0);
    honest.sync();
    index.rooted(3).await;
    // The same blocks with other content, and another root.
    for slot in 1..=4 {
        let parent = (slot - 1, 0);
        lying.bank(slot, 0, parent, &[write(2, vault(slot, 7))]);
    }
    lying.root(3, 9);
    lying.bank(5, 9, (4, 9), &[write(2, vault(5, 9))]);
    lying.root(5, 9);
    lying.sync();
    index.until(OPEN, &["(digest)", "(root_conflict)"]).await;
    let said = "SELECT slot, last_slot, count FROM analytics.alarms WHERE kind = 'digest'";
    index.until(said, &["(1,4,4)"]).await;
    banks(&mut honest, 5..=6, None);
    honest.root(6, 0);
    honest.sync();
    index.rooted(6).await;
    index.until(VAULTS, &["(600,t)"]).await;
    index.end().await;
}
