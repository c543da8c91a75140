//! One duty of one case, done: postings, commitments, reveals, closings.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream};
use mythic_client::{ClientError, Due, ix, pda};
use mythic_interface::{
    error::MythicError,
    state::{Case, Job, Key, Output, Validator, Votes},
};
use parking_lot::Mutex;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::{Verifier, checking::Asked, lane::Purpose, worth};
use crate::keep::journal::Record;
use mythic_verifier::{
    book::{Book, Ended, Note},
    docket::{self, Data, Duty, Held, Kind, Outcome},
    postings,
    question::{self, Question},
    search::Prompt,
};
use mythic_wire::evidence::Evidence;

/// Transactions of one duty that are under way at once.
const IN_FLIGHT: usize = 8;
/// Slots beyond the chain's own memory for which an end is remembered.
const REMEMBER_SLOTS: u64 = 1_000;

/// Prompts found without the rest of the evidence, by job.
pub(super) type Prompts = Arc<Mutex<HashMap<Pubkey, Arc<Prompt>>>>;

/// One duty of one case, with the accounts as they were when it came up.
pub(super) struct Errand {
    pub node: Arc<Verifier>,
    pub prompts: Prompts,
    pub address: Pubkey,
    pub job_address: Pubkey,
    pub case: Box<Case>,
    pub job: Option<Box<Job>>,
}

impl Errand {
    pub async fn perform(&self, duty: Duty) -> Outcome {
        let authority = self.node.keys.authority;
        let juror = ix::Juror {
            operator: self.node.keys.operator.pubkey(),
            authority,
            case: self.address,
            served: self.node.judging(&self.case).and_then(|(_, served)| served),
        };
        let case = &self.case;
        match duty {
            Duty::Fetch => self.fetch().await,
            Duty::Output(chunks) => self.post_output(&chunks).await,
            Duty::Openings(positions) => self.post_openings(&positions).await,
            Duty::Compute => self.compute().await,
            Duty::Commit(held, wins) => {
                let commitment = held.commitment(self.address.as_array(), authority.as_array());
                self.commit(ix::commit_juror(&juror, case, commitment), wins)
                    .await
            }
            Duty::Reveal(held) => {
                let call = ix::reveal_juror(&juror, case, held.salt, &held.vote);
                self.send(Kind::Reveal, call).await
            }
            Duty::Resolve => match &self.job {
                Some(job) => {
                    let call = ix::resolve_case(self.address, case, job);
                    self.send(Kind::Resolve, call).await
                }
                None => Outcome::Failed,
            },
            Duty::Collect(whose) => self.collect(&whose).await,
            Duty::Book => self.book().await,
            Duty::CloseOutput(pages) => self.close_output(&pages).await,
            Duty::Close => self.close().await,
        }
    }

    /// Commits; what takes no seat earns nothing, so nothing is bid for it.
    async fn commit(&self, call: Instruction, wins: bool) -> Outcome {
        let due = match wins {
            true => self.due(Kind::Commit),
            false => Due::NEVER,
        };
        match self.node.send_verifier(&[call], &[], due).await {
            Ok(()) => tracing::info!(case = %self.address, wins, "committed as a juror"),
            Err(error) if error.program() == Some(MythicError::AlreadyCommitted) => {}
            Err(error) => return self.failed(Kind::Commit, &error),
        }
        let jury = self.case.jury_slot();
        let case = self.address.to_string();
        let note = Note::Committed { case, jury };
        self.node.note_soft(Record::Verifier(note));
        Outcome::Committed(jury)
    }

    fn due(&self, kind: Kind) -> Due {
        worth::of_duty(&self.case, self.node.keys.authority.as_array(), kind)
    }

    async fn send(&self, kind: Kind, call: Instruction) -> Outcome {
        match self.node.send_verifier(&[call], &[], self.due(kind)).await {
            Ok(()) => {
                tracing::info!(case = %self.address, ?kind, "sent");
                Outcome::Done
            }
            Err(error) => self.failed(kind, &error),
        }
    }

    fn failed(&self, kind: Kind, error: &ClientError) -> Outcome {
        tracing::info!(case = %self.address, %error, ?kind, "refused; looking again");
        Outcome::Failed
    }

