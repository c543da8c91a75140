//! The end of a run: everything due is done.

use mythic_interface::state::*;
use mythic_program_tests::calls;
use mythic_program_tests::court::juror;
use mythic_program_tests::keys::key;
use mythic_program_tests::world::grant_of;

use crate::simulation::{Simulation, VALIDATORS};

impl Simulation {
    /// With everything due done by strangers, no dispute, page, job or lamport is left behind.
    pub fn wind_down(&mut self) {
        const LONG: u64 = 50_000_000;
        self.world.chain.advance(LONG);
        for (_, dispute) in self.disputes.clone() {
            if !self.exists(&dispute) {
                continue;
            }
            if self.world.dispute(&dispute).status() != Some(DisputeStatus::Resolved) {
                let call = self.world.resolve(&dispute);
                self.world.chain.must(call);
            }
        }
        for case in self.cases.clone() {
            if !self.exists(&case.job) {
                continue;
            }
            let job = self.world.job(&case.job);
            match job.status().expect("listed") {
                JobStatus::Accepted => {
                    let call =
                        calls::expire(case.job, job.terms.owner, job.validator, grant_of(&job));
                    self.world.chain.must(call);
                }
                JobStatus::Submitted | JobStatus::Disputed => {
                    let claim = self.world.claim(&case.job);
                    self.world.chain.must(claim);
                }
                _ => {}
            }
        }
        self.world.chain.advance(LONG);
        let mut addresses: Vec<Key> = self.disputes.iter().map(|entry| entry.1).collect();
        addresses.extend(self.cases.iter().map(|case| calls::fault(&case.job)));
        for dispute in addresses {
            if self.exists(&dispute) {
                self.world.collect_all(&dispute);
                let payer = self.world.dispute(&dispute).rent_payer;
                self.world.chain.must(calls::close_dispute(dispute, payer));
            }
        }
        for case in self.cases.clone() {
            if let Some(account) = self.world.chain.account(&calls::output(&case.job, 0)) {
                let payer = Output::load(&account.data).expect("a page").rent_payer;
                self.world
                    .chain
                    .must(calls::close_output(case.job, 0, payer));
            }
            if self.exists(&case.job) {
                let payer = self.world.job(&case.job).rent_payer;
                self.world.chain.must(calls::close_job(case.job, payer));
            }
        }
        for i in 0..VALIDATORS {
            self.leave(&juror(i));
        }
        let alice: Vault = self.world.chain.load(&calls::vault(&key("alice")));
        assert_eq!((alice.held.get(), alice.open_jobs.get()), (0, 0));
    }

    fn leave(&mut self, name: &str) {
        let authority = key(name);
        if !self.exists(&calls::validator(&authority)) {
            return;
        }
        let chain = &mut self.world.chain;
        let active = chain
            .load::<Validator>(&calls::validator(&authority))
            .active_stake(chain.slot());
        if active > 0 {
            chain.must(calls::request_unstake(authority, active));
            chain.advance(50_000_000);
        }
        let found: Validator = chain.load(&calls::validator(&authority));
        if found.unbonding.get() > 0 {
            chain.must(calls::withdraw_stake(authority));
        }
        if found.claimable.get() > 0 {
            chain.must(calls::withdraw_claimable(authority, authority));
        }
        if found.owed_foundation.get() + found.owed_burn.get() > 0 {
            chain.must(calls::sweep(authority));
        }
        chain.must(calls::close_validator(authority, found.rent_payer));
    }
}
