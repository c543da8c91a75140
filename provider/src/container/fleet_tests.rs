use std::net::Ipv4Addr;

use anyhow::bail;
use async_trait::async_trait;
use tokio::{net::TcpStream, sync::mpsc};

use super::*;
use crate::{
    container::runtime::{Exec, Labelled, Process},
    spec::{ContainerSpec, container::tests::small},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// More than a look and the first pause before a command begins again.
const TIME_TO_BEGIN: Duration = Duration::from_secs(4);

/// A container that is nothing but its state.
struct Told {
    seen: watch::Sender<Seen>,
    starts: watch::Sender<usize>,
    /// Starts wait here for a place.
    gate: Semaphore,
}

impl Told {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            seen: watch::Sender::new(Seen::Absent),
            starts: watch::Sender::new(0),
            gate: Semaphore::new(1),
        })
    }

    async fn becomes(&self, wanted: Seen) {
        let mut seen = self.seen.subscribe();
        let becomes = seen.wait_for(|seen| *seen == wanted);
        let becomes = timeout(PATIENCE, becomes).await;
        becomes.expect("it never is").unwrap();
    }

    async fn started(&self, times: usize) {
        let mut starts = self.starts.subscribe();
        starts.wait_for(|starts| *starts >= times).await.unwrap();
    }
}

#[async_trait]
impl Runtime for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    async fn ready(&self, _: &ContainerSpec, _: &[(String, String)]) -> Result<(), String> {
        Ok(())
    }

    fn room(&self, _: &[(String, u32)]) -> Result<u64> {
        bail!("nobody asked for it")
    }

    async fn start(&self, _: &Plan) -> Result<Begun> {
        self.starts.send_modify(|starts| *starts += 1);
        self.gate.acquire().await?.forget();
        self.seen.send_replace(Seen::Running);
        Ok(Begun::Runs)
    }

    async fn inspect(&self, _: &str) -> Result<Seen> {
        Ok(*self.seen.borrow())
    }

    fn is_running(&self, _: &str) -> bool {
        matches!(*self.seen.borrow(), Seen::Running | Seen::Frozen)
    }

    async fn tend(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn kill(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn freeze(&self, _: &str) -> Result<()> {
        self.seen.send_replace(Seen::Frozen);
        Ok(())
    }

    async fn thaw(&self, _: &str) -> Result<()> {
        self.seen.send_if_modified(|seen| {
            let is_held = *seen == Seen::Frozen;
            if is_held {
                *seen = Seen::Running;
            }
            is_held
        });
        Ok(())
    }

    async fn exec(&self, _: &str, _: Exec) -> Result<Process> {
        bail!("nobody comes in")
    }

    async fn dial(&self, _: &str, _: u16) -> Result<TcpStream> {
        bail!("nobody listens")
    }

    async fn logs(&self, _: &str, _: bool) -> Result<mpsc::Receiver<Vec<u8>>> {
        bail!("nobody reads")
    }

    async fn uphold(&self) -> Result<bool> {
        Ok(false)
    }

    async fn remark(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Labelled>> {
        Ok(Vec::new())
    }
}

/// A lease whose container runs.
async fn running(told: &Arc<Told>) -> (Containers, Pubkey) {
    let config = ContainersConfig {
        listen: Ipv4Addr::LOCALHOST.into(),
        ..ContainersConfig::default()
    };
    let runtime: Arc<dyn Runtime> = told.clone();
    let containers = Containers::new(Some(runtime), config, Meters::new().unwrap());
    let contained = Contained {
        spec: small(),
        environment: Vec::new(),
        host_key: "07".repeat(32),
        // Any that is free, and nothing is published.
        ports: vec![0],
        place: 1,
    };
    let (lease, tenant) = (
        Pubkey::new_from_array([3; 32]),
        Pubkey::new_from_array([4; 32]),
    );
    let started = containers.start(lease, (&contained, &tenant), 1).await;
    started.unwrap();
    (containers, lease)
}

#[tokio::test]
async fn a_command_that_ends_while_a_proof_is_made_begins_again_only_after_it() {
    let told = Told::new();
    let (containers, lease) = running(&told).await;
    // A further start finds its place.
    told.gate.add_permits(1);
    told.seen.send_replace(Seen::Ended);
    let held = containers.hold(&lease).unwrap();
    held.stands_still().await.unwrap();
    let early = timeout(TIME_TO_BEGIN, told.started(2)).await;
    assert!(early.is_err(), "it computes beside the proof");
    drop(held);
    told.becomes(Seen::Running).await;
    assert_eq!(*told.starts.borrow(), 2);
}

#[tokio::test]
async fn a_command_that_begins_slowly_as_a_proof_begins_is_held_as_soon_as_it_runs() {
    let told = Told::new();
    let (containers, lease) = running(&told).await;
    told.seen.send_replace(Seen::Ended);
    timeout(PATIENCE, told.started(2)).await.unwrap();
    // It has not begun, and nobody waits for it any longer.
    let held = containers.hold(&lease).unwrap();
    let early = timeout(Duration::from_millis(50), held.stands_still()).await;
    assert!(early.is_err());
    told.gate.add_permits(1);
    told.becomes(Seen::Frozen).await;
    drop(held);
    told.becomes(Seen::Running).await;
}
