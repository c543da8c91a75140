//! The call itself: length, account list, flags; and accounts of strangers in each place.

use mythic_interface::error::MythicError::{self, *};
use mythic_interface::ix::Tag;
use mythic_interface::state::*;
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::catalogue::{NOTED, catalogue};
use mythic_program_tests::keys::key;
use mythic_program_tests::world::World;
use solana_instruction::AccountMeta;
use solana_pubkey::Pubkey;

use crate::seen::{Seen, flag, patch, swap};

pub fn the_call_itself(seen: &mut Seen) {
    for entry in catalogue() {
        let (mut world, call, spec) = (entry.world, entry.call, entry.tag.spec());
        let mut shorter = call.clone();
        shorter.data.pop();
        let expected = match shorter.data.is_empty() {
            true => UnknownInstruction,
            false => InvalidInstructionData,
        };
        seen.refuse(&mut world, shorter, expected);
        let mut longer = call.clone();
        longer.data.push(0);
        seen.refuse(&mut world, longer, InvalidInstructionData);
        let mut fewer = call.clone();
        fewer.accounts.truncate(spec.accounts.len() - 1);
        seen.refuse(&mut world, fewer, NotEnoughAccounts);
        if spec.trailing.is_none() {
            let mut more = call.clone();
            more.accounts.push(AccountMeta::new_readonly(
                Pubkey::from(key("stranger")),
                false,
            ));
            seen.refuse(&mut world, more, TooManyAccounts);
        }
        for (i, account) in spec.accounts.iter().enumerate() {
            if call.accounts[i].pubkey == Pubkey::from(NONE) {
                continue;
            }
            if account.signer {
                let unsigned = flag(call.clone(), i, |account| account.is_signer = false);
                seen.refuse(&mut world, unsigned, MissingSignature);
            }
            if account.writable {
                let read_only = flag(call.clone(), i, |account| account.is_writable = false);
                seen.refuse(&mut world, read_only, AccountNotWritable);
            }
            if account.name == "system_program" {
                let other = swap(call.clone(), i, key("stranger"));
                seen.refuse(&mut world, other, InvalidSystemProgram);
            }
            if account.name == "incinerator" {
                let other = swap(call.clone(), i, key("stranger"));
                seen.refuse(&mut world, other, InvalidIncinerator);
            }
        }
        world.chain.must(call);
    }
    let mut world = World::new();
    for byte in [0, 9, 255] {
        let call = patch(calls::pause(key("admin")), 0, byte);
        seen.refuse(&mut world, call, UnknownInstruction);
    }
    let other = key("another program");
    world.chain.deploy_at(other);
    let mut call = calls::pause(key("admin"));
    call.program_id = Pubkey::from(other);
    seen.refuse(&mut world, call, WrongProgramId);
    let vault = calls::vault(&key("alice"));
    let forge = |vault: &mut Vault| vault.header.seq.set(u64::MAX);
    world.chain.forge(&vault, forge);
    seen.refuse(
        &mut world,
        calls::withdraw_vault(key("alice"), 1),
        CounterOverflow,
    );
}

/// Accounts of the program in each call replaced by a stranger's, by one of another type, and by
/// one of the same type that belongs to somebody else.
pub fn other_accounts(seen: &mut Seen) {
    let created = [
        "config",
        "treasury",
        "model",
        "validator",
        "vault",
        "grant",
        "job",
        "claimant",
        "submitter",
        "prover",
        "case",
        "votes",
        "first_page",
        "page",
    ];
    for entry in catalogue() {
        let (mut world, call) = (entry.world, entry.call);
        for (i, account) in entry.tag.spec().accounts.iter().enumerate() {
            let absent = call.accounts[i].pubkey == Pubkey::from(NONE);
            if !created.contains(&account.name) || absent {
                continue;
            }
            let exists = world
                .chain
                .account(&call.accounts[i].pubkey.to_bytes())
                .is_some();
            // A cancel that is noted touches neither vault nor grant, nor does a fault.
            let noted = [(Tag::CancelJob, "accepted"), (Tag::ProveFault, NOTED)];
            if noted.contains(&(entry.tag, entry.variant))
                && ["vault", "grant"].contains(&account.name)
            {
                continue;
            }
            let strange = swap(call.clone(), i, key("a key without an account"));
            let refused = world.chain.send(&[strange]).expect_err("a stranger's");
            let error = refused.mythic().unwrap_or_else(|| panic!("{refused:?}"));
            let expected: &[MythicError] = match (exists, account.name) {
                (false, _) => &[WrongAddress],
                (true, "vault" | "grant") => &[WrongAccountOwner, WrongAddress, WrongGrant],
                // Where an account must be the one that another names, that is said first.
                (true, "model") => &[WrongAccountOwner, WrongModel],
                (true, "job") => &[WrongAccountOwner, WrongCase],
                // A page may be new, and a juror's account closed: then only the address can be wrong.
                (true, "first_page" | "validator") => {
                    &[WrongAccountOwner, WrongAddress, InvalidIncinerator]
                }
                (true, _) => &[WrongAccountOwner],
            };
            assert!(
                expected.contains(&error),
                "{}: {error} for {}",
                entry.tag.name(),
                account.name
            );
            seen.note(error);
            let (config, treasury) = (calls::config(), calls::treasury());
            let type_swap = match account.name {
                "config" => treasury,
                _ => config,
            };
            if call
                .accounts
                .iter()
                .any(|a| a.pubkey == Pubkey::from(type_swap))
            {
                continue;
            }
            let other = swap(call.clone(), i, type_swap);
            let Err(refused) = world.chain.send(&[other]) else {
                panic!("{} took another type", entry.tag.name());
            };
            let error = refused.mythic().unwrap_or_else(|| panic!("{refused:?}"));
            let expected = [
                WrongAccountType,
                WrongAddress,
                AccountExists,
                WrongGrant,
                WrongModel,
                WrongCase,
            ];
            assert!(
                expected.contains(&error),
                "{}: {error} for {}",
                entry.tag.name(),
                account.name
            );
            seen.note(error);
        }
    }
}
