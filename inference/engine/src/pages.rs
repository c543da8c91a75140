//! Who holds which page of the key-value pool, and which full pages can be found again by the
//! tokens that they stand for. Pure bookkeeping: no memory, no clock.
//!
//! The index is a tree: a full page is found by the page before it and its own tokens, which are
//! compared and not just hashed, so no page ever serves another prefix. A sequence that fills a
//! page whose equal is there already takes that one, so whoever holds a page holds all before it,
//! and the pages that nobody holds can be given away one after the other, leaves first.

use std::collections::{BTreeMap, HashMap};

/// Positions in a page.
pub const PAGE: usize = 32;

/// A place in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageId(pub u32);

/// A prefix of full pages, by the tokens of all its positions; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Prefix(u64);

const EMPTY: Prefix = Prefix(0);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    before: Prefix,
    tokens: [u32; PAGE],
}

#[derive(Debug, Default)]
struct Page {
    holders: usize,
    /// Set while the page is full and in the index.
    indexed: Option<(Key, Prefix)>,
    /// When the last holder left, if nobody holds it and it is in the index.
    idle_since: u64,
    /// The turn in which the last holder left.
    left: u64,
    /// Whether anybody held it since its memory was last given back.
    used: bool,
}

/// The pages of one sequence, in the order of its positions.
#[derive(Debug, Default)]
pub struct PageTable {
    pages: Vec<PageId>,
    /// How many of them are full and in the index; the others are this sequence's alone.
    full: usize,
    /// Pages that it may still take.
    promised: usize,
}

impl PageTable {
    pub fn pages(&self) -> &[PageId] {
        &self.pages
    }
}

/// All pages of a pool.
#[derive(Debug)]
pub struct Pages {
    pages: Vec<Page>,
    free: Vec<PageId>,
    index: HashMap<Key, PageId>,
    /// Pages in the index that nobody holds, the longest unused first.
    idle: BTreeMap<u64, PageId>,
    promised: usize,
    /// Counts up with every page that becomes idle.
    now: u64,
    /// Counts up with every [`Self::sweep`].
    turn: u64,
    last_prefix: u64,
}

/// Pages for so many positions.
pub fn pages_for(positions: usize) -> usize {
    positions.div_ceil(PAGE)
}

impl Pages {
    pub fn new(count: u32) -> Self {
        Self {
            pages: (0..count).map(|_| Page::default()).collect(),
            // The lowest is taken first, so that memory is touched from the beginning.
            free: (0..count).rev().map(PageId).collect(),
            index: HashMap::new(),
            idle: BTreeMap::new(),
            promised: 0,
            now: 0,
            turn: 0,
            last_prefix: EMPTY.0,
        }
    }

    pub fn total(&self) -> usize {
        self.pages.len()
    }

    /// Pages that sequences hold.
    pub fn held(&self) -> usize {
        self.pages.len() - self.free.len() - self.idle.len()
    }

    /// Whether a sequence holds a page.
    pub fn is_held(&self, page: PageId) -> bool {
        self.pages[page.0 as usize].holders > 0
    }

    /// Pages that only the index keeps.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Promises a sequence that it may take `count` more pages, if that promise can be kept.
    pub fn promise(&mut self, table: &mut PageTable, count: usize) -> bool {
        let possible = self.promised + count <= self.free.len() + self.idle.len();
        if possible {
            self.promised += count;
            table.promised += count;
        }
        possible
    }

    /// Gives a sequence whose pages are all full the page that follows with these tokens, if there
    /// is one. It counts against what was promised, if anything was.
    pub fn find(&mut self, table: &mut PageTable, tokens: &[u32; PAGE]) -> bool {
        assert_eq!(table.full, table.pages.len(), "only full pages have a next");
        let key = Key {
            before: self.prefix(table),
            tokens: *tokens,
        };
        let Some(page) = self.index.get(&key).copied() else {
            return false;
        };
        self.hold(page);
        self.fulfil(table);
        table.pages.push(page);
        table.full += 1;
        true
    }

