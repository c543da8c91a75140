//! `mythic lease`: capacity of a provider, paid by the second, proved in epochs. Everything is read from the chain itself.

mod case;
mod close;
mod container;
mod demo;
mod dispute;
mod host;
mod image;
mod kept;
mod probe;
mod proofs;
mod read;
mod request;
mod settle;
mod show;
mod ssh;
mod top_up;
mod watch;
mod words;

pub use read::address;

use crate::context::Connection;
use anyhow::Result;
use clap::Subcommand;

/// Leases of capacity.
#[derive(Subcommand, Debug)]
#[command(
    after_help = "A tenant names a provider, pays for all seconds beforehand, and gets an engine of its own behind an OpenAI base URL \
                  and a key, or with `--image` a container of its own behind SSH. In each epoch the provider proves that the capacity is there; what is proved is paid once nobody can \
                  dispute it any more, and what is left when you close comes back. Begin with `mythic lease offers`. If something is wrong, `probe` \
                  says what, `close` ends the harm, and `dispute` costs a provider half of its stake behind a lease whose proof is false."
)]
pub enum Lease {
    Offers(show::Offers),
    Request(request::Request),
    List(show::List),
    Show(show::Show),
    Watch(watch::Watch),
    Ssh(ssh::Ssh),
    Logs(ssh::Logs),
    Probe(probe::Probe),
    Dispute(dispute::DisputeProof),
    Settle(settle::Settle),
    TopUp(top_up::TopUp),
    Close(close::Close),
    Demo(demo::Demo),
}

/// Runs `mythic lease`.
pub async fn run(command: Lease, connection: &Connection) -> Result<()> {
    match command {
        Lease::Offers(offers) => offers.run(connection).await,
        Lease::Request(request) => match request.container.image.clone() {
            Some(image) => container::run(&request, &image, connection).await,
            None => request.run(connection).await.map(drop),
        },
        Lease::List(list) => list.run(connection).await,
        Lease::Show(show) => show.run(connection).await,
        Lease::Watch(watch) => watch.run(connection).await,
        Lease::Ssh(ssh) => ssh.run(connection).await,
        Lease::Logs(logs) => logs.run(connection).await,
        Lease::Probe(probe) => probe.run(connection).await,
        Lease::Dispute(dispute) => dispute.run(connection).await,
        Lease::Settle(settle) => settle.run(connection).await,
        Lease::TopUp(top_up) => top_up.run(connection).await,
        Lease::Close(close) => close.run(connection).await,
        Lease::Demo(demo) => demo.run(connection).await,
    }
}
