//! Every way to cheat on real processes: the others find it and claim it, and the cheater loses half of its stake; with friends who
//! help it, no less than its lies are worth.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mythic_e2e::court::{Bought, Court, Wanted, summary};
use mythic_interface::{
    dispute::{EVIDENT_REWARD_BPS, REWARD_BPS},
    money,
    state::{Case, EndReason, Ground, Job, JobStatus, ValidatorStatus, Verdict},
};
use serde_json::Value;
use solana_pubkey::Pubkey;
use tokio::sync::Mutex;

/// One network at a time: nodes that hardly get to run look as if they had nothing to do.
static TURN: Mutex<()> = Mutex::const_new(());

/// A cheat, what is asked so that it shows, and what finds it.
struct Trial {
    how: &'static str,
    prompt: &'static str,
    tokens: u32,
    temperature: &'static str,
    /// What the answer is to be drawn by.
    options: &'static [&'static str],
    ground: Ground,
}

const STORY: &str = "Write a long story about a ship that is lost in the fog.";

const fn trial(how: &'static str, ground: Ground) -> Trial {
    Trial {
        how,
        prompt: STORY,
        tokens: 24,
        temperature: "1",
        options: &[],
        ground,
    }
}

/// In rounds; those of a round cheat at the same time.
const ROUNDS: [&[Trial]; 5] = [
    &[
        trial("other-quant", Ground::Jury),
        trial("other-model", Ground::Jury),
        trial("prefill", Ground::Fault),
    ],
    &[
        trial("wrong-seed", Ground::Fault),
        trial("wrong-ids", Ground::Jury),
        trial("truncate-prompt", Ground::Jury),
    ],
    &[
        // An answer that goes on, and one that ends early.
        trial("early-stop", Ground::Fault),
        Trial {
            prompt: "Say hello.",
            temperature: "0",
            tokens: 48,
            ..trial("pad-after-eos", Ground::Fault)
        },
    ],
    &[
        Trial {
            tokens: 150,
            ..trial("one-token", Ground::Jury)
        },
        trial("random", Ground::Jury),
        trial("withhold", Ground::Unanswered),
    ],
    &[
        Trial {
            options: &["--top-p", "0.1"],
            ..trial("ignore-top-p", Ground::Jury)
        },
        Trial {
            options: &["--logit-bias", "300=100"],
            ..trial("ignore-bias", Ground::Jury)
        },
        Trial {
            options: &["--json-object"],
            ..trial("ignore-grammar", Ground::Jury)
        },
    ],
];
/// Enough for the cheaters of two rounds, a claimant and a jury.
const VALIDATORS: u8 = 7;
/// Most slots from an answer to its slash, with a jury of fifteen: the sample, the answer, joining, draws, commits, reveals.
const MOST_SLOTS: u64 = 21 + 40 + 100 + 8 + 60 + 100 + 60;

/// An answer that is to be found false.
struct Suspect<'a> {
    trial: &'a Trial,
    /// Number of the validator.
    number: usize,
    authority: Pubkey,
    whole_stake: u64,
    bought: Bought,
}

