//! The chain's RPC, asynchronously, with typed errors and typed accounts.

use std::sync::Arc;

use serde_json::json;
use solana_account::Account;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::Message;
use solana_pubkey::Pubkey;
use solana_rpc_client::{nonblocking::rpc_client::RpcClient, rpc_client::SerializableTransaction};
use solana_rpc_client_api::{
    config::{
        CommitmentConfig, CommitmentLevel, RpcAccountInfoConfig, RpcProgramAccountsConfig,
        RpcSendTransactionConfig, UiAccountEncoding, UiTransactionEncoding,
    },
    request::RpcRequest,
    response::{Response, RpcKeyedAccount, UiAccount},
};
use solana_signature::Signature;
use solana_signer::{Signer, signers::Signers};
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;

use crate::{
    account::{ProgramAccount, decode, found},
    error::ClientError,
    filter::Filter,
    rpc,
    ws::{AccountSnapshot, AccountWatch, SlotWatch, WsClient},
};

/// Base fee of the chain, for each signature of a transaction, in lamports.
pub const LAMPORTS_PER_SIGNATURE: u64 = 5_000;
/// Accounts that one `getMultipleAccounts` may name.
const MULTIPLE_ACCOUNTS_MAX: usize = 100;

/// How firmly the chain holds what is read.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Commitment {
    /// Executed by the node that is asked; may be on a fork that is abandoned.
    Processed,
    /// Voted for by two thirds of the stake.
    Confirmed,
    /// Rooted: never undone.
    Finalized,
}

impl From<Commitment> for CommitmentConfig {
    fn from(commitment: Commitment) -> Self {
        match commitment {
            Commitment::Processed => CommitmentConfig::processed(),
            Commitment::Confirmed => CommitmentConfig::confirmed(),
            Commitment::Finalized => CommitmentConfig::finalized(),
        }
    }
}

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureState {
    /// Slot it was executed in.
    pub slot: u64,
    /// How firmly.
    pub commitment: Commitment,
    /// Why it failed, if it did: it then changed nothing but paid its fee.
    pub error: Option<TransactionError>,
}

/// A blockhash and the last block height at which a transaction that names it can land.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blockhash {
    pub hash: Hash,
    /// Beyond this block height it is expired.
    pub last_valid_block_height: u64,
}

/// Client of a Solana chain's RPC and WebSocket, for both programs. Cheap to clone.
#[derive(Clone)]
pub struct ChainClient {
    rpc: Arc<RpcClient>,
    ws: WsClient,
}

impl std::fmt::Debug for ChainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainClient")
            .field("rpc_url", &self.rpc.url())
            .finish_non_exhaustive()
    }
}

impl ChainClient {
    /// Must be called inside a tokio runtime. Nothing is dialled until something is asked.
    pub fn new(rpc_url: impl Into<String>, ws_url: impl Into<String>) -> Self {
        let rpc = Arc::new(rpc::client(rpc_url.into()));
        let ws = WsClient::new(ws_url.into(), rpc.clone());
        Self { rpc, ws }
    }

    /// The plain RPC client, for what this type has no method for.
    pub fn rpc(&self) -> &RpcClient {
        &self.rpc
    }

    /// A program account with the slot it was read at. `None` when no account is there, or lamports alone that somebody sent; an
    /// error when another program owns the address or the bytes are not a `T`. Reads at `processed`.
    pub async fn account<T: ProgramAccount>(
        &self,
        pubkey: &Pubkey,
    ) -> Result<Option<(u64, T)>, ClientError> {
        self.account_at(pubkey, Commitment::Processed).await
    }

    /// Like [`Self::account`] at a given commitment.
    pub async fn account_at<T: ProgramAccount>(
        &self,
        pubkey: &Pubkey,
        commitment: Commitment,
    ) -> Result<Option<(u64, T)>, ClientError> {
        let snapshot = self.raw_account(pubkey, commitment).await?;
        let found = found(pubkey, snapshot.account.as_ref())?;
        Ok(found.map(|account| (snapshot.slot, account)))
    }

    /// Any account's lamports, owner and data.
    pub async fn raw_account(
        &self,
        pubkey: &Pubkey,
        commitment: Commitment,
    ) -> Result<AccountSnapshot, ClientError> {
        let response = self
            .rpc
            .get_account_with_commitment(pubkey, commitment.into())
            .await?;
        Ok(AccountSnapshot {
            slot: response.context.slot,
            account: response.value,
        })
    }

