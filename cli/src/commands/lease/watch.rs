//! `mythic lease watch`: what happens to leases, and whether their proofs are true, for whoever looks. Providers are strangers here: what
//! is asked of each is bounded in time, in size and in number, and goes to public addresses alone.

use super::{
    case::{self, Stakes},
    host::{Host, Reach},
    kept::Elements,
    proofs::{self, Drawer, Judged},
    read::{address, find, load},
    words,
};
use crate::{
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    note,
    progress::Live,
    say, terminal,
    units::{parse_amount, sol},
};
use anyhow::{Context, Result};
use clap::Args;
use futures::{StreamExt, stream};
use mythic_client::{ChainClient, Commitment, Filter, account::found, market};
use mythic_interface::{
    hash::Hash,
    market::state::{Lease, LeaseDispute, LeaseEpoch, LeaseStatus, Provider},
    state::Key,
};
use mythic_support::{Backoff, Throttle};
use mythic_wire::signed::unix_seconds;
use serde_json::json;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// How often the chain is looked at, and the longest pause while it does not answer.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Leases that are watched at most: those whose proofs can be disputed first.
const LEASES: usize = 4_096;
/// Proofs that are asked for in a round, all at the same time, so that nobody's silence makes it longer; and of one provider.
const ASKED: usize = 64;
const ASKED_OF_ONE: usize = 8;
/// Longest until a provider's answer is there and judged, whatever it does.
const DEADLINE: Duration = Duration::from_secs(20);
/// Pauses before a provider that does not answer is asked again.
const PROVIDER_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// Slots before a proof that is not published is asked for again, and once that was said; never more than an eighth of the time to
/// dispute it.
const AGAIN: u64 = 16;
const AGAIN_MISSING: u64 = 200;
/// Own disputes at a time.
const DISPUTES: usize = 8;
/// Part of the time to dispute in which another's dispute about the same epoch is not waited for: the last quarter.
const LAST: u64 = 4;
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Follow leases: what happens to them, each thing once, and whether each proof is true as soon as it is published. Of leases that are
/// named it ends once they are settled; all leases of the network are watched until it is stopped
#[derive(Args, Debug)]
#[command(
    after_help = "Anybody may watch: `mythic lease watch --dispute --max-bond 0.01` looks for false proofs of all providers and disputes \
                  them by itself. A conviction pays a quarter of what the provider loses; it is disputed only what is computed here to be \
                  wrong, so that a bond comes back with the verdict. What its transactions bid for room in blocks, up to three tenths of the \
                  reward, does not. Bonds and rewards are collected while it runs, and by `mythic lease \
                  settle` after that. It asks providers under the URLs that they wrote on the chain, at public addresses only, and of a \
                  `mythic dev` here at those of this machine."
)]
pub struct Watch {
    /// Addresses of leases [default: all leases of the network]
    leases: Vec<String>,
    /// Dispute what is false, with this wallet
    #[arg(long, requires = "max_bond")]
    dispute: bool,
    /// Most that the bond of one dispute may be, SOL or lamports (500000lamports); up to eight are open at a time
    #[arg(long, value_parser = parse_amount, requires = "dispute")]
    max_bond: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    /// Begin without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

impl Watch {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let named: Vec<Pubkey> = self
            .leases
            .iter()
            .map(|text| address(text))
            .collect::<Result<_>>()?;
        let chain = connection.chain();
        for lease in &named {
            load(&chain, lease).await?;
        }
        let hunter = match self.max_bond.filter(|_| self.dispute) {
            Some(max_bond) => Some(self.hunter(connection, &named, max_bond).await?),
            None => None,
        };
        let mut watcher = Watcher {
            chain,
            named,
            allow_loopback: self.reach.is_private(connection),
            json: self.json,
            hunter,
            said: HashMap::new(),
            seen: HashMap::new(),
            providers: HashMap::new(),
            live: Live::new(),
            checked: 0,
        };
        let mut pauses = Backoff::new(LOOK_EVERY, LONGEST_PAUSE);
        let told = Throttle::new(TOLD_EVERY);
        loop {
            match watcher.round().await {
                Ok(true) => return Ok(()),
                Ok(false) => pauses.reset(),
                Err(error) if case::is_transient(&error) => {
                    if told.allow().is_some() {
                        note!("{error:#}; it is tried again");
                    }
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pauses.pause()).await;
        }
    }

