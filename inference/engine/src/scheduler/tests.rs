//! The scheduler's rules one by one, and all of them at once in a simulation: seeded arrivals and
//! cancels over thousands of passes.

use std::collections::HashMap;

use super::*;

fn limits() -> Limits {
    Limits {
        sequences: 4,
        queued: 8,
        chunk: 32,
        pages: 64,
    }
}

fn request(tokens: std::ops::Range<u32>, answer: usize, priority: Priority) -> Request {
    let tokens: Vec<u32> = tokens.collect();
    let prompt = match priority {
        Priority::Interactive => tokens.len(),
        Priority::Verification => tokens.len() - answer,
    };
    Request {
        prompt,
        reach: match priority {
            Priority::Interactive => tokens.len() + answer,
            Priority::Verification => tokens.len(),
        },
        tokens,
        priority,
        speculates: false,
    }
}

fn chat(tokens: std::ops::Range<u32>, answer: usize) -> Request {
    request(tokens, answer, Priority::Interactive)
}

/// Plans and computes a pass; every request whose tokens are all read gets its next one.
fn pass(s: &mut Scheduler) -> Vec<Share> {
    let mut pass = Vec::new();
    s.plan(&mut pass);
    s.advance(&pass);
    for share in &pass {
        let done = s.running(share.id).expect("it runs");
        if done.pending() > 0 {
            continue;
        }
        if done.tokens.len() < done.reach {
            s.push(share.id, 9);
        } else {
            s.remove(share.id);
        }
    }
    pass
}

fn rows(pass: &[Share]) -> Vec<(Id, usize)> {
    pass.iter().map(|s| (s.id, s.rows)).collect()
}

#[test]
fn decoding_goes_on_beside_a_long_prompt() {
    let mut s = Scheduler::new(limits());
    let short = s.submit(chat(0..5, 50)).unwrap();
    assert_eq!(rows(&pass(&mut s)), [(short, 5)]);
    let long = s.submit(chat(1_000..1_500, 5)).unwrap();
    assert_eq!(rows(&pass(&mut s)), [(short, 1), (long, 8)]);
}

#[test]
fn prompts_take_turns_and_short_ones_share_a_pass() {
    let mut s = Scheduler::new(limits());
    let a = s.submit(chat(0..70, 5)).unwrap();
    let b = s.submit(chat(1_000..1_040, 5)).unwrap();
    assert_eq!(rows(&pass(&mut s)), [(a, 32)]);
    assert_eq!(rows(&pass(&mut s)), [(b, 32)]);
    assert_eq!(rows(&pass(&mut s)), [(a, 32)]);
    assert_eq!(rows(&pass(&mut s)), [(b, 8), (a, 6)]);
}

#[test]
fn a_repeated_prompt_is_found_but_for_its_last_tokens() {
    let mut s = Scheduler::new(limits());
    s.submit(chat(0..64, 1)).unwrap();
    while !pass(&mut s).is_empty() {}
    assert_eq!(s.pages().held(), 0);
    let again = s.submit(chat(0..64, 1)).unwrap();
    // The second page ends with the position whose logits are wanted.
    assert_eq!(
        pass(&mut s),
        [Share {
            id: again,
            from: 32,
            rows: 32,
            proposed: 0
        }]
    );
    let t = s.totals();
    assert_eq!(
        (t.prompt_tokens, t.cached_tokens, t.prefix_hits),
        (128, 32, 1)
    );
}

#[test]
fn equal_prompts_at_once_are_read_once() {
    let mut s = Scheduler::new(limits());
    for _ in 0..3 {
        s.submit(chat(0..200, 1)).unwrap();
    }
    while !pass(&mut s).is_empty() {}
    let t = s.totals();
    assert_eq!(t.prompt_tokens, 600);
    assert!(t.cached_tokens >= 2 * 160, "{t:?}");
}

