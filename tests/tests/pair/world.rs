//! Both machines, what is between them, and what must be true of them.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mythic_broker::Broker;
use mythic_e2e::{
    Network, PATIENCE, compare, ends,
    load::Gateway,
    relay::{Ways, Weather},
};
use serde_json::{Value, json};
use tokio_postgres::config::Host;
use toml::Table;

use crate::{
    far::{Far, free},
    netem::Late,
};

/// Milliseconds of a slot: jobs settle after a hundred.
const SLOT_MS: &str = "100";
/// How long what was stopped may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// The network. The first machine has what both use too: database and broker.
pub struct World {
    pub network: Network,
    pub far: Far,
    pub ways: Ways,
    broker: Arc<Mutex<Broker>>,
    places: Places,
    /// Of the indexers, which take turns.
    metrics: [SocketAddr; 2],
    _secret: tempfile::TempDir,
    ended: bool,
}

/// Where the second machine's things are, and where one machine sees what is on the other.
struct Places {
    chain: SocketAddr,
    websocket: SocketAddr,
    gateway: SocketAddr,
    gateway_seen: SocketAddr,
    node_seen: SocketAddr,
    leader_seen: SocketAddr,
    broker_seen: SocketAddr,
    database_seen: String,
}

impl World {
    /// Starts everything; none where there is no Kafka, which was printed. The last of the nodes is on the second machine.
    pub async fn start(late: Late, seed: u64, nodes: usize) -> Result<Option<Self>> {
        let listener = late.port()?;
        let broker_seen = listener.local_addr()?;
        let Some(broker) = Broker::start_seen_at(Some(broker_seen.port()))? else {
            return Ok(None);
        };
        let secret = tempfile::tempdir()?;
        let file = secret.path().join("follow");
        std::fs::write(&file, format!("{seed:016x}").repeat(4))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        let (count, brokers) = (nodes.to_string(), broker.plain());
        let mut args = vec!["--validators", count.as_str(), "--slot-ms", SLOT_MS];
        args.extend(["--kafka", brokers.as_str()]);
        let shared = file.display().to_string();
        let env = [("MYTHIC_CHAIN__FOLLOW_SECRET_FILE", shared.as_str())];
        let network = Network::start_with(&args, &env).await?;
        let mut ways = Ways::new(late.weather(), seed);
        ways.tcp(listener, broker.far())?;
        let far = Far::new()?;
        let mut world = Self {
            places: places(&network, &far, &mut ways, (late, broker_seen))?,
            network,
            far,
            ways,
            broker: Arc::new(Mutex::new(broker)),
            metrics: [free()?, free()?],
            _secret: secret,
            ended: false,
        };
        world.populate(&file)?;
        world.introduce(nodes).await?;
        Ok(Some(world))
    }

    /// Starts the second machine's processes.
    fn populate(&mut self, secret: &Path) -> Result<()> {
        let Self {
            network,
            far,
            places,
            ..
        } = self;
        let path = |path: PathBuf| path.display().to_string();
        let plugin = network.data_dir().join("config/geyser-plugin.json5");
        let mut plugin: Value = serde_json::from_slice(&std::fs::read(plugin)?)?;
        plugin["spool_dir"] = path(far.at("spool")).into();
        plugin["kafka"]["brokers"] = places.broker_seen.to_string().into();
        std::fs::write(far.at("plugin.json5"), plugin.to_string())?;

        let mut chain = network.config("chain")?;
        chain.remove("programs");
        set(
            &mut chain,
            [
                ("data_dir", path(far.at("chain"))),
                ("rpc_addr", places.chain.to_string()),
                ("ws_addr", places.websocket.to_string()),
                ("follow", format!("http://{}", places.leader_seen)),
                ("follow_secret_file", secret.display().to_string()),
                ("geyser_plugin_config", path(far.at("plugin.json5"))),
            ],
        );
        far.keep("chain-2", "chain", &chain)?;

        let mut gateway = network.config("gateway")?;
        set(
            &mut gateway,
            [
                ("listen", places.gateway.to_string()),
                ("public_url", format!("http://{}", places.gateway_seen)),
                ("database_url", places.database_seen.clone()),
                ("rpc_url", format!("http://{}", places.chain)),
                ("ws_url", format!("ws://{}", places.websocket)),
            ],
        );
        far.keep("gateway-2", "gateway", &gateway)?;

        let mut indexer = network.config("indexer")?;
        set(
            &mut indexer,
            [
                ("database_url", places.database_seen.clone()),
                ("spill_dir", path(far.at("spill"))),
                ("metrics_addr", self.metrics[1].to_string()),
            ],
        );
        brokers_at(&mut indexer, places.broker_seen);
        far.keep("indexer-2", "indexer", &indexer)
    }

