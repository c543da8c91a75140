//! One transaction per batch: fence, archive, projection, overlays, feed, position, or nothing.

use std::collections::{BTreeSet, HashMap};

use crate::copy::CopyBuffer;
use crate::db::Session;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::feed::{FeedRow, Op};
use crate::holder::Input;
use crate::plan::{EPOCH_SLOTS, Plan, Reached, Refusals, State, plan};
use crate::sql;
use crate::state;

/// An input and how far the log is read once it is applied.
#[derive(Clone, Debug)]
pub struct Step {
    pub input: Input,
    /// None where more inputs of the same envelope follow.
    pub reached: Option<Reached>,
}

/// What a writer writes beside the projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Archive, feed and position too, under the lease of this epoch.
    Live { reader: String, epoch: i64 },
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

/// The one writer of a projection.
#[derive(Debug)]
pub struct Writer {
    pub session: Session,
    schema: String,
    mode: Mode,
    state: State,
    refusals: Refusals,
    epochs: BTreeSet<i64>,
}

impl Writer {
    /// Takes up where the database is.
    pub async fn open(
        mut session: Session,
        schema: &str,
        mode: Mode,
    ) -> Result<Self, IndexerError> {
        let reader = match &mode {
            Mode::Live { reader, .. } => reader.clone(),
            Mode::Rebuild => String::new(),
        };
        let state = state::restore(&mut session, schema, &reader).await?;
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
        Ok(Self {
            session,
            schema: schema.to_owned(),
            mode,
            state,
            refusals,
            epochs: BTreeSet::new(),
        })
    }

