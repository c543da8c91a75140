//! Instructions of the tests: the interface's own builders, those that need it with the tests' usual arguments, and
//! addresses as keys. What clients send is what these build; tests then tamper with it.

use bytemuck::Zeroable;
use mythic_interface::AI_PRECOMPILES_ID;
use mythic_interface::address;
use mythic_interface::ix::{
    self, GrantSpend, RegisterModel, RegisterValidator, RequestInference, Requester, UpdateModel,
    UpdateValidator,
};
pub use mythic_interface::ix::{
    accept_admin, accept_inference, accept_owner, accept_registrant, close_grant, close_old_grant,
    close_vault, collect_case, deposit_vault, grant_spend, pause, propose_admin, propose_owner,
    propose_registrant, revoke_grant, submit_result, sweep, unjail, unpause, update_config,
    withdraw_foundation, withdraw_vault,
};
use mythic_interface::le::{Text, U32, U64};
use mythic_interface::params::Params;
use mythic_interface::state::{Job, Key, ModelSpec, NO_KEY, Output};
use solana_instruction::Instruction as Call;

use crate::keys::key;

/// Stands for an optional account that is absent.
pub const NONE: Key = AI_PRECOMPILES_ID;

pub fn config() -> Key {
    address::config().to_bytes()
}
pub fn treasury() -> Key {
    address::treasury().to_bytes()
}
/// The model that the tests' registrant registers.
pub fn model(spec: &ModelSpec) -> Key {
    model_of(&key("registrant"), spec)
}
pub fn model_of(creator: &Key, spec: &ModelSpec) -> Key {
    address::model(&spec.identity(creator)).to_bytes()
}
pub fn validator(authority: &Key) -> Key {
    address::validator(authority).to_bytes()
}
pub fn vault(owner: &Key) -> Key {
    address::vault(owner).to_bytes()
}
pub fn grant(owner: &Key, delegate: &Key) -> Key {
    address::grant(owner, delegate).to_bytes()
}
pub fn job(owner: &Key, nonce: &[u8; 16]) -> Key {
    address::job(owner, nonce).to_bytes()
}
pub fn case(job: &Key) -> Key {
    address::case(job).to_bytes()
}
pub fn votes(job: &Key) -> Key {
    address::votes(address::case(job)).to_bytes()
}
pub fn output(job: &Key, page: u32) -> Key {
    address::output(job, page).to_bytes()
}

pub fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).expect("short ASCII")
}

pub fn initialize(params: &Params) -> Call {
    let (payer, authority) = (key("payer"), key("upgrade_authority"));
    ix::initialize(payer, authority, key("admin"), key("foundation"), params)
}

pub fn register_model(payer: Key, registrant: Key, spec: &ModelSpec, name: &str) -> Call {
    let arguments = RegisterModel {
        spec: *spec,
        name: text(name),
    };
    ix::register_model(payer, registrant, &arguments)
}

pub fn update_model(
    registrant: Key,
    model: Key,
    prices: (u32, u32),
    name: &str,
    retired: u8,
) -> Call {
    let arguments = UpdateModel {
        price_in: U32::new(prices.0),
        price_out: U32::new(prices.1),
        name: text(name),
        retired,
    };
    ix::update_model(registrant, model, &arguments)
}

pub fn register_validator(authority: Key, operator: Key, stake: u64, models: &[Key]) -> Call {
    let arguments = RegisterValidator {
        operator,
        stake: U64::new(stake),
        vram_mib: U32::new(0),
        gpu_name: text(""),
        endpoint: text("http://127.0.0.1:8080"),
    };
    ix::register_validator(authority, authority, &arguments, models)
}

pub fn update_validator(authority: Key, operator: Key, models: &[Key]) -> Call {
    let arguments = UpdateValidator {
        operator,
        vram_mib: U32::new(24_576),
        gpu_name: text("RTX 4090"),
        endpoint: text("https://node.example:8443"),
    };
    ix::update_validator(authority, authority, &arguments, models)
}

