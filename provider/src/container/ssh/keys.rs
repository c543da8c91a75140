//! Host keys, one for each lease, and the tenant's own.

use russh::keys::{
    PrivateKey, PublicKey,
    ssh_key::{
        private::Ed25519Keypair,
        public::{Ed25519PublicKey, KeyData},
    },
};
use solana_pubkey::Pubkey;

/// The host key of this seed.
pub fn host_key(seed: &[u8; 32]) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(seed))
}

/// A public key on one line, as `known_hosts` has it behind the name.
pub fn line(key: &PublicKey) -> String {
    key.to_openssh().unwrap_or_default()
}

/// A wallet's key as SSH knows it.
pub fn of_wallet(wallet: &Pubkey) -> KeyData {
    KeyData::Ed25519(Ed25519PublicKey(wallet.to_bytes()))
}

#[cfg(test)]
mod tests {
    use solana_keypair::Keypair;
    use solana_signer::Signer;

    use super::*;

    #[test]
    fn a_key_follows_from_its_seed() {
        let (one, same, other) = (host_key(&[1; 32]), host_key(&[1; 32]), host_key(&[2; 32]));
        assert_eq!(one.public_key(), same.public_key());
        assert_ne!(one.public_key(), other.public_key());
        let line = line(one.public_key());
        assert!(line.starts_with("ssh-ed25519 "), "{line}");
        assert_eq!(
            PublicKey::from_openssh(&line).unwrap().key_data(),
            one.public_key().key_data()
        );
    }

    #[test]
    fn a_wallet_s_key_is_the_one_that_its_seed_gives() {
        let wallet = Keypair::new();
        let key = host_key(wallet.secret_bytes());
        assert_eq!(*key.public_key().key_data(), of_wallet(&wallet.pubkey()));
    }
}
