//! One broker for all tests of a binary, which use it one after the other.

use crate::{broker::Broker, jars, running};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::sync::{
    LazyLock, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

static BROKER: LazyLock<Mutex<Option<Broker>>> = LazyLock::new(|| {
    // Statics are not dropped.
    // SAFETY: the function does what is allowed at exit, and nothing unwinds out of it.
    unsafe { nix::libc::atexit(end) };
    let broker = Broker::begin(None).expect("a broker");
    STARTED.store(true, Relaxed);
    Mutex::new(broker)
});
static STARTED: AtomicBool = AtomicBool::new(false);

extern "C" fn end() {
    if let Some(pid) = running::taken() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    // A test that hung holds it; then its data stay.
    if STARTED.load(Relaxed)
        && let Ok(mut broker) = BROKER.try_lock()
    {
        drop(broker.take());
    }
}

/// The broker of this binary, for the caller alone until it drops this. It runs; topics of other tests are there. `None`: there is
/// no Kafka here, which was printed.
///
/// # Panics
/// Where the broker can't be started.
pub fn shared() -> Option<MutexGuard<'static, Option<Broker>>> {
    let mut guard = BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(broker) = guard.as_mut() else {
        jars::skipped();
        return None;
    };
    if !broker.runs() {
        broker.restart().expect("the broker, again");
    }
    // A test that failed may have left it frozen.
    broker.thaw().expect("the broker");
    Some(guard)
}
