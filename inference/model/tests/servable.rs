//! What the engine can't serve is refused from the file's head, with what is wrong and what to do.

mod common;

use common::{Item, Tensor, changed, file, open, text};
use mythic_model::gguf::{Gguf, GgufError};
use mythic_model::servable::check;

/// A whole small model: 260 tokens, one layer of 32 values.
fn metadata() -> Vec<(String, Item)> {
    let bytes = mythic_model::tokenizer::byte_chars().map(String::from);
    let control = ["<|im_start|>", "<|im_end|>", "<s>", "<|endoftext|>"].map(str::to_owned);
    let tokens: Vec<String> = bytes.into_iter().chain(control).collect();
    let kinds = (0..tokens.len()).map(|id| if id < 256 { 1 } else { 3 });
    let items = [
        ("general.architecture", text("llama")),
        ("llama.block_count", Item::U32(1)),
        ("llama.context_length", Item::U32(64)),
        ("llama.embedding_length", Item::U32(32)),
        ("llama.feed_forward_length", Item::U32(64)),
        ("llama.attention.head_count", Item::U32(2)),
        ("llama.attention.head_count_kv", Item::U32(1)),
        ("llama.rope.dimension_count", Item::U32(16)),
        ("llama.rope.freq_base", Item::F32(10_000.0)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("smollm")),
        ("tokenizer.ggml.token_type", Item::I32s(kinds.collect())),
        ("tokenizer.ggml.tokens", Item::Texts(tokens)),
        ("tokenizer.ggml.merges", Item::Texts(Vec::new())),
        ("tokenizer.ggml.eos_token_id", Item::U32(257)),
        (
            "tokenizer.chat_template",
            text("{% for m in messages %}{{ '<|im_start|>' + m.content }}{% endfor %}"),
        ),
    ];
    items.map(|(key, item)| (key.to_owned(), item)).into()
}

fn tensors() -> Vec<Tensor> {
    let f32s = |name: &str, dims: &[u64]| {
        let values: u64 = dims.iter().product();
        (name.to_owned(), dims.to_vec(), 0, 4 * values as usize)
    };
    vec![
        f32s("token_embd.weight", &[32, 260]),
        f32s("blk.0.attn_q.weight", &[32, 32]),
        f32s("blk.0.attn_k.weight", &[32, 16]),
        f32s("blk.0.attn_v.weight", &[32, 16]),
        f32s("blk.0.attn_output.weight", &[32, 32]),
        f32s("blk.0.ffn_gate.weight", &[32, 64]),
        f32s("blk.0.ffn_up.weight", &[32, 64]),
        f32s("blk.0.ffn_down.weight", &[64, 32]),
        f32s("blk.0.attn_norm.weight", &[32]),
        f32s("blk.0.ffn_norm.weight", &[32]),
        f32s("output_norm.weight", &[32]),
    ]
}

