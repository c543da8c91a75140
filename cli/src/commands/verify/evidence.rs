//! The evidence of a job: from a file, from the gateway, or from those that must keep it.

use super::claim::Claim;
use crate::{commands::init::is_loopback, context::Connection};
use anyhow::{Context, Result};
use mythic_client::{ChainClient, Commitment, Filter, pda};
use mythic_interface::state::{Job, Validator};
use mythic_node::verify::fetch;
use mythic_verifier::search::Search;
use mythic_wire::{Evidence, signed::purpose};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::path::Path;

/// The evidence: from a file, from the gateway by API key, from node and gateways by the wallet's signature.
pub async fn evidence(
    given: Option<&Path>,
    claim: &Claim,
    connection: &Connection,
) -> Result<Search> {
    let mut search = Search::default();
    let (address, state) = (&claim.address, &claim.state);
    if let Some(path) = given {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let evidence: Evidence = serde_json::from_slice(&text)
            .with_context(|| format!("{} holds no evidence", path.display()))?;
        search.take(address, state, &path.display().to_string(), evidence);
        return Ok(search);
    }
    let gateway = connection.gateway()?;
    match gateway.get(&format!("/v1/jobs/{address}/evidence")).await {
        Ok(value) => match serde_json::from_value::<Evidence>(value) {
            Ok(evidence) => {
                if search.take(address, state, gateway.base(), evidence) {
                    return Ok(search);
                }
            }
            Err(error) => search
                .reasons
                .push(format!("{}: unreadable: {error}", gateway.base())),
        },
        Err(error) => search
            .reasons
            .push(format!("{}: {error:#}", gateway.base())),
    }
    let Ok(wallet) = connection.wallet() else {
        search
            .reasons
            .push("no wallet to sign with: pass --keypair of the job's owner or of a validator's operator".into());
        return Ok(search);
    };
    let validator = pda::validator(Pubkey::new_from_array(state.validator));
    let chain = connection.chain();
    let mut sources = Vec::new();
    if let Some((_, validator)) = chain.account::<Validator>(&validator).await? {
        sources.push(validator.endpoint.as_str().to_owned());
    }
    sources.push(state.terms.prompt_source.as_str().to_owned());
    let (rpc_url, _) = connection.chain_urls();
    let asker = fetch::Asker {
        key: &wallet,
        purpose: &purpose_of(&chain, address, state, &wallet.pubkey()).await?,
        allow_loopback: is_loopback(&rpc_url),
    };
    let found = fetch::evidence(address, state, &sources, &asker).await;
    let mut reasons = search.reasons;
    reasons.extend(found.reasons.iter().cloned());
    Ok(Search { reasons, ..found })
}

/// What a wallet asks for evidence as: one of the job's own people, or a validator that checks the result.
async fn purpose_of(
    chain: &ChainClient,
    job: &Pubkey,
    state: &Job,
    wallet: &Pubkey,
) -> Result<String> {
    let key = wallet.to_bytes();
    let terms = &state.terms;
    if [terms.owner, terms.requester, terms.canceller].contains(&key) {
        return Ok(purpose::evidence(job));
    }
    let own = chain.account::<Validator>(&pda::validator(wallet)).await?;
    if let Some((_, own)) = own {
        return Ok(purpose::check(job, &Pubkey::new_from_array(own.authority)));
    }
    let operated = chain
        .program_accounts(&[Filter::operator(wallet)], Commitment::Confirmed)
        .await?;
    Ok(match operated.first() {
        Some((_, validator)) => {
            let validator: &Validator = validator;
            purpose::check(job, &Pubkey::new_from_array(validator.authority))
        }
        None => purpose::evidence(job),
    })
}
