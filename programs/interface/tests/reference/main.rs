//! The golden vectors, and the independent second implementation in Python on random inputs.
//!
//! A case is `{"fn", "args"}`; [`evaluate`] answers it with this crate and
//! `tests/reference/reference.py` with its own code. Needs `python3`, and for the market `python3-numpy`.

mod cases;
mod market;
mod random;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mythic_interface::hash::{self, Hash};
use mythic_interface::merkle;
use serde_json::Value;

use cases::evaluate;
use random::Random;

/// A Python that has numpy: the first on the path, or the system's, to which `python3-numpy` belongs.
fn with_numpy() -> &'static str {
    let has = |python: &&str| {
        let mut import = Command::new(python);
        import.args(["-c", "import numpy"]).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(has)
        .expect("numpy is needed for this test: apt-get install python3-numpy")
}

fn reference(arguments: &[&str], input: &str) -> String {
    run("python3", arguments, input)
}

fn run(python: &str, arguments: &[&str], input: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let mut child = Command::new(python)
        .arg("-B")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test: apt-get install python3");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // Fed from a thread of its own: both pipes are bounded.
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("python3 ends");
    feeder.join().expect("feeder").expect("python3 reads");
    assert!(output.status.success(), "{arguments:?} failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What random inputs are drawn from; printed, so that a failure can be had again.
fn seed() -> u64 {
    let seed = match std::env::var("MYTHIC_SEED") {
        Ok(text) => text.parse().expect("MYTHIC_SEED is a number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("clock").as_nanos() as u64
        }
    };
    println!("again with: MYTHIC_SEED={seed}");
    seed
}

#[test]
fn golden_vectors_hold() {
    let text = include_str!("../vectors/vectors.json");
    let cases: Vec<Value> = serde_json::from_str(text).expect("JSON");
    assert!(cases.len() > 150);
    for case in cases {
        assert_eq!(evaluate(&case), case["result"], "{case}");
    }
}

#[test]
fn golden_vectors_are_what_the_second_implementation_says() {
    assert!(
        reference(&["reference.py", "vectors"], "") == include_str!("../vectors/vectors.json"),
        "rewrite: python3 tests/reference/reference.py vectors > tests/vectors/vectors.json"
    );
}

#[test]
fn tables_are_what_the_generator_writes() {
    assert!(
        reference(&["tables.py"], "") == include_str!("../../src/tables.rs"),
        "rewrite: python3 tests/reference/tables.py > src/tables.rs"
    );
}

#[test]
fn agrees_with_the_second_implementation_on_random_inputs() {
    let mut random = Random(seed());
    let cases: Vec<Value> = (0..6270).map(|i| random.case(i % 33)).collect();
    let input: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let output = reference(&["reference.py", "run"], &input);
    let results: Vec<&str> = output.lines().collect();
    assert_eq!(results.len(), cases.len());
    for (case, result) in cases.iter().zip(results) {
        let result: Value = serde_json::from_str(result).expect("JSON");
        assert_eq!(evaluate(case), result, "{case}");
    }
}

#[test]
fn a_proof_convinces_for_its_own_leaf_only() {
    let leaves: Vec<Hash> = (0..11u8).map(|i| hash::sha256(&[&[i]])).collect();
    let root = merkle::root(&leaves).expect("not empty");
    for (i, leaf) in leaves.iter().enumerate() {
        let proof = merkle::prove(&leaves, i).expect("in range");
        let path = proof.siblings();
        for index in 0..13 {
            let right = index == i as u32;
            assert_eq!(merkle::verify(&root, *leaf, index, 11, path), right);
        }
        assert!(!merkle::verify(&root, *leaf, i as u32, 11, &path[1..]));
        let longer = [path, &[[0; 32]]].concat();
        assert!(!merkle::verify(&root, *leaf, i as u32, 11, &longer));
        assert!(!merkle::verify(&root, [7; 32], i as u32, 11, path));
    }
    assert_eq!(merkle::prove(&leaves, 11), None);
}
