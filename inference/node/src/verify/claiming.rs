//! A claim against a false result, or the proof of its fault, from its decision until it is on chain.

use std::sync::atomic::Ordering;

use mythic_client::{ClientError, Commitment, base_fee, ix};
use mythic_interface::{
    error::MythicError,
    hash::sha256,
    merkle,
    state::{ClaimKind, Job},
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::{
    Verifier,
    checking::View,
    purse,
    results::{Answer, Check, PAUSE, Pursued},
    worth,
};
use mythic_verifier::{
    book::Claim,
    check,
    claims::{self, Found, Move, Sight},
    price::Price,
    sample::{self, SlotHashes},
};
use mythic_wire::Evidence;

/// Slots over which those spread who found the same result withheld: it brings the first one little, and the others a refusal.
const SPREAD_SLOTS: u64 = 8;
/// Slots after the end of a window in which a case of ours is seen at the latest, if it was opened.
const SEEN_SLOTS: u64 = 32;
/// Longest path of a leaf that fits a transaction beside a claim.
const LONGEST_PATH: usize = 13;

/// What is said, and since which slot it was to be said.
#[derive(Clone, Copy)]
struct Said<'a> {
    kind: ClaimKind,
    named: &'a [u32],
    began: u64,
}

/// What was sent.
enum Sent {
    /// All that there is to say.
    All,
    /// A claim `false`; the proof of its fault has no room beside it, and follows.
    Claim,
}

/// Why nothing was sent.
enum Refused {
    /// A later try may do better.
    Again(String),
    /// There is no money for it; a later try may do better.
    Poor(String),
    /// No try will.
    Never(String),
}

impl Check {
    /// Says what was found of a result, or proves its fault.
    pub(super) async fn pursue(&self, answer: &Answer, claim: &Claim) -> Pursued {
        let node = &self.node;
        let (began, mut poor) = (node.slot(), false);
        loop {
            tokio::time::sleep(PAUSE).await;
            let view = match node.view(&self.job).await {
                Ok(Some(view)) => view,
                Ok(None) => return Pursued::Over(false),
                Err(_) => continue,
            };
            let state = &view.job;
            if state.submitted_slot.get() == 0
                || hex::encode(state.fingerprint) != claim.fingerprint
            {
                return Pursued::Another;
            }
            let drawn = match view.case {
                Some(_) => None,
                None => self.sampled(state).await,
            };
            let sight = Sight {
                slot: node.slot().max(view.slot),
                job: state,
                case: view.case.as_ref(),
                sample: drawn.as_deref(),
                rule: check::rule(&answer.serving.spec),
                me: node.keys.authority.as_array(),
                joins: node.config.verifier.join,
            };
            let done = match claims::next(&claim.found, &sight) {
                Move::Wait if view.case.is_some() => return Pursued::Later,
                Move::Wait => continue,
                Move::Said => return Pursued::Over(true),
                Move::Leave(reason) => {
                    tracing::info!(job = %self.job, reason, "nothing is said of it");
                    return Pursued::Over(false);
                }
                Move::Claim(ClaimKind::Withheld, _) if !self.turn(&view, began) => continue,
                Move::Claim(kind, named) => {
                    let said = Said {
                        kind,
                        named: &named,
                        began,
                    };
                    self.say(answer, &view, said, None).await
                }
                Move::ClaimAndProve(named) => {
                    let said = Said {
                        kind: ClaimKind::False,
                        named: &named,
                        began,
                    };
                    self.say_and_prove(answer, &view, said, claim).await
                }
                Move::Prove => self.prove(&view, claim).await,
            };
            match done {
                Ok(Sent::All) => return Pursued::Over(true),
                Ok(Sent::Claim) => {}
                Err(Refused::Again(reason)) => {
                    tracing::info!(job = %self.job, reason, "claim not taken; trying again");
                }
                Err(Refused::Poor(reason)) => {
                    if !poor {
                        tracing::warn!(job = %self.job, reason, "claim not paid; trying again");
                        node.left("claim", "money");
                    }
                    poor = true;
                }
                Err(Refused::Never(reason)) => {
                    tracing::warn!(job = %self.job, reason, "nothing is said of it");
                    return Pursued::Over(false);
                }
            }
        }
    }

