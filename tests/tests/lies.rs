//! Every lie against honest nodes, and every way in which a cheater's friends might help it, on real processes: it costs the
//! liar and not the node. The liars are validators with stake and no process, whose transactions the test makes.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mythic_client::{ix, pda};
use mythic_e2e::court::{Bought, Court, Wanted, is};
use mythic_interface::{
    error::MythicError,
    hash,
    ix::RegisterValidator,
    le::{I32, Text, U32, U64},
    leaf::check_leaf,
    merkle,
    sortition::{Rank, Seat},
    state::{
        Dispute, DisputeStatus, EndReason, Ground, Job, JobStatus, JurySeat, Validator,
        ValidatorStatus, Verdict,
    },
};
use mythic_wire as wire;
use mythic_wire::evidence::Evidence;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

const SOL: u64 = 1_000_000_000;
/// Honest nodes; validators with processes.
const NODES: usize = 6;
/// Liars who might sit on a jury: so many that one of them fits every draw.
const LIARS: usize = 16;
const LIAR_STAKE: u64 = 10 * SOL;
/// Validators of the least stake, all of one owner.
const SYBILS: usize = 6;
const STORY: &str = "Write a long story about a ship that is lost in the fog.";

/// A validator without a process.
struct Liar {
    authority: Keypair,
}

impl Liar {
    fn key(&self) -> Pubkey {
        self.authority.pubkey()
    }
}

/// What a liar does on a jury.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
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
struct Scene {
    court: Court,
    /// Signs and pays for all liars.
    purse: Keypair,
    /// Challenges honest answers.
    accuser: Liar,
    liars: Vec<Liar>,
    sybils: Vec<Liar>,
}

/// The jury of one dispute, as far as liars sit on it.
struct Bench<'a> {
    dispute: Pubkey,
    part: Part,
    /// Many small liars instead of one.
    sybils: bool,
    sitting: Vec<&'a Liar>,
    /// Salt and vector of each are the same.
    vector: Vec<[I32; 5]>,
    committed: bool,
    revealed: bool,
}

const SALT: [u8; 32] = [9; 32];

