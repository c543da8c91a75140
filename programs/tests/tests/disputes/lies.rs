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
    case: Case,
    disputes: Vec<Key>,
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
        let case = world.answered(EXACT, "n0", 512, lie);
        world.reach_sample(&case);
        Trial {
            before: world.clone(),
            world,
            case,
            disputes: Vec::new(),
        }
    }

    /// A challenge, answered.
    fn dispute(&mut self, challenger: &str, named: &[u32]) -> Key {
        let call = self.world.challenge(&self.case, challenger, named);
        self.world.chain.must(call);
        let dispute = calls::dispute(&self.case.job, &key(challenger));
        if self.disputes.is_empty() {
            for call in self.world.outputs(&self.case, &dispute) {
                self.world.chain.must(call);
            }
        }
        for call in self.world.openings(&self.case, &dispute, 2) {
            self.world.chain.must(call);
        }
        self.disputes.push(dispute);
        dispute
    }

    fn judge(&mut self, dispute: &Key, ballot: &[(String, Vote)]) {
        self.world.must_judge(&self.case, dispute, ballot);
    }

    /// Jurors who together take at most `most` seats, and at least one, where everybody commits.
    fn sitting(&self, dispute: &Key, most: usize) -> Vec<String> {
        let mut trial = self.world.clone();
        trial.commits(&self.case, dispute, &votes(2..VALIDATORS, Vote::Honest));
        let found = trial.dispute(dispute);
        let mut some = Vec::new();
        let mut left = most;
        for name in (2..VALIDATORS).map(juror) {
            let seats = found.jury().iter();
            let held = seats.filter(|seat| seat.juror == key(&name)).count();
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
        let last = *self.disputes.last().expect("a dispute");
        assert_eq!(
            super::verdict(&self.world.dispute(&last)),
            Some(verdict),
            "{lie}"
        );
        for dispute in &self.disputes {
            if self.world.dispute(dispute).status() != Some(DisputeStatus::Resolved) {
                let call = self.world.resolve(dispute);
                self.world.chain.must(call);
            }
            self.world.collect_all(dispute);
        }
        let mut job = self.world.job(&self.case.job);
        if !job.status().is_some_and(JobStatus::is_terminal) {
            let end = job.window_end().expect("submitted");
            self.world.chain.warp_to(end.max(self.world.chain.slot()));
            let claim = self.world.claim(&self.case.job);
            self.world.chain.must(claim);
            job = self.world.job(&self.case.job);
        }
        self.world.chain.advance(2_250);
        for dispute in &self.disputes {
            let payer = self.world.dispute(dispute).rent_payer;
            self.world.chain.must(calls::close_dispute(*dispute, payer));
        }
        if let Some(page) = self.world.chain.account(&calls::output(&self.case.job, 0)) {
            let payer = Output::load(&page.data).expect("a page").rent_payer;
            self.world
                .chain
                .must(calls::close_output(self.case.job, 0, payer));
        }
        let change =
            |names: &[&str]| wealth(&self.world, names) as i64 - wealth(&self.before, names) as i64;
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

/// Everything that these keys have: stake, earnings, and the wallets that paid for rent and bonds.
fn wealth(world: &World, names: &[&str]) -> u64 {
    let of = |name: &&str| {
        let validator = world.validator(name);
        validator.whole_stake() + validator.claimable.get() + world.chain.lamports(&key(name))
    };
    names.iter().map(of).sum()
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

/// All jurors honest but these.
fn ballot(liars: &[String], vote: impl Fn(usize) -> Vote) -> Vec<(String, Vote)> {
    (2..VALIDATORS)
        .map(|i| {
            let name = juror(i);
            let vote = match liars.contains(&name) {
                true => vote(i),
                false => Vote::Honest,
            };
            (name, vote)
        })
        .collect()
}

fn names<'a>(first: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    let mut all = first.to_vec();
    all.extend(more.iter().map(String::as_str));
    all
}

fn against_an_honest_node(rows: &mut Vec<Row>) {
    let mut trial = Trial::new(Lie::None);
    let dispute = trial.dispute("n1", &[]);
    trial.judge(&dispute, &votes(2..VALIDATORS, Vote::Honest));
    rows.push(trial.end(Verdict::NotGuilty, "a false challenge", &["n1"]));

    let mut trial = Trial::new(Lie::None);
    let spammers = ["n1", "n2", "n3", "n4"];
    for spammer in spammers {
        trial.dispute(spammer, &[]);
    }
    for dispute in trial.disputes.clone() {
        trial
            .world
            .commits(&trial.case, &dispute, &votes(5..VALIDATORS, Vote::Honest));
    }
    for dispute in trial.disputes.clone() {
        trial.judge_late(&dispute);
    }
    rows.push(trial.end(
        Verdict::NotGuilty,
        "four challenges of one answer by four keys",
        &spammers,
    ));

    for (agree, lie) in [
        (
            true,
            "a false challenge with five of fifteen seats that agree on made-up numbers",
        ),
        (
            false,
            "a false challenge with five of fifteen seats that guess",
        ),
    ] {
        let mut trial = Trial::new(Lie::None);
        let dispute = trial.dispute("n1", &[]);
        let friends = trial.sitting(&dispute, 5);
        let vote = |i: usize| Vote::Guess(if agree { 1 } else { i as u32 });
        trial.judge(&dispute, &ballot(&friends, vote));
        rows.push(trial.end(Verdict::NotGuilty, lie, &names(&["n1"], &friends)));
    }

    // Ten keys with the least stake, of 72 SOL that may judge.
    let sybils: Vec<String> = (0..10).map(|i| format!("s{i}")).collect();
    let mut trial = Trial::with(Lie::None, |world| {
        sybils.iter().for_each(|name| world.seat(name, SOL));
    });
    let dispute = trial.dispute("n1", &[]);
    let mut all = votes(2..VALIDATORS, Vote::Honest);
    all.extend(sybils.iter().map(|name| (name.clone(), Vote::Guess(1))));
    trial.judge(&dispute, &all);
    rows.push(trial.end(
        Verdict::NotGuilty,
        "a false challenge with ten keys of 1 SOL that agree, among 60 SOL of honest stake",
        &names(&["n1"], &sybils),
    ));

    let mut trial = Trial::new(Lie::None);
    let dispute = trial.dispute("n1", &[]);
    let copier = trial.sitting(&dispute, 1);
    trial.without(&dispute, &copier[0], true);
    rows.push(trial.end(
        Verdict::NotGuilty,
        "a juror of one seat that copies a commitment",
        &names(&[], &copier),
    ));

    let mut trial = Trial::new(Lie::None);
    let dispute = trial.dispute("n1", &[]);
    let silent = trial.sitting(&dispute, 1);
    trial.without(&dispute, &silent[0], false);
    rows.push(trial.end(
        Verdict::NotGuilty,
        "a juror of one seat that commits and stays silent",
        &names(&[], &silent),
    ));
}

impl Trial {
    /// Reveals and resolves a dispute whose jury has committed.
    fn judge_late(&mut self, dispute: &Key) {
        self.world
            .reveals(&self.case, dispute, &votes(2..VALIDATORS, Vote::Honest));
        let call = self.world.resolve(dispute);
        self.world.chain.must(call);
    }

    /// A jury of honest jurors and one that cannot reveal: it copied another's commitment, or it does not try.
    fn without(&mut self, dispute: &Key, one: &str, copies: bool) {
        let (world, case) = (&mut self.world, &self.case);
        let others: Vec<_> = votes(2..VALIDATORS, Vote::Honest)
            .into_iter()
            .filter(|(name, _)| name != one)
            .collect();
        world.commits(case, dispute, &others);
        let mut commit = world.commit(case, dispute, one, Vote::Honest);
        if copies {
            commit.data = world.commit(case, dispute, &others[0].0, Vote::Honest).data;
        }
        world.chain.must(commit);
        world.reveals(case, dispute, &others);
        let end = world.dispute(dispute).reveal_end();
        world.chain.warp_to(end);
        let call = world.resolve(dispute);
        world.chain.must(call);
    }
}

fn by_a_cheater(rows: &mut Vec<Row>) {
    let honest = || votes(2..VALIDATORS, Vote::Honest);
    let mut trial = Trial::new(Lie::OtherModel);
    let dispute = trial.dispute("n1", &[]);
    trial.judge(&dispute, &honest());
    rows.push(trial.end(Verdict::Guilty, "an answer of another model", &["n0"]));

    let mut trial = Trial::new(Lie::OtherModel);
    let dispute = trial.world.must_challenge(&trial.case, "n1");
    trial.disputes.push(dispute);
    let end = trial.world.dispute(&dispute).openings_end();
    trial.world.chain.warp_to(end);
    let call = trial.world.resolve(&dispute);
    trial.world.chain.must(call);
    rows.push(trial.end(Verdict::Guilty, "the same, its data withheld", &["n0"]));

    let mut trial = Trial::new(Lie::OtherModel);
    let dispute = trial.dispute("n1", &[]);
    trial.judge(&dispute, &honest());
    rows.push(trial.end(
        Verdict::Guilty,
        "the same, challenged first by its own other key",
        &["n0", "n1"],
    ));

    let mut trial = Trial::new(Lie::NotTheChoice(20));
    let call = trial.world.proof(&trial.case, "n1", 20, calls::NONE);
    trial.world.chain.must(call);
    trial.disputes.push(calls::fault(&trial.case.job));
    rows.push(trial.end(
        Verdict::Fault,
        "a fault, proved first by its own other key",
        &["n0", "n1"],
    ));

    let mut trial = Trial::new(Lie::OneToken(400));
    let friend = trial.dispute("n1", &[]);
    assert!(!trial.world.positions(&friend).contains(&400));
    let named = trial.dispute("n2", &[400]);
    for dispute in [friend, named] {
        trial
            .world
            .commits(&trial.case, &dispute, &votes(3..VALIDATORS, Vote::Honest));
    }
    for dispute in [friend, named] {
        trial.judge_late(&dispute);
    }
    assert_eq!(
        super::verdict(&trial.world.dispute(&friend)),
        Some(Verdict::NotGuilty)
    );
    rows.push(trial.end(
        Verdict::Guilty,
        "one altered token of 512, challenged first by a friend that does not name it",
        &["n0", "n1"],
    ));

    let mut trial = Trial::new(Lie::OtherModel);
    let dispute = trial.dispute("n1", &[]);
    let friends = trial.sitting(&dispute, 5);
    trial.judge(&dispute, &ballot(&friends, |_| Vote::Approve));
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