#[test]
fn verification_waits_for_interactive_requests_but_gets_every_eighth_pass() {
    let mut s = Scheduler::new(limits());
    let check = s
        .submit(request(0..900, 400, Priority::Verification))
        .unwrap();
    let user = s.submit(chat(5_000..5_005, 100)).unwrap();
    let with: Vec<bool> = (0..24)
        .map(|_| {
            let pass = pass(&mut s);
            assert!(rows(&pass).iter().any(|(id, _)| *id == user));
            pass.iter().any(|share| share.id == check)
        })
        .collect();
    let at: Vec<usize> = (0..24).filter(|i| with[*i]).collect();
    assert_eq!(at, [7, 15, 23]);
}

#[test]
fn a_waiting_verification_is_overtaken_only_so_often() {
    // Pages for one at a time.
    let mut s = Scheduler::new(Limits {
        pages: 2,
        queued: 100,
        ..limits()
    });
    for i in 0..20 {
        s.submit(chat(i * 1_000..i * 1_000 + 40, 1)).unwrap();
    }
    let check = s
        .submit(request(70_000..70_050, 10, Priority::Verification))
        .unwrap();
    while s.queued(Priority::Verification) > 0 {
        pass(&mut s);
    }
    assert!(s.running(check).is_some());
    assert_eq!(s.queued(Priority::Interactive), 20 - OVERTAKEN);
}

#[test]
fn what_never_fits_and_a_full_queue_are_refused() {
    let mut s = Scheduler::new(Limits {
        sequences: 1,
        queued: 1,
        pages: 2,
        ..limits()
    });
    assert_eq!(
        s.submit(chat(0..60, 5)),
        Err(Refusal::TooLarge { pages: 3 })
    );
    let first = s.submit(chat(0..10, 5)).unwrap();
    s.submit(chat(0..10, 5)).unwrap();
    let refused = s.submit(chat(0..10, 5));
    assert_eq!(refused, Err(Refusal::Full { queued: 2 }));
    // The queue of the other priority is its own.
    s.submit(request(0..10, 5, Priority::Verification)).unwrap();
    s.remove(first);
    s.submit(chat(0..10, 5)).unwrap();
}

#[test]
fn a_request_that_is_removed_gives_everything_back_at_every_stage() {
    let mut s = Scheduler::new(Limits {
        sequences: 1,
        ..limits()
    });
    let reading = s.submit(chat(0..100, 5)).unwrap();
    let waiting = s.submit(chat(0..100, 5)).unwrap();
    pass(&mut s);
    s.remove(waiting);
    s.remove(reading);
    s.remove(reading);
    assert_eq!((s.pages().held(), s.pending()), (0, 0));
    let decoding = s.submit(chat(0..5, 5)).unwrap();
    pass(&mut s);
    pass(&mut s);
    s.remove(decoding);
    assert_eq!((s.pages().held(), s.pending()), (0, 0));
    assert!(pass(&mut s).is_empty());
}

/// Passes in which every request of the simulation ends, wherever it began: a full queue ahead of
/// it in both priorities, each of them as long as can be, in chunks of one row.
const PATIENCE: u64 = 10_000;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// What the simulation knows of a request.
struct Known {
    /// The next position that must be read.
    next: usize,
    since: u64,
    reach: usize,
    prompt: usize,
    priority: Priority,
}

