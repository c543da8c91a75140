//! Every lie against honest nodes, and every way in which a cheater's friends might help it, on real processes: it costs the
//! liar and not the node. The liars are validators with stake and no process, whose transactions the test makes.

mod scene;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mythic_client::{ix, pda};
use mythic_e2e::court::{Bought, Wanted};
use mythic_interface::{
    error::MythicError,
    leaf::check_leaf,
    merkle,
    state::{
        Dispute, EndReason, Ground, Job, JobStatus, JurySeat, Validator, ValidatorStatus, Verdict,
    },
};
use mythic_wire as wire;
use mythic_wire::evidence::Evidence;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::scene::{Bench, Liar, Part, SOL, Scene, bench};

const STORY: &str = "Write a long story about a ship that is lost in the fog.";

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
    // Where the sample of the friend's dispute happens to hold the altered token, its jury convicts, and honest nodes, who
    // see that, leave it alone: about one draw of nine.
    let convicting = court
        .until(
            "an honest challenge or a verdict on the friend's",
            async || {
                let all = court.disputes_of(&job).await?;
                let found = all.into_iter().find(|(at, dispute)| {
                    *at != friend || Verdict::from_u8(dispute.verdict) == Some(Verdict::Guilty)
                });
                Ok(found.map(|(at, _)| at))
            },
        )
        .await?;
    let mut benches = [bench(convicting, Part::Approve)];
    scene.hold(&mut benches).await?;
    let state = court.end_of(&job).await?;
    ensure!(
        state.status() == Some(JobStatus::Slashed),
        "{:?}",
        state.status()
    );
    let dispute = court.dispute(&convicting).await?;
    if convicting != friend && Ground::from_u8(dispute.ground) == Some(Ground::Jury) {
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
