//! The indexer process: takes the lease, lets the pump run, and starts over from the database's positions whenever something
//! outside fails.

use std::time::{Duration, Instant};

use mythic_kafka::Topic;
use mythic_support::{Backoff, Throttle, life};
use tokio_util::sync::CancellationToken;

use crate::config::{IndexerConfig, SourceKind};
use crate::db::Session;
use crate::error::IndexerError;
use crate::kafka::Places;
use crate::lease::{self, Keeper};
use crate::migrate::migrate;
use crate::pump::Pump;
use crate::relay::Relay;
use crate::rpc::Tasks;
use crate::state;
use crate::telemetry::Telemetry;
use crate::upkeep::{Bounds, Upkeep};
use crate::writer::{Mode, Writer};

/// The same trouble is logged once in this time.
const WARNINGS: Duration = Duration::from_secs(10);
/// Pause between tries, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a lease held by someone else is looked at.
const LEASE_POLL: Duration = Duration::from_millis(250);
/// A transaction has several statements, each of which the server ends after 10 minutes: an indexer that is silent for longer hangs.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Runs the indexer until `stop`. Migrates the database first. Waits out whatever passes: Postgres that
/// restarts, a spool that does not exist yet, another indexer that holds the lease.
///
/// # Errors
/// What no waiting mends: a spool that is open to others, a database of another chain, a broken invariant.
pub async fn run(config: IndexerConfig, stop: CancellationToken) -> Result<(), IndexerError> {
    config.validate().map_err(IndexerError::Config)?;
    let traces = mythic_trace::start("mythic-indexer", &config.traces)
        .map_err(|e| IndexerError::Config(e.to_string()))?;
    let ended = sessions(config, stop).await;
    traces.stop().await;
    ended
}

async fn sessions(config: IndexerConfig, stop: CancellationToken) -> Result<(), IndexerError> {
    let telemetry = Telemetry::new().map_err(|e| IndexerError::Broken(e.to_string()))?;
    if let Some(addr) = config.metrics_addr {
        // Two networks on one machine share the default: what is indexed matters more than who can look at it.
        match telemetry.serve(addr, stop.clone()).await {
            Ok(bound) => tracing::info!(%bound, "serving metrics and health"),
            Err(error) => tracing::warn!("no metrics: {error}"),
        }
    }
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    let warnings = Throttle::new(WARNINGS);
    let pulse = life::Pulse::new("indexing", LONGEST);
    let mut rival = lease::Rival::default();
    loop {
        pulse.beat();
        let began = Instant::now();
        let error = match session(&config, &telemetry, &pulse, &mut rival, &stop).await {
            Ok(()) => return Ok(()),
            Err(e) if e.is_fatal() => {
                telemetry.failed(&e);
                tracing::error!(state = e.trouble().as_str(), "indexer stops: {e}");
                return Err(e);
            }
            Err(e) => e,
        };
        telemetry.failed(&error);
        telemetry.restarts.inc();
        if began.elapsed() > PAUSE.1 {
            backoff.reset();
        }
        if let Some(more) = warnings.allow() {
            let state = error.trouble().as_str();
            tracing::warn!(state, more, "indexer starts over: {error}");
        }
        if !backoff.wait(&stop).await {
            return Ok(());
        }
    }
}

async fn session(
    config: &IndexerConfig,
    telemetry: &Telemetry,
    pulse: &life::Pulse,
    rival: &mut lease::Rival,
    stop: &CancellationToken,
) -> Result<(), IndexerError> {
    migrate(&config.database_url).await?;
    let mut session = Session::open(&config.database_url, "mythic indexer").await?;
    let ttl = Duration::from_secs(config.lease_ttl_s);
    let lease = loop {
        match lease::acquire(&mut session, ttl, rival).await {
            Ok(lease) => break lease,
            // One that stands by is up: it takes over when the other dies.
            Err(e @ IndexerError::LeaseHeld { .. }) => {
                telemetry.failed(&e);
                pulse.beat();
                life::ready();
            }
            Err(e) => return Err(e),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LEASE_POLL) => {}
        }
    };
    let _keeper = Keeper::spawn(
        config.database_url.clone(),
        lease.epoch,
        ttl,
        telemetry.clone(),
    );
    let bounds = Bounds::of(config);
    let _upkeep = Upkeep::spawn(config.database_url.clone(), lease.epoch, bounds);
    let relayed = config.kafka.clone().filter(|_| config.relay_feed);
    let _relay = relayed.map(|kafka| {
        let url = config.database_url.clone();
        Relay::spawn(kafka, url, lease.epoch, telemetry.clone())
    });
    let mode = Mode::Live { epoch: lease.epoch };
    let mut writer = Writer::open(session, &lease.schema, mode).await?;
    writer.files = Some(config.archive_dir.clone());
    tracing::info!(schema = lease.schema, epoch = lease.epoch, positions = ?writer.state().positions, "indexing");
    let tracked = match config.source {
        SourceKind::Rpc => state::alive::followed(&mut writer.session, &lease.schema).await?,
        SourceKind::Spool | SourceKind::Kafka => None,
    };
    let places = match (config.source, &config.kafka) {
        (SourceKind::Kafka, Some(kafka)) => {
            writer.follow_topic(kafka.topic(Topic::Updates)).await?
        }
        _ => Places::default(),
    };
    let at = (writer.state(), lease.schema.as_str());
    let (_tasks, fed) = Tasks::start(config, telemetry, at, tracked)?;
    telemetry.working();
    life::ready();
    Pump::new(config, telemetry, (writer, places), fed)
        .await?
        .run(pulse, stop)
        .await
}
