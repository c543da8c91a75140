//! The containers of leases: started or found running, kept running, held while proofs are made, ended with everything of them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use mythic_support::{Backoff, Throttle};
use parking_lot::RwLock;
use russh::keys::PrivateKey;
use solana_pubkey::Pubkey;
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard, Semaphore, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    config::ContainersConfig,
    ports::{Crowd, Port},
    runtime::{Begun, Plan, Runtime, Seen},
    ssh::{
        door::{self, Door},
        keys,
        session::{Gate, Room},
    },
};
use crate::{journal::Contained, meters::Meters};

/// How often a container is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One look of so many asks what runs it, which takes a program.
const THOROUGH: u64 = 10;
/// Pauses before a command that ended starts again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A command that ran for so long had started well.
const STARTED_WELL: Duration = Duration::from_secs(60);
/// How long ways into a container may take to close.
const CLOSING: Duration = Duration::from_secs(3);
/// Pause between tries to let a container go on.
const THAW_AGAIN: Duration = Duration::from_millis(200);
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A container of a lease.
struct Guest {
    plan: Plan,
    /// Whether a proof holds it.
    frozen: watch::Sender<bool>,
    /// Its lease has ended.
    ended: CancellationToken,
    tasks: TaskTracker,
    /// One thing at a time is done about it.
    turn: Mutex<()>,
}

/// All of them.
pub struct Containers {
    runtime: Option<Arc<dyn Runtime>>,
    config: ContainersConfig,
    meters: Meters,
    /// Where commands of tenants begin.
    gate: Gate,
    guests: RwLock<HashMap<Pubkey, Arc<Guest>>>,
}

/// A container that is held, until this is dropped.
pub struct Frozen {
    runtime: Arc<dyn Runtime>,
    guest: Arc<Guest>,
}

impl Containers {
    /// Containers by this runtime; none without one.
    pub fn new(
        runtime: Option<Arc<dyn Runtime>>,
        config: ContainersConfig,
        meters: Meters,
    ) -> Self {
        Self {
            runtime,
            config,
            meters,
            gate: Gate::default(),
            guests: RwLock::default(),
        }
    }

    /// What runs them.
    pub fn runtime(&self) -> Option<&Arc<dyn Runtime>> {
        self.runtime.as_ref()
    }

    fn needed(&self) -> Result<&Arc<dyn Runtime>> {
        let none = "containers.runtime is none, and the lease is of a container: set it again, or what runs goes on unseen";
        self.runtime.as_ref().context(none)
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.guests.read().len()
    }

    /// Starts a lease's container, or finds it running, and opens the ways into it.
    pub async fn start(
        &self,
        lease: Pubkey,
        (contained, tenant): (&Contained, &Pubkey),
        slot: u64,
    ) -> Result<()> {
        let runtime = self.needed()?;
        if self.guests.read().contains_key(&lease) {
            return Ok(());
        }
        let host_key = contained.host_key()?;
        let listeners = self.listeners(&contained.ports).await?;
        let guest = Arc::new(Guest {
            plan: plan(&lease, contained, slot),
            frozen: watch::Sender::new(false),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
            turn: Mutex::new(()),
        });
        begin(runtime.as_ref(), &guest.plan).await?;
        let mut allowed = vec![keys::of_wallet(tenant)];
        let own = contained.spec.keys()?;
        allowed.extend(own.iter().map(|key| key.key_data().clone()));
        let door = Door {
            room: Room {
                runtime: runtime.clone(),
                id: guest.plan.id.clone(),
                frozen: guest.frozen.subscribe(),
                ended: guest.ended.clone(),
                gate: self.gate.beside(),
            },
            keys: allowed,
            sessions: Arc::new(Semaphore::new(self.config.sessions)),
            alive: door::ALIVE,
            meters: self.meters.clone(),
        };
        let idle = Duration::from_secs(self.config.idle_seconds);
        let ports = (listeners, contained.spec.ports.as_slice(), idle);
        open(&guest, door, host_key, ports)?;
        let kept = keep(runtime.clone(), guest.clone(), self.meters.clone());
        guest.tasks.spawn(kept);
        self.guests.write().insert(lease, guest);
        self.meters.containers(self.count());
        Ok(())
    }

