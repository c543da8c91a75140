//! What a process tells systemd (`Type=notify`): that it is ready, that it stops, and, while all its loops turn, that it lives. Without
//! `NOTIFY_SOCKET` in the environment nothing is sent.

use mythic_support::life;
use sd_notify::NotifyState;
use std::time::Duration;

/// Pings in each period of the watchdog.
const PINGS_A_PERIOD: u32 = 3;

/// Tells of readiness and life from now on, on `runtime`: a runtime that hangs sends nothing.
pub fn start(runtime: &tokio::runtime::Handle) {
    runtime.spawn(async {
        life::wait_ready().await;
        tell(&[NotifyState::Ready]);
        // systemd watches from readiness on.
        if let Some(period) = sd_notify::watchdog_enabled() {
            watch(period).await;
        }
    });
}

/// Tells that an order to stop came: what takes long now is the work under way.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Pings while all loops turn. Once one hangs, systemd ends the process when its `WatchdogSec` is over, and starts it again.
async fn watch(period: Duration) {
    let mut tick = tokio::time::interval(period / PINGS_A_PERIOD);
    let mut hung = false;
    loop {
        tick.tick().await;
        match life::hanging() {
            None => {
                tell(&[NotifyState::Watchdog]);
                hung = false;
            }
            Some((name, silent)) if !hung => {
                hung = true;
                tracing::error!(
                    "{name} hangs: it has not turned for {} s; systemd is told nothing any more",
                    silent.as_secs()
                );
            }
            Some(_) => {}
        }
    }
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
