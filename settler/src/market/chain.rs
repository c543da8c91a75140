//! Reading the market's accounts for the settler.

use std::collections::{BTreeSet, HashMap, HashSet};

use base64::Engine as _;
use mythic_client::{
    ChainClient, ClientError, Commitment,
    account::{ProgramAccount, decode, found},
    market::address,
};
use mythic_interface::market::{
    due::{self, Moment},
    state::{Lease, LeaseDispute, LeaseStatus, Provider, Request, RequestStatus},
};
use serde::Deserialize;
use serde_json::json;
use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::request::RpcRequest;

use super::windows::{
    LeaseDisputeWindow, LeaseWindow, MarketWindows, ProviderWindow, RequestWindow,
};
use crate::reconcile::ChainAccount;

/// Bytes of an account that are read for a comparison: of a lease all but most of its ring, of the others all.
const READ: usize = LeaseDispute::LEN;
/// Accounts of a kind that are looked at beside the index's in one turn.
const MAX_UNINDEXED: usize = 200;

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
    /// Takes those of `other` too, each account once, without those that `rests` names.
    pub fn add(&mut self, other: Self, rests: impl Fn(&Pubkey) -> bool) {
        let merge = |into: &mut Vec<Pubkey>, from: Vec<Pubkey>| {
            into.extend(from);
            into.sort_unstable();
            into.dedup();
            into.retain(|account| !rests(account));
        };
        merge(&mut self.leases, other.leases);
        merge(&mut self.requests, other.requests);
        merge(&mut self.disputes, other.disputes);
        self.providers.extend(other.providers);
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
    let wallets = client.raw_accounts(&tenants, Commitment::Confirmed).await?;
    let wallets = wallets.into_iter().map(|snapshot| snapshot.account);
    let wallets: HashMap<Pubkey, Option<Account>> = tenants.into_iter().zip(wallets).collect();
    let mut rents: HashMap<usize, u64> = HashMap::new();
    let mut out = HashSet::new();
    for (pubkey, lease) in owed {
        let tenant = Pubkey::new_from_array(lease.terms.tenant);
        let wallet = wallets.get(&tenant).and_then(Option::as_ref);
        let (bytes, held, executable) = wallet.map_or((0, 0, false), |wallet| {
            (wallet.data.len(), wallet.lamports, wallet.executable)
        });
        let rent = match rents.get(&bytes) {
            Some(rent) => *rent,
            None => {
                let rent = client.rent(bytes).await?;
                rents.insert(bytes, rent);
                rent
            }
        };
        if !executable && held.saturating_add(lease.tenant_due.get()) >= rent {
            out.insert(*pubkey);
        }
    }
    Ok(out)
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

/// All accounts of the market at one finalized slot.
#[derive(Default)]
pub(crate) struct MarketAccounts {
    pub slot: u64,
    /// Those that are compared.
    pub compared: Vec<ChainAccount>,
    /// Without most of their rings.
    leases: HashMap<Pubkey, Box<Lease>>,
    requests: Vec<(Pubkey, Box<Request>)>,
    disputes: Vec<(Pubkey, Box<LeaseDispute>)>,
    providers: Vec<Box<Provider>>,
}

/// Reads them.
pub(crate) async fn accounts(client: &ChainClient) -> Result<MarketAccounts, ClientError> {
    let parameters = json!([
        address::PROGRAM_ID.to_string(),
        {"commitment": "finalized", "encoding": "base64", "withContext": true,
         "dataSlice": {"offset": 0, "length": READ}}
    ]);
    let answer: Listed = client
        .rpc()
        .send(RpcRequest::GetProgramAccounts, parameters)
        .await?;
    let bad =
        |what: &str, pubkey: &str| ClientError::Answer(format!("{what} of account {pubkey:?}"));
    let mut out = MarketAccounts {
        slot: answer.context.slot,
        ..MarketAccounts::default()
    };
    for ListedAccount { pubkey, account } in answer.value {
        let key: Pubkey = pubkey.parse().map_err(|_| bad("address", &pubkey))?;
        let data = base64::engine::general_purpose::STANDARD
            .decode(&account.data.0)
            .map_err(|_| bad("data", &pubkey))?;
        out.push(
            key,
            &Account {
                lamports: account.lamports,
                data: whole(data),
                owner: address::PROGRAM_ID,
                ..Account::default()
            },
        );
    }
    Ok(out)
}

/// A lease as long as it is on chain; epochs that were not read are none.
fn whole(mut data: Vec<u8>) -> Vec<u8> {
    if data.first() == Some(&Lease::DISCRIMINATOR) && data.len() == READ {
        data.resize(Lease::LEN, 0);
    }
    data
}

impl MarketAccounts {
    fn push(&mut self, key: Pubkey, account: &Account) {
        self.compared
            .extend(ChainAccount::read(key, account, self.slot));
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
                self.providers.extend(read.map(Box::new));
            }
            _ => {}
        }
    }

    /// Accounts that may need something at a moment and that are not `known` to the index: it may have missed them for good. Of more
    /// than can be looked at, others every time.
    pub fn unindexed(&self, now: Moment, known: &HashSet<Pubkey>) -> MarketCandidates {
        let reached = |slot: Option<u64>| slot.is_some_and(|slot| slot <= now.slot);
        let pick = |mut found: Vec<Pubkey>| {
            found.retain(|key| !known.contains(key));
            found.sort_unstable();
            if let Some(from) = (now.slot as usize).checked_rem(found.len()) {
                found.rotate_left(from);
            }
            found.truncate(MAX_UNINDEXED);
            found
        };
        let leases = self.leases.iter().filter(|(_, lease)| {
            let over = now.second >= lease.ends_at.get()
                && !matches!(
                    lease.status(),
                    None | Some(LeaseStatus::Accepted | LeaseStatus::Ended)
                );
            // What is pending lies in the part of the ring that was not read.
            over || lease.pending.get() > 0 || reached(due::lease_slot(lease))
        });
        let requests = self.requests.iter().filter(|(key, request)| {
            let open = request.header.status == RequestStatus::Open as u8;
            reached(due::request_slot(request))
                && (open || !self.leases.contains_key(&address::lease(key)))
        });
        let convicted = |dispute: &LeaseDispute| {
            let lease = self.leases.get(&Pubkey::new_from_array(dispute.lease));
            lease.is_some_and(|lease| lease.refuted_slot.get() != 0) && dispute.end == 0
        };
        let disputes = self
            .disputes
            .iter()
            .filter(|(_, dispute)| reached(due::dispute_slot(dispute)) || convicted(dispute));
        let providers = self.providers.iter().map(|provider| {
            // Not known from the account alone; a sweep that is due by time waits for the index.
            owing(provider, u64::MAX)
        });
        let providers = providers.filter(|provider| {
            provider.owed > 0 && !known.contains(&address::provider(provider.authority))
        });
        MarketCandidates {
            leases: pick(leases.map(|(key, _)| *key).collect()),
            requests: pick(requests.map(|(key, _)| *key).collect()),
            disputes: pick(disputes.map(|(key, _)| *key).collect()),
            providers: providers
                .take(MAX_UNINDEXED)
                .map(|provider| (provider.authority, provider.written_slot))
                .collect(),
        }
    }
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
                data: whole(data.clone()),
                owner: address::PROGRAM_ID,
                ..Account::default()
            };
            out.push(*key, &account);
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
        candidates.add(other, |account| rests.contains(account));
        assert_eq!(candidates.leases, [key(1), key(2)]);
        assert_eq!(candidates.providers, [(key(5), 7)]);
    }
}
