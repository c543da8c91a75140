//! A network in manual slots with cases: slots pass while the processes have something to do, and are skipped while all
//! wait for a deadline. Reads the chain itself, so that what the index says can be compared with it.

use crate::{Network, PATIENCE, Ran, ran, stat};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mythic_client::{
    ChainClient, ClientError, Commitment, Filter, account::ProgramAccount, ix, keys, pda,
};
use mythic_interface::error::MythicError;
use mythic_interface::state::{Case, CaseStatus, Config, Job, JobStatus, Validator, Vault};
use serde_json::{Value, json};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    collections::HashMap,
    str::FromStr,
    time::{Duration, Instant},
};

/// How long, and for how many looks, nothing must change on chain before the slots until the next deadline are skipped.
const QUIET: Duration = Duration::from_secs(12);
const QUIET_LOOKS: u32 = 24;
/// The same while jurors who have committed can reveal: all of ours do, however slow the machine is.
const REVEALING: Duration = Duration::from_secs(60);
/// Longest wait for what cases come to: slots pass slowly.
const LONGEST: Duration = Duration::from_secs(600);
/// CPU that a node uses in that time, seconds, if it checks an answer, even where other processes leave it little.
const CHECKING: f64 = 1.5;
/// Slots in jail: longer than a case runs.
const JAIL_SLOTS: u32 = 600;
/// Seats of a jury: with three, a few validators may leave all of them to one key, which decides nothing.
const SEATS: u16 = 15;
/// Between two slots while something may happen.
const TICK: Duration = Duration::from_millis(200);

/// A network and its chain.
pub struct Court {
    pub network: Network,
    pub chain: ChainClient,
}

/// An answer to buy.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Number of the validator, from 1.
    pub validator: usize,
    /// What is asked.
    pub prompt: &'a str,
    /// Most output tokens.
    pub tokens: u32,
    /// As on the command line.
    pub temperature: &'a str,
    /// More of what `mythic dev ask` takes.
    pub options: &'a [&'a str],
}

/// An answer that was bought.
pub struct Bought {
    pub job: Pubkey,
    /// Output ids as they came.
    pub output_ids: Vec<u32>,
    /// Why it ended, if its evidence came with it.
    pub finish: Option<String>,
}

/// A case: its address, counter of changes, and [`deadline`].
type Seen = (Pubkey, u64, Option<(u64, bool)>);

/// What waits for whom, to see whether it changes.
#[derive(Default)]
struct Watch {
    seen: Vec<Seen>,
    since: Option<Instant>,
    /// Looks since then: a machine that stands still looks at nothing.
    looks: u32,
    /// CPU seconds of each node by then.
    used: HashMap<String, f64>,
}

impl Court {
    /// Starts a network of so many validators whose slots only the test moves. Whoever is jailed there is soon free again, juries
    /// have seats for all, and the network's own first job is over.
    pub async fn open(validators: u8) -> Result<Self> {
        let count = validators.to_string();
        let network = Network::start(&["--validators", &count, "--slot-ms", "manual"]).await?;
        let chain = network.chain();
        let court = Self { network, chain };
        let admin = court.key("admin")?;
        let (_, config) = court
            .chain
            .account::<Config>(&pda::config())
            .await?
            .context("no config")?;
        let mut params = config.params;
        params.rules.jail_slots.set(JAIL_SLOTS);
        params.rules.jury_seats.set(SEATS);
        let foundation = Pubkey::new_from_array(config.foundation);
        let update = ix::update_config(admin.pubkey(), foundation, &params);
        court.send(&[update], &[&admin]).await?;
        let own = Pubkey::from_str(&court.network.text("own_job"))?;
        court.advance(100).await?;
        court
            .until("the network's own job to end", async || {
                Ok(court.ended(&own).await?.then_some(()))
            })
            .await?;
        Ok(court)
    }

    /// A key file of the network: `admin`, `validator-0`, `operator-0`, …
    pub fn key(&self, name: &str) -> Result<Keypair> {
        let file = self
            .network
            .data_dir()
            .join("keys")
            .join(format!("{name}.json"));
        keys::load_keypair(&file).with_context(|| file.display().to_string())
    }

