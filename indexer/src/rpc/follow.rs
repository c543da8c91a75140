//! Follows a chain by asking: blocks say what changed and how they link, reads say what it is now, and both become sealed banks
//! ([`super::window`]). What was confirmed at the RPC becomes final here only when the finalized chain holds the same block.
//!
//! Nothing is remembered beside the tables: a restart goes on from the newest confirmed block in them. Where the chain of blocks
//! is broken (a long pause, blocks that nobody keeps, a fork below what is final) it starts anew from a snapshot, and what lies
//! between is a gap that the snapshot heals.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use mythic_interface::state::Key;
use mythic_support::{Backoff, Throttle};
use tokio::sync::mpsc;

use super::ask::{Level, Rpc, RpcError};
use super::claim::Block;
use super::snapshot::{self, Snapshot};
use super::window::{Fit, Start, Window};
use crate::alarms::Kind;
use crate::error::IndexerError;
use crate::holder::Input;
use crate::telemetry::Telemetry;
use crate::tree::{BankId, Root};

/// Name of the producer.
pub(crate) const NAME: &str = "rpc";
/// Slots that are asked for at once.
const RANGE: u64 = 64;
/// Slots behind the chain beyond which a snapshot is cheaper than the blocks.
const MAX_BEHIND: u64 = 4096;
/// Missing blocks below a block that are asked for.
const MAX_MISSING: usize = 64;
/// Rounds in a row that found what can't be true: then it is an alarm.
const STRIKES: u32 = 3;
/// Failures in a row after which it is not working any more.
const FAILURES: u32 = 3;
/// Pause after a failure, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// The same trouble is logged once in this time.
const WARNINGS: Duration = Duration::from_secs(10);

/// Inputs of somebody who has no log to read again: what is lost of them is asked for anew.
#[derive(Debug)]
pub(crate) struct Fed {
    pub producer: Arc<str>,
    pub inputs: Vec<Input>,
}

/// Why a round ended.
enum Trouble {
    Ask(RpcError),
    /// What it says does not fit what it said before.
    Contradiction(RpcError),
    /// The chain of blocks is broken.
    Lost(String),
    /// Nobody takes what it finds.
    Closed,
}

impl From<RpcError> for Trouble {
    fn from(error: RpcError) -> Self {
        match error.is_gone() {
            true => Self::Contradiction(error),
            false => Self::Ask(error),
        }
    }
}

/// See the module's description.
pub(crate) struct Follower {
    rpc: Rpc,
    poll: Duration,
    out: mpsc::Sender<Fed>,
    telemetry: Telemetry,
    run: [u8; 16],
    started: bool,
    /// The newest rooted block.
    root: Option<Root>,
    /// What the tables hold.
    resume: Option<Start>,
    window: Option<Window>,
    /// Up to here slots were asked for, though the newest block may be older.
    listed: u64,
    strikes: u32,
}

