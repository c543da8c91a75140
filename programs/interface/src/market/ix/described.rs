//! What the bytes of the market's own structures in instruction data say, for tools.

use crate::ix::describe::arguments;
use crate::ix::{Described, Shape};
use crate::le::{U16, U32, U64};
use crate::market::params::{Grid, MarketParams, MarketRules};
use crate::market::state::{NamedElement, Probe};

impl Described for Grid {
    const SHAPE: Shape = Shape::Fields(arguments!(Grid {
        epoch_slots: U32,
        epoch_seconds: U32,
    }));
}

impl Described for MarketRules {
    const SHAPE: Shape = Shape::Fields(arguments!(MarketRules {
        start_slots: U32,
        ack_slots: U32,
        dispute_slots: U32,
        openings_slots: U32,
        max_missed: U32 = "max_missed_epochs",
        notice_epochs: U32,
        jail_slots: U32,
        close_delay_slots: U32,
        max_lease_seconds: U32,
        provider_bps: U16,
        foundation_bps: U16,
        answering_fee: U64 = "answering_fee_lamports",
        no_show: U64 = "no_show_lamports",
        min_epoch_price: U64 = "min_epoch_price_lamports",
        min_stake: U64 = "min_stake_lamports",
    }));
}

impl Described for MarketParams {
    const SHAPE: Shape = Shape::Fields(arguments!(MarketParams {
        rules: MarketRules,
        max_request_slots: U32,
        max_nonce_life_slots: U32,
        unbonding_slots: U32,
    }));
}

impl Described for Probe {
    const SHAPE: Shape = Shape::Fields(arguments!(Probe {
        n: U32,
        rounds: U32,
        proof_slots: U32,
        stake_per_unit: U64 = "stake_per_unit_lamports",
    }));
}

impl Described for NamedElement {
    const SHAPE: Shape = Shape::Fields(arguments!(NamedElement {
        unit: u8,
        round: U32,
        row: U32,
        column: U32,
    }));
}

impl<const N: usize> Described for [NamedElement; N] {
    const SHAPE: Shape = Shape::List(&NamedElement::SHAPE, N);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use crate::ix::describe::tests::{calls_lamports_so, fills};
    use crate::market::ix::ALL;

    #[test]
    fn the_arguments_of_every_instruction_are_described_to_the_last_byte() {
        for tag in ALL {
            fills(tag.arguments(), tag.spec().data_len - 1, tag.name());
        }
    }

    #[test]
    fn every_amount_of_lamports_is_called_so() {
        for tag in ALL {
            calls_lamports_so(tag.arguments());
        }
    }
}
