//! One layer that a checker computes alone, over all positions of an answer, from rows that somebody gives: a part between two passes,
//! so that answers wait for no more than that.

use tokio::sync::oneshot;

use super::decoder::{Model, Pass, Row, Scratch, Span};
use super::kv::Pool;
use super::pages::{PageId, pages_for};
use super::request::EngineError;

/// What goes into a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerInput {
    /// Into the first: what the embedding gives for these tokens.
    Tokens(Vec<u32>),
    /// Rows of all positions, one after the other; see [`super::residuals::read`].
    Rows(Vec<f32>),
}

/// A layer that is being computed.
pub(crate) struct LayerRun {
    layer: usize,
    /// What goes in, replaced by what comes out.
    rows: Vec<f32>,
    positions: usize,
    done: usize,
    pool: Pool,
    pass: Pass,
    reply: oneshot::Sender<Result<Vec<f32>, EngineError>>,
}

/// A layer that somebody asks for; the engine has checked its numbers.
pub(crate) struct LayerJob {
    pub(crate) layer: usize,
    pub(crate) input: LayerInput,
    pub(crate) reply: oneshot::Sender<Result<Vec<f32>, EngineError>>,
}

impl LayerJob {
    /// Makes room for it; who asked hears if there is none.
    pub(crate) fn begin(self, model: &Model) -> Option<LayerRun> {
        let rows = match self.input {
            LayerInput::Rows(rows) => rows,
            LayerInput::Tokens(tokens) => {
                let mut rows = Vec::new();
                model.embed(tokens.into_iter(), &mut rows);
                rows
            }
        };
        let positions = rows.len() / model.residual_shape().width;
        let pages = pages_for(positions) as u32;
        match Pool::of_layer(model.kv_shape(), self.layer, pages) {
            Ok(pool) => Some(LayerRun {
                layer: self.layer,
                rows,
                positions,
                done: 0,
                pool,
                pass: Pass::default(),
                reply: self.reply,
            }),
            Err(error) => {
                let error = EngineError::Invalid(format!("no memory for a layer: {error}"));
                let _ = self.reply.send(Err(error));
                None
            }
        }
    }
}

impl LayerRun {
    /// Computes up to `most` positions more; gives it back while there are more.
    pub(crate) fn step(
        mut self,
        model: &Model,
        scratch: &mut Scratch,
        most: usize,
    ) -> Option<Self> {
        if self.reply.is_closed() {
            return None;
        }
        let from = self.done;
        let to = (from + most).min(self.positions);
        let row = |position| Row {
            token: 0,
            position,
            keep: None,
        };
        self.pass.clear();
        self.pass.rows.extend((from..to).map(row));
        let pages = pages_for(to) as u32;
        self.pass.pages.extend((0..pages).map(PageId));
        self.pass.spans.push(Span {
            rows: 0..to - from,
            pages: 0..pages as usize,
        });
        let width = model.residual_shape().width;
        let rows = &mut self.rows[from * width..to * width];
        model.layer(self.layer, &self.pass, rows, (&mut self.pool, scratch));
        self.done = to;
        if to < self.positions {
            return Some(self);
        }
        let _ = self.reply.send(Ok(self.rows));
        None
    }
}
