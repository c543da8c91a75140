//! Containers that tenants lease.
//!
//! - [`config`]: what is offered; [`needs`]: what the machine must have for it
//! - [`image`], [`unpack`]: images by their digests; [`environment`]: values that specs only commit to
//! - [`runtime`]: what runs containers; [`runc`], [`docker`]: two that do, with [`bundle`], [`seccomp`], [`disk`], [`net`], [`forward`], [`executed`], [`inside`], [`fetched`], [`pty`], [`logs`], [`life`]
//! - [`fleet`]: the containers of leases; [`ports`], [`ssh`]: ways into them; [`strays`]: those that no lease has

pub mod bundle;
mod command;
pub mod config;
pub mod disk;
pub mod docker;
pub mod environment;
mod executed;
mod fetched;
pub mod fleet;
mod forward;
pub mod image;
mod inside;
mod life;
pub mod logs;
pub mod needs;
pub mod net;
pub mod ports;
mod pty;
pub mod runc;
pub mod runtime;
pub mod seccomp;
pub mod ssh;
pub mod strays;
pub mod unpack;
