//! Reading the chain for the settler.

use std::collections::{BTreeSet, HashMap, HashSet};

use base64::Engine as _;
use mythic_client::{
    ChainClient, ClientError, Commitment,
    account::{ProgramAccount, decode},
    pda::PROGRAM_ID,
};
use mythic_interface::state::{Case, Job, Output, Validator, Votes};
use serde::Deserialize;
use serde_json::json;
use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::request::RpcRequest;

use crate::{
    reconcile::ChainAccount,
    windows::{CaseWindow, JobWindow, OutputWindow, ValidatorWindow, Windows},
};

/// Accounts that the index says may need something.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    pub jobs: Vec<Pubkey>,
    pub cases: Vec<Pubkey>,
    pub outputs: Vec<Pubkey>,
    /// Authorities, with the slot of the account's last finalized write.
    pub validators: Vec<(Pubkey, u64)>,
}

impl Candidates {
    /// Takes those of `other` too, each account once.
    pub fn add(&mut self, other: Self) {
        fn merge<T: Ord>(into: &mut Vec<T>, from: Vec<T>) {
            into.extend(from);
            into.sort_unstable();
            into.dedup();
        }
        merge(&mut self.jobs, other.jobs);
        merge(&mut self.cases, other.cases);
        merge(&mut self.outputs, other.outputs);
        merge(&mut self.validators, other.validators);
        self.validators.dedup_by_key(|(authority, _)| *authority);
    }
}

/// The present state of candidates, at `confirmed`: what is done by now is not due again. Addresses of jobs, cases and
/// outputs where no such account is come back too.
pub(crate) async fn windows(
    client: &ChainClient,
    candidates: &Candidates,
) -> Result<(Windows, Vec<Pubkey>), ClientError> {
    let mut windows = Windows::default();
    let mut missing = Vec::new();
    for (pubkey, job) in read::<Job>(client, &candidates.jobs).await? {
        match job {
            Some(job) => windows.jobs.push(JobWindow { pubkey, job: *job }),
            None => missing.push(pubkey),
        }
    }
    let (mut cases, mut outputs) = (Vec::new(), Vec::new());
    for (pubkey, case) in read::<Case>(client, &candidates.cases).await? {
        match case {
            Some(case) => cases.push((pubkey, case)),
            None => missing.push(pubkey),
        }
    }
    for (pubkey, output) in read::<Output>(client, &candidates.outputs).await? {
        match output {
            Some(output) => outputs.push((pubkey, output)),
            None => missing.push(pubkey),
        }
    }
    let named = cases.iter().map(|(_, case)| case.job);
    let named = named.chain(outputs.iter().map(|(_, output)| output.job));
    let named: BTreeSet<[u8; 32]> = named.collect();
    let named: Vec<Pubkey> = named.into_iter().map(Pubkey::new_from_array).collect();
    let jobs: HashMap<[u8; 32], Option<Box<Job>>> = read::<Job>(client, &named)
        .await?
        .into_iter()
        .map(|(pubkey, job)| (pubkey.to_bytes(), job))
        .collect();
    let job_of = |key: &[u8; 32]| jobs.get(key).and_then(Option::as_deref).copied();
    windows.cases = cases
        .into_iter()
        .map(|(pubkey, case)| CaseWindow {
            pubkey,
            job: job_of(&case.job),
            case,
            votes: None,
            closed: Vec::new(),
        })
        .collect();
    add_votes(client, &mut windows.cases).await?;
    add_closed(client, &mut windows.cases).await?;
    windows.outputs = outputs
        .into_iter()
        .map(|(pubkey, output)| OutputWindow {
            pubkey,
            job: job_of(&output.job),
            output,
        })
        .collect();
    let addresses: Vec<Pubkey> = candidates
        .validators
        .iter()
        .map(|(authority, _)| mythic_client::pda::validator(authority))
        .collect();
    let found = read::<Validator>(client, &addresses).await?;
    for ((authority, written_slot), (_, validator)) in candidates.validators.iter().zip(found) {
        if let Some(validator) = validator {
            let owed = validator
                .owed_foundation
                .get()
                .saturating_add(validator.owed_burn.get());
            windows.validators.push(ValidatorWindow {
                authority: *authority,
                owed,
                written_slot: *written_slot,
            });
        }
    }
    Ok((windows, missing))
}

/// The votes of cases that can be closed or will be: their rent goes to who paid it.
async fn add_votes(client: &ChainClient, cases: &mut [CaseWindow]) -> Result<(), ClientError> {
    let mut closable: Vec<&mut CaseWindow> = cases
        .iter_mut()
        .filter(|window| window.case.false_count != 0 && window.case.closable_from().is_some())
        .collect();
    let addresses: Vec<Pubkey> = closable
        .iter()
        .map(|window| mythic_client::pda::votes(window.pubkey))
        .collect();
    let found = read::<Votes>(client, &addresses).await?;
    for (window, (_, votes)) in closable.iter_mut().zip(found) {
        window.votes = votes;
    }
    Ok(())
}

/// Which parties that are due something have no account any more.
async fn add_closed(client: &ChainClient, cases: &mut [CaseWindow]) -> Result<(), ClientError> {
    let parties: BTreeSet<Pubkey> = cases.iter().flat_map(CaseWindow::parties).collect();
    let parties: Vec<Pubkey> = parties.into_iter().collect();
    let addresses: Vec<Pubkey> = parties.iter().map(mythic_client::pda::validator).collect();
    let found = read::<Validator>(client, &addresses).await?;
    let parties = parties.into_iter().zip(found);
    let closed: HashSet<Pubkey> = parties
        .filter(|(_, (_, validator))| validator.is_none())
        .map(|(authority, _)| authority)
        .collect();
    for window in cases {
        window.closed = window
            .parties()
            .filter(|party| closed.contains(party))
            .collect();
    }
    Ok(())
}

