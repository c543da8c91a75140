//! The price of each lie: every lamport of the liar's keys before and after, on a network with the default parameters.
//! The table in `docs/protocol.md` is made here.

use std::fmt::Write;

use mythic_interface::params::Params;

use super::*;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
const VALIDATORS: usize = 32;

/// A network of 32 validators with 2 SOL each and juries of 15, and n0's answer of 512 tokens.
struct Trial {
    world: World,
    answered: Answered,
    before: World,
}

impl Trial {
    fn new(lie: Lie) -> Self {
        Self::with(lie, |_| {})
    }

    fn with(lie: Lie, more: impl FnOnce(&mut World)) -> Self {
        let mut world = court(VALIDATORS, 15, |params| *params = Params::mainnet());
        more(&mut world);
        world.mature();
        let answered = world.answered(EXACT, "n0", 512, lie);
        world.reach_sample(&answered);
        Trial {
            before: world.clone(),
            world,
            answered,
        }
    }

    /// Somebody says `false`, and all of it is shown.
    fn object(&mut self, name: &str, named: &[u32]) {
        self.world.must_object(&self.answered, name, named);
        self.world.must_show(&self.answered);
    }

    fn judge(&mut self, ballots: &[(String, Ballot)]) {
        self.world.must_judge(&self.answered, ballots);
    }

    /// Jurors who together take at most `most` seats, and at least one, where everybody from n`first` on commits.
    fn sitting(&self, first: usize, most: usize) -> Vec<String> {
        let mut trial = self.world.clone();
        trial.commits(&self.answered, &ballots(first..VALIDATORS, Ballot::Honest));
        let mut some = Vec::new();
        let mut left = most;
        for name in (first..VALIDATORS).map(juror) {
            let held = trial.seats(&self.answered, &name);
            if held > 0 && held <= left {
                left -= held;
                some.push(name);
            }
        }
        assert!(!some.is_empty());
        some
    }

    /// Ends everything, closes everything; what the keys have won or lost.
    fn end(mut self, verdict: Verdict, lie: &'static str, liars: &[&str]) -> Row {
        let case = self.world.case(&self.answered);
        assert_eq!(super::verdict(&case), Some(verdict), "{lie}");
        let job = self.world.job(&self.answered.job);
        self.world.wind_up(&self.answered);
        let change =
            |names: &[&str]| self.world.wealth(names) as i64 - self.before.wealth(names) as i64;
        Row {
            lie,
            verdict,
            liars: change(liars),
            // A liar that submitted is in the other column.
            node: match liars.contains(&"n0") {
                true => None,
                false => Some(change(&["n0"]) - job.validator_amount.get() as i64),
            },
        }
    }
}

struct Row {
    lie: &'static str,
    verdict: Verdict,
    /// What the liar's keys have more.
    liars: i64,
    /// What the honest submitter has more, beyond the pay for its work.
    node: Option<i64>,
}

