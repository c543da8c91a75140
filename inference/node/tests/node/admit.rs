//! What a node puts its signature on, and what it does not.

use base64::Engine as _;
use bytemuck::Zeroable;
use mythic_client::{ix, pda, sign_partly};
use mythic_interface::{
    hash,
    ix::RequestInference,
    le::{Text, U16, U32},
    params::Params,
    state::{
        Job, JobStatus, KernelProfile, Model, ModelStatus, SamplingProfile, ServedModel, Validator,
        ValidatorStatus,
    },
    window,
};
use mythic_node::bounds::Bounds;
use mythic_node::serve::admit::{
    Decline, ModelFacts, Situation, check_open, check_request, parse_transaction,
};
use mythic_sampling::Options;
use mythic_wire::InferenceRequest;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::harness::{SOL, spec};

struct Scene {
    payer: Keypair,
    owner: Keypair,
    authority: Pubkey,
    operator: Keypair,
    model: Pubkey,
    account: Model,
    validator: Validator,
    params: Params,
    args: RequestInference,
    ids: Vec<u32>,
    /// Least lamports that a job must bring.
    least: u64,
}

fn scene() -> Scene {
    let mut account = Model::zeroed();
    account.spec = spec();
    account.header.status = ModelStatus::Active as u8;
    account.price_in = U32::new(25_000);
    account.price_out = U32::new(50_000);
    let model = pda::model(&account.spec.identity(&account.creator));
    let mut validator = Validator::zeroed();
    validator.header.status = ValidatorStatus::Active as u8;
    validator.stake.set(SOL);
    validator.model_count = 1;
    validator.models[0] = ServedModel {
        model: model.to_bytes(),
        since_slot: 1.into(),
    };
    let ids = vec![9, 8, 7];
    let args = RequestInference {
        nonce: window::nonce(2_000, [1; 8]),
        canceller: [0; 32],
        prompt_hash: hash::prompt_hash(&[4; 16], &ids),
        prompt_tokens: 3.into(),
        max_output_tokens: 100.into(),
        price_in: 25_000.into(),
        price_out: 50_000.into(),
        user_seed: [6; 32],
        temperature_milli: 0.into(),
        sampling_profile: SamplingProfile::SeededTop4 as u8,
        options_hash: [0; 32],
        prompt_source: Text::new("http://gateway").unwrap(),
        deadline_slots: 500.into(),
        rules_hash: Params::dev().rules.hash(),
        bump: 0,
    };
    Scene {
        least: 0,
        payer: Keypair::new(),
        owner: Keypair::new(),
        authority: Pubkey::new_from_array([42; 32]),
        operator: Keypair::new(),
        model,
        account,
        validator,
        params: Params::dev(),
        args,
        ids,
    }
}

impl Scene {
    fn who(&self) -> ix::Requester {
        ix::Requester {
            payer: self.payer.pubkey(),
            requester: self.owner.pubkey(),
            owner: self.owner.pubkey(),
            model: self.model,
            validator: Some((self.authority, self.operator.pubkey())),
        }
    }

