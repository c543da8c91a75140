//! From arguments and accounts to an instruction that can be sent.

use alloc::vec::Vec;

pub use crate::address::Named;
pub use crate::address::{self, INCINERATOR, SYSTEM};
use crate::state::{Job, NO_KEY};
use solana_instruction::AccountMeta;
pub use solana_instruction::Instruction as Call;
pub use solana_pubkey::Pubkey;

use super::Instruction;

/// Builds an instruction from its arguments and its accounts in order; `None` for an optional one that is absent.
/// Accounts beyond the list are the trailing ones, read-only. Accounts that are missing make the program refuse it.
pub fn build<I: Instruction>(
    args: &I,
    accounts: &[Option<Pubkey>],
    trailing: impl IntoIterator<Item = Pubkey>,
) -> Call {
    debug_assert_eq!(accounts.len(), I::ACCOUNTS.len(), "{}", I::NAME);
    let program_id = Pubkey::new_from_array(I::PROGRAM);
    let listed = I::ACCOUNTS
        .iter()
        .zip(accounts)
        .map(|(spec, key)| match key {
            Some(key) => AccountMeta {
                pubkey: *key,
                is_signer: spec.signer,
                is_writable: spec.writable,
            },
            None => AccountMeta::new_readonly(program_id, false),
        });
    let rest = trailing
        .into_iter()
        .map(|key| AccountMeta::new_readonly(key, false));
    Call {
        program_id,
        accounts: listed.chain(rest).collect(),
        data: args.encode(),
    }
}

/// [`build`] where every account is there.
pub(crate) fn fixed<I: Instruction, const N: usize>(args: &I, accounts: [Pubkey; N]) -> Call {
    build(args, &accounts.map(Some), [])
}

/// [`build`] with bytes behind the arguments.
pub(crate) fn with_tail<I: Instruction>(
    args: &I,
    tail: &[u8],
    accounts: &[Option<Pubkey>],
) -> Call {
    let mut call = build(args, accounts, []);
    call.data.extend_from_slice(tail);
    call
}

/// The accounts of a job's money: its vault, and its grant if it has one.
pub(super) fn purse(job: &Job) -> (Pubkey, Option<Pubkey>) {
    let grant = (job.grant != NO_KEY).then(|| job.grant.pubkey());
    (address::vault(job.terms.owner), grant)
}

/// Addresses of models, as the accounts behind a list.
pub(super) fn keys<K: Named>(keys: &[K]) -> Vec<Pubkey> {
    keys.iter().map(|key| key.pubkey()).collect()
}
