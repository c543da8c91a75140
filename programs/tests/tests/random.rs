//! Random instructions by many parties, some of them malformed: whatever happens, the invariants
//! hold after each (the harness checks), refusals are the program's own, and nobody is stuck.

use std::collections::BTreeMap;

use mythic_interface::ix::{ALL, Tag};
use mythic_interface::le::{U16, U32, U64};
use mythic_interface::params::Params;
use mythic_interface::state::*;
use mythic_program_tests::calls::{self, NONE, Request};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::draw::Draw;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{World, grant_of, model, params, spec};
use proptest::test_runner::{Config as Runs, TestCaseError, TestRunner};
use solana_instruction::Instruction as Call;
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;

const OWNERS: [&str; 3] = ["alice", "bob", "carol"];
const VALIDATORS: [&str; 3] = ["v1", "v2", "v3"];
/// Delegates are owners too, so that roles mix.
const DELEGATES: [&str; 3] = ["gateway", "bob", "carol"];

struct Simulation {
    world: World,
    jobs: Vec<Key>,
    succeeded: BTreeMap<u8, u64>,
}

impl Simulation {
    fn step(&mut self, seed: u64) -> Result<(), TestCaseError> {
        let mut d = Draw(seed);
        if d.chance(8) {
            let slots = match d.chance(5) {
                true => d.pick(&[150, 1_500, 2_250, 2_450]),
                false => d.pick(&[1, 1, 7, 20, 49, 50, 99, 100]),
            };
            self.world.chain.advance(slots);
            return Ok(());
        }
        let mut call = self.call(&mut d);
        let tampered = d.chance(8);
        if tampered {
            self.tamper(&mut call, &mut d);
        }
        let Some(tag) = call.data.first().copied() else {
            return Ok(());
        };
        match self.world.chain.send(std::slice::from_ref(&call)) {
            Ok(_) => {
                *self.succeeded.entry(tag).or_default() += 1;
                if tag == Tag::RequestInference as u8 {
                    self.jobs.push(call.accounts[6].pubkey.to_bytes());
                }
            }
            Err(refusal) => {
                let own = refusal.mythic().is_some();
                let aborted = matches!(
                    refusal.error,
                    TransactionError::InstructionError(
                        _,
                        InstructionError::ProgramFailedToComplete
                    )
                );
                // A tampered UpdateConfig may have set a fee that nobody can pay: then the system
                // program refuses.
                let config: Config = self.world.chain.load(&calls::config());
                let unpayable = tag == Tag::RegisterModel as u8
                    && config.params.registration_fee.get() > 900 * SOL;
                if aborted || !(own || tampered || unpayable) {
                    let text = format!(
                        "{:?} fails with {:?}\n{}",
                        Tag::from_u8(tag),
                        refusal.error,
                        refusal.logs.join("\n")
                    );
                    return Err(TestCaseError::fail(text));
                }
            }
        }
        Ok(())
    }

    /// Another account somewhere, a flag dropped, or a byte of the data changed.
    fn tamper(&self, call: &mut Call, d: &mut Draw) {
        let at = d.below(call.accounts.len() as u64) as usize;
        match d.below(3) {
            0 => {
                let mut others = vec![
                    calls::config(),
                    calls::treasury(),
                    model(1),
                    model(2),
                    key("stranger"),
                    NONE,
                ];
                others.extend(OWNERS.map(|name| calls::vault(&key(name))));
                others.extend(VALIDATORS.map(|name| calls::validator(&key(name))));
                others.extend(&self.jobs);
                call.accounts[at].pubkey = Pubkey::from(d.pick(&others));
            }
            1 => match d.chance(2) {
                true => call.accounts[at].is_signer = false,
                false => call.accounts[at].is_writable = false,
            },
            _ => {
                let byte = d.below(call.data.len() as u64) as usize;
                call.data[byte] ^= 1 << d.below(8);
            }
        }
    }

    fn limits(&self, d: &mut Draw) -> mythic_interface::ix::GrantSpend {
        let mut limits = calls::wide_limits(self.world.chain.slot() + d.pick(&[1, 200, 5_000]));
        limits.per_job_max = U64::new(d.pick(&[5_000, 20_000, 1_000_000]));
        limits.window_max = U64::new(d.pick(&[20_000, 60_000, 1_000_000]));
        limits.window_slots = U32::new(d.pick(&[1, 60, 1_000]));
        limits.lifetime_cap = U64::new(d.pick(&[50_000, 500_000, SOL]));
        if d.chance(3) {
            limits.model_count = 1;
            limits.models[0] = model(1);
        }
        limits
    }