    /// Signed by those of payer and owner that the message asks.
    fn encode(&self, instructions: &[Instruction], payer: &Keypair) -> String {
        let message = solana_message::Message::new(instructions, Some(&payer.pubkey()));
        let asked = message.signer_keys();
        let keys: Vec<&Keypair> = [&self.payer, &self.owner]
            .into_iter()
            .filter(|key| asked.contains(&&key.pubkey()))
            .collect();
        let transaction = sign_partly(instructions, &payer.pubkey(), &keys, Default::default());
        let bytes = bincode::serialize(&transaction.unwrap()).unwrap();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn parse(&self, instructions: &[Instruction]) -> Result<Pubkey, Decline> {
        parse_transaction(
            &self.encode(instructions, &self.payer),
            &self.authority,
            &self.operator.pubkey(),
        )
        .map(|p| p.job)
    }

    fn check(&self, change: impl FnOnce(&mut InferenceRequest)) -> Result<(), Decline> {
        let instruction = ix::request_inference(&self.who(), &self.args);
        let mut request = InferenceRequest {
            transaction: self.encode(&[instruction], &self.payer),
            job: pda::job(self.owner.pubkey(), &self.args.nonce).to_string(),
            prompt_ids: self.ids.clone(),
            salt: hex::encode([4; 16]),
            stop: vec![],
            options: None,
            logprobs: false,
        };
        change(&mut request);
        let parsed = parse_transaction(
            &request.transaction,
            &self.authority,
            &self.operator.pubkey(),
        )?;
        self.decide(|facts, now| check_request(&request, &parsed, facts, now))
            .map(|_| ())
    }

    fn decide<T>(&self, f: impl FnOnce(&ModelFacts<'_>, &Situation<'_>) -> T) -> T {
        let operator = self.operator.pubkey();
        f(
            &ModelFacts {
                address: &self.model,
                model: &self.account,
                context_length: 1_024,
                vocab_size: 100,
            },
            &Situation {
                authority: &self.authority,
                operator: &operator,
                validator: &self.validator,
                params: &self.params,
                bounds: &Bounds::default(),
                slot: 1_000,
                unseen_jobs: 0,
                running: 0,
                max_running: 4,
                min_deadline_slots: 50,
                min_price_in: 0,
                min_price_out: 0,
                min_job_lamports: self.least,
            },
        )
    }
}

#[test]
fn one_request_that_names_us_is_signed_with_budget_instructions_beside_it() {
    let scene = scene();
    let request = ix::request_inference(&scene.who(), &scene.args);
    let job = pda::job(scene.owner.pubkey(), &scene.args.nonce);
    assert_eq!(scene.parse(std::slice::from_ref(&request)), Ok(job));
    use solana_compute_budget_interface::ComputeBudgetInstruction as Budget;
    let with_budget = [
        Budget::set_compute_unit_limit(100_000),
        Budget::set_compute_unit_price(5),
        request,
    ];
    assert_eq!(scene.parse(&with_budget), Ok(job));
    assert_eq!(scene.check(|_| ()), Ok(()));
}

#[test]
fn nothing_else_is_signed() {
    let scene = scene();
    let request = ix::request_inference(&scene.who(), &scene.args);
    let operator = scene.operator.pubkey();
    let refused = |instructions: &[Instruction], why: &str| {
        let error = scene.parse(instructions).unwrap_err();
        assert!(
            matches!(&error, Decline::Transaction(text) if text.contains(why)),
            "{why}: {error}"
        );
    };
    refused(
        &[request.clone(), ix::sweep(scene.authority)],
        "exactly one",
    );
    refused(&[request.clone(), request.clone()], "exactly one");
    refused(
        &[ix::accept_inference(
            operator,
            scene.authority,
            scene.model,
            [0; 32],
        )],
        "AcceptInference, not",
    );
    let transfer = Instruction {
        program_id: Pubkey::default(),
        accounts: vec![solana_instruction::AccountMeta::new(
            scene.payer.pubkey(),
            true,
        )],
        data: vec![2, 0, 0, 0],
    };
    refused(&[request.clone(), transfer], "stands beside the request");
    let heap =
        solana_compute_budget_interface::ComputeBudgetInstruction::request_heap_frame(32 << 10);
    refused(&[request.clone(), heap], "only a limit and a price");

    // Our operator in another role: as requester it would open its own vault, writable it would be drained.
    let as_requester = ix::request_inference(
        &ix::Requester {
            requester: operator,
            ..scene.who()
        },
        &scene.args,
    );
    refused(&[as_requester], "more than its own place");
    let mut writable = request.clone();
    writable.accounts[8].is_writable = true;
    refused(&[writable], "writable");
    let other = ix::Requester {
        validator: Some((Pubkey::new_from_array([43; 32]), operator)),
        ..scene.who()
    };
    refused(
        &[ix::request_inference(&other, &scene.args)],
        "validator account is not",
    );
    let mut config = request.clone();
    config.accounts[2].pubkey = Pubkey::new_from_array([44; 32]);
    refused(&[config], "config account is not");
    let open = ix::Requester {
        validator: None,
        ..scene.who()
    };
    refused(
        &[ix::request_inference(&open, &scene.args)],
        "does not ask for this operator's signature",
    );
    let mut authority = request.clone();
    authority
        .accounts
        .push(solana_instruction::AccountMeta::new_readonly(
            scene.authority,
            true,
        ));
    refused(&[authority], "another number of accounts");
    let mut longer = request;
    longer.data.push(0);
    refused(&[longer], "another length");
}

#[test]
fn a_transaction_that_we_would_pay_for_is_refused() {
    let scene = scene();
    let who = ix::Requester {
        payer: scene.operator.pubkey(),
        ..scene.who()
    };
    let text = scene.encode(&[ix::request_inference(&who, &scene.args)], &scene.operator);
    let error = parse_transaction(&text, &scene.authority, &scene.operator.pubkey()).unwrap_err();
    assert!(
        matches!(&error, Decline::Transaction(text) if text.contains("writable")),
        "{error}"
    );
}

#[test]
fn a_transaction_without_the_requesters_signature_is_refused() {
    let scene = scene();
    let instruction = ix::request_inference(&scene.who(), &scene.args);
    let transaction = sign_partly(
        &[instruction],
        &scene.payer.pubkey(),
        &[&scene.payer],
        Default::default(),
    )
    .unwrap();
    let text =
        base64::engine::general_purpose::STANDARD.encode(bincode::serialize(&transaction).unwrap());
    let error = parse_transaction(&text, &scene.authority, &scene.operator.pubkey()).unwrap_err();
    assert!(
        matches!(&error, Decline::Transaction(text) if text.contains("missing or wrong")),
        "{error}"
    );
}

#[test]
fn garbage_is_refused_at_any_cut() {
    let scene = scene();
    let text = scene.encode(
        &[ix::request_inference(&scene.who(), &scene.args)],
        &scene.payer,
    );
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&text)
        .unwrap();
    for cut in 0..bytes.len() {
        let part = base64::engine::general_purpose::STANDARD.encode(&bytes[..cut]);
        assert!(parse_transaction(&part, &scene.authority, &scene.operator.pubkey()).is_err());
    }
    let mut longer = bytes.clone();
    longer.push(0);
    for bad in [
        base64::engine::general_purpose::STANDARD.encode(longer),
        "A".repeat(100_000),
        "%%%".into(),
    ] {
        assert!(parse_transaction(&bad, &scene.authority, &scene.operator.pubkey()).is_err());
    }
}