struct Simulation {
    rng: Rng,
    limits: Limits,
    s: Scheduler,
    known: HashMap<Id, Known>,
    now: u64,
    submitted: u64,
    ended: u64,
    cancelled: u64,
    /// Rows that were computed and counted, and of these those that were proposed.
    rows: u64,
    accepted: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let limits = Limits {
            sequences: 1 + rng.below(6),
            queued: rng.below(8),
            chunk: 1 + rng.below(100),
            pages: 4 + rng.below(60) as u32,
        };
        Self {
            rng,
            limits,
            s: Scheduler::new(limits),
            known: HashMap::new(),
            now: 0,
            submitted: 0,
            ended: 0,
            cancelled: 0,
            rows: 0,
            accepted: 0,
        }
    }

    /// A request of a few families of prompts, so that prefixes are met again.
    fn request(&mut self) -> Request {
        let rng = &mut self.rng;
        let priority = match rng.below(3) {
            0 => Priority::Verification,
            _ => Priority::Interactive,
        };
        let family = rng.below(3) as u32 * 100_000;
        let len = 1 + rng.below(300);
        let answer = 1 + rng.below(60);
        let mut tokens: Vec<u32> = (family..).take(len).collect();
        if rng.below(2) == 0 {
            let at = rng.below(len);
            tokens[at] = rng.below(1_000) as u32;
        }
        if priority == Priority::Verification {
            tokens.extend((0..answer - 1).map(|_| rng.below(5) as u32));
        }
        Request {
            tokens,
            prompt: len,
            reach: len + answer - 1,
            priority,
            speculates: priority == Priority::Interactive && rng.below(3) > 0,
        }
    }

    fn arrive(&mut self) {
        let request = self.request();
        let (prompt, reach, priority) = (request.prompt, request.reach, request.priority);
        let room = self.limits.queued
            + match priority {
                Priority::Interactive => self.limits.sequences,
                Priority::Verification => VERIFYING,
            };
        let before = self.s.queued(priority) + self.s.count(priority);
        match self.s.submit(request) {
            Ok(id) => {
                assert!(before < room && reach <= self.limits.pages as usize * PAGE);
                self.submitted += 1;
                let k = Known {
                    next: 0,
                    since: self.now,
                    reach,
                    prompt,
                    priority,
                };
                self.known.insert(id, k);
            }
            Err(Refusal::Full { .. }) => assert_eq!(before, room),
            Err(Refusal::TooLarge { pages }) => assert!(pages > self.limits.pages as usize),
        }
    }

    fn cancel_one(&mut self) {
        let mut ids: Vec<Id> = self.known.keys().copied().collect();
        ids.sort();
        let id = ids[self.rng.below(ids.len())];
        self.s.remove(id);
        self.known.remove(&id);
        self.cancelled += 1;
    }

    /// What a pass reads is right, and what it writes is written once.
    fn check(&mut self, pass: &[Share]) {
        let chunk = self.limits.chunk.max(self.limits.sequences + 1);
        assert_eq!(
            pass.is_empty(),
            self.known.is_empty(),
            "work is done if any is"
        );
        let rows: usize = pass.iter().map(|share| share.rows).sum();
        let proposed: usize = pass.iter().map(|share| share.proposed).sum();
        assert!(rows <= if proposed > 0 { chunk / CHEAP } else { chunk });
        let mut written = HashMap::new();
        for share in pass {
            let sequence = self.s.running(share.id).expect("it runs");
            let k = self.known.get_mut(&share.id).expect("it was not removed");
            // Without a gap; what is skipped was found, and never the prompt's last position.
            let known = sequence.tokens().len();
            assert!(share.known() > 0 && share.from >= k.next && k.next <= known);
            assert!(share.from == k.next || (share.from < k.prompt && share.from % PAGE == 0));
            k.next = share.from + share.known();
            self.rows += share.known() as u64;
            assert!(k.next <= known && share.from + share.rows <= k.reach);
            assert!(share.proposed == 0 || k.next == known, "behind the last");
            for position in share.from..share.from + share.rows {
                let page = sequence.pages()[position / PAGE];
                let place = (page, position % PAGE);
                assert_eq!(written.insert(place, share.id), None, "written twice");
            }
        }
        // A page that is written is nobody else's.
        for other in &self.s.running {
            for (page, by) in written.iter().map(|((page, _), by)| (page, by)) {
                assert!(other.id == *by || !other.pages().contains(page), "shared");
            }
        }
    }

    /// What goes back is nobody's.
    fn sweep(&mut self) {
        for page in self.s.sweep(2) {
            let held = |other: &Sequence| other.pages().contains(&page);
            assert!(!self.s.running.iter().any(held), "{page:?} is held");
        }
    }

    fn go_on(&mut self, pass: &[Share]) {
        let mut ended = Vec::new();
        for share in pass {
            let k = self.known.get_mut(&share.id).expect("it runs");
            let sequence = self.s.running(share.id).expect("it runs");
            if k.next < sequence.tokens().len() {
                continue;
            }
            let proposed = sequence.proposed().to_vec();
            let mut proposed = proposed.into_iter();
            loop {
                let interactive = k.priority == Priority::Interactive;
                if k.next == k.reach || (interactive && self.rng.below(30) == 0) {
                    ended.push(share.id);
                    break;
                }
                let token = self.rng.below(5) as u32;
                self.s.push(share.id, token);
                if proposed.next() != Some(token) {
                    break;
                }
                (k.next, self.rows, self.accepted) = (k.next + 1, self.rows + 1, self.accepted + 1);
            }
        }
        self.s.advance(pass);
        for share in pass {
            let sequence = self.s.running(share.id).expect("it runs");
            assert_eq!(sequence.filled, self.known[&share.id].next);
        }
        for id in ended {
            self.s.remove(id);
            self.known.remove(&id);
            self.ended += 1;
        }
    }

    fn audit(&mut self) {
        self.s.pages.audit(self.s.running.iter().map(|r| &r.table));
        for waiting in self.s.interactive.iter().chain(&self.s.verification) {
            assert!(waiting.pages().is_empty() && waiting.filled == 0);
        }
        for (id, k) in &self.known {
            assert!(self.now - k.since < PATIENCE, "{id:?} starves");
        }
    }
}

