//! The one HTTP server and the one HTTP client set-up of all processes. Knows nothing of jobs, models or money.
//!
//! [`serve`] bounds everything that a stranger controls on a connection ([`Limits`]); [`guard`] keeps a development network away
//! from web pages; [`client`] makes clients that never send loopback traffic through a proxy; [`refusal`] is the shape of
//! every error that comes from HTTP itself; [`metrics`] is the small server beside a process without an API of its own.

#![forbid(unsafe_code)]

mod body;
pub mod client;
mod connection;
pub mod guard;
mod io;
mod limits;
pub mod metrics;
mod places;
pub mod refusal;
mod request_id;
mod server;
mod trace;

pub use body::BodyTimeout;
pub use limits::Limits;
pub use request_id::RequestId;
pub use server::serve;
pub use trace::Trace;
