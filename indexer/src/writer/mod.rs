//! One transaction per batch: fence, archive, projection, overlays, feed, position, or nothing.

mod base;
mod calls;
mod covered;
mod kafka;
mod kept;
mod known;
mod partitions;
mod project;
mod refused;
mod report;
mod rooted;
mod settle;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::db::Session;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::holder::Input;
use crate::kafka::Places;
use crate::merge::Merge;
use crate::plan::{BankRows, Plan, Reached, Refusals, State, Watch, plan};
use crate::state;
use mythic_interface::state::Key;

/// An input and how far the log is read once it is applied.
#[derive(Clone, Debug)]
pub struct Step {
    /// Whose log.
    pub producer: Arc<str>,
    pub input: Input,
    /// None where more inputs of the same envelope follow.
    pub reached: Option<Reached>,
    /// Where Kafka is to be read from, once this and what is before it is applied.
    pub places: Option<Arc<Places>>,
}

/// How far logs are read once a transaction commits.
#[derive(Debug, Default)]
struct Progress {
    reached: BTreeMap<String, Reached>,
    places: Option<Arc<Places>>,
}

/// What a writer writes beside the projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Archive, feed and positions too, under the lease of this epoch.
    Live { epoch: i64 },
    /// The projection alone, from the archive.
    Rebuild,
}

/// What a commit did, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Committed {
    pub updates: usize,
    pub banks: usize,
    pub feed_rows: usize,
    pub dead_letters: usize,
}

/// A topic that is read, and where.
#[derive(Debug)]
struct Followed {
    name: String,
    places: Places,
}

/// The one writer of a projection.
#[derive(Debug)]
pub struct Writer {
    pub session: Session,
    schema: String,
    mode: Mode,
    state: State,
    refusals: Refusals,
    /// Epochs whose partition of the archive is there.
    epochs: BTreeSet<i64>,
    /// Keys whose texts are in the database, as far as it is remembered.
    texts: HashSet<Key>,
    rooted: rooted::Rooted,
    /// Where the archive's files lie.
    pub files: Option<PathBuf>,
    /// Of Kafka, if it is read.
    topic: Option<Followed>,
    /// The overlays are kept up; a rebuild lays them once it has caught up.
    overlays: bool,
    covered: covered::Covered,
    /// The open alarms; none in a rebuild.
    watch: Option<Watch>,
    /// Rows of banks that are not rooted yet, of a rebuild that has not caught up: most are never hot.
    waiting: BTreeMap<i64, BankRows>,
}

/// Columns of the archive's account updates.
const ARCHIVED: &str = "archive.account (slot, bank, ordinal, updates, keys, body)";

