//! Reading the market's accounts for the settler.

use std::collections::{BTreeSet, HashMap, HashSet};

use base64::Engine as _;
use mythic_client::{
    BareAccount, ChainClient, ClientError, Commitment,
    account::{ProgramAccount, decode, found},
    market::address,
};
use mythic_interface::market::{
    due::{self, Moment},
    state::{
        Class, Lease, LeaseDispute, LeaseStatus, MarketTreasury, Provider, Request, RequestStatus,
    },
};
use serde::Deserialize;
use serde_json::json;
use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::request::RpcRequest;

use super::windows::{
    LeaseDisputeWindow, LeaseWindow, MarketWindows, ProviderWindow, RequestWindow,
};
use crate::reconcile::{ChainAccount, Kind};

/// Bytes of an account that are read for a comparison: of a lease all but most of its ring, of the others all.
const READ: usize = LeaseDispute::LEN;
/// Accounts of a kind that are looked at beside the index's in one turn.
const MAX_UNINDEXED: usize = 200;
/// Kinds that are compared, and the first bytes of their accounts.
const KINDS: [(Kind, u8); 6] = [
    (Kind::MarketTreasury, MarketTreasury::DISCRIMINATOR),
    (Kind::Class, Class::DISCRIMINATOR),
    (Kind::Provider, Provider::DISCRIMINATOR),
    (Kind::Lease, Lease::DISCRIMINATOR),
    (Kind::LeaseDispute, LeaseDispute::DISCRIMINATOR),
    (Kind::Request, Request::DISCRIMINATOR),
];

/// Accounts that may need something.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MarketCandidates {
    pub leases: Vec<Pubkey>,
    pub requests: Vec<Pubkey>,
    pub disputes: Vec<Pubkey>,
    /// Authorities, with the slot of the account's last finalized write.
    pub providers: Vec<(Pubkey, u64)>,
}

impl MarketCandidates {
    /// Takes those of `other` too.
    pub fn append(&mut self, other: Self) {
        self.leases.extend(other.leases);
        self.requests.extend(other.requests);
        self.disputes.extend(other.disputes);
        self.providers.extend(other.providers);
    }

    /// Leaves each account once, without those that `rests` names.
    pub fn settle(&mut self, rests: impl Fn(&Pubkey) -> bool) {
        for keys in [&mut self.leases, &mut self.requests, &mut self.disputes] {
            keys.sort_unstable();
            keys.dedup();
            keys.retain(|account| !rests(account));
        }
        self.providers.sort_unstable();
        self.providers.dedup_by_key(|(authority, _)| *authority);
        self.providers
            .retain(|(authority, _)| !rests(&address::provider(authority)));
    }

    /// All of them.
    pub fn accounts(&self) -> impl Iterator<Item = Pubkey> {
        let keys = [&self.leases, &self.requests, &self.disputes];
        let providers = self.providers.iter();
        let providers = providers.map(|(authority, _)| address::provider(authority));
        keys.into_iter().flatten().copied().chain(providers)
    }
}

/// The present state of candidates, at `confirmed`: what is done by now is not due again.
pub(crate) async fn windows(
    client: &ChainClient,
    candidates: &MarketCandidates,
) -> Result<MarketWindows, ClientError> {
    let leases = read::<Lease>(client, &candidates.leases).await?;
    let takes = takes(client, &leases).await?;
    let leases = leases.into_iter().map(|(pubkey, lease)| LeaseWindow {
        tenant_takes: takes.contains(&pubkey),
        pubkey,
        lease,
    });
    let authorities = candidates.providers.iter().map(|(authority, _)| *authority);
    let written: HashMap<Pubkey, u64> = candidates.providers.iter().copied().collect();
    let addresses: Vec<Pubkey> = authorities.map(address::provider).collect();
    let providers = read::<Provider>(client, &addresses).await?;
    let providers = providers.into_iter().filter_map(|(_, provider)| {
        let authority = Pubkey::new_from_array(provider.authority);
        let written_slot = *written.get(&authority)?;
        Some(owing(&provider, written_slot))
    });
    Ok(MarketWindows {
        leases: leases.collect(),
        requests: requests(client, &candidates.requests).await?,
        disputes: disputes(client, &candidates.disputes).await?,
        providers: providers.collect(),
    })
}

/// What a provider owes.
fn owing(provider: &Provider, written_slot: u64) -> ProviderWindow {
    let owed = [provider.owed_foundation, provider.owed_burn];
    ProviderWindow {
        authority: Pubkey::new_from_array(provider.authority),
        owed: owed
            .iter()
            .fold(0u64, |sum, owed| sum.saturating_add(owed.get())),
        written_slot,
    }
}

