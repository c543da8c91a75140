//! Jobs whose accounts a batch wrote, told to the collector of traces once they are committed.

use std::time::{Duration, UNIX_EPOCH};

use crate::holder::Input;
use crate::writer::Step;
use mythic_interface::state::{Job, Key};
use mythic_trace::names;

/// Jobs of a batch that are told at most.
const MOST: usize = 256;

/// Writes of jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Vec<Write>);

#[derive(Debug)]
struct Write {
    job: Key,
    slot: u64,
    state: String,
}

impl Jobs {
    /// Those of a batch; none where nothing is traced.
    pub fn of(steps: &[Step]) -> Self {
        if !mythic_trace::is_on() {
            return Self::default();
        }
        let banks = steps.iter().filter_map(|step| match &step.input {
            Input::Bank(bank) => Some(bank),
            _ => None,
        });
        let writes = banks.flat_map(|bank| {
            let accounts = bank.accounts.iter();
            accounts.filter_map(|account| {
                let state = Job::load(&account.data).ok()?.status()?;
                Some(Write {
                    job: account.pubkey,
                    slot: bank.id.slot,
                    state: format!("{state:?}").to_lowercase(),
                })
            })
        });
        Self(writes.take(MOST).collect())
    }

    /// They are committed. `sealed_at`: when the last of their blocks was sealed, Unix nanoseconds.
    pub fn committed(self, sealed_at: Option<u64>) {
        let began = sealed_at.map(|nanos| UNIX_EPOCH + Duration::from_nanos(nanos));
        for write in self.0 {
            let span = mythic_trace::of_job("index job", &write.job, began);
            if span.is_recorded() {
                span.word(names::JOB, &bs58::encode(&write.job).into_string())
                    .word(names::STATE, &write.state)
                    .number(names::SLOT, write.slot);
            }
        }
    }
}
