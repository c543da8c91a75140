//! Money: the key that the bot holds for each person, what the chain says that it may spend, and the requests that it signs. Nobody's own
//! key is ever here: the delegate pays rent and fees with lamports that its person gave it, and spends from the vault as far as the chain lets it.

use std::{io::Write as _, path::Path, time::Duration};

use anyhow::Context as _;
use mythic_client::{
    ChainClient, ClientError, Commitment, account::found, base_fee, ix, pda, request,
};
use mythic_interface::{
    error::MythicError,
    hash::{domain, sha256},
    ix::{GrantSpend, RequestInference},
    le::{Text, U16, U32, U64},
    money,
    state::{Config, GRANT_MODELS, GrantStatus, Job, JobStatus, SpendGrant, Vault},
    window,
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::Message;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    CommitmentConfig, RpcSimulateTransactionConfig, UiTransactionEncoding,
};
use solana_signer::Signer as _;
use solana_transaction::{Transaction, versioned::VersionedTransaction};

use crate::{
    config::private,
    gateway::{Estimate, Terms},
    store::{Person, Retired},
};

/// Slots in which a request may reach the chain: once they are over and no job is there, nothing was paid and nothing will be.
pub const NONCE_SLOTS: u64 = 150;
/// Most lamports that a page's transaction may move, and that a grant may allow.
const MOST: u64 = 1_000_000_000_000_000;
/// Signatures of a request: the delegate's and the operator's.
const SIGNATURES: usize = 2;
/// Longest wait for a trial.
const TRIAL: Duration = Duration::from_secs(10);
/// Older delegates whose leave is ended together with the newest one's: as many as a transaction holds.
const GENERATIONS: i64 = 7;
/// Slots of a day at 400 ms.
pub const DAY_SLOTS: u32 = 216_000;

/// The secret that all delegates are derived from. Whoever has it can spend what was granted.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads the file; refuses one that others may read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = private(path, "secret_file")?;
        let mut secret = [0; 32];
        hex::decode_to_slice(text.trim(), &mut secret)
            .ok()
            .with_context(|| format!("secret_file {} must hold 64 hex digits", path.display()))?;
        Ok(Self(secret))
    }

    /// Reads the file, or makes it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        if !path.exists() {
            let named = || format!("writing secret_file {}", path.display());
            if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
                std::fs::create_dir_all(dir).with_context(named)?;
            }
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .with_context(named)?;
            let secret: [u8; 32] = rand::random();
            file.write_all(hex::encode(secret).as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(named)?;
        }
        Self::read(path)
    }

    /// The delegate of one person and wallet. Another generation is another key.
    pub fn delegate(&self, user: i64, wallet: &Pubkey, generation: i64) -> Keypair {
        let seed = sha256(&[
            domain::BOT_DELEGATE,
            &self.0,
            &user.to_le_bytes(),
            wallet.as_array(),
            &generation.to_le_bytes(),
        ]);
        Keypair::new_from_array(seed)
    }
}

/// A person's wallet and the key that may spend for it.
pub struct Payer {
    pub owner: Pubkey,
    pub delegate: Keypair,
}

impl std::fmt::Debug for Payer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payer")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// What the chain holds for somebody.
#[derive(Debug, Clone)]
pub struct Funds {
    /// Slot at which it was read.
    pub slot: u64,
    pub vault: Option<Vault>,
    pub grant: Option<SpendGrant>,
    /// Lamports of the delegate, for rent and fees.
    pub fuel: u64,
}

impl Funds {
    /// Lamports that the grant's window still allows at the slot.
    pub fn left_in_window(&self) -> Option<u64> {
        let grant = self.grant.as_ref()?;
        let slots = u64::from(grant.window_slots.get());
        let end = grant.window_start.get().saturating_add(slots);
        let spent = match window::open(self.slot, end) {
            true => grant.window_spent.get(),
            false => 0,
        };
        Some(grant.window_max.get().saturating_sub(spent))
    }

