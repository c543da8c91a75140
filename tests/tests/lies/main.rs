//! Every lie against honest nodes, and every way in which a cheater's friends might help it, on real processes: it costs the
//! liar and not the node. The liars are validators with stake and no process, whose transactions the test makes.

mod scene;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mythic_client::ix;
use mythic_e2e::court::{Bought, Wanted, summary};
use mythic_interface::{
    dispute::{EVIDENT_REWARD_BPS, REWARD_BPS},
    error::MythicError,
    leaf::check_leaf,
    merkle, money,
    state::{
        Case, EndReason, Ground, Job, JobStatus, JurySeat, Validator, ValidatorStatus, Verdict,
    },
};
use mythic_wire as wire;
use mythic_wire::evidence::Evidence;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::scene::{Bench, FALSE, Liar, MOST_SEATS, Part, Scene, bench};

const STORY: &str = "Write a long story about a ship that is lost in the fog.";

fn wanted(validator: usize, tokens: u32) -> Wanted<'static> {
    Wanted {
        validator,
        prompt: STORY,
        tokens,
        temperature: "1",
        options: &[],
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

/// False claims, many of them, before juries with a guesser, a copier, a silent juror and sybils; one node is killed in the
/// middle.
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

    // Nobody claims or proves against itself.
    let own = court.key("operator-0")?;
    let itself = ix::Claimant {
        payer: own.pubkey(),
        operator: own.pubkey(),
        authority: court.authority(1)?,
    };
    let state = court.job(&jobs[0]).await?;
    scene.sample_known(&jobs[0]).await?;
    let claim = ix::verify_logits(&itself, jobs[0], &state, &FALSE);
    let error = MythicError::SelfChallenge;
    court.refused(&[claim], &[&own], error).await?;

    for job in &jobs {
        scene.accuse(&scene.accuser, job).await?;
    }
    court
        .while_slots_pass(court.network.crash("node-1"))
        .await??;
    let parts = [Part::Guess, Part::Copy, Part::Silence, Part::Guess];
    let mut benches: Vec<_> = jobs
        .iter()
        .zip(parts)
        .map(|(job, part)| bench(*job, part))
        .collect();
    benches[3].sybils = true;
    scene.hold(&mut benches).await?;

    let (mut lost, mut returned) = (0, 0);
    for ((job, number), (bench, before)) in jobs.iter().zip(1..).zip(benches.iter().zip(before)) {
        let case = court.case(job).await?;
        let claim = &case.claims()[0];
        let verdict = Verdict::from_u8(case.verdict);
        let state = court.end_of(job).await?;
        ensure!(state.status() == Some(JobStatus::Settled));
        match (bench.decides, verdict) {
            (_, Some(Verdict::NotGuilty)) => {
                ensure!(state.end_reason == EndReason::NotGuilty as u8);
                ensure!(case.burned_amount == claim.at_stake && claim.at_stake.get() > 0);
                liars_are_punished(scene, bench, &case).await?;
            }
            // All honest seats went to two keys.
            (false, Some(Verdict::Void)) => ensure!(case.burned_amount.get() == 0),
            (decides, other) => anyhow::bail!("job {number}: {other:?}, {decides}"),
        }
        ensure!(case.submitter_amount == claim.answering_fee);
        lost += claim.bond() - claim.amount.get();
        returned += claim.amount.get();

        // The node is paid for its answer and for showing it, and keeps its stake.
        let node: Validator = court.validator(&court.authority(number)?).await?;
        ensure!(node.whole_stake() == before.whole_stake() && node.slashed.get() == 0);
        ensure!(node.header.status == ValidatorStatus::Active as u8);
        let due = state.validator_amount.get() + claim.answering_fee.get();
        ensure!(
            node.earned.get() >= before.earned.get() + due,
            "validator {number}"
        );
    }
    let accuser = court.validator(&scene.accuser.key()).await?;
    ensure!(accuser.claimable.get() == returned && accuser.earned.get() == 0);
    println!("four false claims lost {lost} lamports and won nothing");
    Ok(())
}

/// Every liar who sat is paid nothing and loses the penalty.
async fn liars_are_punished(scene: &Scene, bench: &Bench<'_>, case: &Case) -> Result<()> {
    let penalty = case.rules.juror_penalty.get();
    let mut held = 0;
    for liar in &bench.sitting {
        let seats: Vec<&JurySeat> = case
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
        bench.sybils || (1..=MOST_SEATS).contains(&held),
        "{held} seats for {:?}",
        bench.part
    );
    Ok(())
}

/// A friend that claims first, a juror that approves, and a fault that the cheater proves by a friend.
async fn cheaters_have_friends(scene: &Scene) -> Result<()> {
    let court = &scene.court;
    court.cheat(&[(5, "one-token"), (6, "wrong-seed")]).await?;
    let stakes = [5, 6].map(|number| async move {
        let state = court.validator(&court.authority(number)?).await?;
        anyhow::Ok(state.whole_stake())
    });
    let stakes = try_join_all(stakes).await?;
    let bought = court.buy(&[wanted(6, 24)]).await?;
    // At once, before anybody else can claim it.
    let prover = &scene.liars[0];
    prove_own_fault(scene, prover, &bought[0].job).await?;
    let job = court.end_of(&bought[0].job).await?;
    ensure!(job.status() == Some(JobStatus::Slashed) && job.end_reason == EndReason::Fault as u8);
    let case = court.case(&bought[0].job).await?;
    ensure!(case.prover == prover.key().to_bytes() && case.claims().is_empty());
    ensure!(Ground::from_u8(case.ground) == Some(Ground::Fault));
    let slashed = stakes[1] / 2;
    let tenth = money::share(slashed, EVIDENT_REWARD_BPS);
    let gained = court.validator(&prover.key()).await?.earned.get();
    ensure!(gained == tenth && case.burned_amount.get() == slashed - tenth);
    println!(
        "a cheater that proves its own fault loses {} lamports",
        slashed - gained
    );

    let job = court.buy(&[wanted(5, 150)]).await?[0].job;
    scene.accuse(&scene.liars[1], &job).await?;
    let mut benches = [bench(job, Part::Approve)];
    scene.hold(&mut benches).await?;
    let state = court.end_of(&job).await?;
    let case = court.case(&job).await?;
    if !benches[0].decides && state.status() == Some(JobStatus::Settled) {
        println!("all honest seats went to two keys: void");
        return Ok(());
    }
    ensure!(
        state.status() == Some(JobStatus::Slashed),
        "{:?}; {}\n{}",
        state.status(),
        summary(&(job, case)),
        court.network.logs()
    );
    if Ground::from_u8(case.ground) == Some(Ground::Jury) {
        liars_are_punished(scene, &benches[0], &case).await?;
    }
    let cheater = court.validator(&court.authority(5)?).await?;
    ensure!(cheater.whole_stake() == stakes[0] - stakes[0] / 2);
    // Where the sample happens to hold the altered token, about one draw of nine, the friend was right; else an honest node
    // joined, and the friend lost what it had at stake.
    let friend = &case.claims()[0];
    let most = money::share(stakes[0] / 2, REWARD_BPS);
    let back = friend.amount.get();
    ensure!(back <= friend.bond() + most, "{back} to the friend");
    ensure!(back > friend.bond() || case.claims().len() > 1);
    println!("the friend put in {} and got {back}", friend.bond());
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
    let who = scene.claimant(prover);
    let proof = ix::Proof {
        leaf,
        path: path.siblings(),
        page: None,
    };
    let proof = ix::prove_fault(&who, job, &state, &proof);
    court.send(&[proof], &[&scene.purse]).await
}
