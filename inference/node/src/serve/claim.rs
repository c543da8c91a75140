//! Whose acceptance the chain has, where several workers accept in one validator's name: with one operator key they all look alike there.
//!
//! Each acceptance that a worker sends has a signature of its own, and is in the journal before it is sent. A job that the chain shows
//! as accepted by the validator is this worker's if one of its own acceptances landed, and another one's if none did.

use std::{sync::Arc, time::Duration};

use mythic_client::{AccountSnapshot, ClientError, Commitment, base_fee, ix, sign, units};
use mythic_interface::state::Job;
use parking_lot::Mutex;
use rand::Rng;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use tokio::sync::mpsc;

use crate::{
    keep::journal::{JobRecord, Record},
    serve::{
        jobs::Jobs,
        messages::{Held, Msg},
    },
};

/// Times that an acceptance is signed anew because its blockhash was too old.
const ATTEMPTS: u32 = 5;
/// Pause before the chain is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// Answers in a row that know nothing of our acceptances, after which they did not land.
const MISSES: u32 = 2;
/// What is added at random to what an acceptance may use, to tell it from that of another worker with the same blockhash.
const UNITS: u32 = 10_000;
const LOADED: (u32, u32) = (32 << 20, 16 << 20);

/// A worker's claim to a job.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    sent: Arc<Mutex<Vec<Signature>>>,
    /// It was in care before a restart: what is not known any more is taken as ours. A result is paid once, whoever sends it.
    pub resumed: bool,
    pub state: Held,
}

impl Claim {
    /// Of a job in the journal.
    pub fn resumed(record: &JobRecord) -> Self {
        let sent = record.accepts.iter().filter_map(|text| text.parse().ok());
        Self {
            sent: Arc::new(Mutex::new(sent.collect())),
            resumed: true,
            state: match record.claimed {
                true => Held::Ours,
                false => Held::Unknown,
            },
        }
    }
}

/// What the acceptance of a job needs.
pub struct Acceptance {
    pub node: Arc<Jobs>,
    pub job: Pubkey,
    pub terms_hash: [u8; 32],
    pub inbox: mpsc::Sender<Msg>,
}

impl Acceptance {
    /// Sends acceptances and tells what became of them.
    pub async fn make(&self, claim: &Claim) {
        let Err(error) = self.send(claim).await else {
            return self.tell(Held::Ours).await;
        };
        let snapshot = read(&self.node, &self.job, &self.inbox).await;
        let Some(snapshot) = snapshot else { return };
        let decode = |account| mythic_client::account::decode::<Job>(&self.job, account).ok();
        let job = snapshot.account.as_ref().and_then(decode);
        let authority = self.node.keys.authority.to_bytes();
        match job.is_some_and(|job| job.validator == authority) {
            true => self.ask(claim, snapshot.slot).await,
            false => refused(&self.node, &self.job, &self.inbox, error.to_string()).await,
        }
    }

    /// Sends acceptances of this worker's own until one landed or is refused.
    pub async fn send(&self, claim: &Claim) -> Result<(), ClientError> {
        let operator: &Keypair = &self.node.keys.operator;
        let mut last = ClientError::UnknownBlockhash;
        for _ in 0..ATTEMPTS {
            let accept = ix::accept_inference(
                operator.pubkey(),
                self.node.keys.authority,
                self.job,
                self.terms_hash,
            );
            let instructions = bounded(accept);
            let chain = &self.node.chain;
            let blockhash = chain.latest_blockhash(Commitment::Finalized).await?;
            let transaction = sign(
                &instructions,
                &operator.pubkey(),
                &[operator],
                blockhash.hash,
            )?;
            let signature = transaction.signatures.first().copied().unwrap_or_default();
            let record = Record::Accepting {
                job: self.job.to_string(),
                signature: signature.to_string(),
            };
            if !self.node.note(record).await {
                // Without it, nobody knows after a crash whose the job is.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            claim.sent.lock().push(signature);
            let height = Some(blockhash.last_valid_block_height);
            match chain
                .send_until(&transaction, Commitment::Processed, height)
                .await
            {
                Err(error @ (ClientError::Expired { .. } | ClientError::UnknownBlockhash)) => {
                    last = error;
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    self.node.note_soft(Record::Fee {
                        lamports: base_fee(1),
                    });
                    return Ok(());
                }
            }
        }
        Err(last)
    }

    /// Finds out whether an acceptance of ours landed that a bank of `slot` may have, and tells.
    pub async fn ask(&self, claim: &Claim, slot: u64) {
        let mut misses = 0;
        loop {
            match self.landed(claim, slot).await {
                Ok(Some(ours)) => {
                    return self
                        .tell(if ours { Held::Ours } else { Held::Anothers })
                        .await;
                }
                Ok(None) => misses += 1,
                Err(error) => {
                    tracing::debug!(job = %self.job, %error, "the chain can't be asked whose a job is")
                }
            }
            if misses >= MISSES {
                let doubt = claim.resumed && !claim.sent.lock().is_empty();
                return self
                    .tell(if doubt { Held::Ours } else { Held::Anothers })
                    .await;
            }
            if self.inbox.is_closed() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether one landed, or none can have; `None`: nothing is known of some.
    async fn landed(&self, claim: &Claim, slot: u64) -> Result<Option<bool>, ClientError> {
        let sent = claim.sent.lock().clone();
        let chain = &self.node.chain;
        if chain.slot(Commitment::Processed).await? < slot {
            return Err(ClientError::UnknownBlockhash);
        }
        let mut unknown = false;
        for signature in sent {
            match chain.signature_status(&signature).await? {
                Some(state) if state.error.is_none() => return Ok(Some(true)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        Ok((!unknown).then_some(false))
    }

    async fn tell(&self, held: Held) {
        let _ = self.inbox.send(Msg::Claim(held)).await;
    }
}

/// An acceptance under bounds that no other worker's has.
fn bounded(accept: Instruction) -> Vec<Instruction> {
    let mut random = rand::rng();
    let loaded = LOADED.0 + random.random_range(0..LOADED.1);
    let limit = units::limit(std::slice::from_ref(&accept)) + random.random_range(0..UNITS);
    let loaded = ComputeBudgetInstruction::set_loaded_accounts_data_size_limit(loaded);
    units::bounded(&[loaded, accept], limit, 0)
}

/// Tells of a refusal, after what the chain shows: a job that is ours all the same is kept.
pub async fn refused(node: &Jobs, job: &Pubkey, inbox: &mpsc::Sender<Msg>, reason: String) {
    let Some(snapshot) = read(node, job, inbox).await else {
        return;
    };
    let finalized = false;
    let _ = inbox
        .send(Msg::Chain {
            snapshot,
            finalized,
        })
        .await;
    let _ = inbox.send(Msg::Refused(reason)).await;
}

/// The job's account now; `None` once nobody wants to know it any more.
async fn read(node: &Jobs, job: &Pubkey, inbox: &mpsc::Sender<Msg>) -> Option<AccountSnapshot> {
    loop {
        match node.chain.raw_account(job, Commitment::Processed).await {
            Ok(snapshot) => return Some(snapshot),
            Err(_) if inbox.is_closed() => return None,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
