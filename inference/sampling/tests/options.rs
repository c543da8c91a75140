//! Options have one encoding each, and nothing else decodes.

use mythic_sampling::{MAX_BYTES, MAX_GRAMMAR_BYTES, Options, Refusal};
use proptest::prelude::*;

fn options() -> impl Strategy<Value = Options> {
    let numbers = (
        0u8..64,
        1u32..=1_000_000,
        0u32..=1_000_000,
        -2_000i16..=2_000,
        -2_000i16..=2_000,
        1u16..=10_000,
    );
    let bias = prop::collection::btree_map(any::<u32>(), -100_000i32..=100_000, 0..20);
    let stop = prop::collection::btree_set("[a-z☃]{1,20}", 0..=4);
    let grammar = prop::option::of("start: \"[a-z☃]{0,100}\"");
    (numbers, bias, stop, grammar).prop_map(|(numbers, bias, stop, grammar)| Options {
        top_k: numbers.0,
        top_p_ppm: numbers.1,
        min_p_ppm: numbers.2,
        presence_milli: numbers.3,
        frequency_milli: numbers.4,
        repetition_milli: numbers.5,
        logit_bias: bias.into_iter().filter(|(_, bias)| *bias != 0).collect(),
        stop: stop.into_iter().collect(),
        grammar,
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(options in options()) {
        let bytes = options.encode().unwrap();
        prop_assert_eq!(Options::decode(&bytes).unwrap(), options);
    }

    #[test]
    fn whatever_decodes_is_the_one_encoding_of_what_it_says(
        options in options(),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
        cut in any::<bool>(),
    ) {
        let mut bytes = options.encode().unwrap();
        let at = at.index(bytes.len());
        match cut {
            true => bytes.truncate(at),
            false => bytes[at] ^= change,
        }
        if let Ok(other) = Options::decode(&bytes) {
            prop_assert_eq!(other.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn rubbish_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(options) = Options::decode(&bytes) {
            prop_assert_eq!(options.encode().unwrap(), bytes);
        }
    }
}

#[test]
fn the_bytes_do_not_drift() {
    let neutral = Options::default().encode().unwrap();
    assert_eq!(
        hex(&neutral),
        "010040420f000000000000000000e80300000000000000"
    );
    let options = Options {
        top_k: 40,
        top_p_ppm: 900_000,
        min_p_ppm: 50_000,
        presence_milli: 500,
        frequency_milli: -250,
        repetition_milli: 1_100,
        logit_bias: vec![(3, -100_000), (7, 1_500)],
        stop: vec!["\n\n".into(), "END".into()],
        grammar: Some("start: \"a\"".into()),
    };
    assert_eq!(
        hex(&options.encode().unwrap()),
        concat!(
            "0128a0bb0d0050c30000f40106ff4c040200030000006079feff07000000",
            "dc0500000202000a0a0300454e440a00000073746172743a20226122",
        )
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_out_of_bounds_or_order_has_no_encoding() {
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        options.encode().unwrap_err()
    };
    let range = |change: &dyn Fn(&mut Options)| match refused(change) {
        Refusal::Range { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(range(&|o| o.top_k = 64), "top_k");
    assert_eq!(range(&|o| o.top_p_ppm = 0), "top_p_ppm");
    assert_eq!(range(&|o| o.top_p_ppm = 1_000_001), "top_p_ppm");
    assert_eq!(range(&|o| o.min_p_ppm = 1_000_001), "min_p_ppm");
    assert_eq!(range(&|o| o.presence_milli = 2_001), "presence_milli");
    assert_eq!(range(&|o| o.frequency_milli = -2_001), "frequency_milli");
    assert_eq!(range(&|o| o.repetition_milli = 0), "repetition_milli");
    assert_eq!(range(&|o| o.logit_bias = vec![(1, 100_001)]), "logit_bias");
    assert_eq!(
        refused(&|o| o.logit_bias = vec![(1, 0)]),
        Refusal::BiasOrder
    );
    assert_eq!(
        refused(&|o| o.logit_bias = vec![(2, 5), (1, 5)]),
        Refusal::BiasOrder
    );
    assert_eq!(
        refused(&|o| o.logit_bias = vec![(2, 5), (2, 6)]),
        Refusal::BiasOrder
    );
    assert_eq!(
        refused(&|o| o.logit_bias = (0..1_025).map(|id| (id, 1)).collect()),
        Refusal::TooManyBiases(1_025)
    );
    assert_eq!(
        refused(&|o| o.stop = vec![String::new()]),
        Refusal::StopLength(0)
    );
    assert_eq!(
        refused(&|o| o.stop = vec!["x".repeat(257)]),
        Refusal::StopLength(257)
    );
    assert_eq!(
        refused(&|o| o.stop = vec!["b".into(), "a".into()]),
        Refusal::StopOrder
    );
    assert_eq!(
        refused(&|o| o.stop = ["a", "b", "c", "d", "e"].map(String::from).to_vec()),
        Refusal::TooManyStops(5)
    );
    assert_eq!(
        refused(&|o| o.grammar = Some(String::new())),
        Refusal::GrammarLength(0)
    );
    assert_eq!(
        refused(&|o| o.grammar = Some("x".repeat(65_537))),
        Refusal::GrammarLength(65_537)
    );
}

#[test]
fn the_longest_encoding_is_as_long_as_told() {
    let grammar = "start: \"a\"";
    let blanks = " ".repeat(MAX_GRAMMAR_BYTES - grammar.len());
    let options = Options {
        logit_bias: (0..1_024).map(|id| (id, 1)).collect(),
        stop: ["a", "b", "c", "d"].map(|x| x.repeat(256)).to_vec(),
        grammar: Some(format!("{grammar}{blanks}")),
        ..Options::default()
    };
    let mut bytes = options.encode().unwrap();
    assert_eq!(bytes.len(), MAX_BYTES);
    bytes.push(0);
    assert!(Options::decode(&bytes).is_err());
}

#[test]
fn terms_name_neutral_options_by_zero_and_others_under_the_salt() {
    assert_eq!(Options::default().hash(&[1; 16]).unwrap(), [0; 32]);
    let stops = Options::stopping(vec!["b".into(), "a".into(), "b".into()]);
    assert_eq!(stops.stop, ["a", "b"]);
    assert!(stops.only_stops() && !stops.is_neutral());
    let hash = stops.hash(&[1; 16]).unwrap();
    assert_ne!(hash, stops.hash(&[2; 16]).unwrap());
    let whole = [
        &b"mythic/options/v1"[..],
        &[1; 16],
        &stops.encode().unwrap(),
    ]
    .concat();
    assert_eq!(hash, mythic_interface::hash::sha256(&[&whole]));
}

#[test]
fn neutral_options_have_no_bytes_in_messages() {
    let neutral = Options::default();
    assert_eq!(neutral.to_wire().unwrap(), [0u8; 0]);
    assert_eq!(Options::from_wire(&[]).unwrap(), neutral);
    Options::from_wire(&neutral.encode().unwrap()).unwrap_err();
    let stops = Options::stopping(vec!["a".into()]);
    let bytes = stops.to_wire().unwrap();
    assert_eq!(Options::from_wire(&bytes).unwrap(), stops);
}

#[test]
fn a_bias_for_a_token_that_the_model_lacks_is_refused() {
    let options = Options {
        logit_bias: vec![(3, 1), (100, 1)],
        ..Options::default()
    };
    assert!(options.check_ids(101).is_ok());
    assert_eq!(
        options.check_ids(100),
        Err(Refusal::UnknownToken { id: 100, last: 99 })
    );
}
