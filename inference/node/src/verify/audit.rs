//! The layer audit of an answer: the hashes of what its maker's layers gave, then a few layers, drawn once these are known, computed
//! again. Whatever does not go as it should leads to the whole pass, so that nobody loses anything by an audit that fails.

use std::time::{Duration, Instant};

use mythic_client::pda;
use mythic_engine::{
    Engine, LayerInput,
    residuals::{self, RowShape},
};
use mythic_interface::{hash::Hash, state::Validator};
use mythic_verifier::{
    audit::{self, Draw, Size},
    book::Note,
    check::Subject,
};
use mythic_wire::{
    Evidence, Origin, ResidualDigests,
    dial::{self, Ask},
    signed::purpose,
};
use reqwest::Method;
use solana_pubkey::Pubkey;

use super::results::{Answer, Check};
use crate::keep::journal::Record;

/// Longest answer with the hashes of all layers, in bytes.
const MAX_DIGESTS: usize = 1 << 20;
/// How long an audit may wait for another one, and how long it may take: a quarter of the shortest window each, so that the whole pass
/// has its time.
const WAIT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an audit does not say that an answer is honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsaid {
    /// The rows are not given, or are not those of the hashes.
    Refused,
    /// A layer or a logit is another.
    Differs,
    /// It takes too long.
    Late,
    /// The answer is too long for it, or unreadable.
    Large,
    /// The engine can't.
    Engine,
}

impl Unsaid {
    /// One word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Differs => "differs",
            Self::Late => "late",
            Self::Large => "large",
            Self::Engine => "engine",
        }
    }
}

/// An answer's maker, what it showed first, and what is asked of it next.
struct Maker<'a> {
    check: &'a Check,
    origin: Origin,
    size: Size,
    digests: Vec<Hash>,
}

impl Check {
    /// Whether an answer is audited and found as it should be; counted. One at a time, for its rows take memory.
    pub(super) async fn audited(&self, answer: &Answer, evidence: &Evidence) -> bool {
        let node = &self.node;
        let config = &node.config.verifier;
        let subject = Subject {
            state: &answer.state,
            spec: &answer.serving.spec,
        };
        let first = audit::is_first(config, &node.secret, (self.job.as_array(), &subject));
        let engine = answer.serving.model.backend.engine();
        let Some(engine) = engine.filter(|_| first && answer.drawn && !self.disputed) else {
            return false;
        };
        let found = match tokio::time::timeout(WAIT, node.auditing.lock()).await {
            Err(_) => Err(Unsaid::Late),
            Ok(_alone) => {
                let audit = self.audit(answer, evidence, engine);
                let found = tokio::time::timeout(PATIENCE, audit).await;
                found.unwrap_or(Err(Unsaid::Late))
            }
        };
        let outcome = match found {
            Ok(()) => "passed",
            Err(unsaid) => unsaid.as_str(),
        };
        tracing::debug!(job = %self.job, outcome, "audited");
        let audits = &node.meters.verifier.audits;
        audits.with_label_values(&[outcome]).inc();
        found.is_ok()
    }

    async fn audit(
        &self,
        answer: &Answer,
        evidence: &Evidence,
        engine: &Engine,
    ) -> Result<(), Unsaid> {
        if !engine.has_layers() {
            return Err(Unsaid::Engine);
        }
        let config = &self.node.config.verifier;
        let backend = &answer.serving.model.backend;
        let (vocabulary, context) = (backend.vocab_size(), backend.context_length() as usize);
        let tokens = audit::tokens(evidence, vocabulary, context).ok_or(Unsaid::Large)?;
        let RowShape { layers, width } = engine.row_shape();
        let size = Size {
            layers,
            width,
            positions: tokens.len(),
        };
        let bytes = size.all_bytes(config.audit_layers) as u64;
        if bytes > config.audit_bytes {
            return Err(Unsaid::Large);
        }
        let maker = self.maker(answer, size).await?;
        // Only now is drawn what is computed: the hashes are known, and no word of the draw was.
        let output = evidence.output_ids.len();
        let draw = Draw::new(&rand::random(), &size, config.audit_layers, output);
        let mut engine_time = Duration::ZERO;
        let found = maker
            .compare(evidence, tokens, (engine, &draw), &mut engine_time)
            .await;
        let millis = u64::try_from(engine_time.as_millis()).unwrap_or(u64::MAX);
        let note = Note::Computed { millis };
        self.node.note_soft(Record::Verifier(note));
        found
    }

