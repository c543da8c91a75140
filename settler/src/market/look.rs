//! Looks at the market: on a connection of its own and for a bounded time, so that whatever strangers make of it holds up no job.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use mythic_client::{ChainClient, Commitment};
use mythic_interface::market::due::Moment;
use mythic_postgres::{ConnectionGuard, Manner, connect};
use mythic_support::Throttle;
use prometheus::IntGauge;
use solana_pubkey::Pubkey;
use tokio::time::timeout;

use super::{
    chain::{self, MarketAccounts, MarketCandidates},
    crank::MarketCrank,
};
use crate::{
    Crank, Settler,
    database::{self, List, Pages},
    rests::Rests,
    sender::Sender,
};

/// Longest look.
const LOOK: Duration = Duration::from_secs(10);
/// Its part for the index, and after how long that cancels a statement: one that is slow leaves time for the others.
const LISTS: Duration = Duration::from_secs(5);
const STATEMENT: Duration = Duration::from_secs(2);
/// Longest reading of all accounts.
const READ: Duration = Duration::from_secs(30);
/// Slots after which lists that grow are walked through from the beginning again.
const ANEW: u64 = 1_500;
/// Pause of an account that was looked at in vain, and of how many: more than the lists give meanwhile.
const IDLE: Duration = Duration::from_secs(10);
const MOST_IDLE: usize = 20_000;
/// Troubles are logged once in this time; the rest is counted.
const WARNINGS: Duration = Duration::from_secs(10);

/// What is remembered of the Compute Market.
pub(crate) struct Market {
    database_url: String,
    client: ChainClient,
    rules: Settler,
    db: Option<(tokio_postgres::Client, ConnectionGuard)>,
    /// Where each list stands.
    pages: [Pages; List::ALL.len()],
    /// The list that is read next.
    next: usize,
    /// Slot from which all lists are looked at from the beginning again.
    anew: u64,
    /// Accounts that may need something and that the index does not know.
    unindexed: MarketCandidates,
    /// Accounts about which there was nothing to do.
    idle: Rests,
    /// Whether the last look went well.
    looked: bool,
    /// Whether all accounts could be read for the last comparison.
    compared: bool,
    warnings: Throttle,
    /// Whether both went well.
    working: IntGauge,
}

fn late(limit: Duration) -> anyhow::Error {
    anyhow::anyhow!("looking took more than {} s", limit.as_secs())
}

impl Market {
    pub fn new(
        database_url: String,
        client: ChainClient,
        rules: Settler,
        working: IntGauge,
    ) -> Self {
        Self {
            database_url,
            client,
            rules,
            db: None,
            pages: Default::default(),
            next: 0,
            anew: 0,
            unindexed: MarketCandidates::default(),
            idle: Rests::new(IDLE, IDLE, MOST_IDLE),
            looked: true,
            compared: true,
            warnings: Throttle::new(WARNINGS),
            working,
        }
    }

    /// What is due of accounts that do not rest; nothing where the look fails.
    pub async fn due(&mut self, sender: &Sender) -> Vec<Crank> {
        let mut due = Vec::new();
        let looked = timeout(LOOK, self.look(sender, &mut due)).await;
        let looked = looked.unwrap_or_else(|_| Err(late(LOOK)));
        self.looked = looked.is_ok();
        self.tell(looked.err());
        due
    }

    /// Says how it goes.
    fn tell(&self, error: Option<anyhow::Error>) {
        let well = self.looked && self.compared;
        self.working.set(i64::from(well));
        if let Some(error) = error
            && let Some(more) = self.warnings.allow()
        {
            tracing::warn!(more, "the Compute Market: {error:#}; trying again");
        }
    }

    async fn look(&mut self, sender: &Sender, due: &mut Vec<Crank>) -> anyhow::Result<()> {
        let now = self.client.moment(Commitment::Finalized).await?;
        if now.slot >= self.anew {
            self.anew = now.slot.saturating_add(ANEW);
            self.pages.iter_mut().for_each(Pages::begin_anew);
        }
        let mut found = MarketCandidates::default();
        let listed = timeout(LISTS, self.list(now, &mut found)).await;
        found.append(std::mem::take(&mut self.unindexed));
        *due = self.cranks(now, found, sender).await?;
        // What could be read is looked at all the same.
        listed.unwrap_or_else(|_| Err(late(LISTS)))
    }

