//! Connections that end: every wait for a server has a limit, on both sides of the wire.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_postgres::{AsyncMessage, Client};

use crate::{PostgresError, tls};

/// Longest wait for a connection, all its steps together.
const CONNECT: Duration = Duration::from_secs(10);
/// A peer that does not acknowledge what was sent is given up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Silence after which the peer is asked whether it lives, the pause between such questions, and their number.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);
/// The server ends a session that leaves a transaction open for this long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// Settings of a session that moves many rows at once.
const BULK: &str = "-c work_mem=64MB";

/// How a connection behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    name: String,
    statement_timeout: Duration,
    idle_in_transaction: Duration,
    bulk: bool,
}

impl Manner {
    /// Shown as `application_name`. Statements may take a minute, a transaction may idle for half of one.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            statement_timeout: Duration::from_secs(60),
            idle_in_transaction: IDLE_IN_TRANSACTION,
            bulk: false,
        }
    }

    /// The server cancels a statement after `limit`; zero = never (migrations, rebuilds).
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = limit;
        self
    }

    /// The server ends a session that idles inside a transaction after `limit`; zero = never.
    pub fn idle_in_transaction(mut self, limit: Duration) -> Self {
        self.idle_in_transaction = limit;
        self
    }

    /// The session moves many rows at once: sorts have room in memory.
    pub fn bulk(mut self) -> Self {
        self.bulk = true;
        self
    }

    /// Sets a configuration up, without compilation of plans, which costs queries over wide views seconds and gains them
    /// nothing; settings of the URL's own `options` come last and so take precedence.
    pub(crate) fn apply(&self, config: &mut tokio_postgres::Config) {
        let bulk = if self.bulk { BULK } else { "" };
        let theirs = config.get_options().unwrap_or_default().to_owned();
        config
            .application_name(&self.name)
            .connect_timeout(CONNECT)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE.0)
            .keepalives_interval(KEEPALIVE.1)
            .keepalives_retries(KEEPALIVE.2)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .options(format!(
                "-c statement_timeout={} -c idle_in_transaction_session_timeout={} -c timezone=UTC \
                 -c jit=off -c client_min_messages=warning -c search_path=pg_catalog {bulk} {theirs}",
                self.statement_timeout.as_millis(),
                self.idle_in_transaction.as_millis(),
            ));
    }
}

/// Whether `url` can be used: a URL or key-value string, with files of certificates that can be read.
pub fn check_url(url: &str) -> Result<(), String> {
    tls::parse(url).map(drop).map_err(|error| {
        format!("{error}: allowed is a URL like postgresql://user@host/db?sslmode=verify-full")
    })
}

/// Ends the connection's task when dropped, so that a dropped session is a closed one.
#[derive(Debug)]
pub struct ConnectionGuard(JoinHandle<()>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a connection with UTC times and an empty search path.
pub async fn connect(
    url: &str,
    manner: &Manner,
) -> Result<(Client, ConnectionGuard), PostgresError> {
    let (mut config, tls) = tls::parse(url)?;
    manner.apply(&mut config);
    let (client, connection) = timeout(CONNECT, config.connect(tls))
        .await
        .map_err(|_| PostgresError::NoAnswer(CONNECT))??;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("database connection ended: {error}");
        }
    });
    Ok((client, ConnectionGuard(task)))
}

/// A connection that is told when something was published on a channel.
#[derive(Debug)]
pub struct Listener {
    woken: mpsc::Receiver<()>,
    _client: Client,
    _guard: ConnectionGuard,
}

impl Listener {
    /// Waits for a notification; several that came meanwhile are one. `None` once the connection has ended.
    pub async fn woken(&mut self) -> Option<()> {
        self.woken.recv().await
    }
}

/// Listens on `channel` (a plain identifier).
pub async fn listen(url: &str, manner: &Manner, channel: &str) -> Result<Listener, PostgresError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if channel.is_empty() || !channel.chars().all(plain) {
        return Err(PostgresError::Url(format!("channel {channel:?}")));
    }
    let (mut config, tls) = tls::parse(url)?;
    manner.apply(&mut config);
    let (client, mut connection) = timeout(CONNECT, config.connect(tls))
        .await
        .map_err(|_| PostgresError::NoAnswer(CONNECT))??;
    let (wake, woken) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            match message {
                // A full channel means that a wake-up is due already.
                Ok(AsyncMessage::Notification(_)) => drop(wake.try_send(())),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!("listening connection ended: {error}");
                    break;
                }
            }
        }
    });
    let guard = ConnectionGuard(task);
    timeout(CONNECT, client.batch_execute(&format!("LISTEN {channel}")))
        .await
        .map_err(|_| PostgresError::NoAnswer(CONNECT))??;
    Ok(Listener {
        woken,
        _client: client,
        _guard: guard,
    })
}