    /// Listeners on a lease's ports, which it has from its promise on.
    async fn listeners(&self, ports: &[u16]) -> Result<Vec<TcpListener>> {
        let mut listeners = Vec::with_capacity(ports.len());
        for port in ports {
            let address = SocketAddr::new(self.config.listen, *port);
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.with_context(|| {
                format!(
                    "the lease's port {address} can't be listened on; does another process use it?"
                )
            })?);
        }
        Ok(listeners)
    }

    /// Ends a lease's container and removes everything of it, whether this process started it or an earlier one.
    pub async fn stop(&self, lease: &Pubkey) -> Result<()> {
        let runtime = self.needed()?;
        let guest = self.guests.write().remove(lease);
        if let Some(guest) = &guest {
            guest.ended.cancel();
            guest.tasks.close();
            // Who is slow to leave is thrown out with the container.
            let _ = timeout(CLOSING, guest.tasks.wait()).await;
        }
        self.meters.containers(self.count());
        match &guest {
            None => runtime.remove(&lease.to_string()).await,
            Some(guest) => {
                let _turn = guest.turn.lock().await;
                runtime.remove(&guest.plan.id).await
            }
        }
    }

    /// Holds a lease's container until what is returned is dropped; `None` where it has none here. What has ended does not begin again
    /// meanwhile, and what is being started is held once it runs.
    pub fn hold(&self, lease: &Pubkey) -> Option<Frozen> {
        let guest = self.guests.read().get(lease).cloned()?;
        let runtime = self.runtime.clone()?;
        guest.frozen.send_replace(true);
        Some(Frozen { runtime, guest })
    }

    /// Lets all go on that a proof holds: this process ends.
    pub async fn part(&self) {
        let guests: Vec<Arc<Guest>> = self.guests.read().values().cloned().collect();
        let Some(runtime) = &self.runtime else {
            return;
        };
        for guest in &guests {
            guest.ended.cancel();
        }
        for guest in guests {
            let _turn = timeout(CLOSING, guest.turn.lock()).await;
            if let Err(error) = runtime.thaw(&guest.plan.id).await {
                tracing::warn!(
                    lease = guest.plan.id,
                    "a container is held until the next start: {error:#}"
                );
            }
        }
    }
}