    /// Whether the grant can be spent at all.
    pub fn is_granted(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| {
            grant.header.status == GrantStatus::Active as u8
                && window::open(self.slot, grant.expiry_slot.get())
        })
    }
}

/// A request that is signed and may be sent.
#[derive(Debug, Clone)]
pub struct Signed {
    /// As the gateway takes it.
    pub encoded: String,
    pub transaction: Transaction,
    pub job: Pubkey,
    /// Last slot in which it can land.
    pub expiry: u64,
    /// Most lamports that it can cost, as the chain will compute it.
    pub ceiling: u64,
}

impl Signed {
    /// The transaction's name: the signature of who pays for it.
    pub fn signature(&self) -> String {
        let first = self.transaction.signatures.first();
        first.map(ToString::to_string).unwrap_or_default()
    }
}

/// Why a request can't be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("no validator is free for this model now")]
    NoValidator,
    #[error("the gateway's estimate can't be read: {0}")]
    Estimate(&'static str),
    #[error(transparent)]
    Chain(#[from] ClientError),
}

/// What the wallet page has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Lamports into the vault.
    #[serde(deserialize_with = "lamports")]
    pub deposit: u64,
    /// Most lamports of one job.
    #[serde(deserialize_with = "lamports")]
    pub per_job: u64,
    /// Most lamports a day.
    #[serde(deserialize_with = "lamports")]
    pub per_day: u64,
    /// Most lamports ever.
    #[serde(deserialize_with = "lamports")]
    pub in_all: u64,
    /// Days until it ends.
    pub days: u32,
    /// Lamports for rent and fees.
    #[serde(deserialize_with = "lamports")]
    pub fuel: u64,
}

/// Lamports as a decimal string: a page's numbers lose digits.
fn lamports<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(from)?;
    let lamports = text.parse::<u64>().map_err(serde::de::Error::custom)?;
    match lamports <= MOST {
        true => Ok(lamports),
        false => Err(serde::de::Error::custom(
            "more lamports than may be moved at once",
        )),
    }
}

impl Allow {
    /// What can't be, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.per_job == 0 || self.per_day == 0 || self.in_all == 0 {
            return Err("every limit must be more than 0");
        }
        match (1..=3_650).contains(&self.days) {
            true => Ok(()),
            false => Err("the leave must last for 1 to 3650 days"),
        }
    }
}

/// The chain, as far as money is concerned. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Purse {
    pub chain: ChainClient,
    secret: Secret,
}

impl Purse {
    /// By a chain and the bot's secret.
    pub fn new(chain: ChainClient, secret: Secret) -> Self {
        Self { chain, secret }
    }

    /// What Telegram is to send along with updates: nobody else can know it, and every start finds the same.
    pub fn webhook_secret(&self) -> String {
        hex::encode(sha256(&[domain::BOT_WEBHOOK, &self.secret.0]))
    }

    /// Who pays for a person; `None` without a linked wallet.
    pub fn payer(&self, user: i64, person: &Person) -> Option<Payer> {
        let owner: Pubkey = person.wallet.as_deref()?.parse().ok()?;
        let delegate = self.secret.delegate(user, &owner, person.generation);
        Some(Payer { owner, delegate })
    }

    /// What the chain holds for somebody, confirmed.
    pub async fn funds(&self, payer: &Payer) -> Result<Funds, ClientError> {
        let delegate = payer.delegate.pubkey();
        let vault = pda::vault(payer.owner);
        let grant = pda::grant(payer.owner, delegate);
        let asked = [vault, grant, delegate];
        let read = self
            .chain
            .raw_accounts(&asked, Commitment::Confirmed)
            .await?;
        let account = |at: usize| read.get(at).and_then(|snapshot| snapshot.account.as_ref());
        Ok(Funds {
            slot: read.first().map_or(0, |snapshot| snapshot.slot),
            vault: found(&vault, account(0))?,
            grant: found(&grant, account(1))?,
            fuel: account(2).map_or(0, |account| account.lamports),
        })
    }

