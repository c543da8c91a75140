//! Whether the node takes a job: pure checks of a co-signed request, and of an open job on chain.
//!
//! What is signed here binds the validator's stake: the transaction is taken apart by [`HalfSigned::parse`], which lets our
//! operator stand in its one place and nowhere else, and must name us.

use mythic_client::request::HalfSigned;
use mythic_interface::{
    hash,
    ix::RequestInference,
    money,
    params::{Params, Rules},
    state::{
        Job, JobStatus, Model, ModelStatus, NO_KEY, SamplingProfile, Terms, Validator,
        ValidatorStatus,
    },
    window,
};
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;

use crate::bounds::Bounds;
use mythic_sampling::Options;
use mythic_wire::{
    self as wire, InferenceRequest, MAX_PROMPT_TOKENS, MAX_STOP_BYTES, MAX_STOPS, Origin,
};

/// Why a job is not taken. Each has an HTTP status and a stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Decline {
    /// The transaction is not one that may be co-signed.
    #[error("the transaction can't be co-signed: {0}")]
    Transaction(String),
    /// Prompt, salt or stop strings are not those that were hashed.
    #[error("{0} does not match what the transaction commits to")]
    Mismatch(&'static str),
    /// Out of range.
    #[error("{0}")]
    Invalid(String),
    /// The model is not served here.
    #[error("this node does not serve model account {0}")]
    UnknownModel(Pubkey),
    /// The price is below the node's.
    #[error(
        "prices {price_in}/{price_out} lamports per 1K tokens are below this node's {min_in}/{min_out}"
    )]
    Price {
        /// Offered for input.
        price_in: u32,
        /// Offered for output.
        price_out: u32,
        /// Asked for input.
        min_in: u32,
        /// Asked for output.
        min_out: u32,
    },
    /// The deadline is too near.
    #[error("{left} slots are left until the deadline; this node wants at least {least}")]
    Deadline {
        /// Slots left.
        left: u64,
        least: u64,
    },
    /// Longer than model or node allow.
    #[error("prompt and output take {tokens} tokens; at most {limit} fit")]
    Context {
        /// Tokens asked.
        tokens: u64,
        /// Most.
        limit: u64,
    },
    /// The stake backs no more jobs.
    #[error("this validator's stake backs {capacity} jobs at once and all are taken")]
    Stake {
        /// Jobs at once.
        capacity: u64,
    },
    /// The stake does not back so dear a job.
    #[error(
        "the job may cost {ceiling} lamports; this validator's stake backs one of {largest} now"
    )]
    Exposure {
        ceiling: u64,
        /// Largest ceiling.
        largest: u64,
    },
    /// Too much work already.
    #[error("this node is busy: {running} jobs run or wait")]
    Busy {
        /// Their number.
        running: usize,
    },
    /// It brings less than this node's transactions for it cost.
    #[error("the job brings this node at most {brings} lamports; it takes none below {least}")]
    Unworthy {
        /// The validator's share of the highest fee.
        brings: u64,
        least: u64,
    },
    /// Too many that nobody has paid for.
    #[error("too many {0} are not on chain yet")]
    Unseen(&'static str),
    /// The chain would refuse the transaction.
    #[error("the chain would refuse the transaction: {0}")]
    Refused(String),
    /// The chain could not be asked.
    #[error("the chain can't be asked whether the transaction is good: {0}")]
    Unasked(String),
    /// The prompt lies where this node does not ask.
    #[error("the job's prompt source: {0}")]
    Source(String),
    /// The request was made under other rules than the network has.
    #[error("the network's rules are not those that the request was made under; read them again")]
    RulesChanged,
    /// Rules or thresholds under which this node does not work.
    #[error("{0}")]
    Bounds(String),
    /// It takes no jobs now.
    #[error("this node takes no jobs: {0}")]
    Closed(&'static str),
    /// Somebody else has it, or it is over.
    #[error("the job is not open")]
    NotOpen,
}

impl Decline {
    /// HTTP status and code of the error body.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Transaction(_) => (400, "invalid_transaction"),
            Self::Mismatch(_) => (400, "prompt_mismatch"),
            Self::Invalid(_) => (400, "invalid_request"),
            Self::UnknownModel(_) => (404, "model_not_found"),
            Self::Price { .. } => (409, "price_too_low"),
            Self::Deadline { .. } => (409, "deadline_too_short"),
            Self::Context { .. } => (400, "context_length_exceeded"),
            Self::Stake { .. } | Self::Exposure { .. } | Self::Busy { .. } => (503, "capacity"),
            Self::Unworthy { .. } => (409, "price_too_low"),
            Self::Unseen(_) => (429, "too_many_unseen"),
            Self::Refused(_) => (402, "not_paid"),
            Self::Unasked(_) => (503, "chain_unavailable"),
            Self::RulesChanged => (409, "rules_changed"),
            Self::Bounds(_) => (409, "out_of_bounds"),
            Self::Source(_) => (400, "invalid_prompt_source"),
            Self::Closed(_) => (503, "unavailable"),
            Self::NotOpen => (409, "not_open"),
        }
    }
}

