//! One builder per instruction. Flags of accounts come from the interface's lists, so what these
//! build is what clients build; tests then tamper with it.

use bytemuck::Zeroable;
use mythic_interface::instruction::*;
use mythic_interface::le::{Text, U32, U64};
use mythic_interface::params::Params;
use mythic_interface::pda;
use mythic_interface::state::{Key, ModelSpec};
use mythic_interface::{AI_PRECOMPILES_ID, INCINERATOR, SYSTEM_PROGRAM};
use solana_instruction::{AccountMeta, Instruction as Call};
use solana_pubkey::Pubkey;

use crate::chain::{address, program, program_data};
use crate::world::key;

/// Stands for an optional account that is absent.
pub const NONE: Key = AI_PRECOMPILES_ID;

/// An instruction from its arguments and accounts; those beyond its list are read-only.
pub fn call<I: Instruction>(arguments: &I, accounts: &[Key]) -> Call {
    let accounts = accounts.iter().enumerate().map(|(i, account)| {
        let spec = I::ACCOUNTS.get(i);
        let absent = spec.is_some_and(|spec| spec.optional) && *account == NONE;
        AccountMeta {
            pubkey: Pubkey::from(*account),
            is_signer: !absent && spec.is_some_and(|spec| spec.signer),
            is_writable: !absent && spec.is_some_and(|spec| spec.writable),
        }
    });
    Call {
        program_id: program(),
        accounts: accounts.collect(),
        data: arguments.encode(),
    }
}

/// As [`call`], with bytes behind the arguments.
pub fn call_with_tail<I: Instruction>(arguments: &I, tail: &[u8], accounts: &[Key]) -> Call {
    let mut call = call(arguments, accounts);
    call.data.extend_from_slice(tail);
    call
}

pub fn config() -> Key {
    address(&pda::CONFIG)
}
pub fn treasury() -> Key {
    address(&pda::TREASURY)
}
pub fn model(spec: &ModelSpec) -> Key {
    address(&pda::model(&spec.identity()))
}
pub fn validator(authority: &Key) -> Key {
    address(&pda::validator(authority))
}
pub fn vault(owner: &Key) -> Key {
    address(&pda::vault(owner))
}
pub fn grant(owner: &Key, delegate: &Key) -> Key {
    address(&pda::grant(owner, delegate))
}
pub fn job(owner: &Key, nonce: &[u8; 16]) -> Key {
    address(&pda::job(owner, nonce))
}
pub fn dispute(job: &Key, challenger: &Key) -> Key {
    address(&pda::dispute(job, challenger))
}
pub fn fault(job: &Key) -> Key {
    address(&pda::fault(job))
}
pub fn output(job: &Key, page: u32) -> Key {
    address(&pda::output(job, &page.to_le_bytes()))
}

pub fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).expect("short ASCII")
}

pub fn initialize(params: &Params) -> Call {
    let arguments = Initialize {
        admin: key("admin"),
        foundation: key("foundation"),
        params: *params,
    };
    let accounts = [
        key("payer"),
        key("upgrade_authority"),
        program_data(),
        config(),
        treasury(),
        SYSTEM_PROGRAM,
    ];
    call(&arguments, &accounts)
}

pub fn update_config(admin: Key, foundation: Key, params: &Params) -> Call {
    let params = *params;
    call(&UpdateConfig { foundation, params }, &[admin, config()])
}

pub fn propose_admin(admin: Key, new_admin: Key) -> Call {
    call(&ProposeAdmin { new_admin }, &[admin, config()])
}

pub fn accept_admin(new_admin: Key) -> Call {
    call(&AcceptAdmin {}, &[new_admin, config()])
}

pub fn pause(admin: Key) -> Call {
    call(&Pause {}, &[admin, config()])
}

pub fn unpause(admin: Key) -> Call {
    call(&Unpause {}, &[admin, config()])
}

pub fn sweep(authority: &Key) -> Call {
    call(&Sweep {}, &[validator(authority), treasury(), INCINERATOR])
}

pub fn withdraw_foundation(foundation: Key) -> Call {
    call(&WithdrawFoundation {}, &[config(), treasury(), foundation])
}

pub fn register_model(payer: Key, registrant: Key, spec: &ModelSpec, name: &str) -> Call {
    let arguments = RegisterModel {
        spec: *spec,
        name: text(name),
    };
    let accounts = [
        payer,
        registrant,
        config(),
        model(spec),
        INCINERATOR,
        SYSTEM_PROGRAM,
    ];
    call(&arguments, &accounts)
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
    call(&arguments, &[registrant, model])
}

pub fn register_validator(authority: Key, operator: Key, stake: u64, models: &[Key]) -> Call {
    let arguments = RegisterValidator {
        operator,
        stake: U64::new(stake),
        vram_mib: U32::new(0),
        gpu_name: text(""),
        endpoint: text("http://127.0.0.1:8080"),
    };
    let accounts = [
        authority,
        authority,
        config(),
        validator(&authority),
        SYSTEM_PROGRAM,
    ];
    call(&arguments, &[&accounts, models].concat())
}