    /// Lamports that a delegate lacks for the rent of one more job, for its transaction, and to exist itself; `None` if it has them.
    pub async fn lacks(&self, payer: &Payer) -> Result<Option<u64>, ClientError> {
        let rents = self.chain.rents().await?;
        let own = rents.of(0).saturating_add(base_fee(SIGNATURES));
        let needed = rents.of(Job::LEN as u64).saturating_add(own);
        let balance = self.chain.balance(&payer.delegate.pubkey()).await?;
        Ok(needed.checked_sub(balance).filter(|lacking| *lacking > 0))
    }

    /// Signs a request for what an estimate says, with a nonce that no other request has.
    pub async fn sign(&self, payer: &Payer, estimate: &Estimate) -> Result<Signed, SignError> {
        let slot = self.chain.slot(Commitment::Processed).await?;
        let expiry = slot.saturating_add(NONCE_SLOTS);
        let nonce = window::nonce(expiry, rand::random());
        let arguments = arguments(estimate, nonce)?;
        let terms = &estimate.terms;
        let who = ix::Requester {
            payer: payer.delegate.pubkey(),
            requester: payer.delegate.pubkey(),
            owner: payer.owner,
            model: address(&terms.model)?,
            validator: Some(validator(terms)?),
        };
        let hash = self
            .chain
            .latest_blockhash(Commitment::Confirmed)
            .await?
            .hash;
        let signers = [&payer.delegate, &payer.delegate];
        let transaction = request::build(&who, &arguments, signers, hash)?;
        Ok(Signed {
            encoded: request::encode(&transaction)?,
            job: pda::job(payer.owner, &nonce),
            expiry,
            ceiling: money::price(
                estimate.prompt_tokens,
                estimate.max_output_tokens,
                estimate.price_in_lamports_per_1k,
                estimate.price_out_lamports_per_1k,
            )
            .map_err(|_| SignError::Estimate("its price"))?,
            transaction,
        })
    }

    /// Asks the chain on trial whether it would take a request. Its refusal, if it refuses.
    pub async fn trial(
        &self,
        transaction: &Transaction,
    ) -> Result<Option<ClientError>, ClientError> {
        let config = RpcSimulateTransactionConfig {
            sig_verify: false,
            commitment: Some(CommitmentConfig::processed()),
            encoding: Some(UiTransactionEncoding::Base64),
            ..RpcSimulateTransactionConfig::default()
        };
        let asked = self
            .chain
            .rpc()
            .simulate_transaction_with_config(transaction, config);
        let answer = tokio::time::timeout(TRIAL, asked)
            .await
            .map_err(|_| ClientError::Rpc("no answer in time".into()))?
            .map_err(ClientError::from)?;
        let refusal = answer.value.err;
        Ok(refusal.map(|error| ClientError::from_transaction(error.into())))
    }

    /// What the chain says of a job, confirmed.
    pub async fn job(&self, job: &str) -> Result<Standing, ClientError> {
        let Ok(address) = job.parse::<Pubkey>() else {
            return Ok(Standing::Absent);
        };
        let read = self
            .chain
            .account_at::<Job>(&address, Commitment::Confirmed);
        Ok(match read.await {
            Ok(Some((_, job))) => Standing::of(&job),
            Ok(None) | Err(ClientError::Account { .. }) => Standing::Absent,
            Err(error) => return Err(error),
        })
    }

    /// First slot in which the account of a job may be closed whose request could land until `expiry`: from then on its absence says nothing.
    pub async fn closable(&self, expiry: u64) -> Result<u64, ClientError> {
        let delay = self
            .chain
            .account_at::<Config>(&pda::config(), Commitment::Confirmed)
            .await?
            .map_or(0, |(_, config)| config.params.rules.close_delay_slots.get());
        let asked = expiry.saturating_sub(NONCE_SLOTS);
        Ok(asked.saturating_add(u64::from(delay)))
    }

