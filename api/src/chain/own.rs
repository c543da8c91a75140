//! A client's own transaction: taken apart, and held against what the request asks.

use mythic_client::{pda, request::HalfSigned};
use mythic_interface::{error::MythicError, ix::RequestInference, state::Vault, window};
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;

use crate::{
    chain::{
        Chain,
        errors::{chain_error, refusal},
    },
    error::{ApiError, ApiResult},
    intake::plan::Plan,
};

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
    let profile = plan.profile() as u8;
    if args.sampling_profile != profile {
        return wrong("sampling_profile", profile.to_string());
    }
    let options_hash = plan.options_hash()?;
    if args.options_hash != options_hash {
        return wrong("options_hash", hex::encode(options_hash));
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
    if args.rules_hash != plan.rules.hash() {
        return wrong("rules_hash", hex::encode(plan.rules.hash()));
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

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytemuck::Zeroable;
    use mythic_client::ix;
    use solana_keypair::Keypair;
    use solana_message::Message;
    use solana_signer::Signer;
    use solana_transaction::Transaction;

    use super::*;
    use crate::chain::pay::encode;

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
}
