//! Which requests run, and which rows the next pass holds. A pure state machine: no clock, no
//! thread, no memory but its own; requests and outcomes in, shares of a pass out.
//!
//! - **Admission**: a request starts when all the pages that it may ever need can be promised to
//!   it. So no running request waits for a page, none is ever put back, and there is nothing that
//!   could deadlock; the price is that a high `max_tokens` keeps others waiting.
//! - **Order**: each priority is served first come, first served. Interactive requests go first,
//!   but a waiting verification is overtaken only so often, and then nothing starts before it.
//! - **Pass**: one row of every interactive request that decodes, then prompts in turns. While
//!   anything decodes, prompts get a part of the rows, so that tokens keep flowing. A running
//!   verification gets the passes in which no interactive request has rows, and every eighth besides.
//! - **Speculation**: where a pass has few rows, those that decode read besides what may come next. As far as that is what is chosen,
//!   it counts; the rest is written over, and was never seen by anybody.
//! - **Prefix cache**: before it reads on, a request takes full pages that exist already.

use std::collections::VecDeque;

use super::pages::{PAGE, PageId, PageTable, Pages, pages_for};
use super::request::Priority;
use super::speculation::Proposer;

/// Interactive requests that may start before a verification that waits.
const OVERTAKEN: usize = 8;
/// Passes that a running verification may go without rows.
const SKIPPED: usize = 7;
/// Part of a pass for prompts while something decodes.
const BESIDE_DECODING: usize = 4;
/// Part of a pass that is cheap: one of so few rows waits for weights more than it computes.
const CHEAP: usize = 16;
/// Verifications that run at once: one fills passes by itself.
const VERIFYING: usize = 1;

/// A request, for as long as it waits or runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u64);

/// What the scheduler may hand out.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Interactive requests that run at once.
    pub sequences: usize,
    /// Requests of each priority that wait.
    pub queued: usize,
    /// Rows of a pass.
    pub chunk: usize,
    /// Pages of the key-value pool.
    pub pages: u32,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tokens that are known: the prompt, and for a verification the answer but its last.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt, at least 1. Logits are wanted from its last on.
    pub prompt: usize,
    /// Positions that it may fill, at least the known ones.
    pub reach: usize,
    pub priority: Priority,
    /// Whether what may come next is read before it is chosen.
    pub speculates: bool,
}

/// Why a request can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many wait as may.
    Full { queued: usize },
    /// It would not fit if it had all pages.
    TooLarge { pages: usize },
}

/// A part of a pass: `rows` tokens of a request from position `from` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub id: Id,
    pub from: usize,
    pub rows: usize,
    /// The last so many of the rows are of [`Sequence::proposed`].
    pub proposed: usize,
}

impl Share {
    /// Rows of tokens that are known.
    pub fn known(&self) -> usize {
        self.rows - self.proposed
    }
}

/// What was done since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that started.
    pub started: u64,
    /// Prompt tokens whose keys and values were computed or found.
    pub prompt_tokens: u64,
    /// Those that were found.
    pub cached_tokens: u64,
    /// Requests that found at least one page.
    pub prefix_hits: u64,
    /// Tokens that were read before they were chosen.
    pub proposed: u64,
    /// Those that were chosen then.
    pub accepted: u64,
}

impl Totals {
    /// A request that had found `before` positions has found `now`.
    fn count_found(&mut self, before: usize, now: usize) {
        self.prompt_tokens += (now - before) as u64;
        self.cached_tokens += (now - before) as u64;
        self.prefix_hits += u64::from(before == 0 && now > 0);
    }
}

/// A request that waits or runs.
#[derive(Debug)]
pub struct Sequence {
    id: Id,
    tokens: Vec<u32>,
    prompt: usize,
    reach: usize,
    priority: Priority,
    table: PageTable,
    /// Positions whose keys and values are there.
    filled: usize,
    /// Of these, how many were found and not computed.
    found: usize,
    /// The pass that it last had rows of a prompt in, or was admitted before.
    served: u64,
    /// If it may speculate.
    proposer: Option<Proposer>,
}

