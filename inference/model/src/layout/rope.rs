//! The rotary embedding of a file: which values of a head turn together, how fast, and what stretches
//! them over a context longer than the model was first made for.

use super::architecture::Architecture;
use super::keys::{Keys, unsupported};
use crate::gguf::{GgufError, Value};

/// Which values of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// A value and the next.
    Neighbours,
    /// A value of the first half of the rotated ones and its like in the second.
    Halves,
}

/// YaRN: slow pairs are stretched, fast ones are not, those between a little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// Positions that the model was first made for.
    pub original: f64,
    /// Turns over these positions from which on a pair is fast.
    pub fast: f64,
    /// Turns up to which it is slow.
    pub slow: f64,
}

/// How positions are written into queries and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub pairs: Pairs,
    /// Values of each head that are rotated, an even number.
    pub rotated: usize,
    pub base: f64,
    /// Positions are divided by it.
    pub linear: f64,
    pub yarn: Option<Yarn>,
    /// What is rotated is multiplied with it, and with what YaRN adds.
    pub magnitude: f64,
    /// The tensor of a factor for each pair that divides its frequency.
    pub factors: Option<&'static str>,
    /// Tensors of such factors that the file has.
    pub tensors: Vec<&'static str>,
}

/// Of Llama 3, and of those that have one set.
const FACTORS: &str = "rope_freqs.weight";
const LONG: &str = "rope_factors_long.weight";
const SHORT: &str = "rope_factors_short.weight";

/// The rotary embedding of layers that see all positions.
pub(super) fn read(keys: &Keys, head_dim: usize, of: Architecture) -> Result<Rope, GgufError> {
    let rotated = keys
        .int("rope.dimension_count", 1 << 12)?
        .unwrap_or(head_dim);
    if rotated > head_dim || !rotated.is_multiple_of(2) {
        return Err(unsupported(format!(
            "rotating {rotated} of {head_dim} values is not possible"
        )));
    }
    let context = f64::from(
        keys.gguf
            .require_int(&keys.key("context_length"), 1, 1 << 24)?,
    );
    let original = keys
        .int("rope.scaling.original_context_length", 1 << 24)?
        .map_or(context, |n| n as f64);
    keys.without("rope.scaling.yarn_log_multiplier", &[0.0], "this YaRN")?;
    keys.without("rope.scaling.yarn_ext_factor", &[1.0], "this YaRN")?;
    keys.without("rope.scaling.yarn_attn_factor", &[1.0], "this YaRN")?;
    // By its old name where it has no new one.
    let factor = keys.positive("rope.scale_linear", 1.0)?;
    let factor = keys.positive("rope.scaling.factor", factor)?;
    let (linear, yarn) = match keys.text("rope.scaling.type")? {
        Some("none") => (1.0, None),
        // Without a name a factor divides positions.
        None | Some("linear" | "longrope") => (factor, None),
        Some("yarn") => {
            let yarn = Yarn {
                original,
                fast: keys.positive("rope.scaling.yarn_beta_fast", 32.0)?,
                slow: keys.positive("rope.scaling.yarn_beta_slow", 1.0)?,
            };
            (factor, Some(yarn))
        }
        Some(other) => {
            return Err(unsupported(format!(
                "rope scaling {:?} is not supported; supported are none, linear, longrope and yarn",
                Value::Text(other.to_owned())
            )));
        }
    };
    let there = |name: &&'static str| keys.gguf.tensor(name).is_some();
    let tensors: Vec<&'static str> = [FACTORS, LONG, SHORT].into_iter().filter(there).collect();
    // As llama.cpp does over the model's whole context; one model has one of them for all positions.
    let by_length = if context > original { LONG } else { SHORT };
    let factors = [by_length, FACTORS]
        .into_iter()
        .find(|name| tensors.contains(name));
    let base = keys.positive("rope.freq_base", 10_000.0)?;
    if yarn.is_some() && base <= 1.0 {
        return Err(GgufError::OutOfRange {
            key: keys.key("rope.freq_base"),
            value: base.to_string(),
            allowed: "above 1 with YaRN".into(),
        });
    }
    Ok(Rope {
        pairs: pairs(of),
        rotated,
        base,
        linear,
        yarn,
        magnitude: keys.positive("rope.scaling.attn_factor", 1.0)?,
        factors,
        tensors,
    })
}

/// That of layers with a window.
pub(super) fn in_windows(keys: &Keys, rope: &Rope, of: Architecture) -> Result<Rope, GgufError> {
    let base = keys.positive(
        "rope.freq_base_swa",
        match of {
            Architecture::Gemma3 => 10_000.0,
            _ => rope.base,
        },
    )?;
    let plain = Rope {
        base,
        ..rope.clone()
    };
    Ok(match of {
        Architecture::Gemma3 => Rope {
            linear: 1.0,
            ..plain
        },
        Architecture::Olmo2 => Rope {
            linear: 1.0,
            yarn: None,
            magnitude: 1.0,
            ..plain
        },
        _ => plain,
    })
}

fn pairs(of: Architecture) -> Pairs {
    match of {
        Architecture::Llama | Architecture::SmolLm3 | Architecture::Granite => Pairs::Neighbours,
        Architecture::Qwen2
        | Architecture::Qwen3
        | Architecture::Olmo2
        | Architecture::Gemma3
        | Architecture::Phi3
        | Architecture::Qwen3Moe
        | Architecture::GptOss => Pairs::Halves,
    }
}
