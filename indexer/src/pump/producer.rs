//! One producer's log as the pump has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mythic_stream::spool::Position;
use mythic_support::{Backoff, Throttle};
use tokio::sync::mpsc;

use crate::config::{IndexerConfig, SpoolConfig};
use crate::error::IndexerError;
use crate::holder::Holder;
use crate::plan::Reached;
use crate::source::{Chunk, Source};
use crate::telemetry::Telemetry;

/// The same trouble of a log is logged once in this time.
const WARNINGS: Duration = Duration::from_secs(10);
/// Pause before a spool is opened again, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A number among all logs, and where its chunks go.
type Desk<'a> = (usize, &'a mpsc::Sender<Chunk>);

/// A producer whose log is read.
pub(super) struct Producer {
    pub name: Arc<str>,
    pub holder: Holder,
    /// What is to be read next.
    pub next: Option<Position>,
    /// Its spool; none of a producer that writes to Kafka.
    spool: Option<(SpoolConfig, Source)>,
    /// Envelopes before its applied position are read again only to fill the holder.
    replay_to: Option<Reached>,
    backoff: Backoff,
    warnings: Throttle,
    heard: Instant,
}

/// A producer of which nothing is read for this long is silent.
const SILENCE: Duration = Duration::from_secs(600);

impl Producer {
    /// One whose log is applied up to `at`.
    pub fn new(config: &IndexerConfig, name: &str, at: Option<Reached>) -> Self {
        Self {
            name: name.into(),
            holder: Holder::new(config.max_held_bytes, &config.spill_dir()),
            next: at.map(|at| at.resume),
            spool: None,
            replay_to: at,
            backoff: Backoff::new(PAUSE.0, PAUSE.1),
            warnings: Throttle::new(WARNINGS),
            heard: Instant::now(),
        }
    }

    /// Starts reading a spool.
    pub fn read_spool(
        &mut self,
        config: &IndexerConfig,
        spool: SpoolConfig,
        desk: Desk<'_>,
    ) -> Result<(), IndexerError> {
        let source = self.open(config, &spool, Duration::ZERO, desk)?;
        self.spool = Some((spool, source));
        Ok(())
    }

    /// Opens its spool again after a pause.
    pub fn read_again(
        &mut self,
        config: &IndexerConfig,
        desk: Desk<'_>,
    ) -> Result<(), IndexerError> {
        if let Some((spool, _)) = self.spool.take() {
            let pause = self.backoff.pause();
            let source = self.open(config, &spool, pause, desk)?;
            self.spool = Some((spool, source));
        }
        Ok(())
    }

    fn open(
        &self,
        config: &IndexerConfig,
        spool: &SpoolConfig,
        pause: Duration,
        (number, chunks): Desk<'_>,
    ) -> Result<Source, IndexerError> {
        let reader = spool.reader(config, self.next);
        Source::spawn(reader, pause, number, chunks.clone())
            .map_err(|e| IndexerError::Broken(format!("starting a thread: {e}")))
    }

    /// Its log goes on at `oldest`; nothing is held of what was before.
    pub fn start_over(
        &mut self,
        config: &IndexerConfig,
        applied: Option<Reached>,
        oldest: Option<Position>,
    ) {
        self.holder = Holder::new(config.max_held_bytes, &config.spill_dir());
        // Another spool than before: its positions say nothing about what was applied.
        let is_other = |p: &Reached| oldest.is_none_or(|o| p.applied.run != o.run && o < p.applied);
        self.replay_to = applied.filter(|p| !is_other(p));
        self.next = oldest;
    }

    /// It can be read, and something came.
    pub fn reads(&mut self, something: bool) {
        if something {
            self.backoff.reset();
            self.heard = Instant::now();
        }
    }

    /// Nothing was read of it for long.
    pub fn is_silent(&self) -> bool {
        self.heard.elapsed() > SILENCE
    }

    /// It can't be read.
    pub fn trouble(&self, error: &IndexerError, telemetry: &Telemetry) {
        telemetry.producer(&self.name, Some(error));
        if let Some(more) = self.warnings.allow() {
            let state = error.trouble().as_str();
            tracing::warn!(producer = &*self.name, state, more, "{error}");
        }
    }

    /// What is there was applied before.
    pub fn is_replayed(&self, at: Position) -> bool {
        self.replay_to.is_some_and(|p| at < p.applied)
    }

    /// Everything before `position` is committed.
    pub fn ack(&self, position: Position) {
        if let Some((_, source)) = &self.spool {
            source.ack(position);
        }
    }
}