    /// The evidence of the result, if it lies here.
    async fn evidence(&self) -> Option<Evidence> {
        let job = self.job.as_ref()?;
        self.node.local_evidence(&self.job_address, job).await
    }

    async fn fetch(&self) -> Outcome {
        let of = self.case.fingerprint;
        let Some(job) = self.job.as_ref().filter(|job| job.fingerprint == of) else {
            return Outcome::Failed;
        };
        if self.evidence().await.is_some() {
            return Outcome::Found(of, Data::Evidence);
        }
        let search = self
            .node
            .search(&self.job_address, job, Some(&self.case))
            .await;
        if search.evidence.is_some() {
            return Outcome::Found(of, Data::Evidence);
        }
        tracing::info!(case = %self.address, reason = search.reason(), "no evidence found");
        match search.prompt {
            Some(prompt) => {
                self.prompts
                    .lock()
                    .insert(self.job_address, Arc::new(prompt));
                Outcome::Found(of, Data::Prompt)
            }
            None => Outcome::Found(of, Data::None),
        }
    }

    fn result(&self) -> ix::NamedResult {
        ix::NamedResult {
            job: self.job_address,
            submitted_slot: self.case.submitted_slot.get(),
            fingerprint: self.case.fingerprint,
        }
    }

    /// Sends several calls, some at once; done if all were taken.
    async fn send_all(&self, kind: Kind, calls: Vec<Instruction>) -> Outcome {
        let count = calls.len();
        let mut due = self.due(kind);
        // One that is late loses it all, but all of them are bid for.
        due.loss /= (count as u64).max(1);
        let sent = stream::iter(calls)
            .map(|call| async move {
                match self.node.send_verifier(&[call], &[], due).await {
                    Ok(()) => true,
                    Err(error) => {
                        self.failed(kind, &error);
                        false
                    }
                }
            })
            .buffer_unordered(IN_FLIGHT);
        let taken = sent
            .filter(|taken| std::future::ready(*taken))
            .count()
            .await;
        if taken < count {
            return Outcome::Failed;
        }
        tracing::info!(case = %self.address, count, ?kind, "sent");
        Outcome::Done
    }

    async fn post_output(&self, chunks: &[u32]) -> Outcome {
        let Some(evidence) = self.evidence().await else {
            return Outcome::Found(self.case.fingerprint, Data::None);
        };
        let payer = self.node.keys.operator.pubkey();
        let calls = chunks.iter().filter_map(|number| {
            let (ids, path) = postings::chunk(&evidence, *number)?;
            let tail = ix::chunk_tail(&ids, &path);
            let result = self.result();
            Some(ix::post_output(
                &result,
                payer,
                self.address,
                *number,
                &tail,
            ))
        });
        self.send_all(Kind::Output, calls.collect()).await
    }

    /// Shows leaves. What breaks a rule can't be posted: it is proved, by whoever may.
    async fn post_openings(&self, positions: &[u32]) -> Outcome {
        let (Some(evidence), Some(job)) = (self.evidence().await, self.job.as_deref()) else {
            return Outcome::Found(self.case.fingerprint, Data::None);
        };
        let (sound, broken) = postings::apart(&evidence, (job, &self.case), positions);
        let posted = postings::openings(&evidence, &sound);
        let posted = posted.into_iter().filter_map(|leaves| {
            let page = ix::page_of(leaves.first()?.0.position);
            let tail = ix::leaves_tail(&leaves);
            Some(ix::post_openings(&self.result(), self.address, page, &tail))
        });
        let mut calls: Vec<Instruction> = posted.collect();
        if docket::proves(self.node.keys.authority.as_array(), &self.case) {
            let payer = self.node.keys.operator.pubkey();
            let result = (&self.job_address, job, &evidence);
            let proofs = broken.iter();
            calls.extend(proofs.filter_map(|at| self.node.proof(result, *at, payer)));
        }
        match calls.is_empty() {
            // What is left breaks a rule, and is for others to prove.
            true => Outcome::Failed,
            false => self.send_all(Kind::Openings, calls).await,
        }
    }