    /// Tells the nodes of the second gateway, and moves the last of them to the second machine.
    async fn introduce(&self, nodes: usize) -> Result<()> {
        let places = &self.places;
        let mut indexer = self.network.config("indexer")?;
        set(
            &mut indexer,
            [("metrics_addr", self.metrics[0].to_string())],
        );
        self.change("indexer", &indexer).await?;
        let gateways = [
            self.network.text("gateway_url"),
            format!("http://{}", places.gateway_seen),
        ];
        for number in 1..=nodes {
            let name = format!("node-{number}");
            let mut node = self.network.config(&name)?;
            let both = gateways.iter().cloned().map(toml::Value::from);
            node.insert("gateways".into(), both.collect::<Vec<_>>().into());
            if number == nodes {
                set(
                    &mut node,
                    [
                        ("rpc_url", format!("http://{}", places.chain)),
                        ("ws_url", format!("ws://{}", places.websocket)),
                        ("endpoint", format!("http://{}", places.node_seen)),
                    ],
                );
                brokers_at(&mut node, places.broker_seen);
            }
            self.change(&name, &node).await?;
        }
        for gateway in [self.network.url(""), format!("http://{}", places.gateway)] {
            let what = "the nodes at both gateways";
            ends::until(what, PATIENCE, || async {
                let health = self.network.http.get(format!("{gateway}/health"));
                let health: Value = health.send().await?.json().await?;
                let announced = &health["components"]["validators"]["announced"];
                let all = announced.as_u64() >= Some(nodes as u64);
                Ok((!all).then(|| format!("{gateway}: {health}")))
            })
            .await?;
        }
        Ok(())
    }

    /// Starts a process of the first machine again with another configuration.
    async fn change(&self, process: &str, config: &Table) -> Result<()> {
        let path = self.network.data_dir().join("config");
        let path = path.join(format!("{process}.toml"));
        std::fs::write(path, toml::to_string(config)?)?;
        self.network.start_again(process).await
    }

    /// Both gateways as clients know them.
    pub async fn gateways(&self) -> Result<[Gateway; 2]> {
        let (key, model) = (self.network.text("api_key"), self.network.model().await?);
        let urls = [
            self.network.text("gateway_url"),
            format!("http://{}", self.places.gateway),
        ];
        Ok(urls.map(|url| Gateway {
            url,
            key: key.clone(),
            model: model.clone(),
        }))
    }

    /// Buys an answer at a gateway, as one who tries again does; returns its job.
    pub async fn ask(&self, gateway: &Gateway, prompt: &str) -> Result<String> {
        let body = json!({
            "model": gateway.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_completion_tokens": 8,
        });
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < PATIENCE {
            let request = self
                .network
                .http
                .post(format!("{}/v1/chat/completions", gateway.url));
            match request.bearer_auth(&gateway.key).json(&body).send().await {
                Ok(response) if response.status().is_success() => {
                    let answer: Value = response.json().await?;
                    let job = answer["mythic"]["job"].as_str();
                    return Ok(job
                        .with_context(|| format!("no job in {answer}"))?
                        .to_owned());
                }
                Ok(response) => last = response.text().await.unwrap_or_default(),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        bail!("{}: never answered; last: {last}", gateway.url)
    }

    /// Does something to the broker that may take its time.
    pub async fn with_broker(
        &self,
        work: impl FnOnce(&mut Broker) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let broker = self.broker.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&mut broker.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await?
    }

    /// Every job is over, what was paid is what was spent, both chains' plugins said the same, and the index says what both RPCs say.
    pub async fn is_whole(&self) -> Result<()> {
        let network = &self.network;
        ends::everything_ended(network).await?;
        ends::money(network, &ends::owner(network)?).await?;
        let differ = network
            .sql("SELECT kind, slot, last_slot, count, detail FROM analytics.alarms WHERE kind IN ('digest', 'root_conflict')")
            .await?;
        ensure!(differ.is_empty(), "the two chains differ: {differ:?}");
        ends::until("open alarms", PATIENCE, || async {
            let open = network
                // That the broker forgot stays said until an operator has read it.
                .sql("SELECT kind, slot, last_slot, count, detail FROM analytics.alarms WHERE cleared_at IS NULL AND kind <> 'kafka'")
                .await?;
            Ok((!open.is_empty()).then(|| format!("{open:?}")))
        })
        .await?;
        for chain in [
            network.text("rpc_url"),
            format!("http://{}", self.places.chain),
        ] {
            compare::agree(network, &chain).await?;
        }
        ends::until("both producers in the index", PATIENCE, || async {
            let heard = self.producers().await?;
            let newest = heard.iter().max().copied().unwrap_or(0);
            let near = heard.iter().filter(|slot| **slot + 100 > newest).count();
            Ok((near < 2).then(|| format!("{heard:?}")))
        })
        .await?;
        let ended = network
            .sql("SELECT status, end_reason, exact, count(*) FROM analytics.jobs GROUP BY 1, 2, 3 ORDER BY 4 DESC")
            .await?;
        println!("jobs: {ended:?}");
        Ok(())
    }

    /// Newest slot of each producer, as the indexer says that has the lease.
    async fn producers(&self) -> Result<Vec<u64>> {
        let mut slots = Vec::new();
        for metrics in self.metrics {
            let request = self.network.http.get(format!("http://{metrics}/metrics"));
            let text = request.send().await?.text().await?;
            let said = text
                .lines()
                .filter(|line| line.starts_with("mythic_indexer_producer_slot{"))
                .filter_map(|line| line.rsplit(' ').next()?.parse().ok());
            slots.extend(said.filter(|slot: &u64| *slot > 0));
        }
        Ok(slots)
    }

    /// Stops everything, and sees to it that nothing runs any more.
    pub async fn end(mut self) -> Result<()> {
        let broker = {
            let broker = self.broker.lock().unwrap_or_else(PoisonError::into_inner);
            broker.data()
        };
        let of = [self.far.at(""), self.network.data_dir(), broker];
        self.far.stop().await;
        self.network.stop().await?;
        self.with_broker(|broker| {
            broker.kill();
            Ok(())
        })
        .await?;
        let left = || async {
            let left = running(&of);
            Ok((!left.is_empty()).then(|| left.join("\n")))
        };
        ends::until("processes that are left", GONE, left).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.ended {
            eprintln!("{}{}", self.network.logs(), self.far.logs());
        }
    }
}

/// Command lines of processes that name one of these directories.
fn running(of: &[PathBuf]) -> Vec<String> {
    let of: Vec<String> = of
        .iter()
        .map(|dir| dir.display().to_string().trim_end_matches('/').to_owned())
        .collect();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        of.iter().any(|dir| line.contains(dir)).then_some(line)
    })
    .collect()
}