    fn parameters(&self, d: &mut Draw) -> Params {
        let mut changed = params();
        changed.rules.window_slots = U32::new(d.pick(&[32, 50, 100]));
        changed.rules.cancel_grace_slots = U32::new(d.pick(&[1, 50]));
        changed.rules.validator_bps = U16::new(d.pick(&[1, 3_333, 5_000, 9_000]));
        changed.rules.foundation_bps = U16::new(d.pick(&[1, 1_000]));
        changed.rules.stake_per_job = U64::new(d.pick(&[50_000_000, SOL / 2]));
        changed
    }

    fn request(&mut self, d: &mut Draw) -> Request {
        let owner = d.pick(&OWNERS);
        let requester = match d.chance(2) {
            true => owner,
            false => d.pick(&DELEGATES),
        };
        let mut request = self.world.request(owner, requester);
        request.model = model(d.pick(&[1, 1, 1, 2]));
        if let Some(account) = self.world.chain.account(&request.model) {
            let found = Model::load(&account.data).expect("a model");
            request.arguments.price_in = found.price_in;
            request.arguments.price_out = found.price_out;
        }
        request.payer = key(d.pick(&["gateway", "payer", owner]));
        request.arguments.prompt_tokens.set(1 + d.below(200) as u32);
        let most = 1 + d.below(300) as u32;
        request.arguments.max_output_tokens.set(most);
        if d.chance(3) {
            request.arguments.options_hash = [1; 32];
        }
        let deadline = d.pick(&[1, 40, 150, 1_500]);
        request.arguments.deadline_slots.set(deadline);
        if d.chance(2) {
            let name = d.pick(&VALIDATORS);
            request.validator = Some((key(name), operator(name)));
        }
        request
    }

    /// An instruction about some job, mostly with the accounts that belong to it.
    fn about_a_job(&mut self, d: &mut Draw) -> Call {
        // The latest ones are the most likely to be alive.
        let back = 1 + d.below(self.jobs.len().clamp(1, 12) as u64) as usize;
        let address = match self.jobs.len().checked_sub(back) {
            Some(at) => self.jobs[at],
            None => key("no job"),
        };
        let Some(account) = self.world.chain.account(&address) else {
            return calls::close_job(address, key("gateway"));
        };
        let job = *Job::load(&account.data).expect("a job");
        let owner = job.terms.owner;
        let grant = grant_of(&job);
        let name = VALIDATORS
            .into_iter()
            .find(|name| key(name) == job.validator)
            .unwrap_or(d.pick(&VALIDATORS));
        let authority = key(name);
        let expected = match job.validator == NO_KEY {
            true => NONE,
            false => authority,
        };
        // Mostly what may come next, now and then anything.
        let next: &[u64] = match job.status() {
            Some(JobStatus::Open) => &[0, 0, 0, 3, 4],
            Some(JobStatus::Accepted) => &[2, 3, 4, 5, 5, 5],
            Some(JobStatus::Submitted) => &[7],
            _ => &[9],
        };
        let kind = match d.chance(4) {
            true => d.below(10),
            false => d.pick(next),
        };
        match kind {
            0 | 1 => calls::accept_inference(operator(name), authority, address, job.terms_hash),
            2 => calls::decline(operator(name), authority, address, owner, grant),
            3 => {
                let who = d.pick(&[owner, job.terms.requester, key("canceller")]);
                calls::cancel(who, address, owner, grant)
            }
            4 => calls::expire(address, owner, expected, grant),
            5 | 6 => {
                let most = job.terms.max_output_tokens.get();
                let reason = d.pick(&[
                    FinishReason::Eos,
                    FinishReason::Length,
                    FinishReason::Stopped,
                    FinishReason::Cancelled,
                ]);
                let tokens = match reason {
                    FinishReason::Length => most,
                    _ => 1 + d.below(u64::from(most)) as u32,
                };
                let result = self.world.result(&address, tokens, reason);
                calls::submit_result(operator(name), authority, address, &result)
            }
            7 | 8 => calls::claim(address, authority, owner, grant),
            _ => calls::close_job(address, job.rent_payer),
        }
    }

