//! A network with liars: validators with stake and no process, whose transactions the test makes.

use std::iter;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use mythic_client::{ix, pda};
use mythic_e2e::court::Court;
use mythic_interface::{
    error::MythicError,
    hash,
    ix::RegisterValidator,
    le::{Text, U32, U64},
    sortition::{Rank, Seat},
    state::{Case, CaseStatus, ClaimKind, JurySeat, ValidatorStatus},
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

pub const SOL: u64 = 1_000_000_000;
/// Honest nodes; validators with processes.
pub const NODES: usize = 6;
/// Liars who have work beside juries: one proves a fault, one claims for a friend.
pub const FRIENDS: usize = 2;
/// Liars who might sit on a jury.
pub const JURORS: u64 = 32;
/// Stakes of those who might sit: the best honest rank of a seat varies from draw to draw, so equal stakes would often get
/// all the seats or none.
fn juror_stake(number: u64) -> u64 {
    (2.0 * 100f64.powf(number as f64 / (JURORS - 1) as f64) * SOL as f64) as u64
}
/// Seats that one liar may hold in a jury of fifteen: no more than a small part.
pub const MOST_SEATS: usize = 4;
/// Validators of the least stake, all of one owner.
pub const SYBILS: usize = 6;

/// A validator without a process.
pub struct Liar {
    pub authority: Keypair,
}

impl Liar {
    pub fn key(&self) -> Pubkey {
        self.authority.pubkey()
    }
}

/// What a liar does on a jury.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Says that it is false without having computed anything.
    Guess,
    /// Approves whatever was submitted.
    Approve,
    /// Takes over somebody else's commitment.
    Copy,
    /// Commits and never reveals.
    Silence,
}

/// A network with liars.
pub struct Scene {
    pub court: Court,
    /// Signs and pays for all liars.
    pub purse: Keypair,
    /// Claims that honest answers are false.
    pub accuser: Liar,
    pub liars: Vec<Liar>,
    pub sybils: Vec<Liar>,
}

/// The jury of one case, as far as liars sit on it.
pub struct Bench<'a> {
    pub job: Pubkey,
    pub part: Part,
    /// Many small liars instead of one.
    pub sybils: bool,
    pub sitting: Vec<&'a Liar>,
    /// Salt and vote of each are the same.
    pub vote: Vec<u8>,
    /// The other seats belong to three keys: fewer decide nothing, however honest.
    pub decides: bool,
    pub committed: bool,
    pub revealed: bool,
}

pub const SALT: [u8; 32] = [9; 32];

impl Scene {
    pub async fn set() -> Result<Self> {
        let court = Court::open(NODES as u8).await?;
        let dev = court.key("dev")?;
        let purse = Keypair::new();
        let model = court.network.get("/v1/models").await?["data"][0]["identity"].clone();
        let identity: [u8; 32] = hex::decode(model.as_str().unwrap_or_default())?
            .as_slice()
            .try_into()?;
        let model = pda::model(&identity);
        court
            .while_slots_pass(court.chain.airdrop(&purse.pubkey(), 20 * SOL))
            .await??;
        let stakes: Vec<u64> = iter::repeat_n(10 * SOL, FRIENDS)
            .chain((0..JURORS).map(juror_stake))
            .collect();
        let all_of_it = stakes.iter().sum::<u64>();
        court
            .while_slots_pass(court.chain.airdrop(&dev.pubkey(), all_of_it))
            .await??;
        let enrol = async |stake: u64| -> Result<Liar> {
            let authority = Keypair::new();
            let args = RegisterValidator {
                operator: purse.pubkey().to_bytes(),
                stake: U64::new(stake),
                vram_mib: U32::new(0),
                gpu_name: Text::new("").context("an empty text")?,
                endpoint: Text::new("http://127.0.0.1:9").context("a short text")?,
            };
            let register =
                ix::register_validator(dev.pubkey(), authority.pubkey(), &args, &[model]);
            court.transact(&[register], &[&dev, &authority]).await?;
            Ok(Liar { authority })
        };
        let all = async {
            let accuser = enrol(2 * SOL).await?;
            let liars = try_join_all(stakes.into_iter().map(&enrol)).await?;
            let sybils = try_join_all((0..SYBILS).map(|_| enrol(SOL))).await?;
            anyhow::Ok((accuser, liars, sybils))
        };
        let (accuser, liars, sybils) = court.while_slots_pass(all).await??;
        Ok(Self {
            court,
            purse,
            accuser,
            liars,
            sybils,
        })
    }