/// Sets texts of a configuration.
fn set<const N: usize>(table: &mut Table, keys: [(&str, String); N]) {
    for (key, value) in keys {
        table.insert(key.to_owned(), value.into());
    }
}

/// Says to a process under which address it reaches the broker.
fn brokers_at(table: &mut Table, at: SocketAddr) {
    if let Some(kafka) = table.get_mut("kafka").and_then(toml::Value::as_table_mut) {
        kafka.insert("brokers".into(), at.to_string().into());
    }
}

/// Finds places for what is on the second machine, and lays the ways.
fn places(
    network: &Network,
    far: &Far,
    ways: &mut Ways,
    (late, broker_seen): (Late, SocketAddr),
) -> Result<Places> {
    let mut way = |to: SocketAddr| -> Result<SocketAddr> {
        let listener = late.port()?;
        let at = listener.local_addr()?;
        ways.tcp(listener, to)?;
        Ok(at)
    };
    let address = |url: &str| -> Result<SocketAddr> {
        let (_, address) = url.split_once("://").context("a URL")?;
        Ok(address.trim_end_matches('/').parse()?)
    };
    let state = network.state();
    let node = state["validators"].as_array().and_then(|all| all.last());
    let node = node.and_then(|node| node["endpoint"].as_str());
    let gateway = free()?;
    let (gateway_seen, node_seen) = (way(gateway)?, way(address(node.context("a node")?)?)?);
    let leader_seen = way(address(&network.text("rpc_url"))?)?;
    Ok(Places {
        chain: free()?,
        websocket: free()?,
        gateway,
        gateway_seen,
        node_seen,
        leader_seen,
        broker_seen,
        database_seen: database(network, far, ways)?,
    })
}

/// Lays the way to the database, whose socket is a file; returns its URL.
fn database(network: &Network, far: &Far, ways: &mut Ways) -> Result<String> {
    let config = network.config("gateway")?;
    let url = config.get("database_url").and_then(toml::Value::as_str);
    let server: tokio_postgres::Config = url.context("database_url")?.parse()?;
    let (Some(Host::Unix(dir)), Some(port)) =
        (server.get_hosts().first(), server.get_ports().first())
    else {
        bail!("{url:?}: not a socket");
    };
    let socket = format!(".s.PGSQL.{port}");
    let here = far.at("database");
    std::fs::create_dir(&here)?;
    ways.unix(&here.join(&socket), &dir.join(&socket), Weather::ROUGH)?;
    Ok(format!(
        "host={} port={port} user={} dbname={}",
        here.display(),
        server.get_user().context("user")?,
        server.get_dbname().context("database")?
    ))
}
