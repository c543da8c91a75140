//! What a task does with a claim.

use tracing::Instrument;

use super::JobTask;
use crate::{
    keep::journal::Record,
    serve::{claim::Acceptance, fsm::View, messages::Held},
};

impl JobTask {
    pub(super) fn acceptance(&self, terms_hash: [u8; 32]) -> Acceptance {
        Acceptance {
            node: self.node.clone(),
            job: self.job,
            terms_hash,
            inbox: self.inbox.clone(),
        }
    }

    /// What a view of the chain means where other workers accept in the validator's name; `None` while it is not known whose
    /// acceptance the chain has.
    pub(super) fn claimed(&mut self, view: View, slot: u64, finalized: bool) -> Option<View> {
        let Some(claim) = &mut self.claim else {
            return Some(view);
        };
        match (view, claim.state) {
            (View::Ours { .. } | View::Submitted, Held::Anothers) => Some(View::Others),
            (View::Ours { .. } | View::Submitted, Held::Unknown) => {
                self.ask_whose(slot);
                None
            }
            (View::Open, _) => {
                // A fork may have taken the acceptance back.
                if !finalized {
                    // So what was sent before did not land here.
                    (claim.state, claim.resumed) = (Held::Unknown, false);
                }
                Some(view)
            }
            _ => Some(view),
        }
    }

    /// Asks whose acceptance the chain has, one question at a time.
    fn ask_whose(&mut self, slot: u64) {
        let asking = self.claiming.as_ref().is_some_and(|t| !t.is_finished());
        let Some(claim) = self.claim.clone().filter(|_| !asking) else {
            return;
        };
        let acceptance = self.acceptance([0; 32]);
        let asked = async move { acceptance.ask(&claim, slot).await };
        self.claiming = Some(tokio::spawn(asked.in_current_span()));
    }

    /// Takes notice of whose acceptance the chain has, and reads the job again with that.
    pub(super) async fn hold(&mut self, held: Held) {
        let job = self.job.to_string();
        if held == Held::Ours && !self.node.note(Record::Claimed { job }).await {
            tracing::warn!("a claim is not in the journal: after a crash the chain is asked again");
        }
        if held == Held::Anothers {
            tracing::info!("accepted by another worker of this validator");
        }
        if let Some(claim) = &mut self.claim {
            claim.state = held;
        }
        self.look_again();
    }
}
