//! One duty of one dispute, done: postings, commitments, reveals, closings.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream};
use mythic_client::{ClientError, Commitment, account::decode, ix, pda};
use mythic_interface::{
    error::MythicError,
    state::{Dispute, Job, OUTPUT_PAGE_TOKENS, Output},
};
use parking_lot::Mutex;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::Verifier;
use mythic_verifier::{
    book::{Book, Ended, Note},
    docket::{Data, Duty, Held, Outcome, pages},
    postings, question,
};
use mythic_wire::evidence::Evidence;

/// Transactions of one duty that are under way at once.
const IN_FLIGHT: usize = 8;
/// Slots beyond the chain's own memory for which an end is remembered.
const REMEMBER_SLOTS: u64 = 1_000;

/// Prompts found without the rest of the evidence, by job.
pub(super) type Prompts = Arc<Mutex<HashMap<Pubkey, Arc<Vec<u32>>>>>;

/// One duty of one dispute, with the accounts as they were when it came up.
pub(super) struct Errand {
    pub node: Arc<Verifier>,
    pub prompts: Prompts,
    pub address: Pubkey,
    pub job_address: Pubkey,
    pub dispute: Box<Dispute>,
    pub job: Option<Box<Job>>,
}

impl Errand {
    pub async fn perform(&self, duty: Duty) -> Outcome {
        let authority = self.node.keys.authority;
        let juror = ix::Juror {
            operator: self.node.keys.operator.pubkey(),
            authority,
            dispute: self.address,
        };
        let dispute = &self.dispute;
        match duty {
            Duty::Fetch => self.fetch().await,
            Duty::Output(chunks) => self.post_output(&chunks).await,
            Duty::Openings(positions) => self.post_openings(&positions).await,
            Duty::Compute => self.compute().await,
            Duty::Commit(held) => {
                let commitment = held.commitment(self.address.as_array(), authority.as_array());
                let call = ix::commit_juror(&juror, dispute, commitment);
                match self.node.send_verifier(&[call], &[]).await {
                    Ok(()) => {
                        tracing::info!(dispute = %self.address, "committed as a juror");
                        Outcome::Done
                    }
                    Err(error) => match error.program() {
                        Some(MythicError::NotSeated) => Outcome::NotSeated,
                        Some(MythicError::AlreadyCommitted) => Outcome::Done,
                        _ => self.failed("commitment", &error),
                    },
                }
            }
            Duty::Reveal(held) => {
                let call = ix::reveal_juror(&juror, dispute, held.salt, &held.vector);
                self.send("reveal", call).await
            }
            Duty::Resolve => match &self.job {
                Some(job) => {
                    let call = ix::resolve_dispute(self.address, self.job_address, job);
                    self.send("resolution", call).await
                }
                None => Outcome::Failed,
            },
            Duty::Collect => {
                let call = ix::collect_dispute(self.address, authority);
                self.send("collection", call).await
            }
            Duty::Book => self.book().await,
            Duty::CloseOutput(pages) => self.close_output(&pages).await,
            Duty::Close => {
                let call = ix::close_dispute(self.address, dispute);
                self.send("closing", call).await
            }
        }
    }

    async fn send(&self, what: &str, call: Instruction) -> Outcome {
        match self.node.send_verifier(&[call], &[]).await {
            Ok(()) => {
                tracing::info!(dispute = %self.address, "{what} sent");
                Outcome::Done
            }
            Err(error) => self.failed(what, &error),
        }
    }

    fn failed(&self, what: &str, error: &ClientError) -> Outcome {
        tracing::info!(dispute = %self.address, %error, "{what} refused; looking again");
        Outcome::Failed
    }

    /// The evidence of the disputed result, if it lies here.
    async fn evidence(&self) -> Option<Evidence> {
        let job = self.job.as_ref()?;
        self.node.local_evidence(&self.job_address, job).await
    }