    pub fn claimant(&self, liar: &Liar) -> ix::Claimant {
        ix::Claimant {
            payer: self.purse.pubkey(),
            operator: self.purse.pubkey(),
            authority: liar.key(),
        }
    }

    /// Waits until the sample of a result is known.
    pub async fn sample_known(&self, job: &Pubkey) -> Result<()> {
        let from = self.court.job(job).await?.submitted_slot.get() + 21;
        let slot = self.court.slot().await?;
        match from.checked_sub(slot) {
            Some(slots @ 1..) => self.court.advance(slots).await,
            _ => Ok(()),
        }
    }

    /// A liar claims that a result is false, naming nothing.
    pub async fn accuse(&self, liar: &Liar, job: &Pubkey) -> Result<()> {
        self.sample_known(job).await?;
        let state = self.court.job(job).await?;
        let claim = ix::verify_logits(&self.claimant(liar), job, &state, &FALSE);
        self.court.send(&[claim], &[&self.purse]).await
    }

    /// Who may sit on the jury of a case beside liars: the nodes, with their stake.
    pub async fn nodes(&self, case: &Case) -> Result<Vec<([u8; 32], u64)>> {
        let slot = self.court.slot().await?;
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            let authority = self.court.authority(number)?;
            let state = self.court.validator(&authority).await?;
            let mut sides = case.claims().iter().map(|claim| claim.claimant);
            if state.header.status == ValidatorStatus::Active as u8
                && case.submitter != authority.to_bytes()
                && !sides.any(|side| side == authority.to_bytes())
            {
                nodes.push((authority.to_bytes(), state.active_stake(slot)));
            }
        }
        Ok(nodes)
    }

    /// Who would hold each seat if all of these commit, and whether it is one of `liars`.
    pub fn winners(
        case: &Case,
        nodes: &[([u8; 32], u64)],
        liars: &[([u8; 32], u64)],
    ) -> Vec<(bool, [u8; 32])> {
        let address = pda::case(Pubkey::new_from_array(case.job));
        let winner = |(index, seat): (usize, &JurySeat)| {
            let draw = Seat {
                case: address.as_array(),
                slot_hash: &seat.slot_hash,
                index: index as u32,
            };
            let mut best: Option<(Rank, bool)> = None;
            let theirs = liars.iter().map(|(key, stake)| (*key, *stake, true));
            let others = nodes.iter().map(|(key, stake)| (*key, *stake, false));
            for (key, stake, lies) in theirs.chain(others) {
                let Some(claim) = draw.rank(&key, stake) else {
                    continue;
                };
                if best.as_ref().is_none_or(|(rank, _)| claim.beats(rank)) {
                    best = Some((claim, lies));
                }
            }
            best.map(|(rank, lies)| (lies, rank.authority))
        };
        let seats = case.jury().iter().enumerate();
        seats.filter_map(winner).collect()
    }

    /// Seats a liar once the first honest juror has committed: then the draw is known.
    pub async fn join<'a>(&'a self, bench: &mut Bench<'a>) -> Result<()> {
        let case = self.court.case(&bench.job).await?;
        let drawn = case.jury().iter().any(JurySeat::is_taken);
        if bench.committed || !drawn || self.court.slot().await? + 1 >= case.commit_end() {
            return Ok(());
        }
        let nodes = self.nodes(&case).await?;
        let slot = self.court.slot().await?;
        let candidates = match bench.sybils {
            true => &self.sybils[..],
            false => &self.liars[FRIENDS..],
        };
        let mut claims = Vec::new();
        for liar in candidates {
            let state = self.court.validator(&liar.key()).await?;
            claims.push((liar, (liar.key().to_bytes(), state.active_stake(slot))));
        }
        // Seats that they hold, and whether the others belong to enough keys.
        let seats = |who: &[([u8; 32], u64)]| {
            let winners = Self::winners(&case, &nodes, who);
            let held = winners.iter().filter(|(lies, _)| *lies).count();
            let honest = winners.iter().filter(|(lies, _)| !lies);
            let keys: std::collections::BTreeSet<_> = honest.map(|(_, key)| *key).collect();
            (held, keys.len() >= 3)
        };
        let mut chosen: Vec<&Liar> = Vec::new();
        if bench.sybils {
            let mut stakes = Vec::new();
            for (liar, claim) in &claims {
                // As many as do not make a jury by a rare draw.
                stakes.push(*claim);
                match seats(&stakes) {
                    (0..=1, true) => chosen.push(*liar),
                    _ => drop(stakes.pop()),
                }
            }
            bench.decides = seats(&stakes).1;
        } else {
            // The smallest part of a jury that one liar can have, and rather one that leaves enough keys to decide.
            let held: Vec<(usize, bool)> =
                claims.iter().map(|(_, claim)| seats(&[*claim])).collect();
            let fits = |index: &usize| (1..=MOST_SEATS).contains(&held[*index].0);
            let found = (0..claims.len())
                .filter(fits)
                .min_by_key(|index| (!held[*index].1, held[*index].0));
            let found = found.with_context(|| {
                let slot = case.commit_start();
                format!("no liar fits the draw of slot {slot}: {nodes:?}, seats of each: {held:?}")
            })?;
            bench.decides = held[found].1;
            chosen.push(claims[found].0);
        }
        bench.vote = match bench.part {
            Part::Guess => vec![0xab; case.vote_len()],
            _ => approval(&case),
        };
        for liar in chosen {
            let juror = self.juror(liar, bench);
            let mut commitment = hash::juror_commitment(
                juror.case.as_array(),
                liar.key().as_array(),
                &SALT,
                &bench.vote,
            );
            if bench.part == Part::Copy {
                let other = case.jury().iter().find(|seat| seat.is_taken());
                commitment = other.context("nobody to copy")?.commitment;
            }
            let commit = ix::commit_juror(&juror, &case, commitment);
            // Outranked in every seat it is counted all the same.
            self.court.send(&[commit], &[&self.purse]).await?;
            bench.sitting.push(liar);
        }
        bench.committed = true;
        Ok(())
    }

    /// A liar's place in a case; they share one operator.
    pub fn juror(&self, liar: &Liar, bench: &Bench<'_>) -> ix::Juror {
        ix::Juror {
            operator: self.purse.pubkey(),
            authority: liar.key(),
            case: pda::case(bench.job),
            served: None,
        }
    }

    /// Reveals what can be revealed, once reveals are taken.
    pub async fn reveal(&self, bench: &mut Bench<'_>) -> Result<()> {
        let case = self.court.case(&bench.job).await?;
        let slot = self.court.slot().await?;
        if bench.revealed || !bench.committed || slot < case.commit_end() {
            return Ok(());
        }
        for liar in &bench.sitting {
            let mut jury = case.jury().iter();
            if !jury.any(|s| s.juror == liar.key().to_bytes()) {
                continue;
            }
            let juror = self.juror(liar, bench);
            let reveal = ix::reveal_juror(&juror, &case, SALT, &bench.vote);
            match bench.part {
                Part::Guess | Part::Approve => {
                    self.court.send(&[reveal], &[&self.purse]).await?;
                }
                Part::Copy => {
                    let error = MythicError::CommitmentMismatch;
                    self.court.refused(&[reveal], &[&self.purse], error).await?;
                }
                Part::Silence => {}
            }
        }
        bench.revealed = true;
        Ok(())
    }

    /// Runs juries with liars until their jobs are over and everything is collected.
    pub async fn hold<'a>(&'a self, benches: &mut [Bench<'a>]) -> Result<()> {
        let what = "juries with liars to end";
        let court = &self.court;
        // `until` asks again and again, so the liars act in between.
        let shared = tokio::sync::Mutex::new(benches);
        court
            .until(what, async || {
                let mut benches = shared.lock().await;
                let mut over = true;
                for bench in benches.iter_mut() {
                    let case = court.case(&bench.job).await?;
                    if case.status() == Some(CaseStatus::Jury) {
                        self.join(bench).await?;
                        self.reveal(bench).await?;
                    }
                    over &= case.status() == Some(CaseStatus::Resolved) && case.all_collected();
                }
                Ok(over.then_some(()))
            })
            .await
    }
}

/// That a result is false, at any price.
pub const FALSE: ix::Statement<'static> = ix::Statement {
    kind: ClaimKind::False,
    bond: 5 * SOL,
    positions: &[],
    served: None,
};

/// A vote that finds everything true, whatever was submitted: what anybody can copy from the chain, and no work.
pub fn approval(case: &Case) -> Vec<u8> {
    let mut vote = vec![0; 32];
    vote.extend(case.sample_digest);
    vote.extend(case.groups().flat_map(|claim| claim.digest));
    vote
}

pub fn bench<'a>(job: Pubkey, part: Part) -> Bench<'a> {
    Bench {
        job,
        part,
        sybils: false,
        sitting: Vec::new(),
        vote: Vec::new(),
        decides: false,
        committed: false,
        revealed: false,
    }
}
