//! Attacks of several hands: a node cheats, and its friends, validators without a process, help it with transactions that are made
//! here. They have keys, stake and evidence of their own, as real ones would; what they gain or lose is counted from the case.

use super::{ask::Ask, state::DevState};
use crate::{
    exit::{self, Exit},
    note,
};
use anyhow::{Context, Result};
use mythic_client::{ChainClient, ClientError, Commitment, ix, pda};
use mythic_interface::{
    hash,
    ix::RegisterValidator,
    le::{Text, U32, U64},
    leaf::check_leaf,
    merkle,
    state::{Case, CaseStatus, ClaimKind, Ground, Job, JobStatus, Validator, Verdict},
};
use mythic_lab::cheat::{How, Told};
use mythic_node::keep::store::Store;
use mythic_verifier::{book::Ended, sample};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::time::{Duration, Instant};

const SOL: u64 = 1_000_000_000;
/// What the friends have for bonds and rents, and what each stakes.
const PURSE: u64 = 20 * SOL;
const STAKE: u64 = 2 * SOL;
/// Stake of validators that are registered for one jury: more than all others have.
const RENTED_STAKE: u64 = 100 * SOL;
/// Friends who fill a case.
const FILLERS: usize = 4;
/// Tokens of the answer: few enough to be quick, more than a sample.
const TOKENS: u32 = 150;
const PROMPT: &str = "Write a long story about a ship that is lost in the fog.";
/// Most lamports that a friend pays as a bond.
const MOST_BOND: u64 = 5 * SOL;
/// How long anything is waited for: a case takes some three hundred slots.
const PATIENCE: Duration = Duration::from_secs(900);
const PAUSE: Duration = Duration::from_millis(150);

/// A cheating node and its friends.
pub struct Attack<'a> {
    state: &'a DevState,
    how: How,
    number: usize,
    /// Authority of the node.
    authority: Pubkey,
    chain: ChainClient,
    /// The network's rich account, which stakes for everybody.
    dev: Keypair,
    /// Operator of all friends.
    purse: Keypair,
    model: Pubkey,
    /// What was refused to them.
    refused: Vec<String>,
}

/// A validator without a process.
struct Friend(Keypair);

/// What an attack came to.
pub struct Spoils {
    job: Pubkey,
    case: Option<Case>,
    /// Beyond bonds that return, of the node and its friends, and of everybody else; lamports.
    gang: i128,
    others: i128,
    refused: Vec<String>,
}

impl<'a> Attack<'a> {
    /// Gets the keys and the money together.
    pub async fn prepare(state: &'a DevState, number: usize, how: How) -> Result<Self> {
        let chain = ChainClient::new(&state.rpc_url, &state.ws_url);
        let key = |name: &str| -> Result<Keypair> {
            let info = state.keys.get(name).context("a key is not in dev.json")?;
            Ok(mythic_client::keys::load_keypair(&info.path)?)
        };
        let authority: Pubkey = state.validator(number)?.authority.parse()?;
        let (_, validator) = chain
            .account::<Validator>(&pda::validator(authority))
            .await?
            .context("the validator is not registered")?;
        let model = validator.served().first().context("it serves no model")?;
        let (dev, purse) = (key("dev")?, Keypair::new());
        let stakes = match how {
            How::RentedJury => 3 * RENTED_STAKE,
            _ => 8 * STAKE,
        };
        chain.airdrop(&purse.pubkey(), PURSE).await?;
        chain.airdrop(&dev.pubkey(), stakes).await?;
        Ok(Self {
            state,
            how,
            number,
            authority,
            model: Pubkey::new_from_array(model.model),
            chain,
            dev,
            purse,
            refused: Vec::new(),
        })
    }

    /// Plays it to the end.
    pub async fn play(mut self) -> Result<Spoils> {
        let count = match self.how {
            How::Shield => FILLERS,
            _ => 1,
        };
        let mut friends = Vec::new();
        for _ in 0..count {
            friends.push(self.enrol(STAKE).await?);
        }
        self.wait_for_maturity().await?;
        let job = self.buy().await?;
        match self.how {
            How::SelfSlash | How::Shield | How::RentedJury => self.open(&mut friends, &job).await?,
            How::LateFriend => self.follow(&friends[0], &job).await?,
            How::PlantedFault => self.spring(&friends[0], &job).await?,
            // It only waits to be asked.
            _ => {}
        }
        self.end(job, friends).await
    }

