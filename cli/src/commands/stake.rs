//! `add-stake` of validators and providers: more lamports behind a name.

use crate::{
    commands::{lease::address, wallet},
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    note,
    report::Report,
    units::{parse_amount, sol},
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_client::{ChainClient, Commitment, base_fee, ix, keys, market, pda};
use mythic_interface::{
    market::state::{MarketConfig, Provider},
    state::{Config, Validator},
    window,
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::path::PathBuf;

/// Add stake; the wallet (--keypair) pays. It counts after a while, which is said first: what waits already then waits anew. It comes back by
/// unstaking
#[derive(Args, Debug)]
pub struct AddStake {
    /// SOL (1.5), or lamports (1500lamports)
    #[arg(value_parser = parse_amount)]
    amount: u64,
    /// Key file of the authority, which signs; of a validator that changed hands, of its owner
    #[arg(long)]
    authority: PathBuf,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is staked already, and what adds to it.
struct Staked {
    /// Lamports that count as the account was written, and that count or wait from a slot on.
    active: u64,
    activating: u64,
    activating_slot: u64,
    /// Slots until what is added counts.
    slots: u64,
    call: Instruction,
}

impl Staked {
    /// Lamports that count at a slot, and that wait.
    fn at(&self, slot: u64) -> (u64, u64) {
        match window::open(slot, self.activating_slot) {
            true => (self.active, self.activating),
            // The program counts it in when it writes the account next.
            false => (self.active.saturating_add(self.activating), 0),
        }
    }
}

impl AddStake {
    /// To a provider of the Compute Market.
    pub async fn provider(self, connection: &Connection) -> Result<()> {
        let (chain, payer) = (connection.chain(), connection.wallet()?);
        let signer = keys::load_keypair(&self.authority).context("--authority")?;
        let authority = signer.pubkey();
        let read = chain
            .account::<Provider>(&market::address::provider(authority))
            .await?;
        let (_, state) = read.ok_or_else(|| not_found("provider", &authority))?;
        let read = chain
            .account::<MarketConfig>(&market::address::config())
            .await?;
        let (_, config) = read.context("the market is not initialised on this chain")?;
        let staked = Staked {
            active: state.stake.get(),
            activating: state.activating.get(),
            activating_slot: state.activating_slot.get(),
            slots: config.params.unbonding_slots.get().into(),
            call: market::ix::add_stake(payer.pubkey(), authority, self.amount),
        };
        self.add(&chain, (&payer, &signer), &authority, staked)
            .await
    }

    /// To a validator: the one that the signer is the authority of, or another one that it owns.
    pub async fn validator(self, of: Option<String>, connection: &Connection) -> Result<()> {
        let (chain, payer) = (connection.chain(), connection.wallet()?);
        let signer = keys::load_keypair(&self.authority).context("--authority")?;
        let authority = match of {
            Some(validator) => address(&validator)?,
            None => signer.pubkey(),
        };
        let read = chain
            .account::<Validator>(&pda::validator(authority))
            .await?;
        let (_, state) = read.ok_or_else(|| not_found("validator", &authority))?;
        let read = chain.account::<Config>(&pda::config()).await?;
        let (_, config) = read.context("the network is not initialised on this chain")?;
        let staked = Staked {
            active: state.stake.get(),
            activating: state.activating.get(),
            activating_slot: state.activating_slot.get(),
            slots: config.params.activation_slots().into(),
            call: ix::add_stake(payer.pubkey(), signer.pubkey(), authority, self.amount),
        };
        self.add(&chain, (&payer, &signer), &authority, staked)
            .await
    }

    /// Says what it does, asks, and does it.
    async fn add(
        &self,
        chain: &ChainClient,
        (payer, signer): (&Keypair, &Keypair),
        authority: &Pubkey,
        staked: Staked,
    ) -> Result<()> {
        let slot = chain.slot(Commitment::Processed).await?;
        let counts = slot.saturating_add(staked.slots);
        let (active, waiting) = staked.at(slot);
        note!("Adding {} to the stake of {authority}:", sol(self.amount));
        note!(
            "  {} count now, {} wait; with what is added they count from about slot {counts} on, {} slots from now",
            sol(active),
            sol(waiting),
            staked.slots
        );
        note!("  {} of fees", sol(base_fee(2)));
        let question = format!(
            "Wallet {} signs and pays {}. Go on?",
            payer.pubkey(),
            sol(self.amount.saturating_add(base_fee(2)))
        );
        confirm(&question, self.yes)?;
        let sent = chain
            .send_and_confirm(
                &[staked.call],
                &payer.pubkey(),
                &[payer, signer],
                Commitment::Confirmed,
            )
            .await;
        let signature = match sent {
            Ok(signature) => signature,
            Err(error) => return Err(wallet::explained(chain, payer, error).await),
        };
        Report::default()
            .add("authority", authority.to_string())
            .lamports("added", self.amount)
            .lamports("stake", active)
            .lamports("activating", waiting.saturating_add(self.amount))
            .add("counts_from_slot", counts)
            .add("signature", signature.to_string())
            .print(self.json)
    }
}

fn not_found(what: &str, authority: &Pubkey) -> anyhow::Error {
    Exit::error(exit::NOT_FOUND, format!("no {what} {authority}"))
}