    /// Who disputes, asked whether to; with what it disputed before.
    async fn hunter(
        &self,
        connection: &Connection,
        named: &[Pubkey],
        max_bond: u64,
    ) -> Result<Hunter> {
        let (chain, wallet) = (connection.chain(), connection.wallet()?);
        note!(
            "Each proof that is false is disputed with a bond of at most {}, up to {DISPUTES} at a time; bonds come back with the verdict.",
            sol(max_bond)
        );
        confirm(
            &format!("Wallet {} signs and pays. Go on?", wallet.pubkey()),
            self.yes,
        )?;
        let of = [Filter::<LeaseDispute>::disputer(&wallet.pubkey())];
        let before = chain.program_accounts(&of, Commitment::Confirmed).await?;
        let own = before.into_iter().map(|(dispute, state)| Own {
            lease: Pubkey::new_from_array(state.lease),
            dispute,
            until: 0,
        });
        let is_watched = |own: &Own| named.is_empty() || named.contains(&own.lease);
        Ok(Hunter {
            own: own.filter(is_watched).collect(),
            rent: chain.rent(LeaseDispute::LEN).await?,
            kept: Elements::of(connection),
            told: Throttle::new(TOLD_EVERY),
            wallet,
            max_bond,
        })
    }
}

/// Who disputes.
struct Hunter {
    wallet: Keypair,
    max_bond: u64,
    rent: u64,
    /// Own disputes that are not paid out.
    own: Vec<Own>,
    /// What convicts in them.
    kept: Elements,
    /// How often it is said what keeps them from being decided.
    told: Throttle,
}

/// An own dispute.
#[derive(Clone, Copy)]
struct Own {
    lease: Pubkey,
    dispute: Pubkey,
    /// Slot until which it may still land: what was sent may be on its way.
    until: u64,
}

impl Own {
    /// Whether it is looked after further at a slot: it is among those of its lease that the chain has, or may be yet.
    fn stays(&self, lease: &Pubkey, has: &HashSet<Pubkey>, slot: u64) -> bool {
        self.lease != *lease || has.contains(&self.dispute) || slot < self.until
    }
}

/// What is known of a proof, for as long as it can be disputed.
#[derive(Default)]
struct Seen {
    /// The hash that draws, kept for when the chain has forgotten it.
    draw: Option<Hash>,
    /// Slot from which it is asked for again.
    from: u64,
    /// What was said of it last.
    told: String,
    /// Nothing is left to find out.
    done: bool,
}

/// When a provider is asked again.
struct Line {
    from: Instant,
    pauses: Backoff,
}

/// A proof that is asked for.
struct Asked {
    lease: Pubkey,
    state: Box<Lease>,
    entry: LeaseEpoch,
    draw: Option<Hash>,
}

struct Watcher {
    chain: ChainClient,
    /// Empty = all.
    named: Vec<Pubkey>,
    allow_loopback: bool,
    json: bool,
    hunter: Option<Hunter>,
    /// News of leases that are named, as they stand.
    said: HashMap<Pubkey, Vec<String>>,
    seen: HashMap<(Pubkey, u64), Seen>,
    providers: HashMap<Key, Line>,
    live: Live,
    checked: u64,
}

impl Watcher {
    /// Looks once; `true` if nothing more can happen.
    async fn round(&mut self) -> Result<bool> {
        let leases = self.leases().await?;
        let drawer = Drawer::read(&self.chain).await?;
        if !self.named.is_empty() {
            for (lease, state) in &leases {
                self.news(lease, state)?;
            }
        }
        self.forget(&leases, drawer.slot);
        let asked = self.wanted(&leases, &drawer);
        let answers = self.ask(asked, &drawer).await?;
        for (asked, judged) in answers {
            self.take(&asked, judged, &drawer).await?;
        }
        self.collect(drawer.slot).await?;
        self.show(&leases);
        Ok(self.is_over(&leases))
    }

