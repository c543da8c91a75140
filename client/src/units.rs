//! How many compute units a transaction asks for: whoever asks for more than it uses takes others' room in a block, pays a price for
//! it, and finds less room itself where somebody fills a block's share of one account.

use mythic_interface::{
    ix::Tag,
    market::{address, ix::OpenProof, ix::Tag as MarketTag},
};
use solana_compute_budget_interface::ComputeBudgetInstruction as Budget;
use solana_instruction::Instruction;

use crate::pda::PROGRAM_ID;

/// Most that a transaction may ask for.
pub const MOST: u32 = 1_400_000;
/// Most that all transactions of a block use together that write one account.
pub const ACCOUNT_MOST: u32 = 12_000_000;

/// What an instruction uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<T = Tag> {
    pub tag: T,
    /// The most that was measured of it: `programs/compute-units.md`, which a test compares. Of the market's a round number above it.
    pub measured: u32,
    /// What it may use beyond in cases that are not measured: longer paths, more claims.
    pub grows: u32,
    /// It may create an account, whose bump is searched.
    pub creates: bool,
}

const fn step<T: Copy>(tag: T, measured: u32) -> Step<T> {
    Step {
        tag,
        measured,
        grows: 0,
        creates: false,
    }
}

/// The instructions that nodes send.
pub const STEPS: [Step; 16] = [
    step(Tag::WithdrawClaimable, 303),
    step(Tag::Unjail, 420),
    step(Tag::AcceptInference, 564),
    step(Tag::DeclineJob, 736),
    step(Tag::SubmitResult, 478),
    step(Tag::ClaimInferenceFee, 839),
    Step {
        creates: true,
        ..step(Tag::VerifyLogits, 19_992)
    },
    Step {
        creates: true,
        ..step(Tag::PostOutput, 9_897)
    },
    Step {
        // Sixteen claims may name the same leaf.
        grows: 10_000,
        ..step(Tag::PostOpenings, 9_353)
    },
    step(Tag::CommitJuror, 17_988),
    step(Tag::RevealJuror, 81_538),
    Step {
        creates: true,
        // It counts what was revealed, of up to sixteen groups.
        grows: 30_000,
        ..step(Tag::ProveFault, 12_464)
    },
    Step {
        grows: 30_000,
        ..step(Tag::ResolveCase, 8_818)
    },
    step(Tag::CollectCase, 1_032),
    step(Tag::CloseCase, 654),
    step(Tag::CloseOutput, 448),
];

/// The instructions that providers send, but for [`OpenProof`], whose units follow from what it shows.
pub const MARKET_STEPS: [Step<MarketTag>; 10] = [
    step(MarketTag::WithdrawClaimable, 1_000),
    step(MarketTag::Unjail, 1_000),
    Step {
        creates: true,
        ..step(MarketTag::AcceptJob, 6_000)
    },
    step(MarketTag::StartLease, 1_500),
    // It may pay an epoch whose place it takes.
    step(MarketTag::SubmitProof, 3_000),
    step(MarketTag::VerifyAndRelease, 7_500),
    step(MarketTag::CloseLease, 3_000),
    step(MarketTag::WithdrawLease, 1_000),
    step(MarketTag::CloseLeaseAccount, 2_000),
    // It may refund thirty-two epochs.
    step(MarketTag::ResolveLeaseDispute, 6_000),
];

/// Units of an element for each row of its class, and of whatever is shown beside that.
const ROW: u32 = 30;
const SHOWN: u32 = 4_000;
/// Bytes of what is shown in front of its path, and of each hash of the path.
const LEAF: usize = 64;
const HASH: usize = 32;

/// What showing a part of a proof uses: an element's units grow with the side of its class, of which its path tells the largest.
fn opening(data: &[u8]) -> u32 {
    let shown = data.len().saturating_sub(1 + size_of::<OpenProof>());
    let hashes = shown.saturating_sub(LEAF).div_ceil(HASH).min(24);
    let side = 4u32 << hashes.div_ceil(2);
    (ROW * side + SHOWN) / 2 * 3 + SPARE
}

/// Room beyond a half more than was measured.
const SPARE: u32 = 10_000;
/// Twenty tries for the bump of a new account: one in a million needs more.
const SEARCH: u32 = 30_000;
/// An instruction of another program, and one that sets a bound.
const OTHER: u32 = 200_000;
const BOUND: u32 = 150;

impl<T> Step<T> {
    /// What is asked for it.
    pub const fn limit(&self) -> u32 {
        let search = if self.creates { SEARCH } else { 0 };
        self.measured + self.measured / 2 + self.grows + search + SPARE
    }
}

/// What is asked for a transaction of these calls, limit and price beside them.
pub fn limit(calls: &[Instruction]) -> u32 {
    let of = |call: &Instruction| {
        let first = call.data.first().copied();
        if call.program_id == address::PROGRAM_ID {
            return match first.and_then(MarketTag::from_u8) {
                Some(MarketTag::OpenProof) => opening(&call.data),
                tag => {
                    let known = MARKET_STEPS.iter().find(|step| Some(step.tag) == tag);
                    known.map_or(OTHER, Step::limit)
                }
            };
        }
        let tag = first.and_then(Tag::from_u8);
        let known = STEPS.iter().find(|step| Some(step.tag) == tag);
        known
            .filter(|_| call.program_id == PROGRAM_ID)
            .map_or(OTHER, Step::limit)
    };
    let all = calls.iter().map(of).fold(2 * BOUND, u32::saturating_add);
    all.min(MOST)
}