    fn rent_payer_of(&self, address: &Key, d: &mut Draw) -> Key {
        let account = self.world.chain.account(address);
        let data = account.map(|account| account.data).unwrap_or_default();
        let found = Vault::load(&data)
            .map(|vault| vault.rent_payer)
            .or(SpendGrant::load(&data).map(|grant| grant.rent_payer))
            .or(Validator::load(&data).map(|validator| validator.rent_payer));
        found.unwrap_or(key(d.pick(&OWNERS)))
    }

    /// The next step of a validator on its way out.
    fn leave(&self, authority: Key) -> Call {
        let address = calls::validator(&authority);
        let data = self
            .world
            .chain
            .account(&address)
            .map(|account| account.data);
        let Some(found) = data.as_deref().and_then(|data| Validator::load(data).ok()) else {
            return calls::close_validator(authority, authority);
        };
        let active = found.active_stake(self.world.chain.slot());
        match () {
            _ if active > 0 => calls::request_unstake(authority, active),
            _ if found.unbonding.get() > 0 => calls::withdraw_stake(authority),
            _ if found.claimable.get() > 0 => calls::withdraw_claimable(authority, authority),
            _ if found.owed_burn.get() > 0 => calls::sweep(authority),
            _ => calls::close_validator(authority, found.rent_payer),
        }
    }

    fn call(&mut self, d: &mut Draw) -> Call {
        let owner = key(d.pick(&OWNERS));
        let delegate = key(d.pick(&DELEGATES));
        let name = d.pick(&VALIDATORS);
        let authority = key(name);
        let models: &[Key] = match d.below(3) {
            0 => &[],
            1 => &[model(1)],
            _ => &[model(2), model(1)],
        };
        match d.below(64) {
            0..16 => self.request(d).call(),
            16..38 => self.about_a_job(d),
            38..41 => {
                let amount = d.pick(&[5_000, 30_000, 100_000]);
                calls::deposit_vault(key(d.pick(&["payer", "bob"])), owner, amount)
            }
            41 => calls::withdraw_vault(owner, d.pick(&[1, 10_000, 50_000])),
            42 => {
                let payer = self.rent_payer_of(&calls::vault(&owner), d);
                calls::close_vault(owner, payer)
            }
            43..46 => {
                let mut limits = self.limits(d);
                let grant = self.world.chain.account(&calls::grant(&owner, &delegate));
                // Mostly what the account says.
                if let Some(account) = grant.filter(|_| !d.chance(8)) {
                    let grant = SpendGrant::load(&account.data).expect("a grant");
                    limits.spent = grant.lifetime_spent;
                }
                calls::grant_spend(key("payer"), owner, delegate, &limits)
            }
            46 => calls::revoke_grant(owner, delegate),
            47 => {
                let payer = self.rent_payer_of(&calls::grant(&owner, &delegate), d);
                match d.chance(4) {
                    true => calls::close_old_grant(calls::grant(&owner, &delegate), payer),
                    false => calls::close_grant(owner, delegate, payer),
                }
            }
            48 | 49 => calls::register_validator(
                authority,
                operator(name),
                d.pick(&[SOL, 2 * SOL]),
                models,
            ),
            50 => calls::update_validator(authority, operator(name), models),
            51 => calls::add_stake(key("payer"), authority, d.pick(&[1, SOL])),
            52 => calls::request_unstake(authority, d.pick(&[1, SOL, 2 * SOL, 3 * SOL])),
            53 => calls::withdraw_stake(authority),
            54 => calls::withdraw_claimable(d.pick(&[authority, operator(name)]), authority),
            55 => calls::unjail(authority, authority),
            56 => self.leave(authority),
            57 => calls::sweep(authority),
            58 => calls::withdraw_foundation(key("foundation")),
            59 => {
                let changed = self.parameters(d);
                calls::update_config(key("admin"), key("foundation"), &changed)
            }
            60 => match d.below(8) {
                0 => calls::pause(key("admin")),
                _ => calls::unpause(key("admin")),
            },
            61 => {
                let prices = (d.below(100_000) as u32, d.below(100_000) as u32);
                let n = d.pick(&[1, 2, 2]);
                let retired = u8::from(n == 2 && d.chance(3));
                calls::update_model(key("registrant"), model(n), prices, "model", retired)
            }
            62 => {
                let n = 1 + d.below(5) as u8;
                calls::register_model(key("payer"), key("registrant"), &spec(n), "another")
            }
            _ => {
                let (admin, registrant) = (key("admin"), key("registrant"));
                match d.below(6) {
                    0 => calls::propose_admin(admin, admin),
                    1 => calls::accept_admin(admin),
                    2 => calls::propose_registrant(registrant, model(1), registrant),
                    3 => calls::accept_registrant(registrant, model(1)),
                    4 => calls::propose_owner(authority, authority, authority),
                    _ => calls::accept_owner(authority, authority),
                }
            }
        }
    }

