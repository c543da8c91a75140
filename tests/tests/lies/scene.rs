//! A network with liars: validators with stake and no process, whose transactions the test makes.

use std::iter;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mythic_client::{ix, pda};
use mythic_e2e::court::{Court, is};
use mythic_interface::{
    error::MythicError,
    hash,
    ix::RegisterValidator,
    le::{I32, Text, U32, U64},
    sortition::{Rank, Seat},
    state::{Dispute, DisputeStatus, JurySeat, ValidatorStatus},
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

pub const SOL: u64 = 1_000_000_000;
/// Honest nodes; validators with processes.
pub const NODES: usize = 6;
/// Liars who have work beside juries: one proves a fault, one challenges for a friend.
pub const FRIENDS: usize = 2;
/// Liars who might sit on a jury.
pub const JURORS: u64 = 32;
/// Stakes of those who might sit: the best honest rank of a seat varies from draw to draw, so equal stakes would often get
/// all the seats or none. From 2 to 200 SOL, none gets exactly one seat in fewer than one draw of three thousand.
fn juror_stake(number: u64) -> u64 {
    (2.0 * 100f64.powf(number as f64 / (JURORS - 1) as f64) * SOL as f64) as u64
}
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
    /// Shows fraud without having computed anything.
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
    /// Challenges honest answers.
    pub accuser: Liar,
    pub liars: Vec<Liar>,
    pub sybils: Vec<Liar>,
}