#[test]
fn what_was_not_hashed_is_refused() {
    let scene = scene();
    assert!(matches!(
        scene.check(|r| r.prompt_ids[0] = 1),
        Err(Decline::Mismatch(_))
    ));
    assert!(matches!(
        scene.check(|r| r.prompt_ids.push(1)),
        Err(Decline::Mismatch(_))
    ));
    assert!(matches!(
        scene.check(|r| r.prompt_ids[0] = 5_000),
        Err(Decline::Invalid(_))
    ));
    assert!(matches!(
        scene.check(|r| r.salt = hex::encode([5; 16])),
        Err(Decline::Mismatch(_))
    ));
    assert!(matches!(
        scene.check(|r| r.salt = "zz".into()),
        Err(Decline::Invalid(_))
    ));
    assert!(matches!(
        scene.check(|r| r.stop = vec!["x".into()]),
        Err(Decline::Mismatch(_))
    ));
    assert!(matches!(
        scene.check(|r| r.stop = vec![String::new(); 1]),
        Err(Decline::Invalid(_))
    ));
    assert!(matches!(
        scene.check(|r| r.job = Pubkey::default().to_string()),
        Err(Decline::Mismatch(_))
    ));
}

#[test]
fn terms_that_do_not_pay_or_do_not_fit_are_refused() {
    let try_with = |change: fn(&mut Scene)| {
        let mut scene = scene();
        change(&mut scene);
        scene.check(|_| ())
    };
    assert!(matches!(
        try_with(|s| s.args.price_in.set(24_999)),
        Err(Decline::Price { .. })
    ));
    assert!(matches!(
        try_with(|s| s.args.price_out.set(49_999)),
        Err(Decline::Price { .. })
    ));
    assert!(matches!(
        try_with(|s| s.args.rules_hash[0] ^= 1),
        Err(Decline::RulesChanged)
    ));
    // The network's own rules, and this node's bounds.
    assert!(matches!(
        try_with(|s| {
            s.params.rules.slash_bps.set(5_001);
            s.args.rules_hash = s.params.rules.hash();
        }),
        Err(Decline::Bounds(_))
    ));
    assert!(matches!(
        try_with(|s| s.account.spec.error_ppm.set(199)),
        Err(Decline::Bounds(_))
    ));
    assert!(matches!(
        try_with(|s| s.args.deadline_slots.set(49)),
        Err(Decline::Deadline { left: 49, .. })
    ));
    assert!(matches!(
        try_with(|s| s.args.max_output_tokens.set(1_022)),
        Err(Decline::Context {
            tokens: 1_025,
            limit: 1_024
        })
    ));
    assert!(matches!(
        try_with(|s| s.args.max_output_tokens.set(u32::MAX)),
        Err(Decline::Context { .. })
    ));
    assert!(matches!(
        try_with(|s| s.args.sampling_profile = 2),
        Err(Decline::Invalid(_))
    ));
    assert!(matches!(
        try_with(|s| s.args.nonce = window::nonce(999, [1; 8])),
        Err(Decline::Transaction(_))
    ));
    assert!(matches!(
        try_with(|s| s.account.header.status = ModelStatus::Retired as u8),
        Err(Decline::Closed(_))
    ));
    assert!(matches!(
        try_with(|s| s.validator.header.status = ValidatorStatus::Jailed as u8),
        Err(Decline::Closed(_))
    ));
    assert!(matches!(
        try_with(|s| s.validator.open_jobs.set(20)),
        Err(Decline::Stake { capacity: 20 })
    ));
    assert!(matches!(
        try_with(|s| s.validator.model_count = 0),
        Err(Decline::UnknownModel(_))
    ));
}