// Of validators that were not handed over.

pub fn add_stake(payer: Key, authority: Key, lamports: u64) -> Call {
    ix::add_stake(payer, authority, authority, lamports)
}

pub fn request_unstake(authority: Key, lamports: u64) -> Call {
    ix::request_unstake(authority, authority, lamports)
}

pub fn withdraw_stake(authority: Key) -> Call {
    ix::withdraw_stake(authority, authority)
}

pub fn withdraw_claimable(signer: Key, authority: Key) -> Call {
    ix::withdraw_claimable(signer, authority, authority)
}

pub fn close_validator(authority: Key, rent_payer: Key) -> Call {
    ix::close_validator(authority, authority, rent_payer)
}

/// Limits that nothing in the tests reaches unless a test lowers them.
pub fn wide_limits(expiry_slot: u64) -> GrantSpend {
    GrantSpend {
        per_job_max: U64::new(1_000_000_000),
        window_max: U64::new(2_000_000_000),
        window_slots: U32::new(1_000),
        lifetime_cap: U64::new(20_000_000_000),
        expiry_slot: U64::new(expiry_slot),
        ..GrantSpend::zeroed()
    }
}

/// A request and the accounts around it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Pays fees and rent.
    pub payer: Key,
    /// Owner or delegate.
    pub requester: Key,
    /// Whose vault pays.
    pub owner: Key,
    /// Address of the model.
    pub model: Key,
    /// Authority and operator of the validator that accepts at once.
    pub validator: Option<(Key, Key)>,
    pub arguments: RequestInference,
}

impl Request {
    /// Address of the job.
    pub fn job(&self) -> Key {
        job(&self.owner, &self.arguments.nonce)
    }

    /// Address of the grant, or [`NONE`] where the owner requests.
    pub fn grant(&self) -> Key {
        match self.requester == self.owner {
            true => NONE,
            false => grant(&self.owner, &self.requester),
        }
    }

    pub fn call(&self) -> Call {
        let who = Requester {
            payer: self.payer.into(),
            requester: self.requester.into(),
            owner: self.owner.into(),
            model: self.model.into(),
            validator: self
                .validator
                .map(|(authority, operator)| (authority.into(), operator.into())),
        };
        ix::request_inference(&who, &self.arguments)
    }
}

/// A job as far as builders read it; `authority` and `grant` may be [`NONE`].
fn job_of(owner: Key, authority: Key, grant: Key) -> Job {
    let given = |key: Key| if key == NONE { NO_KEY } else { key };
    let mut job = Job::zeroed();
    job.terms.owner = owner;
    job.validator = given(authority);
    job.grant = given(grant);
    job
}

pub fn decline(operator: Key, authority: Key, job: Key, owner: Key, grant: Key) -> Call {
    ix::decline_job(operator, authority, job, &job_of(owner, authority, grant))
}

pub fn cancel(canceller: Key, job: Key, owner: Key, grant: Key) -> Call {
    ix::cancel_job(canceller, job, &job_of(owner, NONE, grant))
}

/// `authority` is [`NONE`] for an open job.
pub fn expire(job: Key, owner: Key, authority: Key, grant: Key) -> Call {
    ix::expire_job(job, &job_of(owner, authority, grant))
}

pub fn claim(job: Key, authority: Key, owner: Key, grant: Key) -> Call {
    ix::claim_inference_fee(job, &job_of(owner, authority, grant))
}

pub fn close_job(job: Key, rent_payer: Key) -> Call {
    let mut state = Job::zeroed();
    state.rent_payer = rent_payer;
    ix::close_job(job, &state)
}

pub fn close_output(job: Key, page: u32, rent_payer: Key) -> Call {
    let mut state = Output::zeroed();
    (state.job, state.rent_payer) = (job, rent_payer);
    ix::close_output(output(&job, page), &state)
}