impl Sequence {
    /// Positions of the prompt that were found and not computed; final once its last is in a pass.
    pub fn found(&self) -> usize {
        self.found
    }

    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens of the prompt.
    pub fn prompt(&self) -> usize {
        self.prompt
    }

    /// Tokens that may come next, to be read in the pass that was planned.
    pub fn proposed(&self) -> &[u32] {
        match &self.proposer {
            Some(proposer) => proposer.proposed(),
            None => &[],
        }
    }

    /// Its pages, in the order of positions.
    pub fn pages(&self) -> &[PageId] {
        self.table.pages()
    }

    /// Tokens that are known and not read.
    fn pending(&self) -> usize {
        self.tokens.len() - self.filled
    }

    fn decodes(&self) -> bool {
        self.priority == Priority::Interactive && self.pending() == 1
    }

    fn page(&self, index: usize) -> Option<&[u32; PAGE]> {
        self.tokens.as_chunks::<PAGE>().0.get(index)
    }

    /// Takes pages for so many rows more, of those that were promised.
    fn reserve(&mut self, rows: usize, pages: &mut Pages) {
        while self.table.pages().len() < pages_for(self.filled + rows) {
            pages.take(&mut self.table);
        }
    }

    /// Takes pages of the prompt that are there already. The prompt's last position is computed in
    /// any case, because its logits are wanted.
    fn catch_up(&mut self, pages: &mut Pages) {
        while self.filled.is_multiple_of(PAGE) && self.filled + PAGE < self.prompt {
            match self.page(self.filled / PAGE).copied() {
                Some(tokens) if pages.find(&mut self.table, &tokens) => {
                    self.filled += PAGE;
                    self.found += PAGE;
                }
                _ => return,
            }
        }
    }
}