    /// Authority of a validator, counted from 1.
    pub fn authority(&self, number: usize) -> Result<Pubkey> {
        Ok(self.key(&format!("validator-{}", number - 1))?.pubkey())
    }

    /// A validator's account.
    pub async fn validator(&self, authority: &Pubkey) -> Result<Validator> {
        let address = pda::validator(authority);
        let found = self.processed::<Validator>(&address).await?;
        found.with_context(|| format!("no validator {authority}"))
    }

    /// A job's account.
    pub async fn job(&self, job: &Pubkey) -> Result<Job> {
        let found = self.processed::<Job>(job).await?;
        found.with_context(|| format!("no job {job}"))
    }

    /// The case of a job, which must be there.
    pub async fn case(&self, job: &Pubkey) -> Result<Case> {
        let found = self.case_of(job).await?;
        found.with_context(|| format!("no case of {job}"))
    }

    /// The case of a job, if somebody opened one.
    pub async fn case_of(&self, job: &Pubkey) -> Result<Option<Case>> {
        self.processed::<Case>(&pda::case(job)).await
    }

    /// The DEV account's vault.
    pub async fn vault(&self) -> Result<Vault> {
        let owner = self.key("dev")?.pubkey();
        let found = self.processed::<Vault>(&pda::vault(owner)).await?;
        found.context("no vault")
    }

    async fn processed<T: ProgramAccount>(&self, address: &Pubkey) -> Result<Option<T>> {
        let found = self.chain.account::<T>(address).await?;
        Ok(found.map(|(_, account)| account))
    }

    /// Every case on chain.
    pub async fn cases(&self) -> Result<Vec<(Pubkey, Case)>> {
        Ok(self
            .chain
            .program_accounts::<Case>(&[], Commitment::Processed)
            .await?)
    }

    /// Whether a job is over.
    pub async fn ended(&self, job: &Pubkey) -> Result<bool> {
        Ok(self
            .job(job)
            .await?
            .status()
            .is_some_and(JobStatus::is_terminal))
    }

    /// The newest slot.
    pub async fn slot(&self) -> Result<u64> {
        Ok(self.chain.slot(Commitment::Processed).await?)
    }

    /// Ends so many slots.
    pub async fn advance(&self, slots: u64) -> Result<()> {
        self.network
            .rpc("mythic_advanceSlots", json!([slots]))
            .await?;
        Ok(())
    }