/// How many tokens were proposed, and accepted.
fn simulate(seed: u64, passes: u64) -> (u64, u64) {
    let mut simulation = Simulation::new(seed);
    let mut pass = Vec::new();
    for now in 0.. {
        simulation.now = now;
        let arriving = now < passes;
        if !arriving && simulation.known.is_empty() {
            break;
        }
        assert!(now < passes + 100_000, "requests that never end");
        let arrivals = if arriving { simulation.rng.below(3) } else { 0 };
        for _ in 0..arrivals {
            simulation.arrive();
        }
        if simulation.rng.below(20) == 0 && !simulation.known.is_empty() {
            simulation.cancel_one();
        }
        if simulation.rng.below(40) == 0 {
            simulation.sweep();
        }
        simulation.s.plan(&mut pass);
        simulation.check(&pass);
        simulation.go_on(&pass);
        simulation.audit();
    }
    for _ in 0..3 {
        simulation.sweep();
    }
    assert_eq!(simulation.s.pages().idle(), 0);
    assert!(!simulation.s.pages().spare(), "all memory went back");
    simulation.audit();
    let Simulation {
        s,
        submitted,
        ended,
        cancelled,
        rows,
        accepted,
        ..
    } = simulation;
    assert_eq!(submitted, ended + cancelled);
    assert_eq!((s.pages().held(), s.pending()), (0, 0));
    let t = s.totals();
    assert!(t.cached_tokens <= t.prompt_tokens);
    assert_eq!(t.accepted, accepted);
    assert!(40 * (t.proposed - accepted) <= 20 * accepted + rows);
    (t.proposed, accepted)
}

#[test]
fn a_request_whose_token_is_late_takes_no_rows_and_holds_up_no_pass() {
    let mut s = Scheduler::new(limits());
    let late = s.submit(chat(0..20, 10)).unwrap();
    let other = s.submit(chat(100..120, 10)).unwrap();
    let mut pass = Vec::new();
    for _ in 0..2 {
        s.plan(&mut pass);
        s.advance(&pass);
    }
    for _ in 0..9 {
        s.push(other, 9);
        s.plan(&mut pass);
        assert_eq!(rows(&pass), [(other, 1)]);
        s.advance(&pass);
    }
    s.plan(&mut pass);
    assert!(pass.is_empty(), "nobody has a token to read");
    s.push(late, 9);
    s.plan(&mut pass);
    assert_eq!(rows(&pass), [(late, 1)]);
}

