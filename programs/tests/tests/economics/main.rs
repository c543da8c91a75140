//! What each way to take part earns, played on the real program: honest validators against those who lie, spam, bait, copy or
//! collude, alone and with up to a third of the stake, for small and large juries and for cheap and dear answers. No lie pays
//! more than honesty, and who was right loses nothing but what it knew beforehand. The table stands in docs/economics.md.

mod parties;
mod play;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use mythic_interface::state::Verdict;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::draw::Draw;
use mythic_program_tests::world::World;

use parties::{Setting, Strategy, VALIDATORS};
use play::Round;

/// Rounds where the draw of the jury decides.
const ROUNDS: usize = 6;
/// Parts of results that each honest validator checks, in hundredths of a percent.
const CHECK_RATES: [u32; 4] = [50, 200, 500, 2_000];
/// Seats from which on a jury is for a network in earnest: of a small one a third of the stake has two thirds at times.
const EARNEST: u16 = 15;
/// The part that docs recommend.
const RECOMMENDED: u32 = 500;

/// What a strategy came to in a setting.
struct Cell {
    rounds: Vec<Round>,
}

impl Cell {
    fn mean(&self) -> f64 {
        let all: i64 = self.rounds.iter().map(|round| round.own).sum();
        all as f64 / self.rounds.len() as f64
    }

    fn best(&self) -> i64 {
        let all = self.rounds.iter().map(|round| round.own);
        all.max().expect("a round")
    }

    fn claimant(&self) -> Option<f64> {
        let all: Vec<i64> = self.rounds.iter().filter_map(|r| r.claimant).collect();
        (!all.is_empty()).then(|| all.iter().sum::<i64>() as f64 / all.len() as f64)
    }

    fn juror(&self) -> Option<f64> {
        let all: Vec<i64> = self.rounds.iter().flat_map(|r| r.jurors.clone()).collect();
        (!all.is_empty()).then(|| all.iter().sum::<i64>() as f64 / all.len() as f64)
    }