/// Leases whose tenants' wallets can hold what the leases have for them: the chain lets no wallet hold less than its rent, and gives
/// nothing to a program.
async fn takes(
    client: &ChainClient,
    leases: &[(Pubkey, Box<Lease>)],
) -> Result<HashSet<Pubkey>, ClientError> {
    let owed: Vec<&(Pubkey, Box<Lease>)> = leases
        .iter()
        .filter(|(_, lease)| lease.tenant_due.get() > 0)
        .collect();
    let tenants: BTreeSet<[u8; 32]> = owed.iter().map(|(_, lease)| lease.terms.tenant).collect();
    let tenants: Vec<Pubkey> = tenants.into_iter().map(Pubkey::new_from_array).collect();
    if tenants.is_empty() {
        return Ok(HashSet::new());
    }
    let wallets = client
        .bare_accounts(&tenants, Commitment::Confirmed)
        .await?;
    let wallets: HashMap<Pubkey, Option<BareAccount>> = tenants.into_iter().zip(wallets).collect();
    let rents = client.rents().await?;
    let takes = owed.into_iter().filter(|(_, lease)| {
        let tenant = Pubkey::new_from_array(lease.terms.tenant);
        let wallet = wallets.get(&tenant).copied().flatten();
        let (bytes, held, executable) = wallet.map_or((0, 0, false), |wallet| {
            (wallet.bytes, wallet.lamports, wallet.executable)
        });
        !executable && held.saturating_add(lease.tenant_due.get()) >= rents.of(bytes)
    });
    Ok(takes.map(|(pubkey, _)| *pubkey).collect())
}

async fn requests(
    client: &ChainClient,
    candidates: &[Pubkey],
) -> Result<Vec<RequestWindow>, ClientError> {
    let requests = read::<Request>(client, candidates).await?;
    let leases: Vec<Pubkey> = requests
        .iter()
        .map(|(pubkey, _)| address::lease(pubkey))
        .collect();
    let leases = client.raw_accounts(&leases, Commitment::Confirmed).await?;
    let windows = requests
        .into_iter()
        .zip(leases)
        .map(|((pubkey, request), lease)| RequestWindow {
            pubkey,
            request,
            // Lamports that somebody sent there are no lease.
            leased: lease
                .account
                .is_some_and(|account| account.owner == address::PROGRAM_ID),
        });
    Ok(windows.collect())
}

async fn disputes(
    client: &ChainClient,
    candidates: &[Pubkey],
) -> Result<Vec<LeaseDisputeWindow>, ClientError> {
    let disputes = read::<LeaseDispute>(client, candidates).await?;
    let leases: BTreeSet<[u8; 32]> = disputes.iter().map(|(_, dispute)| dispute.lease).collect();
    let leases: Vec<Pubkey> = leases.into_iter().map(Pubkey::new_from_array).collect();
    let leases: HashMap<Pubkey, Box<Lease>> =
        read::<Lease>(client, &leases).await?.into_iter().collect();
    let windows = disputes
        .into_iter()
        .map(|(pubkey, dispute)| LeaseDisputeWindow {
            lease: leases.get(&Pubkey::new_from_array(dispute.lease)).cloned(),
            pubkey,
            dispute,
        });
    Ok(windows.collect())
}

/// Those accounts of one kind that are there.
async fn read<T: ProgramAccount>(
    client: &ChainClient,
    addresses: &[Pubkey],
) -> Result<Vec<(Pubkey, Box<T>)>, ClientError> {
    let snapshots = client
        .raw_accounts(addresses, Commitment::Confirmed)
        .await?;
    let decoded = addresses
        .iter()
        .zip(snapshots)
        .filter_map(|(pubkey, snapshot)| {
            let account = found::<T>(pubkey, snapshot.account.as_ref()).ok()??;
            Some((*pubkey, Box::new(account)))
        });
    Ok(decoded.collect())
}

#[derive(Deserialize)]
struct Listed {
    context: ListedAt,
    value: Vec<ListedAccount>,
}

#[derive(Deserialize)]
struct ListedAt {
    slot: u64,
}

#[derive(Deserialize)]
struct ListedAccount {
    pubkey: String,
    account: Sliced,
}

#[derive(Deserialize)]
struct Sliced {
    lamports: u64,
    data: (String, String),
}