/// What the node knows when it decides.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Our validator's authority.
    pub authority: &'a Pubkey,
    /// Our operator.
    pub operator: &'a Pubkey,
    /// Our validator as last read.
    pub validator: &'a Validator,
    /// The network's parameters as last read.
    pub params: &'a Params,
    /// What this node works under.
    pub bounds: &'a Bounds,
    /// Newest slot.
    pub slot: u64,
    /// Jobs that we took and that `validator.open_jobs` may not count yet.
    pub unseen_jobs: u64,
    /// Jobs that need the engine now.
    pub running: usize,
    /// Most of those.
    pub max_running: usize,
    /// Least slots to a deadline.
    pub min_deadline_slots: u64,
    /// Price floors; 0 = the model's own price.
    pub min_price_in: u32,
    /// Least price of output; 0 = the model's own.
    pub min_price_out: u32,
    /// Least validator's share of a job's highest fee, lamports.
    pub min_job_lamports: u64,
}

/// A model as the node decides with it.
#[derive(Debug, Clone, Copy)]
pub struct ModelFacts<'a> {
    /// Its account.
    pub address: &'a Pubkey,
    /// Its account's content.
    pub model: &'a Model,
    /// Context of the file that is loaded.
    pub context_length: u32,
    /// Size of its vocabulary.
    pub vocab_size: usize,
}

/// What is to be computed: equal work gives equal output, whatever else the terms say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Account of the model.
    pub model: Pubkey,
    pub prompt_hash: [u8; 32],
    pub prompt_tokens: u32,
    /// Most output tokens.
    pub max_output_tokens: u32,
    /// The job's seed.
    pub seed: [u8; 32],
    /// Temperature in thousandths.
    pub temperature_milli: u16,
    /// How tokens are chosen, [`SamplingProfile`].
    pub sampling_profile: u8,
    /// Hash of the stop strings or of the options, as the sampling profile says; zero = none.
    pub options_hash: [u8; 32],
}

impl Work {
    /// Of a job on chain.
    pub fn of_terms(terms: &Terms) -> Self {
        Self {
            model: Pubkey::new_from_array(terms.model),
            prompt_hash: terms.prompt_hash,
            prompt_tokens: terms.prompt_tokens.get(),
            max_output_tokens: terms.max_output_tokens.get(),
            seed: terms.seed,
            temperature_milli: terms.temperature_milli.get(),
            sampling_profile: terms.sampling_profile,
            options_hash: terms.options_hash,
        }
    }

