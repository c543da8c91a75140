//! Sends results: those that are ready together share a transaction, and one that is refused does not hold up the others.

use std::{sync::Arc, time::Duration};

use mythic_client::{ChainClient, ClientError, Commitment, base_fee, ix, sign};
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
    /// Told what becomes of it.
    pub told: mpsc::Sender<Outcome>,
}

/// How long a ready result waits for company.
pub type Linger = Arc<dyn Fn() -> Duration + Send + Sync>;

/// [`LINGER`] always.
pub fn briefly() -> Linger {
    Arc::new(|| LINGER)
}

/// Called with the fee of each transaction that was sent, in lamports.
pub type OnFee = Arc<dyn Fn(u64) + Send + Sync>;

/// Handle of the submitter's task, which ends with the last handle.
#[derive(Debug, Clone)]
pub struct Submitter {
    queue: mpsc::Sender<Ready>,
}

impl Submitter {
    /// Starts the task.
    pub fn start(
        chain: ChainClient,
        operator: Arc<Keypair>,
        validator: Pubkey,
        on_fee: OnFee,
        linger: Linger,
    ) -> Self {
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
                let (chain, operator, on_fee) = (chain.clone(), operator.clone(), on_fee.clone());
                // The next batch does not wait until this one has landed.
                tokio::spawn(
                    async move { send(&chain, &operator, &validator, batch, &on_fee).await },
                );
            }
        });
        Self { queue }
    }

    /// Queues a result.
    pub async fn submit(&self, ready: Ready) {
        let _ = self.queue.send(ready).await;
    }
}

async fn send(
    chain: &ChainClient,
    operator: &Keypair,
    validator: &Pubkey,
    batch: Vec<Ready>,
    on_fee: &OnFee,
) {
    match attempt(chain, operator, validator, &batch, on_fee).await {
        Ok(()) => {}
        // One of them is refused: each for itself.
        Err(ClientError::Program(_)) if batch.len() > 1 => {
            for ready in batch {
                let one = [ready];
                if let Err(error) = attempt(chain, operator, validator, &one, on_fee).await {
                    tell(&one, &Outcome::Failed(error.to_string())).await;
                }
            }
        }
        Err(error) => tell(&batch, &Outcome::Failed(error.to_string())).await,
    }
}

async fn attempt(
    chain: &ChainClient,
    operator: &Keypair,
    validator: &Pubkey,
    batch: &[Ready],
    on_fee: &OnFee,
) -> Result<(), ClientError> {
    let payer = operator.pubkey();
    let instructions: Vec<_> = batch
        .iter()
        .map(|ready| ix::submit_result(payer, validator, ready.job, &ready.args))
        .collect();
    let blockhash = chain.latest_blockhash(Commitment::Finalized).await?;
    let transaction = sign(&instructions, &payer, &[operator], blockhash.hash)?;
    let signature = chain.send(&transaction).await?;
    on_fee(base_fee(transaction.signatures.len()));
    tell(batch, &Outcome::Sent(signature)).await;
    let state = chain
        .wait_for(
            &transaction,
            Commitment::Processed,
            Some(blockhash.last_valid_block_height),
        )
        .await?;
    tell(batch, &Outcome::Landed(state.slot)).await;
    Ok(())
}

async fn tell(batch: &[Ready], outcome: &Outcome) {
    for ready in batch {
        let _ = ready.told.send(outcome.clone()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let transaction = sign(
            &instructions,
            &operator.pubkey(),
            &[&operator],
            Default::default(),
        )
        .unwrap();
        assert!(bincode::serialize(&transaction).unwrap().len() <= 1_232);
    }
}