/// The calls under a limit of compute units, and with a price for them if it is to cost anything: `lamports` for all of them.
pub fn bounded(calls: &[Instruction], limit: u32, lamports: u64) -> Vec<Instruction> {
    let mut all = vec![Budget::set_compute_unit_limit(limit)];
    if lamports > 0 {
        all.push(Budget::set_compute_unit_price(price(limit, lamports)));
    }
    all.extend_from_slice(calls);
    all
}

/// Micro-lamports a unit, so that the limit's units cost no more than `lamports`.
fn price(limit: u32, lamports: u64) -> u64 {
    let micro = u128::from(lamports) * 1_000_000 / u128::from(limit.max(1));
    u64::try_from(micro).unwrap_or(u64::MAX)
}

/// What so many micro-lamports a unit are for all units of a limit.
pub fn lamports(limit: u32, price: u64) -> u64 {
    let lamports = (u128::from(price) * u128::from(limit)).div_ceil(1_000_000);
    u64::try_from(lamports).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The most of each instruction in a program's table.
    fn measured(text: &str) -> BTreeMap<String, u32> {
        let table = text.split("\n## ").next().unwrap();
        let mut most = BTreeMap::new();
        for row in table.lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            if let [_, name, _, units, ..] = cells.as_slice()
                && let Ok(units) = units.parse::<u32>()
            {
                let so_far: &mut u32 = most.entry((*name).to_owned()).or_default();
                *so_far = units.max(*so_far);
            }
        }
        most
    }

    #[test]
    fn the_table_is_what_was_measured() {
        let measured = measured(include_str!("../../programs/compute-units.md"));
        for step in STEPS {
            let name = step.tag.name();
            let found = measured.get(name);
            assert_eq!(
                Some(&step.measured),
                found,
                "STEPS in client/src/units.rs: {name} takes another number of units in programs/compute-units.md"
            );
        }
    }

    #[test]
    fn what_is_asked_for_is_enough_and_far_from_all_there_is() {
        let call = |tag: Tag| Instruction {
            program_id: PROGRAM_ID,
            accounts: Vec::new(),
            data: vec![tag as u8],
        };
        for step in STEPS {
            let asked = limit(&[call(step.tag)]);
            assert!(asked >= step.measured * 3 / 2 + SPARE, "{step:?}");
            // Eighty of them find room in a block's share of one account.
            assert!(asked <= ACCOUNT_MOST / 80, "{step:?}: {asked}");
        }
        // A claim and the proof of its fault take less than 60,000 together, whatever case they meet: a test of the program says so.
        let both = limit(&[call(Tag::VerifyLogits), call(Tag::ProveFault)]);
        assert!((120_000..=200_000).contains(&both), "{both}");
        let two = limit(&[call(Tag::CollectCase), call(Tag::CollectCase)]);
        assert_eq!(two, 2 * limit(&[call(Tag::CollectCase)]) - 300);
        let other = Instruction {
            program_id: crate::pda::config(),
            accounts: Vec::new(),
            data: vec![Tag::Unjail as u8],
        };
        assert_eq!(limit(&[other]), OTHER + 300);
        assert_eq!(limit(&vec![call(Tag::RevealJuror); 50]), MOST);
    }

    #[test]
    fn what_a_provider_asks_for_is_a_half_more_than_was_measured() {
        let text = include_str!("../../programs/market-compute-units.md");
        let measured = measured(text);
        let asked = |tag: MarketTag, len: usize| {
            let mut data = vec![0; len];
            data[0] = tag as u8;
            limit(&[Instruction {
                program_id: address::PROGRAM_ID,
                accounts: Vec::new(),
                data,
            }])
        };
        for step in MARKET_STEPS {
            let (most, asked) = (measured[step.tag.name()], asked(step.tag, 1));
            assert!(asked > most / 2 * 3, "{step:?}: {most}");
            assert!(asked <= ACCOUNT_MOST / 80, "{step:?}: {asked}");
        }
        // Each row of the table's openings says how long its data is, and what it took.
        let mut openings = 0;
        for row in text.lines().filter(|row| row.starts_with("| OpenProof |")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let number = |at: usize| cells[at].parse::<u32>().unwrap();
            let asked = asked(MarketTag::OpenProof, number(5) as usize);
            assert!(asked >= number(3) / 2 * 3 && asked < MOST, "{row}: {asked}");
            openings += 1;
        }
        assert!(openings > 3, "{openings}");
    }

    #[test]
    fn a_price_costs_no_more_than_was_bid() {
        for (limit, bid) in [(20_000, 1), (31_113, 999_999), (MOST, 10_000_000), (7, 3)] {
            let cost = lamports(limit, price(limit, bid));
            assert!(
                cost <= bid && cost + 1 >= bid.min(2),
                "{limit} {bid} {cost}"
            );
        }
        let call = Instruction {
            program_id: PROGRAM_ID,
            accounts: Vec::new(),
            data: vec![Tag::Unjail as u8],
        };
        assert_eq!(bounded(std::slice::from_ref(&call), 9, 0).len(), 2);
        assert_eq!(bounded(&[call], 9, 1).len(), 3);
    }
}
