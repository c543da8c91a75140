//! A layer's weights from a file: which tensors, and which parts of those that hold several matrices.

use std::ops::Range;
use std::sync::Arc;

use super::experts::Mixture;
use super::gated::{Gated, Linear};
use super::{FeedForward, Layer, Norms};
use crate::kernels::pack::Pack;
use crate::kernels::{Matrix, Table};
use mythic_model::gguf::{Gguf, GgufError};
use mythic_model::layout::{Experts, HeadNorm, Layout, tensor};

/// The tensors of a layer.
struct Tensors<'a> {
    gguf: &'a Gguf,
    pack: &'a Arc<Pack>,
    layer: usize,
}

impl Tensors<'_> {
    fn vector(&self, part: &str, len: usize) -> Result<Vec<f32>, GgufError> {
        Table::load_vector(self.gguf, &tensor(self.layer, part), len)
    }

    /// Some outputs of a tensor of these extents, with their biases if the file has any.
    fn linear(
        &self,
        part: &str,
        dims: &[usize],
        outputs: Range<usize>,
    ) -> Result<Linear, GgufError> {
        let name = |kind: &str| tensor(self.layer, &format!("{part}.{kind}"));
        let (weight, bias) = (name("weight"), name("bias"));
        let matrix = Matrix::load_part(self.gguf, self.pack, &weight, dims, outputs.clone())?;
        let bias = match self.gguf.tensor(&bias) {
            None => None,
            Some(_) => Some(Table::load_values(self.gguf, &bias, &dims[1..], outputs)?),
        };
        Ok(Linear { matrix, bias })
    }

    fn whole(&self, part: &str, inputs: usize, outputs: usize) -> Result<Linear, GgufError> {
        self.linear(part, &[inputs, outputs], 0..outputs)
    }

    fn feed_forward(&self, layout: &Layout) -> Result<FeedForward, GgufError> {
        let (e, f) = (layout.shape.embedding, layout.shape.feed_forward);
        if let Some(Experts { count, used }) = layout.experts {
            let one = |part: &str, inputs: usize, outputs: usize, expert: usize| {
                let range = expert * outputs..(expert + 1) * outputs;
                self.linear(part, &[inputs, outputs, count], range)
            };
            let experts = (0..count).map(|expert| {
                Ok::<_, GgufError>(Gated {
                    gate: one("ffn_gate_exps", e, f, expert)?,
                    up: one("ffn_up_exps", e, f, expert)?,
                    down: one("ffn_down_exps", f, e, expert)?,
                })
            });
            return Ok(FeedForward::Experts(Mixture {
                router: self.whole("ffn_gate_inp", e, count)?,
                used,
                experts: experts.collect::<Result<_, _>>()?,
            }));
        }
        let both = [e, 2 * f];
        let (gate, up) = match layout.fused_gate {
            true => (
                self.linear("ffn_up", &both, 0..f)?,
                self.linear("ffn_up", &both, f..2 * f)?,
            ),
            false => (self.whole("ffn_gate", e, f)?, self.whole("ffn_up", e, f)?),
        };
        Ok(FeedForward::Dense(Gated {
            gate,
            up,
            down: self.whole("ffn_down", f, e)?,
        }))
    }
}

impl Layer {
    /// The weights of a layer, where the layout says that they are.
    pub(super) fn load(
        gguf: &Gguf,
        pack: &Arc<Pack>,
        layout: &Layout,
        layer: usize,
    ) -> Result<Self, GgufError> {
        let from = Tensors { gguf, pack, layer };
        let (s, of) = (&layout.shape, layout.architecture);
        let (e, q, kv) = (s.embedding, s.heads * s.head_dim, s.kv_heads * s.head_dim);
        let fused = |outputs| from.linear("attn_qkv", &[e, q + 2 * kv], outputs);
        let (query, key, value) = match layout.fused_attention {
            true => (fused(0..q)?, fused(q..q + kv)?, fused(q + kv..q + 2 * kv)?),
            false => (
                from.whole("attn_q", e, q)?,
                from.whole("attn_k", e, kv)?,
                from.whole("attn_v", e, kv)?,
            ),
        };
        let widths = match of.head_norm() {
            HeadNorm::None => None,
            HeadNorm::Each => Some((s.head_dim, s.head_dim)),
            HeadNorm::Whole => Some((q, kv)),
        };
        let (q_norm, k_norm) = match widths {
            None => (None, None),
            Some((q, k)) => (
                Some(from.vector("attn_q_norm.weight", q)?),
                Some(from.vector("attn_k_norm.weight", k)?),
            ),
        };
        let norm = |name: Option<&str>| name.map(|name| from.vector(name, e)).transpose();
        let norms = of.norms();
        let sinks = of
            .has_sinks()
            .then(|| from.vector("attn_sinks.weight", s.heads));
        Ok(Self {
            norms: Norms {
                attention: norm(norms.attention)?,
                attention_out: norm(norms.attention_out)?,
                feed_forward: norm(norms.feed_forward)?,
                feed_forward_out: norm(norms.feed_forward_out)?,
            },
            q: query,
            k: key,
            v: value,
            q_norm,
            k_norm,
            sinks: sinks.transpose()?,
            output: from.whole("attn_output", q, e)?,
            window: layout.reach[layer].window,
            rotated: layout.reach[layer].rotated,
            feed_forward: from.feed_forward(layout)?,
        })
    }
}
