//! Transfers to the operator, which buy credit: whose they are, what they bring, and how often the chain is asked about them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use mythic_client::{Commitment, Landed};
use mythic_wire::allowance::Allowance;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use tokio::sync::Semaphore;

use crate::{
    chain::{Chain, errors::chain_error},
    error::{ApiError, ApiResult},
};

/// Oldest transfer that is credited, seconds. What was credited is remembered for longer, so that nothing is credited twice.
pub const MAX_AGE: i64 = 7 * 24 * 3_600;
/// Least that a transfer must bring, lamports: about the fees of one job.
pub const LEAST: u64 = 20_000;
/// Transfers that one wallet may tell of at once, and how soon again.
const TOLD: (u32, Duration) = (10, Duration::from_secs(30));
/// Wallets whose telling is counted at a time.
const WALLETS: usize = 10_000;
/// Look-ups at the chain at a time, and how long one waits for its turn.
const LOOKUPS: (usize, Duration) = (4, Duration::from_secs(5));
/// Refusals that are remembered, and how long: for those that stay, and for those that time mends.
const REFUSALS: usize = 4_096;
const LASTING: Duration = Duration::from_secs(600);
const PASSING: Duration = Duration::from_secs(2);

/// The system program.
const SYSTEM: Pubkey = Pubkey::new_from_array([0; 32]);
/// Number of its instruction `Transfer`.
const TRANSFER: [u8; 4] = 2u32.to_le_bytes();

/// A transfer that is credited to a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Of its transaction.
    pub signature: Signature,
    /// Whose credit it is.
    pub wallet: Pubkey,
    /// What it brings.
    pub lamports: u64,
    /// Where it landed.
    pub slot: u64,
}

fn refused(message: String) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "payment_refused", message).param("signature")
}

/// What a finalized transaction brings `wallet`: the sum of its plain transfers to the operator that come from the wallet, or from
/// anybody if they name the wallet as their one further account. Pure.
fn brings(landed: &Landed, operator: &Pubkey, wallet: &Pubkey, now: i64) -> ApiResult<u64> {
    if let Some(error) = &landed.error {
        return Err(refused(format!(
            "this transaction failed on chain and moved nothing ({error}); send another one"
        )));
    }
    if landed.at.is_none_or(|at| now.saturating_sub(at) > MAX_AGE) {
        return Err(refused(format!(
            "this transaction is older than the {} days within which a transfer is credited",
            MAX_AGE / 86_400
        )));
    }
    let key = |index: &u8| landed.keys.get(usize::from(*index));
    let (mut own, mut all) = (0u64, 0u64);
    for instruction in landed.transaction.message.instructions() {
        let amount = match instruction.data.split_first_chunk::<4>() {
            Some((&TRANSFER, amount)) => <[u8; 8]>::try_from(amount).map(u64::from_le_bytes),
            _ => continue,
        };
        let ([from, to, named @ ..], Ok(amount)) = (instruction.accounts.as_slice(), amount) else {
            continue;
        };
        let is_ours = key(&instruction.program_id_index) == Some(&SYSTEM)
            && key(to) == Some(operator)
            && key(from) != Some(operator);
        if !is_ours {
            continue;
        }
        all = all.saturating_add(amount);
        let whose = match named {
            [] => key(from),
            [one] => key(one),
            _ => None,
        };
        if whose == Some(wallet) {
            own = own.saturating_add(amount);
        }
    }
    if all == 0 {
        return Err(refused(format!(
            "this transaction has no plain transfer to this gateway's operator, {operator}"
        )));
    }
    if own == 0 {
        return Err(refused(format!(
            "the transfer to the operator is not wallet {wallet}'s: it must come from it, or name it as its one further account"
        )));
    }
    if own < LEAST {
        return Err(refused(format!(
            "{own} lamports are too few to be credited; send at least {LEAST}"
        )));
    }
    let place = landed.keys.iter().position(|key| key == operator);
    let gained = place.and_then(|at| landed.after.get(at)?.checked_sub(*landed.before.get(at)?));
    if gained.is_none_or(|gained| gained < all) {
        return Err(refused(
            "this transaction takes from the operator again what it transfers; send a transfer alone".into(),
        ));
    }
    Ok(own)
}

/// Looks transfers up. Strangers ask, so each wallet may do so rarely, few look-ups run at a time, and refusals are remembered.
#[derive(Debug)]
pub struct Payments {
    told: Allowance<[u8; 32]>,
    looking: Semaphore,
    refusals: Mutex<HashMap<(Signature, Pubkey), (Instant, ApiError)>>,
}

impl Default for Payments {
    fn default() -> Self {
        Self {
            told: Allowance::new(TOLD.0, TOLD.1, WALLETS),
            looking: Semaphore::new(LOOKUPS.0),
            refusals: Mutex::default(),
        }
    }
}

