//! Whether a juror commits: for a seat, or so that its stake counts. Pure.

use mythic_interface::{
    dispute,
    sortition::{Rank, Seat},
    state::{Case, Key, NO_KEY},
};

/// Whether a validator with this active stake would take a seat now. What others took since is never given back, so who finds none finds
/// none later. Before the first commitment nobody knows.
pub fn wins(case: &Case, address: &Key, authority: &Key, stake: u64) -> bool {
    (0u32..).zip(case.jury()).any(|(index, seat)| {
        let draw = Seat {
            case: address,
            slot_hash: &seat.slot_hash,
            index,
        };
        let sitting = Rank {
            rank: seat.rank.get(),
            authority: seat.juror,
        };
        let rank = draw.rank(authority, stake);
        !seat.is_taken() || rank.is_some_and(|rank| rank.beats(&sitting))
    })
}

/// Whether stake without a seat is of use: a jury takes no more than all who committed to it bring, unless a fault was proved.
pub fn counts(case: &Case) -> bool {
    let slash = dispute::slash(&case.rules, case.stake_at_result.get());
    case.prover == NO_KEY && case.committed_stake.get() < slash
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    const SOL: u64 = 1_000_000_000;
    const ADDRESS: Key = [2; 32];

    /// A jury of three seats that a validator took with a stake of 1 SOL.
    fn case() -> Case {
        let mut case = Case::zeroed();
        case.rules = Params::mainnet().rules;
        case.jury_seats = 3;
        case.stake_at_result.set(10 * SOL);
        for (index, seat) in case.seats[..3].iter_mut().enumerate() {
            seat.slot_hash = [index as u8 + 1; 32];
            seat.juror = [9; 32];
            let draw = Seat {
                case: &ADDRESS,
                slot_hash: &seat.slot_hash,
                index: index as u32,
            };
            let rank = draw.rank(&seat.juror, SOL).unwrap();
            seat.rank.set(rank.rank);
        }
        case.committed_stake.set(SOL);
        case
    }

    #[test]
    fn a_seat_is_won_by_who_ranks_higher_or_where_one_is_free() {
        let mut case = case();
        let wins = |case: &Case, stake| super::wins(case, &ADDRESS, &[5; 32], stake);
        assert!(!wins(&case, 1) && !wins(&case, 0));
        assert!(wins(&case, 1_000_000 * SOL));
        case.seats[2].juror = NO_KEY;
        assert!(wins(&case, 1));
        assert!(wins(
            &Case {
                seats: Case::zeroed().seats,
                ..case
            },
            1
        ));
    }

    #[test]
    fn stake_without_a_seat_counts_until_what_a_guilty_verdict_takes_is_brought() {
        let mut case = case();
        assert!(counts(&case));
        case.committed_stake.set(5 * SOL - 1);
        assert!(counts(&case));
        case.committed_stake.set(5 * SOL);
        assert!(!counts(&case));
        case.committed_stake.set(SOL);
        case.prover = [7; 32];
        assert!(!counts(&case), "a fault has no cap");
    }
}
