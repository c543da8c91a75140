//! Makes a failing story smaller while it still breaks the same rule.

use anyhow::Result;

use crate::database::Database;
use crate::play::play;
use crate::story::{BlockId, Item, Story};

/// Stories tried at most.
const TRIES: usize = 400;

struct Shrinker<'a> {
    database: &'a mut Database,
    complete: bool,
    rule: &'a str,
    best: Story,
    tries: usize,
}

/// The smallest story found that breaks `rule`, and how many were tried.
pub async fn shrink(
    database: &mut Database,
    story: Story,
    complete: bool,
    rule: &str,
) -> Result<(Story, usize)> {
    let mut shrinker = Shrinker {
        database,
        complete,
        rule,
        best: story,
        tries: 0,
    };
    loop {
        let before = shrinker.best.clone();
        shrinker.moments().await?;
        shrinker.runs().await?;
        shrinker.blocks().await?;
        shrinker.banks().await?;
        shrinker.acts().await?;
        shrinker.entries().await?;
        if shrinker.best == before || shrinker.tries >= TRIES {
            return Ok((shrinker.best, shrinker.tries));
        }
    }
}

impl Shrinker<'_> {
    /// Keeps a smaller story if it still fails.
    async fn keep(&mut self, story: Story) -> Result<bool> {
        if self.tries >= TRIES || story == self.best || self.complete && !story.has_no_gap() {
            return Ok(false);
        }
        self.tries += 1;
        // A story that can't be told at all is no smaller one.
        let fails = match play(self.database, &story).await {
            Ok(verdict) => verdict.faults.iter().any(|fault| fault.rule == self.rule),
            Err(_) => false,
        };
        if fails {
            self.best = story;
        }
        Ok(fails)
    }

    async fn without(&mut self, items: impl Fn(usize, &Item) -> bool) -> Result<bool> {
        let mut story = self.best.clone();
        let mut at = 0;
        story.items.retain(|item| {
            at += 1;
            !items(at - 1, item)
        });
        self.keep(story).await
    }

    /// Everything after the first comparison that fails, the others, and what disturbs the indexer.
    async fn moments(&mut self) -> Result<()> {
        let checks = |story: &Story| -> Vec<usize> {
            let items = story.items.iter().enumerate();
            items
                .filter(|(_, item)| **item == Item::Check)
                .map(|(at, _)| at)
                .collect()
        };
        for check in checks(&self.best) {
            if self.without(|at, _| at > check).await? {
                break;
            }
        }
        let last = self.best.items.len() - 1;
        self.without(|at, item| *item == Item::Check && at < last)
            .await?;
        self.without(|_, item| matches!(item, Item::Trouble(_)))
            .await?;
        self.without(|_, item| matches!(item, Item::Second(_)))
            .await?;
        let mut story = self.best.clone();
        story.batch_updates = 20_000;
        story.rebuild = false;
        self.keep(story).await?;
        let mut story = self.best.clone();
        (story.segment_bytes, story.spills) = (None, false);
        self.keep(story).await?;
        Ok(())
    }

    /// Restarts of the producer.
    async fn runs(&mut self) -> Result<()> {
        let mut at = self.best.items.len();
        while at > 1 {
            at -= 1;
            if matches!(self.best.items.get(at), Some(Item::Start { .. })) {
                let end = at - 1;
                self.without(|n, _| n == at || n == end).await?;
            }
        }
        Ok(())
    }

    /// Blocks, with all that is said of them; what followed them follows their parents.
    async fn blocks(&mut self) -> Result<()> {
        for block in (1..self.best.blocks.len()).rev() {
            if !self
                .best
                .items
                .iter()
                .any(|item| item.block() == Some(block))
                && !self.has_children(block)
            {
                continue;
            }
            let mut story = self.best.clone();
            story.items.retain(|item| item.block() != Some(block));
            let parent = story.blocks[block].parent;
            for other in &mut story.blocks {
                if other.parent == Some(block) {
                    other.parent = parent;
                }
            }
            for item in &mut story.items {
                if let Item::Start {
                    base: Some(base), ..
                } = item
                    && base.at == block
                {
                    base.at = parent.unwrap_or(0);
                }
            }
            self.keep(story).await?;
        }
        Ok(())
    }

    fn has_children(&self, block: BlockId) -> bool {
        self.best
            .blocks
            .iter()
            .any(|other| other.parent == Some(block))
    }

    /// Banks of blocks that are replayed more than once.
    async fn banks(&mut self) -> Result<()> {
        let mut at = self.best.items.len();
        while at > 0 {
            at -= 1;
            let Some(Item::Create { block, .. }) = self.best.items.get(at).cloned() else {
                continue;
            };
            let rest = self.best.items.iter().enumerate().skip(at + 1);
            let end = rest
                .filter(|(_, item)| match item {
                    Item::Create { block: other, .. } => *other == block,
                    Item::Start { .. } => true,
                    _ => false,
                })
                .map(|(at, _)| at)
                .next()
                .unwrap_or(self.best.items.len());
            self.without(|n, item| {
                (at..end).contains(&n)
                    && item.block() == Some(block)
                    && !matches!(item, Item::Status { .. })
            })
            .await?;
        }
        Ok(())
    }

    async fn acts(&mut self) -> Result<()> {
        let number = self.best.accounts.len();
        for size in [256, 16, 1] {
            for first in (0..number).step_by(size) {
                let mut story = self.best.clone();
                let acts = story.blocks.iter_mut().flat_map(|block| &mut block.acts);
                acts.filter(|act| (first..first + size).contains(&act.0))
                    .for_each(|act| act.0 = usize::MAX);
                self.keep(story).await?;
            }
        }
        for block in 0..self.best.blocks.len() {
            for act in 0..self.best.blocks[block].acts.len() {
                let mut story = self.best.clone();
                story.blocks[block].acts[act].0 = usize::MAX;
                self.keep(story).await?;
            }
        }
        Ok(())
    }

    /// Single words, and losses.
    async fn entries(&mut self) -> Result<()> {
        let mut at = self.best.items.len();
        while at > 0 {
            at -= 1;
            match self.best.items.get(at) {
                Some(
                    Item::Status { .. }
                    | Item::Dead { .. }
                    | Item::Boot { .. }
                    | Item::Flip { .. }
                    | Item::Second(_)
                    | Item::Trouble(_),
                ) => {
                    self.without(|n, _| n == at).await?;
                }
                Some(
                    Item::Create { lost: true, .. }
                    | Item::Write { lost: true, .. }
                    | Item::Seal { lost: true, .. },
                ) => {
                    let mut story = self.best.clone();
                    if let Item::Create { lost, .. }
                    | Item::Write { lost, .. }
                    | Item::Seal { lost, .. } = &mut story.items[at]
                    {
                        *lost = false;
                    }
                    self.keep(story).await?;
                }
                Some(Item::Start {
                    base: Some(base), ..
                }) if base.old_rows || base.lost_row => {
                    let mut story = self.best.clone();
                    if let Item::Start {
                        base: Some(base), ..
                    } = &mut story.items[at]
                    {
                        base.old_rows = false;
                        base.lost_row = false;
                    }
                    self.keep(story).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
