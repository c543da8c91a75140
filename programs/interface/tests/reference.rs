//! The golden vectors, and the independent second implementation in Python on random inputs.
//!
//! A case is `{"fn", "args"}`; [`evaluate`] answers it with this crate and
//! `tests/reference/reference.py` with its own code. Needs `python3` (standard library only).

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mythic_interface::comparison::{Comparison, Rule, error_ppm};
use mythic_interface::dispute::{self, Bond, Challenged, Decision, Finding};
use mythic_interface::gumbel::{gumbel_q16, ln_q16};
use mythic_interface::hash::{self, Hash};
use mythic_interface::le::{Text, U16, U32, U64};
use mythic_interface::leaf::Leaf;
use mythic_interface::params::{Params, Rules};
use mythic_interface::sampler::{self, Sampling, Top4};
use mythic_interface::sortition::{Seat, sample_positions};
use mythic_interface::state::{Ground, ModelSpec, Terms, Verdict};
use mythic_interface::{leaf, merkle, output};
use serde_json::{Value, json};

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    let bytes = hex::decode(value.as_str().expect("hex text")).expect("hex");
    bytes.try_into().expect("length")
}

fn number<T: TryFrom<i128>>(value: &Value) -> T {
    let number = value
        .as_u64()
        .map(i128::from)
        .or(value.as_i64().map(i128::from))
        .expect("integer");
    T::try_from(number).ok().expect("range")
}

fn numbers<T: TryFrom<i128>>(value: &Value) -> Vec<T> {
    let list = value.as_array().expect("list");
    list.iter().map(number).collect()
}

fn hashes(value: &Value) -> Vec<Hash> {
    let list = value.as_array().expect("list");
    list.iter().map(bytes).collect()
}

fn top4(value: &Value) -> Top4 {
    let list = value.as_array().expect("four");
    core::array::from_fn(|i| (number(&list[i][0]), number(&list[i][1])))
}

fn sampling(a: &[Value]) -> Sampling {
    Sampling {
        seed: bytes(&a[0]),
        temperature_milli: number(&a[1]),
    }
}

fn rules(a: &Value) -> Rules {
    let [u32s, u16s, u64s] = [0..6, 6..11, 11..17].map(|range| &a.as_array().expect("list")[range]);
    Rules {
        window_slots: U32::new(number(&u32s[0])),
        openings_slots: U32::new(number(&u32s[1])),
        reveal_slots: U32::new(number(&u32s[2])),
        cancel_grace_slots: U32::new(number(&u32s[3])),
        jail_slots: U32::new(number(&u32s[4])),
        close_delay_slots: U32::new(number(&u32s[5])),
        validator_bps: U16::new(number(&u16s[0])),
        foundation_bps: U16::new(number(&u16s[1])),
        slash_bps: U16::new(number(&u16s[2])),
        bond_bps: U16::new(number(&u16s[3])),
        jury_seats: U16::new(number(&u16s[4])),
        jury_stake: U64::new(number(&u64s[0])),
        juror_tariff: U64::new(number(&u64s[1])),
        juror_penalty: U64::new(number(&u64s[2])),
        answering_fee: U64::new(number(&u64s[3])),
        stake_per_job: U64::new(number(&u64s[4])),
        min_stake: U64::new(number(&u64s[5])),
    }
}

fn terms(a: &Value) -> Terms {
    Terms {
        owner: bytes(&a[0]),
        requester: bytes(&a[1]),
        canceller: bytes(&a[2]),
        nonce: bytes(&a[3]),
        model: bytes(&a[4]),
        prompt_hash: bytes(&a[5]),
        prompt_tokens: U32::new(number(&a[6])),
        max_output_tokens: U32::new(number(&a[7])),
        price_in: U32::new(number(&a[8])),
        price_out: U32::new(number(&a[9])),
        seed: bytes(&a[10]),
        temperature_milli: U16::new(number(&a[11])),
        sampling_profile: number(&a[12]),
        stop_hash: bytes(&a[13]),
        prompt_source: Text::new(a[14].as_str().expect("text")).expect("short ASCII"),
        deadline_slots: U32::new(number(&a[15])),
        rules: rules(&a[16]),
    }
}

