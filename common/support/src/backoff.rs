//! Pauses between tries: doubled up to a cap, with jitter, so that many that failed together do not come back together.

use std::time::Duration;

use rand::Rng;
use tokio_util::sync::CancellationToken;

/// The pauses of one loop.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses around `first`, then twice as long each, around `cap` at most.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            next: first,
        }
    }

    /// The next pause: between half of its nominal length and all of it.
    pub fn pause(&mut self) -> Duration {
        let nominal = self.next.min(self.cap);
        self.next = nominal.saturating_mul(2).min(self.cap);
        nominal.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Something went well: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits for the next pause; `false` if `stop` came first.
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let pause = self.pause();
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = stop.cancelled() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_start_over_after_a_success() {
        let (first, cap) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, cap);
        for nominal in [100, 200, 400, 800, 1000, 1000] {
            let nominal = Duration::from_millis(nominal);
            let pause = backoff.pause();
            assert!(pause <= nominal && pause >= nominal / 2, "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait() {
        let stop = CancellationToken::new();
        let mut short = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        assert!(short.wait(&stop).await);
        stop.cancel();
        let mut long = Backoff::new(Duration::from_secs(3600), Duration::from_secs(3600));
        assert!(!long.wait(&stop).await);
    }
}
