//! What the chain says of the leases in care, every few seconds: a list at `confirmed`, and of those that it does not hold their own
//! accounts at `finalized`, each with this provider's beside it. Only answers are passed on; what they are worth the machine decides.

use std::{sync::Arc, time::Duration};

use mythic_client::{
    AccountSnapshot, ClientError, Commitment, Filter, Listed, account::found, market,
};
use mythic_interface::market::state::{Lease, LeaseStatus};
use mythic_support::{Throttle, life::Pulse};
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use super::{desk::Desk, fsm::Event, lost::Lost};
use crate::ctx::Ctx;

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// Longest round: a call for each lease, each ending in 30 seconds.
const LONGEST_ROUND: Duration = Duration::from_secs(1_800);
/// How often the same trouble is told.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Newest slots that were answered of: no older answer counts.
#[derive(Debug, Default)]
struct Newest {
    confirmed: u64,
    finalized: u64,
}

/// Runs until `quit`.
pub async fn run(ctx: Arc<Ctx>, desk: Arc<Desk>, lost: Arc<Lost>, quit: CancellationToken) {
    let (mut newest, told) = (Newest::default(), Throttle::new(TOLD_EVERY));
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pulse = Pulse::new("reconciling leases", LONGEST_ROUND);
    loop {
        pulse.beat();
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        match round(&ctx, &desk, &lost, &mut newest).await {
            Ok(()) => {}
            Err(error) => {
                if told.allow().is_some() {
                    tracing::warn!(%error, "leases can't be reconciled with the chain; what runs goes on");
                }
            }
        }
    }
}

async fn round(
    ctx: &Ctx,
    desk: &Desk,
    lost: &Lost,
    newest: &mut Newest,
) -> Result<(), ClientError> {
    let filters = [Filter::<Lease>::provider(&ctx.authority)];
    let listing =
        ctx.chain
            .program_accounts_since(&filters, Commitment::Confirmed, newest.confirmed);
    let listed = listing.await?;
    newest.confirmed = listed.slot;
    let mut unknown = Vec::new();
    for (lease, state) in &listed.accounts {
        let event = Event::Read {
            slot: listed.slot,
            held: Commitment::Confirmed,
            lease: Some(Box::new(*state)),
        };
        let known = desk.tell(lease, event);
        if !known && state.status() != Some(LeaseStatus::Ended) {
            unknown.push((*lease, *state));
        }
    }
    lost.set(listed.slot, unknown);
    let absent = absent(&desk.leases(), &listed);
    let (chain, provider) = (&ctx.chain, market::address::provider(ctx.authority));
    let read = |lease: Pubkey, since: u64| async move {
        let both = [lease, provider];
        let read = chain.raw_accounts_since(&both, Commitment::Finalized, since);
        witnessed(read.await?)
    };
    last_words(desk, &absent, &mut newest.finalized, read).await
}

/// Asks for each lease by itself and tells its task. What one can't be read for holds up no other; the last trouble is handed back.
async fn last_words<F>(
    desk: &Desk,
    leases: &[Pubkey],
    newest: &mut u64,
    read: impl Fn(Pubkey, u64) -> F,
) -> Result<(), ClientError>
where
    F: Future<Output = Result<AccountSnapshot, ClientError>>,
{
    let mut failed = Ok(());
    for lease in leases.iter().copied() {
        match read(lease, *newest)
            .await
            .and_then(|read| last_word(&lease, &read))
        {
            Ok((slot, event)) => {
                *newest = slot;
                desk.tell(&lease, event);
            }
            Err(error) => failed = Err(error),
        }
    }
    failed
}

/// A lease's account out of an answer that has its provider's beside it. A node that does not have that one has lost its state, or is of
/// another chain: what it says of a lease is no evidence.
pub fn witnessed(both: Vec<AccountSnapshot>) -> Result<AccountSnapshot, ClientError> {
    let refuse = |why: &str| Err(ClientError::Answer(why.into()));
    match <[AccountSnapshot; 2]>::try_from(both) {
        Ok([_, provider]) if provider.account.is_none() => {
            refuse("a node knows nothing of this provider, so that its leases are not absent")
        }
        Ok([lease, _]) => Ok(lease),
        Err(_) => refuse("not two accounts were answered with"),
    }
}

