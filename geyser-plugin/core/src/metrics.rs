//! Counters as Prometheus text, served on an optional loopback address by a thread of its own.

use crate::{losses::Losses, queue::Depth};
use mythic_kafka::{ForwardStats, Trouble};
use mythic_stream::spool::WriterStats;
use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Upper bounds of the latency buckets are 2⁸ … 2²⁶ nanoseconds (256 ns … 67 ms), then infinity.
const BUCKETS: usize = 20;
const FIRST_BUCKET: u32 = 8;

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub updates: AtomicU64,
    pub bytes: AtomicU64,
    pub transactions: AtomicU64,
    pub panics: AtomicU64,
    pub spool_errors: AtomicU64,
    latency: [AtomicU64; BUCKETS],
    latency_sum: AtomicU64,
    spool_envelopes: AtomicU64,
    spool_bytes: AtomicU64,
    spool_segments: AtomicU64,
    spool_readers: AtomicU64,
    tracked: AtomicUsize,
}

impl Metrics {
    /// The time an account callback took.
    pub fn observe(&self, elapsed: Duration) {
        let nanos = elapsed.as_nanos().min(u128::from(u64::MAX)) as u64;
        let bits = u64::BITS - nanos.saturating_sub(1).leading_zeros();
        let bucket = (bits.saturating_sub(FIRST_BUCKET) as usize).min(BUCKETS - 1);
        self.latency[bucket].fetch_add(1, Relaxed);
        self.latency_sum.fetch_add(nanos, Relaxed);
    }

    pub fn spool(&self, stats: &WriterStats, tracked: usize) {
        self.spool_envelopes.store(stats.envelopes, Relaxed);
        self.spool_bytes.store(stats.bytes, Relaxed);
        self.spool_segments.store(stats.segments, Relaxed);
        self.spool_readers.store(stats.readers, Relaxed);
        self.tracked.store(tracked, Relaxed);
    }

    /// Name, help and value of what is one number.
    fn singles(&self, depth: &Depth) -> [(&'static str, &'static str, u64); 12] {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let size = |counter: &AtomicUsize| counter.load(Relaxed) as u64;
        [
            (
                "updates_total",
                "Account updates that passed the filter.",
                load(&self.updates),
            ),
            ("bytes_total", "Bytes of their data.", load(&self.bytes)),
            (
                "transactions_total",
                "Transactions that call our programs.",
                load(&self.transactions),
            ),
            (
                "panics_total",
                "Callbacks and threads that panicked.",
                load(&self.panics),
            ),
            (
                "spool_errors_total",
                "Records or syncs the spool refused.",
                load(&self.spool_errors),
            ),
            (
                "queue_records",
                "Account updates and transactions waiting.",
                size(&depth.records),
            ),
            ("queue_bytes", "Bytes of data waiting.", size(&depth.bytes)),
            (
                "tracked_accounts",
                "Accounts watched for their closing.",
                size(&self.tracked),
            ),
            (
                "spool_envelopes_total",
                "Envelopes written in this run.",
                load(&self.spool_envelopes),
            ),
            (
                "spool_bytes",
                "Bytes held by the spool.",
                load(&self.spool_bytes),
            ),
            (
                "spool_segments",
                "Segments held by the spool.",
                load(&self.spool_segments),
            ),
            (
                "spool_readers",
                "Readers that hold segments.",
                load(&self.spool_readers),
            ),
        ]
    }

    /// Prometheus text exposition.
    pub fn render(&self, depth: &Depth, losses: &Losses) -> String {
        let mut out = String::new();
        for (name, help, value) in self.singles(depth) {
            // Counters end in `_total`, as Prometheus has it.
            let kind = match name.ends_with("_total") {
                true => "counter",
                false => "gauge",
            };
            let _ = writeln!(
                out,
                "# HELP mythic_plugin_{name} {help}\n# TYPE mythic_plugin_{name} {kind}\nmythic_plugin_{name} {value}"
            );
        }
        out.push_str("# HELP mythic_plugin_lost_total Records lost, by reason.\n# TYPE mythic_plugin_lost_total counter\n");
        for (reason, total) in losses.totals() {
            let reason = reason.word();
            let _ = writeln!(
                out,
                "mythic_plugin_lost_total{{reason=\"{reason}\"}} {total}"
            );
        }
        out.push_str("# HELP mythic_plugin_callback_seconds Time spent in account callbacks.\n# TYPE mythic_plugin_callback_seconds histogram\n");
        let mut sum = 0;
        for (i, bucket) in self.latency.iter().enumerate() {
            sum += bucket.load(Relaxed);
            let bound = match i {
                _ if i + 1 == BUCKETS => "+Inf".into(),
                _ => format!("{:e}", (1u64 << (FIRST_BUCKET + i as u32)) as f64 / 1e9),
            };
            let _ = writeln!(
                out,
                "mythic_plugin_callback_seconds_bucket{{le=\"{bound}\"}} {sum}"
            );
        }
        let seconds = self.latency_sum.load(Relaxed) as f64 / 1e9;
        let _ = writeln!(
            out,
            "mythic_plugin_callback_seconds_sum {seconds}\nmythic_plugin_callback_seconds_count {sum}"
        );
        out
    }
}

