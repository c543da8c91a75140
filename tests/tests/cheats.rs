//! Every way to cheat on real processes: the others find it, dispute it, and the cheater loses half of its stake within 300
//! slots of its answer.

use anyhow::{Context, Result, ensure};
use mythic_e2e::court::{Bought, Court, Wanted};
use mythic_interface::state::{
    Dispute, EndReason, Ground, Job, JobStatus, ValidatorStatus, Verdict,
};
use solana_pubkey::Pubkey;

/// A cheat, what is asked so that it shows, and what finds it.
struct Case {
    how: &'static str,
    prompt: &'static str,
    tokens: u32,
    temperature: &'static str,
    ground: Ground,
}

const STORY: &str = "Write a long story about a ship that is lost in the fog.";

const fn case(how: &'static str, ground: Ground) -> Case {
    Case {
        how,
        prompt: STORY,
        tokens: 24,
        temperature: "1",
        ground,
    }
}

/// In rounds; those of a round cheat at the same time.
const ROUNDS: [&[Case]; 4] = [
    &[
        case("other-quant", Ground::Jury),
        case("other-model", Ground::Jury),
        case("prefill", Ground::Fault),
    ],
    &[
        case("wrong-seed", Ground::Fault),
        case("wrong-ids", Ground::Jury),
        case("truncate-prompt", Ground::Jury),
    ],
    &[
        // An answer that goes on, and one that ends early.
        case("early-stop", Ground::Fault),
        Case {
            prompt: "Say hello.",
            temperature: "0",
            tokens: 48,
            ..case("pad-after-eos", Ground::Fault)
        },
    ],
    &[
        Case {
            tokens: 150,
            ..case("one-token", Ground::Jury)
        },
        case("random", Ground::Jury),
        case("withhold", Ground::Unanswered),
    ],
];
/// Enough for the cheaters of two rounds, a challenger and a jury.
const VALIDATORS: u8 = 7;

/// An answer that is to be found false.
struct Suspect<'a> {
    case: &'a Case,
    /// Number of the validator.
    number: usize,
    authority: Pubkey,
    whole_stake: u64,
    bought: Bought,
}

impl Case {
    fn wanted(&self, validator: usize) -> Wanted<'_> {
        Wanted {
            validator,
            prompt: self.prompt,
            tokens: self.tokens,
            temperature: self.temperature,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cheat_is_found_and_loses_half_of_its_stake() -> Result<()> {
    let court = Court::open(VALIDATORS).await?;
    for (round, cases) in ROUNDS.iter().enumerate() {
        // The cheaters of the round before sit on the juries of this one.
        let first = if round % 2 == 0 { 1 } else { 4 };
        let vault = court.vault().await?;
        let numbered = || (first..).zip(cases.iter());
        let told: Vec<_> = numbered().map(|(n, case)| (n, case.how)).collect();
        court.cheat(&told).await?;
        let mut stakes = Vec::new();
        for (number, _) in numbered() {
            let authority = court.authority(number)?;
            stakes.push((authority, court.validator(&authority).await?.whole_stake()));
        }
        let wanted: Vec<_> = numbered().map(|(n, case)| case.wanted(n)).collect();
        let bought = court.buy(&wanted).await?;
        let suspects: Vec<Suspect<'_>> = numbered()
            .zip(stakes.into_iter().zip(bought))
            .map(
                |((number, case), ((authority, whole_stake), bought))| Suspect {
                    case,
                    number,
                    authority,
                    whole_stake,
                    bought,
                },
            )
            .collect();
        for suspect in &suspects {
            check(&court, suspect)
                .await
                .with_context(|| format!("{}, job {}", suspect.case.how, suspect.bought.job))?;
        }
        // The user paid nothing for any of it.
        let after = court.vault().await?;
        ensure!(
            after.balance == vault.balance && after.held == vault.held,
            "the vault held {} and holds {}",
            vault.balance.get(),
            after.balance.get()
        );
        for suspect in &suspects {
            court.unjail(suspect.number).await?;
        }
    }
    Ok(())
}

async fn check(court: &Court, suspect: &Suspect<'_>) -> Result<()> {
    let Suspect { case, bought, .. } = suspect;
    // Evidence comes with the answer, or not at all.
    ensure!(
        bought.finish.is_none() == (case.how == "withhold"),
        "finish {:?}",
        bought.finish
    );
    let job = court.end_of(&bought.job).await?;
    ensure!(
        job.status() == Some(JobStatus::Slashed),
        "ended as {:?}, {:?}",
        job.status(),
        EndReason::from_u8(job.end_reason)
    );
    let disputes = court.disputes_of(&bought.job).await?;
    let guilty = |(_, dispute): &&(Pubkey, Dispute)| {
        matches!(
            Verdict::from_u8(dispute.verdict),
            Some(Verdict::Guilty | Verdict::Fault)
        )
    };
    let deciding: Vec<_> = disputes.iter().filter(guilty).collect();
    let [(address, dispute)] = deciding.as_slice() else {
        anyhow::bail!("{} disputes decide", deciding.len());
    };
    ensure!(
        Ground::from_u8(dispute.ground) == Some(case.ground),
        "decided by {:?}",
        Ground::from_u8(dispute.ground)
    );
    let slots = dispute.resolved_slot.get() - job.submitted_slot.get();
    ensure!(slots < 300, "{slots} slots from answer to slash");
    println!(
        "{}: {:?}, {slots} slots after the answer, {} disputes",
        case.how,
        case.ground,
        disputes.len()
    );
    money(court, suspect, &job, dispute).await?;

    // Whoever caught it has the reward once it is collected.
    let challenger = Pubkey::new_from_array(dispute.challenger);
    court
        .until("the rewards to be collected", async || {
            Ok(court.dispute(address).await?.all_collected().then_some(()))
        })
        .await?;
    let earned = court.validator(&challenger).await?.earned.get();
    ensure!(
        earned >= dispute.slashed_amount.get() / 2,
        "{earned} earned"
    );
    Ok(())
}

/// Half of the stake is lost, half of that goes to who challenged, the rest to the jury, and the user has all back.
async fn money(court: &Court, suspect: &Suspect<'_>, job: &Job, dispute: &Dispute) -> Result<()> {
    let slashed = suspect.whole_stake / 2;
    let cheater = court.validator(&suspect.authority).await?;
    ensure!(
        cheater.header.status == ValidatorStatus::Jailed as u8,
        "not jailed"
    );
    ensure!(
        cheater.whole_stake() == suspect.whole_stake - slashed,
        "{} of {} are left",
        cheater.whole_stake(),
        suspect.whole_stake
    );
    ensure!(dispute.slashed_amount.get() == slashed && job.slashed_amount.get() == slashed);
    ensure!(job.fee.get() == 0 && job.refunded_amount == job.ceiling);
    ensure!(
        dispute.challenger_amount.get() == dispute.bond.get() + slashed / 2,
        "{} to the challenger",
        dispute.challenger_amount.get()
    );
    let (jurors, burned) = (dispute.jurors_amount.get(), dispute.burned_amount.get());
    ensure!(
        jurors + burned == slashed - slashed / 2,
        "{jurors} + {burned}"
    );
    match suspect.case.ground {
        Ground::Jury => ensure!(burned < u64::from(dispute.jury_seats), "{burned} burned"),
        _ => ensure!(jurors == 0, "{jurors} to a jury that was not there"),
    }
    Ok(())
}