/// All accounts of the market, each kind at a finalized slot.
#[derive(Default)]
pub(crate) struct MarketAccounts {
    /// Kinds that were read.
    pub kinds: Vec<Kind>,
    /// Oldest and newest slot at which one was.
    pub slots: (u64, u64),
    /// Those that are compared.
    pub compared: Vec<ChainAccount>,
    /// Without most of their rings.
    leases: HashMap<Pubkey, Box<Lease>>,
    requests: Vec<(Pubkey, Box<Request>)>,
    disputes: Vec<(Pubkey, Box<LeaseDispute>)>,
    providers: Vec<(Pubkey, Box<Provider>)>,
}

/// Accounts of the market that begin with a byte, and the finalized slot at which they were read.
async fn list(
    client: &ChainClient,
    first: u8,
) -> Result<(u64, Vec<(Pubkey, Account)>), ClientError> {
    let base64 = base64::engine::general_purpose::STANDARD;
    let parameters = json!([
        address::PROGRAM_ID.to_string(),
        {"commitment": "finalized", "encoding": "base64", "withContext": true,
         "filters": [{"memcmp": {"offset": 0, "bytes": base64.encode([first]), "encoding": "base64"}}],
         "dataSlice": {"offset": 0, "length": READ}}
    ]);
    let answer: Listed = client
        .rpc()
        .send(RpcRequest::GetProgramAccounts, parameters)
        .await?;
    let bad =
        |what: &str, pubkey: &str| ClientError::Answer(format!("{what} of account {pubkey:?}"));
    let read = |ListedAccount { pubkey, account }| {
        let key: Pubkey = pubkey.parse().map_err(|_| bad("address", &pubkey))?;
        let data = base64
            .decode(&account.data.0)
            .map_err(|_| bad("data", &pubkey))?;
        let account = Account {
            lamports: account.lamports,
            data,
            owner: address::PROGRAM_ID,
            ..Account::default()
        };
        Ok::<_, ClientError>((key, account))
    };
    let accounts: Result<Vec<_>, ClientError> = answer.value.into_iter().map(read).collect();
    Ok((answer.context.slot, accounts?))
}

/// A lease as long as it is on chain; epochs that were not read are none.
fn whole(mut data: Vec<u8>) -> Vec<u8> {
    if data.first() == Some(&Lease::DISCRIMINATOR) && data.len() == READ {
        data.resize(Lease::LEN, 0);
    }
    data
}

impl MarketAccounts {
    /// Reads them kind by kind: of one strangers may make more than an answer holds, and the others are read all the same. What kept one
    /// from being read comes back.
    pub async fn read(&mut self, client: &ChainClient) -> Result<(), ClientError> {
        let mut read = Ok(());
        for (kind, first) in KINDS {
            match list(client, first).await {
                Ok((slot, accounts)) => self.take(kind, slot, accounts),
                Err(error) => read = read.and(Err(error)),
            }
        }
        read
    }

    fn take(&mut self, kind: Kind, slot: u64, accounts: Vec<(Pubkey, Account)>) {
        let (oldest, newest) = match self.kinds.is_empty() {
            true => (slot, slot),
            false => self.slots,
        };
        self.slots = (oldest.min(slot), newest.max(slot));
        self.kinds.push(kind);
        for (key, account) in accounts {
            self.push(slot, key, account);
        }
    }

    fn push(&mut self, slot: u64, key: Pubkey, mut account: Account) {
        account.data = whole(account.data);
        let account = &account;
        self.compared.extend(ChainAccount::read(key, account, slot));
        match account.data.first().copied() {
            Some(Lease::DISCRIMINATOR) => {
                let read = decode::<Lease>(&key, account).ok();
                self.leases.extend(read.map(|lease| (key, Box::new(lease))));
            }
            Some(Request::DISCRIMINATOR) => {
                let read = decode::<Request>(&key, account).ok();
                self.requests
                    .extend(read.map(|request| (key, Box::new(request))));
            }
            Some(LeaseDispute::DISCRIMINATOR) => {
                let read = decode::<LeaseDispute>(&key, account).ok();
                self.disputes
                    .extend(read.map(|dispute| (key, Box::new(dispute))));
            }
            Some(Provider::DISCRIMINATOR) => {
                let read = decode::<Provider>(&key, account).ok();
                self.providers
                    .extend(read.map(|provider| (key, Box::new(provider))));
            }
            _ => {}
        }
    }

