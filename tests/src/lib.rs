//! Harness of the end-to-end tests: a whole network from the `mythic` executable on free ports, looked at from outside only
//! (HTTP, WebSocket, SQL, chain RPC, signals).

pub mod clients;
pub mod compare;
pub mod court;
pub mod deck;
pub mod ends;
pub mod load;
pub mod openapi;
pub mod otlp;
pub mod relay;
pub mod rogue;
pub mod strangers;
pub mod tarpit;
pub mod telegram;

pub use clients::{chat_node, chat_python, python};

use anyhow::{Context, Result, bail, ensure};
use mythic_client::ChainClient;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long anything may take before a test calls it broken.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A proxy that nobody runs: no process of a network may send loopback traffic there, so all of them are told of it.
const NO_PROXY_THERE: &str = "http://127.0.0.1:9";

/// Stands for the server that keeps the database, which `dev.json` does not list.
pub const DATABASE: &str = "database";

/// A running network; killed and removed when dropped.
pub struct Network {
    child: Child,
    dir: tempfile::TempDir,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// HTTP without redirects or retries.
    pub http: reqwest::Client,
}

/// Target directory of this build: where the executables are and where test tools are cached.
pub fn target() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// CPU seconds, parent and name of a process.
pub fn stat(pid: i64) -> Option<(f64, i64, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((ticks / 100.0, fields.get(1)?.parse().ok()?, name.to_owned()))
}

/// What runs the chain instead of the development chain: `make agave` sets it to a real validator.
pub fn chain_program() -> Option<String> {
    std::env::var("MYTHIC_TEST_CHAIN_PROGRAM").ok()
}

impl Network {
    /// Starts `mythic dev` on free ports and waits until it says Ready.
    pub async fn start(args: &[&str]) -> Result<Self> {
        Self::start_on(args, |_| ()).await
    }

    /// The same with variables in the environment of all its processes.
    pub async fn start_with(args: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        let set = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::launch(args, env.iter().map(set).collect(), |_| ()).await
    }

    /// The same after `prepare` was given the data directory, which does not exist yet.
    pub async fn start_on(args: &[&str], prepare: impl FnOnce(&Path)) -> Result<Self> {
        Self::launch(args, Vec::new(), prepare).await
    }

    async fn launch(
        args: &[&str],
        env: Vec<(String, String)>,
        prepare: impl FnOnce(&Path),
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("mythic-e2e-").tempdir()?;
        // The database's unprivileged user must be able to enter.
        std::fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let mut all: Vec<String> = [
            "--gateway-port",
            "--rpc-port",
            "--ws-port",
            "--node-port",
            "--provider-port",
            "--database-port",
        ]
        .iter()
        .flat_map(|flag| [(*flag).to_owned(), "0".to_owned()])
        .collect();
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        if let Some(program) = chain_program() {
            all.extend(["--chain-program".to_owned(), program]);
        }
        prepare(&dir.path().join("data"));
        let child = spawn(dir.path(), &all, &env)?;
        let mut network = Self {
            child,
            dir,
            args: all,
            env,
            http: reqwest::Client::new(),
        };
        network.wait_ready().await?;
        Ok(network)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("mythic dev ended with {status}:\n{}", self.logs());
            }
            if self
                .try_state()
                .is_some_and(|state| state["ready_at"].is_u64())
            {
                return Ok(());
            }
            // A validator with many accounts makes its genesis and its first snapshot before.
            let patience = match chain_program() {
                Some(_) => 5 * PATIENCE,
                None => PATIENCE,
            };
            if started.elapsed() > patience {
                bail!("not Ready:\n{}", self.logs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops everything gracefully.
    pub async fn stop(&mut self) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                started.elapsed() < PATIENCE,
                "does not stop:\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops everything gracefully and starts it again on the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.child = spawn(self.dir.path(), &self.args, &self.env)?;
        self.wait_ready().await
    }

    /// Puts a variable into the environment of all processes, from the next [`restart`](Self::restart) on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// The end of every log, for a failing test.
    pub fn logs(&self) -> String {
        let mut text = tail(&self.dir.path().join("mythic.log"), 30);
        let mut logs: Vec<PathBuf> = std::fs::read_dir(self.dir.path().join("data/logs"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        logs.sort();
        for log in logs {
            text.push_str(&format!("--- {}\n{}", log.display(), tail(&log, 25)));
        }
        text
    }

    fn try_state(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.dir.path().join("data/dev.json")).ok()?).ok()
    }

    /// `dev.json` as it is now.
    pub fn state(&self) -> Value {
        self.try_state().unwrap_or(Value::Null)
    }

    /// A string of `dev.json`, for example `rpc_url`.
    pub fn text(&self, key: &str) -> String {
        self.state()[key].as_str().unwrap_or_default().to_owned()
    }

    /// Gateway's base URL and a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.text("gateway_url"))
    }

