//! What checks and cases need of the node: evidence from here and from strangers, the engine, transactions and notes.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_client::{ClientError, Commitment, Due, account::decode, pda};
use mythic_engine::ByOptions;
use mythic_interface::{
    hash::Hash,
    state::{Case, Job, Key, OUTPUT_PAGE_TOKENS, Output, Validator},
};
use mythic_sampling::{Options, Refusal};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

use super::{
    Verifier, fetch,
    lane::{Next, Purpose, Want},
};
use crate::{
    keep::{journal::Record, store::Saved},
    serve::backend::ServedModel,
};
use mythic_verifier::{
    book::Note,
    check,
    docket::pages,
    question::{self, Own, Question, Reply},
    search::Search,
};
use mythic_wire::{Evidence, Finish, signed::purpose};

/// Claimants that are asked for evidence, the earliest ones: a case may be filled by those who have none.
const ASKED_CLAIMANTS: usize = 4;

/// A job and its case, of one bank.
pub(super) struct View {
    pub slot: u64,
    pub job: Job,
    pub case: Option<Case>,
}

/// Bytes of masks that a pass holds, so that an answer by a grammar takes no more memory than that. Of longer ones positions all over
/// it are compared, which nobody else can know, and what a case checks.
const MASKS: usize = 64 << 20;

/// No more than `most` of an answer's positions, evenly over it from one that `lot` draws, and those that are checked in any case.
fn spread(positions: usize, most: usize, lot: usize, checked: &[u32]) -> Vec<u32> {
    let stride = positions.div_ceil(most.max(1)).max(1);
    let all = (0u32..).take(positions);
    let drawn = all.skip(lot % stride).step_by(stride);
    let asked: BTreeSet<u32> = drawn.chain(checked.iter().copied()).collect();
    asked.into_iter().collect()
}

/// What an engine is asked of an answer by options; nothing of another.
fn by_options(
    state: &Job,
    question: &Question,
    vocabulary: usize,
) -> Result<Option<ByOptions>, Refusal> {
    if state.terms.replay().is_some() {
        return Ok(None);
    }
    let options = Options::from_wire(question.options.as_deref().unwrap_or_default())?;
    let most = MASKS / vocabulary.div_ceil(8).max(1);
    let positions = question.output.len();
    let asked = (options.grammar.is_some() && positions > most).then(|| {
        let lot = rand::random::<u32>() as usize;
        spread(positions, most, lot, &question.checked)
    });
    Ok(Some(ByOptions {
        options: Arc::new(options),
        sampling: check::sampling(state),
        output_tokens: state.output_tokens.get(),
        max_tokens: state.terms.max_output_tokens.get(),
        finish_reason: state.finish_reason,
        asked,
    }))
}

/// What a pass is of.
pub(super) struct Asked<'a> {
    pub job: &'a Pubkey,
    pub state: &'a Job,
    pub fingerprint: &'a Hash,
    pub question: &'a Question,
    pub submitter: Key,
    pub purpose: Purpose,
    /// Slot from which nothing can be said by it.
    pub end: u64,
}

impl Verifier {
    /// Sends instructions of checks and cases, paid by the operator, and counts the fees. `signers` sign beside it.
    pub(super) async fn send_verifier(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
        due: Due,
    ) -> Result<(), ClientError> {
        let lamports = self.send_by(instructions, signers, due).await?;
        self.note_soft(Record::Verifier(Note::Fee { lamports }));
        Ok(())
    }

    /// Writes a note durably; false if the disk refuses.
    pub(super) async fn remember(&self, note: Note) -> bool {
        self.note(Record::Verifier(note)).await
    }