    /// Many accounts, in the order asked, each with the slot it was read at.
    pub async fn raw_accounts(
        &self,
        pubkeys: &[Pubkey],
        commitment: Commitment,
    ) -> Result<Vec<AccountSnapshot>, ClientError> {
        let mut out = Vec::with_capacity(pubkeys.len());
        for chunk in pubkeys.chunks(MULTIPLE_ACCOUNTS_MAX) {
            let response = self
                .rpc
                .get_multiple_accounts_with_commitment(chunk, commitment.into())
                .await?;
            if response.value.len() != chunk.len() {
                return Err(ClientError::Answer(format!(
                    "getMultipleAccounts gave {} accounts for {} addresses",
                    response.value.len(),
                    chunk.len()
                )));
            }
            out.extend(response.value.into_iter().map(|account| AccountSnapshot {
                slot: response.context.slot,
                account,
            }));
        }
        Ok(out)
    }

    /// All program accounts of kind `T` that every filter holds, read at `commitment`. Accounts that do not decode are
    /// left out and logged.
    pub async fn program_accounts<T: ProgramAccount>(
        &self,
        filters: &[Filter<T>],
        commitment: Commitment,
    ) -> Result<Vec<(Pubkey, T)>, ClientError> {
        let listed = self.program_accounts_since(filters, commitment, 0).await?;
        Ok(listed.accounts)
    }

    /// The same with the slot that the list is of, which is `least_slot` at the earliest: a node that lags is an error.
    pub async fn program_accounts_since<T: ProgramAccount>(
        &self,
        filters: &[Filter<T>],
        commitment: Commitment,
        least_slot: u64,
    ) -> Result<Listed<T>, ClientError> {
        let filters = std::iter::once(Filter::<T>::of_type())
            .chain(filters.iter().map(Filter::to_rpc))
            .collect();
        let config = RpcProgramAccountsConfig {
            filters: Some(filters),
            account_config: read_since(commitment, least_slot),
            with_context: Some(true),
            ..Default::default()
        };
        let program = Pubkey::new_from_array(T::PROGRAM);
        let params = json!([program.to_string(), config]);
        let found: Response<Vec<RpcKeyedAccount>> = self
            .rpc
            .send(RpcRequest::GetProgramAccounts, params)
            .await?;
        let slot = not_before(least_slot, found.context.slot)?;
        let accounts = found.value.into_iter().filter_map(|found| {
            let read = |found: &RpcKeyedAccount| {
                let pubkey = found.pubkey.parse().map_err(|_| {
                    ClientError::Answer(format!("{:?} is not an address", found.pubkey))
                })?;
                Ok((pubkey, decode(&pubkey, &plain(&pubkey, &found.account)?)?))
            };
            read(&found)
                .map_err(|error: ClientError| {
                    tracing::warn!(pubkey = found.pubkey, %error, "program account left out of a list");
                })
                .ok()
        });
        Ok(Listed {
            slot,
            accounts: accounts.collect(),
        })
    }

    /// A few accounts as they were together at `least_slot` or later, in the order asked: a node that lags is an error.
    pub async fn raw_accounts_since(
        &self,
        pubkeys: &[Pubkey],
        commitment: Commitment,
        least_slot: u64,
    ) -> Result<Vec<AccountSnapshot>, ClientError> {
        let names: Vec<String> = pubkeys.iter().map(|pubkey| pubkey.to_string()).collect();
        let params = json!([names, read_since(commitment, least_slot)]);
        let found: Response<Vec<Option<UiAccount>>> = self
            .rpc
            .send(RpcRequest::GetMultipleAccounts, params)
            .await?;
        let slot = not_before(least_slot, found.context.slot)?;
        let (got, asked) = (found.value.len(), pubkeys.len());
        if got != asked {
            return Err(ClientError::Answer(format!(
                "getMultipleAccounts gave {got} accounts for {asked} addresses"
            )));
        }
        let read = |(pubkey, account): (&Pubkey, Option<UiAccount>)| -> Result<_, ClientError> {
            let account = account.map(|account| plain(pubkey, &account)).transpose()?;
            Ok(AccountSnapshot { slot, account })
        };
        pubkeys.iter().zip(found.value).map(read).collect()
    }

