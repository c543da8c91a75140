//! What the journal remembers: records, and the state that they fold to.

use std::collections::BTreeMap;

use mythic_verifier::book::{Book, Note};
use serde::{Deserialize, Serialize};

use crate::serve::fsm::Origin;

/// Acceptances of a job that are remembered.
const ACCEPTS: usize = 16;

/// One thing to remember. `job` is the base58 address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A job begins. Durable before anything is signed for it.
    Accepted {
        job: String,
        /// How it came.
        origin: Origin,
        /// Hex identity of the model.
        model: String,
        /// Base64 transaction with our signature (co-signed only).
        transaction: Option<String>,
        /// Base URL of the gateway that holds the prompt and takes the result.
        source: String,
        /// Hex prompt hash.
        prompt_hash: String,
        /// The prompt, when it came with the job.
        prompt: Option<Prompt>,
        /// Other workers may accept it in the validator's name too.
        #[serde(default)]
        shared: bool,
    },
    /// An acceptance of a shared job is about to be sent.
    Accepting {
        job: String,
        /// Base58 signature.
        signature: String,
    },
    /// The chain has an acceptance of ours.
    Claimed { job: String },
    /// The prompt of a consumed job.
    Prompt { job: String, prompt: Prompt },
    /// Tokens the client holds. Written without waiting for the disk.
    Handed {
        job: String,
        /// Their number.
        tokens: u32,
    },
    /// The evidence file of the job is written.
    Finished {
        job: String,
        /// Number of output tokens.
        tokens: u32,
    },
    /// SubmitResult was sent.
    Submitted {
        job: String,
        /// Base58 signature.
        signature: String,
    },
    /// Nothing is left to do; the evidence stays if `keep`.
    Retired {
        job: String,
        /// Whether our result is final on chain, so that evidence is kept and money expected.
        keep: bool,
    },
    /// The job's outcome is final: the evidence may go after a while.
    Closed {
        job: String,
        /// The validator's share, if it settled; lamports.
        earned_lamports: Option<u64>,
    },
    /// Fees of a transaction that was sent.
    Fee {
        /// Lamports.
        lamports: u64,
    },
    /// Earnings withdrawn to the authority.
    Withdrawn {
        /// Lamports.
        lamports: u64,
    },
    /// What the verifier remembers.
    Verifier(Note),
    /// Money so far; replaces the earlier one. Written when the file is rewritten.
    Money(Money),
}

/// A prompt as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Salt of the prompt hash, hex.
    pub salt: String,
    /// Stop strings of `seeded-top4`.
    pub stop: Vec<String>,
    /// The canonical bytes of the sampling options, for `seeded-full`; none where they are neutral.
    #[serde(
        default,
        with = "mythic_wire::bytes64",
        skip_serializing_if = "Option::is_none"
    )]
    pub options: Option<Vec<u8>>,
}

/// What the node earned and spent, in lamports, since its data directory was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Validator's shares of jobs that settled.
    pub earned_lamports: u64,
    /// Transaction fees paid.
    pub fees_lamports: u64,
    /// Withdrawn to the authority.
    pub withdrawn_lamports: u64,
    pub jobs_settled: u64,
    pub jobs_submitted: u64,
}

impl Money {
    /// Earned less fees, for each settled job; `None` before the first. Lamports.
    pub fn net_per_job(&self) -> Option<i64> {
        let net = i64::try_from(self.earned_lamports)
            .ok()?
            .checked_sub(i64::try_from(self.fees_lamports).ok()?)?;
        net.checked_div(i64::try_from(self.jobs_settled).ok()?)
    }
}

/// All that the journal knows of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// How it came.
    pub origin: Origin,
    /// Hex identity of the model.
    pub model: String,
    /// Base64 transaction.
    pub transaction: Option<String>,
    /// Base URL of the gateway.
    pub source: String,
    /// Hex.
    pub prompt_hash: String,
    /// The prompt, if known.
    pub prompt: Option<Prompt>,
    /// Other workers may accept it in the validator's name too.
    pub shared: bool,
    /// Base58 signatures of the acceptances that were sent, if it is shared.
    pub accepts: Vec<String>,
    /// One of them landed.
    pub claimed: bool,
    /// Tokens the client holds.
    pub handed: u32,
    /// Number of tokens of the saved result.
    pub finished: Option<u32>,
    /// Base58 signature of the last SubmitResult.
    pub submitted: Option<String>,
    /// Retired with its evidence kept: waits for the settlement.
    pub kept: bool,
}

