//! Sends what is due: in batches, each crank of a batch that is refused alone.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use mythic_client::{ChainClient, ClientError, Commitment};
use mythic_interface::error::MythicError;
use mythic_trace::names;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{Crank, metrics::Metrics, rests::Rests};

/// Transactions of one list that wait for confirmation at the same time.
const IN_FLIGHT: usize = 4;
/// Pause of an account of the market about which the chain refused something, and the longest one.
const REFUSED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));
/// How many of them are remembered: more than are sent in an hour.
const MOST_REFUSED: usize = 100_000;
/// How long what is due of an account goes alone after its batch did not land, and of how many.
const ALONE: Duration = Duration::from_secs(600);
const MOST_ALONE: usize = 10_000;

/// Who sends, and what became of it.
pub(crate) struct Sender {
    client: ChainClient,
    payer: Keypair,
    metrics: Metrics,
    /// Instructions in one transaction.
    batch: usize,
    /// Accounts of the market about which the chain refused something.
    refused: Mutex<Rests>,
    /// Accounts whose batches did not land.
    alone: Mutex<Rests>,
}

fn locked(rests: &Mutex<Rests>) -> MutexGuard<'_, Rests> {
    rests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    pub fn new(client: ChainClient, payer: Keypair, metrics: Metrics, batch: usize) -> Self {
        Self {
            client,
            payer,
            metrics,
            batch,
            refused: Mutex::new(Rests::new(REFUSED.0, REFUSED.1, MOST_REFUSED)),
            alone: Mutex::new(Rests::new(ALONE, ALONE, MOST_ALONE)),
        }
    }

    /// Whether an account of the market is left alone now.
    pub fn rests(&self, account: &Pubkey) -> bool {
        locked(&self.refused).has(account, Instant::now())
    }

    /// Sends cranks, a few batches at a time.
    pub async fn send(&self, due: &[Crank]) {
        let batches = self.batches(due);
        for group in batches.chunks(IN_FLIGHT) {
            futures::future::join_all(group.iter().map(|batch| self.send_batch(batch))).await;
        }
    }

    /// Batches of cranks in their order, then those that go alone.
    fn batches<'a>(&self, due: &'a [Crank]) -> Vec<Vec<&'a Crank>> {
        let (now, alone) = (Instant::now(), locked(&self.alone));
        let (singles, together): (Vec<&Crank>, Vec<&Crank>) = due
            .iter()
            .partition(|crank| alone.has(&crank.account(), now));
        let together = together.chunks(self.batch).map(<[&Crank]>::to_vec);
        let singles = singles.into_iter().map(|crank| vec![crank]);
        together.chain(singles).collect()
    }

    /// Sends cranks together; when one of them is refused, each alone.
    async fn send_batch(&self, batch: &[&Crank]) {
        let began = SystemTime::now();
        let error = match self.submit(batch).await {
            Ok(()) => {
                for crank in batch {
                    self.count(crank, "done", began);
                }
                return;
            }
            Err(error) => error,
        };
        if let [crank] = batch {
            self.judge(crank, &error, began);
        } else if error.is_refusal() {
            for crank in batch {
                let began = SystemTime::now();
                match self.submit(std::slice::from_ref(crank)).await {
                    Ok(()) => self.count(crank, "done", began),
                    Err(error) => self.judge(crank, &error, began),
                }
            }
        } else {
            tracing::warn!("{} cranks were not sent: {error}", batch.len());
            for crank in batch {
                self.failed(crank, &error, began);
            }
        }
    }

    async fn submit(&self, batch: &[&Crank]) -> Result<(), ClientError> {
        let payer = self.payer.pubkey();
        let instructions = batch.iter().map(|crank| crank.instruction(&payer));
        let instructions: Vec<_> = instructions.collect();
        self.client
            .send_and_confirm(&instructions, &payer, &[&self.payer], Commitment::Confirmed)
            .await
            .map(drop)
    }

    /// What an error says about a crank that was sent alone. What the chain refused rests.
    fn judge(&self, crank: &Crank, error: &ClientError, began: SystemTime) {
        if already_done(error) {
            return self.count(crank, "already", began);
        }
        self.failed(crank, error, began);
        tracing::warn!(crank = crank.name(), account = %crank.account(), "{error}");
        if let Crank::Market(crank) = crank
            && error.is_refusal()
        {
            locked(&self.refused).begin(crank.account(), Instant::now());
        }
    }

    fn failed(&self, crank: &Crank, error: &ClientError, began: SystemTime) {
        self.count(crank, "failed", began);
        if matches!(error, ClientError::Expired { .. }) {
            locked(&self.alone).begin(crank.account(), Instant::now());
        }
    }

    fn count(&self, crank: &Crank, outcome: &str, began: SystemTime) {
        self.metrics.count(crank, outcome);
        if outcome != "failed" {
            locked(&self.refused).end(&crank.account());
        }
        let job = crank.job().map(|job| (names::JOB, job));
        let lease = crank.lease().map(|lease| (names::LEASE, lease));
        if mythic_trace::is_on()
            && let Some((what, about)) = job.or(lease)
        {
            let name = format!("settle {}", crank.name());
            let span = mythic_trace::of_job(name, &about.to_bytes(), Some(began));
            if span.is_recorded() {
                span.word(what, &about.to_string())
                    .word(names::CRANK, crank.name());
            }
            if outcome == "failed" {
                span.failed(outcome);
            }
        }
    }
}