    /// A transaction for the wallet to sign: deposit, leave to spend, lamports for rent and fees.
    pub async fn allow(&self, payer: &Payer, allow: &Allow) -> Result<String, ClientError> {
        let (owner, delegate) = (payer.owner, payer.delegate.pubkey());
        let funds = self.funds(payer).await?;
        let slots = u64::from(allow.days).saturating_mul(u64::from(DAY_SLOTS));
        let grant = GrantSpend {
            spent: U64::new(funds.grant.map_or(0, |grant| grant.lifetime_spent.get())),
            per_job_max: U64::new(allow.per_job),
            window_max: U64::new(allow.per_day),
            window_slots: U32::new(DAY_SLOTS),
            lifetime_cap: U64::new(allow.in_all),
            expiry_slot: U64::new(funds.slot.saturating_add(slots)),
            model_count: 0,
            models: [[0; 32]; GRANT_MODELS],
        };
        let mut instructions = Vec::new();
        if allow.deposit > 0 {
            instructions.push(ix::deposit_vault(owner, owner, allow.deposit));
        }
        instructions.push(ix::grant_spend(owner, owner, delegate, &grant));
        if allow.fuel > 0 {
            let transfer = solana_system_interface::instruction::transfer;
            instructions.push(transfer(&owner, &delegate, allow.fuel));
        }
        self.unsigned(&instructions, &owner).await
    }

    /// A transaction for the wallet to sign that ends every leave that it gave the bot's delegates of a person, the newest generations
    /// of them; `None` if none stands.
    pub async fn revoke(
        &self,
        user: i64,
        owner: &Pubkey,
        generation: i64,
    ) -> Result<Option<String>, ClientError> {
        let newest = generation.saturating_sub(GENERATIONS).max(0)..=generation;
        let delegates: Vec<Pubkey> = newest
            .map(|generation| self.secret.delegate(user, owner, generation).pubkey())
            .collect();
        let grants: Vec<Pubkey> = delegates
            .iter()
            .map(|delegate| pda::grant(owner, delegate))
            .collect();
        let read = self
            .chain
            .raw_accounts(&grants, Commitment::Confirmed)
            .await?;
        let mut instructions = Vec::new();
        for ((delegate, address), snapshot) in delegates.iter().zip(&grants).zip(&read) {
            let grant: Option<SpendGrant> = found(address, snapshot.account.as_ref())?;
            if grant.is_some_and(|grant| grant.header.status == GrantStatus::Active as u8) {
                instructions.push(ix::revoke_grant(owner, delegate));
            }
        }
        match instructions.is_empty() {
            true => Ok(None),
            false => self.unsigned(&instructions, owner).await.map(Some),
        }
    }

    async fn unsigned(
        &self,
        instructions: &[Instruction],
        owner: &Pubkey,
    ) -> Result<String, ClientError> {
        let hash = self
            .chain
            .latest_blockhash(Commitment::Confirmed)
            .await?
            .hash;
        let message = Message::new_with_blockhash(instructions, Some(owner), &hash);
        request::encode(&Transaction::new_unsigned(message))
    }

    /// Sends what a wallet signed, and waits until it is confirmed.
    pub async fn land(&self, transaction: &VersionedTransaction) -> Result<(), ClientError> {
        self.chain
            .send_until(transaction, Commitment::Confirmed, None)
            .await
            .map(drop)
    }

    /// Sends what lies on a retired delegate back to its wallet. Whether anything was there.
    pub async fn sweep(&self, retired: &Retired) -> Result<bool, ClientError> {
        let Ok(owner) = retired.wallet.parse::<Pubkey>() else {
            return Ok(false);
        };
        let delegate = self
            .secret
            .delegate(retired.user, &owner, retired.generation);
        let from = delegate.pubkey();
        let lamports = self.chain.balance(&from).await?;
        let Some(rest) = lamports.checked_sub(base_fee(1)).filter(|rest| *rest > 0) else {
            return Ok(false);
        };
        let transfer = solana_system_interface::instruction::transfer(&from, &owner, rest);
        self.chain
            .send_and_confirm(&[transfer], &from, &[&delegate], Commitment::Confirmed)
            .await?;
        Ok(true)
    }
}

