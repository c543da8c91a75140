//! Juries against colluding stake: what the draw gives, compared with the binomials that docs/protocol.md
//! states. A seat goes to each validator with the probability of its share of the stake that commits, whatever
//! the number of its keys.

use mythic_interface::dispute::quorum;
use mythic_interface::hash::sha256;
use mythic_interface::sortition::{Rank, Seat};

const TRIALS: u32 = 4_000;

/// The chance that at least `least` of `seats` independent seats go to a share of `percent`.
fn binomial_tail(seats: u32, least: u32, percent: u32) -> f64 {
    let p = f64::from(percent) / 100.0;
    let mut chance = 0.0;
    for k in least..=seats {
        let ways = (0..k).fold(1.0, |ways, i| {
            ways * f64::from(seats - i) / f64::from(i + 1)
        });
        chance += ways * p.powi(k as i32) * (1.0 - p).powi((seats - k) as i32);
    }
    chance
}

/// Stakes of a network in which the first `keys` validators hold `percent` of 10,000 SOL, in unequal parts.
fn stakes(keys: u64, percent: u32) -> Vec<u64> {
    const WHOLE: u64 = 10_000_000_000_000;
    let split = |total: u64, keys: u64| -> Vec<u64> {
        let weights: u64 = (1..=keys).sum();
        (1..=keys).map(|i| total / weights * i).collect()
    };
    let theirs = WHOLE / 100 * u64::from(percent);
    [split(theirs, keys), split(WHOLE - theirs, 12)].concat()
}

/// Draws `TRIALS` juries; how many gave the colluders at least `least` seats.
fn draw(seats: u32, keys: u64, percent: u32, least: [u32; 2]) -> [u32; 2] {
    let stakes = stakes(keys, percent);
    let authorities: Vec<[u8; 32]> = (0..stakes.len() as u64)
        .map(|i| sha256(&[b"authority", &i.to_le_bytes()]))
        .collect();
    let mut counts = [0; 2];
    for trial in 0..TRIALS {
        let case = sha256(&[
            b"case",
            &trial.to_le_bytes(),
            &[seats as u8, keys as u8, percent as u8],
        ]);
        let mut won = 0;
        for index in 0..seats {
            let slot_hash = sha256(&[b"slot", &case, &index.to_le_bytes()]);
            let seat = Seat {
                case: &case,
                slot_hash: &slot_hash,
                index,
            };
            let mut best: Option<(Rank, usize)> = None;
            for (i, (authority, stake)) in authorities.iter().zip(&stakes).enumerate() {
                let rank = seat.rank(authority, *stake).expect("stake");
                if best.is_none_or(|(sitting, _)| rank.beats(&sitting)) {
                    best = Some((rank, i));
                }
            }
            let (_, winner) = best.expect("somebody");
            won += u32::from((winner as u64) < keys);
        }
        for (count, least) in counts.iter_mut().zip(least) {
            *count += u32::from(won >= least);
        }
    }
    counts
}

#[test]
fn colluding_stake_gets_the_seats_of_its_share_and_no_more() {
    println!("seats, share, keys: forge a verdict / prevent one, drawn (binomial)");
    for seats in [3, 5, 7, 15] {
        let needed = quorum(seats);
        // Forge: hold the quorum. Prevent: leave the others less than the quorum.
        let least = [needed, seats - needed + 1];
        for percent in [10, 20, 33, 50] {
            let expected = least.map(|least| binomial_tail(seats, least, percent));
            for keys in [1, 8, 40] {
                let drawn = draw(seats, keys, percent, least);
                let found = drawn.map(|count| f64::from(count) / f64::from(TRIALS));
                println!(
                    "{seats}, {percent} %, {keys}: {:.4} ({:.4}) / {:.4} ({:.4})",
                    found[0], expected[0], found[1], expected[1]
                );
                for (found, expected) in found.iter().zip(expected) {
                    // Five standard deviations of a binomial draw; the hashes are fixed, so this never flickers.
                    let deviation = (expected * (1.0 - expected) / f64::from(TRIALS)).sqrt();
                    assert!(
                        (found - expected).abs() <= 5.0 * deviation + 1.0 / f64::from(TRIALS),
                        "{seats} seats, {percent} %, {keys} keys: {found} instead of {expected}"
                    );
                }
            }
        }
    }
}
