//! A step's way to the chain where somebody may crowd it out: sent again with a newer blockhash and a higher bid while it has not
//! landed. Several transactions of it can be under way; whichever lands does it, and the others change nothing.

use mythic_support::Backoff;
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;
use tokio::time::{Instant, sleep};

use crate::{
    Blockhash, ChainClient, ClientError, Commitment, SignatureState, base_fee,
    bid::{Bids, Due},
    care::{LAND_TIMEOUT, LOOKS, RESEND_EVERY},
    sign, units,
};

/// Part of the payer's balance that one bid takes at most: others may be under way.
const PART_OF_BALANCE: u64 = 4;

/// How a step bids. Without a deadline it bids the least.
#[derive(Clone, Copy)]
pub struct Bidding<'a> {
    pub bids: &'a Bids,
    pub due: Due,
    /// The newest slot.
    pub slot: &'a (dyn Fn() -> u64 + Send + Sync),
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    /// Of the transaction that did it.
    pub signature: Signature,
    /// Slot in which it landed.
    pub slot: u64,
    /// Fees of all its transactions that landed, lamports.
    pub fees: u64,
}

/// One transaction of a step.
struct Try {
    transaction: Transaction,
    signature: Signature,
    /// Block height at which it can land at last.
    last_height: u64,
    bid: u64,
}

/// A step on its way.
pub struct Pursuit<'a> {
    chain: &'a ChainClient,
    calls: &'a [Instruction],
    payer: Pubkey,
    signers: &'a [&'a Keypair],
    bidding: Bidding<'a>,
    limit: u32,
    tries: Vec<Try>,
}

impl ChainClient {
    /// Signs and sends calls, and again with higher bids until they are held at `commitment`. Gives up after 90 seconds.
    pub async fn pursue(
        &self,
        calls: &[Instruction],
        payer: &Pubkey,
        signers: &[&Keypair],
        bidding: Bidding<'_>,
        commitment: Commitment,
    ) -> Result<Landing, ClientError> {
        let (pursuit, _) = Pursuit::begin(self, calls, payer, signers, bidding).await?;
        pursuit.end(commitment).await
    }

    /// What transactions paid lately that wrote one of these accounts: the most of the least of each slot, micro-lamports a
    /// compute unit. It is what the node says.
    async fn recent_price(&self, accounts: &[Pubkey]) -> Result<u64, ClientError> {
        let fees = self.rpc().get_recent_prioritization_fees(accounts).await?;
        Ok(fees
            .iter()
            .map(|fee| fee.prioritization_fee)
            .max()
            .unwrap_or(0))
    }
}