impl Payments {
    /// The transfer to the operator that a transaction makes for `wallet`, once no fork undoes it.
    pub async fn find(
        &self,
        chain: &Chain,
        signature: &Signature,
        wallet: &Pubkey,
    ) -> ApiResult<Transfer> {
        let about = (*signature, *wallet);
        if let Some(error) = self.known(&about, Instant::now()) {
            return Err(error);
        }
        if !self.told.take(&wallet.to_bytes(), Instant::now()) {
            let message = "this wallet told of many transfers lately; tell of the next one later";
            let error = ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_exceeded",
                message,
            );
            return Err(error.retry_after(TOLD.1.as_secs() as u32));
        }
        let turn = tokio::time::timeout(LOOKUPS.1, self.looking.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(ApiError::unavailable(
                "gateway_busy",
                "the gateway looks up as many transfers as it can; try again shortly",
            ));
        };
        let found = look(chain, signature, wallet).await;
        if let Err(error) = &found
            && error.status < 500
        {
            self.remember(about, error, Instant::now());
        }
        found
    }

    fn known(&self, about: &(Signature, Pubkey), now: Instant) -> Option<ApiError> {
        let refusals = self.refusals.lock();
        let (until, error) = refusals.get(about)?;
        (*until > now).then(|| error.clone())
    }

    fn remember(&self, about: (Signature, Pubkey), error: &ApiError, now: Instant) {
        let life = match error.retry_after {
            Some(_) => PASSING,
            None => LASTING,
        };
        let mut refusals = self.refusals.lock();
        if refusals.len() >= REFUSALS {
            refusals.retain(|_, (until, _)| *until > now);
        }
        if refusals.len() < REFUSALS {
            refusals.insert(about, (now + life, error.clone()));
        }
    }
}

async fn look(chain: &Chain, signature: &Signature, wallet: &Pubkey) -> ApiResult<Transfer> {
    let found = chain
        .client
        .transaction(signature, Commitment::Finalized)
        .await
        .map_err(chain_error)?;
    let Some(landed) = found else {
        let status = chain.client.signature_status(signature).await;
        return Err(match status.map_err(chain_error)? {
            Some(_) => ApiError::new(
                StatusCode::CONFLICT,
                "payment_not_final",
                "this transaction is on chain and not finalized yet; tell of it again in some seconds",
            )
            .retry_after(5),
            None => ApiError::not_found(
                "payment_not_found",
                "the chain knows no such transaction: it did not land (yet), or is older than the gateway's node keeps",
            )
            .retry_after(5),
        });
    };
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    Ok(Transfer {
        signature: *signature,
        wallet: *wallet,
        lamports: brings(&landed, &chain.payer.pubkey(), wallet, now)?,
        slot: landed.slot,
    })
}

#[cfg(test)]
mod tests {
    use solana_instruction::{AccountMeta, Instruction};
    use solana_keypair::Keypair;
    use solana_message::Message;
    use solana_transaction::Transaction;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn transfer(from: Pubkey, to: Pubkey, lamports: u64, named: &[Pubkey]) -> Instruction {
        let mut accounts = vec![AccountMeta::new(from, true), AccountMeta::new(to, false)];
        accounts.extend(
            named
                .iter()
                .map(|key| AccountMeta::new_readonly(*key, false)),
        );
        let data = [TRANSFER.as_slice(), &lamports.to_le_bytes()].concat();
        Instruction {
            program_id: SYSTEM,
            accounts,
            data,
        }
    }

    /// As it would land: what is sent to `operator` is its gain.
    fn landed(payer: &Keypair, instructions: &[Instruction], operator: &Pubkey) -> Landed {
        let message = Message::new(instructions, Some(&payer.pubkey()));
        let transaction = Transaction::new_unsigned(message);
        let keys = transaction.message.account_keys.clone();
        let gain: u64 = instructions
            .iter()
            .filter(|it| it.accounts.get(1).is_some_and(|to| to.pubkey == *operator))
            .filter_map(|it| Some(u64::from_le_bytes(it.data.get(4..)?.try_into().ok()?)))
            .sum();
        Landed {
            slot: 5,
            at: Some(NOW - 60),
            error: None,
            before: vec![1_000; keys.len()],
            after: keys
                .iter()
                .map(|key| if key == operator { 1_000 + gain } else { 0 })
                .collect(),
            transaction: transaction.into(),
            keys,
        }
    }

    fn refusal(landed: &Landed, operator: &Pubkey, wallet: &Pubkey) -> String {
        let error = brings(landed, operator, wallet, NOW).unwrap_err();
        assert_eq!(
            (error.status, error.code.as_str()),
            (422, "payment_refused")
        );
        error.message
    }