impl Scene {
    async fn set() -> Result<Self> {
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
            let liars = try_join_all((0..LIARS).map(|_| enrol(LIAR_STAKE))).await?;
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

    fn challenger(&self, liar: &Liar) -> ix::Challenger {
        ix::Challenger {
            payer: self.purse.pubkey(),
            operator: self.purse.pubkey(),
            authority: liar.key(),
        }
    }

    /// Waits until the sample of a result is known.
    async fn sample_known(&self, job: &Pubkey) -> Result<()> {
        let from = self.court.job(job).await?.submitted_slot.get() + 21;
        let slot = self.court.slot().await?;
        match from.checked_sub(slot) {
            Some(slots @ 1..) => self.court.advance(slots).await,
            _ => Ok(()),
        }
    }

    /// A liar challenges a result, naming nothing; the dispute.
    async fn accuse(&self, liar: &Liar, job: &Pubkey) -> Result<Pubkey> {
        self.sample_known(job).await?;
        let state = self.court.job(job).await?;
        let challenge = ix::verify_logits(&self.challenger(liar), job, &state, 5 * SOL, &[]);
        self.court.send(&[challenge], &[&self.purse]).await?;
        Ok(pda::dispute(job, liar.key()))
    }

    /// Who may sit on the jury of a dispute beside liars: the nodes, with their stake.
    async fn nodes(&self, dispute: &Dispute) -> Result<Vec<([u8; 32], u64)>> {
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
    fn seats(
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
    async fn join<'a>(&'a self, bench: &mut Bench<'a>) -> Result<()> {
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
            false => self.liars[2..].iter(),
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
    fn juror(&self, liar: &Liar, bench: &Bench<'_>) -> ix::Juror {
        ix::Juror {
            operator: self.purse.pubkey(),
            authority: liar.key(),
            dispute: bench.dispute,
        }
    }

    /// Reveals what can be revealed, once reveals are taken.
    async fn reveal(&self, bench: &mut Bench<'_>) -> Result<()> {
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
    async fn hold<'a>(&'a self, benches: &mut [Bench<'a>]) -> Result<()> {
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

fn bytes(vector: &[[I32; 5]]) -> Vec<u8> {
    let values = vector.iter().flatten();
    values.flat_map(|value| value.get().to_le_bytes()).collect()
}

/// A vector that shows no fraud whatever was submitted.
fn approval(dispute: &Dispute) -> Vec<[I32; 5]> {
    let leaves = dispute.checked_leaves().iter();
    leaves
        .map(|leaf| {
            let [a, b, c, d] = leaf.logits;
            [a, b, c, d, d]
        })
        .collect()
}

/// A vector that shows fraud, and that nobody computed.
fn guess(dispute: &Dispute) -> Vec<[I32; 5]> {
    let mut vector = approval(dispute);
    for (at, values) in (0i32..).zip(&mut vector) {
        values[0].set(values[0].get() ^ (77 + at));
    }
    vector
}

fn bench<'a>(dispute: Pubkey, part: Part) -> Bench<'a> {
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

fn wanted(validator: usize, tokens: u32) -> Wanted<'static> {
    Wanted {
        validator,
        prompt: STORY,
        tokens,
        temperature: "1",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_cost_the_liar_and_not_the_node() -> Result<()> {
    let scene = Scene::set().await?;
    honest_nodes_are_accused(&scene)
        .await
        .context("honest nodes")?;
    cheaters_have_friends(&scene).await.context("cheaters")
}

/// False challenges, many of them, against juries with a guesser, a copier, a silent juror and sybils; one node is killed
/// in the middle.
async fn honest_nodes_are_accused(scene: &Scene) -> Result<()> {
    let court = &scene.court;
    let jobs: Vec<Pubkey> = court
        .buy(&[1, 2, 3, 4].map(|number| wanted(number, 24)))
        .await?
        .into_iter()
        .map(|Bought { job, .. }| job)
        .collect();
    let mut before = Vec::new();
    for number in 1..=4 {
        before.push(court.validator(&court.authority(number)?).await?);
    }

    // Nobody challenges or proves against itself.
    let own = court.key("operator-0")?;
    let itself = ix::Challenger {
        payer: own.pubkey(),
        operator: own.pubkey(),
        authority: court.authority(1)?,
    };
    let state = court.job(&jobs[0]).await?;
    scene.sample_known(&jobs[0]).await?;
    let challenge = ix::verify_logits(&itself, jobs[0], &state, 5 * SOL, &[]);
    let error = MythicError::SelfChallenge;
    court.refused(&[challenge], &[&own], error).await?;

    let mut disputes = Vec::new();
    for job in &jobs {
        disputes.push(scene.accuse(&scene.accuser, job).await?);
    }
    court
        .while_slots_pass(court.network.crash("node-1"))
        .await??;
    let parts = [Part::Guess, Part::Copy, Part::Silence, Part::Guess];
    let mut benches: Vec<_> = disputes
        .iter()
        .zip(parts)
        .map(|(d, part)| bench(*d, part))
        .collect();
    benches[3].sybils = true;
    scene.hold(&mut benches).await?;

    let (mut lost, mut returned) = (0, 0);
    for ((job, number), (bench, before)) in jobs.iter().zip(1..).zip(benches.iter().zip(before)) {
        let dispute = court.dispute(&bench.dispute).await?;
        let verdict = Verdict::from_u8(dispute.verdict);
        ensure!(
            verdict == Some(Verdict::NotGuilty),
            "job {number}: {verdict:?}"
        );
        ensure!(dispute.burned_amount == dispute.at_stake && dispute.at_stake.get() > 0);
        ensure!(dispute.submitter_amount == dispute.answering_fee);
        lost += dispute.bond.get() - dispute.challenger_amount.get();
        returned += dispute.challenger_amount.get();
        liars_are_punished(scene, bench, &dispute).await?;

        // The node is paid for its answer and for showing it, and keeps its stake.
        let state = court.end_of(job).await?;
        ensure!(state.status() == Some(JobStatus::Settled));
        ensure!(state.end_reason == EndReason::NotGuilty as u8);
        let node: Validator = court.validator(&court.authority(number)?).await?;
        ensure!(node.whole_stake() == before.whole_stake() && node.slashed.get() == 0);
        ensure!(node.header.status == ValidatorStatus::Active as u8);
        let due = state.validator_amount.get() + dispute.answering_fee.get();
        ensure!(
            node.earned.get() >= before.earned.get() + due,
            "validator {number}"
        );
    }
    let accuser = court.validator(&scene.accuser.key()).await?;
    ensure!(accuser.claimable.get() == returned && accuser.earned.get() == 0);
    println!("four false challenges lost {lost} lamports and won nothing");
    Ok(())
}

/// Every liar who sat is paid nothing and loses the penalty.
async fn liars_are_punished(scene: &Scene, bench: &Bench<'_>, dispute: &Dispute) -> Result<()> {
    let penalty = dispute.rules.juror_penalty.get();
    let mut held = 0;
    for liar in &bench.sitting {
        let seats: Vec<&JurySeat> = dispute
            .jury()
            .iter()
            .filter(|seat| seat.juror == liar.key().to_bytes())
            .collect();
        ensure!(
            seats
                .iter()
                .all(|s| s.reward.get() == 0 && s.penalty.get() == penalty)
        );
        let state = scene.court.validator(&liar.key()).await?;
        let least = seats.len() as u64 * penalty;
        ensure!(state.slashed.get() >= least && state.earned.get() == 0);
        println!(
            "{:?}: {} seats, {least} lamports lost",
            bench.part,
            seats.len()
        );
        held += seats.len();
    }
    ensure!(
        bench.sybils || held == 1,
        "{held} seats for {:?}",
        bench.part
    );
    Ok(())
}

/// A friend that challenges first, a juror that approves, and a fault that the cheater proves by a friend.
async fn cheaters_have_friends(scene: &Scene) -> Result<()> {
    let court = &scene.court;
    court.cheat(&[(5, "one-token"), (6, "wrong-seed")]).await?;
    let stakes = [5, 6].map(|number| async move {
        let state = court.validator(&court.authority(number)?).await?;
        anyhow::Ok(state.whole_stake())
    });
    let stakes = try_join_all(stakes).await?;
    let bought = court.buy(&[wanted(6, 24)]).await?;
    // At once, before anybody else has seen the answer confirmed.
    let prover = &scene.liars[0];
    prove_own_fault(scene, prover, &bought[0].job).await?;
    let job = court.end_of(&bought[0].job).await?;
    ensure!(job.status() == Some(JobStatus::Slashed) && job.end_reason == EndReason::Fault as u8);
    let fault = court.dispute(&pda::fault(bought[0].job)).await?;
    ensure!(fault.challenger == prover.key().to_bytes());
    ensure!(Ground::from_u8(fault.ground) == Some(Ground::Fault));
    let slashed = stakes[1] / 2;
    let gained = court.validator(&prover.key()).await?.earned.get();
    ensure!(gained == slashed / 2 && fault.burned_amount.get() == slashed - slashed / 2);
    println!(
        "a cheater that proves its own fault loses {} lamports",
        slashed - gained
    );

    let job = court.buy(&[wanted(5, 150)]).await?[0].job;
    let friend = scene.accuse(&scene.liars[1], &job).await?;
    let honest = court
        .until("an honest challenge", async || {
            let all = court.disputes_of(&job).await?;
            Ok(all.into_iter().map(|(at, _)| at).find(|at| *at != friend))
        })
        .await?;
    let mut benches = [bench(honest, Part::Approve)];
    scene.hold(&mut benches).await?;
    let state = court.end_of(&job).await?;
    ensure!(
        state.status() == Some(JobStatus::Slashed),
        "{:?}",
        state.status()
    );
    let dispute = court.dispute(&honest).await?;
    // Unless the sample of the friend's own challenge happened to hold the altered token.
    if Ground::from_u8(dispute.ground) == Some(Ground::Jury) {
        liars_are_punished(scene, &benches[0], &dispute).await?;
    }
    let cheater = court.validator(&court.authority(5)?).await?;
    ensure!(cheater.whole_stake() == stakes[0] - stakes[0] / 2);
    // Whatever the friend's own dispute came to, it returns half of the slash at most.
    let friends = court.dispute(&friend).await?;
    let back = friends.challenger_amount.get();
    ensure!(
        back <= friends.bond.get() + stakes[0] / 4,
        "{back} to the friend"
    );
    println!(
        "the friend's dispute ended {:?}",
        Verdict::from_u8(friends.verdict)
    );
    Ok(())
}

/// Fetches a result's evidence as any validator may, and proves a fault in it.
async fn prove_own_fault(scene: &Scene, prover: &Liar, job: &Pubkey) -> Result<()> {
    let court = &scene.court;
    let state: Job = court.job(job).await?;
    let node = court.network.state()["validators"][5]["endpoint"].clone();
    let path = format!("/v1/jobs/{job}/evidence");
    let origin = wire::Origin::parse(node.as_str().context("no endpoint")?)?;
    let signed = wire::signed::Request {
        origin: &origin,
        method: "GET",
        path: &path,
        purpose: &wire::signed::purpose::check(job, &prover.authority.pubkey()),
        body: &[],
    };
    let mut request = court.network.http.get(origin.at(&path));
    for (name, value) in wire::signed::sign(&signed, &prover.authority) {
        request = request.header(name, value);
    }
    let evidence: Evidence = request.send().await?.error_for_status()?.json().await?;
    let sampling = evidence.sampling();
    let leaf = (0u32..)
        .map_while(|at| evidence.leaf(at))
        .find(|leaf| check_leaf(leaf, &sampling).is_err())
        .context("no fault in the evidence")?;
    let path = merkle::prove(&evidence.leaf_hashes(), leaf.position as usize).context("a path")?;
    let who = scene.challenger(prover);
    let proof = ix::Proof {
        leaf,
        path: path.siblings(),
        page: None,
    };
    let proof = ix::prove_fault(&who, job, &state, &proof);
    court.send(&[proof], &[&scene.purse]).await
}