    /// Gives a sequence a page that was promised to it.
    pub fn take(&mut self, table: &mut PageTable) {
        assert!(table.promised > 0, "a page was promised before");
        let page = self.free.pop().or_else(|| self.evict());
        let page = page.expect("what is promised is free or idle");
        let p = &mut self.pages[page.0 as usize];
        (p.holders, p.used) = (1, true);
        self.fulfil(table);
        table.pages.push(page);
    }

    /// Says that the first page that was not full is full now, with these tokens.
    pub fn fill(&mut self, table: &mut PageTable, tokens: &[u32; PAGE]) {
        let key = Key {
            before: self.prefix(table),
            tokens: *tokens,
        };
        let page = table.pages[table.full];
        match self.index.get(&key).copied() {
            Some(equal) => {
                self.hold(equal);
                table.pages[table.full] = equal;
                self.leave(page);
            }
            None => {
                self.last_prefix += 1;
                let prefix = Prefix(self.last_prefix);
                self.index.insert(key.clone(), page);
                self.pages[page.0 as usize].indexed = Some((key, prefix));
            }
        }
        table.full += 1;
    }

    /// Gives up the pages past `positions`, and what was promised; says how many positions are
    /// left. These are fewer where a page would be cut that is in the index: others may hold it,
    /// so it can't be written again.
    pub fn truncate(&mut self, table: &mut PageTable, positions: usize) -> usize {
        let full = table.full.min(positions / PAGE);
        let keep = if positions > table.full * PAGE {
            pages_for(positions).min(table.pages.len())
        } else {
            full
        };
        // The last first, so that a page becomes idle after all that follow it.
        while table.pages.len() > keep {
            if let Some(page) = table.pages.pop() {
                self.leave(page);
            }
        }
        table.full = full;
        self.promised -= std::mem::take(&mut table.promised);
        positions.min(keep * PAGE)
    }

    fn prefix(&self, table: &PageTable) -> Prefix {
        let last = table.full.checked_sub(1).map(|i| table.pages[i]);
        last.and_then(|page| self.pages[page.0 as usize].indexed.as_ref())
            .map_or(EMPTY, |(_, prefix)| *prefix)
    }

    fn fulfil(&mut self, table: &mut PageTable) {
        let kept = table.promised.min(1);
        table.promised -= kept;
        self.promised -= kept;
    }

    fn hold(&mut self, page: PageId) {
        let p = &mut self.pages[page.0 as usize];
        if p.holders == 0 {
            self.idle.remove(&p.idle_since);
        }
        p.holders += 1;
    }

    fn leave(&mut self, page: PageId) {
        let p = &mut self.pages[page.0 as usize];
        p.holders -= 1;
        if p.holders > 0 {
            return;
        }
        p.left = self.turn;
        if p.indexed.is_some() {
            self.now += 1;
            p.idle_since = self.now;
            self.idle.insert(self.now, page);
        } else {
            self.free.push(page);
        }
    }

    /// Whether pages that nobody holds have memory.
    pub fn spare(&self) -> bool {
        let used = |page: &PageId| self.pages[page.0 as usize].used;
        !self.idle.is_empty() || self.free.iter().any(used)
    }

    /// Begins another turn. Pages that nobody held in the last `turns` leave the index; gives those
    /// whose memory can go back, because nothing is in it until they are taken again.
    pub fn sweep(&mut self, turns: u64) -> Vec<PageId> {
        self.turn += 1;
        // Who left in a turn up to this one left that long ago.
        let old = self.turn.checked_sub(turns);
        let is_old = |page: &Page| old.is_some_and(|old| page.left <= old);
        while let Some((_, page)) = self.idle.first_key_value()
            && is_old(&self.pages[page.0 as usize])
        {
            let page = self.evict();
            self.free.extend(page);
        }
        let mut back = Vec::new();
        for page in &self.free {
            let p = &mut self.pages[page.0 as usize];
            if p.used && is_old(p) {
                p.used = false;
                back.push(*page);
            }
        }
        back
    }