    /// What the engine is asked: all of the evidence if it is here, as a check asks it, else what the chain shows and a prompt.
    async fn question(&self, vocabulary: usize, context: usize) -> Option<Question> {
        if let Some(evidence) = self.evidence().await {
            let claimed: Vec<[u32; 4]> = evidence
                .leaves
                .iter()
                .map(|four| four.map(|e| e.0))
                .collect();
            let (prompt, output) = (&evidence.prompt_ids, &evidence.output_ids);
            let question = Question::new(prompt, output, &claimed, vocabulary, context);
            return Some(question.by_options(evidence.options.as_deref(), Some(&self.case)));
        }
        let prompt = self.prompts.lock().get(&self.job_address).cloned()?;
        let output = self.node.posted(&self.job_address, &self.case).await?;
        let question = question::of_case(&self.case, &prompt.ids, &output, vocabulary, context);
        Some(question.by_options(prompt.options.as_deref(), Some(&self.case)))
    }

    async fn compute(&self) -> Outcome {
        let case = &self.case;
        let (Some((model, _)), Some(job)) = (self.node.judging(case), &self.job) else {
            return Outcome::Failed;
        };
        let (vocabulary, context) = (model.backend.vocab_size(), model.backend.context_length());
        let Some(question) = self.question(vocabulary, context as usize).await else {
            return Outcome::Found(case.fingerprint, Data::None);
        };
        let asked = Asked {
            job: &self.job_address,
            state: job,
            fingerprint: &case.fingerprint,
            question: &question,
            submitter: case.submitter,
            purpose: Purpose::Vote,
            end: docket::vote_due(self.node.keys.authority.as_array(), case),
        };
        let Some(own) = self.node.ask(&model, &asked).await else {
            return Outcome::Failed;
        };
        let Some(vote) = question::vote(case, job.terms.replay().as_ref(), &own) else {
            return Outcome::Failed;
        };
        let held = Held {
            fingerprint: case.fingerprint,
            positions: case.positions_hash(),
            salt: question::salt(&self.node.secret, self.address.as_array(), &vote),
            vote,
        };
        let until = case.reveal_end().saturating_add(REMEMBER_SLOTS);
        let note = Book::note_of(&self.address.to_string(), &held, until);
        match self.node.remember(note).await {
            true => Outcome::Computed(held),
            false => Outcome::Failed,
        }
    }

    /// Collects for validators, us or others; what is due to one that was closed is burned.
    async fn collect(&self, whose: &[Key]) -> Outcome {
        let mut calls = Vec::new();
        for authority in whose {
            let key = Pubkey::new_from_array(*authority);
            let address = pda::validator(key);
            let read = self.node.chain.account::<Validator>(&address);
            let Ok(found) = read.await else {
                return Outcome::Failed;
            };
            calls.push(ix::collect_case(self.address, key, found.is_none()));
        }
        self.send_all(Kind::Collect, calls).await
    }

    async fn close(&self) -> Outcome {
        let mut votes = None;
        if self.case.false_count != 0 {
            let address = pda::votes(self.address);
            match self.node.chain.account::<Votes>(&address).await {
                Ok(Some((_, read))) => votes = Some(read),
                Ok(None) | Err(_) => return Outcome::Failed,
            }
        }
        let call = ix::close_case(self.address, &self.case, votes.as_ref());
        self.send(Kind::Close, call).await
    }

    async fn book(&self) -> Outcome {
        let case = &self.case;
        let result = Ended::of(case, self.node.keys.authority.as_array());
        tracing::info!(
            case = %self.address, job = %self.job_address, ?result,
            "case ended"
        );
        let note = Note::Ended {
            case: self.address.to_string(),
            result,
            until: case.forfeit_end().saturating_add(REMEMBER_SLOTS),
        };
        match self.node.remember(note).await {
            true => Outcome::Done,
            false => Outcome::Failed,
        }
    }

    async fn close_output(&self, pages: &[u32]) -> Outcome {
        let mut calls = Vec::new();
        for number in pages {
            let address = pda::output(self.job_address, *number);
            if let Ok(Some((_, page))) = self.node.chain.account::<Output>(&address).await {
                calls.push(ix::close_output(address, &page));
            }
        }
        self.send_all(Kind::CloseOutput, calls).await
    }
}