    /// Registers a validator that serves the node's model.
    async fn enrol(&self, stake: u64) -> Result<Friend> {
        let authority = Keypair::new();
        let args = RegisterValidator {
            operator: self.purse.pubkey().to_bytes(),
            stake: U64::new(stake),
            vram_mib: U32::new(0),
            gpu_name: Text::new("").context("an empty text")?,
            endpoint: Text::new("http://127.0.0.1:9").context("a short text")?,
        };
        let payer = self.dev.pubkey();
        let call = ix::register_validator(payer, authority.pubkey(), &args, &[self.model]);
        let signers = [&self.dev, &authority];
        self.chain
            .send_and_confirm(&[call], &payer, &signers, Commitment::Processed)
            .await?;
        Ok(Friend(authority))
    }

    async fn wait_for_maturity(&self) -> Result<()> {
        let (_, config) = self
            .chain
            .account::<mythic_interface::state::Config>(&pda::config())
            .await?
            .context("the program is not initialised")?;
        let maturity = u64::from(config.params.rules.maturity_slots.get());
        let from = self.slot().await?.saturating_add(maturity);
        self.until("the friends to be old enough", async || {
            Ok((self.slot().await? > from).then_some(()))
        })
        .await
    }

    async fn slot(&self) -> Result<u64> {
        Ok(self.chain.slot(Commitment::Processed).await?)
    }

