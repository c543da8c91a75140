//! What was refused, and calls with one thing changed.

use std::collections::BTreeSet;

use mythic_interface::error::MythicError;
use mythic_interface::state::Key;
use mythic_program_tests::world::World;
use solana_instruction::{AccountMeta, Instruction as Call};
use solana_pubkey::Pubkey;

/// Errors that were provoked.
#[derive(Default)]
pub struct Seen(BTreeSet<u32>);

impl Seen {
    pub fn refuse(&mut self, world: &mut World, call: Call, error: MythicError) {
        world.chain.refuse(call, error);
        self.0.insert(error.code());
    }

    /// Whether an error was provoked.
    pub fn has(&self, error: MythicError) -> bool {
        self.0.contains(&error.code())
    }

    /// Notes one that was found in another way.
    pub fn note(&mut self, error: MythicError) {
        self.0.insert(error.code());
    }

    /// The same in a state that was forged past the invariants.
    pub fn refuse_forged(&mut self, world: &mut World, call: Call, error: MythicError) {
        let refused = world.chain.send_unchecked(call).expect_err("a refusal");
        assert_eq!(refused.mythic(), Some(error), "{refused:?}");
        self.0.insert(error.code());
    }
}

/// The call with another account at `index`, its flags kept.
pub fn swap(mut call: Call, index: usize, account: Key) -> Call {
    call.accounts[index].pubkey = Pubkey::from(account);
    call
}

pub fn patch(mut call: Call, at: usize, byte: u8) -> Call {
    call.data[at] = byte;
    call
}

pub fn flag(mut call: Call, index: usize, change: fn(&mut AccountMeta)) -> Call {
    // Flags of one key are joined in a message, so they change wherever the key stands.
    let key = call.accounts[index].pubkey;
    call.accounts
        .iter_mut()
        .filter(|account| account.pubkey == key)
        .for_each(change);
    call
}
