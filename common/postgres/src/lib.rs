//! Everything about PostgreSQL that is not a statement: connections ([`connect`], [`pool`], [`listen`]) with TLS and with an end
//! to every wait, migrations ([`migrate`]), rows for `COPY` ([`CopyBuffer`]), and a private server ([`cluster`]).
#![forbid(unsafe_code)]

pub mod cluster;
mod connect;
mod copy;
mod error;
mod migrate;
mod pool;
mod tls;

pub use cluster::{Cluster, ClusterConfig, ClusterError};
pub use connect::{ConnectionGuard, Listener, Manner, check_url, connect, listen};
pub use copy::CopyBuffer;
pub use error::PostgresError;
pub use migrate::{Former, Migration, Owner, migrate};
pub use pool::{Pool, PoolSettings, pool};