    /// The authentic evidence of a result that lies here: our own, or one that was fetched.
    pub(super) async fn local_evidence(&self, job: &Pubkey, state: &Job) -> Option<Evidence> {
        if !self.disclosure.answers() && state.validator == self.keys.authority.to_bytes() {
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

    /// Reads a job and its case; `None` of the job once it is closed.
    pub(super) async fn view(&self, job: &Pubkey) -> Result<Option<View>, ClientError> {
        let case = pda::case(job);
        let read = self
            .chain
            .raw_accounts(&[*job, case], Commitment::Processed)
            .await?;
        let mut read = read.into_iter();
        let (Some(state), Some(found)) = (read.next(), read.next()) else {
            return Ok(None);
        };
        let slot = state.slot;
        let Some(account) = state.account else {
            return Ok(None);
        };
        let found = found
            .account
            .and_then(|account| decode(&case, &account).ok());
        Ok(Some(View {
            slot,
            job: decode(job, &account)?,
            case: found,
        }))
    }

    /// The output of a result as posted, once all of it is.
    pub(super) async fn posted(&self, job: &Pubkey, case: &Case) -> Option<Vec<u32>> {
        let tokens = case.output_tokens.get();
        let addresses: Vec<Pubkey> = (0..pages(tokens))
            .map(|page| pda::output(job, page))
            .collect();
        let read = self
            .chain
            .raw_accounts(&addresses, Commitment::Processed)
            .await
            .ok()?;
        let pages: Vec<Output> = addresses
            .iter()
            .zip(read)
            .map(|(key, page)| decode::<Output>(key, &page.account?).ok())
            .collect::<Option<_>>()?;
        (0..tokens)
            .map(|position| {
                let page = pages.get(position as usize / OUTPUT_PAGE_TOKENS)?;
                let ours = page.fingerprint == case.fingerprint;
                page.token(position).filter(|_| ours)
            })
            .collect()
    }

    /// Looks for the evidence of a result at its submitter, at those who claim against it, and at gateways; keeps what it finds.
    pub(super) async fn search(&self, job: &Pubkey, state: &Job, case: Option<&Case>) -> Search {
        let mut sources = Vec::new();
        let claims = case.map_or(&[][..], Case::claims).iter();
        let claimants = claims.take(ASKED_CLAIMANTS).map(|claim| claim.claimant);
        for authority in std::iter::once(state.validator).chain(claimants) {
            let authority = Pubkey::new_from_array(authority);
            if authority == self.keys.authority {
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

    /// What a question asks for, from the engine or from the pass that was made already: when its turn comes, and behind users'
    /// requests in the engine's queue. Nothing if that comes too late, or the engine can't.
    pub(super) async fn ask(
        &self,
        model: &ServedModel,
        asked: &Asked<'_>,
    ) -> Option<Arc<Vec<Own>>> {
        let (question, state) = (asked.question, asked.state);
        let (mut replies, mut done) = (Vec::new(), None);
        let by_options = match by_options(state, question, model.backend.vocab_size()) {
            Ok(by_options) => by_options,
            Err(error) => {
                tracing::warn!(job = %asked.job, %error, "its options can't be followed");
                return None;
            }
        };
        if !question.is_empty() {
            let want = Want {
                job: *asked.job,
                submitter: asked.submitter,
                purpose: asked.purpose,
                end: asked.end,
                tokens: (question.prompt.len() + question.output.len()) as u64,
            };
            let ticket = self.turns.enter(want, || self.slot());
            let mut pass = None;
            let answer = loop {
                let moved = ticket.moved();
                // Whoever had the engine before may have asked the same.
                let known = self.passes.get(asked.job, asked.fingerprint);
                let tells = |own: &Arc<Vec<Own>>| {
                    by_options.is_none() || question::tells(own, &question.checked)
                };
                if let Some(known) = known.filter(tells) {
                    return Some(known);
                }
                match ticket.turn() {
                    Next::Left(left) => {
                        self.left(want.purpose.as_str(), left.as_str());
                        tracing::info!(job = %want.job, ?want.purpose, ?left, "not computed in time");
                        return None;
                    }
                    Next::Wait => {
                        pass = None;
                        let _ = moved.await;
                    }
                    Next::Run => {
                        let (_, running) = pass.get_or_insert_with(|| {
                            let backend = &model.backend;
                            let (prompt, output) = (&question.prompt, &question.output);
                            let claimed = &question.claimed;
                            let check = backend.check(prompt, output, claimed, by_options.clone());
                            (Instant::now(), check)
                        });
                        tokio::select! {
                            biased;
                            answer = running => break answer,
                            _ = moved => {}
                        }
                    }
                }
            };
            let elapsed = pass.map_or(Duration::ZERO, |(started, _)| started.elapsed());
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            self.note_soft(Record::Verifier(Note::Computed { millis }));
            match answer {
                Ok(checked) => replies.extend(checked.iter().map(|own| Reply {
                    four: own.own,
                    fifth: own.fifth,
                    at_claimed: own.at_claimed,
                    choice: own.choice,
                })),
                Err(error) => {
                    tracing::warn!(%error, "the engine can't check");
                    return None;
                }
            }
            done = Some(ticket);
        }
        let own = Arc::new(question.answered(&replies)?);
        self.passes.put(*asked.job, *asked.fingerprint, own.clone());
        if let Some(ticket) = done {
            ticket.done();
        }
        Some(own)
    }

    /// Counts what is left undone, and why.
    pub(super) fn left(&self, what: &str, reason: &str) {
        let left = &self.meters.verifier.left;
        left.with_label_values(&[what, reason]).inc();
    }

    /// Shows what the book says in the metrics.
    pub(super) fn count_verifier(&self) {
        let totals = self.ledger.read().book.totals.clone();
        self.meters.verifier.show(&totals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_answer_by_a_grammar_any_position_may_be_compared() {
        assert_eq!(spread(10, 4, 0, &[]), [0, 3, 6, 9]);
        assert_eq!(spread(10, 4, 5, &[4, 9]), [2, 4, 5, 8, 9]);
        let mut seen = BTreeSet::new();
        for lot in 0..1_000 {
            let asked = spread(8_000, 3_500, lot, &[]);
            assert!(asked.len() <= 3_500);
            seen.extend(asked);
        }
        assert!(seen.into_iter().eq(0..8_000));
        assert!(spread(0, 0, 7, &[]).is_empty());
    }
}
