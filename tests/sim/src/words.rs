//! A story in words.

use std::fmt;

use crate::story::{BlockId, Item, Story};

impl Story {
    fn name(&self, block: BlockId) -> String {
        let side = if self.blocks[block].canon {
            ""
        } else {
            ", side"
        };
        format!("{block} (slot {}{side})", self.slot(block))
    }

    fn act(&self, block: BlockId, index: usize) -> Option<String> {
        let (account, act) = self.blocks[block].acts.get(index)?;
        let kind = self.accounts.get(*account)?;
        Some(format!("{act:?} of {kind:?} {account}"))
    }

    /// The words of an entry; none for a write that was taken out.
    fn words(&self, item: &Item) -> Option<String> {
        let fate = |lost: &bool| if *lost { ", LOST" } else { "" };
        Some(match item {
            Item::Start { base, primed } => match base {
                Some(base) => {
                    let flags = [
                        (base.old_rows, ", with older versions"),
                        (base.lost_row, ", one row LOST"),
                        (base.wrong_filter, ", under another filter"),
                        (!primed, ", not primed"),
                    ];
                    let flags: String = flags
                        .iter()
                        .filter(|(set, _)| *set)
                        .map(|(_, text)| *text)
                        .collect();
                    format!(
                        "run starts, accounts of block {}{flags}",
                        self.name(base.at)
                    )
                }
                None => format!("run starts without accounts, primed: {primed}"),
            },
            Item::End => "run ends".into(),
            Item::Break(tail) => format!("producer dies, behind the last entry: {tail:?}"),
            Item::Create { block, lost } => format!("  create {}{}", self.name(*block), fate(lost)),
            Item::Write { block, index, lost } => {
                format!(
                    "    write in {}: {}{}",
                    self.name(*block),
                    self.act(*block, *index)?,
                    fate(lost)
                )
            }
            Item::Seal { block, lost } => {
                let parent = self.blocks[*block].parent.map(|parent| self.name(parent));
                format!(
                    "  seal {} on {}{}",
                    self.name(*block),
                    parent.unwrap_or_default(),
                    fate(lost)
                )
            }
            Item::Boot { block, index } => format!(
                "  replayed at boot, of {}: {}",
                self.name(*block),
                self.act(*block, *index)?
            ),
            Item::Status { block, word, lost } => {
                format!("  {word:?}: {}{}", self.name(*block), fate(lost))
            }
            Item::Dead { block } => format!("  dead: {}", self.name(*block)),
            Item::Second(item) => format!(
                "                    second: {}",
                self.words(item)?.trim_start()
            ),
            Item::Lie { block, index } => format!(
                "    LIE in {}: {}",
                self.name(*block),
                self.act(*block, *index)?
            ),
            Item::Flip { length: false } => "    the disk flips bits of the next entry".into(),
            Item::Flip { length: true } => {
                "    the disk flips a bit of the next entry's length".into()
            }
            Item::Trouble(trouble) => format!("indexer: {trouble:?}"),
            Item::Check => "compare".into(),
        })
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (block, known) in self.blocks.iter().enumerate() {
            // Also blocks that nobody told of: they are why something is unknown.
            if block > 0
                && !known.canon
                && !self.items.iter().any(|item| item.block() == Some(block))
            {
                continue;
            }
            let acts: Vec<String> = (0..known.acts.len())
                .filter_map(|act| self.act(block, act))
                .collect();
            if block == 0 || !acts.is_empty() {
                writeln!(f, "block {}: {}", self.name(block), acts.join(", "))?;
            }
        }
        for item in &self.items {
            if let Some(words) = self.words(item) {
                writeln!(f, "{words}")?;
            }
        }
        if let Some(bytes) = self.segment_bytes {
            writeln!(f, "segments of {bytes} bytes")?;
        }
        write!(f, "at most {} updates a transaction", self.batch_updates)
    }
}
