//! A base: the accounts that a producer started from, archived and compared with all rows part by part, so that it costs the same
//! memory however large it is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{ARCHIVED, Writer, in_set};
use crate::archive::BaseParts;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::feed::{FeedRow, Of, Op};
use crate::holder::BaseAccounts;
use crate::plan::{BaseWork, DeadLetter, Plan, archived_rows};
use crate::projection::{Account, At, Projected, Refused, Reject, project};
use crate::sql;
use mythic_interface::state::Key;
use mythic_postgres::CopyBuffer;

/// Accounts that are archived at once.
const PART: usize = 10_000;

/// What all parts of a base came to.
#[derive(Default)]
struct Came {
    entities: u32,
    refused: Vec<Refused>,
    /// Keys whose texts were written.
    fresh: Vec<Key>,
}

/// Rows of a part.
#[derive(Default)]
struct Rows {
    hot: BTreeMap<Entity, CopyBuffer>,
    present: CopyBuffer,
    keys: HashSet<Key>,
    refused: Vec<Refused>,
}

/// A base says how things are after every write of its slot.
fn at(work: BaseWork) -> At {
    At {
        slot: work.slot as u64,
        ordinal: i32::MAX,
        exact: false,
    }
}

impl Rows {
    /// Projects accounts of the base; `refusal` is why the database does not take what they say.
    fn of(work: BaseWork, part: &[(i32, Account)], refusal: Option<&str>) -> Self {
        let mut rows = Self::default();
        for (ordinal, account) in part {
            let projected = match refusal {
                Some(why) => Err(Reject::Database(why.to_owned())),
                None => project(account, at(work)),
            };
            let projected = projected.unwrap_or_else(|reason| {
                let mut unreadable = Projected::default();
                unreadable.unreadable(account, at(work), Some(reason.to_string()));
                rows.refused.push(Refused {
                    pubkey: account.pubkey,
                    ordinal: *ordinal,
                    reason,
                });
                unreadable
            });
            if projected.rows.iter().any(|r| r.entity == Entity::Closure) {
                continue;
            }
            for row in &projected.rows {
                row.write(work.number, rows.hot.entry(row.entity).or_default());
                rows.keys.extend(row.keys());
            }
            rows.present.row(1).bytes(&account.pubkey);
        }
        rows
    }
}

impl Writer {
    /// Archives a base: its number, and the slot it is archived under.
    pub(super) async fn archive_base(
        &mut self,
        base: (i64, i64),
        accounts: &BaseAccounts,
    ) -> Result<(), IndexerError> {
        let unreadable = |e: std::io::Error| {
            IndexerError::Broken(format!(
                "a base that waited in spill_dir can't be read again: {e}"
            ))
        };
        let mut from = 0;
        for part in accounts.parts(PART).map_err(unreadable)? {
            let part = part.map_err(unreadable)?;
            let mut rows = CopyBuffer::default();
            archived_rows(&mut rows, base, from, &part);
            from += part.len() as i32;
            self.session.copy(ARCHIVED, rows).await?;
        }
        Ok(())
    }