    #[test]
    fn a_transfer_is_its_senders_or_whom_it_names() {
        let (payer, operator) = (Keypair::new(), Pubkey::new_unique());
        let (wallet, other) = (payer.pubkey(), Pubkey::new_unique());
        let plain = landed(
            &payer,
            &[transfer(wallet, operator, 50_000, &[])],
            &operator,
        );
        assert_eq!(brings(&plain, &operator, &wallet, NOW), Ok(50_000));
        assert!(refusal(&plain, &operator, &other).contains("not wallet"));
        let named = [
            transfer(wallet, operator, 50_000, &[other]),
            transfer(wallet, operator, 30_000, &[]),
            transfer(wallet, operator, 25_000, &[other]),
        ];
        let named = landed(&payer, &named, &operator);
        assert_eq!(brings(&named, &operator, &other, NOW), Ok(75_000));
        assert_eq!(brings(&named, &operator, &wallet, NOW), Ok(30_000));
        let two = [transfer(wallet, operator, 50_000, &[other, wallet])];
        let two = landed(&payer, &two, &operator);
        assert!(refusal(&two, &operator, &other).contains("one further account"));
        assert!(refusal(&two, &operator, &wallet).contains("one further account"));
    }

    #[test]
    fn what_is_no_transfer_to_the_operator_brings_nothing() {
        let (payer, operator) = (Keypair::new(), Pubkey::new_unique());
        let wallet = payer.pubkey();
        let elsewhere = [transfer(wallet, Pubkey::new_unique(), 50_000, &[])];
        let elsewhere = landed(&payer, &elsewhere, &operator);
        assert!(refusal(&elsewhere, &operator, &wallet).contains("no plain transfer"));
        let mut program = transfer(wallet, operator, 50_000, &[]);
        program.program_id = Pubkey::new_unique();
        let program = landed(&payer, &[program], &operator);
        assert!(refusal(&program, &operator, &wallet).contains("no plain transfer"));
        let mut long = transfer(wallet, operator, 50_000, &[]);
        long.data.push(0);
        let mut short = long.clone();
        short.data.truncate(9);
        let odd = landed(&payer, &[long, short], &operator);
        assert!(refusal(&odd, &operator, &wallet).contains("no plain transfer"));
        let dust = landed(
            &payer,
            &[transfer(wallet, operator, LEAST - 1, &[])],
            &operator,
        );
        assert!(refusal(&dust, &operator, &wallet).contains("too few"));
    }

    #[test]
    fn a_failed_an_old_and_a_circular_transfer_are_refused() {
        let (payer, operator) = (Keypair::new(), Pubkey::new_unique());
        let wallet = payer.pubkey();
        let good = landed(
            &payer,
            &[transfer(wallet, operator, 50_000, &[])],
            &operator,
        );
        let mut failed = good.clone();
        failed.error = Some("InsufficientFunds".into());
        assert!(refusal(&failed, &operator, &wallet).contains("failed on chain"));
        for at in [None, Some(NOW - MAX_AGE - 1), Some(i64::MIN)] {
            let mut old = good.clone();
            old.at = at;
            assert!(
                refusal(&old, &operator, &wallet).contains("older"),
                "{at:?}"
            );
        }
        let mut circular = good.clone();
        circular.after = circular.before.clone();
        assert!(refusal(&circular, &operator, &wallet).contains("takes from the operator"));
        let own = [transfer(wallet, wallet, 50_000, &[])];
        let own = landed(&payer, &own, &wallet);
        assert!(refusal(&own, &wallet, &wallet).contains("no plain transfer"));
    }

    #[tokio::test]
    async fn refusals_are_remembered_a_wallet_asks_rarely_and_tables_have_an_end() {
        let (payments, chain) = (Payments::default(), Chain::nowhere());
        let (wallet, now) = (Pubkey::new_unique(), Instant::now());
        let about = (Signature::default(), wallet);
        payments.remember(about, &refused("no".into()), now);
        assert_eq!(payments.known(&about, now).unwrap().message, "no");
        assert_eq!(payments.known(&about, now + LASTING), None);
        let found = payments.find(&chain, &about.0, &wallet).await;
        assert_eq!(
            found.unwrap_err().code,
            "payment_refused",
            "nobody was asked"
        );
        let unknown = Signature::from([1; 64]);
        for _ in 0..TOLD.0 {
            let away = payments.find(&chain, &unknown, &wallet).await.unwrap_err();
            assert_eq!(away.code, "chain_unavailable", "and that is not remembered");
        }
        let often = payments.find(&chain, &unknown, &wallet).await.unwrap_err();
        assert_eq!((often.status, often.retry_after), (429, Some(30)));
        for n in 0..2 * REFUSALS as u64 {
            let mut signature = [2; 64];
            signature[..8].copy_from_slice(&n.to_le_bytes());
            payments.remember((signature.into(), wallet), &refused("no".into()), now);
        }
        assert_eq!(payments.refusals.lock().len(), REFUSALS);
    }
}