    /// Nothing is left in any page: those that nobody holds leave the index.
    pub fn forget(&mut self) {
        while let Some(page) = self.evict() {
            self.free.push(page);
        }
    }

    /// Takes the page that was idle longest out of the index.
    fn evict(&mut self) -> Option<PageId> {
        let (_, page) = self.idle.pop_first()?;
        if let Some((key, _)) = self.pages[page.0 as usize].indexed.take() {
            self.index.remove(&key);
        }
        Some(page)
    }

    /// Checks everything against everything, given the tables of all sequences.
    #[cfg(test)]
    pub fn audit<'a>(&self, tables: impl Iterator<Item = &'a PageTable>) {
        let mut holders = vec![0; self.pages.len()];
        let mut promised = 0;
        for table in tables {
            promised += table.promised;
            for (i, page) in table.pages.iter().enumerate() {
                let at = page.0 as usize;
                holders[at] += 1;
                assert_eq!(self.pages[at].indexed.is_some(), i < table.full);
                if let Some((key, _)) = &self.pages[at].indexed {
                    let before = match i {
                        0 => EMPTY,
                        _ => {
                            let before = table.pages[i - 1].0 as usize;
                            self.pages[before].indexed.as_ref().expect("a prefix").1
                        }
                    };
                    assert_eq!(key.before, before, "a page follows its prefix");
                }
            }
        }
        assert_eq!(promised, self.promised);
        assert!(self.promised <= self.free.len() + self.idle.len());
        let mut free = 0;
        for (page, holders) in self.pages.iter().zip(holders) {
            assert_eq!(page.holders, holders, "holders of a page");
            assert!(holders <= 1 || page.indexed.is_some(), "shared, not full");
            free += usize::from(holders == 0 && page.indexed.is_none());
        }
        assert_eq!(free, self.free.len(), "no page is lost");
        let indexed = self.pages.iter().filter(|p| p.indexed.is_some()).count();
        assert_eq!(indexed, self.index.len());
        for (key, page) in &self.index {
            let (own, _) = self.pages[page.0 as usize]
                .indexed
                .as_ref()
                .expect("a page");
            assert_eq!(own, key);
            let known = |p: &Page| p.indexed.as_ref().is_some_and(|i| i.1 == key.before);
            assert!(
                key.before == EMPTY || self.pages.iter().any(known),
                "no page outlives its prefix"
            );
        }
        for (since, page) in &self.idle {
            let p = &self.pages[page.0 as usize];
            assert!(p.holders == 0 && p.indexed.is_some() && p.idle_since == *since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(first: u32) -> [u32; PAGE] {
        std::array::from_fn(|i| first + i as u32)
    }

    /// A table with full pages of these tokens, all computed.
    fn filled(pages: &mut Pages, firsts: &[u32]) -> PageTable {
        let mut table = PageTable::default();
        assert!(pages.promise(&mut table, firsts.len()));
        for first in firsts {
            pages.take(&mut table);
            pages.fill(&mut table, &tokens(*first));
        }
        table
    }

    #[test]
    fn a_prefix_is_found_again_and_only_that() {
        let mut pages = Pages::new(8);
        let mut a = filled(&mut pages, &[0, 100]);
        let first = a.pages()[0];
        pages.truncate(&mut a, 0);
        let mut b = PageTable::default();
        assert!(!pages.find(&mut b, &tokens(100)), "not at the beginning");
        assert!(pages.find(&mut b, &tokens(0)));
        assert_eq!(b.pages(), [first]);
        assert!(!pages.find(&mut b, &tokens(0)));
        assert!(pages.find(&mut b, &tokens(100)));
        pages.audit([&a, &b].into_iter());
    }

    #[test]
    fn equal_pages_become_one() {
        let mut pages = Pages::new(4);
        let a = filled(&mut pages, &[0, 100]);
        let b = filled(&mut pages, &[0, 100]);
        assert_eq!(a.pages(), b.pages());
        assert_eq!(pages.held(), 2);
        pages.audit([&a, &b].into_iter());
    }

    #[test]
    fn the_longest_unused_goes_first_and_leaves_before_their_prefix() {
        let mut pages = Pages::new(4);
        let mut old = filled(&mut pages, &[0, 100]);
        let mut new = filled(&mut pages, &[500, 600]);
        pages.truncate(&mut old, 0);
        pages.truncate(&mut new, 0);
        let mut c = PageTable::default();
        assert!(pages.promise(&mut c, 1));
        pages.take(&mut c);
        let mut again = PageTable::default();
        assert!(pages.find(&mut again, &tokens(0)));
        assert!(!pages.find(&mut again, &tokens(100)), "it was given away");
        let mut kept = PageTable::default();
        assert!(pages.find(&mut kept, &tokens(500)) && pages.find(&mut kept, &tokens(600)));
        pages.audit([&c, &again, &kept].into_iter());
    }

    #[test]
    fn memory_goes_back_once_nobody_held_a_page_for_some_turns() {
        let mut pages = Pages::new(8);
        assert!(!pages.spare());
        let mut done = filled(&mut pages, &[0, 100]);
        let held = filled(&mut pages, &[500]);
        let mut ids = done.pages().to_vec();
        assert!(pages.promise(&mut done, 1));
        pages.take(&mut done);
        ids.push(done.pages()[2]);
        assert!(pages.sweep(2).is_empty(), "all are held");
        pages.truncate(&mut done, 0);
        assert!(pages.spare());
        assert!(pages.sweep(2).is_empty(), "a turn is not two");
        let mut again = PageTable::default();
        assert!(pages.find(&mut again, &tokens(0)));
        pages.truncate(&mut again, 0);
        // The page after the first, and the one that was never full.
        let mut back = pages.sweep(2);
        back.sort_unstable_by_key(|page| page.0);
        let mut want = ids[1..].to_vec();
        want.sort_unstable_by_key(|page| page.0);
        assert_eq!(back, want);
        pages.audit([&held, &again].into_iter());
        assert!(pages.find(&mut again, &tokens(0)), "it was used since");
        assert!(!pages.find(&mut again, &tokens(100)), "it is gone");
        pages.truncate(&mut again, 0);
        assert_eq!((pages.sweep(2).len(), pages.sweep(2).len()), (0, 1));
        assert!(!pages.spare());
        assert!(pages.sweep(2).is_empty(), "nothing goes back twice");
        pages.audit([&held].into_iter());
    }

    #[test]
    fn no_promise_is_made_that_others_hold() {
        let mut pages = Pages::new(3);
        let mut a = PageTable::default();
        assert!(pages.promise(&mut a, 2));
        let mut b = PageTable::default();
        assert!(!pages.promise(&mut b, 2));
        assert!(pages.promise(&mut b, 1));
        pages.truncate(&mut a, 0);
        assert!(pages.promise(&mut b, 2));
        pages.audit([&a, &b].into_iter());
    }

    #[test]
    fn truncation_frees_the_pages_past_a_position() {
        let mut pages = Pages::new(8);
        let mut a = filled(&mut pages, &[0, 100]);
        assert!(pages.promise(&mut a, 2));
        pages.take(&mut a);
        pages.take(&mut a);
        // Two full pages and two of its own: cut within its own.
        assert_eq!(pages.truncate(&mut a, 2 * PAGE + 5), 2 * PAGE + 5);
        assert_eq!((a.pages().len(), pages.held()), (3, 3));
        // Cut within a full page: it can't be written again, so it goes.
        assert_eq!(pages.truncate(&mut a, PAGE + 5), PAGE);
        assert_eq!((a.pages().len(), pages.held(), pages.idle()), (1, 1, 1));
        pages.audit([&a].into_iter());
        assert_eq!(pages.truncate(&mut a, 0), 0);
        assert_eq!((pages.held(), pages.idle()), (0, 2));
        pages.audit([&a].into_iter());
    }
}
