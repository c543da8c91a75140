//! A transaction's way to the chain: sent, sent again while it has not landed, given up when it cannot land any more.
//! Every wait has a deadline, and pauses grow up to a bound.

use std::time::Duration;

use mythic_support::Backoff;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client::rpc_client::SerializableTransaction;
use solana_signature::Signature;
use tokio::time::{Instant, sleep};

use crate::{ChainClient, ClientError, Commitment, SignatureState, sign};

/// How long a transaction is waited for before it is given up or signed again.
pub(crate) const LAND_TIMEOUT: Duration = Duration::from_secs(90);
/// Shortest and longest pause between looks.
pub(crate) const LOOKS: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(500));
pub(crate) const RESEND_EVERY: Duration = Duration::from_secs(2);
/// How many times `send_and_confirm` signs anew after the blockhash expired.
const SIGN_ATTEMPTS: usize = 3;

/// Calls `f` until it succeeds or fails for good, so that a process may start before its chain does. `what` is what it does.
pub async fn patiently<T, F>(what: &str, mut f: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut pauses = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        match f().await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "{what}: the chain does not answer; trying again");
                sleep(pauses.pause()).await;
            }
            ended => return ended,
        }
    }
}

impl ChainClient {
    /// Signs, sends and waits until the transaction is held at `commitment`. Sends again while it has not landed, signs
    /// again when its blockhash has expired. A program error is [`ClientError::Program`].
    pub async fn send_and_confirm(
        &self,
        instructions: &[Instruction],
        payer: &Pubkey,
        signers: &[&Keypair],
        commitment: Commitment,
    ) -> Result<Signature, ClientError> {
        let mut last = None;
        for _ in 0..SIGN_ATTEMPTS {
            let blockhash = self.latest_blockhash(Commitment::Finalized).await?;
            let transaction = sign(instructions, payer, &signers.to_vec(), blockhash.hash)?;
            match self
                .send_until(
                    &transaction,
                    commitment,
                    Some(blockhash.last_valid_block_height),
                )
                .await
            {
                Err(error @ (ClientError::Expired { .. } | ClientError::UnknownBlockhash)) => {
                    last = Some(error)
                }
                Err(error) => return Err(error),
                Ok(_) => return Ok(transaction.signatures.first().copied().unwrap_or_default()),
            }
        }
        Err(last.unwrap_or(ClientError::UnknownBlockhash))
    }

    /// Sends a signed transaction and waits until it is held at `commitment`, sending it again every 2 seconds. Gives
    /// up when its blockhash has expired (`last_valid_block_height`, if known) or after 90 seconds.
    pub async fn send_until(
        &self,
        transaction: &impl SerializableTransaction,
        commitment: Commitment,
        last_valid_block_height: Option<u64>,
    ) -> Result<SignatureState, ClientError> {
        self.send(transaction).await?;
        self.wait_for(transaction, commitment, last_valid_block_height)
            .await
    }

    /// Waits for a transaction that was sent; otherwise like [`Self::send_until`].
    pub async fn wait_for(
        &self,
        transaction: &impl SerializableTransaction,
        commitment: Commitment,
        last_valid_block_height: Option<u64>,
    ) -> Result<SignatureState, ClientError> {
        let signature = *transaction.get_signature();
        let (started, mut sent) = (Instant::now(), Instant::now());
        let mut pauses = Backoff::new(LOOKS.0, LOOKS.1);
        loop {
            // Once sent, an answer that does not come says nothing of the transaction: ask again.
            match self.signature_status(&signature).await {
                Ok(Some(SignatureState {
                    error: Some(error), ..
                })) => {
                    return Err(ClientError::from_transaction(error));
                }
                Ok(Some(state)) if state.commitment >= commitment => return Ok(state),
                Ok(None) if sent.elapsed() >= RESEND_EVERY => {
                    if let (Some(last), Ok(height)) = (
                        last_valid_block_height,
                        self.block_height(Commitment::Processed).await,
                    ) && height > last
                    {
                        return Err(ClientError::Expired { signature });
                    }
                    let _ = self.send_with(transaction, true).await;
                    sent = Instant::now();
                }
                Ok(_) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
            if started.elapsed() > LAND_TIMEOUT {
                return Err(ClientError::Expired { signature });
            }
            sleep(pauses.pause()).await;
        }
    }

    /// Asks the chain's faucet for lamports and waits until they are there. Development networks only.
    pub async fn airdrop(&self, pubkey: &Pubkey, lamports: u64) -> Result<Signature, ClientError> {
        let signature = self.rpc().request_airdrop(pubkey, lamports).await?;
        let started = Instant::now();
        let mut pauses = Backoff::new(LOOKS.0, LOOKS.1);
        loop {
            match self.signature_status(&signature).await? {
                Some(SignatureState {
                    error: Some(error), ..
                }) => return Err(ClientError::from_transaction(error)),
                Some(_) => return Ok(signature),
                None if started.elapsed() > LAND_TIMEOUT => {
                    return Err(ClientError::Expired { signature });
                }
                None => {}
            }
            sleep(pauses.pause()).await;
        }
    }
}
