//! A real Kafka broker for tests: Apache Kafka 4.1.1 in KRaft mode, one node, its own data, free ports of loopback.
//!
//! The jars come through Maven, once, into the cache (43 MB). Where Maven, Java or the jars can't be had, [`Broker::start`] prints why
//! and says `None`, and the test passes; `make test` says in the end how many did so. With `MYTHIC_REQUIRE_KAFKA=1`, which it sets where
//! commits are judged, they fail.
//!
//! A broker has five listeners: [`Broker::plain`] without a login, whose user may do all; [`Broker::secure`] with TLS and a login;
//! [`Broker::expired`] likewise, with a certificate that is past its date; [`Broker::far`] for those
//! who come through a relay; and that of the controller.

mod broker;
mod jars;
mod running;
mod secrets;
mod shared;

pub use broker::{Broker, Flushed};
/// Fetches what a broker is, if it is not here yet. False: it can't be had, which was printed.
pub fn fetch() -> anyhow::Result<bool> {
    Ok(jars::had()?.is_some())
}

pub use secrets::{PASSWORD, USER, WEAK_USER};
pub use shared::shared;