    /// Of a request that has not landed.
    pub fn of_request(args: &RequestInference, job: &Pubkey, model: &Pubkey) -> Self {
        Self {
            model: *model,
            prompt_hash: args.prompt_hash,
            prompt_tokens: args.prompt_tokens.get(),
            max_output_tokens: args.max_output_tokens.get(),
            seed: hash::job_seed(job.as_array(), &args.user_seed),
            temperature_milli: args.temperature_milli.get(),
            sampling_profile: args.sampling_profile,
            options_hash: args.options_hash,
        }
    }

    /// Whether these are the prompt, salt and stop strings or options that were hashed, and options that this model can follow.
    pub fn check_prompt(&self, asked: &Brought<'_>, vocabulary: usize) -> Result<(), Decline> {
        let Brought {
            ids,
            salt,
            stop,
            options,
        } = *asked;
        if stop.len() > MAX_STOPS
            || stop
                .iter()
                .any(|s| s.is_empty() || s.len() > MAX_STOP_BYTES)
        {
            return Err(Decline::Invalid(format!(
                "at most {MAX_STOPS} stop strings of 1 to {MAX_STOP_BYTES} bytes are taken"
            )));
        }
        if ids.len() > MAX_PROMPT_TOKENS || ids.len() != self.prompt_tokens as usize {
            return Err(Decline::Mismatch("the number of prompt tokens"));
        }
        if hash::prompt_hash(salt, ids) != self.prompt_hash {
            return Err(Decline::Mismatch("the prompt"));
        }
        if self.sampling_profile != SamplingProfile::SeededFull as u8 {
            if options.is_some() {
                return Err(Decline::Mismatch("that there are sampling options"));
            }
            return match hash::stop_hash(stop) == self.options_hash {
                true => Ok(()),
                false => Err(Decline::Mismatch("the list of stop strings")),
            };
        }
        if !stop.is_empty() {
            let words = "stop strings of this sampling profile are among its options";
            return Err(Decline::Invalid(words.into()));
        }
        let bytes = options.unwrap_or_default();
        let options = self::options(Some(bytes))?;
        // What decodes is canonical: it is hashed as it came.
        let hashed = match bytes.is_empty() {
            true => [0; 32],
            false => hash::options_hash(salt, bytes),
        };
        if hashed != self.options_hash {
            return Err(Decline::Mismatch("the sampling options"));
        }
        options
            .check_ids(vocabulary)
            .map_err(|refusal| Decline::Invalid(refusal.to_string()))
    }
}

/// What a job's terms hash, as somebody brings it.
#[derive(Debug, Clone, Copy)]
pub struct Brought<'a> {
    pub ids: &'a [u32],
    pub salt: &'a [u8; 16],
    pub stop: &'a [String],
    /// Canonical bytes.
    pub options: Option<&'a [u8]>,
}

impl<'a> Brought<'a> {
    /// What a request brings.
    pub fn of(request: &'a InferenceRequest, salt: &'a [u8; 16]) -> Self {
        Self {
            ids: &request.prompt_ids,
            salt,
            stop: &request.stop,
            options: request.options.as_deref(),
        }
    }
}

/// Options from their bytes; neutral where there are none.
pub fn options(bytes: Option<&[u8]>) -> Result<Options, Decline> {
    Options::from_wire(bytes.unwrap_or_default())
        .map_err(|refusal| Decline::Invalid(refusal.to_string()))
}

/// The grammar in options, if there is one: only the model's engine can say whether it can be followed.
pub fn grammar(bytes: Option<&[u8]>) -> Result<Option<String>, Decline> {
    Ok(options(bytes)?.grammar)
}

/// Whether the options of an open job, which are known once its prompt has come, are followed. A grammar is not: who asks for it can
/// make it meet a limit on the way, when the job can no longer be given up for nothing.
pub fn check_open_options(bytes: Option<&[u8]>) -> Result<(), Decline> {
    match grammar(bytes)? {
        None => Ok(()),
        Some(_) => {
            let words = "the options of an open job hold a grammar: this node follows one only for requests that it signs";
            Err(Decline::Invalid(words.into()))
        }
    }
}