    /// Whether it is our turn to say that a result is withheld, which was found in slot `began`.
    fn turn(&self, view: &View, began: u64) -> bool {
        let lot = sha256(&[
            mythic_interface::hash::domain::LOT,
            self.node.keys.authority.as_array(),
            self.job.as_array(),
        ])[0];
        let known = sample::known_from(view.job.submitted_slot.get());
        let end = view.job.window_end().unwrap_or(0);
        let from = known
            .max(began)
            .saturating_add(u64::from(lot) % SPREAD_SLOTS);
        self.node.slot() >= from.min(end.saturating_sub(SPREAD_SLOTS))
    }

    /// The positions that the chain draws of a result, if it has by now.
    pub(super) async fn sampled(&self, state: &Job) -> Option<Vec<u32>> {
        if self.node.slot() < sample::known_from(state.submitted_slot.get()) {
            return None;
        }
        let sysvar = Pubkey::new_from_array(sample::SLOT_HASHES);
        let read = self.node.chain.raw_account(&sysvar, Commitment::Processed);
        let hashes = SlotHashes::parse(&read.await.ok()?.account?.data)?;
        let sample = sample::of_job(state, &hashes)?;
        Some(sample.positions().to_vec())
    }

    /// The proof of the fault that a claim is about.
    async fn proof(
        &self,
        view: &View,
        claim: &Claim,
        payer: Pubkey,
    ) -> Result<Instruction, Refused> {
        let proof = async {
            let Found::Fault { position } = claim.found else {
                return None;
            };
            let evidence = self.node.local_evidence(&self.job, &view.job).await?;
            let result = (&self.job, &view.job, &evidence);
            self.node.proof(result, position, payer)
        };
        let gone = || Refused::Never("the evidence of its fault is gone".into());
        proof.await.ok_or_else(gone)
    }

    /// Proves a fault.
    async fn prove(&self, view: &View, claim: &Claim) -> Result<Sent, Refused> {
        let node = &self.node;
        let operator = node.keys.operator.pubkey();
        let call = self.proof(view, claim, operator).await?;
        let due = worth::of_proof(
            &view.job,
            view.case.as_ref(),
            node.keys.authority.as_array(),
        );
        match node.send_verifier(&[call], &[], due).await {
            Ok(()) => {
                tracing::warn!(job = %self.job, "fault proved");
                Ok(Sent::All)
            }
            Err(error) => Err(refused(&error)),
        }
    }

    /// Says `false` and proves it at once, or next where both have no room in one transaction. What is too dear is proved alone.
    async fn say_and_prove(
        &self,
        answer: &Answer,
        view: &View,
        said: Said<'_>,
        claim: &Claim,
    ) -> Result<Sent, Refused> {
        match self.say(answer, view, said, Some(claim)).await {
            // A proof costs next to nothing.
            Err(Refused::Never(reason) | Refused::Poor(reason)) => {
                tracing::info!(job = %self.job, reason, "proved without a claim");
                self.prove(view, claim).await
            }
            said => said,
        }
    }