/// Where a job stands on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    Absent,
    /// It has no result yet.
    Runs,
    /// It has a result.
    HasResult,
    /// It ended without one, and was paid back whole.
    Refunded,
    /// It ended: its fee was paid.
    Settled,
    /// It ended: its validator lost stake for it.
    Slashed,
}

impl Standing {
    fn of(job: &Job) -> Self {
        match job.status() {
            Some(JobStatus::Submitted | JobStatus::Disputed) => Self::HasResult,
            Some(JobStatus::Settled) => Self::Settled,
            Some(JobStatus::Slashed) => Self::Slashed,
            Some(JobStatus::Refunded) => Self::Refunded,
            Some(JobStatus::Open | JobStatus::Accepted) | None => Self::Runs,
        }
    }
}

fn address(text: &str) -> Result<Pubkey, SignError> {
    text.parse().map_err(|_| SignError::Estimate("an address"))
}

fn validator(terms: &Terms) -> Result<(Pubkey, Pubkey), SignError> {
    match (&terms.validator, &terms.operator) {
        (Some(validator), Some(operator)) => Ok((address(validator)?, address(operator)?)),
        _ => Err(SignError::NoValidator),
    }
}

fn digest(text: &str) -> Result<[u8; 32], SignError> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| SignError::Estimate("a hash"))?;
    Ok(digest)
}

/// The request's arguments: exactly what the estimate says.
fn arguments(estimate: &Estimate, nonce: [u8; 16]) -> Result<RequestInference, SignError> {
    let terms = &estimate.terms;
    Ok(RequestInference {
        nonce,
        canceller: address(&terms.canceller)?.to_bytes(),
        prompt_hash: digest(&terms.prompt_hash)?,
        prompt_tokens: U32::new(estimate.prompt_tokens),
        max_output_tokens: U32::new(estimate.max_output_tokens),
        price_in: U32::new(estimate.price_in_lamports_per_1k),
        price_out: U32::new(estimate.price_out_lamports_per_1k),
        user_seed: rand::random(),
        temperature_milli: U16::new(terms.temperature_milli),
        sampling_profile: terms.sampling_profile,
        options_hash: digest(&terms.options_hash)?,
        prompt_source: Text::new(terms.prompt_source.as_str())
            .ok_or(SignError::Estimate("the gateway's address"))?,
        deadline_slots: U32::new(terms.deadline_slots),
        rules_hash: digest(&terms.rules_hash)?,
        // The builder gives it.
        bump: 0,
    })
}

/// An error of the chain in words for people. What a node or the way to it says is for the log alone: it names the URL, and that may hold
/// the operator's key.
pub fn spoken(error: &ClientError) -> String {
    match error {
        ClientError::Rpc(_) | ClientError::Certificate(_) | ClientError::Answer(_) => {
            tracing::warn!(%error, "the chain can't be asked");
            "its node does not answer as it should".into()
        }
        error => error.to_string(),
    }
}

