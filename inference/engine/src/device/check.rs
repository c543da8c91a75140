//! A GPU is used once it gave this processor's bits: a short prompt and a token after it, all logits of the last rows compared.

use std::ops::Range;

use mythic_interface::sampler::RowError;

use super::error::DeviceError;
use super::gpu::Gpu;
use super::seam::Device;
use crate::config::Lab;
use crate::decoder::{Pass, Row, Scratch, Span};
use crate::kv::Pool;
use crate::logits::{Keep, Kept};
use crate::pages::{PAGE, PageId, pages_for};

/// Positions of the prompt: more than one product of 16 rows, and no whole number of them.
const PROMPT: usize = 39;

/// Passes over the first positions of a sequence of tokens that come from nowhere.
fn passes(vocabulary: usize, context: usize, pages: usize) -> Vec<Pass> {
    let most = context.min(pages * PAGE);
    let prompt = PROMPT.min(most.saturating_sub(1)).max(1);
    let parts = [0..prompt, prompt..(prompt + 1).min(most)];
    let parts = parts.into_iter().filter(|rows| !rows.is_empty());
    let pass = |positions: Range<usize>| {
        let (last, count) = (positions.end, positions.len());
        let row = |position: usize| Row {
            token: ((position * 7_919 + 17) % vocabulary) as u32,
            position,
            keep: (position + 2 >= last).then(Keep::default),
        };
        let pages = (0..pages_for(last) as u32).map(PageId).collect::<Vec<_>>();
        Pass {
            rows: positions.map(row).collect(),
            spans: vec![Span {
                rows: 0..count,
                pages: 0..pages.len(),
            }],
            pages,
        }
    };
    parts.map(pass).collect()
}

/// Computes the same on both, and says where they differ.
pub fn same_bits(gpu: &mut Gpu) -> Result<(), DeviceError> {
    let sizes = gpu.sizes();
    let passes = passes(
        gpu.model().shape.vocabulary,
        sizes.context,
        sizes.pages as usize,
    );
    let pages = passes
        .iter()
        .map(|pass| pass.pages.len())
        .max()
        .unwrap_or(1);
    let mut pool =
        Pool::new(gpu.model().kv_shape(), pages as u32, Lab::default()).map_err(|error| {
            DeviceError::Failed {
                name: gpu.name(),
                doing: "being compared",
                error: error.to_string(),
            }
        })?;
    let mut scratch = Scratch::default();
    for pass in passes {
        let mut want: Vec<Vec<f32>> = Vec::new();
        let take = |_: usize, _: Result<Kept, RowError>, logits: &[f32]| want.push(logits.to_vec());
        gpu.model().forward(&pass, &mut pool, &mut scratch, take);
        let mut want = want.into_iter();
        let mut other: Option<(usize, usize)> = None;
        gpu.forward(&pass, &mut |row, _, logits| {
            let mut own = want.next().unwrap_or_default();
            own.resize(logits.len(), f32::NAN);
            // What is no number has many forms, and no answer.
            let differs =
                |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
            if let Some(token) = own.iter().zip(logits).position(differs) {
                other = other.or(Some((row, token)));
            }
        })?;
        if let Some((row, token)) = other {
            return Err(DeviceError::OtherBits {
                name: gpu.name(),
                row,
                token,
            });
        }
    }
    Ok(())
}