    /// Opens the result's case or joins it, with the proof of a fault behind it if there is one. What that may cost is counted
    /// from the case as it stands, and bounded by the configuration, before anything is signed.
    async fn say(
        &self,
        answer: &Answer,
        view: &View,
        said: Said<'_>,
        fault: Option<&Claim>,
    ) -> Result<Sent, Refused> {
        let (node, Said { kind, named, began }) = (&self.node, said);
        let again = |error: ClientError| Refused::Again(error.to_string());
        let count = u32::try_from(named.len()).unwrap_or(u32::MAX);
        let rents = purse::rents(&node.chain).await.map_err(again)?;
        let price = Price::of(&view.job, view.case.as_ref(), (kind, count), &rents)
            .map_err(|error| Refused::Never(error.to_string()))?;
        let due = worth::of_claim(&view.job, view.case.as_ref(), kind, &price.bond, began);
        let bids = &node.config.bids;
        let allowed = node
            .config
            .verifier
            .allows(&view.job, kind, &price, bids.all(due.loss));
        if let Err(reason) = allowed {
            node.left("claim", "dear");
            return Err(Refused::Never(reason));
        }
        let needed = purse::needed(&price, due.loss, bids);
        let means = purse::Funds {
            rents: &rents,
            bids,
            largest_stake: node.largest_stake.load(Ordering::Relaxed),
            stake: node.validator().whole_stake(),
        };
        let (payer, second) = match kind {
            ClaimKind::False => self.payer(needed, 0, |_| 0).await?,
            ClaimKind::Withheld => self.payer_of_withheld(view, needed, &means).await?,
        };
        let statement = ix::Statement {
            kind,
            bond: price.bond.total,
            positions: named,
            served: answer.serving.served,
        };
        let who = node.claimant(payer);
        let mut calls = vec![ix::verify_logits(&who, self.job, &view.job, &statement)];
        let mut sent = Sent::All;
        if let Some(claim) = fault {
            // Made in any case: what can't be proved is not claimed.
            let proof = self.proof(view, claim, payer).await?;
            match fits_beside_claim(&claim.found, &view.job) {
                true => calls.push(proof),
                false => sent = Sent::Claim,
            }
        }
        let signers: Vec<&Keypair> = second.into_iter().collect();
        match node.send_verifier(&calls, &signers, due).await {
            Ok(()) => {
                let proved = calls.len() > 1;
                tracing::warn!(job = %self.job, kind = kind.as_str(), ?named, proved, lamports = needed, "claimed");
                Ok(sent)
            }
            Err(error) => {
                // Of what was refused for good nothing is under way.
                if !error.is_transient() {
                    node.withheld.lock().give_back(&self.job);
                }
                Err(refused(&error))
            }
        }
    }

    /// Who pays a claim `withheld`, which counts from now on. One is reckoned at a time, and without what those before it take: all
    /// would read the same balance until the first has landed.
    async fn payer_of_withheld(
        &self,
        view: &View,
        needed: u64,
        means: &purse::Funds<'_>,
    ) -> Result<(Pubkey, Option<&Keypair>), Refused> {
        let node = &self.node;
        let _reckoning = node.reckoning.lock().await;
        // Before the balance is read: what lands between the two counts twice, never not at all.
        let others = node.withheld.lock().under_way(&self.job);
        let kept = |balance| purse::kept(&view.job, balance, means);
        let payer = self.payer(needed, others, kept).await?;
        let domain = mythic_interface::hash::domain::LOT;
        let lot = sha256(&[domain, &node.secret, self.job.as_array()])[0];
        let end = view.job.window_end().unwrap_or(0);
        let claim = purse::UnderWay {
            submitter: view.job.validator,
            lamports: needed.saturating_add(base_fee(2)),
            until: end.saturating_add(SEEN_SLOTS),
        };
        let taken = node.withheld.lock().take(self.job, claim, lot);
        taken.map(|()| payer).map_err(|reason| {
            node.left("claim", reason);
            Refused::Never(format!("claims `withheld` against its submitter: {reason}"))
        })
    }

    /// Who has the money beside what other claims take and what is kept of the rest: the operator, else the owner, whose key signs too.
    async fn payer(
        &self,
        needed: u64,
        others: u64,
        kept: impl Fn(u64) -> u64,
    ) -> Result<(Pubkey, Option<&Keypair>), Refused> {
        let node = &self.node;
        let again = |error: ClientError| Refused::Again(error.to_string());
        // What the account must keep beside: the rent of an empty one, and fees.
        let spare = node.chain.rent(0).await.map_err(again)?;
        let spare = spare.saturating_add(base_fee(2));
        let operator = node.keys.operator.pubkey();
        let needed_of = |free| needed.saturating_add(spare).saturating_add(kept(free));
        let free = |balance: u64| balance.saturating_sub(others);
        let enough = |balance: u64| free(balance) >= needed_of(free(balance));
        let balance = node.chain.balance(&operator).await.map_err(again)?;
        if enough(balance) {
            return Ok((operator, None));
        }
        if let Some(key) = node.keys.authority_key.as_deref()
            && enough(node.chain.balance(&key.pubkey()).await.map_err(again)?)
        {
            return Ok((key.pubkey(), Some(key)));
        }
        let wanted = needed_of(free(balance)).saturating_add(others);
        Err(Refused::Poor(format!(
            "operator {operator} lacks money: bond, rent and fees take up to {needed} lamports beside {} kept for claims `false` and own \
             answers and {others} that claims under way take; send it {} lamports, most returns",
            kept(free(balance)),
            wanted.saturating_sub(balance)
        )))
    }
}

