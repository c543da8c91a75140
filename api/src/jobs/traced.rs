//! The span of a dispatch: which model at which validator, how many tokens, how it ended. Never what was asked or answered.

use mythic_trace::{Kind, Span, names};
use mythic_wire::{GRAMMAR_LIMIT, openai::finish_reason};
use solana_pubkey::Pubkey;

use crate::jobs::drive::{Dispatch, Outcome, drive};

/// Drives a dispatch within a span of its own, which the validator's is a part of.
pub async fn traced(d: &Dispatch<'_>, transaction: String) -> Outcome {
    let span = begin(d);
    let outcome = drive(d, transaction, &d.work.trace.within(&span)).await;
    end(&span, &outcome);
    outcome
}

fn begin(d: &Dispatch<'_>) -> Span {
    let request = &d.work.trace.span;
    if !request.is_recorded() {
        return Span::default();
    }
    let plan = &d.work.plan;
    let span = request.child(format!("chat {}", plan.model.name), Kind::Client);
    span.word(names::OPERATION, "chat")
        .word(names::PROVIDER, names::PROVIDER_NAME)
        .word(names::REQUEST_MODEL, &plan.model.name)
        .word(names::RESPONSE_MODEL, &plan.model.id)
        .number(names::MAX_TOKENS, plan.max_output_tokens)
        .fraction(
            names::TEMPERATURE,
            f64::from(plan.temperature_milli) / 1_000.0,
        )
        .number(names::INPUT_TOKENS, plan.prompt_tokens)
        .word(
            names::VALIDATOR,
            &Pubkey::new_from_array(d.node.validator).to_string(),
        )
        .job(&d.attempt.job.to_bytes(), &d.attempt.job.to_string());
    span
}

fn end(span: &Span, outcome: &Outcome) {
    match outcome {
        Outcome::Done(done) => {
            span.words(names::FINISH_REASONS, finish_reason(done.end.finish))
                .number(names::OUTPUT_TOKENS, done.end.output_tokens);
        }
        // The validator's own word, if it is one.
        Outcome::Declined(code, _) => {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let word = code.len() <= 40 && code.chars().all(plain);
            span.failed(if word { code } else { "declined" });
        }
        Outcome::Failed(_) => {
            span.failed("validator_failed");
        }
        Outcome::Broken(_, output) => {
            span.number(names::OUTPUT_TOKENS, output.len() as u64)
                .failed("broken_off");
        }
        Outcome::Unfollowed => {
            span.failed(GRAMMAR_LIMIT);
        }
        Outcome::Gone { .. } => {
            span.failed("client_gone");
        }
    }
}