/// What a lease's account at `finalized` says, and of which slot.
pub fn last_word(lease: &Pubkey, read: &AccountSnapshot) -> Result<(u64, Event), ClientError> {
    let event = Event::Read {
        slot: read.slot,
        held: Commitment::Finalized,
        lease: found::<Lease>(lease, read.account.as_ref())?.map(Box::new),
    };
    Ok((read.slot, event))
}

/// The leases in care that a list does not hold.
pub fn absent(known: &[Pubkey], listed: &Listed<Lease>) -> Vec<Pubkey> {
    let is_listed = |lease: &Pubkey| listed.accounts.iter().any(|(found, _)| found == lease);
    let absent = known.iter().filter(|lease| !is_listed(lease));
    absent.copied().collect()
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;
    use crate::journal::Promise;

    fn promise() -> Promise {
        Promise {
            request: String::new(),
            deadline_slot: 0,
            tenant: "alice".into(),
            units: 1,
            weights: String::new(),
            model: "m@0".into(),
            key_hash: "ab".into(),
            max_concurrent: 1,
            access: "{}".into(),
            container: None,
        }
    }

    #[test]
    fn lamports_that_somebody_sent_to_a_leases_address_are_no_lease_and_no_trouble() {
        let account = solana_account::Account {
            lamports: 890_880,
            ..Default::default()
        };
        let read = AccountSnapshot {
            slot: 9,
            account: Some(account),
        };
        let (slot, event) = last_word(&Pubkey::default(), &read).unwrap();
        assert_eq!(slot, 9);
        assert!(matches!(event, Event::Read { lease: None, .. }));
    }

    #[tokio::test]
    async fn a_lease_that_cant_be_read_holds_up_no_other_and_its_trouble_is_told() {
        let key = |n: u8| Pubkey::new_from_array([n; 32]);
        let (desk, leases) = (Desk::default(), [key(1), key(2), key(3), key(4)]);
        let mut tasks: Vec<_> = leases
            .iter()
            .map(|lease| desk.enter(*lease, Arc::new(promise())).unwrap())
            .collect();
        let read = |lease: Pubkey, since: u64| async move {
            let account = (lease == key(3)).then(|| solana_account::Account {
                lamports: 890_880,
                ..Default::default()
            });
            match lease == key(2) {
                true => Err(ClientError::Rpc("it is silent".into())),
                false => Ok(AccountSnapshot {
                    slot: since.max(6) + 1,
                    account,
                }),
            }
        };
        let mut newest = 5;
        let ended = last_words(&desk, &leases, &mut newest, read).await;
        assert!(matches!(ended, Err(ClientError::Rpc(_))));
        assert_eq!(newest, 9, "each was asked for what is no older than before");
        let told: Vec<_> = tasks
            .iter_mut()
            .map(|task| task.try_recv().is_ok())
            .collect();
        assert_eq!(told, [true, false, true, true]);
    }

    #[test]
    fn a_node_that_lost_its_state_is_no_witness_of_an_absence() {
        let there = || Some(solana_account::Account::default());
        let both = |lease: Option<_>, provider: Option<_>| {
            [lease, provider].map(|account| AccountSnapshot { slot: 9, account })
        };
        let absent = witnessed(both(None, there()).to_vec()).unwrap();
        assert_eq!((absent.slot, absent.account), (9, None));
        let found = witnessed(both(there(), there()).to_vec()).unwrap();
        assert!(found.account.is_some());
        for refused in [
            witnessed(both(None, None).to_vec()),
            witnessed(both(there(), None).to_vec()),
            witnessed(both(None, there())[..1].to_vec()),
            witnessed(Vec::new()),
        ] {
            assert!(matches!(refused, Err(ClientError::Answer(_))));
        }
    }

    #[test]
    fn what_a_list_does_not_hold_is_asked_for_by_itself() {
        let key = |n: u8| Pubkey::new_from_array([n; 32]);
        let listed = Listed {
            slot: 9,
            accounts: vec![(key(1), Lease::zeroed()), (key(3), Lease::zeroed())],
        };
        assert_eq!(absent(&[key(1), key(2), key(3)], &listed), [key(2)]);
        let empty = Listed {
            slot: 9,
            accounts: Vec::new(),
        };
        assert_eq!(absent(&[key(1), key(2)], &empty), [key(1), key(2)]);
    }
}
