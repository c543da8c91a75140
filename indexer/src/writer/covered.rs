//! Which rows of a rooted bank still lie in the overlays: those that no later bank of the chain wrote too. The others were replaced
//! there, and need not be looked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::entity::Entity;
use crate::plan::{ChainChange, Plan, RowMark};

/// The rows of unrooted banks that this writer wrote.
#[derive(Debug, Default)]
pub(super) struct Covered {
    banks: BTreeMap<i64, Vec<RowMark>>,
    /// The banks that wrote a row.
    writers: HashMap<[u64; 2], Vec<i64>>,
}

/// Banks and accounts, as two columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub banks: Vec<i64>,
    pub pubkeys: Vec<Vec<u8>>,
}

impl Covered {
    /// A transaction is committed that wrote the rows of banks, and ended others.
    pub fn learn(&mut self, marked: BTreeMap<i64, Vec<RowMark>>, ended: &[i64]) {
        for (number, rows) in marked {
            for row in &rows {
                self.writers.entry(row.mark).or_default().push(number);
            }
            self.banks.entry(number).or_default().extend(rows);
        }
        for number in ended {
            for row in self.banks.remove(number).unwrap_or_default() {
                if let Some(writers) = self.writers.get_mut(&row.mark) {
                    writers.retain(|writer| writer != number);
                    if writers.is_empty() {
                        self.writers.remove(&row.mark);
                    }
                }
            }
        }
    }

    /// What may still lie in the overlays of `chains` of the banks that were rooted and left them, by table; `None` where that is not
    /// known.
    pub fn left(&self, plan: &Plan, chains: &[&ChainChange]) -> Option<BTreeMap<Entity, Left>> {
        let (first, others) = chains.split_first()?;
        if chains.iter().any(|chain| chain.switched) || !plan.completed.is_empty() {
            return None;
        }
        // Banks that are on all of these chains now.
        let mut now: HashSet<i64> = first.now.iter().copied().collect();
        for chain in others {
            now.retain(|number| chain.now.contains(number));
        }
        let fresh = plan
            .marked
            .iter()
            .filter(|(number, _)| now.contains(number));
        let fresh: HashSet<[u64; 2]> = fresh
            .flat_map(|(_, rows)| rows)
            .map(|row| row.mark)
            .collect();
        let mut left: BTreeMap<Entity, Left> = BTreeMap::new();
        for number in &first.gone {
            for row in self.banks.get(number)? {
                let later = |writers: &Vec<i64>| writers.iter().any(|writer| now.contains(writer));
                if !fresh.contains(&row.mark) && !self.writers.get(&row.mark).is_some_and(later) {
                    let left = left.entry(row.entity).or_default();
                    left.banks.push(*number);
                    left.pubkeys.push(row.pubkey.to_vec());
                }
            }
        }
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(marks: &[u64]) -> Vec<RowMark> {
        let row = |(place, mark): (u8, &u64)| RowMark {
            entity: Entity::Vault,
            mark: [*mark, 0],
            pubkey: [place; 32],
        };
        (0..).zip(marks).map(row).collect()
    }

    fn chain(gone: &[i64], now: &[i64]) -> ChainChange {
        ChainChange {
            gone: gone.to_vec(),
            now: now.to_vec(),
            ..ChainChange::default()
        }
    }

    /// Places of the rows that may still lie in the overlays.
    fn left(covered: &Covered, plan: &Plan, chains: &[&ChainChange]) -> Option<Vec<u8>> {
        let left = covered.left(plan, chains)?.into_values();
        Some(
            left.flat_map(|left| left.pubkeys)
                .map(|key| key[0])
                .collect(),
        )
    }

    #[test]
    fn only_rows_that_no_later_bank_of_every_chain_wrote_are_looked_for() {
        let mut covered = Covered::default();
        covered.learn(
            [
                (1, rows(&[10, 11, 12, 13])),
                (2, rows(&[11])),
                (3, rows(&[12])),
            ]
            .into(),
            &[],
        );
        let (processed, confirmed) = (chain(&[1], &[2, 3]), chain(&[1], &[2]));
        let mut plan = Plan::default();
        assert_eq!(left(&covered, &plan, &[&processed]), Some(vec![0, 3]));
        assert_eq!(
            left(&covered, &plan, &[&processed, &confirmed]),
            Some(vec![0, 2, 3])
        );
        // What this transaction writes counts, if it is on the chain.
        plan.marked = [(4, rows(&[13])), (5, rows(&[10]))].into();
        let processed = chain(&[1], &[2, 3, 4]);
        assert_eq!(left(&covered, &plan, &[&processed]), Some(vec![0]));
        // Forgotten with its bank.
        covered.learn(plan.marked.clone(), &[1, 2, 3, 4, 5]);
        assert!(covered.banks.is_empty() && covered.writers.is_empty());
    }

    #[test]
    fn all_rows_are_looked_for_where_a_chain_switched_or_a_bank_is_unknown() {
        let mut covered = Covered::default();
        covered.learn([(1, rows(&[10])), (2, rows(&[10]))].into(), &[]);
        let plan = Plan::default();
        let switched = ChainChange {
            switched: true,
            ..chain(&[1], &[2])
        };
        assert_eq!(left(&covered, &plan, &[&switched]), None);
        assert_eq!(left(&covered, &plan, &[&chain(&[0, 1], &[2])]), None);
        assert_eq!(left(&covered, &plan, &[&chain(&[1], &[2])]), Some(vec![]));
    }
}