impl Frozen {
    /// Waits until nothing of it moves. Dropped before, it is held at the next look.
    pub async fn stands_still(&self) -> Result<()> {
        let (runtime, guest) = (&self.runtime, &self.guest);
        let _turn = guest.turn.lock().await;
        if guest.ended.is_cancelled() {
            return Ok(());
        }
        // Whoever held it before may have let it go on only now.
        guest.frozen.send_replace(true);
        match runtime.inspect(&guest.plan.id).await? {
            Seen::Running => runtime.freeze(&guest.plan.id).await,
            _ => Ok(()),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let (runtime, guest) = (self.runtime.clone(), self.guest.clone());
        let Ok(here) = tokio::runtime::Handle::try_current() else {
            return;
        };
        here.spawn(async move {
            let turn = guest.turn.lock().await;
            while let Err(error) = runtime.thaw(&guest.plan.id).await {
                tracing::warn!(
                    lease = guest.plan.id,
                    "a container is still held: {error:#}"
                );
                if guest.ended.is_cancelled() {
                    break;
                }
                tokio::time::sleep(THAW_AGAIN).await;
            }
            // No look finds it let go on and still to be held.
            guest.frozen.send_replace(false);
            drop(turn);
        });
    }
}

fn plan(lease: &Pubkey, contained: &Contained, slot: u64) -> Plan {
    let spec = &contained.spec;
    Plan {
        id: lease.to_string(),
        slot,
        image: spec.image.clone(),
        repository: spec.repository.clone(),
        command: spec.command.clone(),
        environment: contained.environment.clone(),
        cpu_milli: spec.cpu_milli,
        memory_mib: spec.memory_mib,
        pids: spec.pids,
        disk_mib: spec.disk_mib,
        place: contained.place,
    }
}

/// Starts a container. A command that can't be run is for its tenant to mend, who reads why in the log: the lease is served like any other.
async fn begin(runtime: &dyn Runtime, plan: &Plan) -> Result<()> {
    if let Begun::Refused(why) = runtime.start(plan).await? {
        tracing::info!(
            lease = plan.id,
            why,
            "a container's command can't be run; it is tried again"
        );
        let line = format!("the command can't be run: {why}");
        if let Err(error) = runtime.remark(&plan.id, &line).await {
            tracing::debug!(lease = plan.id, "not in the container's log: {error:#}");
        }
    }
    Ok(())
}

/// Opens SSH and the published ports.
fn open(
    guest: &Arc<Guest>,
    door: Door,
    host_key: PrivateKey,
    (listeners, inside, idle): (Vec<TcpListener>, &[u16], Duration),
) -> Result<()> {
    let (runtime, id) = (door.room.runtime.clone(), door.room.id.clone());
    let mut listeners = listeners.into_iter();
    let first = listeners.next().context("the lease has no port for SSH")?;
    guest.tasks.spawn(door.serve(first, host_key));
    let crowd = Arc::<Crowd>::default();
    for (listener, inside) in listeners.zip(inside) {
        let port = Port {
            runtime: runtime.clone(),
            id: id.clone(),
            inside: *inside,
            crowd: crowd.clone(),
            idle,
            ended: guest.ended.clone(),
        };
        guest.tasks.spawn(port.serve(listener));
    }
    Ok(())
}

/// Keeps a container running until its lease ends.
async fn keep(runtime: Arc<dyn Runtime>, guest: Arc<Guest>, meters: Meters) {
    let (told, mut pauses) = (Throttle::new(TOLD_EVERY), Backoff::new(PAUSES.0, PAUSES.1));
    let (id, mut since) = (guest.plan.id.as_str(), Instant::now());
    let mut looks = 0_u64;
    loop {
        tokio::select! {
            () = guest.ended.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        looks += 1;
        let looked = look(runtime.as_ref(), &guest, looks.is_multiple_of(THOROUGH)).await;
        match looked {
            Ok(true) if since.elapsed() > STARTED_WELL => pauses.reset(),
            Ok(true) => {}
            Ok(false) => {
                let pause = pauses.pause();
                tracing::info!(
                    lease = id,
                    ?pause,
                    "a container's command has ended; it starts again"
                );
                let line = format!(
                    "the command has ended; it starts again in {} s",
                    pause.as_secs_f32().ceil()
                );
                let _ = runtime.remark(id, &line).await;
                tokio::select! {
                    () = guest.ended.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                let Some(_turn) = turn_to_begin(&guest).await else {
                    return;
                };
                meters.restarted();
                if let Err(error) = begin(runtime.as_ref(), &guest.plan).await
                    && told.allow().is_some()
                {
                    tracing::warn!(lease = id, "a container can't be started again: {error:#}");
                }
                since = Instant::now();
            }
            Err(error) => {
                if told.allow().is_some() {
                    tracing::warn!(lease = id, "a container can't be looked at: {error:#}");
                }
            }
        }
    }
}

/// The turn to begin a command, which no proof's time has; `None` once the lease has ended.
async fn turn_to_begin(guest: &Guest) -> Option<MutexGuard<'_, ()>> {
    let mut frozen = guest.frozen.subscribe();
    loop {
        let free = async { frozen.wait_for(|is_frozen| !is_frozen).await.map(drop) };
        tokio::select! {
            () = guest.ended.cancelled() => return None,
            _ = free => {}
        }
        let turn = guest.turn.lock().await;
        if guest.ended.is_cancelled() {
            return None;
        }
        if !*guest.frozen.borrow() {
            return Some(turn);
        }
    }
}

/// Whether a container's command runs; `thorough` finds one too that nobody holds any more and that does not move.
async fn look(runtime: &dyn Runtime, guest: &Guest, thorough: bool) -> Result<bool> {
    let _turn = guest.turn.lock().await;
    if guest.ended.is_cancelled() {
        return Ok(true);
    }
    let (id, is_held) = (&guest.plan.id, *guest.frozen.borrow());
    if !thorough && !is_held && runtime.is_running(id) {
        return runtime.tend(id).await.map(|()| true);
    }
    match runtime.inspect(id).await? {
        // It could not be held when the proof began.
        Seen::Running if is_held => runtime.freeze(id).await.map(|()| true),
        Seen::Running => runtime.tend(id).await.map(|()| true),
        // Nobody holds it any more, or never did.
        Seen::Frozen if !is_held => runtime.thaw(id).await.map(|()| true),
        Seen::Frozen => Ok(true),
        Seen::Created | Seen::Ended | Seen::Absent => Ok(false),
    }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