    /// The leases that are watched.
    async fn leases(&self) -> Result<Vec<(Pubkey, Lease)>> {
        if self.named.is_empty() {
            let all = self
                .chain
                .program_accounts::<Lease>(&[], Commitment::Confirmed);
            let mut all = all.await?;
            // Of more, those that were proved last.
            all.sort_by_key(|(_, state)| std::cmp::Reverse(state.last_proved.get()));
            all.truncate(LEASES);
            return Ok(all);
        }
        let mut found = Vec::new();
        for lease in &self.named {
            let state = find(&self.chain, lease).await?;
            found.extend(state.map(|state| (*lease, state)));
        }
        Ok(found)
    }

    fn tell(&self, lease: &Pubkey, line: &str) -> Result<()> {
        if self.json {
            return terminal::json_line(&json!({"lease": lease.to_string(), "news": line}));
        }
        match self.named.len() {
            1 => say!("{line}"),
            _ => say!("{lease}  {line}"),
        }
        Ok(())
    }

    /// Says what is new about a lease. How much is left is no news.
    fn news(&mut self, lease: &Pubkey, state: &Lease) -> Result<()> {
        let mut lines = vec![match state.status() {
            Some(LeaseStatus::Active) => "active".to_owned(),
            _ => words::standing(state, unix_seconds()),
        }];
        let epochs = words::epochs(state);
        lines.extend(epochs.into_iter().map(words::epoch));
        let before = self.said.remove(lease).unwrap_or_default();
        for line in lines.iter().filter(|line| !before.contains(*line)) {
            self.tell(lease, line)?;
        }
        self.said.insert(*lease, lines);
        Ok(())
    }

    /// Forgets what can't be disputed any more, and providers of whom nothing is watched.
    fn forget(&mut self, leases: &[(Pubkey, Lease)], slot: u64) {
        let live: HashSet<(Pubkey, u64)> = leases
            .iter()
            .flat_map(|(lease, state)| {
                let ring = state.ring.iter();
                let open = ring.filter(move |entry| proofs::is_disputable(state, entry, slot));
                open.map(move |entry| (*lease, entry.epoch.get()))
            })
            .collect();
        self.seen.retain(|proof, _| live.contains(proof));
        let of: HashSet<Key> = leases
            .iter()
            .map(|(_, state)| state.terms.provider)
            .collect();
        self.providers.retain(|provider, _| of.contains(provider));
    }

    /// The proofs that are asked for now, those first whose time is over first.
    fn wanted(&mut self, leases: &[(Pubkey, Lease)], drawer: &Drawer) -> Vec<Asked> {
        let (mut wanted, now) = (Vec::new(), Instant::now());
        for (lease, state) in leases {
            let line = self.providers.get(&state.terms.provider);
            let waits = line.is_some_and(|line| line.from > now);
            let ring = state.ring.iter();
            for entry in ring.filter(|entry| proofs::is_disputable(state, entry, drawer.slot)) {
                let seen = self.seen.entry((*lease, entry.epoch.get())).or_default();
                seen.draw = seen.draw.or_else(|| drawer.hash(entry));
                if seen.done || waits || drawer.slot < seen.from || !drawer.has_drawn(entry) {
                    continue;
                }
                wanted.push((
                    entry.dispute_end(&state.terms.rules),
                    *lease,
                    state,
                    entry,
                    seen.draw,
                ));
            }
        }
        wanted.sort_by_key(|(end, ..)| *end);
        let mut of_one: HashMap<Key, usize> = HashMap::new();
        wanted.retain(|(_, _, state, ..)| {
            let count = of_one.entry(state.terms.provider).or_default();
            *count += 1;
            *count <= ASKED_OF_ONE
        });
        wanted.truncate(ASKED);
        let asked = wanted
            .into_iter()
            .map(|(_, lease, state, entry, draw)| Asked {
                lease,
                state: Box::new(*state),
                entry: *entry,
                draw,
            });
        asked.collect()
    }