    /// Accounts that may need something at a moment and that are not `known` to the index: it may have missed them for good. Of more
    /// than can be looked at, others every time. Strangers make many: nothing here takes long for each.
    pub fn unindexed(&self, now: Moment, known: &HashSet<Pubkey>) -> MarketCandidates {
        let reached = |slot: Option<u64>| slot.is_some_and(|slot| slot <= now.slot);
        let leases = self.leases.iter().filter(|(key, lease)| {
            let over = now.second >= lease.ends_at.get()
                && !matches!(
                    lease.status(),
                    None | Some(LeaseStatus::Accepted | LeaseStatus::Ended)
                );
            // What is pending lies in the part of the ring that was not read.
            !known.contains(*key)
                && (over || lease.pending.get() > 0 || reached(due::lease_slot(lease)))
        });
        let leased: HashSet<[u8; 32]> = self
            .leases
            .values()
            .map(|lease| lease.terms.request)
            .collect();
        let requests = self.requests.iter().filter(|(key, request)| {
            let open = request.header.status == RequestStatus::Open as u8;
            !known.contains(key)
                && reached(due::request_slot(request))
                && (open || !leased.contains(key.as_array()))
        });
        let convicted = |dispute: &LeaseDispute| {
            let lease = self.leases.get(&Pubkey::new_from_array(dispute.lease));
            lease.is_some_and(|lease| lease.refuted_slot.get() != 0) && dispute.end == 0
        };
        let disputes = self.disputes.iter().filter(|(key, dispute)| {
            !known.contains(key) && (reached(due::dispute_slot(dispute)) || convicted(dispute))
        });
        let providers = self
            .providers
            .iter()
            .filter(|(key, _)| !known.contains(key));
        // Not known from the account alone; a sweep that is due by time waits for the index.
        let providers = providers.map(|(_, provider)| owing(provider, u64::MAX));
        let providers = providers
            .filter(|provider| provider.owed > 0)
            .map(|provider| (provider.authority, provider.written_slot));
        MarketCandidates {
            leases: pick(leases.map(|(key, _)| *key).collect(), now.slot),
            requests: pick(requests.map(|(key, _)| *key).collect(), now.slot),
            disputes: pick(disputes.map(|(key, _)| *key).collect(), now.slot),
            providers: pick(providers.collect(), now.slot),
        }
    }
}