fn model(a: &Value) -> ModelSpec {
    let eos: Vec<u32> = numbers(&a[11]);
    ModelSpec {
        weights_hash: bytes(&a[0]),
        tokenizer_hash: bytes(&a[1]),
        chat_template_hash: bytes(&a[2]),
        quantisation: U16::new(number(&a[3])),
        kernel_profile: U16::new(number(&a[4])),
        context_length: U32::new(number(&a[5])),
        max_job_tokens: U32::new(number(&a[6])),
        error_ppm: U32::new(number(&a[7])),
        miss_ppm: U32::new(number(&a[8])),
        commit_slots: U16::new(number(&a[9])),
        min_vram_mib: U32::new(number(&a[10])),
        eos_count: eos.len() as u8,
        eos_ids: core::array::from_fn(|i| U32::new(eos.get(i).copied().unwrap_or(0))),
    }
}

fn compare(a: &[Value]) -> Value {
    let rule = match &a[0] {
        Value::String(_) => Rule::Exact,
        taus => Rule::Calibrated {
            tau1_ppm: number(&taus[0]),
            tau3_ppm: number(&taus[1]),
        },
    };
    let mut comparison = Comparison::new(rule);
    for pair in a[2].as_array().expect("pairs") {
        let given: Vec<i32> = numbers(&pair[0]);
        let own: Vec<i32> = numbers(&pair[1]);
        let own = own.try_into().expect("five");
        if a[1] == "checkers" {
            comparison.checkers(&given.try_into().expect("five"), &own);
        } else {
            comparison.submitted(&given.try_into().expect("four"), &own);
        }
    }
    let verdict = comparison.verdict();
    let rules = [
        ("different", verdict.different),
        ("large", verdict.large),
        ("mean", verdict.mean),
        ("omitted", verdict.omitted),
    ];
    assert_eq!(verdict.is_fraud(), rules.iter().any(|rule| rule.1));
    json!(
        rules
            .iter()
            .filter(|r| r.1)
            .map(|r| r.0)
            .collect::<Vec<_>>()
    )
}

fn bond(a: &[Value]) -> Value {
    let mut rules = Params::mainnet().rules;
    rules.slash_bps.set(number(&a[0]));
    rules.bond_bps.set(number(&a[1]));
    rules.jury_seats.set(number(&a[2]));
    rules.juror_tariff.set(number(&a[3]));
    rules.answering_fee.set(number(&a[4]));
    let challenged = Challenged {
        whole_stake: number(&a[5]),
        ceiling: number(&a[6]),
        checked: number(&a[7]),
        output_tokens: number(&a[8]),
    };
    let bond = Bond::of(&rules, &challenged).ok();
    json!(bond.map(|b| [b.at_stake, b.answering_fee, b.tariff, b.total]))
}

fn decide(findings: &Value) -> Value {
    let findings: Vec<Finding> = findings
        .as_array()
        .expect("seats")
        .iter()
        .map(|finding| {
            let flag = |i: usize| finding[i].as_bool().expect("flag");
            let agrees = numbers::<u32>(&finding[3]);
            Finding {
                taken: flag(0),
                revealed: flag(1),
                fraud: flag(2),
                agrees: agrees.iter().fold(0, |mask, seat| mask | 1 << seat),
            }
        })
        .collect();
    let decision = dispute::decide(&findings);
    let seats = |mask: u16| -> Vec<u32> { (0..16).filter(|i| mask >> i & 1 == 1).collect() };
    json!([
        decision.verdict.as_str(),
        seats(decision.paid),
        seats(decision.penalised)
    ])
}

