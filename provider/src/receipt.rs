//! What a provider signs about each answer: evidence for the tenant, which no stake backs.

use mythic_interface::hash::{Hash, domain, sha256};
use mythic_wire::openai::Usage;
use serde::{Deserialize, Serialize};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;

/// A receipt for one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Base58 address of the lease.
    pub lease: String,
    /// Hex SHA-256 of the request's body.
    pub request: String,
    /// Hex SHA-256 of the answer's text.
    pub answer: String,
    /// The model's id.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Unix seconds.
    pub at: u64,
    /// Base58 Ed25519 signature of the operator.
    pub signature: String,
}

/// What is signed about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    pub lease: &'a Pubkey,
    /// SHA-256 of the request's body.
    pub request: Hash,
    /// SHA-256 of the answer's text.
    pub answer: Hash,
    pub model: &'a str,
    pub usage: Usage,
    /// Unix seconds.
    pub at: u64,
}

impl Facts<'_> {
    /// `SHA256("mythic/lease-receipt/v1" ‖ lease ‖ request ‖ answer ‖ tokens of prompt and answer, seconds (u64) ‖ the model's id)`.
    fn signed(&self) -> Hash {
        let (usage, at) = (self.usage, self.at.to_le_bytes());
        sha256(&[
            domain::LEASE_RECEIPT,
            self.lease.as_array(),
            &self.request,
            &self.answer,
            &usage.prompt_tokens.to_le_bytes(),
            &usage.completion_tokens.to_le_bytes(),
            &at,
            self.model.as_bytes(),
        ])
    }

    /// Signs them.
    pub fn sign(&self, operator: &Keypair) -> Receipt {
        Receipt {
            lease: self.lease.to_string(),
            request: hex::encode(self.request),
            answer: hex::encode(self.answer),
            model: self.model.into(),
            prompt_tokens: self.usage.prompt_tokens,
            completion_tokens: self.usage.completion_tokens,
            at: self.at,
            signature: operator.sign_message(&self.signed()).to_string(),
        }
    }
}

impl Receipt {
    /// Whether `operator` signed it, about this request and this answer of this lease.
    pub fn holds(&self, operator: &Pubkey, lease: &Pubkey, request: &[u8], answer: &str) -> bool {
        let facts = Facts {
            lease,
            request: sha256(&[request]),
            answer: sha256(&[answer.as_bytes()]),
            model: &self.model,
            usage: Usage::new(self.prompt_tokens, self.completion_tokens),
            at: self.at,
        };
        let said = (&self.lease, &self.request, &self.answer);
        let (request, answer) = (hex::encode(facts.request), hex::encode(facts.answer));
        let signature = self.signature.parse::<Signature>();
        said == (&lease.to_string(), &request, &answer)
            && signature.is_ok_and(|signature| signature.verify(operator.as_ref(), &facts.signed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_good_for_its_own_answer_alone() {
        let (operator, lease) = (Keypair::new(), Pubkey::new_from_array([4; 32]));
        let facts = Facts {
            lease: &lease,
            request: sha256(&[b"{}"]),
            answer: sha256(&[b"hi"]),
            model: "m@0",
            usage: Usage::new(3, 2),
            at: 7,
        };
        let receipt = facts.sign(&operator);
        let (key, other) = (operator.pubkey(), Pubkey::new_from_array([5; 32]));
        assert!(receipt.holds(&key, &lease, b"{}", "hi"));
        assert!(!receipt.holds(&key, &lease, b"{}", "ho"));
        assert!(!receipt.holds(&key, &lease, b"[]", "hi"));
        assert!(!receipt.holds(&key, &other, b"{}", "hi"));
        assert!(!receipt.holds(&other, &lease, b"{}", "hi"));
        let more = Receipt {
            completion_tokens: 9,
            ..receipt
        };
        assert!(!more.holds(&key, &lease, b"{}", "hi"));
    }
}