impl Trial {
    fn wanted(&self, validator: usize) -> Wanted<'_> {
        Wanted {
            validator,
            prompt: self.prompt,
            tokens: self.tokens,
            temperature: self.temperature,
            options: self.options,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cheat_is_found_and_loses_half_of_its_stake() -> Result<()> {
    let _turn = TURN.lock().await;
    let court = Court::open(VALIDATORS).await?;
    for (round, trials) in ROUNDS.iter().enumerate() {
        // The cheaters of the round before sit on the juries of this one.
        let first = if round % 2 == 0 { 1 } else { 4 };
        let vault = court.vault().await?;
        let numbered = || (first..).zip(trials.iter());
        let told: Vec<_> = numbered().map(|(n, trial)| (n, trial.how)).collect();
        court.cheat(&told).await?;
        let mut stakes = Vec::new();
        for (number, _) in numbered() {
            let authority = court.authority(number)?;
            stakes.push((authority, court.validator(&authority).await?.whole_stake()));
        }
        let wanted: Vec<_> = numbered().map(|(n, trial)| trial.wanted(n)).collect();
        let bought = court.buy(&wanted).await?;
        let suspects: Vec<Suspect<'_>> = numbered()
            .zip(stakes.into_iter().zip(bought))
            .map(
                |((number, trial), ((authority, whole_stake), bought))| Suspect {
                    trial,
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
                .with_context(|| format!("{}, job {}", suspect.trial.how, suspect.bought.job))?;
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
    let Suspect { trial, bought, .. } = suspect;
    // Evidence comes with the answer, or not at all.
    ensure!(
        bought.finish.is_none() == (trial.how == "withhold"),
        "finish {:?}",
        bought.finish
    );
    let job = court.end_of(&bought.job).await?;
    ensure!(
        job.status() == Some(JobStatus::Slashed),
        "ended as {:?}, {:?}; {:?}\n{}",
        job.status(),
        EndReason::from_u8(job.end_reason),
        court.cases().await?.iter().map(summary).collect::<Vec<_>>(),
        court.network.logs()
    );
    let case = court.case(&bought.job).await?;
    ensure!(matches!(
        Verdict::from_u8(case.verdict),
        Some(Verdict::Guilty | Verdict::Fault)
    ));
    ensure!(
        Ground::from_u8(case.ground) == Some(trial.ground),
        "decided by {:?}",
        Ground::from_u8(case.ground)
    );
    let slots = case.resolved_slot.get() - job.submitted_slot.get();
    ensure!(slots < MOST_SLOTS, "{slots} slots from answer to slash");
    println!(
        "{}: {:?}, {slots} slots after the answer, {} claims",
        trial.how,
        trial.ground,
        case.claims().len()
    );
    let winner = money(court, suspect, &job, &case).await?;

    // Whoever caught it has the reward once it is collected.
    court
        .until("the rewards to be collected", async || {
            let case = court.case(&bought.job).await?;
            Ok(case.all_collected().then_some(()))
        })
        .await?;
    let (winner, reward) = winner;
    let earned = court.validator(&winner).await?.earned.get();
    ensure!(earned >= reward, "{earned} earned of {reward}");
    Ok(())
}

/// Half of the stake is lost, two fifths of that go to the earliest who said that the answer is false, a tenth to whoever only said
/// that it is withheld; jurors get their tariff, the rest is burned, and the user has all back. Who is rewarded, and how much.
async fn money(
    court: &Court,
    suspect: &Suspect<'_>,
    job: &Job,
    case: &Case,
) -> Result<(Pubkey, u64)> {
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
    ensure!(case.slashed_amount.get() == slashed && job.slashed_amount.get() == slashed);
    ensure!(job.fee.get() == 0 && job.refunded_amount == job.ceiling);
    let claimed = case.false_count != 0 && suspect.trial.ground != Ground::Unanswered;
    let bps = match claimed {
        true => REWARD_BPS,
        false => EVIDENT_REWARD_BPS,
    };
    let reward = money::share(slashed, bps);
    let mut rewarded = case
        .claims()
        .iter()
        .filter(|claim| claim.amount.get() > claim.bond());
    let winner = match rewarded.next() {
        Some(claim) => {
            ensure!(claim.amount.get() == claim.bond() + reward);
            ensure!(rewarded.next().is_none(), "two are rewarded");
            claim.claimant
        }
        None => {
            ensure!(case.prover_amount.get() == reward, "nobody is rewarded");
            case.prover
        }
    };
    let paid = case.jury().iter().filter(|seat| seat.reward.get() != 0);
    let tariffs: u64 = paid.map(|seat| seat.reward.get()).sum();
    ensure!(case.jurors_amount.get() == tariffs);
    match suspect.trial.ground {
        Ground::Jury => ensure!(tariffs >= 2 * case.tariff.get(), "{tariffs} to the jury"),
        _ => ensure!(tariffs == 0, "{tariffs} to a jury that was not there"),
    }
    let burned = case.burned_amount.get();
    ensure!(burned >= slashed - reward - tariffs, "{burned} burned");
    Ok((Pubkey::new_from_array(winner), reward))
}

/// Each attack, at which validator it is played, and what it must end like: the verdict, and the most that the gang has in the end
/// beside bonds that return, in thousandths of the slash that its lie is worth.
const ATTACKS: [&[(&str, &str, i64)]; 2] = [
    &[
        ("planted-fault", "fault", -1_000),
        ("late-friend", "guilty", -1_000),
        // What others pay to have it shown is what showing it costs.
        ("bait", "void", 1),
    ],
    &[
        // Where the sample holds the altered token the first of them is right: so is who claims it against himself.
        ("shield", "guilty", -600),
        ("self-slash", "guilty", -600),
        ("rented-jury", "not_guilty", 0),
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn friends_of_a_cheater_gain_nothing_for_it() -> Result<()> {
    let _turn = TURN.lock().await;
    let court = Court::open(VALIDATORS).await?;
    for (round, attacks) in ATTACKS.iter().enumerate() {
        let first = if round % 2 == 0 { 1 } else { 4 };
        let played = (first..).zip(attacks.iter()).map(async |(number, attack)| {
            let before = court.validator(&court.authority(number)?).await?;
            let number = number.to_string();
            let how = attack.0;
            let args = [
                "dev",
                "cheat",
                "--validator",
                &number,
                "--how",
                how,
                "--json",
            ];
            let told: Value = serde_json::from_str(&court.mythic(&args).await?)?;
            spoils(attack, before.whole_stake() / 2, &told).with_context(|| told.to_string())
        });
        court.while_slots_pass(try_join_all(played)).await??;
        let honest = attacks.iter().enumerate();
        let honest: Vec<_> = honest.map(|(at, _)| (first + at, "honest")).collect();
        court.cheat(&honest).await?;
        for (number, _) in honest {
            court.unjail(number).await?;
        }
    }
    Ok(())
}

fn spoils((how, verdict, most): &(&str, &str, i64), slash: u64, told: &Value) -> Result<()> {
    let lamports = |key: &str| told[key].as_i64().context("an amount");
    let (gang, others) = (lamports("gang_lamports")?, lamports("others_lamports")?);
    println!("{how}: {told}");
    let found = told["verdict"].as_str();
    // A planted leaf that the sample happens to hold, or a position that is named, can't be shown at all; a prover that is
    // slower than the jury finds it guilty.
    let guilty = ["guilty", "fault"];
    let as_bad = found.is_some_and(|found| guilty.contains(&found) && guilty.contains(verdict));
    ensure!(found == Some(*verdict) || as_bad, "{found:?}");
    let slash = i64::try_from(slash)?;
    ensure!(gang <= slash / 1_000 * most, "{gang} to the gang");
    // Who tells the truth has what was named beforehand: the answering fee of a withheld claim.
    let least = if *verdict == "void" { -200_000 } else { 0 };
    ensure!(others >= least, "{others} to the others");
    Ok(())
}
