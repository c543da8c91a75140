//! The Compute Market of a development network: initialised, with class `cpu` and one provider of it. Every step looks first, so that a
//! restart repeats none.

use anyhow::{Context, Result};
use mythic_client::{ChainClient, Commitment, keys::DevKeys, market};
use mythic_interface::{
    le::{Text, U32, U64},
    market::{
        ix::{self, Initialize, RegisterClass},
        params::{Grid, MarketParams},
        state::{Class, MarketConfig, Probe, RING},
    },
};
use mythic_provider::{ProviderConfig, setup};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

/// Name of the one class.
pub const CLASS: &str = "cpu";
/// Milliseconds of an epoch, of the time to dispute a proof, of that to answer.
const EPOCH_MS: u64 = 60_000;
const DISPUTE_MS: u64 = 40_000;
const OPENINGS_MS: u64 = 20_000;
/// Slots of an epoch, whatever the pace: the program takes proofs in at most 400 slots, a third of an epoch.
const EPOCH_SLOTS: (u64, u64) = (100, 1_200);
/// Milliseconds of a slot that a manual network is made for.
const MANUAL_MS: u64 = 400;
/// Stake behind a unit, lamports.
const STAKE_PER_UNIT: u64 = 1_000_000_000;
/// Lamports a second of a unit, where the stake backs as much.
const PRICE: u64 = 10_000;

/// A market whose times are about the same at every pace of the chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Market {
    pub grid: Grid,
    pub params: MarketParams,
    /// What a unit of class `cpu` proves.
    pub probe: Probe,
}

impl Market {
    /// That of a network with slots of so many milliseconds, 0 = manual.
    pub fn at_pace(slot_ms: u64) -> Self {
        let slot_ms = if slot_ms == 0 { MANUAL_MS } else { slot_ms };
        let narrow = |slots: u64| U32::new(u32::try_from(slots).unwrap_or(u32::MAX));
        let slots = (EPOCH_MS / slot_ms).clamp(EPOCH_SLOTS.0, EPOCH_SLOTS.1);
        let mut params = MarketParams::dev();
        let rules = &mut params.rules;
        // A minute to start, and one to acknowledge that.
        rules.start_slots = narrow(slots).max(rules.start_slots);
        rules.ack_slots = narrow(slots);
        let of_ms = |ms: u64, least: U32| narrow((ms / slot_ms).min(slots)).max(least);
        rules.dispute_slots = of_ms(DISPUTE_MS, rules.dispute_slots);
        rules.openings_slots = of_ms(OPENINGS_MS, rules.openings_slots);
        params.unbonding_slots = narrow(params.least_unbonding_slots());
        // The program takes slots of 1/20 to 2 seconds.
        let seconds = (slots * slot_ms / 1_000).clamp(slots.div_ceil(20), 2 * slots);
        Self {
            grid: Grid {
                epoch_slots: narrow(slots),
                epoch_seconds: narrow(seconds),
            },
            params,
            probe: Probe {
                n: U32::new(512),
                rounds: U32::new(8),
                proof_slots: narrow(slots / 3),
                stake_per_unit: U64::new(STAKE_PER_UNIT),
            },
        }
    }

    /// What a second of a unit costs: little, and backed by the stake behind it.
    pub fn price(&self) -> u64 {
        let seconds = u64::from(self.grid.epoch_seconds.get());
        PRICE.min(STAKE_PER_UNIT / RING as u64 / seconds)
    }

    /// Initialises the market, registers the class and makes the chain say of the provider what its configuration says.
    pub async fn prepare(
        &self,
        chain: &ChainClient,
        keys: &DevKeys,
        provider: &ProviderConfig,
    ) -> Result<()> {
        let admin = keys.admin.pubkey();
        let config = market::address::config();
        if chain.account::<MarketConfig>(&config).await?.is_none() {
            let args = Initialize {
                admin: admin.to_bytes(),
                foundation: keys.foundation.pubkey().to_bytes(),
                grid: self.grid,
                params: self.params,
            };
            let call = ix::initialize(admin, admin, &args);
            send(chain, call, &[&keys.admin])
                .await
                .context("initialising the market")?;
        }
        let name = Text::new(CLASS).context("the class's name does not fit its account")?;
        let class = market::address::class(&name);
        if chain.account::<Class>(&class).await?.is_none() {
            let args = RegisterClass {
                name,
                probe: self.probe,
                vram_mib: U32::new(0),
                calibrated: 0,
            };
            let call = ix::register_class(admin, admin, &args);
            send(chain, call, &[&keys.admin])
                .await
                .context("registering class cpu")?;
        }
        let (authority, operator) = &keys.provider;
        let payer = authority.pubkey();
        let plan = setup::plan(chain, provider, &operator.pubkey(), &payer).await?;
        match plan.call {
            Some(call) => send(chain, call, &[authority])
                .await
                .context("registering the provider"),
            None => Ok(()),
        }
    }
}

async fn send(chain: &ChainClient, call: Instruction, signers: &[&Keypair]) -> Result<()> {
    let payer = signers[0].pubkey();
    chain
        .send_and_confirm(&[call], &payer, signers, Commitment::Processed)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_market_of_every_pace_is_one_that_the_program_takes() {
        for slot_ms in [0, 10, 50, 200, 400, 1_000, 60_000] {
            let market = Market::at_pace(slot_ms);
            assert_eq!(market.grid.validate(), Ok(()), "{slot_ms}");
            assert_eq!(market.params.validate(&market.grid), Ok(()), "{slot_ms}");
            assert_eq!(market.probe.validate(&market.grid), Ok(()), "{slot_ms}");
            let seconds = u64::from(market.grid.epoch_seconds.get());
            let epoch = market.price() * seconds;
            assert!(
                epoch >= market.params.rules.min_epoch_price.get(),
                "{slot_ms}"
            );
            assert!(epoch * RING as u64 <= STAKE_PER_UNIT, "{slot_ms}");
            // Ten minutes, as `mythic lease demo` pays for, are a lease at every pace.
            let no_show = market.params.rules.no_show.get();
            assert!(
                seconds <= 600 && 600 * market.price() >= no_show,
                "{slot_ms}"
            );
        }
    }

    #[test]
    fn an_epoch_takes_a_minute_and_a_proof_twenty_seconds() {
        for slot_ms in [50, 200, 400] {
            let market = Market::at_pace(slot_ms);
            let ms = |slots: U32| u64::from(slots.get()) * slot_ms;
            assert_eq!(ms(market.grid.epoch_slots), 60_000);
            assert_eq!(market.grid.epoch_seconds.get(), 60);
            assert_eq!(ms(market.probe.proof_slots), 20_000);
        }
        let slow = Market::at_pace(400).params.rules;
        assert_eq!(slow.dispute_slots, MarketParams::dev().rules.dispute_slots);
    }
}