/// As many as can be looked at, others at each slot.
fn pick<T: Ord>(mut found: Vec<T>, slot: u64) -> Vec<T> {
    found.sort_unstable();
    if let Some(from) = (slot as usize).checked_rem(found.len()) {
        found.rotate_left(from);
    }
    found.truncate(MAX_UNINDEXED);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::{Zeroable, bytes_of};
    use mythic_interface::{market::params::MarketParams, state::VERSION};

    fn key(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    const NOW: Moment = Moment {
        slot: 1_000,
        second: 100,
    };

    fn lease(status: LeaseStatus) -> Lease {
        let mut lease = Lease::zeroed();
        lease.header.discriminator = Lease::DISCRIMINATOR;
        lease.header.version = VERSION;
        lease.header.status = status as u8;
        lease.terms.rules = MarketParams::dev().rules;
        lease.terms.grid.epoch_slots.set(150);
        lease
    }

    fn pushed(accounts: &[(Pubkey, Vec<u8>)]) -> MarketAccounts {
        let mut out = MarketAccounts::default();
        for (key, data) in accounts {
            let account = Account {
                lamports: 5,
                data: data.clone(),
                owner: address::PROGRAM_ID,
                ..Account::default()
            };
            out.push(0, *key, account);
        }
        out
    }

    #[test]
    fn a_lease_is_read_without_most_of_its_ring() {
        let mut ended = lease(LeaseStatus::Ended);
        ended.pending.set(7);
        ended.tenant_due.set(2);
        ended.ring[31].state = 1;
        let found = pushed(&[(key(1), bytes_of(&ended)[..READ].to_vec())]);
        assert_eq!(found.compared.len(), 1);
        assert_eq!(
            (found.compared[0].stored, found.compared[0].bytes),
            (9, Lease::LEN)
        );
        let known = HashSet::new();
        assert_eq!(found.unindexed(NOW, &known).leases, [key(1)]);
        let known = HashSet::from([key(1)]);
        assert_eq!(found.unindexed(NOW, &known), MarketCandidates::default());
        // Another length is no lease.
        assert!(
            pushed(&[(key(1), vec![Lease::DISCRIMINATOR; 90])])
                .compared
                .is_empty()
        );
    }

    #[test]
    fn what_may_need_something_is_found_without_an_index() {
        let mut running = lease(LeaseStatus::Active);
        running.ends_at.set(101);
        running.last_proved.set(6);
        let mut over = running;
        over.ends_at.set(100);
        let mut request = Request::zeroed();
        request.header.discriminator = Request::DISCRIMINATOR;
        request.header.version = VERSION;
        request.header.status = RequestStatus::Accepted as u8;
        running.terms.request = key(3).to_bytes();
        let asked = |n: u8| (key(n), bytes_of(&request).to_vec());
        let found = pushed(&[
            (address::lease(key(3)), bytes_of(&running).to_vec()),
            (key(2), bytes_of(&over).to_vec()),
            asked(3),
            asked(4),
        ]);
        let due = found.unindexed(NOW, &HashSet::new());
        assert_eq!((due.leases, due.requests), (vec![key(2)], vec![key(4)]));
    }

    #[test]
    fn of_more_than_can_be_looked_at_others_are_every_time() {
        let mut owed = lease(LeaseStatus::Ended);
        owed.tenant_due.set(1);
        let all: Vec<(Pubkey, Vec<u8>)> = (0..=u8::MAX)
            .map(|n| (key(n), bytes_of(&owed).to_vec()))
            .collect();
        let found = pushed(&all);
        let looked = |slot| {
            let now = Moment { slot, ..NOW };
            found.unindexed(now, &HashSet::new()).leases
        };
        let (one, other) = (looked(1_000), looked(1_200));
        assert_eq!((one.len(), other.len()), (MAX_UNINDEXED, MAX_UNINDEXED));
        let both: HashSet<Pubkey> = one.into_iter().chain(other).collect();
        assert_eq!(both.len(), 256);
    }

    #[test]
    fn of_more_providers_that_owe_than_can_be_looked_at_others_are_every_time_too() {
        let mut provider = Provider::zeroed();
        provider.header.discriminator = Provider::DISCRIMINATOR;
        provider.header.version = VERSION;
        provider.owed_burn.set(1);
        let all: Vec<(Pubkey, Vec<u8>)> = (0..=u8::MAX)
            .map(|n| {
                provider.authority = [n; 32];
                (address::provider(key(n)), bytes_of(&provider).to_vec())
            })
            .collect();
        let found = pushed(&all);
        let looked = |slot, known: &HashSet<Pubkey>| {
            let now = Moment { slot, ..NOW };
            found.unindexed(now, known).providers
        };
        let none = HashSet::new();
        let both = looked(1_000, &none).into_iter().chain(looked(1_200, &none));
        assert_eq!(both.collect::<HashSet<_>>().len(), 256);
        let known: HashSet<Pubkey> = all.iter().map(|(key, _)| *key).collect();
        assert!(looked(1_000, &known).is_empty());
    }

    #[test]
    fn every_kind_of_the_market_that_is_compared_is_read_each_by_its_first_byte() {
        for (kind, first) in KINDS {
            let mut data = match kind {
                Kind::MarketTreasury => bytes_of(&MarketTreasury::zeroed()).to_vec(),
                Kind::Class => bytes_of(&Class::zeroed()).to_vec(),
                Kind::Provider => bytes_of(&Provider::zeroed()).to_vec(),
                Kind::Request => bytes_of(&Request::zeroed()).to_vec(),
                Kind::Lease => bytes_of(&Lease::zeroed()).to_vec(),
                _ => bytes_of(&LeaseDispute::zeroed()).to_vec(),
            };
            (data[0], data[1]) = (first, VERSION);
            let found = pushed(&[(key(1), data)]);
            assert_eq!(found.compared[0].kind, kind);
        }
    }

    #[test]
    fn the_slots_are_those_of_the_kinds_that_were_read() {
        let mut accounts = MarketAccounts::default();
        for (slot, slots) in [(7, (7, 7)), (5, (5, 7)), (9, (5, 9))] {
            accounts.take(Kind::Class, slot, Vec::new());
            assert_eq!(accounts.slots, slots);
        }
        assert_eq!(accounts.kinds.len(), 3);
    }

    #[test]
    fn each_account_is_looked_at_once_unless_it_rests() {
        let mut candidates = MarketCandidates {
            leases: vec![key(2), key(1)],
            providers: vec![(key(5), 7)],
            ..MarketCandidates::default()
        };
        let other = MarketCandidates {
            leases: vec![key(3), key(1)],
            providers: vec![(key(5), u64::MAX), (key(6), 1)],
            ..MarketCandidates::default()
        };
        let rests = [key(3), address::provider(key(6))];
        candidates.append(other);
        candidates.settle(|account| rests.contains(account));
        assert_eq!(candidates.leases, [key(1), key(2)]);
        assert_eq!(candidates.providers, [(key(5), 7)]);
    }
}