impl<'a> Pursuit<'a> {
    /// Sends the first transaction of a step; its signature comes back too.
    pub async fn begin(
        chain: &'a ChainClient,
        calls: &'a [Instruction],
        payer: &Pubkey,
        signers: &'a [&'a Keypair],
        bidding: Bidding<'a>,
    ) -> Result<(Self, Signature), ClientError> {
        let mut pursuit = Self {
            chain,
            calls,
            payer: *payer,
            signers,
            bidding,
            limit: units::limit(calls),
            tries: Vec::new(),
        };
        let bid = pursuit.bid(0).await;
        let mut sent = pursuit.send(bid).await;
        if sent.as_ref().is_err_and(lacked_units) {
            // The table of units is wrong about this one: what it costs counts less than that it lands.
            pursuit.limit = units::MOST;
            sent = pursuit.send(bid).await;
        }
        Ok((pursuit, sent?))
    }

    /// What is bid now: at most a part of what the payer has, so that a bid never keeps it from paying.
    async fn bid(&self, others: u64) -> u64 {
        let Bidding { bids, due, slot } = self.bidding;
        match bids.lamports(&due, slot(), others) {
            0 => 0,
            bid => match self.chain.balance(&self.payer).await {
                Ok(balance) => bid.min(balance / PART_OF_BALANCE),
                Err(_) => bid,
            },
        }
    }

    async fn send(&mut self, bid: u64) -> Result<Signature, ClientError> {
        let Blockhash {
            hash,
            last_valid_block_height,
        } = self.chain.latest_blockhash(Commitment::Finalized).await?;
        let calls = units::bounded(self.calls, self.limit, bid);
        let transaction = sign(&calls, &self.payer, &self.signers.to_vec(), hash)?;
        let signature = self.chain.send(&transaction).await?;
        if self.tries.iter().all(|sent| sent.signature != signature) {
            self.tries.push(Try {
                transaction,
                signature,
                last_height: last_valid_block_height,
                bid,
            });
        }
        Ok(signature)
    }

    /// Waits until one of its transactions is held at `commitment`, with others beside it that bid more.
    pub async fn end(mut self, commitment: Commitment) -> Result<Landing, ClientError> {
        let (started, mut sent) = (Instant::now(), Instant::now());
        let mut pauses = Backoff::new(LOOKS.0, LOOKS.1);
        let mut refused = None;
        loop {
            match self.look().await {
                Ok(states) => {
                    let good = states.iter().find(|(_, state)| state.error.is_none());
                    let failed = states.iter().find_map(|(_, state)| state.error.clone());
                    match (good, failed, refused) {
                        (Some((signature, state)), ..) if state.commitment >= commitment => {
                            return Ok(Landing {
                                signature: *signature,
                                slot: state.slot,
                                fees: self.fees(states.len()),
                            });
                        }
                        (Some(_), ..) => {}
                        (None, Some(error), _) => return Err(ClientError::from_transaction(error)),
                        (None, None, Some(error)) => return Err(error),
                        (None, None, None) => {}
                    }
                    refused = None;
                    if states.is_empty() && sent.elapsed() >= RESEND_EVERY {
                        refused = self.again().await;
                        sent = Instant::now();
                    }
                }
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
            if started.elapsed() > LAND_TIMEOUT {
                let signature = self.newest().map(|sent| sent.signature).unwrap_or_default();
                return Err(ClientError::Expired { signature });
            }
            sleep(pauses.pause()).await;
        }
    }

    fn newest(&self) -> Option<&Try> {
        self.tries.last()
    }

    /// What is known of its transactions, of those that landed.
    async fn look(&self) -> Result<Vec<(Signature, SignatureState)>, ClientError> {
        let all: Vec<Signature> = self.tries.iter().map(|sent| sent.signature).collect();
        let states = self.chain.signature_states(&all).await?;
        let known = all.into_iter().zip(states);
        Ok(known
            .filter_map(|(sent, state)| Some((sent, state?)))
            .collect())
    }

    /// Fees of the dearest of its transactions, so many of which landed.
    fn fees(&self, landed: usize) -> u64 {
        let each = base_fee(self.signers.len());
        let dearest = self.tries.iter().rev().take(landed);
        dearest.map(|sent| each.saturating_add(sent.bid)).sum()
    }

    /// Sends it again: as it is, or anew where a higher bid is due or its blockhash is too old. A refusal of the chain comes back:
    /// it may be that of a step that is done.
    async fn again(&mut self) -> Option<ClientError> {
        let newest = self.newest()?;
        let (last, height) = (newest.bid, newest.last_height);
        let next = self.bid(self.others().await).await;
        let now = self.chain.block_height(Commitment::Processed).await;
        let expired = now.is_ok_and(|now| now > height);
        if expired || self.bidding.bids.raises(&self.bidding.due, last, next) {
            return match self.send(next).await {
                Err(error) if !error.is_transient() => Some(error),
                _ => None,
            };
        }
        let transaction = &self.newest()?.transaction;
        let _ = self.chain.send_with(transaction, true).await;
        None
    }

    /// What others paid for room in the accounts that it writes, lamports for as many units.
    async fn others(&self) -> u64 {
        let accounts = self.calls.iter().flat_map(|call| &call.accounts);
        let written = accounts.filter(|meta| meta.is_writable && !meta.is_signer);
        let written: Vec<Pubkey> = written.map(|meta| meta.pubkey).collect();
        let price = self.chain.recent_price(&written).await.unwrap_or(0);
        units::lamports(self.limit, price)
    }
}

/// Whether a transaction was refused because its limit of compute units is too low.
fn lacked_units(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Transaction(TransactionError::InstructionError(
            _,
            InstructionError::ComputationalBudgetExceeded
                | InstructionError::ProgramFailedToComplete
        ))
    )
}