#[test]
fn a_job_that_costs_more_than_it_brings_is_left() {
    let mut scene = scene();
    scene.args.max_output_tokens.set(10);
    // Three tokens at 25 lamports and ten at 50, of which half is the validator's.
    let brings = (3 * 25 + 10 * 50) / 2;
    scene.least = brings;
    assert_eq!(scene.check(|_| ()), Ok(()));
    scene.least = brings + 1;
    assert_eq!(
        scene.check(|_| ()),
        Err(Decline::Unworthy {
            brings,
            least: brings + 1
        })
    );
}

#[test]
fn a_prompt_source_is_an_origin() {
    let mut scene = scene();
    for source in [
        "http://gateway/v1/jobs/J/evidence#",
        "http://gateway?",
        "gateway",
    ] {
        scene.args.prompt_source = Text::new(source).unwrap();
        assert!(
            matches!(scene.check(|_| ()), Err(Decline::Source(_))),
            "{source}"
        );
    }
}

/// A scene whose terms name these options, of a model whose arithmetic is exact.
fn by_options(options: &Options) -> Scene {
    let mut scene = scene();
    scene.account.spec.kernel_profile = U16::new(KernelProfile::CpuWA8 as u16);
    scene.args.sampling_profile = SamplingProfile::SeededFull as u8;
    scene.args.options_hash = options.hash(&[4; 16]).unwrap();
    scene
}

