//! `mythic grant`: what a delegate may spend from a vault.

use super::wallet::send;
use crate::{
    context::Connection,
    exit::{self, Exit},
    note,
    report::{Report, print_rows},
    say, terminal,
    units::parse_amount,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use mythic_client::{ChainClient, ClientError, Commitment, Filter, ix, pda};
use mythic_interface::{
    error::MythicError,
    ix::GrantSpend,
    le::{U32, U64},
    state::{GRANT_MODELS, SpendGrant},
};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;

/// A slot that never comes.
const NEVER: u64 = i64::MAX as u64;

/// How often a grant is read again because its delegate spent meanwhile.
const TRIES: u32 = 5;

/// What a grant allows.
#[derive(Args, Debug, Clone)]
pub struct Limits {
    /// Most in one window: SOL (1.5), or lamports (1500lamports)
    #[arg(long, value_parser = parse_amount)]
    limit: u64,
    /// Most that one job may cost [default: the window's limit]
    #[arg(long, value_parser = parse_amount)]
    per_job: Option<u64>,
    /// Length of a window in slots (9,000 are about an hour, 216,000 a day)
    #[arg(long, default_value_t = 216_000)]
    pub window_slots: u32,
    /// Most ever [default: ten times the window's limit]
    #[arg(long, value_parser = parse_amount)]
    lifetime: Option<u64>,
    /// Slot from which the grant is void [default: never]
    #[arg(long)]
    expires: Option<u64>,
}

impl Limits {
    /// As the instruction takes it, for a grant of which so much is spent.
    pub fn arguments(&self, spent: u64) -> GrantSpend {
        GrantSpend {
            spent: U64::new(spent),
            per_job_max: U64::new(self.per_job.unwrap_or(self.limit)),
            window_max: U64::new(self.limit),
            window_slots: U32::new(self.window_slots),
            lifetime_cap: U64::new(
                self.lifetime
                    .unwrap_or_else(|| self.limit.saturating_mul(10))
                    .min(NEVER),
            ),
            expiry_slot: U64::new(self.expires.unwrap_or(NEVER)),
            model_count: 0,
            models: [[0; 32]; GRANT_MODELS],
        }
    }
}

/// Grants.
#[derive(Subcommand, Debug)]
pub enum Grant {
    /// Let a delegate spend from the vault, or change its limits
    Create {
        /// Delegate's address
        delegate: Pubkey,
        #[command(flatten)]
        limits: Limits,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// All grants of this wallet's vault
    List {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Limits, and what was spent of them
    Show {
        /// Delegate's address
        delegate: Pubkey,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a grant; running jobs go on
    Revoke {
        /// Delegate's address
        delegate: Pubkey,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Close a grant that is over; its rent goes to who paid it
    Close {
        /// Delegate's address
        delegate: Pubkey,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

async fn load(chain: &ChainClient, owner: &Pubkey, delegate: &Pubkey) -> Result<SpendGrant> {
    match chain
        .account::<SpendGrant>(&pda::grant(owner, delegate))
        .await?
    {
        Some((_, grant)) => Ok(grant),
        None => Err(Exit::error(
            exit::NOT_FOUND,
            format!(
                "{delegate} has no grant from {owner}; `mythic grant create {delegate} --limit AMOUNT` makes one"
            ),
        )),
    }
}

/// Makes a grant or changes its limits. What was spent is stated and may change on the way: then it is read again.
async fn create(
    chain: &ChainClient,
    wallet: &Keypair,
    delegate: &Pubkey,
    limits: &Limits,
) -> Result<Signature> {
    let owner = wallet.pubkey();
    let address = pda::grant(owner, delegate);
    let mut tries = 0;
    loop {
        let found = chain.account::<SpendGrant>(&address).await?;
        let spent = found.map_or(0, |(_, grant)| grant.lifetime_spent.get());
        let instruction = ix::grant_spend(owner, owner, delegate, &limits.arguments(spent));
        tries += 1;
        match send(chain, wallet, &[instruction]).await {
            Err(error) if tries < TRIES && is_changed(&error) => {}
            Err(error) if is_changed(&error) => {
                return Err(error.context(format!(
                    "{delegate} spends all the time; `mythic grant revoke {delegate}` first, which nothing holds up"
                )));
            }
            done => return done,
        }
    }
}

/// Whether the delegate spent meanwhile.
fn is_changed(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    let client = causes.find_map(|cause| cause.downcast_ref::<ClientError>());
    matches!(
        client,
        Some(ClientError::Program(MythicError::GrantSpentChanged))
    )
}

/// A grant as people and scripts see it.
fn describe(grant: &SpendGrant) -> Report {
    let owner = Pubkey::new_from_array(grant.owner);
    let delegate = Pubkey::new_from_array(grant.delegate);
    let (revoked, expiry) = (grant.revoked_slot.get(), grant.expiry_slot.get());
    let mut report = Report::default();
    report
        .add("grant", pda::grant(owner, delegate).to_string())
        .add("owner", owner.to_string())
        .add("delegate", delegate.to_string())
        .lamports("per_job_max", grant.per_job_max.get())
        .lamports("window_max", grant.window_max.get())
        .lamports("window_spent", grant.window_spent.get())
        .add("window_slots", grant.window_slots.get())
        .lamports("lifetime_cap", grant.lifetime_cap.get())
        .lamports("lifetime_spent", grant.lifetime_spent.get())
        .add("open_jobs", grant.open_jobs.get())
        .say(
            "expiry_slot",
            if expiry >= NEVER {
                "never".into()
            } else {
                expiry.to_string()
            },
            (expiry < NEVER).then_some(expiry),
        )
        .say(
            "revoked_slot",
            if revoked == 0 {
                "not revoked".into()
            } else {
                revoked.to_string()
            },
            (revoked > 0).then_some(revoked),
        );
    report
}

/// Every grant from the owner's vault: those that can spend first, then by delegate.
async fn list(chain: &ChainClient, owner: &Pubkey, json: bool) -> Result<()> {
    let found = chain
        .program_accounts::<SpendGrant>(
            &[Filter::<SpendGrant>::owner(owner)],
            Commitment::Confirmed,
        )
        .await?;
    let mut grants: Vec<SpendGrant> = found.into_iter().map(|(_, grant)| grant).collect();
    grants.sort_by_key(|grant| (grant.revoked_slot.get() > 0, grant.delegate));
    let rows: Vec<Value> = grants
        .iter()
        .map(|grant| describe(grant).into_json())
        .collect();
    let columns = [
        ("DELEGATE", "delegate"),
        ("PER JOB", "per_job_max_lamports"),
        ("WINDOW SPENT", "window_spent_lamports"),
        ("OF", "window_max_lamports"),
        ("EVER SPENT", "lifetime_spent_lamports"),
        ("OF", "lifetime_cap_lamports"),
        ("OPEN JOBS", "open_jobs"),
        ("REVOKED IN SLOT", "revoked_slot"),
    ];
    let none = "No grant from this wallet's vault; `mythic grant create DELEGATE --limit AMOUNT` makes one.";
    print_rows(&rows, &columns, none, json)?;
    if !json && !rows.is_empty() {
        note!(
            "Amounts in lamports; windows are of a grant's own length, see `mythic grant show DELEGATE`."
        );
    }
    Ok(())
}

/// Runs `mythic grant`.
pub async fn run(command: Grant, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    let owner = wallet.pubkey();
    let chain = connection.chain();
    match command {
        Grant::Create {
            delegate,
            limits,
            json,
        } => {
            let signature = create(&chain, &wallet, &delegate, &limits).await?;
            let made = load(&chain, &owner, &delegate).await?;
            let mut report = describe(&made);
            report.add("signature", signature.to_string()).print(json)
        }
        Grant::List { json } => list(&chain, &owner, json).await,
        Grant::Show { delegate, json } => {
            describe(&load(&chain, &owner, &delegate).await?).print(json)
        }
        Grant::Revoke { delegate, json } => {
            load(&chain, &owner, &delegate).await?;
            let signature = send(&chain, &wallet, &[ix::revoke_grant(owner, delegate)]).await?;
            if json {
                let done = json!({"delegate": delegate.to_string(), "revoked": true, "signature": signature.to_string()});
                return terminal::json(&done);
            }
            say!("revoked in {signature}; jobs that run go on");
            Ok(())
        }
        Grant::Close { delegate, json } => {
            let grant = load(&chain, &owner, &delegate).await?;
            let rent_payer = Pubkey::new_from_array(grant.rent_payer);
            let instruction = ix::close_grant(owner, delegate, rent_payer);
            let signature = send(&chain, &wallet, &[instruction]).await?;
            if json {
                let done = json!({"delegate": delegate.to_string(), "closed": true, "rent_payer": rent_payer.to_string(), "signature": signature.to_string()});
                return terminal::json(&done);
            }
            say!("closed in {signature}; its rent went to {rent_payer}");
            Ok(())
        }
    }
}