impl Writer {
    /// Takes up where the database is.
    pub async fn open(
        mut session: Session,
        schema: &str,
        mode: Mode,
    ) -> Result<Self, IndexerError> {
        let state = state::restore(&mut session, schema).await?;
        // What the database refused once it would refuse again.
        let mut refusals: Refusals = HashMap::new();
        let rows = session
            .query("SELECT bank, ordinal, reason FROM pipeline.dead_letter WHERE reason LIKE 'refused by the database: %'", &[])
            .await?;
        for row in &rows {
            let reason: String = row.get("reason");
            let reason = reason
                .trim_start_matches("refused by the database: ")
                .to_owned();
            refusals
                .entry(row.get("bank"))
                .or_default()
                .insert(row.get("ordinal"), reason);
        }
        let mut writer = Self {
            session,
            schema: schema.to_owned(),
            state,
            refusals,
            epochs: BTreeSet::new(),
            texts: HashSet::new(),
            rooted: Default::default(),
            files: None,
            topic: None,
            overlays: mode != Mode::Rebuild,
            covered: Default::default(),
            watch: None,
            waiting: BTreeMap::new(),
            mode,
        };
        writer.interface().await?;
        if writer.mode != Mode::Rebuild {
            // Which of them were looked at since finality passed them is not known.
            writer.watch = Some(writer.watched(-1).await?);
        }
        Ok(writer)
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// What its producers hold, as far as they are applied.
    pub async fn merge(&mut self, producers: &[Arc<str>]) -> Result<Merge, IndexerError> {
        state::heard::merge(&mut self.session, &self.state, producers).await
    }

    /// Writes the steps, in as many transactions as bases and refused content make necessary.
    pub async fn apply(&mut self, steps: Vec<Step>) -> Result<Committed, IndexerError> {
        let mut total = Committed::default();
        let mut rest = steps.as_slice();
        // How many of the rest to try at once.
        let mut take = rest.len();
        while !rest.is_empty() {
            let first = self.state.next_event;
            let inputs: Vec<(i64, Input)> = (first..)
                .zip(&rest[..take])
                .map(|(number, step)| (number, step.input.clone()))
                .collect();
            match self.transact(&inputs, rest).await {
                Ok((used, done)) => {
                    total.updates += done.updates;
                    total.banks += done.banks;
                    total.feed_rows += done.feed_rows;
                    total.dead_letters += done.dead_letters;
                    rest = &rest[used..];
                    take = rest.len();
                }
                // An old partition went after it was looked for.
                Err(e) if e.lacks_partition() && !self.epochs.is_empty() => self.epochs.clear(),
                Err(e) if e.is_data() && take > 1 => take /= 2,
                Err(e) if e.is_data() => self.find_refused(&inputs, &e).await?,
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }

    /// Projects archived events, in their order.
    pub async fn replay(&mut self, inputs: &[(i64, Input)]) -> Result<(), IndexerError> {
        let mut rest = inputs;
        while !rest.is_empty() {
            let known = self.known(rest).await?;
            let plan = plan(&self.state, rest, &self.refusals, known, None);
            let used = plan.used;
            self.commit(plan, Progress::default()).await?;
            rest = &rest[used..];
        }
        Ok(())
    }

    async fn transact(
        &mut self,
        inputs: &[(i64, Input)],
        steps: &[Step],
    ) -> Result<(usize, Committed), IndexerError> {
        let known = self.known(inputs).await?;
        let plan = plan(&self.state, inputs, &self.refusals, known, self.watch);
        let used = plan.used;
        self.partitions(&plan.epochs).await?;
        let used_steps = &steps[..used];
        let progress = Progress {
            reached: used_steps
                .iter()
                .filter_map(|step| Some((step.producer.to_string(), step.reached?)))
                .collect(),
            places: used_steps.iter().rev().find_map(|s| s.places.clone()),
        };
        Ok((used, self.commit(plan, progress).await?))
    }

    /// Archives inputs and projects none, so that a rebuild has something to do.
    #[cfg(test)]
    pub async fn archive_alone(&mut self, inputs: &[(i64, Input)]) -> Result<(), IndexerError> {
        let (known, watch) = (Default::default(), Some(Watch::default()));
        let mut plan = plan(&self.state, inputs, &self.refusals, known, watch);
        self.partitions(&plan.epochs).await?;
        self.session.batch("BEGIN").await?;
        self.archive(&mut plan).await?;
        self.session.batch("COMMIT").await?;
        self.state = plan.state;
        Ok(())
    }

    async fn commit(
        &mut self,
        mut plan: Plan,
        progress: Progress,
    ) -> Result<Committed, IndexerError> {
        let corrected = plan.base.is_some() || !plan.late.is_empty();
        let result = self.write(&mut plan, &progress).await;
        match result {
            Ok(fresh) => {
                self.remember(fresh);
                match corrected {
                    true => self.rooted.forget(),
                    false => self.rooted.learn(plan.take_known()),
                }
                let done = Committed {
                    updates: plan.updates,
                    banks: plan.banks,
                    feed_rows: (plan.state.next_feed - self.state.next_feed) as usize,
                    dead_letters: plan.dead.len(),
                };
                let ended = [plan.rooted, plan.orphaned].concat();
                self.covered.learn(plan.marked, &ended);
                self.watch = plan.watch;
                self.state = plan.state;
                self.state.positions.extend(progress.reached);
                progress
                    .places
                    .iter()
                    .for_each(|places| self.placed(places));
                Ok(done)
            }
            Err(e) => {
                self.session.rollback().await;
                Err(e)
            }
        }
    }

    async fn write(
        &mut self,
        plan: &mut Plan,
        progress: &Progress,
    ) -> Result<Vec<Key>, IndexerError> {
        self.session.batch("BEGIN").await?;
        let mode = self.mode.clone();
        let live = if let Mode::Live { epoch } = &mode {
            self.fence(*epoch).await?;
            self.archive(plan).await?;
            true
        } else {
            false
        };
        let mut fresh = self.addresses(&plan.keys).await?;
        let settled = self.project(plan).await?;
        self.calls(plan).await?;
        self.late(plan).await?;
        self.history(plan, settled).await?;
        self.forget(plan).await?;
        let base = plan.base.map(|base| base.slot);
        if base.is_some() {
            fresh.extend(self.base(plan, live).await?);
        }
        self.heads(plan).await?;
        if live {
            self.problems(plan, base).await?;
            self.feed(plan).await?;
            for (producer, reached) in &progress.reached {
                self.position(producer, *reached).await?;
            }
            if let Some(places) = &progress.places {
                self.places(places).await?;
            }
        }
        self.session.batch("COMMIT").await?;
        Ok(fresh)
    }

    /// Locks the lease's row and checks that it is still ours; the lock is held to the end.
    async fn fence(&mut self, epoch: i64) -> Result<(), IndexerError> {
        let held = self
            .session
            .execute(
                "UPDATE pipeline.lease SET renewed_at = now() WHERE epoch = $1",
                &[&epoch],
            )
            .await?;
        if held == 1 {
            Ok(())
        } else {
            Err(IndexerError::LeaseLost { epoch })
        }
    }

    async fn archive(&mut self, plan: &mut Plan) -> Result<(), IndexerError> {
        self.session
            .copy(
                "archive.event (id, kind, run, slot, generation, blockhash, parent_slot, parent_blockhash, block_time, \
                 accounts, whole, digest, filter_hash, detail)",
                std::mem::take(&mut plan.events),
            )
            .await?;
        self.session
            .copy(ARCHIVED, std::mem::take(&mut plan.accounts))
            .await?;
        for (number, slot, accounts) in std::mem::take(&mut plan.bases) {
            self.archive_base((number, slot), &accounts).await?;
        }
        self.session
            .copy(
                "archive.transactions (event, slot, body)",
                std::mem::take(&mut plan.transactions),
            )
            .await?;
        if let Some(genesis) = plan.genesis {
            self.session
                .execute(
                    "INSERT INTO pipeline.chain (genesis_hash) VALUES ($1) ON CONFLICT DO NOTHING",
                    &[&&genesis[..]],
                )
                .await?;
        }
        Ok(())
    }

    async fn position(&mut self, producer: &str, to: Reached) -> Result<(), IndexerError> {
        let (r, a) = (to.resume, to.applied);
        let values = (
            (
                r.run.to_vec(),
                r.segment as i64,
                r.offset as i64,
                r.seq as i64,
            ),
            (
                a.run.to_vec(),
                a.segment as i64,
                a.offset as i64,
                a.seq as i64,
            ),
        );
        let ((rr, rs, ro, rq), (ar, az, ao, aq)) = &values;
        let moved = match self.state.positions.get(producer) {
            None => {
                self.session
                    .execute(
                        "INSERT INTO pipeline.position (producer, resume_run, resume_segment, resume_offset, resume_seq,
                             applied_run, applied_segment, applied_offset, applied_seq)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
                        &[&producer, rr, rs, ro, rq, ar, az, ao, aq],
                    )
                    .await?
            }
            Some(Reached { applied: from, .. }) => {
                let (from_run, from_segment, from_offset) = (from.run.to_vec(), from.segment as i64, from.offset as i64);
                self.session
                    .execute(
                        "UPDATE pipeline.position SET resume_run = $2, resume_segment = $3, resume_offset = $4, resume_seq = $5,
                             applied_run = $6, applied_segment = $7, applied_offset = $8, applied_seq = $9, updated_at = now()
                         WHERE producer = $1 AND partition = 0
                           AND applied_run = $10 AND applied_segment = $11 AND applied_offset = $12",
                        &[&producer, rr, rs, ro, rq, ar, az, ao, aq, &from_run, &from_segment, &from_offset],
                    )
                    .await?
            }
        };
        if moved == 1 {
            Ok(())
        } else {
            Err(IndexerError::PositionMoved {
                reader: producer.to_owned(),
            })
        }
    }

    /// How many alarms of each kind are open.
    pub async fn open_alarms(&mut self) -> Result<Vec<(String, i64)>, IndexerError> {
        let rows = self
            .session
            .query(
                "SELECT kind, count(*) FROM pipeline.alarm WHERE cleared_at IS NULL GROUP BY kind",
                &[],
            )
            .await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Checks that the lease is still ours, and says that there is nothing to write.
    pub async fn renew(&mut self) -> Result<(), IndexerError> {
        match self.mode {
            Mode::Live { epoch } => self.fence(epoch).await,
            Mode::Rebuild => Ok(()),
        }
    }
}

fn in_set(set: u32) -> impl Iterator<Item = Entity> {
    Entity::ALL
        .iter()
        .copied()
        .filter(move |e| set & e.bit() != 0)
}