#[test]
fn what_is_forgotten_is_read_again_and_nothing_is_wanted_twice() {
    // With room for both, and only as long as they share a page.
    for pages in [64, 3] {
        let mut s = Scheduler::new(Limits { pages, ..limits() });
        let [user, twin] = [0, 1].map(|_| s.submit(chat(0..40, 20)).unwrap());
        for _ in 0..8 {
            pass(&mut s);
        }
        let known = |s: &Scheduler, id: Id| s.running(id).expect("it runs").tokens().len();
        let (mine, others) = (known(&s, user), known(&s, twin));
        assert!(mine > 41 && others > 41, "{mine} {others}");
        s.forget(|id| (if id == user { mine } else { others }) - 40);
        s.pages.audit(s.running.iter().map(|r| &r.table));
        assert_eq!((s.pages().held(), s.pages().idle()), (0, 0));
        assert_eq!(s.queued(Priority::Interactive), usize::from(pages == 3));
        assert_eq!(s.running(user).expect("it runs").prompt(), mine);
        let again = pass(&mut s);
        assert!(
            again
                .iter()
                .any(|share| share.id == user && share.from == 0)
        );
        while !pass(&mut s).is_empty() {}
        s.pages.audit(s.running.iter().map(|r| &r.table));
        assert_eq!((s.pages().held(), s.queued(Priority::Interactive)), (0, 0));
    }
}

#[test]
fn seeded_arrivals_and_cancels_break_no_invariant() {
    let (mut all_proposed, mut all_accepted) = (0, 0);
    for seed in 0..100 {
        eprintln!("seed {seed}");
        let (proposed, accepted) = simulate(seed, 2_000);
        (all_proposed, all_accepted) = (all_proposed + proposed, all_accepted + accepted);
    }
    assert!(all_accepted > 0 && all_proposed > all_accepted);
}

/// A prompt that may be speculated on.
fn speculative(prompt: impl Iterator<Item = u32>, answer: usize) -> Request {
    let tokens: Vec<u32> = prompt.collect();
    Request {
        prompt: tokens.len(),
        reach: tokens.len() + answer,
        tokens,
        priority: Priority::Interactive,
        speculates: true,
    }
}

/// Plans and computes a pass; whoever has read all of its tokens goes on with what `next` says of their number.
fn speculative_pass(s: &mut Scheduler, next: impl Fn(usize) -> u32) -> Vec<Share> {
    let mut pass = Vec::new();
    s.plan(&mut pass);
    for share in &pass {
        let sequence = s.running(share.id).expect("it runs");
        let proposed = sequence.proposed().to_vec();
        let mut proposed = proposed.into_iter();
        let (mut at, reach) = (sequence.tokens().len(), sequence.reach);
        if share.from + share.known() < at {
            continue;
        }
        while at < reach {
            s.push(share.id, next(at));
            if proposed.next() != Some(next(at)) {
                break;
            }
            at += 1;
        }
    }
    s.advance(&pass);
    s.pages.audit(s.running.iter().map(|r| &r.table));
    pass
}

#[test]
fn what_came_before_is_read_ahead_and_more_of_it_the_more_was_right() {
    let mut s = Scheduler::new(Limits {
        chunk: 128,
        ..limits()
    });
    let next = |at: usize| at as u32 % 5;
    let id = s.submit(speculative((0..120).map(|i| i % 5), 100)).unwrap();
    let passes: Vec<_> = (0..6)
        .map(|_| speculative_pass(&mut s, next))
        .map(|pass| (pass[0].from, pass[0].rows, pass[0].proposed))
        .collect();
    let want = [
        (0, 120, 0),
        (120, 3, 2),
        (123, 5, 4),
        (128, 7, 6),
        (135, 8, 7),
        (143, 8, 7),
    ];
    assert_eq!(passes, want);
    assert_eq!(s.running(id).expect("it runs").tokens().len(), 152);
    let t = s.totals();
    assert_eq!((t.prompt_tokens, t.proposed, t.accepted), (120, 26, 26));
    // Up to its last position and none beyond.
    let last = loop {
        let pass = speculative_pass(&mut s, next);
        let share = pass[0];
        assert!(share.from + share.rows <= 220);
        if share.from + share.rows == 220 {
            break share;
        }
    };
    assert_eq!(s.running(id).expect("it runs").filled, 220);
    s.remove(id);
    assert_eq!((s.pages().held(), last.id), (0, id));
}