/// The state machine.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    pages: Pages,
    interactive: VecDeque<Sequence>,
    verification: VecDeque<Sequence>,
    running: Vec<Sequence>,
    /// Interactive requests that started while the first verification waited.
    overtaken: usize,
    /// Passes that the running verification went without rows.
    skipped: usize,
    /// Passes so far.
    pass: u64,
    last_id: u64,
    totals: Totals,
}

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        Self {
            // A verification finds a row beside as many that decode as there may be.
            limits: Limits {
                chunk: limits.chunk.max(limits.sequences + 1),
                ..limits
            },
            pages: Pages::new(limits.pages),
            interactive: VecDeque::new(),
            verification: VecDeque::new(),
            running: Vec::new(),
            overtaken: 0,
            skipped: 0,
            pass: 0,
            last_id: 0,
            totals: Totals::default(),
        }
    }

    /// Takes a request, or says why not.
    pub fn submit(&mut self, request: Request) -> Result<Id, Refusal> {
        let needed = pages_for(request.reach);
        if needed > self.pages.total() {
            return Err(Refusal::TooLarge { pages: needed });
        }
        let queued = self.queue(request.priority).len();
        let running = self.count(request.priority);
        // Those that wait while there is room to run are not counted as waiting.
        if running + queued >= self.slots(request.priority) + self.limits.queued {
            return Err(Refusal::Full { queued });
        }
        self.last_id += 1;
        let id = Id(self.last_id);
        let sequence = Sequence {
            id,
            tokens: request.tokens,
            prompt: request.prompt,
            reach: request.reach,
            priority: request.priority,
            table: PageTable::default(),
            filled: 0,
            found: 0,
            served: 0,
            proposer: request.speculates.then(Proposer::default),
        };
        self.queue_mut(request.priority).push_back(sequence);
        Ok(id)
    }

    /// Starts what can start, and fills `pass` with the shares of the next one. It is empty only
    /// if no request has a token that is known and not read.
    pub fn plan(&mut self, pass: &mut Vec<Share>) {
        pass.clear();
        self.admit();
        self.pass += 1;
        for s in &mut self.running {
            let before = s.found;
            s.catch_up(&mut self.pages);
            self.totals.count_found(before, s.found);
        }
        let mut left = self.limits.chunk;
        for at in 0..self.running.len() {
            if self.running[at].decodes() {
                self.share(at, 1, pass);
                left -= 1;
            }
        }
        if !pass.is_empty() {
            left = left.min((self.limits.chunk / BESIDE_DECODING).max(1));
        }
        let verifying = (self.running.iter()).position(|s| s.priority == Priority::Verification);
        if let Some(at) = verifying
            && self.skipped >= SKIPPED
        {
            left -= self.share(at, left, pass);
        }
        while left > 0 {
            let next = (self.running.iter().enumerate())
                .filter(|(_, s)| s.priority == Priority::Interactive && s.pending() > 1)
                .filter(|(_, s)| s.served < self.pass)
                .min_by_key(|(_, s)| (s.served, s.id));
            match next {
                Some((at, _)) => left -= self.share(at, left, pass),
                None => break,
            }
        }
        match verifying {
            Some(at) if pass.is_empty() => {
                self.share(at, left, pass);
            }
            Some(at) if self.running[at].served < self.pass => self.skipped += 1,
            _ => {}
        }
        self.speculate(pass);
    }

    /// Gives those that decode rows for what may come next, as long as the pass has few.
    fn speculate(&mut self, pass: &mut [Share]) {
        let rows: usize = pass.iter().map(|share| share.rows).sum();
        let mut left = (self.limits.chunk / CHEAP).saturating_sub(rows);
        let mut shares = pass.len();
        for share in pass {
            let most = left.div_ceil(shares);
            shares -= 1;
            let decoding = (self.running.iter_mut()).find(|s| s.id == share.id && s.decodes());
            let Some(s) = decoding else { continue };
            let Some(proposer) = &mut s.proposer else {
                continue;
            };
            proposer.propose(&s.tokens, most.min(s.reach - s.tokens.len()));
            share.proposed = proposer.proposed().len();
            share.rows += share.proposed;
            left -= share.proposed;
            s.reserve(share.rows, &mut self.pages);
        }
    }

    /// Gives a running request up to `rows` rows of the pass, with pages for them.
    fn share(&mut self, at: usize, rows: usize, pass: &mut Vec<Share>) -> usize {
        let s = &mut self.running[at];
        let rows = rows.min(s.pending());
        if rows == 0 {
            return 0;
        }
        s.reserve(rows, &mut self.pages);
        s.served = self.pass;
        if s.priority == Priority::Verification {
            self.skipped = 0;
        }
        pass.push(Share {
            id: s.id,
            from: s.filled,
            rows,
            proposed: 0,
        });
        rows
    }

    /// Says that a planned pass was computed: the keys and values of its rows are there, of proposed ones those whose tokens were pushed
    /// since.
    pub fn advance(&mut self, pass: &[Share]) {
        for share in pass {
            let Some(s) = self.running.iter_mut().find(|s| s.id == share.id) else {
                continue;
            };
            let known = share.known();
            let prompt = s.prompt.saturating_sub(share.from).min(known);
            self.totals.prompt_tokens += prompt as u64;
            let accepted = match &mut s.proposer {
                Some(proposer) => proposer.settle(known, &s.tokens[share.from + known..]),
                None => 0,
            };
            self.totals.proposed += share.proposed as u64;
            self.totals.accepted += accepted as u64;
            let before = s.filled / PAGE;
            s.filled += known + accepted;
            for page in before..s.filled / PAGE {
                if let Some(tokens) = s.page(page).copied() {
                    self.pages.fill(&mut s.table, &tokens);
                }
            }
        }
    }

    /// Adds a generated token to a running request, to be read next if it was not proposed.
    pub fn push(&mut self, id: Id, token: u32) {
        if let Some(s) = self.running.iter_mut().find(|s| s.id == id) {
            assert!(s.tokens.len() < s.reach, "a token within its reach");
            s.tokens.push(token);
        }
    }

    /// Nothing is left of keys and values: what runs reads again from its first token, and wants no logits of
    /// the positions that were `taken` already, counted from the prompt's last. What doesn't fit without shared pages waits.
    pub fn forget(&mut self, taken: impl Fn(Id) -> usize) {
        let mut running = std::mem::take(&mut self.running);
        for s in &mut running {
            self.pages.truncate(&mut s.table, 0);
            s.prompt += taken(s.id);
            (s.filled, s.found) = (0, 0);
            if let Some(proposer) = &mut s.proposer {
                proposer.clear();
            }
        }
        self.pages.forget();
        let mut waiting = Vec::new();
        for mut s in running {
            match self.pages.promise(&mut s.table, pages_for(s.reach)) {
                true => self.running.push(s),
                false => waiting.push(s),
            }
        }
        for s in waiting.into_iter().rev() {
            self.queue_mut(s.priority).push_front(s);
        }
    }

    /// Ends a request, wherever it is: done, failed or cancelled.
    pub fn remove(&mut self, id: Id) {
        self.interactive.retain(|s| s.id != id);
        self.verification.retain(|s| s.id != id);
        if let Some(at) = self.running.iter().position(|s| s.id == id) {
            let mut s = self.running.remove(at);
            self.pages.truncate(&mut s.table, 0);
        }
    }

    /// A running request.
    pub fn running(&self, id: Id) -> Option<&Sequence> {
        self.running.iter().find(|s| s.id == id)
    }

    /// Requests of a priority that run.
    pub fn count(&self, priority: Priority) -> usize {
        (self.running.iter())
            .filter(|s| s.priority == priority)
            .count()
    }

    /// Requests of a priority that wait.
    pub fn queued(&self, priority: Priority) -> usize {
        self.queue(priority).len()
    }

    /// Positions that all requests may still fill.
    pub fn pending(&self) -> usize {
        let all = self.interactive.iter().chain(&self.verification);
        all.chain(&self.running).map(|s| s.reach - s.filled).sum()
    }

    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// As [`Pages::sweep`].
    pub fn sweep(&mut self, turns: u64) -> Vec<PageId> {
        self.pages.sweep(turns)
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn slots(&self, priority: Priority) -> usize {
        match priority {
            Priority::Interactive => self.limits.sequences,
            Priority::Verification => VERIFYING,
        }
    }

    fn queue(&self, priority: Priority) -> &VecDeque<Sequence> {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Verification => &self.verification,
        }
    }

    fn queue_mut(&mut self, priority: Priority) -> &mut VecDeque<Sequence> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Verification => &mut self.verification,
        }
    }

    /// Whether a request of this priority waits and has a slot.
    fn may_start(&self, priority: Priority) -> bool {
        !self.queue(priority).is_empty() && self.count(priority) < self.slots(priority)
    }

    fn admit(&mut self) {
        loop {
            let verification = self.may_start(Priority::Verification);
            let priority = if verification && self.overtaken >= OVERTAKEN {
                Priority::Verification
            } else if self.may_start(Priority::Interactive) {
                Priority::Interactive
            } else if verification {
                Priority::Verification
            } else {
                return;
            };
            // Who doesn't fit is waited for, and not overtaken.
            if !self.start(priority) {
                return;
            }
            match priority {
                Priority::Verification => self.overtaken = 0,
                Priority::Interactive => self.overtaken += usize::from(verification),
            }
        }
    }

    /// Starts the first request of a queue, if its pages can be promised.
    fn start(&mut self, priority: Priority) -> bool {
        let Some(mut s) = self.queue_mut(priority).pop_front() else {
            return false;
        };
        s.catch_up(&mut self.pages);
        let needed = pages_for(s.reach) - s.table.pages().len();
        if self.pages.promise(&mut s.table, needed) {
            s.served = self.pass;
            self.totals.started += 1;
            self.totals.count_found(0, s.found);
            self.running.push(s);
            return true;
        }
        s.filled = self.pages.truncate(&mut s.table, 0);
        s.found = 0;
        self.queue_mut(priority).push_front(s);
        false
    }
}

#[cfg(test)]
mod tests;
