//! Any account: its lamports and its sequence.

use mythic_interface::state::{
    Case, Config, Header, Job, Key, Model, Output, SpendGrant, Treasury, Validator, Vault, Votes,
};

use super::state::Stored;

/// Each account's lamports are its rent and the balances it stores.
pub fn balances(address: &Key, stored: &Stored) -> Result<(), String> {
    let data = stored.data.as_slice();
    let load_error = |error| format!("{}: {error}", hex(address));
    let balance = match data.first() {
        Some(&Config::DISCRIMINATOR) => Config::load(data).map(|_| 0).map_err(load_error)?,
        Some(&Model::DISCRIMINATOR) => Model::load(data).map(|_| 0).map_err(load_error)?,
        Some(&SpendGrant::DISCRIMINATOR) => {
            SpendGrant::load(data).map(|_| 0).map_err(load_error)?
        }
        Some(&Treasury::DISCRIMINATOR) => {
            let treasury = Treasury::load(data).map_err(load_error)?;
            ensure!(
                treasury.received.get() == treasury.withdrawn.get() + treasury.balance.get(),
                "the treasury's totals differ from its balance"
            );
            treasury.balance.get()
        }
        Some(&Validator::DISCRIMINATOR) => {
            let v = Validator::load(data).map_err(load_error)?;
            let parts = [
                v.stake,
                v.activating,
                v.unbonding,
                v.claimable,
                v.owed_foundation,
                v.owed_burn,
            ];
            ensure!(
                v.staked.get() == v.whole_stake() + v.slashed.get() + v.withdrawn_stake.get(),
                "a validator's stake differs from its totals"
            );
            ensure!(
                v.earned.get() + v.returned.get() == v.claimable.get() + v.withdrawn.get(),
                "a validator's earnings differ from its totals"
            );
            parts.iter().map(|part| part.get()).sum()
        }
        Some(&Vault::DISCRIMINATOR) => {
            let vault = Vault::load(data).map_err(load_error)?;
            let out = vault.withdrawn.get() + vault.spent.get();
            ensure!(
                vault.deposited.get() == out + vault.balance.get() + vault.held.get(),
                "a vault's totals differ from its balance"
            );
            vault.balance.get()
        }
        Some(&Job::DISCRIMINATOR) => Job::load(data).map_err(load_error)?.escrow.get(),
        Some(&Case::DISCRIMINATOR) => {
            let case = Case::load(data).map_err(load_error)?;
            case.held.get() + case.output_rent.get()
        }
        Some(&Votes::DISCRIMINATOR) => Votes::load(data).map(|_| 0).map_err(load_error)?,
        Some(&Output::DISCRIMINATOR) => Output::load(data).map(|_| 0).map_err(load_error)?,
        other => return Err(format!("{}: unknown type {other:?}", hex(address))),
    };
    let due = stored.rent + balance;
    ensure!(
        stored.lamports == due || stored.donated && stored.lamports > due,
        "{} (type {}) holds {} lamports, rent and balances are {due}",
        hex(address),
        data[0],
        stored.lamports
    );
    Ok(())
}

/// `seq` rises with every change and only with a change.
pub fn sequence(old: Option<&Stored>, new: &Stored) -> Result<(), String> {
    let seq = |stored: &Stored| -> u64 {
        let header: &Header = bytemuck::from_bytes(&stored.data[..size_of::<Header>()]);
        header.seq.get()
    };
    let before = old.map_or(0, seq);
    match old {
        Some(old) if old.data == new.data => Ok(()),
        _ => {
            ensure!(
                seq(new) > before,
                "an account changed and its seq went from {before} to {}",
                seq(new)
            );
            Ok(())
        }
    }
}

fn hex(address: &Key) -> String {
    address.iter().map(|byte| format!("{byte:02x}")).collect()
}