    /// Asks an answer's maker for its hashes.
    async fn maker(&self, answer: &Answer, size: Size) -> Result<Maker<'_>, Unsaid> {
        let authority = Pubkey::new_from_array(answer.state.validator);
        let address = pda::validator(authority);
        let read = self.node.chain.account::<Validator>(&address).await;
        let (_, validator) = read.ok().flatten().ok_or(Unsaid::Refused)?;
        let origin = Origin::parse(validator.endpoint.as_str());
        let origin = origin.map_err(|_| Unsaid::Refused)?;
        let path = format!("/v1/jobs/{}/residuals", self.job);
        let shown = self.get(&origin, &path, MAX_DIGESTS).await?;
        let shown: ResidualDigests = serde_json::from_slice(&shown).map_err(|_| Unsaid::Refused)?;
        let digests = audit::digests(&shown, &size).ok_or(Unsaid::Refused)?;
        Ok(Maker {
            check: self,
            origin,
            size,
            digests,
        })
    }

    async fn get(&self, origin: &Origin, path: &str, max_bytes: usize) -> Result<Vec<u8>, Unsaid> {
        let node = &self.node;
        let ask = Ask {
            origin,
            method: Method::GET,
            path,
            purpose: &purpose::check(&self.job, &node.keys.authority),
            body: Vec::new(),
            max_bytes,
            patience: PATIENCE,
        };
        let answer = dial::ask(ask, &node.keys.operator, node.config.allow_loopback).await;
        answer.map_err(|error| {
            tracing::debug!(job = %self.job, %error, "no residual rows");
            Unsaid::Refused
        })
    }
}

impl Maker<'_> {
    /// Computes what was drawn, and compares it with the hashes and with the evidence.
    async fn compare(
        &self,
        evidence: &Evidence,
        tokens: Vec<u32>,
        (engine, draw): (&Engine, &Draw),
        engine_time: &mut Duration,
    ) -> Result<(), Unsaid> {
        let Size { layers, width, .. } = self.size;
        let last = layers.checked_sub(1).ok_or(Unsaid::Engine)?;
        let given = self.rows(last).await?;
        let first = evidence.prompt_ids.len().saturating_sub(1);
        let mut rows = Vec::with_capacity(draw.positions.len() * width);
        for position in &draw.positions {
            let at = (first + position) * width;
            let row = given.get(at..at + width).ok_or(Unsaid::Large)?;
            rows.extend_from_slice(row);
        }
        drop(given);
        let began = Instant::now();
        let found = engine.outputs(rows).await;
        *engine_time += began.elapsed();
        let found = found.map_err(|_| Unsaid::Engine)?;
        let claimed = draw.positions.iter().map(|p| evidence.leaves.get(*p));
        if !claimed.eq(found.iter().map(Some)) {
            return Err(Unsaid::Differs);
        }
        for layer in &draw.layers {
            let input = match layer.checked_sub(1) {
                Some(before) => LayerInput::Rows(self.rows(before).await?),
                // What the embedding gives is ours: a false one is a false first layer.
                None => LayerInput::Tokens(tokens.clone()),
            };
            let began = Instant::now();
            let found = engine.layer(*layer, input).await;
            *engine_time += began.elapsed();
            let (_, digest) = hashed(*layer, width, found.map_err(|_| Unsaid::Engine)?).await?;
            if self.digests.get(*layer) != Some(&digest) {
                return Err(Unsaid::Differs);
            }
        }
        Ok(())
    }

    /// What a layer gave, as its hash says.
    async fn rows(&self, layer: usize) -> Result<Vec<f32>, Unsaid> {
        let Size {
            positions, width, ..
        } = self.size;
        let path = format!("/v1/jobs/{}/residuals/{layer}", self.check.job);
        let bytes = self.check.get(&self.origin, &path, self.size.bytes());
        let rows = residuals::read(&bytes.await?, positions, width).ok_or(Unsaid::Refused)?;
        let (rows, digest) = hashed(layer, width, rows).await?;
        match self.digests.get(layer) == Some(&digest) {
            true => Ok(rows),
            false => Err(Unsaid::Refused),
        }
    }
}

/// Rows with their hash, made on a thread for what blocks.
async fn hashed(layer: usize, width: usize, rows: Vec<f32>) -> Result<(Vec<f32>, Hash), Unsaid> {
    let hashing = tokio::task::spawn_blocking(move || {
        let digest = residuals::digest(layer, width, &rows);
        (rows, digest)
    });
    hashing.await.map_err(|_| Unsaid::Engine)
}