    /// Asks the providers; who does not answer is asked again later, and one whose proof is late has published nothing.
    async fn ask(&mut self, asked: Vec<Asked>, drawer: &Drawer) -> Result<Vec<(Asked, Judged)>> {
        let mut owners: HashMap<Key, Provider> = HashMap::new();
        let keys: HashSet<Key> = asked
            .iter()
            .map(|asked| asked.state.terms.provider)
            .collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let addresses: Vec<Pubkey> = keys
            .iter()
            .map(|key| market::address::provider(*key))
            .collect();
        let read = self
            .chain
            .raw_accounts(&addresses, Commitment::Confirmed)
            .await?;
        for ((key, address), snapshot) in keys.iter().zip(&addresses).zip(read) {
            if let Some(owner) = found::<Provider>(address, snapshot.account.as_ref())? {
                owners.insert(*key, owner);
            }
        }
        let (owners, allow_loopback) = (&owners, self.allow_loopback);
        let fetch = |asked: Asked| async move {
            let judged = judged(&asked, owners, drawer, allow_loopback);
            let judged = tokio::time::timeout(DEADLINE, judged).await;
            let judged = judged.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
            (asked, judged)
        };
        let answers: Vec<_> = stream::iter(asked.into_iter().map(fetch))
            .buffer_unordered(ASKED)
            .collect()
            .await;
        let mut all = Vec::new();
        for (asked, judged) in answers {
            let key = asked.state.terms.provider;
            match judged {
                Ok(judged) => {
                    self.providers.remove(&key);
                    all.push((asked, judged));
                }
                Err(_) => {
                    let line = self.providers.entry(key).or_insert_with(|| Line {
                        from: Instant::now(),
                        pauses: Backoff::new(PROVIDER_PAUSES.0, PROVIDER_PAUSES.1),
                    });
                    // Several of one round are one silence.
                    if line.from <= Instant::now() {
                        line.from = Instant::now() + line.pauses.pause();
                    }
                    if drawer.is_late(&asked.state, &asked.entry) {
                        all.push((asked, Judged::Missing));
                    }
                }
            }
        }
        Ok(all)
    }

    /// Takes what was found out about a proof: says it once, and disputes what is false.
    async fn take(&mut self, asked: &Asked, judged: Judged, drawer: &Drawer) -> Result<()> {
        let epoch = asked.entry.epoch.get();
        let mut line = format!("epoch {epoch}: {}", judged.words());
        let (done, again) = match &judged {
            Judged::Early => {
                line.clear();
                (false, AGAIN)
            }
            // What can't be read now may be readable later.
            Judged::Missing | Judged::Unshown(_) => (false, AGAIN_MISSING),
            Judged::Right { .. } => (true, 0),
            Judged::False(evidence) => {
                self.told(asked, &line)?;
                match self.hunt(asked, evidence).await? {
                    Hunted::Done(what) => {
                        line = format!("epoch {epoch}: {what}");
                        (true, 0)
                    }
                    Hunted::Waits(why) => {
                        line = format!("epoch {epoch}: not disputed yet: {why}");
                        (false, AGAIN)
                    }
                }
            }
        };
        self.told(asked, &line)?;
        let seen = self.seen.entry((asked.lease, epoch)).or_default();
        seen.done = done;
        seen.from = drawer.slot.saturating_add(paused(&asked.state, again));
        self.checked += u64::from(done);
        Ok(())
    }

