//! What a transaction tells others: dead letters and alarms to the operator, the feed to subscribers.

use super::Writer;
use crate::alarms;
use crate::error::IndexerError;
use crate::feed::{FeedRow, Of};
use crate::plan::{Plan, Watch};
use mythic_postgres::CopyBuffer;

impl Writer {
    pub(super) async fn problems(
        &mut self,
        plan: &mut Plan,
        base: Option<i64>,
    ) -> Result<(), IndexerError> {
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
        for alarm in &plan.alarms {
            let kind = alarm.kind.as_str();
            tracing::warn!(kind, slot = alarm.slot, "{}", alarm.detail);
            self.session
                .execute(
                    alarms::RAISE,
                    &[
                        &kind,
                        &alarm.slot,
                        &alarm.last_slot,
                        &alarm.count,
                        &alarm.banks,
                        &alarm.clears_itself,
                        &alarm.detail,
                    ],
                )
                .await?;
        }
        if plan.heals {
            let sql = alarms::clear_healed(&self.schema);
            for row in self.session.query(&sql, &[&base]).await? {
                let (id, kind, reason): (i64, &str, &str) = (row.get(0), row.get(1), row.get(2));
                tracing::info!(id, kind, "alarm cleared: {reason}");
            }
            let root = plan.state.tree.root();
            let root = root.and_then(|root| i64::try_from(root.slot).ok());
            plan.watch = Some(self.watched(root.unwrap_or(-1)).await?);
        }
        Ok(())
    }

    /// The open alarms that heal by themselves. Those up to slot `judged` were looked at.
    pub(super) async fn watched(&mut self, judged: i64) -> Result<Watch, IndexerError> {
        let rows = self.session.query(alarms::WATCHED, &[&judged]).await?;
        Ok(rows.first().map_or_else(Watch::default, |row| Watch {
            lowest: row.get(0),
            next: row.get(1),
        }))
    }

    pub(super) async fn feed(&mut self, plan: &mut Plan) -> Result<(), IndexerError> {
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
        self.feed_rows(&std::mem::take(&mut plan.feed)).await?;
        self.session
            .query(
                "SELECT pg_notify('mythic_feed', $1::text)",
                &[&(after - 1).to_string()],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn feed_rows(&mut self, feed: &[FeedRow]) -> Result<(), IndexerError> {
        let mut rows = CopyBuffer::default();
        for row in feed {
            rows.row(11)
                .i64(row.seq)
                .bytes(row.topic.as_str().as_bytes())
                .bytes(row.op.as_str().as_bytes())
                .i64(row.slot)
                .opt_bytes(row.blockhash.as_ref().map(|hash| &hash[..]));
            match row.of {
                Of::Update {
                    bank,
                    slot,
                    ordinal,
                } => {
                    let rows = rows.i64(bank).i64(slot).i32(ordinal);
                    rows.null().null().null()
                }
                Of::Span { bank, span } => {
                    let rows = rows.i64(bank).null().null();
                    rows.i64(span.first_seq).i64(span.last_seq).i32(span.count)
                }
            };
        }
        self.session
            .copy(
                "feed.entry (seq, topic, op, slot, blockhash, bank, archive_slot, ordinal, first_seq, last_seq, count)",
                rows,
            )
            .await?;
        Ok(())
    }
}
