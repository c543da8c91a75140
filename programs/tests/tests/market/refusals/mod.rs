//! Every refusal with its exact error. The last test checks that no error of the market is missing.

mod calls;
mod disputes;
mod leases;
mod network;
mod requests;

use std::collections::BTreeSet;

use mythic_interface::error::MythicError::{self, *};
use mythic_interface::market::errors;
use mythic_interface::state::Key;
use mythic_program_tests::market::world::Market;
use solana_instruction::Instruction as Call;
use solana_pubkey::Pubkey;

/// Errors that were provoked.
#[derive(Default)]
pub struct Seen(BTreeSet<u32>);

impl Seen {
    pub fn refuse(&mut self, market: &mut Market, call: Call, error: MythicError) {
        market.chain.refuse(call, error);
        self.0.insert(error.code());
    }

    pub fn note(&mut self, error: MythicError) {
        self.0.insert(error.code());
    }
}

/// The call with another account at `index`, its flags kept.
fn swap(mut call: Call, index: usize, account: Key) -> Call {
    call.accounts[index].pubkey = Pubkey::from(account);
    call
}

fn patch(mut call: Call, at: usize, byte: u8) -> Call {
    call.data[at] = byte;
    call
}

macro_rules! groups {
    ($($module:ident::$group:ident,)*) => {
        $(#[test]
        fn $group() {
            $module::$group(&mut Seen::default());
        })*
        const GROUPS: &[fn(&mut Seen)] = &[$($module::$group),*];
    };
}
groups! {
    calls::the_call_itself, calls::other_accounts,
    network::initialization, network::config_and_treasury, network::classes, network::providers, network::leaving,
    requests::requests, requests::ends_of_requests, requests::acceptance, requests::capacity,
    leases::starts, leases::proofs, leases::releases, leases::seconds, leases::closings, leases::accounts_of_leases,
    disputes::disputes, disputes::openings, disputes::verdicts,
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
    let missing: Vec<&str> = errors::all()
        .filter(|error| !OUT_OF_REACH.contains(error))
        .filter(|error| !seen.0.contains(&error.code()))
        .map(MythicError::name)
        .collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
    let all: BTreeSet<u32> = errors::all().map(MythicError::code).collect();
    let strange: Vec<_> = seen.0.difference(&all).collect();
    assert!(
        strange.is_empty(),
        "the list of the market's errors lacks {strange:?}"
    );
}