pub fn update_validator(authority: Key, operator: Key, models: &[Key]) -> Call {
    let arguments = UpdateValidator {
        operator,
        vram_mib: U32::new(24_576),
        gpu_name: text("RTX 4090"),
        endpoint: text("https://node.example:8443"),
    };
    let accounts = [authority, validator(&authority)];
    call(&arguments, &[&accounts, models].concat())
}

pub fn add_stake(payer: Key, authority: Key, amount: u64) -> Call {
    let accounts = [
        payer,
        authority,
        config(),
        validator(&authority),
        SYSTEM_PROGRAM,
    ];
    let amount = U64::new(amount);
    call(&AddStake { amount }, &accounts)
}

pub fn request_unstake(authority: Key, amount: u64) -> Call {
    let amount = U64::new(amount);
    call(
        &RequestUnstake { amount },
        &[authority, config(), validator(&authority)],
    )
}

pub fn withdraw_stake(authority: Key) -> Call {
    call(&WithdrawStake {}, &[authority, validator(&authority)])
}

pub fn withdraw_claimable(signer: Key, authority: Key) -> Call {
    let accounts = [signer, validator(&authority), authority];
    call(&WithdrawClaimable {}, &accounts)
}

pub fn unjail(signer: Key, authority: Key) -> Call {
    call(&Unjail {}, &[signer, config(), validator(&authority)])
}

pub fn close_validator(authority: Key, rent_payer: Key) -> Call {
    let accounts = [authority, validator(&authority), rent_payer];
    call(&CloseValidator {}, &accounts)
}

pub fn deposit(payer: Key, owner: Key, amount: u64) -> Call {
    let amount = U64::new(amount);
    call(
        &DepositVault { amount },
        &[payer, owner, vault(&owner), SYSTEM_PROGRAM],
    )
}

pub fn withdraw_vault(owner: Key, amount: u64) -> Call {
    let amount = U64::new(amount);
    call(&WithdrawVault { amount }, &[owner, vault(&owner)])
}

pub fn close_vault(owner: Key, rent_payer: Key) -> Call {
    call(&CloseVault {}, &[owner, vault(&owner), rent_payer])
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

pub fn grant_spend(payer: Key, owner: Key, delegate: Key, limits: &GrantSpend) -> Call {
    let accounts = [
        payer,
        owner,
        delegate,
        grant(&owner, &delegate),
        SYSTEM_PROGRAM,
    ];
    call(limits, &accounts)
}

pub fn revoke_grant(owner: Key, delegate: Key) -> Call {
    call(&RevokeGrant {}, &[owner, grant(&owner, &delegate)])
}

pub fn close_grant(owner: Key, delegate: Key, rent_payer: Key) -> Call {
    call(&CloseGrant {}, &[grant(&owner, &delegate), rent_payer])
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
    /// The arguments.
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

    /// The instruction.
    pub fn call(&self) -> Call {
        let (validator, operator) = match self.validator {
            Some((authority, operator)) => (validator(&authority), operator),
            None => (NONE, NONE),
        };
        let accounts = [
            self.payer,
            self.requester,
            config(),
            self.model,
            vault(&self.owner),
            self.grant(),
            self.job(),
            validator,
            operator,
            SYSTEM_PROGRAM,
        ];
        call(&self.arguments, &accounts)
    }
}

pub fn accept(operator: Key, authority: Key, job: Key, terms_hash: [u8; 32]) -> Call {
    let accounts = [operator, validator(&authority), job];
    call(&AcceptInference { terms_hash }, &accounts)
}

pub fn decline(operator: Key, authority: Key, job: Key, owner: Key, grant: Key) -> Call {
    let accounts = [operator, validator(&authority), job, vault(&owner), grant];
    call(&DeclineJob {}, &accounts)
}

pub fn cancel(canceller: Key, job: Key, owner: Key, grant: Key) -> Call {
    call(&CancelJob {}, &[canceller, job, vault(&owner), grant])
}

/// `authority` is [`NONE`] for an open job.
pub fn expire(job: Key, owner: Key, authority: Key, grant: Key) -> Call {
    let validator = match authority == NONE {
        true => NONE,
        false => validator(&authority),
    };
    call(&ExpireJob {}, &[job, vault(&owner), validator, grant])
}

pub fn submit(operator: Key, authority: Key, job: Key, result: &SubmitResult) -> Call {
    call(result, &[operator, validator(&authority), job])
}

pub fn claim(job: Key, authority: Key, owner: Key, grant: Key) -> Call {
    let accounts = [job, validator(&authority), vault(&owner), grant];
    call(&ClaimInferenceFee {}, &accounts)
}

pub fn close_job(job: Key, rent_payer: Key) -> Call {
    call(&CloseJob {}, &[job, rent_payer])
}

/// The result of a job as instructions name it.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The job.
    pub job: Key,
    /// Slot of the result.
    pub submitted_slot: U64,
    /// Its fingerprint.
    pub fingerprint: [u8; 32],
}