    /// Waits until `done` gives something.
    async fn until<T>(
        &self,
        what: &str,
        mut done: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = done().await? {
                return Ok(found);
            }
            if started.elapsed() > PATIENCE {
                let why = format!("waited {} s for {what}", PATIENCE.as_secs());
                return Err(Exit::error(exit::UNREACHABLE, why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Buys an answer from the node; its result is on chain afterwards.
    async fn buy(&self) -> Result<Pubkey> {
        let ask = Ask::quietly(self.number, PROMPT, TOKENS);
        let job: Pubkey = ask.buy(self.state).await?.job.parse()?;
        note!("job {job}: the answer is bought");
        self.until("the result", async || {
            let state = self.job(&job).await?;
            Ok(state.filter(|state| state.submitted_slot.get() != 0))
        })
        .await?;
        Ok(job)
    }

    async fn job(&self, job: &Pubkey) -> Result<Option<Job>> {
        let found = self.chain.account::<Job>(job).await?;
        Ok(found.map(|(_, state)| state))
    }

    async fn case(&self, job: &Pubkey) -> Result<Option<Case>> {
        let found = self.chain.account::<Case>(&pda::case(job)).await?;
        Ok(found.map(|(_, case)| case))
    }

    /// A friend claims `false`.
    async fn say(&mut self, friend: &Friend, job: &Pubkey, named: &[u32]) -> Result<()> {
        let Some(state) = self.job(job).await? else {
            return Ok(());
        };
        let statement = ix::Statement {
            kind: ClaimKind::False,
            bond: MOST_BOND,
            positions: named,
            served: None,
        };
        let call = ix::verify_logits(&self.claimant(friend), *job, &state, &statement);
        let sent = self.send(call).await;
        self.note_refusal("a friend's claim", sent)
    }

    fn claimant(&self, friend: &Friend) -> ix::Claimant {
        ix::Claimant {
            payer: self.purse.pubkey(),
            operator: self.purse.pubkey(),
            authority: friend.0.pubkey(),
        }
    }

    async fn send(&self, call: solana_instruction::Instruction) -> Result<(), ClientError> {
        let payer = self.purse.pubkey();
        let calls = [call];
        self.chain
            .send_and_confirm(&calls, &payer, &[&self.purse], Commitment::Processed)
            .await?;
        Ok(())
    }

    /// What the program refuses belongs to the story; anything else is a failure.
    fn note_refusal(&mut self, what: &str, sent: Result<(), ClientError>) -> Result<()> {
        match sent {
            Ok(()) => note!("{what} is taken"),
            Err(error) => match error.program() {
                Some(refusal) => {
                    note!("{what} is refused: {refusal}");
                    self.refused.push(format!("{refusal:?}"));
                }
                None => return Err(error.into()),
            },
        }
        Ok(())
    }

    /// A friend opens the case in the first slot in which that is possible; others fill it, or rent its jury.
    async fn open(&mut self, friends: &mut Vec<Friend>, job: &Pubkey) -> Result<()> {
        let known = match self.job(job).await? {
            Some(state) => sample::known_from(state.submitted_slot.get()),
            None => return Ok(()),
        };
        let this = &*self;
        this.until("the sample to be drawn", async || {
            Ok((this.slot().await? >= known).then_some(()))
        })
        .await?;
        // The altered token is the one in the middle; a shield names what is true.
        let named: &[u32] = match self.how {
            How::SelfSlash => &[TOKENS / 2],
            _ => &[],
        };
        self.say(&friends[0], job, named).await?;
        if self.how == How::SelfSlash {
            return Ok(());
        }
        let shown = self.wait_for(job, |case| case.status() == Some(CaseStatus::Joining));
        let Some(case) = shown.await? else {
            return Ok(());
        };
        if self.how == How::RentedJury {
            for _ in 0..3 {
                let rented = self.enrol(RENTED_STAKE).await?;
                friends.push(rented);
            }
            return self.judge(friends, job).await;
        }
        let sampled: Vec<u32> = case.sample().iter().map(|l| l.position.get()).collect();
        for (friend, position) in friends.iter().skip(1).zip(1..) {
            let named: Vec<u32> = [position]
                .into_iter()
                .filter(|p| !sampled.contains(p))
                .collect();
            self.say(friend, job, &named).await?;
        }
        Ok(())
    }

    /// The case once something holds of it; `None` if it is decided before.
    async fn wait_for(&self, job: &Pubkey, holds: impl Fn(&Case) -> bool) -> Result<Option<Case>> {
        self.until("the case", async || {
            let over = self
                .job(job)
                .await?
                .is_none_or(|state| state.status().is_none_or(JobStatus::is_terminal));
            let case = self.case(job).await?;
            let found = case.filter(|case| holds(case));
            Ok(match (found, over) {
                (Some(case), false) => Some(Some(case)),
                (_, true) => Some(None),
                (None, false) => None,
            })
        })
        .await
    }

    /// Validators that were registered after the request try to judge.
    async fn judge(&mut self, friends: &[Friend], job: &Pubkey) -> Result<()> {
        let Some(case) = self.wait_for(job, |case| case.is_shown()).await? else {
            return Ok(());
        };
        let this = &*self;
        this.until("the jury to be called", async || {
            Ok((this.slot().await? >= case.commit_start()).then_some(()))
        })
        .await?;
        for friend in &friends[1..] {
            let Some(case) = self.wait_for(job, |case| case.is_shown()).await? else {
                return Ok(());
            };
            let juror = ix::Juror {
                operator: self.purse.pubkey(),
                authority: friend.0.pubkey(),
                case: pda::case(job),
                served: None,
            };
            let vote = vec![7; case.vote_len()];
            let commitment = hash::juror_commitment(
                juror.case.as_array(),
                juror.authority.as_array(),
                &[9; 32],
                &vote,
            );
            let sent = self.send(ix::commit_juror(&juror, &case, commitment)).await;
            self.note_refusal("a rented juror's commitment", sent)?;
        }
        Ok(())
    }

    /// A friend claims after somebody else has: at once, and when others may join.
    async fn follow(&mut self, friend: &Friend, job: &Pubkey) -> Result<()> {
        if self.wait_for(job, |_| true).await?.is_none() {
            return Ok(());
        }
        self.say(friend, job, &[]).await?;
        let joins = self.wait_for(job, |case| case.status() == Some(CaseStatus::Joining));
        if joins.await?.is_some() {
            self.say(friend, job, &[]).await?;
        }
        Ok(())
    }

    /// A friend proves the planted fault once the jury shows what it found.
    async fn spring(&mut self, friend: &Friend, job: &Pubkey) -> Result<()> {
        let revealing = |case: &Case| {
            case.jury()
                .iter()
                .any(|seat| seat.is_taken() && seat.is_revealed())
        };
        if self.wait_for(job, revealing).await?.is_none() {
            return Ok(());
        }
        let process = &self.state.validator(self.number)?.process;
        let config = &self.state.process(process)?.config;
        let config: Told = toml::from_str(&std::fs::read_to_string(config)?)?;
        let saved = Store::open(&config.node.data_dir)?.load(job)?;
        let evidence = saved.context("the node has no evidence")?.evidence;
        let sampling = evidence.sampling();
        let leaf = (0u32..)
            .map_while(|at| evidence.leaf(at))
            .find(|leaf| check_leaf(leaf, &sampling).is_err())
            .context("nothing is planted in the answer")?;
        let hashes = evidence.leaf_hashes();
        let path = merkle::prove(&hashes, leaf.position as usize).context("a path")?;
        let Some(state) = self.job(job).await? else {
            return Ok(());
        };
        let proof = ix::Proof {
            leaf,
            path: path.siblings(),
            page: None,
        };
        let call = ix::prove_fault(&self.claimant(friend), *job, &state, &proof);
        let sent = self.send(call).await;
        self.note_refusal("the planted fault", sent)
    }

    /// Waits for the end, and counts.
    async fn end(self, job: Pubkey, friends: Vec<Friend>) -> Result<Spoils> {
        note!("waiting for the end of the job");
        self.until("the job to end", async || {
            let state = self.job(&job).await?;
            let over = state.is_none_or(|s| s.status().is_none_or(JobStatus::is_terminal));
            let slot = self.slot().await?;
            // Without a case it waits for its claim.
            let no_case = state
                .filter(|s| s.status() == Some(JobStatus::Submitted))
                .and_then(|s| s.window_end())
                .is_some_and(|end| slot > end);
            Ok((over || no_case).then_some(()))
        })
        .await?;
        let case = self.case(&job).await?;
        let (mut gang, mut others) = (0, 0);
        if let Some(case) = &case {
            let friends: Vec<Pubkey> = friends.iter().map(|friend| friend.0.pubkey()).collect();
            let claimants = case.claims().iter().map(|claim| claim.claimant);
            let jurors = case.jury().iter().filter(|s| s.is_taken()).map(|s| s.juror);
            let parties = claimants.chain(jurors).chain([case.submitter, case.prover]);
            let parties: std::collections::BTreeSet<[u8; 32]> =
                parties.filter(|key| *key != [0; 32]).collect();
            for key in parties {
                let ended = Ended::of(case, &key);
                let sum = i128::from(ended.earned) - i128::from(ended.lost);
                let key = Pubkey::new_from_array(key);
                // Whom a jury is rented against is its victim.
                let cheats = key == self.authority && self.how != How::RentedJury;
                match cheats || friends.contains(&key) {
                    true => gang += sum,
                    false => others += sum,
                }
            }
        }
        Ok(Spoils {
            job,
            case,
            gang,
            others,
            refused: self.refused,
        })
    }
}

impl Spoils {
    pub fn json(&self, how: How) -> Value {
        let case = self.case.as_ref();
        json!({
            "cheat": how.as_str(),
            "job": self.job.to_string(),
            "verdict": case.and_then(|c| Verdict::from_u8(c.verdict)).map(Verdict::as_str),
            "ground": case.and_then(|c| Ground::from_u8(c.ground)).map(Ground::as_str),
            "slashed_lamports": case.map_or(0, |c| c.slashed_amount.get()),
            "gang_lamports": self.gang as i64,
            "others_lamports": self.others as i64,
            "refused": self.refused,
        })
    }

    pub fn say(&self) {
        let sol = |lamports: i128| format!("{:+.9} SOL", lamports as f64 / SOL as f64);
        match &self.case {
            None => note!("nobody opened a case: the answer is paid"),
            Some(case) => {
                let verdict = Verdict::from_u8(case.verdict).map_or("undecided", Verdict::as_str);
                note!(
                    "{verdict}: the cheater and its friends {}, everybody else {}",
                    sol(self.gang),
                    sol(self.others)
                );
            }
        }
        note!("mythic disputes show {}", self.job);
    }
}
