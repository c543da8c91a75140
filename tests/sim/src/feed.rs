//! Replays the feed, with its retractions, and compares what a subscriber knows in the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::accounts::key;
use crate::chain::Chain;
use crate::judge::Judge;
use crate::story::{BlockId, Kind};
use crate::tables::FeedRow;

/// An add: the number it has, what it says.
type Add<'a> = (i64, &'a FeedRow);

impl Judge<'_> {
    pub fn feed(&mut self, rows: &[FeedRow], root: Option<BlockId>) {
        for (number, row) in (1..).zip(rows) {
            if row.seq != number {
                let what = format!("event {} stands where {number} should", row.seq);
                self.verdict.fault("feed-gap", what);
                return;
            }
        }
        let mut adds: BTreeMap<(&str, &str), Vec<Add>> = BTreeMap::new();
        let mut ended: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut finalized: BTreeSet<BlockId> = BTreeSet::new();
        for row in rows {
            let bank = (row.topic.as_str(), row.blockhash.as_str());
            let slot = self
                .block(Some(&row.blockhash))
                .map(|block| self.story.slot(block) as i64);
            // What start-up accounts tell belongs to no bank.
            if !row.blockhash.is_empty() && slot != Some(row.slot) {
                let what = format!(
                    "event {} names slot {} with a blockhash of slot {slot:?}",
                    row.seq, row.slot
                );
                self.verdict.fault("feed-chain", what);
            }
            if row.op == "add" {
                adds.entry(bank).or_default().push((row.seq, row));
                continue;
            }
            if let Some((first, last, count)) = row.span {
                let told = adds.get(&bank).into_iter().flatten();
                let found = told.filter(|(seq, _)| (first..=last).contains(seq)).count();
                if found as i64 != count {
                    let what = format!(
                        "event {} speaks for {count} adds, there are {found}",
                        row.seq
                    );
                    self.verdict.fault("feed-span", what);
                }
            }
            if row.op == "confirm" {
                continue;
            }
            let Some(block) = self.block(Some(&row.blockhash)) else {
                continue;
            };
            if row.span.is_some() && !ended.insert(bank) {
                let what = format!(
                    "{} was finalized or retracted twice, the second time by event {}",
                    self.name(block),
                    row.seq
                );
                self.verdict.fault("feed-twice", what);
            }
            match (row.op.as_str(), self.story.blocks[block].canon) {
                ("finalize", true) => drop(finalized.insert(block)),
                ("retract", false) => {}
                (op, _) => {
                    let what = format!("event {} says {op} of {}", row.seq, self.name(block));
                    self.verdict.fault("feed-chain", what);
                }
            }
        }
        // Of two logs nobody knows which was read first, so what came after its finality is open.
        if self.story.producers() == 1 {
            self.subscriber(&adds, &finalized, root);
        }
    }

    /// The newest final state of every job, as a subscriber has it.
    fn subscriber(
        &mut self,
        adds: &BTreeMap<(&str, &str), Vec<Add>>,
        finalized: &BTreeSet<BlockId>,
        root: Option<BlockId>,
    ) {
        let Some(root) = root else { return };
        let chain = Chain::new(self.story, self.seen, Some(root));
        let known = chain.knowledge(root);
        let mut newest: BTreeMap<&str, (BlockId, Add)> = BTreeMap::new();
        for ((topic, blockhash), told) in adds {
            let Some(block) = self
                .block(Some(blockhash))
                .filter(|b| finalized.contains(b))
            else {
                continue;
            };
            for add in told.iter().filter(|_| *topic == "jobs") {
                let Some(entity) = add.1.entity.as_deref() else {
                    continue;
                };
                let better = newest
                    .get(entity)
                    .is_none_or(|(other, than)| (*other, than.0) < (block, add.0));
                if better {
                    newest.insert(entity, (block, *add));
                }
            }
        }
        let expected = self.truth.expected(self.story, root);
        // Of a reused address only the newest job counts.
        let mut last: BTreeMap<usize, _> = BTreeMap::new();
        for ((kind, account, requested), entity) in &expected {
            if *kind == Kind::Job {
                last.insert(*account, (*requested, entity));
            }
        }
        for (account, (requested, entity)) in last {
            let (Some((content, _)), Some(block)) = (&entity.row, &entity.said) else {
                continue;
            };
            let live = known.is_sure(*block)
                && self.seen.whole.contains(block)
                && !self.seen.late.contains(block);
            if !live {
                continue;
            }
            let entity = bs58::encode(key(account)).into_string();
            let told = newest
                .get(entity.as_str())
                .map(|(_, add)| (add.1.write_seq, add.1.status.as_deref()));
            if told != Some((Some(content.seq as i64), Some(content.status()))) {
                let what = format!(
                    "of job {account} requested in slot {requested} the feed says {told:?}, truth: seq {} {} in {}",
                    content.seq,
                    content.status(),
                    self.name(*block)
                );
                self.verdict.fault("feed-state", what);
            }
        }
    }
}
