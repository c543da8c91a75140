//! What each architecture's file says is read as it is meant, and what is wrong in it is named: numbers
//! that are no model's, tensors that lack, lie in another shape or are one too many.

use std::path::Path;

use mythic_engine::{Engine, EngineConfig};
use mythic_lab::random_model::{RandomModel, architectures};
use mythic_model::gguf::{Gguf, TensorFormat};
use mythic_model::layout::{Architecture, Layout, Pairs};
use mythic_model::servable;

const SEED: u64 = 2;

fn bytes_of(model: &RandomModel) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    model.write(&path).expect("a model");
    std::fs::read(path).expect("the model")
}

fn named(name: &str) -> Vec<u8> {
    let models = architectures(SEED);
    let (_, model) = models.iter().find(|(n, _)| *n == name).expect("a model");
    bytes_of(model)
}

fn read(bytes: &[u8]) -> Result<Layout, String> {
    let gguf = Gguf::from_bytes(bytes, Path::new("model.gguf")).map_err(|e| e.to_string())?;
    servable::check(&gguf)
        .map(|servable| servable.layout)
        .map_err(|e| e.to_string())
}

/// The same with what first stands behind a key replaced.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut out = bytes.to_vec();
    let at = out.windows(old.len()).position(|w| w == old);
    let at = at.expect("what is to be replaced");
    out[at..at + new.len()].copy_from_slice(new);
    out
}

/// Why a file with another integer for a key is refused.
fn integer(name: &str, key: &str, old: u32, new: u32) -> String {
    let line = |n: u32| [key.as_bytes(), &4u32.to_le_bytes(), &n.to_le_bytes()].concat();
    read(&replaced(&named(name), &line(old), &line(new))).expect_err("accepted")
}

/// Why a file with another float for a key is refused.
fn float(name: &str, key: &str, old: f32, new: f32) -> String {
    let line = |x: f32| [key.as_bytes(), &6u32.to_le_bytes(), &x.to_le_bytes()].concat();
    read(&replaced(&named(name), &line(old), &line(new))).expect_err("accepted")
}