/// The journal's content: a pure fold over records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalState {
    /// Jobs that are not over, and those kept for their settlement, by address.
    pub jobs: BTreeMap<String, JobRecord>,
    /// Checks and cases.
    pub book: Book,
    pub money: Money,
}

impl JournalState {
    /// Takes one record. Records of unknown jobs are ignored: they follow a `Closed`.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Accepted {
                job,
                origin,
                model,
                transaction,
                source,
                prompt_hash,
                prompt,
                shared,
            } => {
                self.jobs.insert(
                    job.clone(),
                    JobRecord {
                        origin: *origin,
                        model: model.clone(),
                        transaction: transaction.clone(),
                        source: source.clone(),
                        prompt_hash: prompt_hash.clone(),
                        prompt: prompt.clone(),
                        shared: *shared,
                        accepts: Vec::new(),
                        claimed: false,
                        handed: 0,
                        finished: None,
                        submitted: None,
                        kept: false,
                    },
                );
            }
            Record::Accepting { job, signature } => self.with(job, |j| {
                j.accepts.push(signature.clone());
                // Older ones have long expired.
                if j.accepts.len() > ACCEPTS {
                    j.accepts.remove(0);
                }
                j.claimed = false;
            }),
            Record::Claimed { job } => self.with(job, |j| j.claimed = true),
            Record::Prompt { job, prompt } => self.with(job, |j| j.prompt = Some(prompt.clone())),
            Record::Handed { job, tokens } => self.with(job, |j| j.handed = j.handed.max(*tokens)),
            Record::Finished { job, tokens } => self.with(job, |j| j.finished = Some(*tokens)),
            Record::Submitted { job, signature } => {
                self.with(job, |j| j.submitted = Some(signature.clone()))
            }
            Record::Retired { job, keep: true } => {
                self.money.jobs_submitted = self.money.jobs_submitted.saturating_add(1);
                self.with(job, |j| {
                    j.kept = true;
                    j.prompt = None;
                    j.transaction = None;
                });
            }
            Record::Retired { job, keep: false } => {
                self.jobs.remove(job);
            }
            Record::Closed {
                job,
                earned_lamports,
            } => {
                if self.jobs.remove(job).is_some()
                    && let Some(lamports) = earned_lamports
                {
                    self.money.earned_lamports =
                        self.money.earned_lamports.saturating_add(*lamports);
                    self.money.jobs_settled = self.money.jobs_settled.saturating_add(1);
                }
            }
            Record::Fee { lamports } => {
                self.money.fees_lamports = self.money.fees_lamports.saturating_add(*lamports);
            }
            Record::Withdrawn { lamports } => {
                self.money.withdrawn_lamports =
                    self.money.withdrawn_lamports.saturating_add(*lamports);
            }
            Record::Verifier(note) => self.book.apply(note),
            Record::Money(money) => self.money = *money,
        }
    }

    fn with(&mut self, job: &str, change: impl FnOnce(&mut JobRecord)) {
        if let Some(job) = self.jobs.get_mut(job) {
            change(job);
        }
    }

    /// The fewest records that fold to this state.
    pub fn records(&self) -> Vec<Record> {
        let mut out = Vec::new();
        for (job, r) in &self.jobs {
            let job = job.clone();
            out.push(Record::Accepted {
                job: job.clone(),
                origin: r.origin,
                model: r.model.clone(),
                transaction: r.transaction.clone(),
                source: r.source.clone(),
                prompt_hash: r.prompt_hash.clone(),
                prompt: r.prompt.clone(),
                shared: r.shared,
            });
            out.extend(r.accepts.iter().map(|signature| Record::Accepting {
                job: job.clone(),
                signature: signature.clone(),
            }));
            if r.claimed {
                out.push(Record::Claimed { job: job.clone() });
            }
            if r.handed > 0 {
                out.push(Record::Handed {
                    job: job.clone(),
                    tokens: r.handed,
                });
            }
            if let Some(tokens) = r.finished {
                out.push(Record::Finished {
                    job: job.clone(),
                    tokens,
                });
            }
            if let Some(signature) = &r.submitted {
                out.push(Record::Submitted {
                    job: job.clone(),
                    signature: signature.clone(),
                });
            }
            if r.kept {
                out.push(Record::Retired { job, keep: true });
            }
        }
        out.extend(self.book.notes().into_iter().map(Record::Verifier));
        // Last: it replaces what the records before it count again.
        out.push(Record::Money(self.money));
        out
    }
}