/// Accounts of one kind in the order asked; `None` where there is no such account.
async fn read<T: ProgramAccount>(
    client: &ChainClient,
    addresses: &[Pubkey],
) -> Result<Vec<(Pubkey, Option<Box<T>>)>, ClientError> {
    let found = client
        .raw_accounts(addresses, Commitment::Confirmed)
        .await?;
    let decoded = addresses.iter().zip(found).map(|(pubkey, snapshot)| {
        let account = snapshot
            .account
            .and_then(|account| decode::<T>(pubkey, &account).ok());
        (*pubkey, account.map(Box::new))
    });
    Ok(decoded.collect())
}

#[derive(Deserialize)]
struct Answer {
    context: Context,
    value: Vec<Keyed>,
}

#[derive(Deserialize)]
struct Context {
    slot: u64,
}

#[derive(Deserialize)]
struct Keyed {
    pubkey: String,
    account: Raw,
}

#[derive(Deserialize)]
struct Raw {
    lamports: u64,
    data: (String, String),
}

/// What AI Precompiles holds at finality.
pub(crate) struct Everything {
    /// Slot in which the accounts were read.
    pub slot: u64,
    pub accounts: Vec<ChainAccount>,
    /// Those of them that may need something.
    pub windows: Windows,
}

/// Every account of AI Precompiles at one finalized slot, and those of them that may need something.
pub(crate) async fn accounts(client: &ChainClient) -> Result<Everything, ClientError> {
    let parameters = json!([
        PROGRAM_ID.to_string(),
        {"commitment": "finalized", "encoding": "base64", "withContext": true}
    ]);
    let answer: Answer = client
        .rpc()
        .send(RpcRequest::GetProgramAccounts, parameters)
        .await?;
    let bad =
        |what: &str, pubkey: &str| ClientError::Answer(format!("{what} of account {pubkey:?}"));
    let slot = answer.context.slot;
    let mut accounts = Vec::with_capacity(answer.value.len());
    let mut may_need = Read::default();
    for Keyed { pubkey, account } in answer.value {
        let key: Pubkey = pubkey.parse().map_err(|_| bad("address", &pubkey))?;
        let data = base64::engine::general_purpose::STANDARD
            .decode(&account.data.0)
            .map_err(|_| bad("data", &pubkey))?;
        let account = Account {
            lamports: account.lamports,
            data,
            owner: PROGRAM_ID,
            ..Account::default()
        };
        accounts.extend(ChainAccount::read(key, &account, slot));
        may_need.push(key, &account);
    }
    Ok(Everything {
        slot,
        accounts,
        windows: may_need.windows(),
    })
}

/// Jobs, cases with their votes, outputs and validators out of all accounts.
#[derive(Default)]
struct Read {
    jobs: HashMap<Pubkey, Box<Job>>,
    cases: Vec<(Pubkey, Box<Case>)>,
    votes: HashMap<Pubkey, Box<Votes>>,
    outputs: Vec<(Pubkey, Box<Output>)>,
    validators: Vec<ValidatorWindow>,
}

impl Read {
    fn push(&mut self, key: Pubkey, account: &Account) {
        match account.data.first().copied() {
            Some(Job::DISCRIMINATOR) => {
                if let Ok(job) = decode::<Job>(&key, account) {
                    self.jobs.insert(key, Box::new(job));
                }
            }
            Some(Case::DISCRIMINATOR) => {
                let read = decode::<Case>(&key, account).ok();
                self.cases.extend(read.map(|case| (key, Box::new(case))));
            }
            Some(Votes::DISCRIMINATOR) => {
                let read = decode::<Votes>(&key, account).ok();
                self.votes.extend(read.map(|votes| {
                    let case = Pubkey::new_from_array(votes.case);
                    (case, Box::new(votes))
                }));
            }
            Some(Output::DISCRIMINATOR) => {
                let read = decode::<Output>(&key, account).ok();
                self.outputs.extend(read.map(|o| (key, Box::new(o))));
            }
            Some(Validator::DISCRIMINATOR) => {
                if let Ok(v) = decode::<Validator>(&key, account) {
                    let owed = v.owed_foundation.get().saturating_add(v.owed_burn.get());
                    self.validators.push(ValidatorWindow {
                        authority: Pubkey::new_from_array(v.authority),
                        owed,
                        // Not known from the account alone; a sweep that is due by time waits for the index.
                        written_slot: u64::MAX,
                    });
                }
            }
            _ => {}
        }
    }

    fn windows(self) -> Windows {
        let jobs = &self.jobs;
        let job_of = |key: &[u8; 32]| jobs.get(&Pubkey::new_from_array(*key)).map(|job| **job);
        let validators = self.validators.iter().map(|validator| validator.authority);
        let validators: HashSet<Pubkey> = validators.collect();
        let mut votes = self.votes;
        let cases = self.cases.into_iter().map(|(pubkey, case)| {
            let mut window = CaseWindow {
                pubkey,
                job: job_of(&case.job),
                case,
                votes: votes.remove(&pubkey),
                closed: Vec::new(),
            };
            window.closed = window
                .parties()
                .filter(|p| !validators.contains(p))
                .collect();
            window
        });
        let outputs = self
            .outputs
            .into_iter()
            .map(|(pubkey, output)| OutputWindow {
                pubkey,
                job: job_of(&output.job),
                output,
            });
        Windows {
            cases: cases.collect(),
            outputs: outputs.collect(),
            validators: self.validators,
            jobs: jobs
                .iter()
                .map(|(pubkey, job)| JobWindow {
                    pubkey: *pubkey,
                    job: **job,
                })
                .collect(),
        }
    }
}