#[test]
fn every_architecture_is_read_as_it_is_meant() {
    for (name, model) in architectures(SEED) {
        let layout = read(&bytes_of(&model)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(layout.architecture, model.architecture);
        assert_eq!(layout.shape.layers, model.layers);
        let windows: Vec<bool> = layout.reach.iter().map(|r| r.window.is_some()).collect();
        let rotated: Vec<bool> = layout.reach.iter().map(|r| r.rotated).collect();
        let want: &[bool] = match model.architecture {
            Architecture::Gemma3 => &[true, true, true, true, true, false],
            Architecture::Olmo2 => &[true, true, true, false],
            Architecture::GptOss => &[true, false],
            Architecture::SmolLm3 => &[false; 4],
            _ => &[false; 2],
        };
        assert_eq!(windows, want, "{name}");
        let without = model.architecture == Architecture::SmolLm3;
        for (layer, rotated) in rotated.into_iter().enumerate() {
            assert_eq!(rotated, !(without && layer == 3), "{name}");
        }
        let neighbours = matches!(
            model.architecture,
            Architecture::Llama | Architecture::SmolLm3 | Architecture::Granite
        );
        assert_eq!(layout.rope.pairs == Pairs::Neighbours, neighbours, "{name}");
        let experts = layout.experts.map(|e| (e.count, e.used));
        assert_eq!(experts, model.experts, "{name}");
        assert_eq!(layout.rope.yarn.is_some(), model.yarn.is_some(), "{name}");
        let fused = model.architecture == Architecture::Phi3;
        assert_eq!((layout.fused_attention, layout.fused_gate), (fused, fused));
    }
}

#[test]
fn local_layers_of_gemma_have_a_rotary_embedding_of_their_own() {
    let layout = read(&named("gemma3")).expect("a model");
    assert_eq!((layout.rope.base, layout.rope.linear), (1e6, 8.0));
    let local = &layout.window_rope;
    assert_eq!((local.base, local.linear), (10_000.0, 1.0));
    assert_eq!(layout.scales.embedding, 16.0);
}

#[test]
fn long_factors_are_those_of_a_context_beyond_the_original_one() {
    let long = read(&named("phi3")).expect("a model").rope;
    assert_eq!(long.factors, Some("rope_factors_long.weight"));
    assert!((long.magnitude - 1.2).abs() < 1e-6);
    let short = RandomModel {
        context: 64,
        ..RandomModel::of(Architecture::Phi3, TensorFormat::F32, SEED)
    };
    let short = read(&bytes_of(&short)).expect("a model").rope;
    assert_eq!(short.factors, Some("rope_factors_short.weight"));
}

#[test]
fn numbers_of_experts_that_no_model_has_are_refused() {
    for (said, want) in [
        (
            integer("qwen3moe", "expert_used_count", 3, 7),
            "allowed is 1 to 6",
        ),
        (
            integer("qwen3moe", "expert_used_count", 3, 0),
            "allowed is 1",
        ),
        (
            integer("qwen3moe", "expert_count", 6, 0),
            "lacks the metadata key `qwen3moe.expert_count`",
        ),
        (
            integer("qwen3moe", "expert_count", 6, u32::MAX),
            "allowed is 0 to 1024",
        ),
        (integer("qwen3moe", "expert_count", 6, 5), "ffn_gate_inp"),
        (
            integer("qwen3moe", "expert_feed_forward_length", 128, 120),
            "ffn_gate_exps",
        ),
        (integer("mixtral", "expert_count", 4, 8), "ffn_gate_inp"),
        (integer("mixtral", "expert_count", 4, 0), "ffn_gate.weight"),
        (integer("gpt-oss", "expert_count", 4, 3), "ffn_gate_inp"),
    ] {
        assert!(said.contains(want), "{said:?} does not say {want:?}");
    }
}

#[test]
fn what_no_model_of_the_architecture_has_is_refused() {
    for (said, want) in [
        (
            integer("gemma3", "attention.sliding_window", 24, 0),
            "lacks the metadata key `gemma3.attention.sliding_window`",
        ),
        (
            integer("gemma3", "attention.sliding_window", 24, u32::MAX),
            "allowed is 0 to",
        ),
        (
            integer("qwen3", "attention.key_length", 32, 64),
            "different length",
        ),
        (integer("qwen3", "block_count", 2, 3), "lacks the tensor"),
        (integer("qwen3", "block_count", 2, 1), "does not know"),
        (integer("olmo2", "attention.head_count_kv", 2, 3), "shape"),
        (
            float("granite", "logit_scale", 2.0, f32::INFINITY),
            "finite",
        ),
        (float("granite", "logit_scale", 2.0, -2.0), "1e-30"),
        (float("granite", "embedding_scale", 3.0, 1e38), "1e-30"),
        (
            float("gpt-oss", "rope.scaling.factor", 32.0, f32::NAN),
            "finite",
        ),
        (float("gpt-oss", "rope.scaling.factor", 32.0, -1.0), "1e-30"),
        (
            float("gpt-oss", "rope.freq_base", 150_000.0, 1.0),
            "above 1 with YaRN",
        ),
        (
            float("phi3", "rope.scaling.attn_factor", 1.2, 1e-38),
            "1e-30",
        ),
        (
            float("llama", "layer_norm_rms_epsilon", 1e-5, -1.0),
            "allowed is 0 to 1",
        ),
    ] {
        assert!(said.contains(want), "{said:?} does not say {want:?}");
    }
}

#[test]
fn tensors_of_another_name_or_architecture_are_refused() {
    let swap = |name: &str, old: &str, new: &str| {
        read(&replaced(&named(name), old.as_bytes(), new.as_bytes())).expect_err("accepted")
    };
    for (said, want) in [
        (
            swap("qwen2", "blk.0.attn_q.bias", "blk.0.attn_q.bios"),
            "lacks the tensor `blk.0.attn_q.bias`",
        ),
        (
            swap("gpt-oss", "blk.1.attn_sinks", "blk.1.attn_sanks"),
            "lacks the tensor `blk.1.attn_sinks.weight`",
        ),
        (
            swap("qwen3", "blk.0.attn_q_norm", "blk.0.attn_z_norm"),
            "lacks the tensor `blk.0.attn_q_norm.weight`",
        ),
        (
            swap("gemma3", "blk.5.post_ffw_norm", "blk.5.past_ffw_norm"),
            "lacks the tensor `blk.5.post_ffw_norm.weight`",
        ),
        (
            swap("phi3", "rope_factors_long", "rope_factors_lung"),
            "rope_factors_lung",
        ),
    ] {
        assert!(said.contains(want), "{said:?} does not say {want:?}");
    }
}

#[test]
fn a_file_of_the_other_byte_order_is_named_as_one() {
    let mut bytes = named("qwen2");
    bytes[4..8].reverse();
    let said = read(&bytes).expect_err("accepted");
    assert!(said.contains("big-endian"), "{said}");
}

#[test]
fn a_vocabulary_with_holes_and_a_file_cut_short_are_refused() {
    let bytes = named("qwen2");
    let hole = replaced(&bytes, "Ġand".as_bytes(), "Ġanq".as_bytes());
    let said = read(&hole).expect_err("a merge makes a token that is not there");
    assert!(said.contains("damaged"), "{said}");
    // More tokens than the embedding has rows.
    let other = replaced(&bytes, b"qwen2.vocab_size", b"qwen2.vocab_sizf");
    assert!(read(&other).is_ok(), "the list of tokens alone counts");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cut.gguf");
    std::fs::write(&path, &bytes[..bytes.len() - 64]).expect("written");
    let error = Engine::load(&path, EngineConfig::default()).err();
    let error = error.expect("refused").to_string();
    assert!(error.contains("ends early"), "{error}");
}