    /// Says something of a proof, unless it was said last.
    fn told(&mut self, asked: &Asked, line: &str) -> Result<()> {
        let seen = self
            .seen
            .entry((asked.lease, asked.entry.epoch.get()))
            .or_default();
        if line.is_empty() || seen.told.contains(line) {
            return Ok(());
        }
        // Two lines at most: what is wrong, and what was done about it.
        seen.told = match seen.told.lines().count() {
            0 => line.to_owned(),
            _ => format!("{}\n{line}", seen.told.lines().next().unwrap_or_default()),
        };
        self.tell(&asked.lease, line)
    }

    /// Disputes a false proof, within the bounds.
    async fn hunt(&mut self, asked: &Asked, evidence: &proofs::Evidence) -> Result<Hunted> {
        let (chain, lease) = (&self.chain, &asked.lease);
        let Some(hunter) = &mut self.hunter else {
            let what = format!("`mythic lease dispute {lease}` disputes it");
            return Ok(Hunted::Done(what));
        };
        // As it is now: providers take their time, and somebody may have been faster.
        let Some((state, entry)) = proofs::still(chain, lease, &asked.entry).await? else {
            let why = "it is settled, or the chain has another proof now";
            return Ok(Hunted::Waits(why.into()));
        };
        let key = hunter.wallet.pubkey();
        let dispute = market::address::lease_dispute(lease, entry.epoch.get(), key);
        let disputed = || Hunted::Done(format!("disputed as {dispute}"));
        let is_own = hunter.own.iter().any(|own| own.dispute == dispute);
        let own = Own {
            lease: *lease,
            dispute,
            until: entry.dispute_end(&state.terms.rules),
        };
        // One of an earlier run, or one that seemed not to land, is carried on.
        if let Some((_, before)) = chain.account::<LeaseDispute>(&dispute).await? {
            if !is_own {
                hunter.own.push(own);
            }
            if case::wants(&before, &evidence.shown)
                && let Err(error) = hunter.kept.write(&dispute, &evidence.shown)
            {
                return Ok(Hunted::Waits(format!("{error:#}")));
            }
            return Ok(disputed());
        }
        let slot = chain.slot(Commitment::Confirmed).await?;
        let waits = hunter.waits((lease, &state), &entry, slot);
        if let Some(why) = waits.filter(|_| !is_own) {
            return Ok(Hunted::Waits(why));
        }
        let address = market::address::provider(state.terms.provider);
        let owner = chain.account::<Provider>(&address).await?;
        let (_, owner) = owner.context("the provider's account is gone")?;
        let stakes = hunter.stakes(&state, &owner, evidence)?;
        if !stakes.fits() {
            let why = format!("its bond is {}, more than --max-bond", sol(stakes.held()));
            return Ok(Hunted::Waits(why));
        }
        // First what convicts, then the bond: from here on it is shown whatever happens.
        if let Err(error) = hunter.kept.write(&dispute, &evidence.shown) {
            return Ok(Hunted::Waits(format!("{error:#}")));
        }
        if !is_own {
            hunter.own.push(own);
        }
        let (of, about) = ((lease, &state), (&entry, evidence.named));
        match case::open(chain, &hunter.wallet, of, about, &stakes).await {
            Ok(()) => Ok(disputed()),
            Err(error) => {
                // What was refused at once is not on its way; what was sent before may be.
                if !is_own && !case::is_transient(&error) {
                    hunter.own.retain(|own| own.dispute != dispute);
                    hunter.kept.remove(&dispute)?;
                }
                Ok(Hunted::Waits(format!("{error:#}")))
            }
        }
    }