/// A request that may be co-signed.
#[derive(Debug, Clone)]
pub struct CoSignable {
    /// The transaction; our signature is missing.
    pub transaction: VersionedTransaction,
    /// Place of our signature.
    pub signature_index: usize,
    /// The job's account.
    pub job: Pubkey,
    /// The model's account.
    pub model: Pubkey,
    /// Who asks.
    pub requester: Pubkey,
    /// What is asked for.
    pub args: RequestInference,
}

/// Takes a half-signed request apart and checks that it names us: our signature then accepts one job and does nothing
/// else, see [`HalfSigned::parse`].
pub fn parse_transaction(
    text: &str,
    authority: &Pubkey,
    operator: &Pubkey,
) -> Result<CoSignable, Decline> {
    let request =
        HalfSigned::parse(text).map_err(|error| Decline::Transaction(error.to_string()))?;
    let us = request
        .validator
        .filter(|named| named.operator == *operator);
    let Some(us) = us else {
        return Err(Decline::Transaction(
            "it does not ask for this operator's signature; is the validator the right one?".into(),
        ));
    };
    let expected = mythic_client::pda::validator(authority);
    if us.account != expected {
        return Err(Decline::Transaction(format!(
            "its validator account is not the expected {expected}"
        )));
    }
    Ok(CoSignable {
        signature_index: us.index,
        job: request.job,
        model: request.model,
        requester: request.requester,
        args: request.args,
        transaction: request.transaction,
    })
}

/// Whether a co-signed request is taken.
pub fn check_request(
    request: &InferenceRequest,
    parsed: &CoSignable,
    model: &ModelFacts<'_>,
    situation: &Situation<'_>,
) -> Result<Work, Decline> {
    if request.job != parsed.job.to_string() {
        return Err(Decline::Mismatch("the job's address"));
    }
    let salt = wire::parse_salt(&request.salt)
        .ok_or_else(|| Decline::Invalid("salt: expected 32 hex digits".into()))?;
    let args = &parsed.args;
    if situation.slot > window::nonce_expiry(&args.nonce) {
        return Err(Decline::Transaction("its nonce has expired".into()));
    }
    let source = args.prompt_source.as_str();
    if !source.is_empty() {
        Origin::parse(source).map_err(|error| Decline::Source(error.to_string()))?;
    }
    if args.rules_hash != situation.params.rules.hash() {
        return Err(Decline::RulesChanged);
    }
    let work = Work::of_request(args, &parsed.job, &parsed.model);
    worth(
        &work,
        &Offer {
            price_in: args.price_in.get(),
            price_out: args.price_out.get(),
            slots_left: u64::from(args.deadline_slots.get()),
            sampling_profile: args.sampling_profile,
            rules: &situation.params.rules,
        },
        model,
        situation,
    )?;
    if let Some(id) = request
        .prompt_ids
        .iter()
        .find(|id| **id as usize >= model.vocab_size)
    {
        return Err(Decline::Invalid(format!(
            "prompt token {id} is outside the vocabulary of {}",
            model.vocab_size
        )));
    }
    work.check_prompt(&Brought::of(request, &salt), model.vocab_size)?;
    Ok(work)
}

/// Whether an open job is taken.
pub fn check_open(
    job: &Job,
    model: &ModelFacts<'_>,
    situation: &Situation<'_>,
) -> Result<Work, Decline> {
    if job.status() != Some(JobStatus::Open)
        || job.cancel_slot.get() != 0
        || job.validator != NO_KEY
    {
        return Err(Decline::NotOpen);
    }
    let work = Work::of_terms(&job.terms);
    worth(
        &work,
        &Offer {
            price_in: job.terms.price_in.get(),
            price_out: job.terms.price_out.get(),
            slots_left: job.deadline_slot.get().saturating_sub(situation.slot),
            sampling_profile: job.terms.sampling_profile,
            rules: &job.terms.rules,
        },
        model,
        situation,
    )?;
    prompt_source(job)?;
    Ok(work)
}