/// What the forwarder to Kafka counts, as Prometheus text.
pub(crate) fn render_forward(stats: &ForwardStats) -> String {
    let mut out = String::new();
    for (name, help, value) in [
        (
            "forward_records_total",
            "Records that Kafka has, repeats included.",
            stats.records(),
        ),
        (
            "forward_messages_total",
            "Messages that they are, copies for each partition included.",
            stats.messages(),
        ),
        (
            "forward_bytes_total",
            "Bytes of these messages, before compression.",
            stats.bytes(),
        ),
        (
            "forward_errors_total",
            "Times that forwarding stopped for a reason, and began again.",
            stats.errors(),
        ),
        (
            "forward_resends_total",
            "Times that Kafka had lost what it acknowledged, and was sent it again.",
            stats.resends(),
        ),
        (
            "forward_damage_total",
            "Damage told downstream: records that can't be read, are gone or are too large.",
            stats.damages(),
        ),
    ] {
        let _ = writeln!(
            out,
            "# HELP mythic_plugin_{name} {help}\n# TYPE mythic_plugin_{name} counter\nmythic_plugin_{name} {value}"
        );
    }
    // Before the first answer of a broker nothing is known.
    if !stats.started() {
        return out;
    }
    let _ = writeln!(
        out,
        "# HELP mythic_plugin_forward_lag_seconds Age of the oldest record that Kafka does not have.\n# TYPE mythic_plugin_forward_lag_seconds gauge\nmythic_plugin_forward_lag_seconds {}",
        stats.lag().as_secs_f64()
    );
    out.push_str("# HELP mythic_plugin_forward_trouble 1: this is why nothing is forwarded.\n# TYPE mythic_plugin_forward_trouble gauge\n");
    for trouble in Trouble::ALL {
        let value = u8::from(stats.trouble() == Some(trouble));
        let _ = writeln!(
            out,
            "mythic_plugin_forward_trouble{{trouble=\"{trouble}\"}} {value}"
        );
    }
    out
}

/// The server's thread; stops and is joined when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(
        addr: SocketAddr,
        render: impl Fn() -> String + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("mythicMetrics".into())
            .spawn(move || {
                for stream in listener.incoming() {
                    if stopped.load(Relaxed) {
                        break;
                    }
                    // A scraper that goes away is its own problem.
                    let _ = stream.and_then(|stream| answer(stream, &render));
                }
            })?;
        Ok(Self {
            addr,
            stop,
            thread: Some(thread),
        })
    }

    #[cfg(test)]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // Wakes the thread from `accept`.
        let woken = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, render: &impl Fn() -> String) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut line = String::new();
    BufReader::new((&stream).take(1024)).read_line(&mut line)?;
    let (status, body) = match line.starts_with("GET /metrics ") {
        true => ("200 OK", render()),
        false => ("404 Not Found", "the metrics are at /metrics\n".into()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_gets_the_counters_and_the_server_stops() {
        let metrics = Arc::new(Metrics::default());
        metrics.observe(Duration::from_nanos(256));
        metrics.observe(Duration::from_nanos(257));
        metrics.observe(Duration::from_secs(9));
        let render = {
            let metrics = metrics.clone();
            move || metrics.render(&Depth::default(), &Losses::default())
        };
        let server = Server::start("127.0.0.1:0".parse().unwrap(), render).unwrap();
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert!(text.contains("bucket{le=\"2.56e-7\"} 1\n"), "{text}");
        assert!(text.contains("bucket{le=\"5.12e-7\"} 2\n"), "{text}");
        assert!(text.contains("callback_seconds_count 3"), "{text}");
        assert!(
            text.contains("lost_total{reason=\"queue_full\"} 0"),
            "{text}"
        );
        drop(server);
    }
}