    fn verdicts(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for round in &self.rounds {
            *counts.entry(round.verdict.as_str()).or_default() += 1;
        }
        let words = counts.iter().map(|(verdict, count)| match count {
            1 => (*verdict).replace('_', " "),
            count => format!("{count} {}", verdict.replace('_', " ")),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

fn sol(lamports: f64) -> String {
    let text = format!("{:.6}", lamports / SOL as f64);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" | "" => "0".into(),
        text => text.replace('-', "−"),
    }
}

/// The chance that somebody looks, if each of the other validators checks such a part of all results.
fn looked_at(rate: u32) -> f64 {
    1.0 - (1.0 - f64::from(rate) / 10_000.0).powi(VALIDATORS as i32 - 2)
}

/// What a false answer is expected to earn at a rate of checks.
fn expected(cell: &Cell, unchallenged: i64, rate: u32) -> f64 {
    let seen = looked_at(rate);
    seen * cell.mean() + (1.0 - seen) * unchallenged as f64
}

/// Whoever said what is true never ends below where it began, but for what it knew beforehand, unless those who do not have a third
/// of the jury.
fn honest_lose_nothing(strategy: Strategy, setting: Setting, round: &Round) {
    let place = format!("{strategy:?} in {setting:?}: {round:?}");
    if 3 * round.seats >= usize::from(setting.seats) {
        return;
    }
    if let Some(claimant) = round.claimant {
        assert!(claimant >= -round.named, "{place}");
    }
    for juror in &round.jurors {
        assert!(*juror >= 0, "{place}");
    }
}

/// A coalition with less than a third of a jury's seats never gets more than what its answer is worth.
fn lies_do_not_pay(strategy: Strategy, setting: Setting, round: &Round, unchallenged: i64) {
    let place = format!("{strategy:?} in {setting:?}: {round:?}");
    if strategy.lies() && 3 * round.seats < usize::from(setting.seats) {
        let lawful = if strategy.answers_falsely() {
            unchallenged
        } else {
            0
        };
        assert!(round.own <= lawful, "{place}");
        if strategy.answers_falsely() {
            assert!(round.verdict != Verdict::NotGuilty, "{place}");
        }
    }
}

fn play(base: &World, setting: Setting, strategy: Strategy, unchallenged: i64) -> Cell {
    let rounds = match strategy.depends_on_the_draw() {
        true => ROUNDS,
        false => 1,
    };
    let seed = u64::from(setting.seats) << 32 | u64::from(setting.price);
    let mut draw = Draw(seed);
    let rounds: Vec<Round> = (0..rounds)
        .map(|_| play::challenged(base, setting, strategy, &mut draw))
        .collect();
    for round in &rounds {
        honest_lose_nothing(strategy, setting, round);
        lies_do_not_pay(strategy, setting, round, unchallenged);
    }
    Cell { rounds }
}

fn row(out: &mut String, cells: &[String]) {
    writeln!(out, "| {} |", cells.join(" | ")).expect("a text");
}

/// What a setting came to: a row for each strategy.
fn outcomes(
    out: &mut String,
    setting: Setting,
    unchallenged: i64,
    cells: &BTreeMap<Strategy, Cell>,
) {
    let earned = sol(unchallenged as f64);
    writeln!(
        out,
        "\n**Juries of {}, {} SOL for an answer that nobody challenges**\n",
        setting.seats, earned
    )
    .expect("a text");
    let head = [
        "strategy, challenged",
        "its keys, SOL",
        "at best",
        "who claimed truly",
        "an honest juror",
        "ended",
    ];
    row(out, &head.map(str::to_owned));
    row(
        out,
        &["---", "--:", "--:", "--:", "--:", "---"].map(str::to_owned),
    );
    for (strategy, cell) in cells {
        let some = |value: Option<f64>| value.map_or_else(|| "–".into(), sol);
        let cells = [
            strategy.name(),
            sol(cell.mean()),
            sol(cell.best() as f64),
            some(cell.claimant()),
            some(cell.juror()),
            cell.verdicts(),
        ];
        row(out, &cells);
    }
}

/// What lies are expected to earn by the part of results that each validator checks.
fn rates(out: &mut String, played: &[(Setting, i64, BTreeMap<Strategy, Cell>)]) {
    writeln!(out, "\n**What a false answer is expected to earn, SOL, if each of {} others checks such a part of all results**\n", VALIDATORS - 2).expect("a text");
    let percent = |rate: u32| format!("{} %", f64::from(rate) / 100.0);
    let mut head = vec!["strategy".into(), "jury".into(), "an answer".into()];
    head.extend(CHECK_RATES.map(percent));
    row(out, &head);
    let mut line = vec!["---".to_owned(), "--:".into(), "--:".into()];
    line.extend(CHECK_RATES.map(|_| "--:".to_owned()));
    row(out, &line);
    let in_earnest = played
        .iter()
        .filter(|(setting, ..)| setting.seats >= EARNEST);
    for (setting, unchallenged, cells) in in_earnest {
        let false_answers = cells.iter().filter(|(s, _)| s.answers_falsely());
        for (strategy, cell) in false_answers {
            let mut line = vec![
                strategy.name(),
                setting.seats.to_string(),
                sol(*unchallenged as f64),
            ];
            line.extend(CHECK_RATES.map(|rate| sol(expected(cell, *unchallenged, rate))));
            row(out, &line);
        }
    }
}

/// What a check earns and may cost.
fn checks(out: &mut String, played: &[(Setting, i64, BTreeMap<Strategy, Cell>)]) {
    writeln!(out, "\n**What a check earns**\n").expect("a text");
    let head = [
        "jury",
        "an answer, SOL",
        "reward of the first who proves a lie",
        "a check costs at most",
        "pays where one in so many answers is false",
    ];
    row(out, &head.map(str::to_owned));
    row(out, &["--:", "--:", "--:", "--:", "--:"].map(str::to_owned));
    for (setting, unchallenged, cells) in played {
        let reward = cells[&Strategy::Lie].claimant().expect("a claimant");
        // Whoever answers is paid so much for the same computation.
        let cost = *unchallenged as f64;
        let cells = [
            setting.seats.to_string(),
            sol(cost),
            sol(reward),
            sol(cost),
            format!("{:.0}", reward / cost),
        ];
        row(out, &cells);
    }
}

const BEGIN: &str = "<!-- economics: made by programs/tests, MYTHIC_REWRITE=1 renews it -->\n";
const END: &str = "<!-- economics: end -->";

fn compare(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/economics.md");
    let text = std::fs::read_to_string(&path).expect("docs/economics.md");
    let (head, rest) = text.split_once(BEGIN).expect("the table's place");
    let (old, tail) = rest.split_once(END).expect("the table's end");
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}\n{END}{tail}")).expect("written");
        return;
    }
    assert_eq!(
        old.trim(),
        table.trim(),
        "MYTHIC_REWRITE=1 renews docs/economics.md"
    );
}

#[test]
fn no_lie_pays_more_than_honesty_and_honesty_loses_nothing_unnamed() {
    let mut table = String::new();
    let mut played = Vec::new();
    for setting in Setting::ALL {
        let base = setting.network();
        let unchallenged = play::unchallenged(&base, setting);
        let cells: BTreeMap<Strategy, Cell> = Strategy::ALL
            .into_iter()
            .map(|strategy| (strategy, play(&base, setting, strategy, unchallenged)))
            .collect();
        outcomes(&mut table, setting, unchallenged, &cells);
        for (strategy, cell) in &cells {
            let in_earnest = setting.seats >= EARNEST;
            if strategy.answers_falsely() && in_earnest {
                let earned = expected(cell, unchallenged, RECOMMENDED);
                assert!(earned < 0.0, "{strategy:?} in {setting:?} earns {earned}");
            } else if strategy.lies() && in_earnest {
                assert!(
                    cell.mean() < 0.0,
                    "{strategy:?} in {setting:?} earns {}",
                    cell.mean()
                );
            }
        }
        played.push((setting, unchallenged, cells));
    }
    rates(&mut table, &played);
    checks(&mut table, &played);
    println!("{table}");
    compare(&table);
}