/// The jury of one dispute, as far as liars sit on it.
pub struct Bench<'a> {
    pub dispute: Pubkey,
    pub part: Part,
    /// Many small liars instead of one.
    pub sybils: bool,
    pub sitting: Vec<&'a Liar>,
    /// Salt and vector of each are the same.
    pub vector: Vec<[I32; 5]>,
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

    pub fn challenger(&self, liar: &Liar) -> ix::Challenger {
        ix::Challenger {
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

    /// A liar challenges a result, naming nothing; the dispute.
    pub async fn accuse(&self, liar: &Liar, job: &Pubkey) -> Result<Pubkey> {
        self.sample_known(job).await?;
        let state = self.court.job(job).await?;
        let challenge = ix::verify_logits(&self.challenger(liar), job, &state, 5 * SOL, &[]);
        self.court.send(&[challenge], &[&self.purse]).await?;
        Ok(pda::dispute(job, liar.key()))
    }

    /// Who may sit on the jury of a dispute beside liars: the nodes, with their stake.
    pub async fn nodes(&self, dispute: &Dispute) -> Result<Vec<([u8; 32], u64)>> {
        let slot = self.court.slot().await?;
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            let authority = self.court.authority(number)?;
            let state = self.court.validator(&authority).await?;
            let sides = [dispute.submitter, dispute.challenger];
            if state.header.status == ValidatorStatus::Active as u8
                && !sides.contains(&authority.to_bytes())
            {
                nodes.push((authority.to_bytes(), state.active_stake(slot)));
            }
        }
        Ok(nodes)
    }

    /// Seats that `liars` would hold together against the nodes, all of them committing.
    pub fn seats(
        at: &Pubkey,
        dispute: &Dispute,
        nodes: &[([u8; 32], u64)],
        liars: &[([u8; 32], u64)],
    ) -> usize {
        let held = |(index, seat): (usize, &JurySeat)| {
            let draw = Seat {
                dispute: at.as_array(),
                slot_hash: &seat.slot_hash,
                index: index as u32,
                jury_stake: dispute.rules.jury_stake.get(),
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
            best.is_some_and(|(_, lies)| lies)
        };
        dispute
            .jury()
            .iter()
            .enumerate()
            .filter(|x| held(*x))
            .count()
    }

    /// Seats a liar once the first honest juror has committed: then the draw is known.
    pub async fn join<'a>(&'a self, bench: &mut Bench<'a>) -> Result<()> {
        let dispute = self.court.dispute(&bench.dispute).await?;
        let drawn = dispute.jury().first().is_some_and(JurySeat::is_taken);
        if bench.committed || !drawn || self.court.slot().await? + 1 >= dispute.commit_end() {
            return Ok(());
        }
        let nodes = self.nodes(&dispute).await?;
        let seats = |who: &[([u8; 32], u64)]| Self::seats(&bench.dispute, &dispute, &nodes, who);
        let slot = self.court.slot().await?;
        let mut chosen: Vec<&Liar> = Vec::new();
        let mut stakes = Vec::new();
        let candidates = match bench.sybils {
            true => self.sybils.iter(),
            false => self.liars[FRIENDS..].iter(),
        };
        for liar in candidates {
            let stake = self.court.validator(&liar.key()).await?.active_stake(slot);
            let claim = (liar.key().to_bytes(), stake);
            if bench.sybils {
                // As many as do not make a jury by a rare draw.
                stakes.push(claim);
                match seats(&stakes) > 1 {
                    true => stakes.truncate(chosen.len()),
                    false => chosen.push(liar),
                }
            } else if chosen.is_empty() && seats(&[claim]) == 1 {
                chosen.push(liar);
            }
        }
        ensure!(!chosen.is_empty(), "no liar fits the draw");
        for liar in chosen {
            let vector = match bench.part {
                Part::Guess => guess(&dispute),
                _ => approval(&dispute),
            };
            let mut commitment = hash::juror_commitment(
                bench.dispute.as_array(),
                liar.key().as_array(),
                &SALT,
                &bytes(&vector),
            );
            if bench.part == Part::Copy {
                let other = dispute.jury().iter().find(|seat| seat.is_taken());
                commitment = other.context("nobody to copy")?.commitment;
            }
            let juror = self.juror(liar, bench);
            let commit = ix::commit_juror(&juror, &dispute, commitment);
            match self.court.send(&[commit], &[&self.purse]).await {
                Ok(()) => bench.sitting.push(liar),
                // Outranked in every seat: a commitment in vain.
                Err(error) if bench.sybils && is(&error, MythicError::NotSeated) => {}
                Err(error) => return Err(error),
            }
            bench.vector = vector;
        }
        bench.committed = true;
        Ok(())
    }

    /// A liar's place in a dispute; they share one operator.
    pub fn juror(&self, liar: &Liar, bench: &Bench<'_>) -> ix::Juror {
        ix::Juror {
            operator: self.purse.pubkey(),
            authority: liar.key(),
            dispute: bench.dispute,
        }
    }

    /// Reveals what can be revealed, once reveals are taken.
    pub async fn reveal(&self, bench: &mut Bench<'_>) -> Result<()> {
        let dispute = self.court.dispute(&bench.dispute).await?;
        let slot = self.court.slot().await?;
        if bench.revealed || !bench.committed || slot < dispute.commit_end() {
            return Ok(());
        }
        for liar in &bench.sitting {
            if !dispute
                .jury()
                .iter()
                .any(|s| s.juror == liar.key().to_bytes())
            {
                continue;
            }
            let vector = bytes(&bench.vector);
            let juror = self.juror(liar, bench);
            let reveal = ix::reveal_juror(&juror, &dispute, SALT, &vector);
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
                    let dispute = court.dispute(&bench.dispute).await?;
                    if dispute.status() == Some(DisputeStatus::Jury) {
                        self.join(bench).await?;
                        self.reveal(bench).await?;
                    }
                    over &= dispute.status() == Some(DisputeStatus::Resolved)
                        && dispute.all_collected();
                }
                Ok(over.then_some(()))
            })
            .await
    }
}

pub fn bytes(vector: &[[I32; 5]]) -> Vec<u8> {
    let values = vector.iter().flatten();
    values.flat_map(|value| value.get().to_le_bytes()).collect()
}

/// A vector that shows no fraud whatever was submitted.
pub fn approval(dispute: &Dispute) -> Vec<[I32; 5]> {
    let leaves = dispute.checked_leaves().iter();
    leaves
        .map(|leaf| {
            let [a, b, c, d] = leaf.logits;
            [a, b, c, d, d]
        })
        .collect()
}

/// A vector that shows fraud, and that nobody computed.
pub fn guess(dispute: &Dispute) -> Vec<[I32; 5]> {
    let mut vector = approval(dispute);
    for (at, values) in (0i32..).zip(&mut vector) {
        values[0].set(values[0].get() ^ (77 + at));
    }
    vector
}

pub fn bench<'a>(dispute: Pubkey, part: Part) -> Bench<'a> {
    Bench {
        dispute,
        part,
        sybils: false,
        sitting: Vec::new(),
        vector: Vec::new(),
        committed: false,
        revealed: false,
    }
}