/// The program's way to say that somebody else was faster.
fn already_done(error: &ClientError) -> bool {
    matches!(
        error.program(),
        Some(
            MythicError::WrongJobStatus
                | MythicError::WrongCaseStatus
                | MythicError::AlreadyCollected
                | MythicError::NothingToSweep
                | MythicError::WrongAccountOwner
                | MythicError::WrongAccountType
                | MythicError::WrongLeaseStatus
                | MythicError::WrongRequestStatus
                | MythicError::WrongDisputeStatus
                | MythicError::DisputeNotDue
                | MythicError::NothingToRelease
                | MythicError::NothingToWithdraw
                | MythicError::LeaseRunning
                | MythicError::NotMissed
                | MythicError::OpenDisputes
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MarketCrank;

    /// Its chain is not there.
    fn sender() -> Sender {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let urls = (
            format!("http://127.0.0.1:{port}"),
            format!("ws://127.0.0.1:{port}"),
        );
        let client = ChainClient::new(urls.0, urls.1);
        Sender::new(client, Keypair::new(), Metrics::new().unwrap(), 5)
    }

    fn sweep(n: u8) -> Crank {
        Crank::Market(MarketCrank::SweepProvider(Pubkey::new_from_array([n; 32])))
    }

    #[tokio::test]
    async fn a_chain_that_does_not_answer_puts_nothing_to_rest() {
        let (sender, due) = (sender(), [sweep(1), sweep(2)]);
        sender.send(&due).await;
        sender.send(&due[..1]).await;
        for crank in &due {
            assert!(!sender.rests(&crank.account()));
        }
        assert_eq!(sender.batches(&due).len(), 1);
    }

    #[tokio::test]
    async fn only_what_the_chain_refused_of_one_account_rests_until_it_is_done() {
        let (sender, crank, began) = (sender(), sweep(1), SystemTime::now());
        let account = crank.account();
        let judge = |error: ClientError| {
            sender.judge(&crank, &error, began);
            sender.rests(&account)
        };
        assert!(!judge(ClientError::Rpc("503".into())));
        assert!(!judge(ClientError::UnknownBlockhash));
        assert!(!judge(ClientError::Program(MythicError::NothingToSweep)));
        assert!(judge(ClientError::Program(MythicError::Paused)));
        sender.count(&crank, "done", began);
        assert!(!sender.rests(&account));
    }

    #[tokio::test]
    async fn what_did_not_land_goes_alone() {
        let (sender, due) = (sender(), [sweep(1), sweep(2), sweep(3)]);
        let lost = ClientError::Expired {
            signature: Default::default(),
        };
        sender.failed(&due[0], &lost, SystemTime::now());
        assert!(!sender.rests(&due[0].account()));
        let batches = vec![vec![&due[1], &due[2]], vec![&due[0]]];
        assert_eq!(sender.batches(&due), batches);
    }
}