/// Whether the proof of a fault has room in one transaction with a claim.
fn fits_beside_claim(found: &Found, job: &Job) -> bool {
    matches!(found, Found::Fault { position }
        if merkle::path_len(*position, job.output_tokens.get()) <= LONGEST_PATH)
}

impl Verifier {
    /// We, as who claims or proves.
    fn claimant(&self, payer: Pubkey) -> ix::Claimant {
        ix::Claimant {
            payer,
            operator: self.keys.operator.pubkey(),
            authority: self.keys.authority,
        }
    }

    /// The proof that a result breaks a rule at a position.
    pub(super) fn proof(
        &self,
        (job, state, evidence): (&Pubkey, &Job, &Evidence),
        position: u32,
        payer: Pubkey,
    ) -> Option<Instruction> {
        let path = check::path(evidence, position)?;
        let proof = ix::Proof {
            leaf: evidence.leaf(position)?,
            path: &path,
            page: None,
        };
        Some(ix::prove_fault(&self.claimant(payer), job, state, &proof))
    }
}

/// Whether to try again after a refusal of the chain: what another transaction caused may look otherwise in the next bank.
fn refused(error: &ClientError) -> Refused {
    match error.program() {
        Some(
            MythicError::ChallengerTooYoung
            | MythicError::SlotHashExpired
            | MythicError::NoFault
            | MythicError::NoRule
            | MythicError::CaseFull
            | MythicError::JoinClosed
            | MythicError::AlreadyClaimed
            | MythicError::StakeBelowMinimum
            | MythicError::Jailed,
        ) => Refused::Never(error.to_string()),
        _ => Refused::Again(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_client::{sign, units};

    /// Bytes of a claim `false` with the proof of a fault behind it, whose path has so many steps; two keys sign.
    fn bytes(path: usize) -> usize {
        let [payer, operator] = [Keypair::new(), Keypair::new()];
        let who = ix::Claimant {
            payer: payer.pubkey(),
            operator: operator.pubkey(),
            authority: Pubkey::new_from_array([3; 32]),
        };
        let mut state = Job::zeroed();
        for (byte, key) in (4..).zip([
            &mut state.validator,
            &mut state.terms.model,
            &mut state.terms.owner,
            &mut state.grant,
        ]) {
            *key = [byte; 32];
        }
        let job = Pubkey::new_from_array([9; 32]);
        let statement = ix::Statement {
            kind: ClaimKind::False,
            bond: 1,
            positions: &[1],
            served: Some(Pubkey::new_from_array([10; 32])),
        };
        let proof = ix::Proof {
            leaf: mythic_interface::leaf::Leaf::decode(&[0; mythic_interface::leaf::Leaf::LEN]),
            path: &vec![[0; 32]; path],
            page: None,
        };
        let calls = [
            ix::verify_logits(&who, job, &state, &statement),
            ix::prove_fault(&who, job, &state, &proof),
        ];
        let calls = units::bounded(&calls, units::limit(&calls), 1);
        let signers = [&payer, &operator];
        let signed = sign(&calls, &payer.pubkey(), &signers, Default::default()).unwrap();
        bincode::serialize(&signed).unwrap().len()
    }

    #[test]
    fn the_longest_path_beside_a_claim_is_what_fits() {
        assert!(bytes(LONGEST_PATH) <= 1_232, "{}", bytes(LONGEST_PATH));
        assert!(bytes(LONGEST_PATH + 1) > 1_232);
        let mut job = Job::zeroed();
        let fault = |position| Found::Fault { position };
        for (tokens, position, fits) in [
            (8_192, 8_191, true),
            (8_193, 0, false),
            // The last of an odd number has a short path.
            (8_193, 8_192, true),
            (65_536, 0, false),
        ] {
            job.output_tokens.set(tokens);
            assert_eq!(fits_beside_claim(&fault(position), &job), fits, "{tokens}");
        }
        assert!(!fits_beside_claim(&Found::Withheld, &job));
    }
}
