//! What checks and disputes need of the node: evidence from here and from strangers, the engine, transactions and notes.

use std::time::Instant;

use mythic_client::{ClientError, Commitment, base_fee, pda};
use mythic_interface::{
    comparison::Values,
    state::{Job, Validator},
};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::{Verifier, fetch};
use crate::{
    keep::{journal::Record, store::Saved},
    serve::backend::ServedModel,
};
use mythic_verifier::{
    book::Note,
    question::{Question, Reply},
    search::Search,
};
use mythic_wire::{Evidence, Finish, signed::purpose};

/// Most compute units of a transaction.
const COMPUTE_UNITS: u32 = 1_400_000;

impl Verifier {
    /// Sends instructions of checks and disputes, paid by the operator, and counts the fee. `signers` sign beside it.
    pub(super) async fn send_verifier(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<(), ClientError> {
        let operator = &self.keys.operator;
        let mut all: Vec<&Keypair> = vec![operator];
        all.extend(signers);
        // Without a price it costs nothing to ask for all that there is.
        let limit = ComputeBudgetInstruction::set_compute_unit_limit(COMPUTE_UNITS);
        let calls: Vec<Instruction> = std::iter::once(limit)
            .chain(instructions.iter().cloned())
            .collect();
        self.chain
            .send_and_confirm(&calls, &operator.pubkey(), &all, Commitment::Processed)
            .await?;
        let lamports = base_fee(all.len());
        self.note_soft(Record::Fee { lamports });
        self.note_soft(Record::Verifier(Note::Fee { lamports }));
        Ok(())
    }

    /// Writes a note durably; false if the disk refuses.
    pub(super) async fn remember(&self, note: Note) -> bool {
        self.note(Record::Verifier(note)).await
    }

    /// The authentic evidence of a result that lies here: our own, or one that was fetched.
    pub(super) async fn local_evidence(&self, job: &Pubkey, state: &Job) -> Option<Evidence> {
        if !self.shows() && state.validator == self.keys.authority.to_bytes() {
            return None;
        }
        let (own, others, job, state) = (self.store.clone(), self.others.clone(), *job, *state);
        let read = tokio::task::spawn_blocking(move || {
            [own, others].iter().find_map(|store| {
                let evidence = store.load(&job).ok().flatten()?.evidence;
                evidence.of(job.as_array(), &state).ok()?;
                Some(evidence)
            })
        });
        read.await.ok().flatten()
    }

    /// Looks for the evidence of a result at its submitter, at `others`, and at gateways; keeps what it finds.
    pub(super) async fn search(&self, job: &Pubkey, state: &Job, others: &[Pubkey]) -> Search {
        let mut sources = Vec::new();
        let submitter = Pubkey::new_from_array(state.validator);
        for authority in std::iter::once(&submitter).chain(others) {
            if *authority == self.keys.authority {
                continue;
            }
            let address = pda::validator(authority);
            if let Ok(Some((_, found))) = self.chain.account::<Validator>(&address).await {
                sources.push(found.endpoint.as_str().to_string());
            }
        }
        sources.push(state.terms.prompt_source.as_str().to_string());
        sources.extend(self.gateways.iter().map(ToString::to_string));
        let asker = fetch::Asker {
            key: &self.keys.operator,
            purpose: &purpose::check(job, &self.keys.authority),
            allow_loopback: self.config.allow_loopback,
        };
        let search = fetch::evidence(job, state, &sources, &asker).await;
        if let Some(evidence) = &search.evidence
            && let Some(finish) = Finish::from_u8(state.finish_reason)
        {
            let saved = Saved {
                finish,
                evidence: evidence.clone(),
                readers: Vec::new(),
            };
            let others = self.others.clone();
            let kept = tokio::task::spawn_blocking(move || others.save(&saved)).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(%job, %error, "evidence can't be kept");
            }
        }
        search
    }

    /// The values that a question asks for. One question at a time, and behind users' requests in the engine's queue.
    pub(super) async fn ask(&self, model: &ServedModel, asked: &Question) -> Option<Vec<Values>> {
        if asked.is_empty() {
            return asked.values(&[]);
        }
        let _turn = self.checking.acquire().await.ok()?;
        let started = Instant::now();
        let answer = model
            .backend
            .check(&asked.prompt, &asked.output, &asked.claimed)
            .await;
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.note_soft(Record::Verifier(Note::Computed { millis }));
        match answer {
            Ok(checked) => {
                let replies: Vec<Reply> = checked
                    .iter()
                    .map(|own| Reply {
                        fourth: own.own[3].1,
                        at_claimed: own.at_claimed,
                    })
                    .collect();
                asked.values(&replies)
            }
            Err(error) => {
                tracing::warn!(%error, "the engine can't check");
                None
            }
        }
    }

    /// Shows what the book says in the metrics.
    pub(super) fn count_verifier(&self) {
        let totals = self.ledger.read().book.totals.clone();
        self.meters.verifier.show(&totals);
    }
}
