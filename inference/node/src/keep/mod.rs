//! What survives a kill, and what remains to be done after a result is final.
//!
//! - [`journal`]: jobs in care, money, the verifier's book; [`ledger`]: how tasks read and write it
//! - [`store`]: evidence files
//! - [`keeper`]: claims, withdrawals, old evidence

pub mod journal;
pub mod keeper;
pub mod ledger;
pub mod store;
