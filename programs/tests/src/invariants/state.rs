//! The program's world at one moment.

use std::collections::BTreeMap;

use mythic_interface::state::{Account, Job, Key};

/// An account of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Lamports it holds.
    pub lamports: u64,
    /// Lamports that keep it alive.
    pub rent: u64,
    /// Whether somebody sent lamports to it, so that it may hold more than it knows of.
    pub donated: bool,
    pub data: Vec<u8>,
}

/// The program's world at one moment.
#[derive(Clone, Debug)]
pub struct State {
    /// The current slot.
    pub slot: u64,
    /// Lamports of all accounts of the chain.
    pub total: u128,
    /// Lamports of the incinerator, which the runtime has not emptied yet.
    pub incinerator: u64,
    /// The program's accounts.
    pub accounts: BTreeMap<Key, Stored>,
}

impl State {
    pub fn all<T: Account>(&self) -> impl Iterator<Item = (&Key, &T)> {
        self.accounts
            .iter()
            .filter(|(_, stored)| stored.data.first() == Some(&T::DISCRIMINATOR))
            .filter_map(|(address, stored)| Some((address, T::load(&stored.data).ok()?)))
    }

    pub fn get<T: Account>(&self, address: &Key) -> Option<&T> {
        T::load(&self.accounts.get(address)?.data).ok()
    }

    pub fn jobs(&self) -> impl Iterator<Item = (&Key, &Job)> {
        self.all::<Job>()
    }

    pub fn sum<T: Account>(&self, amount: impl Fn(&T) -> u64) -> i128 {
        self.all::<T>()
            .map(|(_, account)| i128::from(amount(account)))
            .sum()
    }
}