    pub fn state(&self) -> &State {
        &self.state
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
            let plan = plan(&self.state, rest, &self.refusals);
            let used = plan.used;
            self.commit(plan, None).await?;
            rest = &rest[used..];
        }
        Ok(())
    }

    async fn transact(
        &mut self,
        inputs: &[(i64, Input)],
        steps: &[Step],
    ) -> Result<(usize, Committed), IndexerError> {
        let plan = plan(&self.state, inputs, &self.refusals);
        let used = plan.used;
        let reached = steps[..used].iter().rev().find_map(|step| step.reached);
        Ok((used, self.commit(plan, reached).await?))
    }

    async fn commit(
        &mut self,
        mut plan: Plan,
        reached: Option<Reached>,
    ) -> Result<Committed, IndexerError> {
        let result = self.write(&mut plan, reached).await;
        match result {
            Ok(()) => {
                let done = Committed {
                    updates: plan.updates,
                    banks: plan.banks,
                    feed_rows: plan.feed.len(),
                    dead_letters: plan.dead.len(),
                };
                self.state = plan.state;
                self.state.position = reached.or(self.state.position);
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
        reached: Option<Reached>,
    ) -> Result<(), IndexerError> {
        self.session.batch("BEGIN").await?;
        let mode = self.mode.clone();
        let live = if let Mode::Live { epoch, .. } = &mode {
            self.fence(*epoch).await?;
            self.archive(plan).await?;
            true
        } else {
            false
        };
        self.project(plan).await?;
        if plan.base.is_some() {
            self.base(plan, live).await?;
        }
        self.heads(plan).await?;
        if let Mode::Live { reader, .. } = &mode {
            self.problems(plan).await?;
            self.feed(plan).await?;
            if let Some(reached) = reached {
                self.position(reader, reached).await?;
            }
        }
        self.session.batch("COMMIT").await
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
        for epoch in plan.epochs.difference(&self.epochs.clone()) {
            let (from, to) = (epoch * EPOCH_SLOTS, (epoch + 1) * EPOCH_SLOTS);
            self.session
                .batch(&format!(
                    "CREATE TABLE IF NOT EXISTS archive.account_{epoch} PARTITION OF archive.account FOR VALUES FROM ({from}) TO ({to})"
                ))
                .await?;
        }
        self.session
            .copy(
                "archive.event (id, kind, run, slot, generation, blockhash, parent_slot, parent_blockhash, block_time, \
                 accounts, whole, digest, filter_hash, detail)",
                std::mem::take(&mut plan.events),
            )
            .await?;
        self.session
            .copy(
                "archive.account (slot, bank, ordinal, write_version, account_slot, pubkey, owner, lamports, signature, data)",
                std::mem::take(&mut plan.accounts),
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

    async fn project(&mut self, plan: &mut Plan) -> Result<(), IndexerError> {
        let schema = self.schema.clone();
        let slots = format!(
            "{schema}.slot (bank, slot, last_slot, blockhash, parent_slot, parent_blockhash, block_time, status, \
             on_processed, replaced, accounts, entities, whole, healed)"
        );
        self.session
            .copy(&slots, std::mem::take(&mut plan.slots))
            .await?;
        if !plan.marks.is_empty() {
            let numbers: Vec<i64> = plan.marks.iter().map(|(n, _)| *n).collect();
            let status: Vec<i16> = plan.marks.iter().map(|(_, m)| m.status).collect();
            let on_processed: Vec<bool> = plan.marks.iter().map(|(_, m)| m.on_processed).collect();
            let replaced: Vec<bool> = plan.marks.iter().map(|(_, m)| m.replaced).collect();
            let sql = format!(
                "UPDATE {schema}.slot s SET status = u.status, on_processed = u.on_processed, replaced = u.replaced
                 FROM unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::boolean[]) u(bank, status, on_processed, replaced)
                 WHERE s.bank = u.bank"
            );
            self.session
                .execute(&sql, &[&numbers, &status, &on_processed, &replaced])
                .await?;
        }
        for (entity, rows) in std::mem::take(&mut plan.hot) {
            self.session.copy(&sql::hot(&schema, entity), rows).await?;
        }
        for entity in in_set(plan.rooted_entities) {
            self.session
                .execute(&sql::root(&schema, entity), &[&plan.rooted])
                .await?;
        }
        for (chain, change) in (1i16..).zip(&plan.chains) {
            for entity in in_set(change.entities) {
                if !change.gone.is_empty() {
                    self.session
                        .execute(&sql::uncover(&schema, entity), &[&chain, &change.gone])
                        .await?;
                }
                if change.switched {
                    let touched: Vec<i64> =
                        change.gone.iter().chain(&change.joined).copied().collect();
                    self.session
                        .execute(
                            &sql::cover(&schema, entity, true),
                            &[&chain, &change.now, &touched],
                        )
                        .await?;
                } else if !change.joined.is_empty() {
                    self.session
                        .execute(
                            &sql::cover(&schema, entity, false),
                            &[&chain, &change.joined],
                        )
                        .await?;
                }
            }
        }
        let ended: Vec<i64> = plan.rooted.iter().chain(&plan.orphaned).copied().collect();
        for entity in in_set(plan.ended_entities) {
            self.session
                .execute(&sql::forget(&schema, entity), &[&ended])
                .await?;
        }
        for (first, top) in &plan.gap_tops {
            let (slot, hash) = (top.map(|t| t.slot as i64), top.map(|t| t.hash.to_vec()));
            let sql = format!(
                "UPDATE {schema}.slot SET parent_slot = $2, parent_blockhash = $3, healed = healed OR $3 IS NULL
                 WHERE status = 6 AND slot = $1"
            );
            self.session.execute(&sql, &[first, &slot, &hash]).await?;
        }
        Ok(())
    }

    /// Brings the final tables to a base whose slot our root has reached.
    async fn base(&mut self, plan: &mut Plan, live: bool) -> Result<(), IndexerError> {
        let Some(work) = plan.base.take() else {
            return Ok(());
        };
        let schema = self.schema.clone();
        self.session
            .batch("CREATE TEMP TABLE IF NOT EXISTS base_account (pubkey bytea PRIMARY KEY) ON COMMIT DELETE ROWS")
            .await?;
        let mut present = CopyBuffer::default();
        for key in &work.present {
            present.row(1).bytes(key);
        }
        self.session
            .copy("pg_temp.base_account (pubkey)", present)
            .await?;
        let mut changed: BTreeSet<Vec<u8>> = BTreeSet::new();
        for entity in in_set(work.entities).filter(|e| *e != Entity::ValidatorStake) {
            for row in self
                .session
                .query(&sql::base(&schema, entity), &[&work.number])
                .await?
            {
                changed.insert(row.get(0));
            }
        }
        if work.entities & Entity::ValidatorStake.bit() != 0 {
            let columns = sql::columns(Entity::ValidatorStake);
            let keys: Vec<&Vec<u8>> = changed.iter().collect();
            let sql = format!(
                "INSERT INTO {schema}.validator_stake ({columns})
                 SELECT {columns} FROM {schema}.validator_stake_hot WHERE bank = $1 AND pubkey = ANY($2) ON CONFLICT DO NOTHING"
            );
            self.session.execute(&sql, &[&work.number, &keys]).await?;
        }
        self.session
            .query(&sql::base_closures(&schema), &[&work.number, &work.slot])
            .await?;
        for entity in in_set(work.entities) {
            self.session
                .execute(&sql::forget(&schema, entity), &[&vec![work.number]])
                .await?;
        }
        let sql = format!(
            "UPDATE {schema}.slot SET healed = true
             WHERE NOT healed AND last_slot <= $1 AND (status = 6 OR (status = 3 AND NOT whole))"
        );
        self.session.execute(&sql, &[&work.slot]).await?;
        if live {
            for add in work.adds {
                if changed.contains(&add.entity[..]) {
                    let seq = plan.number_feed();
                    plan.feed.push(FeedRow {
                        seq,
                        topic: add.topic,
                        op: Op::Finalize,
                        entity: Some(add.entity),
                        slot: work.slot,
                        blockhash: None,
                        payload: Some(add.payload),
                    });
                }
            }
        }
        Ok(())
    }

    async fn heads(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let schema = &self.schema;
        let tree = &plan.state.tree;
        let (processed_bank, processed_slot) = plan.processed_head();
        let confirmed_slot = tree.confirmed_slot().map(|s| s as i64);
        let finalized_slot = tree.root().map(|r| r.slot as i64);
        let root_hash = tree.root().and_then(|r| r.hash).map(|h| h.to_vec());
        let base = tree.base();
        let base_event = base.map(|b| b.number);
        let base_slot = base.map(|b| b.slot as i64);
        let as_of = base.and_then(|b| b.as_of);
        let inexact = match plan.exactness_changed {
            false => String::new(),
            true => format!(
                ", inexact_through = COALESCE((SELECT max(last_slot) FROM {schema}.slot
                   WHERE NOT healed AND (status = 6 OR (status = 3 AND NOT whole))), -1)"
            ),
        };
        let sql = format!(
            "UPDATE {schema}.head SET processed_bank = $1, processed_slot = $2, confirmed_slot = $3, finalized_slot = $4,
             root_hash = $5, run_fresh = $6, base_event = $7, base_slot = $8, base_as_of_slot = $9, base_as_of_hash = $10,
             last_event = $11{inexact}"
        );
        let last_event = plan.state.next_event - 1;
        let as_of_slot = as_of.map(|b| b.slot as i64);
        let as_of_hash = as_of.map(|b| b.hash.to_vec());
        let run_fresh = tree.run_fresh();
        self.session
            .execute(
                &sql,
                &[
                    &processed_bank,
                    &processed_slot,
                    &confirmed_slot,
                    &finalized_slot,
                    &root_hash,
                    &run_fresh,
                    &base_event,
                    &base_slot,
                    &as_of_slot,
                    &as_of_hash,
                    &last_event,
                ],
            )
            .await?;
        Ok(())
    }

    async fn problems(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let mut dead = CopyBuffer::default();
        for letter in &plan.dead {
            dead.row(5)
                .i64(letter.bank)
                .i64(letter.slot)
                .i32(letter.refused.ordinal)
                .bytes(&letter.refused.pubkey)
                .bytes(letter.refused.reason.to_string().as_bytes());
        }
        self.session
            .copy(
                "pipeline.dead_letter (bank, slot, ordinal, pubkey, reason)",
                dead,
            )
            .await?;
        for (key, (slot, reason)) in &plan.quarantined {
            self.session
                .execute(
                    "INSERT INTO pipeline.quarantine (pubkey, slot, reason) VALUES ($1, $2, $3)
                     ON CONFLICT (pubkey) DO UPDATE SET slot = EXCLUDED.slot, reason = EXCLUDED.reason, at = now()",
                    &[&&key[..], slot, reason],
                )
                .await?;
        }
        if !plan.released.is_empty() {
            let keys: Vec<&[u8]> = plan.released.iter().map(|k| &k[..]).collect();
            self.session
                .execute(
                    "DELETE FROM pipeline.quarantine WHERE pubkey = ANY($1)",
                    &[&keys],
                )
                .await?;
        }
        for (kind, slot, detail) in &plan.alarms {
            tracing::warn!(kind, slot, "{detail}");
            self.session
                .execute(
                    "INSERT INTO pipeline.alarm (kind, slot, detail) VALUES ($1, $2, $3)",
                    &[kind, slot, detail],
                )
                .await?;
        }
        Ok(())
    }

    async fn feed(&mut self, plan: &mut Plan) -> Result<(), IndexerError> {
        self.session
            .copy(
                "feed.bank_topic (bank, topic, slot, blockhash, first_seq, last_seq, count)",
                std::mem::take(&mut plan.bank_topics),
            )
            .await?;
        let (before, after) = (self.state.next_feed, plan.state.next_feed);
        if before == after {
            return Ok(());
        }
        // Locks the row, so that readers meet numbers in commit order.
        let moved = self
            .session
            .execute(
                "UPDATE feed.counter SET next = $2 WHERE next = $1",
                &[&before, &after],
            )
            .await?;
        if moved != 1 {
            return Err(IndexerError::Broken(format!(
                "the feed counter is not {before}"
            )));
        }
        let mut rows = CopyBuffer::default();
        for row in &plan.feed {
            rows.row(8)
                .i64(row.seq)
                .bytes(row.topic.as_str().as_bytes())
                .bytes(row.op.as_str().as_bytes());
            match row.entity {
                Some(key) => rows.bytes(bs58::encode(key).into_string().as_bytes()),
                None => rows.null(),
            };
            let blockhash = row
                .blockhash
                .map(|h| bs58::encode(h).into_string())
                .unwrap_or_default();
            rows.i64(row.slot)
                .bytes(blockhash.as_bytes())
                .bytes(row.op.commitment().as_bytes());
            match &row.payload {
                Some(payload) => rows.json(&payload.to_string()),
                None => rows.null(),
            };
        }
        self.session
            .copy(
                "feed.event (seq, topic, op, entity, slot, blockhash, commitment, payload)",
                rows,
            )
            .await?;
        self.session
            .query(
                "SELECT pg_notify('mythic_feed', $1::text)",
                &[&(after - 1).to_string()],
            )
            .await?;
        Ok(())
    }

    async fn position(&mut self, reader: &str, to: Reached) -> Result<(), IndexerError> {
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
        let moved = match self.state.position {
            None => {
                self.session
                    .execute(
                        "INSERT INTO pipeline.position (producer, resume_run, resume_segment, resume_offset, resume_seq,
                             applied_run, applied_segment, applied_offset, applied_seq)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
                        &[&reader, rr, rs, ro, rq, ar, az, ao, aq],
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
                        &[&reader, rr, rs, ro, rq, ar, az, ao, aq, &from_run, &from_segment, &from_offset],
                    )
                    .await?
            }
        };
        if moved == 1 {
            Ok(())
        } else {
            Err(IndexerError::PositionMoved {
                reader: reader.to_owned(),
            })
        }
    }

    /// Finds which updates of a bank the database refuses, by halves, and remembers them for the next try.
    async fn find_refused(
        &mut self,
        inputs: &[(i64, Input)],
        cause: &IndexerError,
    ) -> Result<(), IndexerError> {
        let Some((number, Input::Bank(bank))) = inputs.first() else {
            return Err(IndexerError::Broken(format!(
                "the database refuses an event without content: {cause}"
            )));
        };
        let known = self.refusals.get(number).cloned().unwrap_or_default();
        let all: Vec<i32> = (0..bank.accounts.len() as i32)
            .filter(|o| !known.contains_key(o))
            .collect();
        let mut found: Vec<(i32, String)> = Vec::new();
        let mut suspects = vec![all.clone()];
        while let Some(set) = suspects.pop() {
            let chosen: BTreeSet<i32> = set.iter().copied().collect();
            let mut skip = known.clone();
            skip.extend(
                all.iter()
                    .filter(|o| !chosen.contains(o))
                    .map(|o| (*o, String::new())),
            );
            let changes = crate::projection::project_bank(bank.id.slot, &bank.accounts, &skip);
            let mut rows: std::collections::BTreeMap<Entity, CopyBuffer> = Default::default();
            for row in &changes.rows {
                rows.entry(row.entity).or_default().entity_row(*number, row);
            }
            self.session.batch("BEGIN").await?;
            let mut outcome = Ok(());
            for (entity, rows) in rows {
                outcome = self
                    .session
                    .copy(&sql::hot(&self.schema, entity), rows)
                    .await
                    .map(|_| ());
                if outcome.is_err() {
                    break;
                }
            }
            self.session.rollback().await;
            match outcome {
                Ok(()) => {}
                Err(e) if !e.is_data() => return Err(e),
                Err(e) => match set.as_slice() {
                    [one] => found.push((*one, e.to_string())),
                    _ => {
                        let (left, right) = set.split_at(set.len() / 2);
                        suspects.push(left.to_vec());
                        suspects.push(right.to_vec());
                    }
                },
            }
        }
        if found.is_empty() {
            return Err(IndexerError::Broken(format!(
                "the database refuses bank {number}, but no update of it alone: {cause}"
            )));
        }
        for (ordinal, reason) in found {
            tracing::error!(
                bank = number,
                slot = bank.id.slot,
                ordinal,
                "account update goes to dead letters: {reason}"
            );
            self.refusals
                .entry(*number)
                .or_default()
                .insert(ordinal, reason);
        }
        Ok(())
    }

    /// Says that this writer lives, when there is nothing to write.
    pub async fn renew(&mut self) -> Result<(), IndexerError> {
        match self.mode {
            Mode::Live { epoch, .. } => self.fence(epoch).await,
            Mode::Rebuild => Ok(()),
        }
    }

    /// Removes feed events older than the retention, a bounded number at a time.
    pub async fn trim_feed(&mut self, hours: u32) -> Result<u64, IndexerError> {
        let rows = self
            .session
            .query(
                "WITH old AS (SELECT seq FROM feed.event WHERE at < now() - make_interval(hours => $1) ORDER BY seq LIMIT 10000),
                 gone AS (DELETE FROM feed.event e USING old WHERE e.seq = old.seq RETURNING e.seq),
                 spans AS (DELETE FROM feed.bank_topic WHERE last_seq <= (SELECT max(seq) FROM gone)
                           AND NOT bank = ANY($2) RETURNING 1),
                 moved AS (UPDATE feed.counter SET oldest = (SELECT max(seq) + 1 FROM gone) WHERE EXISTS (SELECT FROM gone) RETURNING 1)
                 SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM spans), (SELECT count(*) FROM moved)",
                &[&(hours as i32), &self.state.banks.keys().copied().collect::<Vec<i64>>()],
            )
            .await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0) as u64))
    }
}

fn in_set(set: u32) -> impl Iterator<Item = Entity> {
    Entity::ALL
        .iter()
        .copied()
        .filter(move |e| set & e.bit() != 0)
}
