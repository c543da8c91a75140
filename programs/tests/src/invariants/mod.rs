//! What must hold between the states before and after any transaction.

use mythic_interface::state::{Case, Output};

/// Refuses with a sentence what is not so.
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

pub(crate) mod account;
mod case;
mod flows;
mod holdings;
mod job;
mod state;

pub use state::{State, Stored};

/// Checks everything; `fee` is what the runtime took for the transaction.
///
/// # Errors
/// One sentence about the first invariant that does not hold.
pub fn check(before: &State, after: &State, fee: u128) -> Result<(), String> {
    ensure!(
        before.total == after.total + fee,
        "lamports were {} and are {} after a fee of {fee}",
        before.total,
        after.total
    );
    for (address, stored) in &after.accounts {
        account::balances(address, stored)?;
        let old = before.accounts.get(address);
        account::sequence(old, stored)?;
    }
    for (_, job) in after.jobs() {
        job::is_sound(job)?;
    }
    for (address, job) in before.jobs() {
        job::went_on(address, job, after)?;
    }
    for (_, case) in after.all::<Case>() {
        case::is_sound(case)?;
    }
    for (address, case) in before.all::<Case>() {
        case::went_on(address, case, after)?;
    }
    case::votes_are_sound(before, after)?;
    for (address, output) in before.all::<Output>() {
        case::output_went_on(address, output, before, after)?;
    }
    holdings::holdings(after)?;
    holdings::obligations(after)?;
    holdings::closings(before, after)?;
    flows::flows(before, after)
}
