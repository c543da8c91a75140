//! Questions of followers and answers of leaders: a MAC of 32 bytes, then bincode.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use bincode::Options;
use hmac::{Hmac, Mac};
use mythic_interface::hash::domain;
use mythic_support::check;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::chain::{Made, Mark};

/// Where a leader answers, on its HTTP port.
pub const PATH: &str = "/follow";
/// Of these messages.
pub const VERSION: u32 = 1;
/// Longest question in bytes: the marks of the most blocks that a chain holds above its root.
pub const MAX_QUESTION: usize = 128 * 1024;
/// Longest answer in bytes: [`BLOCKS`], and a block of most transactions beyond.
pub const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// Bytes of blocks that an answer has, about.
pub const BLOCKS: usize = 8 * 1024 * 1024;
/// Bytes of a state that an answer has.
pub const PART: usize = 4 * 1024 * 1024;
/// Largest state that is told.
pub const MAX_STATE: usize = 256 * 1024 * 1024;
/// Fewest characters of a secret.
const MIN_SECRET: usize = 32;
const MAC: usize = 32;

/// A follower's question.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub version: u32,
    /// Another one in each question: an answer is to this one only.
    pub nonce: [u8; 32],
    /// The follower's chain, if it has one yet.
    pub genesis: Option<[u8; 32]>,
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// The blocks after these, newest first, the last one the root. Answered when there is something new, or after a while.
    Blocks(Vec<Mark>),
    /// A part of the finalized state `id` (0: of a new one).
    State { id: u64, offset: u64 },
}

/// The answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    Blocks {
        /// The newest of the follower's blocks that is on the leader's chain.
        onto: Mark,
        blocks: Vec<Made>,
        /// Height up to which the leader has finalized its chain.
        rooted: u64,
    },
    State(Part),
    /// The blocks after those are no longer held: the state is.
    Gone,
    /// None of those blocks is on the leader's chain.
    Unknown,
    /// The leader's chain has another genesis.
    OtherChain([u8; 32]),
    Refused(String),
}

/// A part of a state.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Another one than was asked for: begin anew.
    pub id: u64,
    /// Bytes of the whole.
    pub total: u64,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// What a leader and its followers share.
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads it; the file must be for its owner's eyes only.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = || format!("follow_secret_file = {shown}");
        let mode = std::fs::metadata(path)
            .with_context(file)?
            .permissions()
            .mode();
        ensure!(
            check::is_private(path, mode, check::credentials().as_deref()),
            "follow_secret_file = {shown}: others may read it (mode {:o}); chmod 600",
            mode & 0o777
        );
        let text = std::fs::read_to_string(path).with_context(file)?;
        Self::new(text.trim()).with_context(file)
    }

    /// A secret of its text.
    pub fn new(text: &str) -> anyhow::Result<Self> {
        ensure!(
            text.len() >= MIN_SECRET,
            "{} characters; a secret has at least {MIN_SECRET}, at random",
            text.len()
        );
        Ok(Self(text.as_bytes().to_vec()))
    }

    fn mac(&self, tag: &[u8], nonce: &[u8], body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        for part in [tag, nonce, body] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Some(mac)
    }

    fn seal(&self, tag: &[u8], nonce: &[u8], message: &impl Serialize) -> anyhow::Result<Vec<u8>> {
        let body = bincode::serialize(message)?;
        let mac = self.mac(tag, nonce, &body).context("a MAC")?;
        let mut sealed = mac.finalize().into_bytes().to_vec();
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    fn open<T: DeserializeOwned>(&self, tag: &[u8], nonce: &[u8], bytes: &[u8]) -> Option<T> {
        let (mac, body) = bytes.split_first_chunk::<MAC>()?;
        self.mac(tag, nonce, body)?.verify_slice(mac).ok()?;
        bincode::options()
            .with_limit(MAX_ANSWER as u64)
            .with_fixint_encoding()
            .deserialize(body)
            .ok()
    }

    /// A question as it is sent.
    pub fn ask(&self, question: &Question) -> anyhow::Result<Vec<u8>> {
        self.seal(domain::DEVNET_ASK, &[], question)
    }

    /// The question in these bytes, if whoever sent them knows the secret.
    pub fn asked(&self, bytes: &[u8]) -> Option<Question> {
        self.open(domain::DEVNET_ASK, &[], bytes)
    }

    /// The answer to the question of this nonce, as it is sent.
    pub fn tell(&self, nonce: &[u8; 32], told: &Told) -> anyhow::Result<Vec<u8>> {
        self.seal(domain::DEVNET_TELL, nonce, told)
    }

    /// The answer in these bytes, if whoever sent them knows the secret and was asked the question of this nonce.
    pub fn told(&self, nonce: &[u8; 32], bytes: &[u8]) -> Option<Told> {
        self.open(domain::DEVNET_TELL, nonce, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(&text.repeat(MIN_SECRET)).unwrap()
    }

    #[test]
    fn nobody_asks_or_answers_without_the_secret() {
        let (ours, other) = (secret("a"), secret("b"));
        let question = Question {
            version: VERSION,
            nonce: [7; 32],
            genesis: None,
            ask: Ask::State { id: 0, offset: 0 },
        };
        let mut sealed = ours.ask(&question).unwrap();
        assert_eq!(ours.asked(&sealed), Some(question));
        assert_eq!(other.asked(&sealed), None);
        if let Some(last) = sealed.last_mut() {
            *last ^= 1;
        }
        assert_eq!(ours.asked(&sealed), None);
        assert_eq!(ours.asked(&[0; 8]), None);

        let told = Told::OtherChain([1; 32]);
        let sealed = ours.tell(&[7; 32], &told).unwrap();
        assert_eq!(ours.told(&[7; 32], &sealed), Some(told));
        // The answer to another question, of another leader, and a question that comes back as an answer.
        assert_eq!(ours.told(&[8; 32], &sealed), None);
        assert_eq!(other.told(&[7; 32], &sealed), None);
        assert_eq!(ours.asked(&sealed), None);
    }

    #[test]
    fn a_secret_is_long_and_its_file_private() {
        assert!(Secret::new("short").is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "s".repeat(MIN_SECRET)).unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Secret::read(&path).map(drop)
        };
        let refused = mode(0o644).unwrap_err().to_string();
        assert!(refused.contains("others may read it"), "{refused}");
        mode(0o600).unwrap();
    }
}
