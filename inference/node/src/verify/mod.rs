//! Checks of others' answers, and what is owed to cases. What is decided is in [`mythic_verifier`].
//!
//! - [`results`]: follows results and checks some; [`care`]: which ones now; [`lane`]: who has the engine next
//! - [`audit`]: some layers of an answer before the whole pass
//! - [`claiming`]: says what was found false; [`purse`]: what may be said `withheld` of, and what is kept for the rest
//! - [`duties`]: cases that concern this node; [`errand`]: one duty done
//! - [`fetch`]: evidence from strangers; [`checking`]: what all of these need
//! - [`serving`]: which of our models computes a job's answers; [`memory`]: what is remembered for a while
//! - [`validators`]: others' accounts as read lately; [`worth`]: what a step that comes too late loses

mod audit;
mod care;
mod checking;
mod claiming;
pub mod duties;
mod errand;
pub mod fetch;
mod lane;
mod memory;
pub mod purse;
pub mod results;
mod serving;
pub mod validators;
pub mod worth;

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, atomic::AtomicU64},
};

use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use tokio::sync::Notify;

use crate::ctx::Ctx;
use care::Joinable;
use lane::Turns;
use memory::{Passes, Registrations};
use purse::Withheld;

/// What checks and cases share.
pub struct Verifier {
    ctx: Arc<Ctx>,
    /// Draws the results that are checked and salts juries' commitments; follows from the operator's key.
    secret: [u8; 32],
    /// Who has the engine next, for checks and votes.
    turns: Turns,
    /// What was computed of answers.
    passes: Passes,
    registrations: Registrations,
    /// A case was opened.
    cases_changed: Notify,
    /// Jobs of cases in care that others can join, and how these stood at the last look: what was not checked yet is found here again.
    joinable: Mutex<HashMap<Pubkey, Joinable>>,
    /// Our claims `withheld`, and who answered such ones.
    withheld: Mutex<Withheld>,
    /// Held while an answer is audited.
    auditing: tokio::sync::Mutex<()>,
    /// Held while it is reckoned who pays another one.
    reckoning: tokio::sync::Mutex<()>,
    /// The largest stake of the network, as read last.
    largest_stake: AtomicU64,
}

impl Deref for Verifier {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

impl Verifier {
    /// Of a node.
    pub fn new(ctx: Arc<Ctx>) -> Self {
        let secret = mythic_interface::hash::sha256(&[
            mythic_interface::hash::domain::VERIFIER_SECRET,
            ctx.keys.operator.secret_bytes(),
        ]);
        Self {
            ctx,
            secret,
            turns: Turns::default(),
            passes: Passes::default(),
            registrations: Registrations::default(),
            cases_changed: Notify::new(),
            joinable: Mutex::default(),
            withheld: Mutex::default(),
            auditing: tokio::sync::Mutex::default(),
            reckoning: tokio::sync::Mutex::default(),
            largest_stake: AtomicU64::new(0),
        }
    }
}
