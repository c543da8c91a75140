//! The thread that forwards the spool to Kafka, where the configuration has a section `kafka`. Nothing waits for it but the unloading
//! of the plugin.

use crate::{config::PluginConfig, metrics::Metrics};
use mythic_kafka::{ForwardStats, Forwarder, Settings};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Pause after a panic.
const PAUSE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Forward {
    stop: Arc<AtomicBool>,
    stats: Arc<ForwardStats>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    pub fn start(
        config: &PluginConfig,
        settings: &Settings,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let resend = Duration::from_secs(config.kafka_resend_s);
        let mut forwarder = Forwarder::new(config.spool_dir.clone(), settings.clone(), resend);
        let stop = Arc::new(AtomicBool::new(false));
        let (stats, stopped) = (forwarder.stats(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("mythicForward".into())
            .spawn(move || {
                let mut run = || catch_unwind(AssertUnwindSafe(|| forwarder.run(&stopped)));
                while run().is_err() {
                    metrics.panics.fetch_add(1, Relaxed);
                    log::error!(
                        "the thread that forwards the spool to Kafka panicked: it begins again"
                    );
                    let until = Instant::now() + PAUSE;
                    while !stopped.load(Relaxed) && Instant::now() < until {
                        std::thread::sleep(LOOK);
                    }
                }
            })?;
        Ok(Self {
            stop,
            stats,
            thread: Some(thread),
        })
    }

    pub fn stats(&self) -> Arc<ForwardStats> {
        self.stats.clone()
    }
}

/// Ends it, once what the spool holds is forwarded or two seconds later, and waits for its end.
impl Drop for Forward {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that forwards the spool to Kafka could not be joined");
        }
    }
}
