//! The end of a run: everything due is done.

use mythic_interface::state::*;
use mythic_program_tests::calls;
use mythic_program_tests::court::{Answered, juror};
use mythic_program_tests::keys::key;
use mythic_program_tests::world::grant_of;

use crate::simulation::{Simulation, VALIDATORS};

impl Simulation {
    /// With everything due done by strangers, no case, page, job or lamport is left behind.
    pub fn wind_down(&mut self) {
        const LONG: u64 = 50_000_000;
        self.world.chain.advance(LONG);
        for answered in self.answers.clone() {
            if self.has_case(&answered) {
                let case = self.world.case(&answered);
                if case.status() != Some(CaseStatus::Resolved) {
                    let call = self.world.resolve(&answered);
                    self.world.chain.must(call);
                }
            }
            if self.exists(&answered.job) {
                self.finish(&answered);
            }
        }
        self.world.chain.advance(LONG);
        for answered in self.answers.clone() {
            if self.has_case(&answered) {
                self.world.collect_all(&answered);
                let close = self.world.closing(&answered);
                self.world.chain.must(close);
            }
            let page = calls::output(&answered.job, 0);
            if let Some(account) = self.world.chain.account(&page) {
                let payer = Output::load(&account.data).expect("a page").rent_payer;
                let close = calls::close_output(answered.job, 0, payer);
                self.world.chain.must(close);
            }
            if self.exists(&answered.job) {
                let payer = self.world.job(&answered.job).rent_payer;
                self.world.chain.must(calls::close_job(answered.job, payer));
            }
        }
        for i in 0..VALIDATORS {
            self.leave(&juror(i));
        }
        let alice: Vault = self.world.chain.load(&calls::vault(&key("alice")));
        assert_eq!((alice.held.get(), alice.open_jobs.get()), (0, 0));
    }

    /// Ends a job that has no case.
    fn finish(&mut self, answered: &Answered) {
        let job = self.world.job(&answered.job);
        match job.status().expect("listed") {
            JobStatus::Accepted => {
                let owner = job.terms.owner;
                let call = calls::expire(answered.job, owner, job.validator, grant_of(&job));
                self.world.chain.must(call);
            }
            JobStatus::Submitted => {
                let claim = self.world.claim(&answered.job);
                self.world.chain.must(claim);
            }
            _ => {}
        }
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
