//! The sampler against golden choices of one that shares no code with it: `tests/verifier/choices.py` makes them, in Python.

use mythic_interface::sampler::Sampling;
use mythic_sampling::Options;
use mythic_sampling::choice::{Counts, Position, Scratch};
use serde_json::Value;

fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("hex");
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().expect("a number")).expect("32 bits")
}

fn numbers(list: &Value) -> impl Iterator<Item = u32> {
    list.as_array().expect("a list").iter().map(number)
}

#[test]
fn choices_are_those_of_a_sampler_that_shares_no_code() {
    let text = include_str!("../../../tests/verifier/choices.json");
    let cases: Vec<Value> = serde_json::from_str(text).expect("JSON");
    assert_eq!(cases.len(), 60);
    let mut scratch = Scratch::default();
    for case in cases {
        let options = Options::decode(&bytes(&case["options"])).expect("options");
        let temperature = number(&case["temperature_milli"]);
        let sampling = Sampling {
            seed: bytes(&case["seed"]).try_into().expect("32 bytes"),
            temperature_milli: u16::try_from(temperature).expect("16 bits"),
        };
        let mut counts = Counts::default();
        numbers(&case["output"]).for_each(|token| counts.push(token));
        let logits: Vec<f32> = numbers(&case["logits"]).map(f32::from_bits).collect();
        let here = Position {
            options: &options,
            sampling: &sampling,
            position: number(&case["position"]),
            counts: &counts,
            mask: None,
        };
        let chosen = here.choose(&logits, &mut scratch);
        assert_eq!(chosen, Ok(number(&case["token"])), "{case}");
    }
}
