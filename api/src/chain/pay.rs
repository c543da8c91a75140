//! What the gateway does on chain: it builds, checks and signs requests for jobs, looks at what pays for them, cancels.

use axum::http::StatusCode;
use mythic_client::{
    ClientError, Commitment,
    account::decode,
    ix, pda,
    request::{self, HalfSigned},
};
use mythic_interface::{
    error::MythicError,
    hash::{sha256, stop_hash},
    ix::RequestInference,
    le::{Text, U16, U32},
    state::{GrantStatus, Job, SpendGrant, Vault},
    window,
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::{Transaction, versioned::VersionedTransaction};

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
        sampling_profile: mythic_interface::state::SamplingProfile::SeededTop4 as u8,
        stop_hash: stop_hash(&plan.stop),
        prompt_source: Text::new(chain.prompt_source.as_str())
            .ok_or_else(|| ApiError::internal("public_url does not fit a job's prompt source"))?,
        deadline_slots: U32::new(plan.deadline_slots),
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

/// A client's own transaction after the checks that need no chain.
#[derive(Debug, Clone)]
pub struct ClientTransaction {
    /// As it travels on.
    pub encoded: String,
    /// Signed the request: owner or delegate.
    pub requester: Pubkey,
    /// Address of the vault that pays.
    pub vault: Pubkey,
    /// The requester is a delegate.
    pub delegated: bool,
    /// Address of the job.
    pub job: Pubkey,
    /// Address of the model.
    pub model: Pubkey,
    /// Address of the validator's account, and its operator, which has yet to sign.
    pub validator: Option<(Pubkey, Pubkey)>,
    /// What is asked for.
    pub arguments: RequestInference,
    /// The transaction.
    pub transaction: VersionedTransaction,
}

/// Checks a client's transaction: one RequestInference, signed by all but the operator, whose canceller is this gateway;
/// nothing that the gateway itself would pay.
pub fn check_client_transaction(encoded: &str, gateway: &Pubkey) -> ApiResult<ClientTransaction> {
    let refuse =
        |why: &str| ApiError::invalid("mythic.transaction", format!("mythic.transaction: {why}"));
    let request = HalfSigned::parse(encoded).map_err(|error| refuse(&error.to_string()))?;
    if request.signers().contains(gateway) {
        return Err(refuse(
            "the gateway does not sign or pay transactions that others built; be the fee payer yourself",
        ));
    }
    if request.args.canceller != gateway.to_bytes() {
        return Err(refuse(&format!(
            "canceller must be this gateway, {gateway}, so that it can end a job that fails"
        )));
    }
    Ok(ClientTransaction {
        encoded: encoded.to_owned(),
        requester: request.requester,
        vault: request.vault,
        delegated: request.grant.is_some(),
        job: request.job,
        model: request.model,
        validator: request
            .validator
            .map(|validator| (validator.account, validator.operator)),
        arguments: request.args,
        transaction: request.transaction,
    })
}

/// Whether a client's transaction pays for what the request asks, at `slot`: what it fixes for later is bounded too.
pub fn matches_plan(
    client: &ClientTransaction,
    plan: &Plan,
    prompt_source: &str,
    slot: u64,
) -> ApiResult<()> {
    let wrong = |what: &str, expected: String| {
        Err(ApiError::invalid(
            "mythic.transaction",
            format!(
                "mythic.transaction: {what} must be {expected} for this request; POST /v1/estimate gives all values"
            ),
        ))
    };
    let args = &client.arguments;
    if client.model != plan.model.address {
        return wrong("model", plan.model.address.to_string());
    }
    if args.prompt_hash != plan.prompt_hash {
        return wrong("prompt_hash", hex::encode(plan.prompt_hash));
    }
    if args.prompt_tokens.get() != plan.prompt_tokens {
        return wrong("prompt_tokens", plan.prompt_tokens.to_string());
    }
    if args.max_output_tokens.get() != plan.max_output_tokens {
        return wrong("max_output_tokens", plan.max_output_tokens.to_string());
    }
    if args.temperature_milli.get() != plan.temperature_milli {
        return wrong("temperature_milli", plan.temperature_milli.to_string());
    }
    if args.stop_hash != stop_hash(&plan.stop) {
        return wrong("stop_hash", hex::encode(stop_hash(&plan.stop)));
    }
    if (args.price_in.get(), args.price_out.get()) != (plan.price_in, plan.price_out) {
        return wrong(
            "price_in and price_out",
            format!("{} and {}", plan.price_in, plan.price_out),
        );
    }
    let expiry = window::nonce_expiry(&args.nonce);
    let last = slot.saturating_add(plan.max_nonce_slots);
    if !(slot..=last).contains(&expiry) {
        return wrong("the expiry slot in nonce", format!("from {slot} to {last}"));
    }
    if args.deadline_slots.get() == 0 || args.deadline_slots.get() > plan.max_deadline_slots {
        return wrong(
            "deadline_slots",
            format!("1 to {}", plan.max_deadline_slots),
        );
    }
    if args.prompt_source.as_str() != prompt_source {
        return wrong("prompt_source", prompt_source.to_owned());
    }
    Ok(())
}

/// The owner whose vault a client's transaction draws on, checked against the job's address.
pub async fn client_owner(chain: &Chain, client: &ClientTransaction) -> ApiResult<Pubkey> {
    let owner = if client.delegated {
        match chain
            .client
            .account::<Vault>(&client.vault)
            .await
            .map_err(chain_error)?
        {
            Some((_, vault)) => Pubkey::new_from_array(vault.owner),
            None => return Err(refusal(MythicError::InsufficientFunds)),
        }
    } else {
        client.requester
    };
    if pda::vault(owner) != client.vault || pda::job(owner, &client.arguments.nonce) != client.job {
        return Err(ApiError::invalid(
            "mythic.transaction",
            "mythic.transaction: vault or job is not the address of this owner and nonce",
        ));
    }
    Ok(owner)
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
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytemuck::Zeroable;
    use mythic_interface::le::U64;
    use solana_message::Message;

    fn args(gateway: &Pubkey) -> RequestInference {
        RequestInference {
            canceller: gateway.to_bytes(),
            nonce: window::nonce(9, [1; 8]),
            ..RequestInference::zeroed()
        }
    }

    fn encode_signed(
        instructions: &[solana_instruction::Instruction],
        signers: &[&Keypair],
    ) -> String {
        let payer = signers[0].pubkey();
        let mut transaction = Transaction::new_unsigned(Message::new(instructions, Some(&payer)));
        transaction.partial_sign(&signers.to_vec(), solana_hash::Hash::default());
        encode(&transaction).unwrap()
    }

    fn requester(client: &Keypair, validator: Option<(Pubkey, Pubkey)>) -> ix::Requester {
        ix::Requester {
            payer: client.pubkey(),
            requester: client.pubkey(),
            owner: client.pubkey(),
            model: Pubkey::new_from_array([3; 32]),
            validator,
        }
    }

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
    fn a_clients_transaction_is_taken_apart() {
        let (client, gateway, operator) =
            (Keypair::new(), Pubkey::new_unique(), Pubkey::new_unique());
        let authority = Pubkey::new_unique();
        let instruction = ix::request_inference(
            &requester(&client, Some((authority, operator))),
            &args(&gateway),
        );
        let checked =
            check_client_transaction(&encode_signed(&[instruction], &[&client]), &gateway).unwrap();
        assert_eq!(
            checked.validator,
            Some((pda::validator(authority), operator))
        );
        assert_eq!(
            checked.job,
            pda::job(client.pubkey(), &window::nonce(9, [1; 8]))
        );
        assert!(!checked.delegated);
    }

    #[test]
    fn anything_else_in_a_clients_transaction_is_refused() {
        let (client, gateway) = (Keypair::new(), Keypair::new());
        let good = ix::request_inference(&requester(&client, None), &args(&gateway.pubkey()));
        let refused = |encoded: String, word: &str| {
            let error = check_client_transaction(&encoded, &gateway.pubkey()).unwrap_err();
            assert_eq!(
                (error.status, error.param.as_deref()),
                (400, Some("mythic.transaction"))
            );
            assert!(error.message.contains(word), "{} / {word}", error.message);
        };
        refused("%%%".into(), "base64");
        refused(STANDARD.encode([0u8; 2000]), "1232");
        refused(STANDARD.encode([1u8; 40]), "serialised");
        let transfer = solana_instruction::Instruction {
            program_id: Pubkey::default(),
            accounts: vec![],
            data: vec![2, 0, 0, 0],
        };
        refused(
            encode_signed(&[good.clone(), transfer], &[&client]),
            "neither",
        );
        refused(
            encode_signed(&[good.clone(), good.clone()], &[&client]),
            "exactly one",
        );
        refused(
            encode_signed(&[ix::pause(client.pubkey())], &[&client]),
            "another instruction",
        );
        refused(
            encode_signed(std::slice::from_ref(&good), &[&gateway, &client]),
            "fee payer",
        );
        let other = ix::request_inference(&requester(&client, None), &args(&Pubkey::new_unique()));
        refused(encode_signed(&[other], &[&client]), "canceller");
        let payer = client.pubkey();
        let unsigned = Transaction::new_unsigned(Message::new(&[good], Some(&payer)));
        refused(encode(&unsigned).unwrap(), "signature");
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