    async fn fetch(&self) -> Outcome {
        let of = self.dispute.fingerprint;
        let Some(job) = self.job.as_ref().filter(|job| job.fingerprint == of) else {
            return Outcome::Failed;
        };
        if self.evidence().await.is_some() {
            return Outcome::Found(of, Data::Evidence);
        }
        let challenger = Pubkey::new_from_array(self.dispute.challenger);
        let search = self
            .node
            .search(&self.job_address, job, &[challenger])
            .await;
        if search.evidence.is_some() {
            return Outcome::Found(of, Data::Evidence);
        }
        tracing::info!(dispute = %self.address, reason = search.reason(), "no evidence found");
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
            submitted_slot: self.dispute.submitted_slot.get(),
            fingerprint: self.dispute.fingerprint,
        }
    }

    /// Sends several calls, some at once; done if all were taken.
    async fn send_all(&self, what: &str, calls: Vec<Instruction>) -> Outcome {
        let count = calls.len();
        let sent = stream::iter(calls)
            .map(|call| async move {
                match self.node.send_verifier(&[call], &[]).await {
                    Ok(()) => true,
                    Err(error) => {
                        self.failed(what, &error);
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
        tracing::info!(dispute = %self.address, count, "{what} posted");
        Outcome::Done
    }

    async fn post_output(&self, chunks: &[u32]) -> Outcome {
        let Some(evidence) = self.evidence().await else {
            return Outcome::Found(self.dispute.fingerprint, Data::None);
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
        self.send_all("output", calls.collect()).await
    }

    async fn post_openings(&self, positions: &[u32]) -> Outcome {
        let Some(evidence) = self.evidence().await else {
            return Outcome::Found(self.dispute.fingerprint, Data::None);
        };
        let calls = postings::openings(&evidence, positions)
            .into_iter()
            .filter_map(|leaves| {
                let page = ix::page_of(leaves.first()?.0.position);
                let tail = ix::leaves_tail(&leaves);
                Some(ix::post_openings(&self.result(), self.address, page, &tail))
            });
        self.send_all("openings", calls.collect()).await
    }

    /// The output as posted.
    async fn posted(&self) -> Option<Vec<u32>> {
        let tokens = self.dispute.output_tokens.get();
        let addresses: Vec<Pubkey> = (0..pages(tokens))
            .map(|page| pda::output(self.job_address, page))
            .collect();
        let read = self
            .node
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
                let ours = page.fingerprint == self.dispute.fingerprint;
                page.token(position).filter(|_| ours)
            })
            .collect()
    }

    async fn compute(&self) -> Outcome {
        let address = Pubkey::new_from_array(self.dispute.model);
        let known = self.prompts.lock().get(&self.job_address).cloned();
        let prompt = match known {
            Some(prompt) => prompt,
            None => match self.evidence().await {
                Some(evidence) => Arc::new(evidence.prompt_ids),
                None => return Outcome::Found(self.dispute.fingerprint, Data::None),
            },
        };
        let (Some(model), Some(output)) = (self.node.model(&address).cloned(), self.posted().await)
        else {
            return Outcome::Failed;
        };
        let Some(asked) = question::of_dispute(
            &self.dispute,
            &prompt,
            &output,
            model.backend.vocab_size(),
            model.backend.context_length() as usize,
        ) else {
            return Outcome::Failed;
        };
        let Some(values) = self.node.ask(&model, &asked).await else {
            return Outcome::Failed;
        };
        let Some(vector) = question::vector(&self.dispute, &values) else {
            return Outcome::Failed;
        };
        let held = Held {
            fingerprint: self.dispute.fingerprint,
            positions: self.dispute.positions_hash(),
            salt: question::salt(&self.node.secret, self.address.as_array(), &vector),
            vector,
        };
        let note = Book::note_of(&self.address.to_string(), &held);
        match self.node.remember(note).await {
            true => Outcome::Computed(held),
            false => Outcome::Failed,
        }
    }

    async fn book(&self) -> Outcome {
        let dispute = &self.dispute;
        let result = Ended::of(dispute, self.node.keys.authority.as_array());
        tracing::info!(
            dispute = %self.address, job = %self.job_address, ?result,
            "dispute ended"
        );
        let note = Note::Ended {
            dispute: self.address.to_string(),
            result,
            until: dispute.retention_end().saturating_add(REMEMBER_SLOTS),
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
        self.send_all("closed pages", calls).await
    }
}
