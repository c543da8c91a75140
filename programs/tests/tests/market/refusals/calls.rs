//! The call itself: length, account list, flags; and accounts of strangers in each place.

use mythic_interface::error::MythicError::*;
use mythic_interface::market::state::Provider;
use mythic_program_tests::keys::key;
use mythic_program_tests::market::calls::{self, NONE};
use mythic_program_tests::market::scenes::scenes;
use mythic_program_tests::market::world::Market;
use solana_instruction::AccountMeta;
use solana_pubkey::Pubkey;

use super::{Seen, patch, swap};

pub fn the_call_itself(seen: &mut Seen) {
    for scene in scenes() {
        let (mut market, call, spec) = (scene.market, scene.call, scene.tag.spec());
        let mut shorter = call.clone();
        shorter.data.pop();
        let expected = match shorter.data.is_empty() {
            true => UnknownInstruction,
            false => InvalidInstructionData,
        };
        seen.refuse(&mut market, shorter, expected);
        let mut longer = call.clone();
        longer.data.push(0);
        seen.refuse(&mut market, longer, InvalidInstructionData);
        let mut fewer = call.clone();
        fewer.accounts.truncate(spec.accounts.len() - 1);
        seen.refuse(&mut market, fewer, NotEnoughAccounts);
        let mut more = call.clone();
        let stranger = Pubkey::from(key("stranger"));
        more.accounts
            .push(AccountMeta::new_readonly(stranger, false));
        seen.refuse(&mut market, more, TooManyAccounts);
        for (i, account) in spec.accounts.iter().enumerate() {
            if call.accounts[i].pubkey == Pubkey::from(NONE) {
                continue;
            }
            // Flags of one key are joined in a message, so they change wherever the key stands.
            let changed = |change: fn(&mut AccountMeta)| {
                let mut call = call.clone();
                let key = call.accounts[i].pubkey;
                let same = call.accounts.iter_mut().filter(|meta| meta.pubkey == key);
                same.for_each(change);
                call
            };
            if account.signer {
                let unsigned = changed(|meta| meta.is_signer = false);
                seen.refuse(&mut market, unsigned, MissingSignature);
            }
            if account.writable {
                let read_only = changed(|meta| meta.is_writable = false);
                seen.refuse(&mut market, read_only, AccountNotWritable);
            }
            let other = swap(call.clone(), i, key("stranger"));
            match account.name {
                "system_program" => seen.refuse(&mut market, other, InvalidSystemProgram),
                "incinerator" => seen.refuse(&mut market, other, InvalidIncinerator),
                _ => {}
            }
        }
        market.chain.must(call);
    }
    let mut market = Market::new();
    for byte in [0, 9, 255] {
        let call = patch(calls::pause(key("admin")), 0, byte);
        seen.refuse(&mut market, call, UnknownInstruction);
    }
    let other = key("another program");
    market.chain.deploy_at(other);
    let mut call = calls::pause(key("admin"));
    call.program_id = Pubkey::from(other);
    seen.refuse(&mut market, call, WrongProgramId);
    let p1 = calls::provider("p1");
    let forge = |provider: &mut Provider| provider.header.seq.set(u64::MAX);
    market.chain.forge(&p1, forge);
    let call = calls::update_provider("p1", &calls::profile("p1"));
    seen.refuse(&mut market, call, CounterOverflow);
}

/// Accounts of the program in each call replaced by a stranger's and by one of another type.
pub fn other_accounts(seen: &mut Seen) {
    let ours = [
        "config",
        "treasury",
        "class",
        "provider",
        "request",
        "lease",
        "lease_dispute",
    ];
    for scene in scenes() {
        let (mut market, call) = (scene.market, scene.call);
        for (i, account) in scene.tag.spec().accounts.iter().enumerate() {
            let absent = call.accounts[i].pubkey == Pubkey::from(NONE);
            if !ours.contains(&account.name) || absent {
                continue;
            }
            let address = call.accounts[i].pubkey.to_bytes();
            let exists = market.chain.account(&address).is_some();
            let strange = swap(call.clone(), i, key("a key without an account"));
            let refused = market.chain.send(&[strange]).expect_err("a stranger's");
            let error = refused.mythic().unwrap_or_else(|| panic!("{refused:?}"));
            // Where an account must be the one that another names, that is said first.
            let expected: &[_] = match exists {
                false => &[WrongAddress],
                true => &[WrongAccountOwner, WrongClass, WrongLease],
            };
            let name = scene.tag.name();
            assert!(
                expected.contains(&error),
                "{name}: {error} for {}",
                account.name
            );
            seen.note(error);
            let type_swap = match account.name {
                "config" => calls::treasury(),
                _ => calls::config(),
            };
            if call
                .accounts
                .iter()
                .any(|meta| meta.pubkey == Pubkey::from(type_swap))
            {
                continue;
            }
            let other = swap(call.clone(), i, type_swap);
            let refused = market.chain.send(&[other]).expect_err("another type");
            let error = refused.mythic().unwrap_or_else(|| panic!("{refused:?}"));
            let expected = [WrongAccountType, WrongAddress, WrongClass, WrongLease];
            assert!(
                expected.contains(&error),
                "{name}: {error} for {}",
                account.name
            );
            seen.note(error);
        }
    }
}