/// Who challenges or proves: who pays, its operator and its authority.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    pub payer: Key,
    pub operator: Key,
    pub authority: Key,
}

pub fn verify_logits(
    result: &Named,
    who: &Party,
    submitter: &Key,
    model: Key,
    bond: u64,
    named: &[u32],
) -> Call {
    let mut positions = [U32::new(0); 2];
    for (place, position) in positions.iter_mut().zip(named) {
        place.set(*position);
    }
    let arguments = VerifyLogits {
        submitted_slot: result.submitted_slot,
        fingerprint: result.fingerprint,
        bond: U64::new(bond),
        position_count: named.len() as u8,
        positions,
    };
    let accounts = [
        who.payer,
        who.operator,
        validator(&who.authority),
        result.job,
        validator(submitter),
        model,
        dispute(&result.job, &who.authority),
        SYSTEM_PROGRAM,
    ];
    call(&arguments, &accounts)
}

pub fn post_output(result: &Named, payer: Key, dispute: Key, chunk: u32, tail: &[u8]) -> Call {
    let arguments = PostOutput {
        submitted_slot: result.submitted_slot,
        fingerprint: result.fingerprint,
        chunk: U32::new(chunk),
    };
    let accounts = [
        payer,
        dispute,
        result.job,
        output(&result.job, 0),
        page(&result.job, chunk / 16),
        SYSTEM_PROGRAM,
    ];
    call_with_tail(&arguments, tail, &accounts)
}

/// The page beside the first one, or [`NONE`].
fn page(job: &Key, number: u32) -> Key {
    match number {
        0 => NONE,
        number => output(job, number),
    }
}

/// `page` is the page that holds the leaves' tokens.
pub fn post_openings(result: &Named, dispute: Key, number: u32, tail: &[u8]) -> Call {
    let arguments = PostOpenings {
        submitted_slot: result.submitted_slot,
        fingerprint: result.fingerprint,
    };
    let accounts = [
        dispute,
        result.job,
        output(&result.job, 0),
        page(&result.job, number),
    ];
    call_with_tail(&arguments, tail, &accounts)
}

pub fn commit_juror(
    result: &Named,
    operator: Key,
    authority: Key,
    dispute: Key,
    positions_hash: [u8; 32],
    commitment: [u8; 32],
) -> Call {
    let arguments = CommitJuror {
        submitted_slot: result.submitted_slot,
        fingerprint: result.fingerprint,
        positions_hash,
        commitment,
    };
    call(&arguments, &[operator, validator(&authority), dispute])
}

pub fn reveal_juror(
    result: &Named,
    operator: Key,
    authority: Key,
    dispute: Key,
    salt: [u8; 32],
    vector: &[u8],
) -> Call {
    let arguments = RevealJuror {
        submitted_slot: result.submitted_slot,
        fingerprint: result.fingerprint,
        salt,
    };
    let accounts = [operator, validator(&authority), dispute];
    call_with_tail(&arguments, vector, &accounts)
}

/// What a fault is proved with beside the result.
#[derive(Clone, Debug)]
pub struct Proof {
    pub submitter: Key,
    pub owner: Key,
    pub grant: Key,
    pub model: Key,
    pub page: Key,
    pub leaf: [u8; 40],
    pub path: Vec<u8>,
}

pub fn prove_fault(result: &Named, who: &Party, proof: &Proof) -> Call {
    let arguments = ProveFault {
        submitted_slot: result.submitted_slot,
        fingerprint: result.fingerprint,
        leaf: proof.leaf,
    };
    let accounts = [
        who.payer,
        who.operator,
        validator(&who.authority),
        result.job,
        validator(&proof.submitter),
        vault(&proof.owner),
        proof.grant,
        proof.model,
        proof.page,
        fault(&result.job),
        SYSTEM_PROGRAM,
    ];
    call_with_tail(&arguments, &proof.path, &accounts)
}

pub fn resolve_dispute(dispute: Key, job: Key, submitter: &Key, owner: &Key, grant: Key) -> Call {
    let accounts = [dispute, job, validator(submitter), vault(owner), grant];
    call(&ResolveDispute {}, &accounts)
}

pub fn collect_dispute(dispute: Key, authority: Key) -> Call {
    let accounts = [dispute, validator(&authority), INCINERATOR];
    call(&CollectDispute { authority }, &accounts)
}

pub fn close_dispute(dispute: Key, rent_payer: Key) -> Call {
    call(&CloseDispute {}, &[dispute, rent_payer])
}

pub fn close_output(job: Key, page: u32, rent_payer: Key) -> Call {
    call(&CloseOutput {}, &[output(&job, page), job, rent_payer])
}