    /// Has the elements of own disputes shown, and them decided and paid out as they are due. The slot was the newest before.
    async fn collect(&mut self, slot: u64) -> Result<()> {
        let Some(hunter) = &mut self.hunter else {
            return Ok(());
        };
        let mut news = Vec::new();
        let leases: HashSet<Pubkey> = hunter.own.iter().map(|own| own.lease).collect();
        for lease in leases {
            let (wallet, kept) = (&hunter.wallet, &hunter.kept);
            let done = match case::advance(&self.chain, wallet, kept, &lease, true).await {
                Err(error) if !case::is_transient(&error) => {
                    if hunter.told.allow().is_some() {
                        note!("{lease}: {error:#}; it is tried again");
                    }
                    continue;
                }
                done => done?,
            };
            let mut has = HashSet::new();
            for (dispute, state) in case::disputes(&self.chain, &lease).await? {
                let is_own = hunter.own.iter().any(|own| own.dispute == dispute);
                if is_own && !done.is_empty() {
                    news.push((
                        lease,
                        format!("dispute {dispute}: {}", case::verdict(&state)),
                    ));
                }
                has.insert(dispute);
            }
            let own = std::mem::take(&mut hunter.own).into_iter();
            let (own, gone): (Vec<Own>, Vec<Own>) =
                own.partition(|own| own.stays(&lease, &has, slot));
            hunter.own = own;
            for own in gone {
                hunter.kept.remove(&own.dispute)?;
            }
            news.extend(done.into_iter().map(|line| (lease, line)));
        }
        news.iter()
            .try_for_each(|(lease, line)| self.tell(lease, line))
    }

    /// What a terminal shows meanwhile.
    fn show(&self, leases: &[(Pubkey, Lease)]) {
        match leases {
            [(_, state)] if self.named.len() == 1 => {
                self.live.say(&words::standing(state, unix_seconds()));
            }
            _ => self.live.say(&format!(
                "{} leases, {} proofs checked, {} that can be disputed",
                leases.len(),
                self.checked,
                self.seen.len()
            )),
        }
    }

    /// Whether leases that are named are settled, own disputes with them.
    fn is_over(&self, leases: &[(Pubkey, Lease)]) -> bool {
        let settled = |(_, state): &(Pubkey, Lease)| {
            state.status() == Some(LeaseStatus::Ended) && state.pending.get() == 0
        };
        let own = self.hunter.as_ref().map_or(0, |hunter| hunter.own.len());
        let over = !self.named.is_empty() && own == 0 && leases.iter().all(settled);
        let due = leases
            .iter()
            .filter(|(_, state)| over && state.tenant_due.get() > 0);
        for (lease, state) in due {
            note!(
                "{} of it are the tenant's; `mythic lease close {lease}` pays them out",
                sol(state.tenant_due.get())
            );
        }
        over
    }
}

/// Slots before the proof of a lease is asked for again.
fn paused(lease: &Lease, slots: u64) -> u64 {
    slots.min(u64::from(lease.terms.rules.dispute_slots.get()) / 8)
}

/// What became of a proof that is false.
enum Hunted {
    Done(String),
    /// It is looked at again, for this reason.
    Waits(String),
}

impl Hunter {
    /// Why a false proof is not disputed now.
    fn waits(
        &self,
        (address, lease): (&Pubkey, &Lease),
        entry: &LeaseEpoch,
        slot: u64,
    ) -> Option<String> {
        // One convicts; a second bond about the same lease brings nothing.
        if self.own.iter().any(|own| own.lease == *address) {
            return Some("another proof of the lease is disputed already".to_owned());
        }
        if self.own.len() >= DISPUTES {
            return Some(format!("{DISPUTES} disputes are open"));
        }
        let slots = u64::from(lease.terms.rules.dispute_slots.get());
        let left = entry.dispute_end(&lease.terms.rules).saturating_sub(slot);
        let late = left <= slots / LAST;
        // Whoever was right before gets the reward; whoever named right elements convicts nobody.
        (entry.open_disputes.get() > 0 && !late).then(|| "somebody else disputes it".to_owned())
    }

