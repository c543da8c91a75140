//! A gateway that lies to nodes: it brings half-signed requests that must not be signed or are not paid, lures nodes with jobs on
//! chain whose prompts never come, leaves answers unread that it pays for, and repeats what nodes signed for it to others. None of
//! it may be taken, none of it may cost anybody but the liar, and honest requests go on.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mythic_client::{ChainClient, Commitment, ix, pda, request};
use mythic_interface::{
    hash,
    ix::{RequestInference, SubmitResult},
    le::{Text, U16, U32},
    state::{Config, Model, SamplingProfile, Vault},
    window,
};
use mythic_wire::{
    InferenceRequest, Origin,
    signed::{self, purpose},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Client;
use serde_json::Value;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{Network, tarpit::Tarpit};

const SOL: u64 = 1_000_000_000;
/// Servers that hold no prompt.
const TARPITS: u8 = 12;
/// Wallets whose jobs lead there.
const LURERS: usize = 4;
/// Addresses that the liar comes from. The first is that of requests which the chain refuses, for which nodes refuse an address.
const ADDRESSES: u8 = 8;
/// Slots that its jobs live: nodes want 50 at least.
const SLOTS: u32 = 200;
/// The prompt of its jobs, where there is one.
const PROMPT: [u32; 3] = [1, 2, 3];
const SALT: [u8; 16] = [7; 16];

struct Node {
    endpoint: String,
    authority: Pubkey,
    operator: Pubkey,
}

/// The liar.
pub struct Rogue {
    chain: ChainClient,
    /// Base URL of the honest gateway.
    gateway: String,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    model: Pubkey,
    prices: [U32; 2],
    rules_hash: [u8; 32],
    /// Pays what it orders.
    pub payer: Keypair,
    lurers: Vec<Keypair>,
    poor: Keypair,
    tarpit: Tarpit,
    /// Jobs on chain without a prompt.
    lured: AtomicU64,
    refused: AtomicU64,
    /// What was taken that must not be.
    taken: Mutex<Vec<String>>,
}

impl Rogue {
    /// Looks at a network, and fills its wallets.
    pub async fn prepare(network: &Network) -> Result<Self> {
        let models = network.get("/v1/models").await?;
        let identity = models["data"][0]["identity"].as_str().context("identity")?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(identity, &mut bytes)?;
        let model = pda::model(&bytes);
        let chain = network.chain();
        let found = chain.account::<Model>(&model).await?;
        let (_, account) = found.context("the model is not on chain")?;
        let config = chain.account::<Config>(&pda::config()).await?;
        let (_, config) = config.context("the program is not initialised")?;
        let state = network.state();
        let clients = (1..=ADDRESSES).map(|n| {
            Client::builder()
                .no_proxy()
                .local_address(IpAddr::V4(Ipv4Addr::new(127, 0, 67, n)))
                .redirect(reqwest::redirect::Policy::none())
                .timeout(Duration::from_secs(30))
                .build()
        });
        let rogue = Self {
            gateway: network.text("gateway_url"),
            nodes: nodes(&state)?,
            clients: clients.collect::<Result<_, _>>()?,
            model,
            prices: [account.price_in, account.price_out],
            rules_hash: config.rules_hash,
            payer: Keypair::new(),
            lurers: (0..LURERS).map(|_| Keypair::new()).collect(),
            poor: Keypair::new(),
            tarpit: Tarpit::open(TARPITS).await?,
            lured: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            taken: Mutex::default(),
            chain,
        };
        for wallet in rogue.lurers.iter().chain([&rogue.payer]) {
            let owner = wallet.pubkey();
            rogue.chain.airdrop(&owner, 20 * SOL).await?;
            let deposit = ix::deposit_vault(owner, owner, 2 * SOL);
            rogue.send(&[deposit], wallet).await?;
        }
        Ok(rogue)
    }

    async fn send(&self, what: &[solana_instruction::Instruction], by: &Keypair) -> Result<()> {
        self.chain
            .send_and_confirm(what, &by.pubkey(), &[by], Commitment::Processed)
            .await?;
        Ok(())
    }

    /// Lies until `end`. What fails because a process is away is tried another time.
    pub async fn lie(&self, seed: u64, end: Instant) {
        let lies = async {
            let mut random = StdRng::seed_from_u64(seed);
            for number in 0.. {
                let node = &self.nodes[number % self.nodes.len()];
                let _ = self.junk(node, random.random_range(0..7)).await;
                let _ = self.repeat_overheard().await;
                let _ = self.spy(node).await;
                match number % 3 {
                    0 => drop(self.leave_unread(node).await),
                    _ => drop(self.lure(number).await),
                }
                tokio::time::sleep(Duration::from_millis(random.random_range(100..1_500))).await;
            }
        };
        let _ = tokio::join!(
            self.tarpit.run(end),
            tokio::time::timeout_at(end.into(), lies)
        );
    }

    fn client(&self, number: usize) -> &Client {
        &self.clients[1 + number % (self.clients.len() - 1)]
    }

    /// Notes what became of a lie that must be refused.
    fn judge(&self, what: &str, answer: reqwest::Result<reqwest::Response>) {
        match answer {
            Ok(answer) if answer.status().is_success() => {
                let line = format!("{what}: {}", answer.status());
                if let Ok(mut taken) = self.taken.lock() {
                    taken.push(line);
                }
            }
            Ok(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            // The process is down.
            Err(_) => {}
        }
    }

    /// Arguments of a job; `source` is to have its prompt.
    async fn arguments(&self, source: &str) -> Result<RequestInference> {
        let slot = self.chain.slot(Commitment::Processed).await?;
        Ok(RequestInference {
            nonce: window::nonce(slot + u64::from(SLOTS), rand::random()),
            canceller: [0; 32],
            prompt_hash: hash::prompt_hash(&SALT, &PROMPT),
            prompt_tokens: U32::new(PROMPT.len() as u32),
            max_output_tokens: U32::new(8),
            price_in: self.prices[0],
            price_out: self.prices[1],
            user_seed: rand::random(),
            temperature_milli: U16::new(0),
            sampling_profile: SamplingProfile::SeededTop4 as u8,
            options_hash: [0; 32],
            prompt_source: Text::new(source).context("a long origin")?,
            deadline_slots: U32::new(SLOTS),
            rules_hash: self.rules_hash,
            bump: 0,
        })
    }

    fn requester(&self, owner: &Keypair, node: Option<&Node>) -> ix::Requester {
        let owner = owner.pubkey();
        ix::Requester {
            payer: owner,
            requester: owner,
            owner,
            model: self.model,
            validator: node.map(|node| (node.authority, node.operator)),
        }
    }

    /// A half-signed request for a node, as a gateway makes it.
    async fn request(
        &self,
        owner: &Keypair,
        node: &Node,
        args: &RequestInference,
    ) -> Result<InferenceRequest> {
        let blockhash = self.chain.latest_blockhash(Commitment::Finalized).await?;
        let who = self.requester(owner, Some(node));
        let transaction = request::build(&who, args, [owner, owner], blockhash.hash)?;
        Ok(InferenceRequest {
            transaction: request::encode(&transaction)?,
            job: pda::job(owner.pubkey(), &args.nonce).to_string(),
            prompt_ids: PROMPT.to_vec(),
            salt: hex::encode(SALT),
            stop: Vec::new(),
            options: None,
            logprobs: false,
        })
    }

    /// A transaction that would have the operator vouch for a result.
    async fn forged(&self, node: &Node, job: &str) -> Result<String> {
        let result = SubmitResult {
            terms_hash: [1; 32],
            output_root: [2; 32],
            fingerprint: [3; 32],
            output_tokens: U32::new(8),
            finish_reason: 2,
        };
        let submit = ix::submit_result(
            node.operator,
            node.authority,
            job.parse::<Pubkey>()?,
            &result,
        );
        let blockhash = self.chain.latest_blockhash(Commitment::Finalized).await?;
        let payer = self.payer.pubkey();
        let transaction =
            mythic_client::sign_partly(&[submit], &payer, &[&self.payer], blockhash.hash)?;
        Ok(request::encode(&transaction)?)
    }

    /// Brings a request that the node must not take.
    async fn junk(&self, node: &Node, kind: u8) -> Result<()> {
        let url = format!("{}/v1/inference", node.endpoint);
        let client = self.client(usize::from(kind));
        let args = self.arguments("").await?;
        let good = self.request(&self.payer, node, &args).await?;
        let (what, body) = match kind {
            0 => ("half a JSON", Value::String("{".repeat(1_000))),
            1 => {
                let transaction = request::encode(&vec![7_u8; 300])?;
                let bad = InferenceRequest {
                    transaction,
                    ..good
                };
                ("no transaction", serde_json::to_value(bad)?)
            }
            2 => {
                let unpaid = self.request(&self.poor, node, &args).await?;
                let sent = self.clients[0].post(&url).json(&unpaid).send().await;
                self.judge("a request of a wallet without money", sent);
                return Ok(());
            }
            3 => {
                let prompt_ids = vec![1, 2, 4];
                let bad = InferenceRequest { prompt_ids, ..good };
                ("another prompt than was hashed", serde_json::to_value(bad)?)
            }
            4 => {
                let other = self
                    .nodes
                    .iter()
                    .find(|other| other.operator != node.operator);
                let other = other.context("another node")?;
                let foreign = self.request(&self.payer, other, &args).await?;
                ("another node's request", serde_json::to_value(foreign)?)
            }
            5 => {
                let transaction = self.forged(node, &good.job).await?;
                let bad = InferenceRequest {
                    transaction,
                    ..good
                };
                ("a result to be signed", serde_json::to_value(bad)?)
            }
            _ => {
                let prompt_ids = vec![1; 1_000_000];
                let bad = InferenceRequest { prompt_ids, ..good };
                ("a prompt of a million tokens", serde_json::to_value(bad)?)
            }
        };
        self.judge(what, client.post(&url).json(&body).send().await);
        Ok(())
    }

    /// Puts a job on chain whose prompt nobody has.
    async fn lure(&self, number: usize) -> Result<()> {
        let wallet = &self.lurers[number % self.lurers.len()];
        let mut args = self.arguments(&self.tarpit.origin(number)?).await?;
        args.prompt_hash = rand::random();
        let open = ix::request_inference(&self.requester(wallet, None), &args);
        self.send(&[open], wallet).await?;
        self.lured.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Orders an answer, several times under one transaction, and reads none of it; the result is to go to a tarpit.
    async fn leave_unread(&self, node: &Node) -> Result<()> {
        let args = self
            .arguments(&self.tarpit.origin(rand::random_range(0..64))?)
            .await?;
        let request = self.request(&self.payer, node, &args).await?;
        let url = format!("{}/v1/inference", node.endpoint);
        for number in 0..3 {
            let sent = self.client(number).post(&url).json(&request).send();
            // The connection ends with the answer unread.
            let _ = tokio::time::timeout(Duration::from_secs(2), sent).await;
        }
        Ok(())
    }

    /// Brings others what nodes signed for a tarpit.
    async fn repeat_overheard(&self) -> Result<()> {
        let Some(heard) = self.tarpit.met.overheard() else {
            return Ok(());
        };
        let method: reqwest::Method = heard.method.parse()?;
        let nodes = self.nodes.iter().map(|node| &node.endpoint);
        for (number, base) in nodes.chain([&self.gateway]).enumerate() {
            let url = format!("{base}{}", heard.path);
            let mut again = self.client(number).request(method.clone(), url);
            for (name, value) in &heard.headers {
                again = again.header(name, value);
            }
            let sent = again.body(heard.body.clone()).send().await;
            self.judge(&format!("a repeated {method} {}", heard.path), sent);
        }
        Ok(())
    }

    /// Asks for the evidence of somebody else's job.
    async fn spy(&self, node: &Node) -> Result<()> {
        let client = self.client(0);
        let list = client.get(format!("{}/v1/jobs?limit=20", self.gateway));
        let list: Value = list.send().await?.json().await?;
        let jobs = list["data"].as_array().into_iter().flatten();
        let own = self.payer.pubkey().to_string();
        let others = jobs.filter(|job| job["owner"].as_str().is_some_and(|owner| owner != own));
        let ids: Vec<Pubkey> = others
            .filter_map(|job| job["id"].as_str()?.parse().ok())
            .collect();
        for job in ids.into_iter().take(2) {
            let path = format!("/v1/jobs/{job}/evidence");
            for base in [&node.endpoint, &self.gateway] {
                let ask = signed::Request {
                    origin: &Origin::parse(base)?,
                    method: "GET",
                    path: &path,
                    purpose: &purpose::evidence(&job),
                    body: &[],
                };
                let mut asked = client.get(format!("{base}{path}"));
                for (name, value) in signed::sign(&ask, &self.payer) {
                    asked = asked.header(name, value);
                }
                self.judge(&format!("evidence of {job}"), asked.send().await);
            }
        }
        Ok(())
    }

    /// What the lies came to. To be asked once all jobs have ended.
    pub async fn came_to(&self) -> Result<()> {
        let met = &self.tarpit.met;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (lured, refused) = (count(&self.lured), count(&self.refused));
        let (visits, misled) = (count(&met.visits), count(&met.misled));
        println!(
            "the hostile gateway: {refused} lies refused, {lured} jobs without a prompt, {visits} visits to its servers"
        );
        let taken = self.taken.lock().map_or_else(|_| Vec::new(), |t| t.clone());
        ensure!(taken.is_empty(), "was taken: {taken:?}");
        ensure!(misled == 0, "{misled} visitors went where they were sent");
        ensure!(
            refused > 0 && lured > 0 && visits > 0,
            "nobody met the hostile gateway"
        );
        for wallet in &self.lurers {
            let vault = pda::vault(wallet.pubkey());
            let found = self.chain.account::<Vault>(&vault).await?;
            let (_, vault) = found.context("no vault")?;
            ensure!(
                vault.spent.get() == 0 && vault.open_jobs.get() == 0,
                "a job without a prompt was paid, or is open: {vault:?}"
            );
        }
        Ok(())
    }
}

fn nodes(state: &Value) -> Result<Vec<Node>> {
    let all = state["validators"].as_array().context("validators")?;
    let nodes = all.iter().map(|validator| {
        let text = |key: &str| validator[key].as_str().context("a validator in dev.json");
        Ok(Node {
            endpoint: text("endpoint")?.to_owned(),
            authority: text("authority")?.parse()?,
            operator: text("operator")?.parse()?,
        })
    });
    nodes.collect()
}