    /// Lets slots pass while something is done.
    pub async fn while_slots_pass<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(TICK) => self.advance(1).await?,
            }
        }
    }

    /// Sends instructions, paid by the first signer, and waits until they are processed.
    pub async fn send(&self, what: &[Instruction], signers: &[&Keypair]) -> Result<()> {
        let sending = self.transact(what, signers);
        self.while_slots_pass(sending).await?
    }

    /// The same, while somebody else lets slots pass.
    pub async fn transact(&self, what: &[Instruction], signers: &[&Keypair]) -> Result<()> {
        let payer = signers.first().context("no signer")?.pubkey();
        self.chain
            .send_and_confirm(what, &payer, signers, Commitment::Processed)
            .await?;
        Ok(())
    }

    /// Sends instructions, which the program must refuse with this error.
    pub async fn refused(
        &self,
        what: &[Instruction],
        signers: &[&Keypair],
        error: MythicError,
    ) -> Result<()> {
        let refusal = self
            .send(what, signers)
            .await
            .err()
            .context("not refused")?;
        ensure!(
            is(&refusal, error),
            "refused with {refusal:?} instead of {error:?}"
        );
        Ok(())
    }

    /// Runs `mythic` with these arguments; somebody else lets slots pass.
    pub async fn mythic(&self, args: &[&str]) -> Result<String> {
        let mut command = self.network.command(args);
        let ran: Ran = tokio::task::spawn_blocking(move || ran(&mut command)).await??;
        ensure!(
            ran.code == 0,
            "mythic {args:?}: {ran:?}\n{}",
            self.network.logs()
        );
        Ok(ran.stdout)
    }

    /// Makes validators, counted from 1, cheat; all at once.
    pub async fn cheat(&self, who: &[(usize, &str)]) -> Result<()> {
        let told = who.iter().map(async |(number, how)| {
            let number = number.to_string();
            self.mythic(&["dev", "cheat", "--validator", &number, "--how", how])
                .await
        });
        self.while_slots_pass(try_join_all(told)).await??;
        Ok(())
    }

    /// Buys answers, all at once; their results are on chain afterwards, as processed as can be.
    pub async fn buy(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Bought>> {
        let asked = wanted.iter().map(|wanted| self.ask(wanted));
        let bought = self.while_slots_pass(try_join_all(asked)).await??;
        let started = Instant::now();
        for Bought { job, .. } in &bought {
            while self.job(job).await?.status() == Some(JobStatus::Accepted) {
                let logs = || self.network.logs();
                ensure!(
                    started.elapsed() < PATIENCE,
                    "{job} has no result\n{}",
                    logs()
                );
                self.advance(1).await?;
                tokio::time::sleep(TICK).await;
            }
        }
        Ok(bought)
    }

    async fn ask(&self, wanted: &Wanted<'_>) -> Result<Bought> {
        let (number, tokens) = (wanted.validator.to_string(), wanted.tokens.to_string());
        let mut args = vec![
            "dev",
            "ask",
            "--validator",
            &number,
            "--max-tokens",
            &tokens,
        ];
        args.extend(wanted.options);
        args.extend(["--temperature", wanted.temperature, "--json", wanted.prompt]);
        let answer: Value = serde_json::from_str(&self.mythic(&args).await?)?;
        let ids = answer["output_ids"].as_array().context("no output")?;
        Ok(Bought {
            job: Pubkey::from_str(answer["job"].as_str().context("no job")?)?,
            output_ids: ids
                .iter()
                .filter_map(Value::as_u64)
                .map(|id| id as u32)
                .collect(),
            finish: answer["finish_reason"].as_str().map(str::to_owned),
        })
    }

    /// Lets slots pass until `done` gives something.
    pub async fn until<T>(
        &self,
        what: &str,
        mut done: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut watch = Watch::default();
        loop {
            if let Some(found) = done().await? {
                return Ok(found);
            }
            ensure!(
                started.elapsed() < LONGEST,
                "slot {}: waiting for {what}; {:?}\n{}",
                self.slot().await?,
                self.cases().await?.iter().map(summary).collect::<Vec<_>>(),
                self.network.logs()
            );
            self.pass(&mut watch).await?;
            tokio::time::sleep(TICK).await;
        }
    }

    /// Begins to watch what is open.
    fn watch(&self, seen: Vec<Seen>) -> Watch {
        let state = self.network.state();
        let processes = state["processes"].as_object().into_iter().flatten();
        let nodes = processes.filter(|(name, _)| name.starts_with("node-"));
        let used = nodes.filter_map(|(name, process)| {
            let (used, ..) = stat(process["pid"].as_i64()?)?;
            Some((name.clone(), used))
        });
        Watch {
            seen,
            since: Some(Instant::now()),
            looks: 0,
            used: used.collect(),
        }
    }

    /// One slot, or all until the next deadline if nobody has done anything for a while.
    async fn pass(&self, watch: &mut Watch) -> Result<()> {
        let open: Vec<(Pubkey, Case)> = self
            .cases()
            .await?
            .into_iter()
            .filter(|(_, case)| case.status() != Some(CaseStatus::Resolved))
            .collect();
        let slot = self.slot().await?;
        let mut now: Vec<Seen> = open
            .iter()
            .map(|(address, case)| (*address, case.header.seq.get(), deadline(case, slot)))
            .collect();
        now.sort_unstable();
        if now != watch.seen || watch.since.is_none() {
            *watch = self.watch(now);
        }
        watch.looks += 1;
        let patience = match open.iter().any(|(_, case)| reveals(case, slot)) {
            true => REVEALING,
            false => QUIET,
        };
        let mut quiet = watch.looks >= QUIET_LOOKS
            && watch.since.is_some_and(|since| since.elapsed() >= patience);
        if quiet {
            let next = self.watch(watch.seen.clone());
            quiet = !next.used.iter().any(|(node, used)| {
                watch
                    .used
                    .get(node)
                    .is_none_or(|before| used - before > CHECKING)
            });
            if !quiet {
                *watch = next;
            }
        }
        let all = open.iter().map(|(_, case)| deadline(case, slot));
        let deadlines: Option<Vec<(u64, bool)>> = all.collect();
        let jump = match deadlines {
            None => None,
            Some(_) if self.unchallenged().await? => None,
            Some(all) if quiet || all.iter().all(|(_, idle)| *idle) => {
                all.iter().map(|(end, _)| *end).min()
            }
            Some(_) => None,
        };
        let slots = jump.map_or(1, |end| end.saturating_sub(slot + 1).max(1));
        if slots > 1 {
            *watch = self.watch(std::mem::take(&mut watch.seen));
        }
        self.advance(slots).await?;
        // Who joins has an answer to check first, on a machine that may be busy.
        let joins = |case: &Case| case.status() == Some(CaseStatus::Joining) && case.is_shown();
        if open.iter().any(|(_, case)| joins(case)) {
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    /// Whether there is a result whose case somebody may be about to open.
    async fn unchallenged(&self) -> Result<bool> {
        let submitted = [Filter::<Job>::status(JobStatus::Submitted)];
        let found = self
            .chain
            .program_accounts::<Job>(&submitted, Commitment::Processed)
            .await?;
        Ok(!found.is_empty())
    }

    /// The end of a job.
    pub async fn end_of(&self, job: &Pubkey) -> Result<Job> {
        self.until(&format!("job {job} to end"), async || {
            let state = self.job(job).await?;
            let over = state.status().is_some_and(JobStatus::is_terminal);
            Ok(over.then_some(state))
        })
        .await
    }

    /// Frees a jailed validator, unless its node is faster.
    pub async fn unjail(&self, number: usize) -> Result<()> {
        let key = self.key(&format!("validator-{}", number - 1))?;
        let until = self.validator(&key.pubkey()).await?.jailed_until.get();
        let left = until.saturating_sub(self.slot().await?);
        if left > 0 {
            self.advance(left).await?;
        }
        let unjail = ix::unjail(key.pubkey(), key.pubkey());
        match self.send(&[unjail], &[&key]).await {
            Err(error) if is(&error, MythicError::NotJailed) => Ok(()),
            sent => sent,
        }
    }
}

/// Whether the program refused with this error.
fn is(error: &anyhow::Error, expected: MythicError) -> bool {
    matches!(
        error.downcast_ref::<ClientError>(),
        Some(ClientError::Program(found)) if *found == expected
    )
}

/// Whether jurors who have committed can reveal, and have not all done it.
fn reveals(case: &Case, slot: u64) -> bool {
    let mut jury = case.jury().iter();
    (case.commit_end()..case.reveal_end()).contains(&(slot + 1))
        && jury.any(|seat| seat.is_taken() && !seat.is_revealed())
}

/// The next deadline of a case, and whether nobody has anything to send before; none while an answer or an end is awaited.
fn deadline(case: &Case, slot: u64) -> Option<(u64, bool)> {
    match case.status()? {
        CaseStatus::Joining if !case.is_shown() => None,
        CaseStatus::Joining if slot + 1 < case.joining_end() => Some((case.joining_end(), false)),
        CaseStatus::Joining if case.false_count == 0 => None,
        CaseStatus::Joining | CaseStatus::Jury if slot + 1 < case.commit_start() => {
            Some((case.commit_start(), true))
        }
        CaseStatus::Joining | CaseStatus::Jury => {
            let ends = [case.commit_end(), case.reveal_end()];
            Some((ends.into_iter().find(|end| *end > slot + 1)?, false))
        }
        CaseStatus::Opening | CaseStatus::Resolved => None,
    }
}

/// How a case stands, for messages.
pub fn summary((address, case): &(Pubkey, Case)) -> String {
    format!(
        "{address}: {:?}, {}/{} opened, claims {:?}, opened {}, shown {}, seats {:?}",
        case.status(),
        case.opened,
        case.sampled,
        case.claims()
            .iter()
            .map(|claim| (claim.is_false(), claim.named, claim.is_shown()))
            .collect::<Vec<_>>(),
        case.opened_slot.get(),
        case.shown_slot.get(),
        case.jury()
            .iter()
            .map(|seat| (seat.is_taken(), seat.is_revealed()))
            .collect::<Vec<_>>()
    )
}