    /// Many accounts without their data, whose length strangers choose, in the order asked.
    pub async fn bare_accounts(
        &self,
        pubkeys: &[Pubkey],
        commitment: Commitment,
    ) -> Result<Vec<Option<BareAccount>>, ClientError> {
        let mut out = Vec::with_capacity(pubkeys.len());
        for chunk in pubkeys.chunks(MULTIPLE_ACCOUNTS_MAX) {
            let names: Vec<String> = chunk.iter().map(|pubkey| pubkey.to_string()).collect();
            let params = json!([
                names,
                {"commitment": commitment, "encoding": "base64", "dataSlice": {"offset": 0, "length": 0}}
            ]);
            let found: Response<Vec<Option<UiAccount>>> = self
                .rpc
                .send(RpcRequest::GetMultipleAccounts, params)
                .await?;
            let (got, asked) = (found.value.len(), chunk.len());
            if got != asked {
                return Err(ClientError::Answer(format!(
                    "getMultipleAccounts gave {got} accounts for {asked} addresses"
                )));
            }
            for account in found.value {
                out.push(account.as_ref().map(BareAccount::read).transpose()?);
            }
        }
        Ok(out)
    }

    /// Lamports of an address; 0 when no account is there, as the chain itself says.
    pub async fn balance(&self, pubkey: &Pubkey) -> Result<u64, ClientError> {
        Ok(self.rpc.get_balance(pubkey).await?)
    }

    /// Least lamports with which an account of `bytes` bytes may exist.
    pub async fn rent(&self, bytes: usize) -> Result<u64, ClientError> {
        Ok(self
            .rpc
            .get_minimum_balance_for_rent_exemption(bytes)
            .await?)
    }

    /// The same of every length.
    pub async fn rents(&self) -> Result<Rents, ClientError> {
        let empty = self.rent(0).await?;
        let byte = self.rent(1).await?.saturating_sub(empty);
        Ok(Rents { empty, byte })
    }

    /// Newest slot at `commitment`.
    pub async fn slot(&self, commitment: Commitment) -> Result<u64, ClientError> {
        Ok(self.rpc.get_slot_with_commitment(commitment.into()).await?)
    }

    /// Newest block height at `commitment`; what a blockhash's last valid height is compared with.
    pub async fn block_height(&self, commitment: Commitment) -> Result<u64, ClientError> {
        Ok(self
            .rpc
            .get_block_height_with_commitment(commitment.into())
            .await?)
    }

    /// Newest blockhash at `commitment`. With a finalized one a transaction survives a fork.
    pub async fn latest_blockhash(&self, commitment: Commitment) -> Result<Blockhash, ClientError> {
        let (hash, last_valid_block_height) = self
            .rpc
            .get_latest_blockhash_with_commitment(commitment.into())
            .await?;
        Ok(Blockhash {
            hash,
            last_valid_block_height,
        })
    }

    /// Whether a transaction that names this blockhash can still land in the node's current bank.
    pub async fn blockhash_valid(&self, hash: &Hash) -> Result<bool, ClientError> {
        Ok(self
            .rpc
            .is_blockhash_valid(hash, CommitmentConfig::processed())
            .await?)
    }

    /// Sends a signed transaction once, after the node has tried it in its current bank. Returns its signature.
    pub async fn send(
        &self,
        transaction: &impl SerializableTransaction,
    ) -> Result<Signature, ClientError> {
        self.send_with(transaction, false).await
    }

    /// Sends a signed transaction; `skip_preflight` leaves out the trial. One that has landed already is as good as sent.
    pub async fn send_with(
        &self,
        transaction: &impl SerializableTransaction,
        skip_preflight: bool,
    ) -> Result<Signature, ClientError> {
        let config = RpcSendTransactionConfig {
            skip_preflight,
            preflight_commitment: Some(CommitmentLevel::Processed),
            encoding: Some(UiTransactionEncoding::Base64),
            ..Default::default()
        };
        let sent = self
            .rpc
            .send_transaction_with_config(transaction, config)
            .await
            .map_err(ClientError::from);
        match sent {
            Err(ClientError::AlreadyProcessed) => Ok(*transaction.get_signature()),
            sent => sent,
        }
    }

    /// Where a transaction stands; `None` while the node has not seen it, or no longer knows it.
    pub async fn signature_status(
        &self,
        signature: &Signature,
    ) -> Result<Option<SignatureState>, ClientError> {
        let states = self.signature_states(&[*signature]).await?;
        Ok(states.into_iter().next().flatten())
    }

