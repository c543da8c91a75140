//! Calls that were made once, sent again; and calls that name one account in the place of another.

use mythic_interface::ix::Tag;
use mythic_program_tests::catalogue::{Entry, catalogue};
use mythic_program_tests::chain::Refusal;
use solana_instruction::Instruction as Call;
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

fn entries() -> Vec<Entry> {
    let mut entries = catalogue();
    entries.retain(|entry| entry.tag as u8 >= Tag::VerifyLogits as u8);
    entries
}

#[test]
fn no_step_can_be_repeated_but_postings_which_change_nothing() {
    for mut entry in entries() {
        entry.world.chain.must(entry.call.clone());
        let again = entry.world.chain.send(std::slice::from_ref(&entry.call));
        match (entry.tag, again) {
            (Tag::PostOutput | Tag::PostOpenings, Ok(_)) => {}
            (tag, Ok(_)) => panic!("{} {} succeeds twice", tag.name(), entry.variant),
            (tag, Err(refusal)) => {
                assert!(refusal.mythic().is_some(), "{}: {refusal:?}", tag.name());
            }
        }
    }
}

/// Each account of each call replaced by each other one of the same call. The harness checks the invariants after what
/// succeeds.
#[test]
fn one_account_in_the_place_of_another_is_refused_or_means_the_same() {
    for entry in entries() {
        let Entry {
            tag, world, call, ..
        } = &entry;
        let after = |call: &Call| -> Result<Vec<_>, Refusal> {
            let mut world = world.clone();
            world.chain.send(std::slice::from_ref(call))?;
            let named = entry.call.accounts.iter();
            let accounts = named.map(|account| world.chain.account(&account.pubkey.to_bytes()));
            Ok(accounts.collect())
        };
        let expected = after(call).expect("a call of the catalogue");
        let names = tag.spec().accounts;
        for (to, place) in call.accounts.iter().enumerate() {
            for (from, other) in call.accounts.iter().enumerate() {
                if place.pubkey == other.pubkey {
                    continue;
                }
                let what = format!(
                    "{}: {} for {}",
                    tag.name(),
                    names[from].name,
                    names[to].name
                );
                let mut swapped = call.clone();
                swapped.accounts[to].pubkey = other.pubkey;
                match after(&swapped) {
                    Ok(found) => assert!(found == expected, "{what} means something else"),
                    Err(refusal) => assert_ne!(
                        refusal.error,
                        TransactionError::InstructionError(
                            0,
                            InstructionError::ProgramFailedToComplete,
                        ),
                        "{what}"
                    ),
                }
            }
        }
    }
}