#[test]
fn options_are_taken_where_they_are_those_that_were_hashed_and_an_exact_model_can_follow_them() {
    let options = Options {
        top_p_ppm: 500_000,
        logit_bias: vec![(99, 1_000)],
        stop: vec!["END".into()],
        grammar: Some("start: \"a\"".into()),
        ..Options::default()
    };
    let bytes = options.to_wire().unwrap();
    let scene = by_options(&options);
    let bring = |bytes: &[u8]| scene.check(|r| r.options = Some(bytes.to_vec()));
    assert_eq!(bring(&bytes), Ok(()));
    assert!(matches!(scene.check(|_| ()), Err(Decline::Mismatch(_))));
    let other = Options {
        top_p_ppm: 500_001,
        ..options.clone()
    };
    let other = bring(&other.to_wire().unwrap());
    assert!(matches!(other, Err(Decline::Mismatch(_))));
    // Not canonical, or cut.
    for bad in [&bytes[1..], &bytes[..bytes.len() - 1], &[0; 3]] {
        assert!(matches!(bring(bad), Err(Decline::Invalid(_))));
    }
    let both = scene.check(|r| {
        r.options = Some(bytes.clone());
        r.stop = vec!["END".into()];
    });
    assert!(matches!(both, Err(Decline::Invalid(_))));
    // Neutral ones have no bytes.
    let neutral = by_options(&Options::default());
    assert_eq!(neutral.check(|_| ()), Ok(()));
    assert_eq!(neutral.check(|r| r.options = Some(Vec::new())), Ok(()));
    // A token that the model lacks.
    let foreign = Options {
        logit_bias: vec![(100, 1_000)],
        ..Options::default()
    };
    let bytes = foreign.to_wire().unwrap();
    let refused = by_options(&foreign).check(|r| r.options = Some(bytes));
    assert!(matches!(refused, Err(Decline::Invalid(_))));
    // A grammar that is a bomb has no encoding; bytes that hold one are refused though their hash is the one in the terms.
    let small = Options {
        grammar: Some("start: /a{1000}{10}/".into()),
        ..Options::default()
    };
    let mut bytes = small.to_wire().unwrap();
    let digits = bytes.len() - "10}/".len();
    bytes[digits..digits + 2].copy_from_slice(b"99");
    let mut bomb = by_options(&small);
    bomb.args.options_hash = hash::options_hash(&[4; 16], &bytes);
    let refused = bomb.check(|r| r.options = Some(bytes));
    assert!(matches!(refused, Err(Decline::Invalid(_))), "{refused:?}");
    // Others' arithmetic can't be judged so.
    let mut calibrated = by_options(&Options::default());
    calibrated.account.spec.kernel_profile = U16::new(KernelProfile::CpuCandle as u16);
    assert!(matches!(calibrated.check(|_| ()), Err(Decline::Invalid(_))));
}

#[test]
fn only_open_jobs_with_a_source_are_consumed() {
    let scene = scene();
    let mut job = Job::zeroed();
    job.header.status = JobStatus::Open as u8;
    job.terms.model = scene.model.to_bytes();
    job.terms.prompt_tokens.set(3);
    job.terms.max_output_tokens.set(10);
    job.terms.price_in.set(25_000);
    job.terms.price_out.set(50_000);
    job.terms.sampling_profile = 1;
    job.terms.prompt_source = Text::new("http://gateway").unwrap();
    job.deadline_slot.set(1_500);
    job.terms.rules = scene.params.rules;
    let check = |job: &Job| {
        scene
            .decide(|facts, now| check_open(job, facts, now))
            .map(|_| ())
    };
    assert_eq!(check(&job), Ok(()));
    let with = |change: fn(&mut Job)| {
        let mut other = job;
        change(&mut other);
        check(&other)
    };
    assert_eq!(
        with(|j| j.header.status = JobStatus::Accepted as u8),
        Err(Decline::NotOpen)
    );
    assert_eq!(with(|j| j.cancel_slot.set(5)), Err(Decline::NotOpen));
    assert!(matches!(
        with(|j| j.deadline_slot.set(1_049)),
        Err(Decline::Deadline { left: 49, .. })
    ));
    assert!(matches!(
        with(|j| j.terms.prompt_source = Text::default()),
        Err(Decline::Source(_))
    ));
    assert!(matches!(
        with(|j| j.terms.price_out.set(1)),
        Err(Decline::Price { .. })
    ));
}