    /// With everything due done by strangers, no money and no job is left behind.
    fn wind_down(&mut self) {
        let chain = &mut self.world.chain;
        // Longer than any duration that parameters allow.
        const LONG: u64 = 50_000_000;
        chain.advance(LONG);
        let jobs: Vec<(Key, Job)> = self
            .jobs
            .iter()
            .filter_map(|address| {
                let account = chain.account(address)?;
                Some((*address, *Job::load(&account.data).expect("a job")))
            })
            .collect();
        for (address, job) in &jobs {
            let grant = grant_of(job);
            let owner = job.terms.owner;
            match job.status().expect("listed") {
                JobStatus::Open => {
                    chain.must(calls::expire(*address, owner, NONE, grant));
                }
                JobStatus::Accepted => {
                    chain.must(calls::expire(*address, owner, job.validator, grant));
                }
                JobStatus::Submitted => {
                    chain.must(calls::claim(*address, job.validator, owner, grant));
                }
                _ => {}
            }
        }
        chain.advance(LONG);
        for (address, job) in &jobs {
            chain.must(calls::close_job(*address, job.rent_payer));
        }
        for name in OWNERS {
            let vault = calls::vault(&key(name));
            let Some(account) = chain.account(&vault) else {
                continue;
            };
            let payer = Vault::load(&account.data).expect("a vault").rent_payer;
            chain.must(calls::close_vault(key(name), payer));
        }
        for name in VALIDATORS {
            let address = calls::validator(&key(name));
            let Some(account) = chain.account(&address) else {
                continue;
            };
            let found = *Validator::load(&account.data).expect("a validator");
            let active = found.active_stake(chain.slot());
            if active > 0 {
                chain.must(calls::request_unstake(key(name), active));
                chain.advance(LONG);
            }
            if chain.load::<Validator>(&address).unbonding.get() > 0 {
                chain.must(calls::withdraw_stake(key(name)));
            }
            if found.claimable.get() > 0 {
                chain.must(calls::withdraw_claimable(key(name), key(name)));
            }
            if found.owed_foundation.get() + found.owed_burn.get() > 0 {
                chain.must(calls::sweep(key(name)));
            }
            chain.must(calls::close_validator(key(name), found.rent_payer));
        }
    }
}

#[test]
fn invariants_hold_under_random_instructions_by_many_parties() {
    let mut start = World::new();
    start.chain.fund(key("foundation"), SOL);
    // Little in the vaults and in one grant, so that limits are met.
    for name in ["alice", "bob"] {
        start
            .chain
            .must(calls::withdraw_vault(key(name), 10 * SOL - 200_000));
    }
    let mut succeeded: BTreeMap<u8, u64> = BTreeMap::new();
    let runs = Runs {
        cases: 128,
        max_shrink_iters: 500,
        failure_persistence: None,
        ..Runs::default()
    };
    let strategy = proptest::collection::vec(proptest::num::u64::ANY, 200..400);
    let total = std::cell::RefCell::new(&mut succeeded);
    let result = TestRunner::new(runs).run(&strategy, |seeds| {
        let mut simulation = Simulation {
            world: start.clone(),
            jobs: Vec::new(),
            succeeded: BTreeMap::new(),
        };
        for seed in seeds {
            simulation.step(seed)?;
        }
        simulation.wind_down();
        for (tag, count) in simulation.succeeded {
            *total.borrow_mut().entry(tag).or_default() += count;
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    // What cannot succeed here: a second initialization; and disputes, which jail, have a test of their own.
    let never: Vec<Tag> = ALL
        .iter()
        .copied()
        .filter(|tag| (*tag as u8) < Tag::VerifyLogits as u8)
        .filter(|tag| !succeeded.contains_key(&(*tag as u8)))
        .collect();
    assert_eq!(never, [Tag::Initialize, Tag::Unjail], "{succeeded:?}");
    let sum: u64 = succeeded.values().sum();
    println!("{sum} instructions succeeded: {succeeded:?}");
}
