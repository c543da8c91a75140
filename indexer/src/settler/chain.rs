//! Reading the chain for the settler.

use base64::Engine as _;
use mythic_client::{ChainClient, ClientError, Commitment, account::decode, pda::PROGRAM_ID};
use mythic_interface::state::{Job, Validator};
use serde::Deserialize;
use serde_json::json;
use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::request::RpcRequest;

use super::{
    due::{JobWindow, ValidatorWindow, Windows},
    reconcile::ChainAccount,
};

/// The present state of candidates, at `confirmed`: what is done by now is not due again. Addresses without a job come
/// back too.
pub(super) async fn windows(
    client: &ChainClient,
    jobs: &[Pubkey],
    validators: &[(Pubkey, u64)],
) -> Result<(Windows, Vec<Pubkey>), ClientError> {
    let mut windows = Windows::default();
    let mut missing = Vec::new();
    let found = client.raw_accounts(jobs, Commitment::Confirmed).await?;
    for (pubkey, snapshot) in jobs.iter().zip(found) {
        match snapshot
            .account
            .map(|account| decode::<Job>(pubkey, &account))
        {
            Some(Ok(job)) => windows.jobs.push(JobWindow {
                pubkey: *pubkey,
                job,
            }),
            Some(Err(_)) | None => missing.push(*pubkey),
        }
    }
    let addresses: Vec<Pubkey> = validators
        .iter()
        .map(|(authority, _)| mythic_client::pda::validator(authority))
        .collect();
    let found = client
        .raw_accounts(&addresses, Commitment::Confirmed)
        .await?;
    for ((authority, written_slot), (address, snapshot)) in
        validators.iter().zip(addresses.iter().zip(found))
    {
        if let Some(Ok(validator)) = snapshot
            .account
            .map(|account| decode::<Validator>(address, &account))
        {
            let owed = validator
                .owed_foundation
                .get()
                .saturating_add(validator.owed_burn.get());
            windows.validators.push(ValidatorWindow {
                authority: *authority,
                owed,
                written_slot: *written_slot,
            });
        }
    }
    Ok((windows, missing))
}

#[derive(Deserialize)]
struct Answer {
    context: Context,
    value: Vec<Keyed>,
}

#[derive(Deserialize)]
struct Context {
    slot: u64,
}

#[derive(Deserialize)]
struct Keyed {
    pubkey: String,
    account: Raw,
}

#[derive(Deserialize)]
struct Raw {
    lamports: u64,
    data: (String, String),
}

/// Every account of the program at one finalized slot, which is returned with them.
pub(super) async fn accounts(
    client: &ChainClient,
) -> Result<(u64, Vec<ChainAccount>), ClientError> {
    let parameters = json!([
        PROGRAM_ID.to_string(),
        {"commitment": "finalized", "encoding": "base64", "withContext": true}
    ]);
    let answer: Answer = client
        .rpc()
        .send(RpcRequest::GetProgramAccounts, parameters)
        .await?;
    let bad =
        |what: &str, pubkey: &str| ClientError::Answer(format!("{what} of account {pubkey:?}"));
    let mut accounts = Vec::with_capacity(answer.value.len());
    for Keyed { pubkey, account } in answer.value {
        let key: Pubkey = pubkey.parse().map_err(|_| bad("address", &pubkey))?;
        let data = base64::engine::general_purpose::STANDARD
            .decode(&account.data.0)
            .map_err(|_| bad("data", &pubkey))?;
        let account = Account {
            lamports: account.lamports,
            data,
            owner: PROGRAM_ID,
            ..Account::default()
        };
        accounts.extend(ChainAccount::read(key, &account));
    }
    Ok((answer.context.slot, accounts))
}
