//! What the gateway does on chain: it builds and signs requests for jobs, looks at what pays for them, cancels.

use axum::http::StatusCode;
use mythic_client::{ClientError, Commitment, account::decode, ix, pda, request};
use mythic_interface::{
    error::MythicError,
    hash::sha256,
    ix::RequestInference,
    le::{Text, U16, U32},
    state::{GrantStatus, Job, SpendGrant, Vault},
    window,
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::Transaction;

use crate::{
    accounts::Account,
    chain::{
        Chain,
        errors::{chain_error, refusal},
    },
    error::{ApiError, ApiResult},
    intake::plan::Plan,
};

/// The nonce's second half: the same for the same attempt of the same choice of the same request.
pub fn nonce_tag(key_id: &str, request_key: &str, choice: u32, attempt: u32) -> [u8; 8] {
    let lengths = [key_id.len() as u32, request_key.len() as u32].map(u32::to_le_bytes);
    let digest = sha256(&[
        mythic_interface::hash::domain::GATEWAY_NONCE,
        &lengths[0],
        key_id.as_bytes(),
        &lengths[1],
        request_key.as_bytes(),
        &choice.to_le_bytes(),
        &attempt.to_le_bytes(),
    ]);
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

/// Salt of a request's prompt hash: the same for the same request, and nobody else can guess it.
pub fn prompt_salt(chain: &Chain, request_id: &str) -> [u8; 16] {
    let digest = sha256(&[
        mythic_interface::hash::domain::GATEWAY_SALT,
        chain.payer.secret_bytes(),
        request_id.as_bytes(),
    ]);
    let mut salt = [0; 16];
    salt.copy_from_slice(&digest[..16]);
    salt
}

/// Sampling seed of a choice: from the client's seed, if it gave one.
pub fn user_seed(seed: i64, choice: u32) -> [u8; 32] {
    sha256(&[
        mythic_interface::hash::domain::GATEWAY_SEED,
        &seed.to_le_bytes(),
        &choice.to_le_bytes(),
    ])
}

/// Arguments of a RequestInference for a plan.
pub fn arguments(
    chain: &Chain,
    plan: &Plan,
    nonce: [u8; 16],
    user_seed: [u8; 32],
) -> ApiResult<RequestInference> {
    Ok(RequestInference {
        nonce,
        canceller: chain.payer.pubkey().to_bytes(),
        prompt_hash: plan.prompt_hash,
        prompt_tokens: U32::new(plan.prompt_tokens),
        max_output_tokens: U32::new(plan.max_output_tokens),
        price_in: U32::new(plan.price_in),
        price_out: U32::new(plan.price_out),
        user_seed,
        temperature_milli: U16::new(plan.temperature_milli),
        sampling_profile: plan.profile() as u8,
        options_hash: plan.options_hash()?,
        prompt_source: Text::new(chain.prompt_source.as_str())
            .ok_or_else(|| ApiError::internal("public_url does not fit a job's prompt source"))?,
        deadline_slots: U32::new(plan.deadline_slots),
        rules_hash: plan.rules.hash(),
        // The builder gives it.
        bump: 0,
    })
}

/// A RequestInference signed by everybody but the operator; complete when there is no validator (an open job).
pub async fn request_transaction(
    chain: &Chain,
    account: &Account,
    model: &Pubkey,
    arguments: &RequestInference,
    validator: Option<(Pubkey, Pubkey)>,
) -> ApiResult<Transaction> {
    let who = ix::Requester {
        payer: chain.payer.pubkey(),
        requester: account.delegate.pubkey(),
        owner: account.owner,
        model: *model,
        validator,
    };
    let hash = chain.blockhashes.get(&chain.client).await?;
    request::build(&who, arguments, [&chain.payer, &account.delegate], hash).map_err(chain_error)
}

/// A transaction as it travels.
pub fn encode(transaction: &Transaction) -> ApiResult<String> {
    request::encode(transaction).map_err(ApiError::internal)
}

/// Whether a grant covers `jobs` jobs of `ceiling` lamports at `slot`.
pub fn grant_covers(
    grant: &SpendGrant,
    model: &[u8; 32],
    slot: u64,
    ceiling: u64,
    jobs: u64,
) -> Result<(), MythicError> {
    let total = ceiling.saturating_mul(jobs);
    if grant.header.status == GrantStatus::Revoked as u8 {
        return Err(MythicError::GrantRevoked);
    }
    if !window::open(slot, grant.expiry_slot.get()) {
        return Err(MythicError::GrantExpired);
    }
    if !grant.allows(model) {
        return Err(MythicError::GrantModelNotAllowed);
    }
    if ceiling > grant.per_job_max.get() {
        return Err(MythicError::GrantPerJobExceeded);
    }
    let window_end = grant
        .window_start
        .get()
        .saturating_add(u64::from(grant.window_slots.get()));
    let spent = if window::open(slot, window_end) {
        grant.window_spent.get()
    } else {
        0
    };
    if spent.saturating_add(total) > grant.window_max.get() {
        return Err(MythicError::GrantWindowExceeded);
    }
    if grant.lifetime_spent.get().saturating_add(total) > grant.lifetime_cap.get() {
        return Err(MythicError::GrantLifetimeExceeded);
    }
    Ok(())
}

/// Looks at what would pay, so that an empty vault is a 402 before anything is sent. Returns the present slot.
/// The chain decides in the end: this only saves a validator the trouble.
pub async fn preflight(chain: &Chain, account: &Account, plan: &Plan, jobs: u32) -> ApiResult<u64> {
    let delegate = account.delegate.pubkey();
    let vault = pda::vault(account.owner);
    let mut addresses = vec![vault];
    if delegate != account.owner {
        addresses.push(pda::grant(account.owner, delegate));
    }
    let found = chain
        .client
        .raw_accounts(&addresses, Commitment::Processed)
        .await
        .map_err(chain_error)?;
    let slot = found.first().map_or(0, |snapshot| snapshot.slot);
    chain.clock.saw(slot, std::time::Instant::now());
    let total = plan.ceiling.saturating_mul(u64::from(jobs));
    let balance = match found.first().and_then(|snapshot| snapshot.account.as_ref()) {
        Some(raw) => decode::<Vault>(&vault, raw)
            .map_err(chain_error)?
            .balance
            .get(),
        None => 0,
    };
    if balance < total {
        return Err(ApiError::new(
            StatusCode::PAYMENT_REQUIRED,
            "insufficient_funds",
            format!(
                "the vault of {} holds {balance} lamports and the request may cost up to {total}: deposit, or lower max_completion_tokens",
                account.owner
            ),
        ));
    }
    if let (Some(address), Some(snapshot)) = (addresses.get(1), found.get(1)) {
        let Some(raw) = &snapshot.account else {
            return Err(ApiError::new(
                StatusCode::PAYMENT_REQUIRED,
                "grant_not_usable",
                format!(
                    "the vault of {} has given this API key's delegate {delegate} no spend grant: send GrantSpend",
                    account.owner
                ),
            ));
        };
        let grant = decode::<SpendGrant>(address, raw).map_err(chain_error)?;
        grant_covers(
            &grant,
            &plan.model.address.to_bytes(),
            slot,
            plan.ceiling,
            u64::from(jobs),
        )
        .map_err(refusal)?;
    }
    Ok(slot)
}

/// A job as it stands, with the slot it was read at. What is no job of the program is none.
pub async fn job(
    chain: &Chain,
    address: &Pubkey,
    commitment: Commitment,
) -> ApiResult<Option<(u64, Job)>> {
    match chain.client.account_at::<Job>(address, commitment).await {
        Ok(Some((slot, job))) => {
            if commitment == Commitment::Processed {
                chain.clock.saw(slot, std::time::Instant::now());
            }
            Ok(Some((slot, job)))
        }
        // Anyone may send lamports to an address.
        Ok(None) | Err(ClientError::Account { .. }) => Ok(None),
        Err(error) => Err(chain_error(error)),
    }
}

/// Sends CancelJob, as the job's canceller.
pub async fn cancel(chain: &Chain, address: &Pubkey, job: &Job) -> Result<(), ClientError> {
    let instruction = ix::cancel_job(chain.payer.pubkey(), address, job);
    let signers: [&Keypair; 1] = [&chain.payer];
    chain
        .client
        .send_and_confirm(
            &[instruction],
            &chain.payer.pubkey(),
            &signers,
            Commitment::Processed,
        )
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use mythic_interface::le::U64;

    use super::*;

    #[test]
    fn nonces_differ_by_every_part_and_repeat_for_the_same() {
        let tag = nonce_tag("k", "r", 0, 0);
        assert_eq!(tag, nonce_tag("k", "r", 0, 0));
        for other in [
            nonce_tag("kr", "", 0, 0),
            nonce_tag("k", "r", 1, 0),
            nonce_tag("k", "r", 0, 1),
            nonce_tag("j", "r", 0, 0),
        ] {
            assert_ne!(tag, other);
        }
    }

    #[test]
    fn a_grant_is_read_as_the_program_reads_it() {
        let model = [7; 32];
        let mut grant = SpendGrant::zeroed();
        grant.header.status = GrantStatus::Active as u8;
        grant.expiry_slot = U64::new(1000);
        grant.per_job_max = U64::new(100);
        grant.window_max = U64::new(150);
        grant.window_slots = U32::new(50);
        grant.window_start = U64::new(10);
        grant.window_spent = U64::new(60);
        grant.lifetime_cap = U64::new(500);
        grant.lifetime_spent = U64::new(60);
        assert_eq!(grant_covers(&grant, &model, 20, 90, 1), Ok(()));
        assert_eq!(
            grant_covers(&grant, &model, 20, 90, 2),
            Err(MythicError::GrantWindowExceeded)
        );
        assert_eq!(
            grant_covers(&grant, &model, 60, 75, 2),
            Ok(()),
            "a new window begins"
        );
        assert_eq!(
            grant_covers(&grant, &model, 20, 101, 1),
            Err(MythicError::GrantPerJobExceeded)
        );
        assert_eq!(
            grant_covers(&grant, &model, 1000, 1, 1),
            Err(MythicError::GrantExpired)
        );
        grant.lifetime_spent = U64::new(450);
        assert_eq!(
            grant_covers(&grant, &model, 60, 75, 1),
            Err(MythicError::GrantLifetimeExceeded)
        );
        grant.model_count = 1;
        assert_eq!(
            grant_covers(&grant, &model, 60, 1, 1),
            Err(MythicError::GrantModelNotAllowed)
        );
        grant.header.status = GrantStatus::Revoked as u8;
        assert_eq!(
            grant_covers(&grant, &model, 60, 1, 1),
            Err(MythicError::GrantRevoked)
        );
    }
}