    /// The next page of each list. Begins with the one behind that at which the last look ended: one that can't be read holds up no other.
    async fn list(&mut self, now: Moment, found: &mut MarketCandidates) -> anyhow::Result<()> {
        // Kept for the next look if this one goes well.
        let (db, guard) = match self.db.take() {
            Some(open) => open,
            None => {
                let manner = Manner::named("mythic settler market").statement_timeout(STATEMENT);
                connect(&self.database_url, &manner).await?
            }
        };
        let mut failed = None;
        for _ in List::ALL {
            let (place, list) = (self.next, List::ALL[self.next]);
            self.next = (place + 1) % List::ALL.len();
            let most = match list {
                List::OverLeases => now.second,
                _ => now.slot,
            };
            let keys = match database::due(&db, list, most, &mut self.pages[place]).await {
                Ok(keys) => keys,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            match list {
                List::RunningLeases | List::OverLeases | List::OwingLeases | List::EndedLeases => {
                    found.leases.extend(keys)
                }
                List::OpenRequests | List::EndedRequests => found.requests.extend(keys),
                List::OpenDisputes | List::DecidedDisputes => found.disputes.extend(keys),
            }
        }
        found.providers = database::owing_providers(&db).await?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.db = Some((db, guard));
        Ok(())
    }

    /// What is due of candidates; those that rest are left alone, and those of which nothing is due rest.
    async fn cranks(
        &mut self,
        now: Moment,
        mut candidates: MarketCandidates,
        sender: &Sender,
    ) -> anyhow::Result<Vec<Crank>> {
        let began = Instant::now();
        let idle = &self.idle;
        candidates.settle(|account| sender.rests(account) || idle.has(account, began));
        let windows = chain::windows(&self.client, &candidates).await?;
        let due = self.rules.market_due(now, &windows);
        let busy: HashSet<Pubkey> = due.iter().map(MarketCrank::account).collect();
        for account in candidates.accounts().filter(|key| !busy.contains(key)) {
            self.idle.begin(account, began);
        }
        Ok(due.into_iter().map(Crank::Market).collect())
    }

    /// Its accounts and the moment at which they were asked for, kind by kind: what can't be read in time is not compared, the rest is.
    /// `None` where nothing can be read.
    pub async fn read(&mut self) -> Option<(Moment, MarketAccounts)> {
        let (mut now, mut accounts) = (None, MarketAccounts::default());
        let reading = async {
            now = Some(self.client.moment(Commitment::Finalized).await?);
            accounts.read(&self.client).await
        };
        let read = match timeout(READ, reading).await {
            Ok(read) => read.map_err(anyhow::Error::new),
            Err(_) => Err(late(READ)),
        };
        self.compared = read.is_ok();
        self.tell(read.err());
        now.filter(|_| !accounts.kinds.is_empty())
            .map(|now| (now, accounts))
    }

    /// Has those of the accounts that the index does not know looked at.
    pub fn look_at_unindexed(
        &mut self,
        now: Moment,
        accounts: &MarketAccounts,
        known: &HashSet<Pubkey>,
    ) {
        self.unindexed = accounts.unindexed(now, known);
    }

    /// What is due where the index can't say it.
    pub async fn due_by_the_chain(
        &mut self,
        read: Option<(Moment, MarketAccounts)>,
        sender: &Sender,
    ) -> Vec<Crank> {
        let Some((now, accounts)) = read else {
            return Vec::new();
        };
        let found = accounts.unindexed(now, &HashSet::new());
        let due = timeout(LOOK, self.cranks(now, found, sender)).await;
        let due = due.unwrap_or_else(|_| Err(late(LOOK)));
        self.looked = due.is_ok();
        let (due, error) = match due {
            Ok(due) => (due, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        self.tell(error);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SettlerConfig, database::tests::put};
    use mythic_postgres::{Cluster, ClusterConfig};

    #[tokio::test]
    async fn a_list_that_cannot_be_read_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        };
        let cluster = Cluster::start(config).await.unwrap();
        mythic_indexer::migrate(cluster.url()).await.unwrap();
        let (db, _guard) = connect(cluster.url(), &Manner::named("test"))
            .await
            .unwrap();
        let schema = "SELECT projection FROM pipeline.lease";
        let schema: String = db.query_one(schema, &[]).await.unwrap().get(0);
        let open = [("status", "1"), ("due_slot", "3")];
        put(&db, &schema, "request", 1, &open).await;
        let broken = "DROP VIEW analytics.leases_finalized CASCADE";
        db.batch_execute(broken).await.unwrap();
        let nowhere = ("http://127.0.0.1:1", "ws://127.0.0.1:1");
        let mut market = Market::new(
            cluster.url().to_owned(),
            ChainClient::new(nowhere.0, nowhere.1),
            Settler::new(&SettlerConfig::default()),
            IntGauge::new("working", "Of this test").unwrap(),
        );
        let now = Moment { slot: 5, second: 5 };
        for _ in 0..2 {
            let mut found = MarketCandidates::default();
            assert!(market.list(now, &mut found).await.is_err());
            assert_eq!(found.requests.len(), 1);
            assert!(market.db.is_none(), "it is connected anew");
        }
        cluster.stop().await.unwrap();
    }
}
