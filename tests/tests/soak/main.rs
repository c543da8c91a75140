//! `make soak`: a network under load and faults at once, for ten minutes (`MYTHIC_SOAK_SECONDS`): clients of every manner, strangers,
//! a hostile gateway, kill -9 and SIGSTOP of each process, full disks, validators that cheat. Meanwhile requests go on being
//! answered; at the end every job is terminal, the vaults spent what the jobs cost, nothing is left running and no place is
//! taken, and memory and file descriptors are as at the start.

mod faults;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mythic_e2e::{
    Network, PATIENCE, ends,
    load::{self, Gateway, Tally},
    rogue::Rogue,
    strangers,
};
use solana_signer::Signer;

use crate::faults::{Disks, grown, usages};

const CLIENTS: u64 = 8;

/// Sees to it that honest requests are answered all the time until `end`.
async fn goes_on(tally: &Tally, end: Instant) -> Result<()> {
    let (mut answered, mut since, mut longest) = (0, Instant::now(), Duration::ZERO);
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = tally.answered.load(Ordering::Relaxed);
        longest = longest.max(since.elapsed());
        if now > answered {
            (answered, since) = (now, Instant::now());
        }
        ensure!(
            since.elapsed() < PATIENCE,
            "nobody was answered for {PATIENCE:?}: {tally:?}"
        );
    }
    println!(
        "longest time without an answer: {:.0} s",
        longest.as_secs_f64()
    );
    ensure!(answered > 0, "nobody was answered: {tally:?}");
    Ok(())
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten minutes: make soak"]
async fn load_and_faults_leave_nothing_behind() -> Result<()> {
    let seconds = number("MYTHIC_SOAK_SECONDS").unwrap_or(600);
    let seed = number("MYTHIC_TEST_SEED").unwrap_or_else(rand::random::<u64>);
    println!("replay with MYTHIC_TEST_SEED={seed} make soak");
    let mut disks = None;
    let network = Network::start_on(&["--validators", "5", "--slot-ms", "100"], |data| {
        disks = Some(Disks::mount(data));
    })
    .await?;
    let disks = disks.context("disks")?;
    let gateway = Gateway {
        url: network.text("gateway_url"),
        key: network.text("api_key"),
        model: network.model().await?,
    };
    let rogue = Rogue::prepare(&network).await?;
    // What a network that has worked uses, before anything bad happens.
    let warm = Tally::default();
    let warmed = Instant::now() + Duration::from_secs(seconds / 10);
    let clients =
        (0..CLIENTS).map(|n| load::client(gateway.clone(), seed.rotate_left(1) ^ n, warmed, &warm));
    futures::future::join_all(clients).await;
    let before = usages(&network);
    println!("warm: {warm:?}\n{before:#?}");
    ensure!(
        warm.wrongs().is_empty() && warm.broken.load(Ordering::Relaxed) == 0,
        "wrong answers on a quiet network: {warm:?}"
    );

    let tally = Arc::new(Tally::default());
    let end = Instant::now() + Duration::from_secs(seconds);
    let clients =
        (0..CLIENTS).map(|n| load::client(gateway.clone(), seed.wrapping_add(n), end, &tally));
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let (_, faulty, went_on, (), (), ()) = tokio::join!(
        futures::future::join_all(clients),
        faults::run(&network, &disks, seed, end),
        goes_on(&tally, end),
        rogue.lie(seed, end),
        strangers::hold(&address, end),
        strangers::ask_for_much(&gateway.url, &gateway.model, end),
    );
    println!("met: {tally:?}");
    faulty?;
    went_on?;
    let wrong = tally.wrongs();
    ensure!(wrong.is_empty(), "no fault explains: {wrong:#?}");
    ends::everything_ended(&network).await?;
    ends::money(&network, &ends::owner(&network)?).await?;
    ends::money(&network, &rogue.payer.pubkey()).await?;
    rogue.came_to().await?;
    ends::only_cheats_were_found(&network, faults::CHEAT).await?;
    ensure!(
        strangers::answers(&address, "/v1/models", PATIENCE).await,
        "the gateway does not answer"
    );
    ends::until("what grew", PATIENCE, || async {
        Ok(grown(&before, &usages(&network)))
    })
    .await?;
    println!("{:#?}", usages(&network));
    Ok(())
}