    /// Brings the final tables to a base whose slot our root has reached. Returns the keys whose texts it wrote.
    pub(super) async fn base(
        &mut self,
        plan: &mut Plan,
        live: bool,
    ) -> Result<Vec<Key>, IndexerError> {
        let Some(work) = plan.base.take() else {
            return Ok(Vec::new());
        };
        let schema = self.schema.clone();
        let came = self.base_rows(work).await?;
        let mut changed: BTreeSet<Vec<u8>> = BTreeSet::new();
        for entity in in_set(came.entities).filter(|e| *e != Entity::ValidatorStake) {
            for row in self
                .session
                .query(&sql::base(&schema, entity), &[&work.number])
                .await?
            {
                changed.insert(row.get(0));
            }
        }
        if came.entities & Entity::ValidatorStake.bit() != 0 {
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
        self.session
            .execute(&sql::base_readable(&schema), &[&work.number, &work.slot])
            .await?;
        self.history_of_base(work.number, came.entities).await?;
        for entity in in_set(came.entities) {
            self.session
                .execute(&sql::forget(&schema, entity), &[&vec![work.number]])
                .await?;
        }
        let sql = format!(
            "UPDATE {schema}.slot SET healed = true
             WHERE NOT healed AND NOT whole AND last_slot <= $1"
        );
        self.session.execute(&sql, &[&work.slot]).await?;
        let news = came
            .refused
            .into_iter()
            .filter(|r| changed.contains(&r.pubkey[..]));
        plan.dead.extend(news.map(|refused| DeadLetter {
            bank: work.number,
            slot: work.slot,
            refused,
        }));
        if live && !changed.is_empty() {
            self.announce_base(plan, work, &changed).await?;
        }
        Ok(came.fresh)
    }

    /// Writes the hot rows of a base, and which accounts it has.
    async fn base_rows(&mut self, work: BaseWork) -> Result<Came, IndexerError> {
        self.session
            .batch("CREATE TEMP TABLE IF NOT EXISTS base_account (pubkey bytea PRIMARY KEY) ON COMMIT DELETE ROWS")
            .await?;
        let mut came = Came::default();
        let mut parts = self.base_parts(work).await?;
        loop {
            let part = parts.next(&mut self.session).await?;
            if part.is_empty() {
                return Ok(came);
            }
            let mut left = vec![&part[..]];
            while let Some(some) = left.pop() {
                match self.base_part(Rows::of(work, some, None), &mut came).await {
                    Ok(()) => {}
                    Err(e) if !e.is_data() => return Err(e),
                    Err(e) if some.len() == 1 => {
                        tracing::error!(
                            base = work.number,
                            ordinal = some[0].0,
                            "account of a base goes to dead letters: {e}"
                        );
                        let rows = Rows::of(work, some, Some(&e.to_string()));
                        self.base_part(rows, &mut came).await?;
                    }
                    Err(_) => {
                        let (first, second) = some.split_at(some.len() / 2);
                        left.extend([second, first]);
                    }
                }
            }
        }
    }

    async fn base_parts(&mut self, work: BaseWork) -> Result<BaseParts, IndexerError> {
        let files = self.files.as_deref();
        BaseParts::open(&mut self.session, files, (work.number, work.base_slot)).await
    }

    /// Writes some rows, or none if the database refuses one.
    async fn base_part(&mut self, rows: Rows, came: &mut Came) -> Result<(), IndexerError> {
        let Rows {
            hot,
            present,
            keys,
            refused,
        } = rows;
        let set = hot.keys().fold(0, |set, entity| set | entity.bit());
        self.session.batch("SAVEPOINT base_part").await?;
        let mut done = self
            .session
            .copy("pg_temp.base_account (pubkey)", present)
            .await
            .map(drop);
        for (entity, rows) in hot {
            if done.is_ok() {
                let table = sql::hot(&self.schema, entity);
                done = self.session.copy(&table, rows).await.map(drop);
            }
        }
        match done {
            Ok(()) => self.session.batch("RELEASE base_part").await?,
            Err(e) if e.is_data() => {
                self.session.batch("ROLLBACK TO base_part").await?;
                return Err(e);
            }
            Err(e) => return Err(e),
        }
        came.entities |= set;
        came.refused.extend(refused);
        came.fresh.extend(self.addresses(&keys).await?);
        Ok(())
    }

    /// Tells of the accounts that a base changed.
    async fn announce_base(
        &mut self,
        plan: &mut Plan,
        work: BaseWork,
        changed: &BTreeSet<Vec<u8>>,
    ) -> Result<(), IndexerError> {
        let mut parts = self.base_parts(work).await?;
        loop {
            let part = parts.next(&mut self.session).await?;
            if part.is_empty() {
                return Ok(());
            }
            let mut feed = Vec::new();
            for (ordinal, account) in part.iter().filter(|(_, a)| changed.contains(&a.pubkey[..])) {
                let Ok(projected) = project(account, at(work)) else {
                    continue;
                };
                for (_, add) in projected.adds {
                    feed.push(FeedRow {
                        seq: plan.number_feed(),
                        topic: add.topic,
                        op: Op::Finalize,
                        slot: work.slot,
                        blockhash: None,
                        of: Of::Update {
                            bank: work.number,
                            slot: work.base_slot,
                            ordinal: *ordinal,
                        },
                    });
                }
            }
            self.feed_rows(&feed).await?;
        }
    }
}
