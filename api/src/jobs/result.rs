//! From a validator's tokens, or from its evidence, to the steps of an answer.

use axum::http::StatusCode;
use mythic_interface::state::{Job, JobStatus};
use mythic_model::prompt::PromptFormatter;
use mythic_model::tokenizer::{DecodeStream, StopMatcher};
use mythic_sampling::Options;
use mythic_wire::{Evidence, Finish};
use solana_pubkey::Pubkey;

use crate::{
    error::{ApiError, ApiResult},
    intake::plan::Served,
    jobs::Jobs,
    jobs::answer::{Candidate, ChoiceAnswer, ChoiceEnd, Piece, logprobs},
    store::Attempt,
};

/// Where a job's receipt is.
pub fn receipt(parts: &Jobs, job: &Pubkey) -> String {
    format!(
        "{}/v1/jobs/{job}/receipt",
        parts.config.public_url.trim_end_matches('/')
    )
}

/// OpenAI's log-probability of a token that is not among those that are shown: of what is drawn beyond the four likeliest nobody
/// knows more than that it is below theirs.
const UNSHOWN: f64 = -9999.0;

/// Turns token ids into the steps of an answer.
pub struct Decoder<'a> {
    formatter: &'a PromptFormatter,
    text: DecodeStream<'a>,
    stops: StopMatcher,
    /// A control token that is shown, and its text.
    shown: Option<(u32, &'static str)>,
    top: Option<u8>,
    /// A stop string has come.
    pub stopped: bool,
}

impl<'a> Decoder<'a> {
    /// A decoder for one answer.
    pub fn new(
        model: &'a Served,
        stop: &[String],
        options: Option<&Options>,
        top: Option<u8>,
    ) -> Self {
        let formatter = &model.formatter;
        Self {
            formatter,
            shown: model.shown(options),
            text: formatter.decode_stream(),
            stops: StopMatcher::new(stop.to_vec()),
            top,
            stopped: false,
        }
    }

    /// Shows the text of a control token; what was held back before it can't become a stop string any more.
    fn show_control(&mut self, text: &str) -> String {
        match self.stopped {
            true => String::new(),
            false => self.stops.finish() + text,
        }
    }

    fn show(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        let matched = self.stops.push(text);
        self.stopped = matched.stopped;
        matched.text
    }

    /// The next token. Log-probabilities are known where the validator said the sum over all logits, and that can be.
    pub fn push(&mut self, token: u32, top4: &[(u32, i32); 4], log_sum_exp: Option<f32>) -> Piece {
        let over = self.stopped;
        let text = self.text.push(token);
        let text = match self.shown {
            Some((shown, text)) if shown == token => self.show_control(text),
            _ => self.show(&text),
        };
        let hidden = over || self.formatter.eos_ids().contains(&token);
        let logprobs = log_sum_exp.and_then(|sum| logprobs(top4.map(|(_, logit)| logit), sum));
        let candidate = |id: u32, logprob: f64| {
            let bytes = self.formatter.tokenizer().piece(id).to_vec();
            Candidate {
                token: String::from_utf8_lossy(&bytes).into_owned(),
                logprob,
                bytes,
            }
        };
        let logprob = match (self.top, logprobs) {
            (Some(top), Some(logprobs)) if !hidden => {
                let at = top4.iter().position(|(id, _)| *id == token);
                let own = at.and_then(|at| logprobs.get(at).copied());
                let likeliest = top4.iter().zip(logprobs).take(usize::from(top));
                Some((
                    candidate(token, own.unwrap_or(UNSHOWN)),
                    likeliest
                        .map(|((id, _), logprob)| candidate(*id, logprob))
                        .collect(),
                ))
            }
            _ => None,
        };
        Piece { text, logprob }
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> Option<Piece> {
        let tail = self.text.finish();
        let mut text = self.show(&tail);
        if !self.stopped {
            text.push_str(&self.stops.finish());
        }
        (!text.is_empty()).then_some(Piece {
            text,
            logprob: None,
        })
    }

    /// All steps of an answer that is known as a whole.
    pub fn all(mut self, evidence: &Evidence) -> (Vec<Piece>, bool) {
        let mut pieces: Vec<Piece> = evidence
            .output_ids
            .iter()
            .zip(&evidence.leaves)
            .map(|(token, top4)| self.push(*token, top4, None))
            .collect();
        pieces.extend(self.finish());
        (pieces, self.stopped)
    }
}

/// Gets the answer of a job that is submitted, from its validator's evidence, checked against the chain.
pub async fn fetch_answer(
    parts: &Jobs,
    attempt: &Attempt,
    job: &Job,
) -> ApiResult<(ChoiceAnswer, serde_json::Value)> {
    let away = |reason: String| ApiError::unavailable("evidence_unavailable", reason);
    let validator = Pubkey::new_from_array(job.validator);
    let account = parts
        .accounts
        .by_id(&attempt.key_id)
        .await?
        .ok_or_else(|| away("the key of this request is gone".into()))?;
    let registered = parts
        .validators
        .by_authority(&validator)
        .await?
        .ok_or_else(|| away("the validator is gone".into()))?;
    let endpoint = parts.validators.endpoint(&registered);
    let evidence = parts
        .dialer
        .evidence(&endpoint, &attempt.job, &account.delegate)
        .await
        .map_err(|error| away(error.to_string()))?;
    let answer = answer_from(parts, attempt, job, &evidence, None)?;
    let value = serde_json::to_value(&evidence).map_err(ApiError::internal)?;
    Ok((answer, value))
}

/// The answer in some evidence, which must be what the job on chain commits to.
pub fn answer_from(
    parts: &Jobs,
    attempt: &Attempt,
    job: &Job,
    evidence: &Evidence,
    top: Option<u8>,
) -> ApiResult<ChoiceAnswer> {
    let wrong =
        |reason: &str| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "result_mismatch", reason);
    let digests = evidence
        .verify()
        .map_err(|error| wrong(&error.to_string()))?;
    evidence
        .of(&attempt.job.to_bytes(), job)
        .map_err(|error| wrong(&error.to_string()))?;
    let model = parts
        .catalogue
        .at(&attempt.model)
        .ok_or_else(|| wrong("this gateway does not serve the job's model"))?;
    let decoder = Decoder::new(model, &attempt.stop, attempt.options.as_ref(), top);
    let (pieces, stopped) = decoder.all(evidence);
    let finish = match stopped {
        true => Finish::Stopped,
        false => Finish::from_u8(job.finish_reason).unwrap_or(Finish::Cancelled),
    };
    let fee = job
        .terms
        .price_of(digests.count)
        .map_or(job.ceiling.get(), |fee| fee.min(job.ceiling.get()));
    Ok(ChoiceAnswer {
        pieces,
        end: ChoiceEnd {
            job: attempt.job.to_string(),
            validator: Pubkey::new_from_array(job.validator).to_string(),
            finish,
            prompt_tokens: job.terms.prompt_tokens.get(),
            cached_tokens: None,
            output_tokens: digests.count,
            cost_lamports: fee,
            receipt: receipt(parts, &attempt.job),
            unconfirmed: false,
        },
    })
}

/// A result is there, or was.
pub fn has_result(job: &Job) -> bool {
    matches!(
        job.status(),
        Some(JobStatus::Submitted | JobStatus::Disputed | JobStatus::Settled)
    ) && job.submitted_slot.get() > 0
}