#[test]
fn nothing_is_read_ahead_where_a_pass_has_many_rows() {
    let circles = |s: &mut Scheduler, count: u32| {
        for first in 0..count {
            let prompt = (0..120).map(move |i| 1_000 * first + i % 5);
            s.submit(speculative(prompt, 100)).unwrap();
        }
    };
    let next = |at: usize| at as u32 % 5;
    let mut s = Scheduler::new(Limits {
        sequences: 8,
        chunk: 128,
        ..limits()
    });
    circles(&mut s, 2);
    for _ in 0..6 {
        speculative_pass(&mut s, next);
    }
    let two = speculative_pass(&mut s, next);
    assert_eq!(two.len(), 2);
    assert!(two.iter().any(|share| share.proposed > 0));
    // A prompt that is read, or eight that decode, fill what is cheap.
    s.submit(chat(50_000..50_200, 5)).unwrap();
    let beside = speculative_pass(&mut s, next);
    assert_eq!(beside.len(), 3);
    assert!(beside.iter().all(|share| share.proposed == 0));
    let mut s = Scheduler::new(Limits {
        sequences: 8,
        chunk: 128,
        ..limits()
    });
    circles(&mut s, 8);
    let mut full = 0;
    for _ in 0..60 {
        let pass = speculative_pass(&mut s, next);
        if pass.len() == 8 {
            assert!(pass.iter().all(|share| share.proposed == 0));
            full += 1;
        }
    }
    assert!(full > 0);
}

#[test]
fn what_was_not_chosen_is_read_again_and_costs_what_the_bound_allows() {
    let mut s = Scheduler::new(Limits {
        chunk: 128,
        ..limits()
    });
    // Behind the same three another token each time.
    let next = |at: usize| match at % 4 {
        3 => 1_000 + at as u32,
        of => of as u32,
    };
    let id = s.submit(speculative((0..120).map(next), 400)).unwrap();
    let mut filled = 0;
    for _ in 0..300 {
        let pass = speculative_pass(&mut s, next);
        assert_eq!(pass[0].from, filled);
        filled += pass[0].known();
        assert_eq!(s.running(id).expect("it runs").filled, filled);
    }
    let t = s.totals();
    assert_eq!(t.accepted, 0);
    assert!(t.proposed > 5 && t.proposed <= (120 + 300) / 40, "{t:?}");
}

#[test]
fn what_was_to_be_read_ahead_is_forgotten_with_the_rest() {
    let mut s = Scheduler::new(Limits {
        chunk: 128,
        ..limits()
    });
    let next = |at: usize| at as u32 % 5;
    let id = s.submit(speculative((0..120).map(|i| i % 5), 60)).unwrap();
    for _ in 0..3 {
        speculative_pass(&mut s, next);
    }
    let mut pass = Vec::new();
    s.plan(&mut pass);
    assert!(pass[0].proposed > 1);
    // The device fails behind the second of its rows.
    let known = s.running(id).expect("it runs").tokens().len();
    for at in known..known + 2 {
        s.push(id, next(at));
    }
    let accepted = s.totals().accepted;
    s.forget(|_| known + 2 - 120);
    let sequence = s.running(id).expect("it runs");
    assert_eq!((sequence.filled, sequence.proposed().len()), (0, 0));
    let first = speculative_pass(&mut s, next);
    assert_eq!((first[0].from, first[0].proposed), (0, 0));
    assert_eq!(s.totals().accepted, accepted, "none of them counts");
    while s.running(id).expect("it runs").filled < 180 {
        speculative_pass(&mut s, next);
    }
    let tokens = s.running(id).expect("it runs").tokens();
    assert!(tokens.iter().copied().eq((0..180).map(next)));
}