fn share_out(a: &[Value]) -> Value {
    let ground = match a[0].as_str().expect("text") {
        "jury" => Ground::Jury,
        "unanswered" => Ground::Unanswered,
        "fault" => Ground::Fault,
        _ => Ground::Overtaken,
    };
    let verdict = match a[1].as_str().expect("text") {
        "guilty" => Verdict::Guilty,
        "fault" => Verdict::Fault,
        "not_guilty" => Verdict::NotGuilty,
        _ => Verdict::Void,
    };
    let decision = Decision {
        verdict,
        paid: (0..number::<u32>(&a[2])).fold(0, |mask, seat| mask | 1 << seat),
        penalised: 0,
    };
    let bond = Bond {
        at_stake: number(&a[3]),
        answering_fee: number(&a[4]),
        tariff: number(&a[5]),
        total: number(&a[6]),
    };
    let shares = dispute::share_out(ground, &decision, &bond, number(&a[7])).ok();
    json!(shares.map(|s| [s.challenger, s.seat, s.submitter, s.burned]))
}

/// Answers a case with this crate.
fn evaluate(case: &Value) -> Value {
    let a = case["args"].as_array().expect("args").as_slice();
    match case["fn"].as_str().expect("fn") {
        "merkle_root" => json!(merkle::root(&hashes(&a[0])).map(hex::encode)),
        "merkle_proof" => {
            let leaves = hashes(&a[0]);
            let index: usize = number(&a[1]);
            let proof = merkle::prove(&leaves, index).expect("in range");
            let root = merkle::root(&leaves).expect("not empty");
            let (i, n, leaf) = (index as u32, leaves.len() as u32, leaves[index]);
            assert!(merkle::verify(&root, leaf, i, n, proof.siblings()));
            json!(proof.siblings().iter().map(hex::encode).collect::<Vec<_>>())
        }
        "prompt_hash" => json!(hex::encode(hash::prompt_hash(
            &bytes(&a[0]),
            &numbers::<u32>(&a[1])
        ))),
        "job_seed" => json!(hex::encode(hash::job_seed(&bytes(&a[0]), &bytes(&a[1])))),
        "output_root" => json!(output::output_root(&numbers::<u32>(&a[0])).map(hex::encode)),
        "leaf_hash" => {
            let leaf = Leaf {
                position: number(&a[2]),
                token: number(&a[3]),
                top4: top4(&a[4]),
            };
            assert_eq!(Leaf::decode(&leaf.encode()), leaf);
            json!(hex::encode(leaf.hash(&bytes(&a[0]), &bytes(&a[1]))))
        }
        "fingerprint" => json!(hex::encode(hash::fingerprint(
            &bytes(&a[0]),
            number(&a[1]),
            &bytes(&a[2]),
            &bytes(&a[3])
        ))),
        "stop_hash" => {
            let stops: Vec<&str> = a[0]
                .as_array()
                .expect("list")
                .iter()
                .map(|stop| stop.as_str().expect("text"))
                .collect();
            json!(hex::encode(hash::stop_hash(&stops)))
        }
        "terms_hash" => json!(hex::encode(terms(&a[0]).hash())),
        "model_identity" => json!(hex::encode(model(&a[0]).identity())),
        "juror_commitment" => {
            let vector = hex::decode(a[3].as_str().expect("hex text")).expect("hex");
            json!(hex::encode(hash::juror_commitment(
                &bytes(&a[0]),
                &bytes(&a[1]),
                &bytes(&a[2]),
                &vector
            )))
        }
        "ln" => json!(ln_q16(number(&a[0]))),
        "gumbel" => json!(gumbel_q16(number(&a[0]))),
        "round_q16" => json!(sampler::round_q16(f32::from_bits(number(&a[0])))),
        "top4" => {
            let bits: Vec<u32> = numbers(&a[0]);
            let row: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            json!(sampler::top4(&row).ok())
        }
        "choose" => json!(sampling(a).choose(number(&a[2]), &top4(&a[3]))),
        "check_leaf" => {
            let leaf = Leaf {
                position: number(&a[2]),
                token: number(&a[3]),
                top4: top4(&a[4]),
            };
            let fault = leaf::check_leaf(&leaf, &sampling(a)).err();
            json!(fault.map(|fault| format!("{fault:?}")))
        }
        "sample" => {
            let hashes = hashes(&a[2]).try_into().expect("four");
            json!(sample_positions(number(&a[0]), &bytes(&a[1]), &hashes).positions())
        }
        "rank" => {
            let seat = Seat {
                dispute: &bytes(&a[0]),
                slot_hash: &bytes(&a[1]),
                index: number(&a[2]),
                jury_stake: number(&a[3]),
            };
            json!(
                seat.rank(&bytes(&a[4]), number(&a[5]))
                    .map(|rank| rank.rank)
            )
        }
        "positions_hash" => {
            let positions: Vec<U32> = numbers::<u32>(&a[0]).into_iter().map(U32::new).collect();
            json!(hex::encode(hash::positions_hash(&positions)))
        }
        "bond" => bond(a),
        "decide" => decide(&a[0]),
        "share_out" => share_out(a),
        "error_ppm" => json!(error_ppm(number(&a[0]), number(&a[1]))),
        "compare" => compare(a),
        other => panic!("no function {other}"),
    }
}

