//! A pool of connections for a server of many small requests.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};

use crate::{Manner, PostgresError, tls};

/// Connections that are taken and given back.
pub type Pool = deadpool_postgres::Pool;

/// How a pool behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Shown as `application_name`.
    pub name: String,
    /// Most connections.
    pub size: usize,
    /// Longest wait for a free connection, and for a new one.
    pub wait: Duration,
    /// The server cancels a statement after this.
    pub statement_timeout: Duration,
}

/// Prepares a pool; nothing is dialled yet.
pub fn pool(url: &str, settings: &PoolSettings) -> Result<Pool, PostgresError> {
    let (mut config, tls) = tls::parse(url)?;
    Manner::named(&settings.name)
        .statement_timeout(settings.statement_timeout)
        .apply(&mut config);
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method });
    Pool::builder(manager)
        .max_size(settings.size)
        .wait_timeout(Some(settings.wait))
        .create_timeout(Some(settings.wait))
        .recycle_timeout(Some(settings.wait))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| PostgresError::Pool(error.to_string()))
}