fn lamports(change: i64) -> String {
    let digits = change.unsigned_abs().to_string();
    let mut out = String::from(if change < 0 { "−" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// All jurors from n`first` on honest but these.
fn but(first: usize, liars: &[String], ballot: impl Fn(usize) -> Ballot) -> Vec<(String, Ballot)> {
    let all = (first..VALIDATORS).map(|i| (juror(i), i));
    all.map(|(name, i)| match liars.contains(&name) {
        true => (name, ballot(i)),
        false => (name, Ballot::Honest),
    })
    .collect()
}

fn honest(first: usize) -> Vec<(String, Ballot)> {
    ballots(first..VALIDATORS, Ballot::Honest)
}

fn names<'a>(first: &[&'a str], others: &'a [String]) -> Vec<&'a str> {
    let others = others.iter().map(String::as_str);
    first.iter().copied().chain(others).collect()
}

fn against_an_honest_node(rows: &mut Vec<Row>) {
    let mut trial = Trial::new(Lie::None);
    trial.object("n1", &[]);
    trial.judge(&honest(2));
    rows.push(trial.end(Verdict::NotGuilty, "a false claim", &["n1"]));

    let mut trial = Trial::new(Lie::None);
    trial.world.must_miss(&trial.answered, "n1");
    trial.world.must_show(&trial.answered);
    trial.world.must_resolve(&trial.answered);
    rows.push(trial.end(
        Verdict::Void,
        "a claim that data is withheld which is not",
        &["n1"],
    ));

    let mut trial = Trial::new(Lie::None);
    let spammers = ["n1", "n2", "n3", "n4"];
    for spammer in spammers {
        trial.object(spammer, &[]);
    }
    trial.judge(&honest(5));
    rows.push(trial.end(
        Verdict::NotGuilty,
        "four false claims of one answer by four keys",
        &spammers,
    ));

    let mut trial = Trial::new(Lie::None);
    let fillers: Vec<String> = (1..=16).map(juror).collect();
    for filler in &fillers {
        trial.object(filler, &[]);
    }
    trial.judge(&honest(17));
    rows.push(trial.end(
        Verdict::NotGuilty,
        "sixteen false claims by sixteen keys, which fill a case",
        &names(&[], &fillers),
    ));

    for (agree, lie) in [
        (
            true,
            "a false claim with five of fifteen seats that agree on made-up findings",
        ),
        (false, "a false claim with five of fifteen seats that guess"),
    ] {
        let mut trial = Trial::new(Lie::None);
        trial.object("n1", &[]);
        let friends = trial.sitting(2, 5);
        trial.judge(&but(2, &friends, |i| {
            Ballot::Guess(if agree { 1 } else { i as u32 })
        }));
        rows.push(trial.end(Verdict::NotGuilty, lie, &names(&["n1"], &friends)));
    }

    // Ten keys with the least stake, of 70 SOL that may judge.
    let sybils: Vec<String> = (0..10).map(|i| format!("s{i}")).collect();
    let mut trial = Trial::with(Lie::None, |world| {
        sybils.iter().for_each(|name| world.seat(name, SOL));
    });
    trial.object("n1", &[]);
    let mut all = honest(2);
    all.extend(sybils.iter().map(|name| (name.clone(), Ballot::Guess(1))));
    trial.judge(&all);
    rows.push(trial.end(
        Verdict::NotGuilty,
        "a false claim with ten keys of 1 SOL that agree, among 60 SOL of honest stake",
        &names(&["n1"], &sybils),
    ));

    for (copies, lie) in [
        (true, "a juror of one seat that copies a commitment"),
        (false, "a juror of one seat that commits and stays silent"),
    ] {
        let mut trial = Trial::new(Lie::None);
        trial.object("n1", &[]);
        let one = trial.sitting(2, 1);
        trial.without(&one[0], copies);
        rows.push(trial.end(Verdict::NotGuilty, lie, &names(&[], &one)));
    }

    let mut trial = Trial::new(Lie::None);
    trial.object("n1", &[]);
    let lazy = trial.sitting(2, 1);
    trial.judge(&but(2, &lazy, |_| Ballot::Lazy));
    rows.push(trial.end(
        Verdict::NotGuilty,
        "a juror of one seat that approves without the work",
        &names(&[], &lazy),
    ));
}

impl Trial {
    /// A jury of honest jurors and one that cannot reveal: it copied another's commitment, or it does not try.
    fn without(&mut self, one: &str, copies: bool) {
        let (world, answered) = (&mut self.world, &self.answered);
        let mut others = honest(2);
        others.retain(|(name, _)| name != one);
        world.commits(answered, &others);
        let mut commit = world.commit(answered, one, Ballot::Honest);
        if copies {
            commit.data = world.commit(answered, &others[0].0, Ballot::Honest).data;
        }
        world.chain.must(commit);
        world.reveals(answered, &others);
        world.must_resolve(answered);
    }
}

fn by_a_cheater(rows: &mut Vec<Row>) {
    let mut trial = Trial::new(Lie::OtherModel);
    trial.object("n1", &[]);
    trial.judge(&honest(2));
    rows.push(trial.end(Verdict::Guilty, "an answer of another model", &["n0"]));

    let mut trial = Trial::new(Lie::OtherModel);
    trial.world.must_miss(&trial.answered, "n1");
    trial.world.must_resolve(&trial.answered);
    rows.push(trial.end(Verdict::Guilty, "the same, its data withheld", &["n0"]));

    let mut trial = Trial::new(Lie::OtherModel);
    trial.world.must_miss(&trial.answered, "n1");
    trial.world.must_resolve(&trial.answered);
    rows.push(trial.end(
        Verdict::Guilty,
        "the same, its data withheld, claimed first by its own other key",
        &["n0", "n1"],
    ));

    let mut trial = Trial::new(Lie::OtherModel);
    trial.object("n1", &[]);
    trial.judge(&honest(2));
    rows.push(trial.end(
        Verdict::Guilty,
        "an answer of another model, called false first by its own other key",
        &["n0", "n1"],
    ));

    let mut trial = Trial::new(Lie::NotTheChoice(20));
    let call = trial.world.proof(&trial.answered, "n1", 20, calls::NONE);
    trial.world.chain.must(call);
    rows.push(trial.end(
        Verdict::Fault,
        "a fault, proved first by its own other key",
        &["n0", "n1"],
    ));

    let mut trial = Trial::new(Lie::OneToken(400));
    trial.object("n1", &[]);
    trial.object("n2", &[400]);
    trial.judge(&honest(3));
    let case = trial.world.case(&trial.answered);
    assert_eq!(
        outcomes(&case),
        [Some(Outcome::Wrong), Some(Outcome::Right)]
    );
    rows.push(trial.end(
        Verdict::Guilty,
        "one altered token of 512, called false first by a friend that does not name it",
        &["n0", "n1"],
    ));

    let mut trial = Trial::new(Lie::OtherModel);
    trial.object("n1", &[]);
    let friends = trial.sitting(2, 5);
    trial.judge(&but(2, &friends, |_| Ballot::Approve));
    rows.push(trial.end(
        Verdict::Guilty,
        "an answer of another model, with five of fifteen seats that approve",
        &names(&["n0"], &friends),
    ));
}

/// The table of prices.
fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| lie | verdict | the liar's keys, lamports | the honest node beyond its pay, lamports |\n|---|---|--:|--:|\n",
    );
    for row in rows {
        let node = row.node.map_or("".into(), lamports);
        let (lie, verdict) = (row.lie, row.verdict.as_str());
        writeln!(
            out,
            "| {lie} | {verdict} | {} | {node} |",
            lamports(row.liars)
        )
        .expect("a string");
    }
    out.trim_end().into()
}

#[test]
fn each_lie_costs_the_liar_and_not_the_node() {
    let mut rows = Vec::new();
    against_an_honest_node(&mut rows);
    by_a_cheater(&mut rows);
    let table = table(&rows);
    println!("{table}");
    for row in &rows {
        assert!(row.liars < 0, "{} pays: {}", row.lie, row.liars);
        assert!(
            row.node.is_none_or(|node| node >= 0),
            "{} costs the node",
            row.lie
        );
    }
    let document = std::fs::read_to_string(DOCUMENT).expect("the document");
    let (start, end) = ("<!-- made: prices -->\n", "<!-- end: prices -->");
    let (head, rest) = document.split_once(start).expect("the start of the table");
    let (committed, tail) = rest.split_once(end).expect("the end of the table");
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        let document = format!("{head}{start}{table}\n{end}{tail}");
        std::fs::write(DOCUMENT, document).expect("writable");
        return;
    }
    assert_eq!(
        committed.trim_end(),
        table,
        "{DOCUMENT} is not true any more; MYTHIC_REWRITE=1 rewrites it"
    );
}