    /// The same of several, in the order asked.
    pub async fn signature_states(
        &self,
        signatures: &[Signature],
    ) -> Result<Vec<Option<SignatureState>>, ClientError> {
        let response = self.rpc.get_signature_statuses(signatures).await?;
        let states = response.value.into_iter();
        let states = states.map(|status| {
            let status = status?;
            let commitment = if status.satisfies_commitment(CommitmentConfig::finalized()) {
                Commitment::Finalized
            } else if status.satisfies_commitment(CommitmentConfig::confirmed()) {
                Commitment::Confirmed
            } else {
                Commitment::Processed
            };
            Some(SignatureState {
                slot: status.slot,
                commitment,
                error: status.err,
            })
        });
        Ok(states.collect())
    }

    /// Follows an account: first its present state, then each change, the newest only.
    pub fn watch_account(&self, pubkey: &Pubkey, commitment: Commitment) -> AccountWatch {
        self.ws.account(*pubkey, commitment.into())
    }

    /// Follows the chain's slots.
    pub fn watch_slots(&self) -> SlotWatch {
        self.ws.slots()
    }
}

/// An account without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareAccount {
    /// Lamports it holds.
    pub lamports: u64,
    /// Whether it is a program.
    pub executable: bool,
    /// Length of its data.
    pub bytes: u64,
}

impl BareAccount {
    fn read(account: &UiAccount) -> Result<Self, ClientError> {
        let unsaid = || ClientError::Answer("an account without the length of its data".into());
        Ok(Self {
            lamports: account.lamports,
            executable: account.executable,
            bytes: account.space.ok_or_else(unsaid)?,
        })
    }
}

/// Least lamports with which accounts may exist: each byte costs the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rents {
    empty: u64,
    byte: u64,
}

impl Rents {
    /// Of an account of so many bytes.
    pub fn of(&self, bytes: u64) -> u64 {
        self.empty.saturating_add(self.byte.saturating_mul(bytes))
    }
}

/// Accounts of one type, and the slot that they were read at.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// Slot of the bank that was read.
    pub slot: u64,
    /// With their addresses.
    pub accounts: Vec<(Pubkey, T)>,
}

fn read_since(commitment: Commitment, least_slot: u64) -> RpcAccountInfoConfig {
    RpcAccountInfoConfig {
        encoding: Some(UiAccountEncoding::Base64),
        commitment: Some(commitment.into()),
        min_context_slot: (least_slot > 0).then_some(least_slot),
        ..Default::default()
    }
}

/// The slot that an answer is of, unless it is older than was asked for.
fn not_before(least: u64, slot: u64) -> Result<u64, ClientError> {
    match slot >= least {
        true => Ok(slot),
        false => Err(ClientError::Answer(format!(
            "it is of slot {slot}; {least} or later was asked for"
        ))),
    }
}

fn plain(pubkey: &Pubkey, account: &UiAccount) -> Result<Account, ClientError> {
    let unreadable =
        |what: &str| ClientError::Answer(format!("{what} of account {pubkey} can't be read"));
    Ok(Account {
        lamports: account.lamports,
        data: account.data.decode().ok_or_else(|| unreadable("data"))?,
        owner: account.owner.parse().map_err(|_| unreadable("owner"))?,
        ..Account::default()
    })
}

/// Builds and signs a transaction that `payer` pays for.
pub fn sign<S: Signers + ?Sized>(
    instructions: &[Instruction],
    payer: &Pubkey,
    signers: &S,
    blockhash: Hash,
) -> Result<Transaction, ClientError> {
    let mut transaction = Transaction::new_unsigned(Message::new_with_blockhash(
        instructions,
        Some(payer),
        &blockhash,
    ));
    transaction
        .try_sign(signers, blockhash)
        .map_err(|error| ClientError::Sign(error.to_string()))?;
    Ok(transaction)
}

/// Builds a transaction and adds the signatures at hand; others (a co-signing operator) follow.
pub fn sign_partly<S: Signers + ?Sized>(
    instructions: &[Instruction],
    payer: &Pubkey,
    signers: &S,
    blockhash: Hash,
) -> Result<Transaction, ClientError> {
    let mut transaction = Transaction::new_unsigned(Message::new_with_blockhash(
        instructions,
        Some(payer),
        &blockhash,
    ));
    transaction
        .try_partial_sign(signers, blockhash)
        .map_err(|error| ClientError::Sign(error.to_string()))?;
    Ok(transaction)
}

/// Fee of a transaction with so many signatures and no priority price, in lamports.
pub fn base_fee(signatures: usize) -> u64 {
    LAMPORTS_PER_SIGNATURE.saturating_mul(signatures as u64)
}

/// The public keys of signers, in order.
pub fn pubkeys(signers: &[&Keypair]) -> Vec<Pubkey> {
    signers.iter().map(|key| key.pubkey()).collect()
}