/// A refusal of the chain, in words.
pub fn refusal(error: &ClientError) -> String {
    match error {
        ClientError::Rpc(_) | ClientError::Certificate(_) | ClientError::Answer(_) => {
            format!("The chain can't be asked now: {}.", spoken(error))
        }
        ClientError::Program(program) => {
            let then = match program {
                MythicError::GrantSpentChanged => {
                    " A question was asked or ended meanwhile: do it again."
                }
                _ => "",
            };
            format!(
                "The chain refuses: {} ({}, {}).{then}",
                program.message(),
                program.name(),
                program.code()
            )
        }
        ClientError::Transaction(error) if error.to_string().contains("nsufficient") => format!(
            "The chain refuses: {error}. What your delegate has for rent and fees is used up: add some on the wallet page, /link."
        ),
        error => format!("The chain refuses: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delegate_is_the_same_for_the_same_and_another_for_everything_else() {
        let (secret, wallet) = (Secret([1; 32]), Pubkey::new_from_array([2; 32]));
        let key = |secret: &Secret, user, wallet: &Pubkey, generation| {
            secret.delegate(user, wallet, generation).pubkey()
        };
        let one = key(&secret, 7, &wallet, 0);
        assert_eq!(one, key(&secret, 7, &wallet, 0));
        let other = Pubkey::new_from_array([3; 32]);
        for another in [
            key(&Secret([2; 32]), 7, &wallet, 0),
            key(&secret, 8, &wallet, 0),
            key(&secret, 7, &other, 0),
            key(&secret, 7, &wallet, 1),
        ] {
            assert_ne!(one, another);
        }
    }

    #[test]
    fn the_secret_is_made_once_and_kept_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/bot.secret");
        let first = Secret::open(&path).unwrap();
        assert_eq!(first.0, Secret::open(&path).unwrap().0);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = format!("{:#}", Secret::open(&path).unwrap_err());
        assert!(error.contains("chmod 600"), "{error}");
    }

    /// An estimate as a gateway gives it.
    fn estimate() -> Estimate {
        let key = |n: u8| Pubkey::new_from_array([n; 32]).to_string();
        serde_json::from_value(serde_json::json!({
            "object": "estimate", "model": "tiny", "prompt_tokens": 10, "max_output_tokens": 20,
            "estimated_cost_lamports": 5, "ceiling_cost_lamports": 30,
            "price_in_lamports_per_1k": 1_000, "price_out_lamports_per_1k": 1_000,
            "terms": {
                "model": key(1), "canceller": key(2), "salt": "00".repeat(16), "prompt_hash": "01".repeat(32),
                "sampling_profile": 1, "options_hash": "00".repeat(32), "temperature_milli": 1_000, "prompt_source": "http://127.0.0.1:4002",
                "deadline_slots": 300, "rules_hash": "02".repeat(32), "validator": key(3), "operator": key(4)
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_request_says_what_its_estimate_says_or_is_not_signed() {
        let good = estimate();
        let signed = arguments(&good, [9; 16]).unwrap();
        assert_eq!(
            (signed.prompt_tokens.get(), signed.max_output_tokens.get()),
            (10, 20)
        );
        assert_eq!((signed.nonce, signed.rules_hash), ([9; 16], [2; 32]));
        let refused = |change: fn(&mut Terms)| {
            let mut estimate = estimate();
            change(&mut estimate.terms);
            arguments(&estimate, [9; 16]).is_err() || validator(&estimate.terms).is_err()
        };
        assert!(refused(|terms| terms.canceller = "x".into()));
        assert!(refused(|terms| terms.prompt_hash = "01".into()));
        assert!(refused(|terms| terms.prompt_source = "x".repeat(200)));
        assert!(refused(|terms| terms.operator = None));
    }

    #[test]
    fn where_the_chain_is_asked_is_told_to_nobody() {
        let away =
            ClientError::Rpc("error sending request for url (https://node/?key=secret)".into());
        for said in [spoken(&away), refusal(&away)] {
            assert!(!said.contains("secret"), "{said}");
        }
        let expired = refusal(&ClientError::UnknownBlockhash);
        assert!(expired.contains("blockhash"), "{expired}");
        let changed = refusal(&ClientError::Program(MythicError::GrantSpentChanged));
        assert!(
            changed.contains("612") && changed.ends_with("do it again."),
            "{changed}"
        );
    }

    #[test]
    fn amounts_of_the_page_are_whole_bounded_and_more_than_nothing() {
        let read = |per_job: &str, days: u32| {
            let text = format!(
                r#"{{"deposit":"0","per_job":"{per_job}","per_day":"5","in_all":"9","days":{days},"fuel":"0"}}"#
            );
            let allow: Result<Allow, _> = serde_json::from_str(&text);
            allow.is_ok_and(|allow| allow.check().is_ok())
        };
        assert!(read("1", 30));
        for wrong in [
            "0",
            "-1",
            "1.5",
            "",
            "99999999999999999999",
            "1000000000000001",
        ] {
            assert!(!read(wrong, 30), "{wrong}");
        }
        assert!(!read("1", 0) && !read("1", 4_000));
    }
}