impl Follower {
    /// `root` and `resume`: where the tables are.
    pub fn new(
        rpc: Rpc,
        poll: Duration,
        (root, resume): (Option<Root>, Option<Start>),
        out: mpsc::Sender<Fed>,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            rpc,
            poll,
            out,
            telemetry,
            run: rand::random(),
            started: false,
            root,
            resume,
            window: None,
            listed: 0,
            strikes: 0,
        }
    }

    /// Follows until nobody listens any more.
    pub async fn follow(mut self) {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        let warnings = Throttle::new(WARNINGS);
        let mut failures = 0;
        loop {
            let pause = match self.round().await {
                Ok(more) => {
                    if failures >= FAILURES {
                        self.telemetry.working();
                    }
                    failures = 0;
                    self.strikes = 0;
                    backoff.reset();
                    if more { Duration::ZERO } else { self.poll }
                }
                Err(Trouble::Closed) => return,
                Err(Trouble::Lost(why)) => {
                    tracing::warn!("starting anew from a snapshot: {why}");
                    self.telemetry.rpc_error("lost");
                    (self.window, self.resume) = (None, None);
                    backoff.pause()
                }
                Err(trouble @ (Trouble::Ask(_) | Trouble::Contradiction(_))) => {
                    failures += 1;
                    if self.strike(&trouble).await.is_err() {
                        return;
                    }
                    let (Trouble::Ask(error) | Trouble::Contradiction(error)) = trouble else {
                        continue;
                    };
                    self.telemetry.rpc_error(error.name());
                    if let Some(more) = warnings.allow() {
                        tracing::warn!(more, "{error}");
                    }
                    let pause = error.pause().unwrap_or_else(|| backoff.pause());
                    if failures >= FAILURES {
                        self.telemetry.failed(&IndexerError::Rpc(error));
                    }
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Counts what can't be true. An answer may have come from a node of a pool that is astray; again and again it is an alarm, and
    /// if it is about the chain, the tables are compared with a snapshot.
    async fn strike(&mut self, trouble: &Trouble) -> Result<(), Trouble> {
        let error = match trouble {
            Trouble::Contradiction(error) => error,
            Trouble::Ask(error @ RpcError::Claim { .. }) => error,
            _ => return Ok(()),
        };
        self.strikes += 1;
        if self.strikes != STRIKES {
            return Ok(());
        }
        if matches!(trouble, Trouble::Contradiction(_)) {
            (self.window, self.resume) = (None, None);
        }
        let refused = Input::Refused {
            run: self.run,
            kind: Kind::Rpc,
            slot: self.root.map_or(0, |root| root.slot),
            detail: error.to_string(),
        };
        self.send(vec![refused]).await
    }

    fn contradiction(&self, method: &'static str, what: String) -> Trouble {
        Trouble::Contradiction(self.rpc.claim(method, what))
    }

    async fn send(&self, inputs: Vec<Input>) -> Result<(), Trouble> {
        if inputs.is_empty() {
            return Ok(());
        }
        let fed = Fed {
            producer: NAME.into(),
            inputs,
        };
        self.out.send(fed).await.map_err(|_| Trouble::Closed)
    }

    /// Asks for what is new. `true`: there is more.
    async fn round(&mut self) -> Result<bool, Trouble> {
        let Some(mut window) = self.window.take() else {
            self.window = Some(self.open().await?);
            return Ok(true);
        };
        // Whatever fails, what is known so far stays.
        let result = self.advance(&mut window).await;
        if !matches!(result, Err(Trouble::Lost(_))) {
            self.window = Some(window);
        }
        result
    }

    async fn advance(&mut self, window: &mut Window) -> Result<bool, Trouble> {
        let tip = self.rpc.slot(Level::Confirmed).await?;
        let newest = window.newest().slot;
        if tip.saturating_sub(newest) > MAX_BEHIND {
            return Err(Trouble::Lost(format!(
                "the tables end at slot {newest}, the chain at {tip}"
            )));
        }
        self.extend(window, tip).await?;
        self.read(window).await?;
        if let Some(slot) = window.wanted() {
            self.extend(window, slot).await?;
        }
        let (banks, checked) = window.seal();
        let last = banks.last().map(|bank| bank.id);
        let mut inputs: Vec<Input> = banks.into_iter().map(Input::Bank).collect();
        inputs.extend(last.map(|id| Input::Confirmed {
            run: self.run,
            slot: id.slot,
            hash: Some(id.hash),
        }));
        self.send(inputs).await?;
        checked.map_err(|what| self.contradiction("getMultipleAccounts", what))?;
        self.finalize(window).await?;
        Ok(self.listed.max(window.newest().slot) < tip)
    }

    /// Where to go on: from the tables, or from a snapshot.
    async fn open(&mut self) -> Result<Window, Trouble> {
        if !self.started {
            let genesis = Some(self.rpc.genesis().await?);
            let start = Input::RunStart {
                run: self.run,
                genesis,
                interface: "json-rpc".into(),
                plugin: self.rpc.at().into(),
                primed: true,
            };
            self.send(vec![start]).await?;
            self.started = true;
        }
        self.check_root().await?;
        if self.resume.is_some() {
            let tip = self.rpc.slot(Level::Confirmed).await?;
            if let Some(mut start) = self.resume.take() {
                // Before the restart something may have been seen in one of these blocks that was not sealed any more.
                start.doubt = tip;
                self.listed = 0;
                return Ok(Window::new(self.run, start));
            }
        }
        let least = self.root.map_or(0, |root| root.slot + 1);
        let snapshot = snapshot::take(&self.rpc, least).await?;
        let Snapshot { low, accounts, .. } = snapshot;
        tracing::info!(
            slot = low.slot,
            accounts = accounts.len(),
            "starting from a snapshot"
        );
        let tracked: HashSet<Key> = accounts.iter().map(|account| account.pubkey).collect();
        self.send(vec![
            Input::Base {
                run: self.run,
                slot: low.slot,
                as_of: Some(low),
                accounts: accounts.into(),
            },
            self.rooted(low),
        ])
        .await?;
        self.root = Some(root(low));
        self.listed = 0;
        let start = Start {
            chain: vec![low],
            tracked,
            doubt: 0,
        };
        Ok(Window::new(self.run, start))
    }

    /// Whether the RPC is on our chain, as far as it still knows our newest rooted block.
    async fn check_root(&self) -> Result<(), Trouble> {
        let Some(Root {
            slot,
            hash: Some(hash),
        }) = self.root
        else {
            return Ok(());
        };
        match self.rpc.head(slot, Level::Finalized).await {
            Ok(block) if block.id.hash == hash => Ok(()),
            Ok(_) => {
                let what =
                    format!("block {slot} is another one than the one that is final in the tables");
                Err(self.contradiction("getBlock", what))
            }
            Err(e) if e.is_gone() => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes confirmed blocks up to a slot, as many as there is room for.
    async fn extend(&mut self, window: &mut Window, tip: u64) -> Result<(), Trouble> {
        let from = self.listed.max(window.newest().slot) + 1;
        let to = tip.min(from + RANGE - 1);
        if to < from || window.room() == 0 {
            return Ok(());
        }
        let mut slots = self.rpc.blocks(from, to).await?;
        slots.truncate(window.room());
        let none = slots.is_empty();
        let mut blocks = self.rpc.every_block(slots);
        while let Some(block) = blocks.try_next().await? {
            self.link(window, block).await?;
        }
        if none && to < tip {
            // All skipped, or a node that lags: the next block says what is missing below it.
            self.listed = to;
        }
        Ok(())
    }

    /// Takes a block, after those below it that were not listed.
    async fn link(&mut self, window: &mut Window, block: Block) -> Result<(), Trouble> {
        let mut above = vec![block];
        while let Some(block) = above.pop() {
            match window.take(block.clone()) {
                Fit::Taken => self.listed = 0,
                Fit::Stray => {
                    return Err(Trouble::Lost(format!(
                        "block {} stands on one that is not known",
                        block.id.slot
                    )));
                }
                Fit::Needs(parent) if above.len() < MAX_MISSING => {
                    above.push(block);
                    let missing = self.rpc.block(parent.slot).await?;
                    if missing.id != parent {
                        let what = format!(
                            "block {} is not the one that the next one stands on",
                            parent.slot
                        );
                        return Err(self.contradiction("getBlock", what));
                    }
                    above.push(missing);
                }
                Fit::Needs(_) => {
                    return Err(Trouble::Lost(format!(
                        "more than {MAX_MISSING} blocks below {} are missing",
                        block.id.slot
                    )));
                }
            }
        }
        Ok(())
    }

    /// Reads what blocks have changed, as it is in the newest of them or later.
    async fn read(&mut self, window: &mut Window) -> Result<(), Trouble> {
        let keys = window.unread();
        let least = window.newest().slot;
        let mut reads = self.rpc.every_account(&keys, Level::Confirmed, least);
        while let Some(read) = reads.try_next().await? {
            window.read(read.slot, read.value.into_iter());
        }
        Ok(())
    }

    /// Roots the newest block that is on the finalized chain.
    async fn finalize(&mut self, window: &mut Window) -> Result<(), Trouble> {
        let known = self.root.map_or(0, |root| root.slot);
        let finalized = self.rpc.slot(Level::Finalized).await?;
        let Some(id) = window.sealed_at(finalized).filter(|id| id.slot > known) else {
            return Ok(());
        };
        let block = self.rpc.head(id.slot, Level::Finalized).await?;
        if block.id != id {
            let what = format!(
                "block {} is finalized as another one than was confirmed",
                id.slot
            );
            return Err(self.contradiction("getBlock", what));
        }
        self.send(vec![self.rooted(id)]).await?;
        self.root = Some(root(id));
        window.rooted(id.slot);
        Ok(())
    }

    fn rooted(&self, id: BankId) -> Input {
        Input::Rooted {
            run: self.run,
            slot: id.slot,
            hash: Some(id.hash),
            parent: None,
        }
    }
}

fn root(id: BankId) -> Root {
    Root {
        slot: id.slot,
        hash: Some(id.hash),
    }
}
