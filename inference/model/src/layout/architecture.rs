//! The architectures that the engine runs, and what each does differently from the others. Facts are
//! llama.cpp's: names of tensors and keys, the order of operations.

/// An architecture, by the name that files give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, Mistral, SmolLM2; with experts Mixtral.
    Llama,
    Qwen2,
    Qwen3,
    SmolLm3,
    Granite,
    Olmo2,
    Gemma3,
    Phi3,
    Qwen3Moe,
    GptOss,
}

/// What a feed-forward layer makes of its gate before it is multiplied with `up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// x · sigmoid(x).
    Silu,
    /// The tanh form of x · Φ(x).
    Gelu,
    /// min(x, 7) · sigmoid(1.702 · that), and `up` within ±7, plus 1.
    Clamped,
}

/// What queries and keys are normed over before they are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadNorm {
    None,
    /// Each head by itself, all by one weight.
    Each,
    /// All heads of a position together.
    Whole,
}

/// The tensors of a layer's norms: of what goes into attention and feed-forward, and of what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norms {
    pub attention: Option<&'static str>,
    pub attention_out: Option<&'static str>,
    pub feed_forward: Option<&'static str>,
    pub feed_forward_out: Option<&'static str>,
}

const ATTENTION: &str = "attn_norm.weight";
const ATTENTION_OUT: &str = "post_attention_norm.weight";
const FEED_FORWARD: &str = "ffn_norm.weight";
const FEED_FORWARD_OUT: &str = "post_ffw_norm.weight";

impl Norms {
    /// Those that there are.
    pub fn all(self) -> impl Iterator<Item = &'static str> {
        [
            self.attention,
            self.attention_out,
            self.feed_forward,
            self.feed_forward_out,
        ]
        .into_iter()
        .flatten()
    }
}

impl Architecture {
    /// All that the engine runs.
    pub const ALL: [Self; 10] = [
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::SmolLm3,
        Self::Granite,
        Self::Olmo2,
        Self::Gemma3,
        Self::Phi3,
        Self::Qwen3Moe,
        Self::GptOss,
    ];

    /// The architecture that files call so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    /// Its name in `general.architecture`, which begins the names of its keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::SmolLm3 => "smollm3",
            Self::Granite => "granite",
            Self::Olmo2 => "olmo2",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::Qwen3Moe => "qwen3moe",
            Self::GptOss => "gpt-oss",
        }
    }

    /// Models that people know it by.
    pub const fn models(self) -> &'static str {
        match self {
            Self::Llama => "Llama 1 to 3, Mistral, Mixtral, SmolLM2",
            Self::Qwen2 => "Qwen 1.5 to 2.5",
            Self::Qwen3 => "Qwen 3",
            Self::SmolLm3 => "SmolLM3",
            Self::Granite => "Granite 3, dense",
            Self::Olmo2 => "OLMo 2 and 3",
            Self::Gemma3 => "Gemma 3, text",
            Self::Phi3 => "Phi 3, 3.5 and 4, dense",
            Self::Qwen3Moe => "Qwen 3 with experts",
            Self::GptOss => "gpt-oss",
        }
    }

    /// What it does differently from `llama`.
    pub const fn differs(self) -> &'static str {
        match self {
            Self::Llama => "with `expert_count` a mixture of experts",
            Self::Qwen2 => "biases of queries, keys and values",
            Self::Qwen3 => "queries and keys normed head by head",
            Self::SmolLm3 => "every fourth layer without positions",
            Self::Granite => "scales of embedding, attention, residual and logits",
            Self::Olmo2 => {
                "norms after attention and feed-forward; queries and keys normed whole; windows where the file has them"
            }
            Self::Gemma3 => {
                "windows in five of six layers, with their own rotary base; four norms a layer; GELU"
            }
            Self::Phi3 => {
                "fused tensors; long rotary factors where the context is longer than the original one"
            }
            Self::Qwen3Moe => "as `qwen3`, with experts",
            Self::GptOss => {
                "experts with biases and clamped gates; sinks; windows in every second layer; YaRN"
            }
        }
    }

    /// What its feed-forward layers make of the gate.
    pub const fn gate(self) -> Gate {
        match self {
            Self::Gemma3 => Gate::Gelu,
            Self::GptOss => Gate::Clamped,
            _ => Gate::Silu,
        }
    }

    /// What its queries and keys are normed over.
    pub const fn head_norm(self) -> HeadNorm {
        match self {
            Self::Qwen3 | Self::Qwen3Moe | Self::Gemma3 => HeadNorm::Each,
            Self::Olmo2 => HeadNorm::Whole,
            _ => HeadNorm::None,
        }
    }

    /// The norms of its layers.
    pub const fn norms(self) -> Norms {
        let (attention, feed_forward) = match self {
            Self::Olmo2 => (None, None),
            // The norm before its experts has the name of one after attention.
            Self::GptOss => (Some(ATTENTION), Some(ATTENTION_OUT)),
            _ => (Some(ATTENTION), Some(FEED_FORWARD)),
        };
        let (attention_out, feed_forward_out) = match self {
            Self::Olmo2 | Self::Gemma3 => (Some(ATTENTION_OUT), Some(FEED_FORWARD_OUT)),
            _ => (None, None),
        };
        Norms {
            attention,
            attention_out,
            feed_forward,
            feed_forward_out,
        }
    }

    /// Whether each head of a layer has a sink: a score without a value, which takes a share of attention.
    pub const fn has_sinks(self) -> bool {
        matches!(self, Self::GptOss)
    }

    /// Whether queries, keys and values always have biases.
    pub(super) const fn has_attention_biases(self) -> bool {
        matches!(self, Self::Qwen2 | Self::GptOss)
    }

    /// Whether its layers may be mixtures of experts, and whether they must be.
    pub(super) const fn may_have_experts(self) -> (bool, bool) {
        match self {
            Self::Llama => (true, false),
            Self::Qwen3Moe | Self::GptOss => (true, true),
            _ => (false, false),
        }
    }

    /// Layers of which the last sees all positions, and the others a window, unless the file says otherwise.
    pub(super) const fn window_period(self) -> Option<usize> {
        match self {
            Self::Gemma3 => Some(6),
            Self::Olmo2 => Some(4),
            Self::GptOss => Some(2),
            _ => None,
        }
    }
}
