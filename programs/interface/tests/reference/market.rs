//! Cases of the market, answered with this crate.

use mythic_interface::hash::sha256;
use mythic_interface::le::U32;
use mythic_interface::market::meter::{self, Meter};
use mythic_interface::market::params::{Grid, MarketParams};
use mythic_interface::market::probe::{Factors, Place, WholeProof, WholeRound, philox, round_seed};
use mythic_interface::money;
use serde_json::{Value, json};

use crate::random::Random;
use crate::{run, with_numpy};

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn narrow<T: TryFrom<u64>>(value: &Value) -> T {
    T::try_from(number(value)).ok().expect("range")
}

fn bytes(value: &Value) -> [u8; 32] {
    let bytes = hex::decode(value.as_str().expect("hex text")).expect("hex");
    bytes.try_into().expect("32 bytes")
}

fn words<const N: usize>(value: &Value) -> [u32; N] {
    core::array::from_fn(|i| narrow(&value[i]))
}

fn meter_of(mark: &Value, ends_at: &Value, last: &Value, (slots, seconds): (u32, u32)) -> Meter {
    Meter {
        started_at: 0,
        mark: number(mark),
        ends_at: number(ends_at),
        last_proved: number(last),
        grid: Grid {
            epoch_slots: U32::new(slots),
            epoch_seconds: U32::new(seconds),
        },
        proof_slots: 50,
    }
}

/// A case's result, as the second implementation writes it.
fn evaluate(case: &Value) -> Value {
    let a = case["args"].as_array().expect("arguments");
    match case["fn"].as_str().expect("a name") {
        "philox" => json!(philox(words(&a[0]), words(&a[1]))),
        "round_seed" => {
            let lease = bytes(&a[0]);
            let place = Place {
                lease: &lease,
                unit: narrow(&a[1]),
                epoch: number(&a[2]),
                round: narrow(&a[3]),
            };
            json!(hex::encode(round_seed(&place, &bytes(&a[4]))))
        }
        "element" => {
            let [n, row, column] = [0, 2, 3].map(|i| narrow(&a[i]));
            json!(Factors::new(&bytes(&a[1])).element(n, row, column))
        }
        "round_root" => {
            json!(hex::encode(
                WholeRound::new(narrow(&a[0]), &bytes(&a[1])).root()
            ))
        }
        "proof" => {
            let size = (narrow(&a[3]), narrow(&a[4]), narrow(&a[5]));
            let whole = WholeProof::new(&bytes(&a[0]), number(&a[1]), &bytes(&a[2]), size);
            json!(hex::encode(whole.root()))
        }
        "metered" => {
            let meter = meter_of(&a[1], &a[2], &a[3], (150, narrow(&a[5])));
            json!(meter.metered(number(&a[0]), number(&a[4])))
        }
        "tail" => {
            let mut meter = meter_of(&a[2], &a[3], &a[4], (narrow(&a[5]), narrow(&a[6])));
            meter.proof_slots = narrow(&a[7]);
            json!(meter.tail(number(&a[0]), number(&a[1])))
        }
        "silent" => {
            let meter = meter_of(&a[2], &a[3], &a[4], (narrow(&a[5]), narrow(&a[6])));
            json!(meter.silent(number(&a[0]), number(&a[1])))
        }
        "owed" => {
            let mut meter = meter_of(&a[4], &a[5], &json!(0), (150, narrow(&a[6])));
            meter.started_at = number(&a[3]);
            json!(meter.owed(number(&a[0]), number(&a[1]), number(&a[2])))
        }
        "price" => json!(meter::price_of(number(&a[0]), narrow(&a[1]), number(&a[2])).ok()),
        "refute_bond" => {
            let mut rules = MarketParams::mainnet().rules;
            rules.answering_fee.set(number(&a[0]));
            let bond = meter::refute_bond(&rules, narrow(&a[1]), number(&a[2]), narrow(&a[3]));
            let bond = bond.expect("a bond");
            json!([bond.fee, bond.at_stake])
        }
        "refuted" => {
            let slashed = meter::refuted_stake(number(&a[0]), narrow(&a[1])).expect("an amount");
            json!([slashed, meter::refuter_reward(slashed)])
        }
        "split" => {
            let split = money::split_by(number(&a[0]), narrow(&a[1]), narrow(&a[2]));
            json!([split.earner, split.foundation, split.burned])
        }
        other => panic!("{other}?"),
    }
}

#[test]
fn golden_vectors_of_the_market_hold() {
    let text = include_str!("../vectors/market.json");
    let cases: Vec<Value> = serde_json::from_str(text).expect("JSON");
    assert!(cases.len() > 150, "{}", cases.len());
    for case in cases {
        assert_eq!(evaluate(&case), case["result"], "{case}");
    }
}

#[test]
fn golden_vectors_of_the_market_are_what_the_second_implementation_says() {
    assert!(
        run(with_numpy(), &["market.py", "vectors"], "") == include_str!("../vectors/market.json"),
        "rewrite: python3 tests/reference/market.py vectors > tests/vectors/market.json"
    );
}

#[test]
fn the_class_cpu_is_the_same_in_numpy() {
    let text = run(with_numpy(), &["market.py", "cpu"], "");
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let (lease, first) = (sha256(&[b"lease"]), sha256(&[b"first"]));
    let whole = WholeProof::new(&lease, 12_345, &first, (1, 8, 512));
    let roots: Vec<String> = whole
        .all
        .iter()
        .map(|round| hex::encode(round.root()))
        .collect();
    assert_eq!(found["roots"], json!(roots));
    assert_eq!(found["proof"], json!(hex::encode(whole.root())));
}

#[test]
fn the_market_agrees_with_the_second_implementation_on_random_inputs() {
    let mut random = Random(crate::seed());
    let hashes: Vec<String> = (0..64).map(|_| random.key()).collect();
    let mut cases = Vec::new();
    for (i, seed) in hashes.iter().enumerate() {
        let n = 16 * (1 + random.below(8));
        let place = [random.below(n), random.below(n)];
        cases.push(json!({"fn": "element", "args": [n, seed, place[0], place[1]]}));
        if i % 8 == 0 {
            cases.push(json!({"fn": "round_root", "args": [n, seed]}));
        }
        let [mark, last] = [random.below(2_000), random.below(20)];
        let [ends, now] = [mark + random.below(2_000), random.below(4_000)];
        let epoch = last + random.below(4);
        cases.push(
            json!({"fn": "metered", "args": [now, mark, ends, last, epoch, 1 + random.below(90)]}),
        );
        let slot = 150 * last + random.below(600);
        cases.push(json!({"fn": "tail", "args": [now, slot, mark, ends, last, 150, 1 + random.below(90), 1 + random.below(75)]}));
        let [epochs, start] = [random.below(20), random.below(4_000)];
        let started = mark - random.below(mark + 1);
        let owed = [epochs, start, now, started, mark, ends, 60];
        cases.push(json!({"fn": "owed", "args": owed}));
        let silent = [now, slot, mark, ends, last, 150, 1 + random.below(90)];
        cases.push(json!({"fn": "silent", "args": silent}));
    }
    let input: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let output = run(with_numpy(), &["market.py", "run"], &input);
    let results: Vec<&str> = output.lines().collect();
    assert_eq!(results.len(), cases.len());
    for (case, result) in cases.iter().zip(results) {
        let result: Value = serde_json::from_str(result).expect("JSON");
        assert_eq!(evaluate(case), result, "{case}");
    }
}
