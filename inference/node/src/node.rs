//! A node's parts and how they are joined. Only assembly and the routes see the whole.

use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use mythic_client::{ChainClient, Commitment};
use mythic_interface::state::Config;
use mythic_wire::{Origin, allowance::Allowance, signed::Receiver};
use solana_pubkey::Pubkey;
use tokio::sync::Semaphore;

use crate::{
    config::NodeConfig,
    ctx::{self, Ctx},
    gpu::Gpus,
    keep::{
        journal::{Journal, Record},
        ledger::Ledger,
        store::Store,
    },
    meters::Meters,
    seams::Disclosure,
    serve::{
        backend::ServedModel,
        jobs::Jobs,
        submit::{self, Submitter},
    },
    setup::{self, Keys},
    verify::{Verifier, validators::Validators},
};

/// Checks that a validator opens here at once, and how fast it may open more.
const CHECKS: u32 = 120;
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// Answers about residual rows that a validator has here at once, and how fast it may have more.
const ROWS: u32 = 64;
const ROWS_EVERY: Duration = Duration::from_secs(1);
/// Such answers that are being sent at a time.
const ROWS_AT_ONCE: usize = 4;
/// Validators whose checks are counted at a time.
const CHECKERS: usize = 4_096;

/// A node: its parts, for assembly and routes.
pub struct Node {
    pub(crate) ctx: Arc<Ctx>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) verifier: Arc<Verifier>,
    /// Takes signed requests.
    pub(crate) receiver: Receiver,
    /// Checks of our results that others opened.
    pub(crate) checks: Allowance<[u8; 32]>,
    /// Their questions for residual rows, and places for the answers.
    pub(crate) rows: Allowance<[u8; 32]>,
    pub(crate) rows_sent: Arc<Semaphore>,
    /// Others' accounts.
    pub(crate) validators: Validators,
    pub(crate) gpus: Gpus,
    pub(crate) status_token: Option<String>,
}

impl Deref for Node {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

/// What a node is made of.
pub struct Parts {
    pub config: NodeConfig,
    pub keys: Keys,
    /// The journal, opened.
    pub journal: Journal,
    /// Own results.
    pub store: Store,
    pub chain: ChainClient,
    /// The network's Config account.
    pub network: Config,
    /// Models served.
    pub models: Vec<ServedModel>,
    /// What is shown of results.
    pub disclosure: Arc<dyn Disclosure>,
}

/// Joins the parts; registers the validator.
pub async fn assemble(parts: Parts) -> Result<Arc<Node>> {
    let (config, chain) = (parts.config, parts.chain);
    let origin = config.origin().map_err(anyhow::Error::msg)?;
    let addresses: Vec<Pubkey> = parts.models.iter().map(|m| m.address).collect();
    let validator =
        setup::register(&chain, &config, &parts.keys, &parts.network, &addresses).await?;
    let slot = setup::patiently("reading the slot", || chain.slot(Commitment::Processed)).await?;
    let others = Store::open_others(&config.data_dir).with_context(|| {
        format!(
            "cannot make the directory of others' evidence in {}",
            config.data_dir.display()
        )
    })?;
    let gateways = config
        .gateways
        .iter()
        .map(|url| Origin::parse(url))
        .collect::<Result<Vec<_>, _>>()?;
    let status_token = match &config.status_token_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).context("status_token_file")?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        }
    };
    let ctx = ctx::Means {
        config,
        origin: origin.clone(),
        gateways,
        chain,
        keys: parts.keys,
        models: parts.models,
        store: parts.store,
        others,
        ledger: Ledger::start(parts.journal).context("starting the journal's thread")?,
        meters: Meters::new()?,
        disclosure: parts.disclosure,
    };
    let ctx = Arc::new(Ctx::new(ctx, validator, parts.network.params, slot));
    Ok(Arc::new(Node {
        jobs: jobs(&ctx),
        verifier: Arc::new(Verifier::new(ctx.clone())),
        receiver: Receiver::new(origin),
        checks: Allowance::new(CHECKS, CHECK_EVERY, CHECKERS),
        rows: Allowance::new(ROWS, ROWS_EVERY, CHECKERS),
        rows_sent: Arc::new(Semaphore::new(ROWS_AT_ONCE)),
        validators: Validators::default(),
        gpus: Gpus::find(),
        status_token,
        ctx,
    }))
}

/// The table of jobs and its submitter. While other jobs run, a result waits a little for theirs.
fn jobs(ctx: &Arc<Ctx>) -> Arc<Jobs> {
    Arc::new_cyclic(|jobs: &std::sync::Weak<Jobs>| {
        let jobs = jobs.clone();
        let patience = Duration::from_millis(ctx.config.submit_linger_ms);
        let briefly = submit::briefly();
        let linger = Arc::new(move || {
            let company = jobs.upgrade().is_some_and(|jobs| jobs.load().0 > 0);
            match company {
                true => patience,
                false => briefly(),
            }
        });
        let (fees, slots) = (ctx.clone(), ctx.clone());
        let means = submit::Means {
            chain: ctx.chain.clone(),
            operator: ctx.keys.operator.clone(),
            validator: ctx.keys.authority,
            bids: ctx.config.bids,
            slot: Arc::new(move || slots.slot()),
            on_fee: Arc::new(move |lamports| fees.note_soft(Record::Fee { lamports })),
        };
        Jobs::new(ctx.clone(), Submitter::start(means, linger))
    })
}
