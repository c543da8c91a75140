//! Cases, answered with this crate.

use mythic_interface::choice::{Course, claims_stop, own_leaf};
use mythic_interface::comparison::{Comparison, Rule, error_ppm};
use mythic_interface::dispute::{
    self, Bond, Decision, Deposit, Finding, Findings, Money, Said, Standing,
};
use mythic_interface::gumbel::{gumbel_q16, ln_q16};
use mythic_interface::hash::{self, Hash};
use mythic_interface::le::{Text, U16, U32, U64};
use mythic_interface::leaf::Leaf;
use mythic_interface::params::{MAX_JURY_SEATS, Params, Rules};
use mythic_interface::sampler::{self, Sampling, Top4};
use mythic_interface::sortition::{Seat, committer_bit, sample_positions};
use mythic_interface::state::{
    ClaimKind, Ground, MAX_CLAIMS, ModelSpec, Outcome, Terms, VOTE_DIGESTS, Verdict,
};
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
    let [u32s, u16s, u64s] = [0..8, 8..14, 14..22].map(|range| &a.as_array().expect("list")[range]);
    Rules {
        window_slots: U32::new(number(&u32s[0])),
        openings_slots: U32::new(number(&u32s[1])),
        reveal_slots: U32::new(number(&u32s[2])),
        cancel_grace_slots: U32::new(number(&u32s[3])),
        prefill_tokens_per_slot: U32::new(number(&u32s[4])),
        jail_slots: U32::new(number(&u32s[5])),
        close_delay_slots: U32::new(number(&u32s[6])),
        maturity_slots: U32::new(number(&u32s[7])),
        validator_bps: U16::new(number(&u16s[0])),
        foundation_bps: U16::new(number(&u16s[1])),
        slash_bps: U16::new(number(&u16s[2])),
        bond_bps: U16::new(number(&u16s[3])),
        jury_seats: U16::new(number(&u16s[4])),
        exposure_bps: U16::new(number(&u16s[5])),
        jury_stake: U64::new(number(&u64s[0])),
        juror_tariff: U64::new(number(&u64s[1])),
        tariff_cap: U64::new(number(&u64s[2])),
        juror_penalty: U64::new(number(&u64s[3])),
        answering_fee: U64::new(number(&u64s[4])),
        stake_per_job: U64::new(number(&u64s[5])),
        min_stake: U64::new(number(&u64s[6])),
        no_show: U64::new(number(&u64s[7])),
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
        options_hash: bytes(&a[13]),
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
    rules.tariff_cap.set(number(&a[4]));
    rules.answering_fee.set(number(&a[5]));
    let standing = Standing {
        kind: match a[6].as_str().expect("text") {
            "false" => ClaimKind::False,
            _ => ClaimKind::Withheld,
        },
        nth: number(&a[7]),
        stake: number(&a[8]),
        fee: number(&a[9]),
        pieces: number(&a[10]),
    };
    let bond = Bond::of(&rules, &standing).ok();
    json!(bond.map(|b| [b.at_stake, b.answering_fee, b.tariffs, b.total]))
}

/// A juror's leaf under sampling profile 2, as its digest holds it.
fn own(a: &[Value]) -> Value {
    let flag = |value: &Value| value.as_bool().expect("flag");
    let position = number(&a[0]);
    let course = Course {
        in_grammar: flag(&a[3]),
        is_over: flag(&a[4]),
        stops_here: flag(&a[5]),
    };
    let claims_stop = claims_stop(position, number(&a[6]), number(&a[7]));
    let token = course.token(number(&a[2]), claims_stop);
    let leaf = own_leaf(position, top4(&a[1]), token);
    json!([leaf.position, leaf.token, leaf.top4])
}

/// Position, token, four largest.
fn one_leaf(a: &[Value]) -> Leaf {
    Leaf {
        position: number(&a[0]),
        token: number(&a[1]),
        top4: top4(&a[2]),
    }
}

fn leaves(value: &Value) -> Vec<Leaf> {
    let list = value.as_array().expect("leaves").iter();
    list.map(|leaf| one_leaf(leaf.as_array().expect("a leaf")))
        .collect()
}

fn fault(checked: Result<(), leaf::LeafFault>) -> Value {
    json!(checked.err().map(|fault| format!("{fault:?}")))
}

fn rank(a: &[Value]) -> Value {
    let seat = Seat {
        case: &bytes(&a[0]),
        slot_hash: &bytes(&a[1]),
        index: number(&a[2]),
    };
    let rank = seat.rank(&bytes(&a[3]), number(&a[4]));
    json!(rank.map(|rank| rank.rank))
}

fn work_digest(fifths: &Value) -> Value {
    let list = fifths.as_array().expect("fifths").iter();
    let fifths: Vec<(u32, i32)> = list.map(|f| (number(&f[0]), number(&f[1]))).collect();
    json!(hex::encode(dispute::work_digest(&fifths)))
}

fn positions_hash(a: &[Value]) -> Value {
    let positions: Vec<U32> = numbers::<u32>(&a[0]).into_iter().map(U32::new).collect();
    json!(hex::encode(hash::positions_hash(
        &positions,
        &hashes(&a[1])
    )))
}

fn mask(seats: &Value) -> u16 {
    let seats = numbers::<u32>(seats);
    seats.iter().fold(0, |mask, seat| mask | 1 << seat)
}

