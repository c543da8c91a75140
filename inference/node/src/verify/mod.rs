//! Checks of others' answers, and what is owed to disputes. What is decided is in [`mythic_verifier`].
//!
//! - [`results`]: follows results and checks some; [`challenge`]: challenges the false ones
//! - [`duties`]: disputes that concern this node; [`errand`]: one duty done
//! - [`fetch`]: evidence from strangers; [`checking`]: what all of these need
//! - [`validators`]: others' accounts as read lately

mod challenge;
mod checking;
pub mod duties;
mod errand;
pub mod fetch;
pub mod results;
pub mod validators;

use std::{ops::Deref, sync::Arc};

use tokio::sync::{Notify, Semaphore};

use crate::ctx::Ctx;

/// What checks and disputes share.
pub struct Verifier {
    ctx: Arc<Ctx>,
    /// Draws the results that are checked and salts juries' commitments; follows from the operator's key.
    secret: [u8; 32],
    /// One check at a time.
    checking: Semaphore,
    /// A dispute was made.
    disputes_changed: Notify,
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
            checking: Semaphore::new(1),
            disputes_changed: Notify::new(),
        }
    }
}
