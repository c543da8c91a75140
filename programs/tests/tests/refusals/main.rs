//! Every refusal with its exact error. The last test checks that no error of the program is missing.

mod calls;
mod cases;
mod jobs;
mod network;
mod seen;
mod wallets;

use calls::{other_accounts, the_call_itself};
use cases::{
    commitments, faults, faulty_postings, joining, openings_of_cases, positions, postings, reveals,
    verdicts,
};
use jobs::{acceptance, capacity, endings, requests, results, statuses};
use mythic_interface::error::{
    MARKET_ERRORS,
    MythicError::{self, *},
};
use mythic_interface::{AI_PRECOMPILES_ID, SYSTEM_PROGRAM};
use mythic_program_tests::calls::NONE;
use network::{config_and_treasury, initialization, models, validators};
use seen::Seen;
use wallets::{spending_under_a_grant, vaults_and_grants};

macro_rules! groups {
    ($($group:ident,)*) => {
        $(mod $group {
            #[test]
            fn is_refused() {
                super::$group(&mut super::Seen::default());
            }
        })*
        const GROUPS: &[fn(&mut Seen)] = &[$($group),*];
    };
}
groups! {
    the_call_itself, other_accounts, initialization, config_and_treasury, models, validators,
    vaults_and_grants, spending_under_a_grant, requests, capacity, acceptance, results, endings,
    statuses, openings_of_cases, positions, joining, postings, faulty_postings, commitments, reveals,
    verdicts, faults,
}

#[test]
fn no_error_is_missing() {
    /// What no caller can bring about.
    const OUT_OF_REACH: &[MythicError] = &[
        // Stored balances only break if the program does.
        BalanceUnderflow,
        // The runtime always gives the clock, and aborts itself on a failed transfer.
        ClockUnavailable,
        SystemCallFailed,
    ];
    let mut seen = Seen::default();
    GROUPS.iter().for_each(|group| group(&mut seen));
    let missing: Vec<&str> = MythicError::ALL
        .iter()
        .filter(|error| error.code() < MARKET_ERRORS)
        .filter(|error| !OUT_OF_REACH.contains(error))
        .filter(|error| !seen.has(**error))
        .map(|error| error.name())
        .collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
    assert_eq!((AI_PRECOMPILES_ID, SYSTEM_PROGRAM), (NONE, [0; 32]));
}
