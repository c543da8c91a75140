//! One broker, from its start to its end.

use crate::{
    jars, running,
    secrets::{self, PASSWORD, USER, WEAK_USER},
};
use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a start may take, with other builds and tests on the same machine.
const START: Duration = Duration::from_secs(120);
/// The cluster's id; any will do.
const CLUSTER: &str = "TXl0aGljVGVzdEJyb2tlcg";
/// What the log says when clients are served.
const SERVING: &str = "Kafka Server started";

/// A broker. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Broker {
    dir: tempfile::TempDir,
    jars: PathBuf,
    ports: [u16; 5],
    child: Option<Child>,
}

/// How long the files of a topic were at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flushed(BTreeMap<PathBuf, u64>);

impl Broker {
    /// Starts a broker. `None`: it can't be had here, which was printed.
    pub fn start() -> Result<Option<Self>> {
        Self::start_seen_at(None)
    }

    /// The same; clients that first ask [`Self::far`] are told to come to `port` of this machine, from where a test brings them there.
    pub fn start_seen_at(port: Option<u16>) -> Result<Option<Self>> {
        let started = Self::begin(port)?;
        if started.is_none() {
            jars::skipped();
        }
        Ok(started)
    }

    /// The same, for more tests than one.
    pub(crate) fn begin(port: Option<u16>) -> Result<Option<Self>> {
        let Some(jars) = jars::had()? else {
            return Ok(None);
        };
        let mut last = None;
        // A port may be taken between its choice and its use.
        for _ in 0..3 {
            match Self::make(jars.clone(), port) {
                Ok(broker) => return Ok(Some(broker)),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no try")))
    }

    fn make(jars: PathBuf, seen_at: Option<u16>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("mythic-kafka-").tempdir()?;
        let listeners: Vec<TcpListener> = (0..5)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        let mut ports = [0; 5];
        for (port, listener) in ports.iter_mut().zip(&listeners) {
            *port = listener.local_addr()?.port();
        }
        drop(listeners);
        secrets::make(dir.path())?;
        fs::write(
            dir.path().join("server.properties"),
            properties(dir.path(), ports, seen_at),
        )?;
        let mut broker = Self {
            dir,
            jars,
            ports,
            child: None,
        };
        let formatted = broker
            .java("kafka.tools.StorageTool")
            .args(["format", "-t", CLUSTER, "-c"])
            .arg(broker.dir.path().join("server.properties"))
            .stdin(Stdio::null())
            .output()
            .context("java")?;
        ensure!(
            formatted.status.success(),
            "the broker's storage was not made: {}",
            String::from_utf8_lossy(&formatted.stderr)
        );
        broker.restart()?;
        Ok(broker)
    }

    /// Address without a login.
    pub fn plain(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Address for clients that come from another machine, without a login.
    pub fn far(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.ports[4]).into()
    }

    /// Address with TLS and a login: [`USER`] may do all, [`WEAK_USER`] nothing, both with [`PASSWORD`].
    pub fn secure(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// Like [`Self::secure`], with a certificate that is past its date.
    pub fn expired(&self) -> String {
        format!("127.0.0.1:{}", self.ports[2])
    }

    /// The certificate of the authority that signed those of the broker, PEM.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// What librdkafka is told, beside user and password, for [`Self::secure`] and [`Self::expired`].
    pub fn login(&self) -> BTreeMap<String, String> {
        let options = [
            ("security.protocol", "SASL_SSL".to_owned()),
            ("sasl.mechanism", "PLAIN".to_owned()),
            ("ssl.ca.location", self.authority().display().to_string()),
        ];
        options.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// A file of its own with a password in it, for its owner's eyes only.
    pub fn password_file(&self, password: &str) -> Result<PathBuf> {
        let (mut file, path) = tempfile::NamedTempFile::new_in(self.dir.path())?.keep()?;
        file.write_all(password.as_bytes())?;
        Ok(path)
    }

    /// From now on clients with this `client.id` may send so many bytes a second, on an average of ten seconds.
    pub fn slow_down(&self, client: &str, bytes: u32) -> Result<()> {
        let done = self
            .java("kafka.admin.ConfigCommand")
            .args(["--bootstrap-server", &self.plain(), "--alter"])
            .args(["--entity-type", "clients", "--entity-name", client])
            .args(["--add-config", &format!("producer_byte_rate={bytes}")])
            .stdin(Stdio::null())
            .output()
            .context("java")?;
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "no quota was set: {said}");
        Ok(())
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-Djava.awt.headless=true")
            .arg("-cp")
            .arg(format!("{}/*", self.jars.display()))
            .arg(class)
            .current_dir(self.dir.path());
        command
    }

    /// Starts it again where it is not running, with what its disk holds; answers when clients are served.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "it is running");
        let path = self.dir.path().join("log");
        let log = File::create(&path)?;
        let child = self
            .java("kafka.Kafka")
            .arg(self.dir.path().join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("java")?;
        running::runs(Some(child.id()));
        self.child = Some(child);
        let since = Instant::now();
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.contains(SERVING) {
                return Ok(());
            }
            let ended = self.child.as_mut().and_then(|c| c.try_wait().transpose());
            if ended.is_some() || since.elapsed() > START {
                self.kill();
                let tail: Vec<&str> = text.lines().rev().take(30).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                bail!("the broker did not start:\n{}", tail.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it as a power cut would, but that what it wrote is still in the files.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            running::runs(None);
        }
    }

    /// Whether its process is there.
    pub fn runs(&mut self) -> bool {
        let ended = self.child.as_mut().map(Child::try_wait);
        if !matches!(ended, Some(Ok(None))) {
            self.child = None;
        }
        self.child.is_some()
    }

    /// Stops it as an operator would.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let Some(mut child) = self.child.take() else {
            bail!("it is not running");
        };
        child.wait()?;
        Ok(())
    }

    /// It no longer gets to run: connections stay and nothing answers.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// It gets to run again.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("it is not running")?;
        kill(Pid::from_raw(child.id() as i32), signal)?;
        Ok(())
    }

    /// From now on no file grows past so many bytes, as on a full disk. Ends with the process.
    pub fn fill_disk(&self, bytes: u64) -> Result<()> {
        let child = self.child.as_ref().context("it is not running")?;
        let done = Command::new("prlimit")
            .arg(format!("--pid={}", child.id()))
            .arg(format!("--fsize={bytes}"))
            .status()
            .context("prlimit")?;
        ensure!(done.success(), "prlimit: {done}");
        Ok(())
    }

    /// Waits until the process has ended by itself.
    pub fn wait_for_end(&mut self, within: Duration) -> Result<()> {
        let since = Instant::now();
        let mut child = self.child.take().context("it is not running")?;
        while child.try_wait()?.is_none() {
            if since.elapsed() > within {
                self.child = Some(child);
                bail!("it still runs");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Notes how long the files of a topic are, as if all of that were on the disk for good.
    pub fn flushed(&self, topic: &str) -> Result<Flushed> {
        let mut lengths = BTreeMap::new();
        for entry in fs::read_dir(self.data())? {
            let partition = entry?.path();
            let name = partition.file_name().and_then(|name| name.to_str());
            let ours = name
                .and_then(|name| name.rsplit_once('-'))
                .is_some_and(|(of, _)| of == topic);
            if !ours {
                continue;
            }
            for file in fs::read_dir(&partition)? {
                let file = file?;
                if file.path().extension().is_some_and(|e| e == "log") {
                    lengths.insert(file.path(), file.metadata()?.len());
                }
            }
        }
        ensure!(!lengths.is_empty(), "topic {topic} has no files");
        Ok(Flushed(lengths))
    }

    /// Cuts off what came since `flushed`, while it is not running: what a power cut takes of what no disk has yet.
    pub fn lose_since(&self, flushed: &Flushed) -> Result<()> {
        ensure!(self.child.is_none(), "it is running");
        for (path, length) in &flushed.0 {
            let file = OpenOptions::new().write(true).open(path)?;
            ensure!(file.metadata()?.len() >= *length, "{path:?} is shorter");
            file.set_len(*length)?;
        }
        Ok(())
    }

    /// Where its data lie.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A frozen one can be killed too.
        self.kill();
    }
}

fn properties(dir: &Path, ports: [u16; 5], seen_at: Option<u16>) -> String {
    let [plain, secure, expired, controller, far] = ports;
    let seen_at = seen_at.unwrap_or(far);
    let dir = dir.display();
    let login = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\" user_{WEAK_USER}=\"{PASSWORD}\";"
    );
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},EXPIRED://127.0.0.1:{expired},FAR://127.0.0.1:{far},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},EXPIRED://127.0.0.1:{expired},FAR://127.0.0.1:{seen_at}
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_SSL,EXPIRED:SASL_SSL,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config={login}
listener.name.expired.plain.sasl.jaas.config={login}
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={dir}/secure.pem
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={dir}/expired.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{USER}
log.dirs={dir}/data
auto.create.topics.enable=true
num.partitions=1
default.replication.factor=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.index.size.max.bytes=65536
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
log.cleaner.enable=false
"
    )
}