fn why_not(changes: &[(&str, Option<Item>)], tensors: &[Tensor]) -> String {
    match check(&open(&file(&changed(metadata(), changes), tensors))) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_whole_model_is_servable_with_and_without_a_template() {
    let servable = check(&open(&file(&metadata(), &tensors()))).expect("servable");
    assert_eq!(servable.layout.shape.head_dim, 16);
    assert_eq!(servable.layout.output, "token_embd.weight");
    let plain = changed(metadata(), &[("tokenizer.chat_template", None)]);
    assert!(check(&open(&file(&plain, &tensors()))).is_ok());
}

#[test]
fn positions_are_divided_by_a_factor_of_the_old_name_where_there_is_no_new_one() {
    let linear = |keys: &[(&str, f32)]| {
        let changes: Vec<_> = keys
            .iter()
            .map(|(key, x)| (*key, Some(Item::F32(*x))))
            .collect();
        let gguf = open(&file(&changed(metadata(), &changes), &tensors()));
        check(&gguf).expect("servable").layout.rope.linear
    };
    let (old, new) = ("llama.rope.scale_linear", "llama.rope.scaling.factor");
    assert_eq!(linear(&[]), 1.0);
    assert_eq!(linear(&[(old, 4.0)]), 4.0);
    assert_eq!(linear(&[(old, 4.0), (new, 2.0)]), 2.0);
}

#[test]
fn what_the_engine_would_not_load_is_refused_by_name() {
    let all = tensors();
    let one = |key: &str, item: Item| why_not(&[(key, Some(item))], &all);
    for (said, want) in [
        (
            one("general.architecture", text("bert")),
            "architecture `bert`",
        ),
        (
            one("llama.rope.scaling.type", text("dynamic")),
            "rope scaling `dynamic`",
        ),
        (
            one("llama.rope.freq_base", Item::U32(10_000)),
            "`llama.rope.freq_base` is an integer, expected a float",
        ),
        (
            one("llama.expert_count", Item::U32(8)),
            "lacks the metadata key `llama.expert_used_count`",
        ),
        (one("llama.embedding_length", Item::U32(64)), "attn_q"),
        (
            one("llama.block_count", Item::U32(2)),
            "lacks the tensor `blk.1.attn_q",
        ),
        (one("tokenizer.ggml.model", text("bert")), "`bert`"),
        (one("tokenizer.ggml.pre", text("viking")), "`viking`"),
        (one("llama.context_length", Item::U32(1)), "no room"),
        (
            why_not(&[("tokenizer.ggml.tokens", None)], &all),
            "tokenizer.ggml.tokens",
        ),
        (why_not(&[], &[]), "lacks the tensor"),
        (why_not(&[], &all[..4]), "lacks the tensor"),
        (
            one("tokenizer.chat_template", text("{% for %}")),
            "chat template is broken",
        ),
        (
            one("tokenizer.chat_template", text("{{ nonsense() }}")),
            "nonsense is unknown",
        ),
        (
            one("tokenizer.chat_template", text("{{ messages | nonsense }}")),
            "nonsense",
        ),
        (
            one(
                "tokenizer.chat_template",
                text("{{ raise_exception('only for tools') }}"),
            ),
            "does not render a user's first message: only for tools",
        ),
    ] {
        assert!(said.contains(want), "{said:?} does not say {want:?}");
    }
    let mut more = tensors();
    more.push(("blk.0.attn_q.scale".into(), vec![32], 0, 128));
    assert!(why_not(&[], &more).contains("`blk.0.attn_q.scale` that this engine does not know"));
}

#[test]
fn a_vocabulary_of_other_size_than_the_embedding_is_refused() {
    let named = |count: usize| {
        let tokens = (0..count).map(|id| format!("t{id}")).collect();
        let changes = [
            ("tokenizer.ggml.tokens", Some(Item::Texts(tokens))),
            (
                "tokenizer.ggml.token_type",
                Some(Item::I32s(vec![1; count])),
            ),
        ];
        why_not(&changes, &tensors())
    };
    for count in [259, 261] {
        let said = named(count);
        assert!(said.contains("`token_embd.weight` has shape"), "{said}");
    }
    // Types of some tokens alone.
    let few = Item::I32s(vec![1; 200]);
    let said = why_not(&[("tokenizer.ggml.token_type", Some(few))], &tensors());
    assert!(said.contains("not an array of 260 integers"), "{said}");
}

#[test]
fn a_part_of_a_model_is_named_as_one() {
    let split = [
        ("split.no", Some(Item::U32(0))),
        ("split.count", Some(Item::U32(2))),
    ];
    let said = why_not(&split, &tensors()[..4]);
    assert!(said.contains("part 1 of 2"), "{said}");
    assert!(said.contains("merge"), "{said}");
    let whole = changed(metadata(), &[("split.count", Some(Item::U32(1)))]);
    assert!(check(&open(&file(&whole, &tensors()))).is_ok());
}

#[test]
fn a_model_without_an_end_is_refused() {
    let said = why_not(
        &[
            ("tokenizer.ggml.eos_token_id", None),
            ("tokenizer.ggml.tokens", Some(tokens_without_ends())),
        ],
        &tensors(),
    );
    assert!(said.contains("0 tokens that end an answer"), "{said}");
}

fn tokens_without_ends() -> Item {
    let bytes = mythic_model::tokenizer::byte_chars().map(String::from);
    Item::Texts(
        bytes
            .into_iter()
            .chain(["<a>", "<b>", "<c>", "<d>"].map(str::to_owned))
            .collect(),
    )
}

#[test]
fn formats_that_the_engine_does_not_compute_with_are_named() {
    let mut tensors = tensors();
    tensors[0] = ("token_embd.weight".into(), vec![256, 260], 16, 66 * 260);
    let error = Gguf::from_bytes(&file(&metadata(), &tensors), "x".as_ref())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("type 16 (IQ2_XXS)"), "{error}");
}

#[test]
fn a_big_endian_file_is_named_as_one() {
    let mut bytes = file(&metadata(), &tensors());
    bytes[4..8].copy_from_slice(&[0, 0, 0, 3]);
    let error = Gguf::from_bytes(&bytes, "x".as_ref())
        .err()
        .expect("refused");
    assert!(matches!(error, GgufError::BigEndian { .. }));
    assert!(error.to_string().contains("big-endian"), "{error}");
}

/// A file whose last tokens are these, of an ordinary type.
fn ends_of(texts: &[&str]) -> Vec<u32> {
    let bytes = mythic_model::tokenizer::byte_chars().map(String::from);
    let tokens: Vec<String> = bytes
        .into_iter()
        .chain(texts.iter().map(|text| (*text).to_owned()))
        .collect();
    let kinds = vec![1; tokens.len()];
    let changes = [
        ("tokenizer.ggml.tokens", Some(Item::Texts(tokens))),
        ("tokenizer.ggml.token_type", Some(Item::I32s(kinds))),
        ("tokenizer.ggml.eos_token_id", None),
    ];
    let gguf = open(&file(&changed(metadata(), &changes), &[]));
    let formatter = mythic_model::prompt::PromptFormatter::from_parsed(&gguf).expect("a formatter");
    formatter.eos_ids().to_vec()
}

#[test]
fn ends_are_found_whatever_their_type_and_where_messages_end_no_answer_does() {
    assert_eq!(ends_of(&["a", "<|im_end|>", "<|end|>"]), [257, 258]);
    assert_eq!(ends_of(&["<|end|>", "<|return|>", "b"]), [256, 257]);
    // gpt-oss ends each of several messages of an answer so.
    assert_eq!(ends_of(&["<|end|>", "<|return|>", "<|call|>"]), [257, 258]);
    assert_eq!(ends_of(&["a", "<end_of_turn>", "</s>"]), [257, 258]);
}
