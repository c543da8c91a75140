//! A challenge of a false result, or the proof of its fault, from its decision until it is on chain.

use mythic_client::{ClientError, Commitment, Filter, base_fee, ix, pda};
use mythic_interface::{
    dispute::{Bond, Challenged},
    error::MythicError,
    hash::sha256,
    state::{Dispute, DisputeStatus, Job, JobStatus, Output, SAMPLED_POSITIONS, Validator},
    window,
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::results::{Answer, Check, PAUSE};
use mythic_verifier::{book::Challenge, check, docket, sample};

/// Slots over which challengers of the same result spread, so that most find it challenged already.
const SPREAD_SLOTS: u64 = 8;

impl Check {
    /// Challenges a result, or proves its fault; whether it was made. `None` if the result is another one by now.
    pub(super) async fn challenge(&self, result: &Answer, challenge: &Challenge) -> Option<bool> {
        let node = &self.node;
        let own = pda::dispute(self.job, node.keys.authority);
        let lot = sha256(&[
            mythic_interface::hash::domain::LOT,
            node.keys.authority.as_array(),
            self.job.as_array(),
        ])[0];
        // From the same moment on others may challenge too; each waits its own while, within the window.
        let known = sample::known_from(result.state.submitted_slot.get())
            .max(node.slot())
            .saturating_add(u64::from(lot) % SPREAD_SLOTS)
            .min(result.end.saturating_sub(SPREAD_SLOTS));
        // Without a challenge of anybody's the window is the limit; a fault can be proved while a dispute runs.
        loop {
            tokio::time::sleep(PAUSE).await;
            let state = match node.chain.account::<Job>(&self.job).await {
                Ok(Some((_, state))) => state,
                Ok(None) => return Some(false),
                Err(_) => continue,
            };
            if state.submitted_slot.get() == 0
                || hex::encode(state.fingerprint) != challenge.fingerprint
            {
                return None;
            }
            if state.status().is_none_or(JobStatus::is_terminal) {
                return Some(false);
            }
            if let Some(position) = challenge.fault {
                match self.prove(&state, position).await {
                    Some(proved) => return Some(proved),
                    None if node.slot() >= result.end && state.open_disputes.get() == 0 => {
                        return Some(false);
                    }
                    None => continue,
                }
            }
            if let Ok(Some(_)) = node.chain.account::<Dispute>(&own).await {
                return Some(true);
            }
            if !window::open(node.slot(), result.end) {
                tracing::warn!(job = %self.job, "its window closed before it was challenged");
                return Some(false);
            }
            if node.slot() < known {
                continue;
            }
            if self.is_challenged(challenge).await {
                tracing::info!(job = %self.job, "another dispute checks what is false in it");
                return Some(false);
            }
            match self.verify_logits(result, &state, challenge).await {
                Ok(()) => {
                    tracing::warn!(job = %self.job, dispute = %own, "challenged");
                    return Some(true);
                }
                Err(Refused::Again(reason)) => {
                    tracing::info!(job = %self.job, reason, "challenge not taken; trying again");
                }
                Err(Refused::Never(reason)) => {
                    tracing::warn!(job = %self.job, reason, "not challenged");
                    return Some(false);
                }
            }
        }
    }

    /// Whether somebody's open dispute checks a position that is false, so that its jury will find it.
    async fn is_challenged(&self, challenge: &Challenge) -> bool {
        let filters = [Filter::<Dispute>::job(&self.job)];
        let found = self
            .node
            .chain
            .program_accounts::<Dispute>(&filters, Commitment::Processed)
            .await;
        found.is_ok_and(|found| {
            found.iter().any(|(_, dispute)| {
                let open = dispute.status() != Some(DisputeStatus::Resolved);
                let mut checked = dispute.checked_leaves().iter();
                // Nothing to name: every dispute draws the same sample.
                open && (challenge.differing.is_empty()
                    || checked.any(|leaf| challenge.differing.contains(&leaf.position.get())))
            })
        })
    }

    /// Proves a fault; whether the job is decided by it, `None` to try again.
    async fn prove(&self, state: &Job, position: u32) -> Option<bool> {
        let node = &self.node;
        let evidence = node.local_evidence(&self.job, state).await?;
        let (leaf, path) = (evidence.leaf(position)?, check::path(&evidence, position)?);
        let who = self.challenger(node.keys.operator.pubkey());
        let call = ix::prove_fault(
            &who,
            self.job,
            state,
            &ix::Proof {
                leaf,
                path: &path,
                page: None,
            },
        );
        match node.send_verifier(&[call], &[]).await {
            Ok(()) => {
                tracing::warn!(job = %self.job, position, "fault proved");
                Some(true)
            }
            Err(error) => {
                tracing::info!(job = %self.job, %error, "fault not proved");
                match error.program() {
                    Some(MythicError::NoFault | MythicError::WindowClosed) => Some(false),
                    _ => None,
                }
            }
        }
    }

    fn challenger(&self, payer: Pubkey) -> ix::Challenger {
        ix::Challenger {
            payer,
            operator: self.node.keys.operator.pubkey(),
            authority: self.node.keys.authority,
        }
    }

    async fn verify_logits(
        &self,
        result: &Answer,
        state: &Job,
        challenge: &Challenge,
    ) -> Result<(), Refused> {
        let node = &self.node;
        let again = |error: ClientError| Refused::Again(error.to_string());
        let drawn = self
            .drawn(result)
            .await
            .ok_or_else(|| Refused::Again("the sample is not known".into()))?;
        let named = sample::named(&challenge.differing, &drawn);
        let submitter = pda::validator(Pubkey::new_from_array(state.validator));
        let (_, submitter) = node
            .chain
            .account::<Validator>(&submitter)
            .await
            .map_err(again)?
            .ok_or_else(|| Refused::Again("the submitter's account is not there".into()))?;
        let tokens = state.output_tokens.get();
        let checked = SAMPLED_POSITIONS.min(tokens as usize) + named.len();
        let bond = Bond::of(
            &state.terms.rules,
            &Challenged {
                whole_stake: submitter.whole_stake(),
                ceiling: state.ceiling.get(),
                checked: checked as u32,
                output_tokens: tokens,
            },
        )
        .map_err(|error| Refused::Never(error.to_string()))?;
        let page = node.chain.rent(Output::LEN).await.map_err(again)?;
        let rent = node.chain.rent(Dispute::LEN).await.map_err(again)?;
        let rent = rent.saturating_add(page.saturating_mul(u64::from(docket::pages(tokens))));
        let needed = bond.total.saturating_add(rent);
        let limit = node.config.verifier.max_challenge_lamports;
        if needed > limit {
            return Err(Refused::Never(format!(
                "bond and rent take {needed} lamports, verifier.max_challenge_lamports allows {limit}"
            )));
        }
        // What the account must keep beside: the rent of an empty one, and fees.
        let spare = node.chain.rent(0).await.map_err(again)?;
        let spare = spare.saturating_add(base_fee(2));
        let operator = node.keys.operator.pubkey();
        let enough = |balance: u64| balance >= needed.saturating_add(spare);
        let authority_key = node.keys.authority_key.clone();
        let rich = enough(node.chain.balance(&operator).await.map_err(again)?);
        let payer = match authority_key.as_deref().filter(|_| !rich) {
            Some(key) if enough(node.chain.balance(&key.pubkey()).await.map_err(again)?) => {
                Some(key)
            }
            _ => None,
        };
        if !rich && payer.is_none() {
            return Err(Refused::Again(format!(
                "operator {operator} lacks money: bond and rent take {needed} lamports; send it as much, most returns"
            )));
        }
        let who = self.challenger(payer.map_or(operator, |key| key.pubkey()));
        // The stake of the submitter may grow until it lands.
        let offer = bond.total.saturating_add(bond.total / 20);
        let call = ix::verify_logits(&who, self.job, state, offer, &named);
        let signers: Vec<&Keypair> = payer.into_iter().collect();
        match node.send_verifier(&[call], &signers).await {
            Ok(()) => Ok(()),
            Err(error) => Err(match error.program() {
                Some(
                    MythicError::WindowClosed
                    | MythicError::ChallengerTooYoung
                    | MythicError::SlotHashExpired,
                ) => Refused::Never(error.to_string()),
                _ => Refused::Again(error.to_string()),
            }),
        }
    }
}

/// Why a challenge was not made.
enum Refused {
    /// A later try may do better.
    Again(String),
    /// No try will.
    Never(String),
}