    /// What a dispute costs, under the bound.
    fn stakes(
        &self,
        lease: &Lease,
        owner: &Provider,
        evidence: &proofs::Evidence,
    ) -> Result<Stakes> {
        let bound = Some(self.max_bond);
        let stakes = Stakes::of((lease, owner), &[evidence.named], self.rent, bound);
        stakes.map_err(|error| Exit::error(exit::FAILURE, error.message()))
    }
}

/// What a provider published of a proof.
async fn judged(
    asked: &Asked,
    owners: &HashMap<Key, Provider>,
    drawer: &Drawer,
    allow_loopback: bool,
) -> Result<Judged> {
    let owner = owners.get(&asked.state.terms.provider);
    let owner = owner.context("the provider's account is gone")?;
    let host = Host::of_stranger(owner.endpoint.as_str(), allow_loopback).await?;
    let of = (&asked.lease, &*asked.state);
    proofs::ask(&host, of, &asked.entry, (drawer, asked.draw)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lease::kept::tests::elements;
    use bytemuck::Zeroable;
    use mythic_client::slot_hashes::SlotHashes;
    use mythic_interface::market::state::EpochState;

    fn watcher() -> Watcher {
        Watcher {
            chain: ChainClient::new("http://127.0.0.1:9", "ws://127.0.0.1:9"),
            named: Vec::new(),
            allow_loopback: false,
            json: true,
            hunter: None,
            said: HashMap::new(),
            seen: HashMap::new(),
            providers: HashMap::new(),
            live: Live::new(),
            checked: 0,
        }
    }

    /// A lease of a provider with proofs of these epochs, an epoch a hundred slots, each disputed for fifty.
    fn lease(provider: u8, epochs: &[u64]) -> (Pubkey, Lease) {
        let mut lease = Lease::zeroed();
        lease.terms.provider = [provider; 32];
        lease.terms.rules.dispute_slots.set(50);
        for epoch in epochs {
            let entry = &mut lease.ring[Lease::place(*epoch)];
            entry.epoch.set(*epoch);
            entry.slot.set(100 * epoch);
            entry.proof = [1; 32];
            entry.state = EpochState::Pending as u8;
        }
        let address = Pubkey::new_from_array([provider; 32]);
        (address, lease)
    }

    fn drawer(slot: u64) -> Drawer {
        Drawer::at(slot, SlotHashes::default())
    }

    #[tokio::test]
    async fn a_proof_is_asked_for_once_it_is_drawn_and_until_it_is_judged() {
        let mut watcher = watcher();
        let leases = [lease(1, &[5, 6])];
        let asked = |watcher: &mut Watcher, slot: u64| {
            watcher.forget(&leases, slot);
            let asked = watcher.wanted(&leases, &drawer(slot));
            asked
                .iter()
                .map(|one| one.entry.epoch.get())
                .collect::<Vec<_>>()
        };
        assert!(asked(&mut watcher, 508).is_empty(), "not drawn");
        assert_eq!(asked(&mut watcher, 509), [5]);
        let of = leases[0].0;
        watcher.seen.get_mut(&(of, 5)).unwrap().from = 520;
        assert!(asked(&mut watcher, 519).is_empty());
        assert_eq!(asked(&mut watcher, 520), [5]);
        assert!(asked(&mut watcher, 550).is_empty(), "its time is over");
        assert!(watcher.seen.len() <= 1, "and it is forgotten");
        assert_eq!(asked(&mut watcher, 620), [6]);
        watcher.seen.get_mut(&(of, 6)).unwrap().done = true;
        assert!(asked(&mut watcher, 621).is_empty());
    }

    #[tokio::test]
    async fn one_provider_takes_no_others_place_and_is_left_alone_while_it_is_silent() {
        let mut watcher = watcher();
        let many: Vec<(Pubkey, Lease)> = (0..40)
            .map(|index| {
                let (_, state) = lease(1, &[5]);
                (Pubkey::new_from_array([100 + index; 32]), state)
            })
            .chain([lease(2, &[5])])
            .collect();
        let asked = watcher.wanted(&many, &drawer(520));
        let of = |provider: u8| {
            let own = asked
                .iter()
                .filter(|one| one.state.terms.provider == [provider; 32]);
            own.count()
        };
        assert_eq!((of(1), of(2)), (ASKED_OF_ONE, 1));
        let line = Line {
            from: Instant::now() + Duration::from_secs(3_600),
            pauses: Backoff::new(PROVIDER_PAUSES.0, PROVIDER_PAUSES.1),
        };
        watcher.providers.insert([1; 32], line);
        assert_eq!(watcher.wanted(&many, &drawer(520)).len(), 1);
    }

    #[tokio::test]
    async fn who_disputes_keeps_to_its_bounds() {
        let ((of, mut state), (other, _)) = (lease(1, &[5]), lease(2, &[]));
        let dir = tempfile::tempdir().unwrap();
        let mut hunter = Hunter {
            wallet: Keypair::new(),
            max_bond: 1,
            rent: 1,
            own: Vec::new(),
            kept: elements(dir.path()),
            told: Throttle::new(TOLD_EVERY),
        };
        let waits = |hunter: &Hunter, state: &Lease, slot| {
            hunter.waits((&of, state), state.epoch(5).unwrap(), slot)
        };
        assert_eq!(waits(&hunter, &state, 510), None);
        state.ring[Lease::place(5)].open_disputes.set(1);
        let why = waits(&hunter, &state, 510).unwrap();
        assert!(why.contains("somebody else"), "{why}");
        // Near the end it is not left to them.
        assert_eq!(waits(&hunter, &state, 540), None);
        let own = |lease: Pubkey| Own {
            lease,
            dispute: lease,
            until: 0,
        };
        hunter.own = vec![own(of)];
        let why = waits(&hunter, &state, 540).unwrap();
        assert!(why.contains("another proof of the lease"), "{why}");
        hunter.own = vec![own(other); DISPUTES - 1];
        assert_eq!(waits(&hunter, &state, 540), None);
        hunter.own.push(own(other));
        assert!(waits(&hunter, &state, 540).is_some());
    }

    #[test]
    fn an_own_dispute_is_looked_after_while_the_chain_has_it_and_while_it_may_land() {
        let key = |n: u8| Pubkey::new_from_array([n; 32]);
        let own = Own {
            lease: key(1),
            dispute: key(2),
            until: 50,
        };
        let (none, it) = (HashSet::new(), HashSet::from([key(2)]));
        assert!(own.stays(&key(1), &none, 49));
        assert!(!own.stays(&key(1), &none, 50));
        assert!(own.stays(&key(1), &it, 50));
        assert!(own.stays(&key(9), &none, 50), "of another lease");
    }

    #[test]
    fn no_pause_is_longer_than_a_part_of_the_time_to_dispute() {
        let (_, mut state) = lease(1, &[]);
        assert_eq!(
            (paused(&state, AGAIN), paused(&state, AGAIN_MISSING)),
            (6, 6)
        );
        state.terms.rules.dispute_slots.set(2_250);
        assert_eq!(
            (paused(&state, AGAIN), paused(&state, AGAIN_MISSING)),
            (AGAIN, AGAIN_MISSING)
        );
    }

    #[tokio::test]
    async fn a_private_address_is_not_asked() {
        let mut owner = Provider::zeroed();
        owner.endpoint = mythic_interface::le::Text::new("http://169.254.169.254").unwrap();
        let (address, state) = lease(1, &[5]);
        let asked = Asked {
            lease: address,
            entry: *state.epoch(5).unwrap(),
            state: Box::new(state),
            draw: None,
        };
        let owners = HashMap::from([([1; 32], owner)]);
        let refused = judged(&asked, &owners, &drawer(520), false)
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("not a public address"),
            "{refused}"
        );
    }
}
