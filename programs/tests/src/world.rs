//! A network to start from: two models, two validators, two users and a delegate.

use bytemuck::Zeroable;
use mythic_interface::hash::{Hash, sha256};
use mythic_interface::ix::{RequestInference, SubmitResult};
use mythic_interface::le::{U16, U32};
use mythic_interface::params::Params;
use mythic_interface::state::{
    Config, FinishReason, Job, KernelProfile, Key, ModelSpec, Validator, ValidatorStatus,
};
use mythic_interface::window;

use crate::calls::{self, Request};
use crate::chain::{Chain, Receipt, SOL};
use crate::keys::{PEOPLE, key, operator};

/// The model whose kernel profile is exact.
pub const EXACT: u8 = 20;
/// The model with thresholds of 0.5 % and one position in eight.
pub const CALIBRATED: u8 = 21;

/// Model number `n`.
pub fn spec(n: u8) -> ModelSpec {
    let mut spec = ModelSpec {
        weights_hash: sha256(&[b"weights", &[n]]),
        tokenizer_hash: sha256(&[b"tokenizer"]),
        chat_template_hash: sha256(&[b"template"]),
        quantisation: U16::new(3),
        kernel_profile: U16::new(1),
        context_length: U32::new(8_192),
        max_job_tokens: U32::new(4_096),
        commit_slots: U16::new(100),
        eos_count: 1,
        ..ModelSpec::zeroed()
    };
    spec.eos_ids[0].set(2);
    match n {
        EXACT => spec.kernel_profile.set(KernelProfile::CpuWA8 as u16),
        CALIBRATED => {
            spec.error_ppm.set(5_000);
            spec.miss_ppm.set(125_000);
        }
        _ => {}
    }
    spec
}

/// Address of model `n`.
pub fn model(n: u8) -> Key {
    calls::model(&spec(n))
}

/// Parameters of the tests' network.
pub fn params() -> Params {
    Params::dev()
}

/// The chain and what was set up on it.
#[derive(Clone)]
pub struct World {
    pub chain: Chain,
    nonces: u64,
}

impl World {
    /// The program deployed, everybody funded, nothing initialized.
    pub fn bare() -> Self {
        let mut chain = Chain::new();
        for name in PEOPLE {
            chain.fund(key(name), 1_000 * SOL);
        }
        World { chain, nonces: 0 }
    }

    /// Config and treasury exist.
    pub fn initialized() -> Self {
        let mut world = Self::bare();
        world.chain.must(calls::initialize(&params()));
        world
    }

    /// Models 1 and 2; validators v1 (both models) and v2 (model 1) with 2 SOL each; vaults of
    /// alice and bob with 10 SOL; the gateway may spend from alice's.
    pub fn new() -> Self {
        let mut world = Self::initialized();
        let chain = &mut world.chain;
        for n in [1, 2] {
            chain.must(calls::register_model(
                key("payer"),
                key("registrant"),
                &spec(n),
                "smol",
            ));
        }
        for (name, models) in [("v1", &[model(1), model(2)][..]), ("v2", &[model(1)])] {
            chain.must(calls::register_validator(
                key(name),
                operator(name),
                2 * SOL,
                models,
            ));
        }
        for owner in ["alice", "bob"] {
            chain.must(calls::deposit_vault(key(owner), key(owner), 10 * SOL));
        }
        let limits = calls::wide_limits(chain.slot() + 100_000);
        chain.must(calls::grant_spend(
            key("alice"),
            key("alice"),
            key("gateway"),
            &limits,
        ));
        world
    }

    /// A nonce that nobody used, good for 1,000 slots.
    pub fn nonce(&mut self) -> [u8; 16] {
        self.nonces += 1;
        window::nonce(self.chain.slot() + 1_000, self.nonces.to_le_bytes())
    }

    /// What requests name of the network's rules.
    pub fn rules_hash(&self) -> Hash {
        self.chain.load::<Config>(&calls::config()).rules_hash
    }

    /// An open job of `requester` from `owner`'s vault: 100 prompt tokens, up to 200 output
    /// tokens, at most 12,500 lamports.
    pub fn request(&mut self, owner: &str, requester: &str) -> Request {
        Request {
            payer: key("gateway"),
            requester: key(requester),
            owner: key(owner),
            model: model(1),
            validator: None,
            arguments: RequestInference {
                nonce: self.nonce(),
                canceller: key("canceller"),
                prompt_hash: sha256(&[b"prompt"]),
                prompt_tokens: U32::new(100),
                max_output_tokens: U32::new(200),
                price_in: params().default_price_in,
                price_out: params().default_price_out,
                user_seed: [7; 32],
                temperature_milli: U16::new(700),
                sampling_profile: 1,
                options_hash: [0; 32],
                prompt_source: calls::text("http://127.0.0.1:4002"),
                deadline_slots: U32::new(150),
                rules_hash: self.rules_hash(),
                bump: 0,
            },
        }
    }

    /// A request that validator v1 has co-signed.
    pub fn cosigned(&mut self, owner: &str, requester: &str) -> Request {
        Request {
            validator: Some((key("v1"), operator("v1"))),
            ..self.request(owner, requester)
        }
    }

    /// Sends a request that must succeed; the job's address.
    pub fn must_request(&mut self, request: &Request) -> Key {
        self.chain.must(request.call());
        request.job()
    }

    pub fn job(&self, address: &Key) -> Job {
        self.chain.load(address)
    }

    /// A result of `tokens` tokens for a job as it stands.
    pub fn result(&self, job: &Key, tokens: u32, reason: FinishReason) -> SubmitResult {
        SubmitResult {
            terms_hash: self.job(job).terms_hash,
            output_root: sha256(&[b"output"]),
            fingerprint: sha256(&[b"fingerprint"]),
            output_tokens: U32::new(tokens),
            finish_reason: reason as u8,
        }
    }

    /// Submits a result of `tokens` tokens ended by the model, as v1.
    pub fn must_submit(&mut self, job: &Key, tokens: u32) -> Receipt {
        let result = self.result(job, tokens, FinishReason::Eos);
        let call = calls::submit_result(operator("v1"), key("v1"), *job, &result);
        self.chain.must(call)
    }

    /// The claim of a job as it stands.
    pub fn claim(&self, job: &Key) -> solana_instruction::Instruction {
        let found = self.job(job);
        calls::claim(*job, found.validator, found.terms.owner, grant_of(&found))
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// The grant of a job as accounts name it.
pub fn grant_of(job: &Job) -> Key {
    match job.grant == [0; 32] {
        true => calls::NONE,
        false => job.grant,
    }
}

/// Jails a validator. Only a lost dispute does, so the account is written directly.
pub fn jail(world: &mut World, name: &str, slots: u64) {
    let until = world.chain.slot() + slots;
    let address = calls::validator(&key(name));
    world.chain.forge(&address, |validator: &mut Validator| {
        validator.header.status = ValidatorStatus::Jailed as u8;
        validator.jailed_until.set(until);
    });
}