fn findings(a: &[Value]) -> Findings {
    let flag = |value: &Value| value.as_bool().expect("flag");
    let (seats, claims) = (&a[3], &a[4]);
    let (seats, claims) = (
        seats.as_array().expect("seats"),
        claims.as_array().expect("claims"),
    );
    let mut findings = Findings {
        exact: flag(&a[1]),
        shown: flag(&a[2]),
        jury: seats.len(),
        seats: [Finding::default(); MAX_JURY_SEATS],
        count: claims.len(),
        claims: [Said::default(); MAX_CLAIMS],
    };
    for (finding, seat) in findings.seats.iter_mut().zip(seats) {
        let agrees = seat[4].as_array().expect("digests");
        assert!(agrees.len() <= VOTE_DIGESTS);
        finding.taken = flag(&seat[0]);
        finding.revealed = flag(&seat[1]);
        finding.first = number(&seat[2]);
        let right = numbers::<u32>(&seat[3]);
        finding.right = right.iter().fold(0, |bits, digest| bits | 1 << digest);
        for (out, seats) in finding.agrees.iter_mut().zip(agrees) {
            *out = mask(seats);
        }
    }
    for (said, claim) in findings.claims.iter_mut().zip(claims) {
        said.is_false = flag(&claim[0]);
        said.group = number(&claim[1]);
        said.proved = flag(&claim[2]);
    }
    findings
}

fn ground(value: &Value) -> Ground {
    match value.as_str().expect("text") {
        "unanswered" => Ground::Unanswered,
        "no_claim" => Ground::NoClaim,
        "fault" => Ground::Fault,
        _ => Ground::Jury,
    }
}

fn decide(a: &[Value]) -> Value {
    let findings = findings(a);
    let decision = dispute::decide(ground(&a[0]), &findings);
    let seats = |mask: u16| -> Vec<u32> { (0..16).filter(|i| mask >> i & 1 == 1).collect() };
    let outcomes = decision.outcomes[..findings.count].iter();
    let outcomes: Vec<&str> = outcomes.map(|outcome| outcome.as_str()).collect();
    json!([
        decision.verdict.as_str(),
        decision.ground.as_str(),
        outcomes,
        decision.rewarded,
        decision.reward_bps,
        seats(decision.paid),
        seats(decision.fined)
    ])
}

fn share_out(a: &[Value]) -> Value {
    let verdict = match a[0].as_str().expect("text") {
        "guilty" => Verdict::Guilty,
        "fault" => Verdict::Fault,
        "not_guilty" => Verdict::NotGuilty,
        _ => Verdict::Void,
    };
    let claims = a[4].as_array().expect("claims");
    let mut decision = Decision {
        verdict,
        ground: Ground::Jury,
        outcomes: [Outcome::Undecided; MAX_CLAIMS],
        rewarded: a[1].as_u64().map(|index| index as usize),
        reward_bps: number(&a[2]),
        paid: (0..number::<u32>(&a[3])).fold(0, |mask, seat| mask | 1 << seat),
        fined: 0,
    };
    let mut deposits = Vec::new();
    for (outcome, claim) in decision.outcomes.iter_mut().zip(claims) {
        if claim[3].as_bool().expect("flag") {
            *outcome = Outcome::Wrong;
        }
        deposits.push(Deposit {
            at_stake: number(&claim[0]),
            answering_fee: number(&claim[1]),
            tariffs: number(&claim[2]),
        });
    }
    let money = Money {
        deposits: &deposits,
        tariff: number(&a[5]),
        juror_tariff: number(&a[6]),
        slashed: number(&a[7]),
    };
    let shares = dispute::share_out(&decision, &money).ok();
    json!(shares.map(|s| json!([
        &s.claims[..deposits.len()],
        s.juror,
        s.submitter,
        s.prover,
        s.burned
    ])))
}

/// Answers a case with this crate.
pub fn evaluate(case: &Value) -> Value {
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
            let leaf = one_leaf(&a[2..]);
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
        "options_hash" => {
            let options = hex::decode(a[1].as_str().expect("hex text")).expect("hex");
            json!(hex::encode(hash::options_hash(&bytes(&a[0]), &options)))
        }
        "rules_hash" => json!(hex::encode(rules(&a[0]).hash())),
        "terms_hash" => json!(hex::encode(terms(&a[0]).hash())),
        "model_identity" => json!(hex::encode(model(&a[1]).identity(&bytes(&a[0])))),
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
        "check_leaf" => fault(leaf::check_leaf(&one_leaf(&a[2..]), &sampling(a))),
        "check_unreplayed" => fault(leaf::check_unreplayed(&one_leaf(a))),
        "own_leaf" => own(a),
        "sample" => {
            let hashes = hashes(&a[2]).try_into().expect("four");
            json!(sample_positions(number(&a[0]), &bytes(&a[1]), &hashes).positions())
        }
        "rank" => rank(a),
        "positions_hash" => positions_hash(a),
        "bond" => bond(a),
        "exact_digest" => json!(hex::encode(dispute::exact_digest(&leaves(&a[0])))),
        "work_digest" => work_digest(&a[0]),
        "pieces" => json!(dispute::pieces(number(&a[0]), number(&a[1]), number(&a[2]))),
        "committer_bit" => json!(committer_bit(&bytes(&a[0]), &bytes(&a[1]))),
        "slash_cap" => json!(dispute::slash_cap(
            ground(&a[0]),
            number(&a[1]),
            number(&a[2])
        )),
        "decide" => decide(a),
        "share_out" => share_out(a),
        "error_ppm" => json!(error_ppm(number(&a[0]), number(&a[1]))),
        "compare" => compare(a),
        other => panic!("no function {other}"),
    }
}