    pub fn chain(&self) -> ChainClient {
        ChainClient::new(self.text("rpc_url"), self.text("ws_url"))
    }

    /// Sends a JSON request with the API key; any status.
    pub async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, reqwest::header::HeaderMap, Value)> {
        let mut request = self
            .http
            .request(method, self.url(path))
            .bearer_auth(self.text("api_key"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok((
            status,
            headers,
            response.json().await.unwrap_or(Value::Null),
        ))
    }

    /// `GET path`, which must succeed.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let (status, _, body) = self.call(reqwest::Method::GET, path, None).await?;
        ensure!(status == 200, "GET {path}: {status} {body}");
        Ok(body)
    }

    /// `POST path`, which must succeed.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, _, answer) = self.call(reqwest::Method::POST, path, Some(body)).await?;
        ensure!(
            (200..300).contains(&status),
            "POST {path}: {status} {answer}"
        );
        Ok(answer)
    }

    /// Calls a JSON-RPC method of the chain.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        self.rpc_at(&self.text("rpc_url"), method, params).await
    }

    /// Calls a JSON-RPC method of a chain.
    pub async fn rpc_at(&self, url: &str, method: &str, params: Value) -> Result<Value> {
        rpc_at(&self.http, url, method, params).await
    }

    /// Waits until `path` answers 200 with what `good` accepts, and returns that.
    pub async fn until(&self, path: &str, mut good: impl FnMut(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        let mut last = String::from("nothing");
        while started.elapsed() < PATIENCE {
            match self.get(path).await {
                Ok(body) if good(&body) => return Ok(body),
                Ok(body) => last = body.to_string(),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        bail!(
            "{path} never became what it should; last: {last}\n{}",
            self.logs()
        )
    }

    /// Waits until a job is in a terminal state that is finalized.
    pub async fn finalized(&self, job: &str) -> Result<Value> {
        self.until(&format!("/v1/jobs/{job}"), |job| {
            job["commitment"] == "finalized"
                && matches!(
                    job["status"].as_str(),
                    Some("settled" | "refunded" | "slashed")
                )
        })
        .await
    }

    /// The one model that the network serves.
    pub async fn model(&self) -> Result<String> {
        let models = self.get("/v1/models").await?;
        Ok(models["data"][0]["id"]
            .as_str()
            .context("no model")?
            .to_owned())
    }

    /// Rows of a query over the read-only connection, each as one JSON object.
    pub async fn sql(&self, query: &str) -> Result<Vec<Value>> {
        sql(&self.text("database_url"), query).await
    }

    /// Names of the processes in `dev.json`.
    pub fn processes(&self) -> Vec<String> {
        let state = self.state();
        let processes = state["processes"].as_object();
        processes.map_or_else(Vec::new, |all| all.keys().cloned().collect())
    }

    /// The running process of this name, which may be [`DATABASE`].
    pub fn pid(&self, process: &str) -> Option<i32> {
        if process == DATABASE {
            let home = std::fs::read_dir(self.data_dir().join("postgres")).ok()?;
            let text = home.flatten().find_map(|entry| {
                std::fs::read_to_string(entry.path().join("postmaster.pid")).ok()
            })?;
            return text.lines().next()?.trim().parse().ok();
        }
        let pid = self.state()["processes"][process]["pid"].as_i64()?;
        i32::try_from(pid).ok()
    }

    /// Kills a process without warning (SIGKILL) and returns once the supervisor has started it again.
    pub async fn crash(&self, process: &str) -> Result<()> {
        self.end(process, Signal::SIGKILL).await
    }

    /// Asks a process to stop and returns once the supervisor has started it again, with its configuration as it is now.
    pub async fn start_again(&self, process: &str) -> Result<()> {
        self.end(process, Signal::SIGTERM).await
    }

    async fn end(&self, process: &str, signal: Signal) -> Result<()> {
        let pid = self.pid(process);
        let pid = pid.with_context(|| format!("{process} does not run"))?;
        kill(Pid::from_raw(pid), signal)?;
        let started = Instant::now();
        while self.pid(process).is_none_or(|now| now == pid) {
            ensure!(
                started.elapsed() < PATIENCE,
                "{process} was not started again"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The configuration of a process.
    pub fn config(&self, process: &str) -> Result<toml::Table> {
        let path = self.data_dir().join(format!("config/{process}.toml"));
        let text = std::fs::read_to_string(&path);
        Ok(text.with_context(|| path.display().to_string())?.parse()?)
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A `mythic` command against this network, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(target().join("mythic"));
        // What stands behind `--` is for another program.
        let end = args.iter().position(|arg| *arg == "--");
        let (own, others) = args.split_at(end.unwrap_or(args.len()));
        command
            .args(own)
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(others)
            .env("HTTP_PROXY", NO_PROXY_THERE)
            .stdin(Stdio::null());
        command
    }

    /// Runs the `mythic` executable against this network and returns its standard output.
    pub fn mythic(&self, args: &[&str]) -> Result<String> {
        let ran = ran(&mut self.command(args))?;
        ensure!(ran.code == 0, "mythic {args:?}: {ran:?}");
        Ok(ran.stdout)
    }

    /// Runs the executable, which must fail with an exit code and a message on standard error that has all of `words`.
    pub fn mythic_fails(&self, args: &[&str], code: i32, words: &[&str]) -> Result<()> {
        let ran = ran(&mut self.command(args))?;
        ensure!(
            ran.code == code && words.iter().all(|word| ran.stderr.contains(word)),
            "mythic {args:?}: not {code} with {words:?} but {ran:?}"
        );
        Ok(())
    }
}

/// Calls a JSON-RPC method of a chain.
pub async fn rpc_at(
    http: &reqwest::Client,
    url: &str,
    method: &str,
    params: Value,
) -> Result<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer: Value = http.post(url).json(&body).send().await?.json().await?;
    ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
    Ok(answer["result"].clone())
}

/// Rows of a query, each as one JSON object.
pub async fn sql(database_url: &str, query: &str) -> Result<Vec<Value>> {
    let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    let rows = client
        .query(&format!("SELECT to_jsonb(q)::text FROM ({query}) q"), &[])
        .await?;
    driver.abort();
    rows.iter()
        .map(|row| Ok(serde_json::from_str(row.try_get(0)?)?))
        .collect()
}

/// What a command said.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end.
pub fn ran(command: &mut Command) -> Result<Ran> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    Ok(Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if let Ok(None) = self.child.try_wait() {
            let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(20)
                && matches!(self.child.try_wait(), Ok(None))
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn spawn(dir: &Path, args: &[String], env: &[(String, String)]) -> Result<Child> {
    let binary = target().join("mythic");
    ensure!(
        binary.is_file(),
        "no executable at {}: build it first, `cargo build --workspace`",
        binary.display()
    );
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("mythic.log"))?;
    Command::new(binary)
        .arg("dev")
        .args(args)
        .env("HTTP_PROXY", NO_PROXY_THERE)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .arg("--data-dir")
        .arg(dir.join("data"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting mythic dev")
}

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}