/// Where an open job's prompt lies.
pub fn prompt_source(job: &Job) -> Result<Origin, Decline> {
    let source = job.terms.prompt_source.as_str();
    Origin::parse(source).map_err(|error| Decline::Source(error.to_string()))
}

struct Offer<'a> {
    price_in: u32,
    price_out: u32,
    slots_left: u64,
    sampling_profile: u8,
    /// Those of the job.
    rules: &'a Rules,
}

fn worth(
    work: &Work,
    offer: &Offer<'_>,
    facts: &ModelFacts<'_>,
    now: &Situation<'_>,
) -> Result<(), Decline> {
    if work.model != *facts.address {
        return Err(Decline::UnknownModel(work.model));
    }
    let model = facts.model;
    if model.header.status == ModelStatus::Retired as u8 {
        return Err(Decline::Closed("the model is retired"));
    }
    now.bounds.rules(offer.rules).map_err(Decline::Bounds)?;
    now.bounds.model(&model.spec).map_err(Decline::Bounds)?;
    let floor = |own: u32, model: u32| if own == 0 { model } else { own };
    let (min_in, min_out) = (
        floor(now.min_price_in, model.price_in.get()),
        floor(now.min_price_out, model.price_out.get()),
    );
    if offer.price_in < min_in || offer.price_out < min_out {
        return Err(Decline::Price {
            price_in: offer.price_in,
            price_out: offer.price_out,
            min_in,
            min_out,
        });
    }
    let fee = money::price(
        work.prompt_tokens,
        work.max_output_tokens,
        offer.price_in,
        offer.price_out,
    );
    let ceiling = fee.unwrap_or(u64::MAX);
    let brings = fee.map_or(0, |fee| money::share(fee, offer.rules.validator_bps.get()));
    if brings < now.min_job_lamports {
        return Err(Decline::Unworthy {
            brings,
            least: now.min_job_lamports,
        });
    }
    if offer.slots_left < now.min_deadline_slots {
        return Err(Decline::Deadline {
            left: offer.slots_left,
            least: now.min_deadline_slots,
        });
    }
    match SamplingProfile::from_u8(offer.sampling_profile) {
        Some(SamplingProfile::SeededTop4) => {}
        Some(SamplingProfile::SeededFull) if model.spec.is_exact() => {}
        Some(SamplingProfile::SeededFull) => {
            let words = "this model's arithmetic is not exact, so that nobody could judge a choice by options";
            return Err(Decline::Invalid(words.into()));
        }
        None => {
            return Err(Decline::Invalid(format!(
                "sampling profile {} is not known to this node",
                offer.sampling_profile
            )));
        }
    }
    let tokens = u64::from(work.prompt_tokens) + u64::from(work.max_output_tokens);
    let limit = u64::from(model.spec.max_job_tokens.get().min(facts.context_length));
    if work.prompt_tokens == 0 || work.max_output_tokens == 0 {
        return Err(Decline::Invalid(
            "prompt and output need at least one token each".into(),
        ));
    }
    if tokens > limit {
        return Err(Decline::Context { tokens, limit });
    }
    if now.validator.header.status != ValidatorStatus::Active as u8 {
        return Err(Decline::Closed("the validator is jailed"));
    }
    if now.validator.serves(facts.address.as_array()).is_none() {
        return Err(Decline::UnknownModel(*facts.address));
    }
    let capacity = now.validator.capacity(now.slot, offer.rules);
    if u64::from(now.validator.open_jobs.get()).saturating_add(now.unseen_jobs) >= capacity {
        return Err(Decline::Stake { capacity });
    }
    let largest = now.validator.largest_ceiling(now.slot, offer.rules);
    if ceiling > largest {
        return Err(Decline::Exposure { ceiling, largest });
    }
    if now.running >= now.max_running {
        return Err(Decline::Busy {
            running: now.running,
        });
    }
    Ok(())
}
