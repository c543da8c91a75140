//! Sends results: those that are ready together share a transaction, and one that is refused does not hold up the others.

use std::{sync::Arc, time::Duration};

use mythic_client::{Bidding, Bids, ChainClient, ClientError, Commitment, Due, Pursuit, ix};
use mythic_interface::ix::SubmitResult;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use tokio::sync::mpsc;

/// Results that fit one transaction of 1,232 bytes.
pub const BATCH: usize = 6;
/// How long a ready result waits for company where none is to be expected.
const LINGER: Duration = Duration::from_millis(20);

/// What became of a result.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Sent; the chain has tried it successfully in its current bank.
    Sent(Signature),
    /// Landed in this slot.
    Landed(u64),
    /// Refused, or did not land.
    Failed(String),
}

/// A result to submit.
#[derive(Debug)]
pub struct Ready {
    pub job: Pubkey,
    /// Arguments.
    pub args: SubmitResult,
    /// When it must have landed.
    pub due: Due,
    /// Told what becomes of it.
    pub told: mpsc::Sender<Outcome>,
}

/// How long a ready result waits for company.
pub type Linger = Arc<dyn Fn() -> Duration + Send + Sync>;

/// [`LINGER`] always.
pub fn briefly() -> Linger {
    Arc::new(|| LINGER)
}

/// What it submits with.
pub struct Means {
    pub chain: ChainClient,
    pub operator: Arc<Keypair>,
    /// Authority of the validator.
    pub validator: Pubkey,
    pub bids: Bids,
    /// The newest slot.
    pub slot: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Called with the fees of each step that landed, in lamports.
    pub on_fee: Arc<dyn Fn(u64) + Send + Sync>,
}

/// Handle of the submitter's task, which ends with the last handle.
#[derive(Debug, Clone)]
pub struct Submitter {
    queue: mpsc::Sender<Ready>,
}

impl Submitter {
    /// Starts the task.
    pub fn start(means: Means, linger: Linger) -> Self {
        let means = Arc::new(means);
        let (queue, mut incoming) = mpsc::channel::<Ready>(1_024);
        tokio::spawn(async move {
            while let Some(first) = incoming.recv().await {
                let mut batch = vec![first];
                let until = tokio::time::Instant::now() + linger();
                while batch.len() < BATCH {
                    match tokio::time::timeout_at(until, incoming.recv()).await {
                        Ok(Some(ready)) => batch.push(ready),
                        Ok(None) | Err(_) => break,
                    }
                }
                let means = means.clone();
                // The next batch does not wait until this one has landed.
                tokio::spawn(async move { send(&means, batch).await });
            }
        });
        Self { queue }
    }

    /// Queues a result.
    pub async fn submit(&self, ready: Ready) {
        let _ = self.queue.send(ready).await;
    }
}

async fn send(means: &Means, batch: Vec<Ready>) {
    match attempt(means, &batch).await {
        Ok(()) => {}
        // One of them is refused: each for itself.
        Err(ClientError::Program(_)) if batch.len() > 1 => {
            for ready in batch {
                let one = [ready];
                if let Err(error) = attempt(means, &one).await {
                    tell(&one, &Outcome::Failed(error.to_string())).await;
                }
            }
        }
        Err(error) => tell(&batch, &Outcome::Failed(error.to_string())).await,
    }
}

async fn attempt(means: &Means, batch: &[Ready]) -> Result<(), ClientError> {
    let operator = &*means.operator;
    let payer = operator.pubkey();
    let calls: Vec<_> = batch
        .iter()
        .map(|ready| ix::submit_result(payer, means.validator, ready.job, &ready.args))
        .collect();
    let bidding = Bidding {
        bids: &means.bids,
        due: together(batch),
        slot: &*means.slot,
    };
    let signers = [operator];
    let begun = Pursuit::begin(&means.chain, &calls, &payer, &signers, bidding).await?;
    let (pursuit, signature) = begun;
    tell(batch, &Outcome::Sent(signature)).await;
    let landing = pursuit.end(Commitment::Processed).await?;
    (means.on_fee)(landing.fees);
    if landing.signature != signature {
        tell(batch, &Outcome::Sent(landing.signature)).await;
    }
    tell(batch, &Outcome::Landed(landing.slot)).await;
    Ok(())
}

/// What a transaction of several results loses by being late: all of them, from the earliest end on.
fn together(batch: &[Ready]) -> Due {
    let sum = |due: Due, next: Due| Due {
        from: due.from.min(next.from),
        end: due.end.min(next.end),
        loss: due.loss.saturating_add(next.loss),
    };
    let all = batch.iter().map(|ready| ready.due);
    all.reduce(sum).unwrap_or(Due::NEVER)
}

async fn tell(batch: &[Ready], outcome: &Outcome) {
    for ready in batch {
        let _ = ready.told.send(outcome.clone()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_client::{sign, units};
    use mythic_interface::le::U32;

    #[test]
    fn a_full_batch_fits_one_transaction() {
        let operator = Keypair::new();
        let args = SubmitResult {
            terms_hash: [1; 32],
            output_root: [2; 32],
            fingerprint: [3; 32],
            output_tokens: U32::new(4),
            finish_reason: 1,
        };
        let instructions: Vec<_> = (0..BATCH)
            .map(|i| {
                let job = Pubkey::new_from_array([i as u8 + 10; 32]);
                ix::submit_result(
                    operator.pubkey(),
                    Pubkey::new_from_array([9; 32]),
                    job,
                    &args,
                )
            })
            .collect();
        let calls = units::bounded(&instructions, units::limit(&instructions), 1);
        let payer = operator.pubkey();
        let transaction = sign(&calls, &payer, &[&operator], Default::default()).unwrap();
        assert!(bincode::serialize(&transaction).unwrap().len() <= 1_232);
    }
}
