//! Transactions that landed: what they asked for, and what became of balances.

use base64::{Engine, prelude::BASE64_STANDARD};
use bincode::Options;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::request::RpcRequest;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

use crate::{
    chain::{ChainClient, Commitment},
    error::ClientError,
};

/// Largest transaction that the chain carries, bytes.
const MAX_TRANSACTION: u64 = 1_232;

/// A transaction that landed.
#[derive(Debug, Clone, PartialEq)]
pub struct Landed {
    /// Slot it was executed in.
    pub slot: u64,
    /// Unix seconds of its block, where the node knows them.
    pub at: Option<i64>,
    /// Why it failed, if it did: it then changed nothing but paid its fee.
    pub error: Option<String>,
    /// As it was signed.
    pub transaction: VersionedTransaction,
    /// Every address that its instructions number: those of the message, then those from lookup tables, writable ones first.
    pub keys: Vec<Pubkey>,
    /// Lamports of each address before it.
    pub before: Vec<u64>,
    /// Lamports of each address after it.
    pub after: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    slot: u64,
    block_time: Option<i64>,
    transaction: (String, String),
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    err: Option<Value>,
    pre_balances: Vec<u64>,
    post_balances: Vec<u64>,
    #[serde(default)]
    loaded_addresses: Option<Loaded>,
}

#[derive(Deserialize)]
struct Loaded {
    writable: Vec<String>,
    readonly: Vec<String>,
}

fn unreadable(what: &str) -> ClientError {
    ClientError::Answer(format!("getTransaction: {what}"))
}

fn read(signature: &Signature, answer: Answer) -> Result<Landed, ClientError> {
    let bytes = BASE64_STANDARD
        .decode(&answer.transaction.0)
        .map_err(|error| unreadable(&error.to_string()))?;
    let transaction: VersionedTransaction = bincode::options()
        .with_limit(MAX_TRANSACTION)
        .with_fixint_encoding()
        .deserialize(&bytes)
        .map_err(|error| unreadable(&error.to_string()))?;
    if transaction.signatures.first() != Some(signature) {
        return Err(unreadable("another transaction than was asked for"));
    }
    let meta = answer
        .meta
        .ok_or_else(|| unreadable("the node keeps no balances of it"))?;
    let mut keys = transaction.message.static_account_keys().to_vec();
    for loaded in meta
        .loaded_addresses
        .iter()
        .flat_map(|loaded| loaded.writable.iter().chain(&loaded.readonly))
    {
        let key = loaded.parse().map_err(|_| unreadable("loadedAddresses"))?;
        keys.push(key);
    }
    if meta.pre_balances.len() != keys.len() || meta.post_balances.len() != keys.len() {
        return Err(unreadable("not a balance for each address"));
    }
    Ok(Landed {
        slot: answer.slot,
        at: answer.block_time,
        error: meta.err.map(|error| error.to_string()),
        transaction,
        keys,
        before: meta.pre_balances,
        after: meta.post_balances,
    })
}

impl ChainClient {
    /// A transaction that landed, by its first signature. `None` if the node knows none at `commitment`: it may not have landed,
    /// not be so firm yet, or be older than the node keeps.
    pub async fn transaction(
        &self,
        signature: &Signature,
        commitment: Commitment,
    ) -> Result<Option<Landed>, ClientError> {
        let config = json!({"encoding": "base64", "commitment": commitment, "maxSupportedTransactionVersion": 0});
        let params = json!([signature.to_string(), config]);
        let answer: Option<Answer> = self.rpc().send(RpcRequest::GetTransaction, params).await?;
        answer.map(|answer| read(signature, answer)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use solana_keypair::Keypair;
    use solana_message::Message;
    use solana_signer::Signer;
    use solana_transaction::Transaction;

    use super::*;

    fn answer(change: impl FnOnce(&mut Value)) -> Result<Landed, ClientError> {
        let key = Keypair::new();
        let message = Message::new(&[], Some(&key.pubkey()));
        let transaction = Transaction::new(&[&key], message, solana_hash::Hash::default());
        let encoded = crate::request::encode(&transaction).unwrap();
        let mut answer = json!({
            "slot": 7, "blockTime": 9, "version": "legacy", "transaction": [encoded, "base64"],
            "meta": {"err": null, "fee": 5000, "preBalances": [9], "postBalances": [4],
                "loadedAddresses": {"writable": [], "readonly": []}},
        });
        change(&mut answer);
        let parsed = serde_json::from_value(answer).map_err(|error| unreadable(&error.to_string()));
        read(&transaction.signatures[0], parsed?)
    }

    #[test]
    fn a_transaction_is_read_with_its_balances() {
        let landed = answer(|_| {}).unwrap();
        assert_eq!((landed.slot, landed.at, landed.error), (7, Some(9), None));
        assert_eq!((landed.before, landed.after), (vec![9], vec![4]));
        let failed = answer(|it| it["meta"]["err"] = json!({"InsufficientFundsForRent": {}}));
        assert!(failed.unwrap().error.unwrap().contains("Insufficient"));
        let table = Pubkey::new_unique();
        let loaded = answer(|it| {
            it["meta"]["loadedAddresses"]["readonly"] = json!([table.to_string()]);
            it["meta"]["preBalances"] = json!([9, 1]);
            it["meta"]["postBalances"] = json!([4, 1]);
        });
        assert_eq!(loaded.unwrap().keys[1], table);
    }

    #[test]
    fn an_answer_that_does_not_fit_is_refused() {
        for (what, broken) in [
            (
                "balance",
                answer(|it| it["meta"]["preBalances"] = json!([])),
            ),
            ("keeps", answer(|it| it["meta"] = Value::Null)),
            ("another", {
                let other = Keypair::new();
                let message = Message::new(&[], Some(&other.pubkey()));
                let other = Transaction::new(&[&other], message, solana_hash::Hash::default());
                answer(|it| it["transaction"][0] = crate::request::encode(&other).unwrap().into())
            }),
            ("", answer(|it| it["transaction"][0] = "AAAA".into())),
            ("", answer(|it| it["slot"] = json!(-1))),
        ] {
            let error = broken.unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
