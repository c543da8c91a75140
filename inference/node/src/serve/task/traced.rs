//! The spans of a job: its part of the request that brought it, until its result is on the chain. Never what was asked or answered.

use mythic_trace::{Kind, Span, names};
use mythic_wire::{Finish, openai::finish_reason};
use solana_pubkey::Pubkey;

use crate::serve::{admit::Work, backend::ServedModel};

#[derive(Debug, Default)]
pub(super) struct Spans {
    request: Span,
    generating: Span,
    submitting: Span,
}

impl Spans {
    pub fn new(request: Span, job: &Pubkey, model: &ServedModel) -> Self {
        if request.is_recorded() {
            request
                .job(&job.to_bytes(), &job.to_string())
                .word(names::OPERATION, "chat")
                .word(names::PROVIDER, names::PROVIDER_NAME)
                .word(names::RESPONSE_MODEL, &model.id());
        }
        Self {
            request,
            ..Self::default()
        }
    }

    /// The engine has it.
    pub fn generate(&mut self, work: &Work, prompt_tokens: usize) {
        self.generating = self.request.child("generate", Kind::Inside);
        self.generating
            .number(names::INPUT_TOKENS, prompt_tokens as u64)
            .number(names::MAX_TOKENS, work.max_output_tokens);
    }

    /// The engine is through, or was stopped.
    pub fn generated(&mut self, tokens: u32, end: Option<Finish>) {
        let span = std::mem::take(&mut self.generating);
        span.number(names::OUTPUT_TOKENS, tokens);
        if let Some(reason) = end {
            span.words(names::FINISH_REASONS, finish_reason(reason));
        }
    }

    pub fn engine_failed(&mut self) {
        std::mem::take(&mut self.generating).failed("engine_failed");
    }

    /// The result is on its way to the chain.
    pub fn submit(&mut self) {
        self.submitting = self.request.child("submit result", Kind::Client);
    }

    pub fn submit_failed(&mut self) {
        std::mem::take(&mut self.submitting).failed("submit_failed");
    }

    /// The result is on the chain: the request is through.
    pub fn landed(&mut self, slot: u64) {
        self.submitting.number(names::SLOT, slot);
        *self = Self::default();
    }
}
