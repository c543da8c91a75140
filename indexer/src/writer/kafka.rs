//! What an index that reads from Kafka writes beside all others: places in the topic, and messages that are no records.

use super::{Followed, Mode, Writer};
use crate::error::IndexerError;
use crate::kafka::{Past, Places};
use crate::source::Letter;

/// Letters that are kept.
const LETTERS: i64 = 1_000;

impl Writer {
    /// From now on places in this topic are stored. Where the topic is to be read from.
    pub async fn follow_topic(&mut self, name: String) -> Result<Places, IndexerError> {
        let offsets = self
            .session
            .query(
                "SELECT partition, next_offset FROM pipeline.kafka_position WHERE topic = $1",
                &[&name],
            )
            .await?;
        let past = self
            .session
            .query(
                "SELECT run, station, segment, next_seq FROM pipeline.kafka_past WHERE topic = $1 ORDER BY segment",
                &[&name],
            )
            .await?;
        let broken = || IndexerError::Broken("stored run is not what was written".into());
        let past = past.iter().map(|row| {
            Ok(Past {
                run: row.get::<_, &[u8]>(0).try_into().map_err(|_| broken())?,
                station: usize::try_from(row.get::<_, i32>(1)).map_err(|_| broken())?,
                segment: row.get::<_, i64>(2) as u64,
                next: row.get::<_, i64>(3) as u64,
            })
        });
        let places = Places {
            offsets: offsets.iter().map(|row| (row.get(0), row.get(1))).collect(),
            past: past.collect::<Result<_, IndexerError>>()?,
        };
        self.topic = Some(Followed {
            name,
            places: places.clone(),
        });
        Ok(places)
    }

    /// Stores from where the topic is read, within a transaction.
    pub(super) async fn places(&mut self, places: &Places) -> Result<(), IndexerError> {
        let Some(topic) = &self.topic else {
            return Ok(());
        };
        let (partitions, offsets): (Vec<i32>, Vec<i64>) = places.offsets.iter().copied().unzip();
        self.session
            .execute(
                "INSERT INTO pipeline.kafka_position (topic, partition, next_offset)
                 SELECT $1, * FROM unnest($2::integer[], $3::bigint[])
                 ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset, updated_at = now()
                 WHERE kafka_position.next_offset <> excluded.next_offset",
                &[&topic.name, &partitions, &offsets],
            )
            .await?;
        if places.past == topic.places.past {
            return Ok(());
        }
        let column = |of: fn(&Past) -> i64| places.past.iter().map(of).collect::<Vec<i64>>();
        let runs: Vec<Vec<u8>> = places.past.iter().map(|p| p.run.to_vec()).collect();
        self.session
            .execute(
                "WITH gone AS (DELETE FROM pipeline.kafka_past WHERE topic = $1 AND NOT run = ANY($2::bytea[]))
                 INSERT INTO pipeline.kafka_past (topic, run, station, segment, next_seq)
                 SELECT $1, run, station, segment, next_seq
                   FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[]) AS p (run, station, segment, next_seq)
                 ON CONFLICT (topic, run) DO UPDATE SET station = excluded.station, segment = excluded.segment, next_seq = excluded.next_seq",
                &[
                    &topic.name,
                    &runs,
                    &column(|p| p.station as i64),
                    &column(|p| p.segment as i64),
                    &column(|p| p.next as i64),
                ],
            )
            .await?;
        Ok(())
    }

    /// What was stored stands.
    pub(super) fn placed(&mut self, places: &Places) {
        if let Some(topic) = &mut self.topic {
            topic.places = places.clone();
        }
    }

    /// Keeps messages that are no records, before anything behind them is written. Once each; the newest of all.
    pub async fn letters(&mut self, letters: &[Letter]) -> Result<(), IndexerError> {
        let Mode::Live { epoch } = self.mode else {
            return Ok(());
        };
        if letters.is_empty() {
            return Ok(());
        }
        self.fence(epoch).await?;
        for letter in letters {
            self.session
                .execute(
                    "INSERT INTO pipeline.kafka_letter (topic, partition, \"offset\", reason, length, bytes)
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                    &[
                        &letter.topic,
                        &letter.partition,
                        &letter.offset,
                        &letter.reason,
                        &letter.length,
                        &letter.bytes,
                    ],
                )
                .await?;
        }
        self.session
            .execute(
                "DELETE FROM pipeline.kafka_letter WHERE (topic, partition, \"offset\") IN (
                     SELECT topic, partition, \"offset\" FROM pipeline.kafka_letter
                     ORDER BY at DESC, \"offset\" DESC OFFSET $1)",
                &[&LETTERS],
            )
            .await?;
        Ok(())
    }
}