fn reference(arguments: &[&str], input: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let mut child = Command::new("python3")
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

#[test]
fn golden_vectors_hold() {
    let text = include_str!("vectors/vectors.json");
    let cases: Vec<Value> = serde_json::from_str(text).expect("JSON");
    assert!(cases.len() > 150);
    for case in cases {
        assert_eq!(evaluate(&case), case["result"], "{case}");
    }
}

#[test]
fn golden_vectors_are_what_the_second_implementation_says() {
    assert!(
        reference(&["reference.py", "vectors"], "") == include_str!("vectors/vectors.json"),
        "rewrite: python3 tests/reference/reference.py vectors > tests/vectors/vectors.json"
    );
}

#[test]
fn tables_are_what_the_generator_writes() {
    assert!(
        reference(&["tables.py"], "") == include_str!("../src/tables.rs"),
        "rewrite: python3 tests/reference/tables.py > src/tables.rs"
    );
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Of any magnitude: small ones as likely as large ones.
    fn any(&mut self) -> u64 {
        self.next() >> self.below(64)
    }

    fn text(&mut self, len: usize) -> String {
        let bytes: Vec<u8> = (0..len).map(|_| self.next() as u8).collect();
        hex::encode(bytes)
    }

    fn key(&mut self) -> String {
        self.text(32)
    }

    fn logit(&mut self) -> i32 {
        (self.next() as i32) >> self.below(32)
    }

    fn ids(&mut self, most: u64) -> Vec<u32> {
        (0..self.below(most + 1))
            .map(|_| self.any() as u32)
            .collect()
    }

    fn four(&mut self) -> Vec<(u32, i32)> {
        // Few ids and few logits now and then, so that ties and repetitions occur.
        let (ids, logits) = if self.below(4) == 0 {
            (6, 3)
        } else {
            (1 << 18, 1 << 22)
        };
        let mut four: Vec<_> = (0..4)
            .map(|_| {
                let logit = self.below(2 * logits) as i32 - logits as i32;
                (self.below(ids) as u32, logit)
            })
            .collect();
        if self.below(3) > 0 {
            four.sort_by(sampler::order);
        }
        four
    }

    fn temperature(&mut self) -> u16 {
        [0, 1, 500, 1000, 2000, self.next() as u16][self.below(6) as usize]
    }

    fn pairs(&mut self, width: usize) -> Vec<(Vec<i32>, Vec<i32>)> {
        let noise = 1u64 << self.below(24);
        (0..self.below(24))
            .map(|_| {
                let mut given: Vec<i32> = (0..width).map(|_| self.logit()).collect();
                given.sort_by(|a, b| b.cmp(a));
                let own = (0..5)
                    .map(|i| {
                        let shift = self.below(noise) as i32 - (noise / 2) as i32;
                        given[i.min(width - 1)].saturating_add(shift)
                    })
                    .collect();
                (given, own)
            })
            .collect()
    }

    fn case(&mut self, kind: u64) -> Value {
        let leaves = |r: &mut Random, least: u64| -> Vec<String> {
            (0..least + r.below(40)).map(|_| r.key()).collect()
        };
        let (name, args) = match kind {
            0 => ("merkle_root", json!([leaves(self, 0)])),
            1 => {
                let leaves = leaves(self, 1);
                let index = self.below(leaves.len() as u64);
                ("merkle_proof", json!([leaves, index]))
            }
            2 => ("prompt_hash", json!([self.text(16), self.ids(50)])),
            3 => ("job_seed", json!([self.key(), self.key()])),
            4 => ("output_root", json!([self.ids(600)])),
            5 => {
                let (position, token) = (self.any() as u32, self.any() as u32);
                let args = json!([self.key(), self.key(), position, token, self.four()]);
                ("leaf_hash", args)
            }
            6 => {
                let count = self.any() as u32;
                let args = json!([self.key(), count, self.key(), self.key()]);
                ("fingerprint", args)
            }
            7 => {
                let stops: Vec<String> = (0..self.below(4))
                    .map(|_| (0..self.below(9)).map(|_| self.char()).collect())
                    .collect();
                ("stop_hash", json!([stops]))
            }
            8 => {
                let len = 20 * self.below(19) as usize;
                let args = json!([self.key(), self.key(), self.key(), self.text(len)]);
                ("juror_commitment", args)
            }
            9 => ("ln", json!([self.any()])),
            10 => ("gumbel", json!([self.any() as u32])),
            11 => ("gumbel", json!([u32::MAX - self.any() as u32])),
            12 => ("round_q16", json!([self.next() as u32])),
            13 => {
                // Near the halves and the limits.
                let value = (self.any() as i64 - (1 << 20)) as f32 / (1u64 << 18) as f32;
                ("round_q16", json!([value.to_bits()]))
            }
            14 => {
                let coarse = self.below(2) == 0;
                let row: Vec<u32> = (0..self.below(60))
                    .map(|_| match coarse {
                        true => (self.below(9) as f32 / 4.0).to_bits(),
                        false => (self.logit() as f32 / 99_999.0).to_bits(),
                    })
                    .collect();
                ("top4", json!([row]))
            }
            15 => {
                let (temperature, position) = (self.temperature(), self.any() as u32);
                let args = json!([self.key(), temperature, position, self.four()]);
                ("choose", args)
            }
            16 => {
                let (temperature, position) = (self.temperature(), self.any() as u32);
                let four = self.four();
                let token = four[self.below(4) as usize].0;
                let args = json!([self.key(), temperature, position, token, four]);
                ("check_leaf", args)
            }
            17 => {
                let hashes: Vec<String> = (0..4).map(|_| self.key()).collect();
                let most = [40, 5_000][self.below(2) as usize];
                let count = self.below(most);
                ("sample", json!([count, self.key(), hashes]))
            }
            18 => {
                let (index, floor, stake) = (self.below(15), self.any(), self.any());
                let args = json!([self.key(), self.key(), index, floor, self.key(), stake]);
                ("rank", args)
            }
            19 => ("error_ppm", json!([self.logit(), self.logit()])),
            20 => ("terms_hash", json!([self.terms()])),
            21 => {
                let eos = self.ids(8);
                let numbers =
                    [16, 16, 32, 32, 32, 32, 16, 32].map(|bits| self.next() >> (64 - bits));
                let [a, b, c, d, e, f, g, h] = numbers;
                let model = json!([
                    self.key(),
                    self.key(),
                    self.key(),
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    g,
                    h,
                    eos
                ]);
                ("model_identity", json!([model]))
            }
            22 => {
                let count = self.below(19);
                let positions: Vec<u64> = (0..count).map(|_| self.below(1 << 20)).collect();
                ("positions_hash", json!([positions]))
            }
            23 => {
                let bps = [self.below(10_001), self.below(10_001)];
                let args = json!([
                    bps[0],
                    bps[1],
                    1 + self.below(15),
                    self.any() >> 1,
                    self.any() >> 1,
                    self.any() >> 1,
                    self.any() >> 1,
                    1 + self.below(18),
                    1 + self.below(1 << 20)
                ]);
                ("bond", args)
            }
            24 => {
                let seats = 1 + self.below(15);
                let findings: Vec<Value> = (0..seats)
                    .map(|_| {
                        let agrees: Vec<u64> = (0..seats).filter(|_| self.below(4) > 0).collect();
                        json!([
                            self.below(8) > 0,
                            self.below(8) > 0,
                            self.below(3) > 0,
                            agrees
                        ])
                    })
                    .collect();
                ("decide", json!([findings]))
            }
            25 => {
                let (ground, verdict) = [
                    ("jury", "guilty"),
                    ("unanswered", "guilty"),
                    ("fault", "fault"),
                    ("jury", "not_guilty"),
                    ("jury", "void"),
                    ("overtaken", "void"),
                ][self.below(6) as usize];
                let bond = [40, 30, 30].map(|bits| self.next() >> (64 - bits));
                let total = bond[0] + bond[1] + 15 * bond[2];
                let slashed = match verdict {
                    "guilty" | "fault" => self.any() >> 2,
                    _ => 0,
                };
                let args = json!([
                    ground,
                    verdict,
                    self.below(16),
                    bond[0],
                    bond[1],
                    bond[2],
                    total,
                    slashed
                ]);
                ("share_out", args)
            }
            _ => {
                let rule = match self.below(3) {
                    0 => json!("exact"),
                    _ => json!([self.below(10_001), self.below(500_000)]),
                };
                let (kind, width) = match self.below(2) {
                    0 => ("submitted", 4),
                    _ => ("checkers", 5),
                };
                ("compare", json!([rule, kind, self.pairs(width)]))
            }
        };
        json!({"fn": name, "args": args})
    }

    fn terms(&mut self) -> Value {
        let rules: Vec<u64> = [[32; 6].as_slice(), &[16; 5], &[64; 6]]
            .concat()
            .into_iter()
            .map(|bits| self.next() >> (64 - bits))
            .collect();
        let source: String = (0..self.below(97))
            .map(|_| char::from(0x20 + self.below(0x5f) as u8))
            .collect();
        json!([
            self.key(),
            self.key(),
            self.key(),
            self.text(16),
            self.key(),
            self.key(),
            self.any() as u32,
            self.any() as u32,
            self.any() as u32,
            self.any() as u32,
            self.key(),
            self.next() as u16,
            self.next() as u8,
            self.key(),
            source,
            self.any() as u32,
            rules
        ])
    }

    fn char(&mut self) -> char {
        char::from_u32(self.any() as u32 & 0x1_ffff).unwrap_or('\u{fffd}')
    }
}

#[test]
fn agrees_with_the_second_implementation_on_random_inputs() {
    let seed = match std::env::var("MYTHIC_SEED") {
        Ok(text) => text.parse().expect("MYTHIC_SEED is a number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("clock").as_nanos() as u64
        }
    };
    println!("again with: MYTHIC_SEED={seed}");
    let mut random = Random(seed);
    let cases: Vec<Value> = (0..5130).map(|i| random.case(i % 27)).collect();
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
