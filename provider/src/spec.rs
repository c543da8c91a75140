//! What a tenant wants exactly: the spec of a lease, whose salted hash is on chain. A document of it is the salt in 32 hex digits, a
//! line feed, and the spec's exact bytes.

use mythic_interface::hash::{Hash, spec_hash};
use serde::{Deserialize, Serialize};

pub mod container;

pub use container::{ContainerError, ContainerSpec};

/// Longest spec, in bytes.
pub const MAX_SPEC: usize = 16 << 10;
/// Longest document.
pub const MAX_DOCUMENT: usize = SALT_LINE + MAX_SPEC;
/// The salt's digits and the line feed.
const SALT_LINE: usize = 33;
/// The only version there is.
const VERSION: u32 = 1;
/// Most answers at once that a spec can ask for.
const MOST_CONCURRENT: usize = 256;
/// Most tokens a second that it can ask for.
const MOST_TOKENS: u32 = 1_000_000;

/// What a floor of tokens a second is promised for: a prompt of so many tokens at most, and an answer of so many at least.
pub const FLOOR_PROMPT: u32 = 128;
pub const FLOOR_ANSWER: u32 = 32;

/// A spec: of an endpoint or of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// 1.
    pub version: u32,
    /// Exclusive capacity of the request's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointSpec>,
    /// A container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
}

/// What the tenant of an endpoint wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSpec {
    /// Hex [`mythic_interface::hash::lease_key_hash`] of the key with which the tenant uses it; the key itself is the tenant's alone.
    pub key_hash: String,
    /// Answers at once.
    pub max_concurrent: usize,
    /// The least tokens a second that it answers with while one answer is under way, from the request to the answer's end, of a prompt of at
    /// most [`FLOOR_PROMPT`] tokens and an answer of at least [`FLOOR_ANSWER`], but while its proof is computed; none = nothing is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_tokens_per_second: Option<u32>,
}

/// Why a spec is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("the document of the spec has no salt of 32 hex digits on its first line")]
    Salt,
    #[error("the spec has {0} bytes; at most {MAX_SPEC} are allowed")]
    TooLong(usize),
    #[error("the spec is not that of the request: its hash is another one")]
    OtherHash,
    #[error("the spec can't be read: {0}")]
    Unreadable(String),
    #[error("the spec has version {0}; this provider reads version {VERSION}")]
    Version(u32),
    #[error("the spec says nothing of an endpoint")]
    NoEndpoint,
    #[error("the spec says nothing of a container")]
    NoContainer,
    #[error("the spec is of an endpoint and of a container: a lease is of one")]
    Both,
    #[error("the spec's key_hash is not 64 hex digits")]
    KeyHash,
    #[error("the spec's min_tokens_per_second is {0}; allowed are 1 to {MOST_TOKENS}")]
    Floor(u32),
    #[error("the spec's max_concurrent is {0}; allowed are 1 to {MOST_CONCURRENT}")]
    Concurrent(usize),
    #[error(transparent)]
    Container(#[from] ContainerError),
}

impl Spec {
    /// The spec of an endpoint that this key uses.
    pub fn endpoint(key_hash: &Hash, max_concurrent: usize) -> Self {
        Self {
            version: VERSION,
            endpoint: Some(EndpointSpec {
                key_hash: hex::encode(key_hash),
                max_concurrent,
                min_tokens_per_second: None,
            }),
            container: None,
        }
    }

    /// The spec of a container.
    pub fn container(container: ContainerSpec) -> Self {
        Self {
            version: VERSION,
            endpoint: None,
            container: Some(container),
        }
    }

    /// The same, with a floor of so many tokens a second.
    pub fn with_floor(mut self, min_tokens_per_second: Option<u32>) -> Self {
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.min_tokens_per_second = min_tokens_per_second;
        }
        self
    }
}

impl EndpointSpec {
    /// The hash of the tenant's key.
    pub fn key(&self) -> Result<Hash, SpecError> {
        mythic_wire::parse_hex32(&self.key_hash).ok_or(SpecError::KeyHash)
    }

    /// The same, if its floor is one.
    fn bounded(self) -> Result<Self, SpecError> {
        match self.min_tokens_per_second {
            Some(floor) if !(1..=MOST_TOKENS).contains(&floor) => Err(SpecError::Floor(floor)),
            _ => Ok(self),
        }
    }
}

/// A spec's exact bytes under their salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Keeps short specs from being guessed.
    pub salt: [u8; 16],
    /// As they are hashed.
    pub spec: Vec<u8>,
}

impl Document {
    /// Puts a spec under a salt.
    pub fn new(salt: [u8; 16], spec: &Spec) -> Self {
        Self {
            salt,
            spec: serde_json::to_vec(spec).unwrap_or_default(),
        }
    }

    /// Reads a document.
    pub fn read(bytes: &[u8]) -> Result<Self, SpecError> {
        let (line, spec) = bytes.split_at_checked(SALT_LINE).ok_or(SpecError::Salt)?;
        let digits = line.strip_suffix(b"\n").ok_or(SpecError::Salt)?;
        let mut salt = [0; 16];
        hex::decode_to_slice(digits, &mut salt).map_err(|_| SpecError::Salt)?;
        match spec.len() <= MAX_SPEC {
            true => Ok(Self {
                salt,
                spec: spec.to_vec(),
            }),
            false => Err(SpecError::TooLong(spec.len())),
        }
    }

    /// As it is found at a source.
    pub fn to_bytes(&self) -> Vec<u8> {
        [hex::encode(self.salt).as_bytes(), b"\n", &self.spec].concat()
    }

    /// What a request commits to.
    pub fn hash(&self) -> Hash {
        spec_hash(&self.salt, &self.spec)
    }

    /// The spec.
    fn spec(&self) -> Result<Spec, SpecError> {
        let unreadable = |error: serde_json::Error| SpecError::Unreadable(error.to_string());
        let spec: Spec = serde_json::from_slice(&self.spec).map_err(unreadable)?;
        if spec.version != VERSION {
            return Err(SpecError::Version(spec.version));
        }
        match spec.endpoint.is_some() && spec.container.is_some() {
            true => Err(SpecError::Both),
            false => Ok(spec),
        }
    }

    /// The container that it describes, if it does.
    pub fn container(&self) -> Result<ContainerSpec, SpecError> {
        let container = self.spec()?.container.ok_or(SpecError::NoContainer)?;
        container.check()?;
        Ok(container)
    }

    /// The endpoint that it describes, if it does.
    pub fn endpoint(&self) -> Result<EndpointSpec, SpecError> {
        let endpoint = self.spec()?.endpoint.ok_or(SpecError::NoEndpoint)?;
        endpoint.key()?;
        match (1..=MOST_CONCURRENT).contains(&endpoint.max_concurrent) {
            true => endpoint.bounded(),
            false => Err(SpecError::Concurrent(endpoint.max_concurrent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_it_was_written_and_commits_to_every_byte() {
        let spec = Spec::endpoint(&[7; 32], 3);
        let document = Document::new([9; 16], &spec);
        let read = Document::read(&document.to_bytes()).unwrap();
        assert_eq!(read, document);
        assert_eq!(read.endpoint().unwrap().key(), Ok([7; 32]));
        let mut other = document.clone();
        other.spec.push(b' ');
        assert_ne!(other.hash(), document.hash());
        assert_ne!(Document::new([8; 16], &spec).hash(), document.hash());
    }

    #[test]
    fn a_floor_is_part_of_the_spec_and_has_bounds() {
        let plain = Spec::endpoint(&[7; 32], 3);
        let document = |floor| Document::new([9; 16], &plain.clone().with_floor(floor));
        let of = |floor| document(floor).endpoint();
        assert_eq!(of(Some(20)).unwrap().min_tokens_per_second, Some(20));
        assert_ne!(document(Some(20)).hash(), document(Some(21)).hash());
        // Without one the bytes are what they were before there were any.
        assert_eq!(document(None), Document::new([9; 16], &plain));
        assert!(!String::from_utf8_lossy(&document(None).spec).contains("tokens"));
        for floor in [0, MOST_TOKENS + 1] {
            assert_eq!(of(Some(floor)), Err(SpecError::Floor(floor)));
        }
        assert!(of(Some(MOST_TOKENS)).is_ok());
    }

    #[test]
    fn a_container_is_read_as_it_was_written_and_is_no_endpoint() {
        let container = container::tests::small();
        let mut spec = Spec::container(container.clone());
        let document = Document::new([9; 16], &spec);
        assert!(document.spec.len() < MAX_SPEC);
        assert_eq!(document.container(), Ok(container));
        assert_eq!(document.endpoint(), Err(SpecError::NoEndpoint));
        spec.endpoint = Spec::endpoint(&[7; 32], 1).endpoint;
        let both = Document::new([9; 16], &spec);
        assert_eq!(both.container(), Err(SpecError::Both));
        assert_eq!(both.endpoint(), Err(SpecError::Both));
        spec.container = None;
        let endpoint = Document::new([9; 16], &spec);
        assert_eq!(endpoint.container(), Err(SpecError::NoContainer));
    }

    #[test]
    fn what_is_no_spec_of_an_endpoint_is_refused_in_words() {
        let of = |spec: &str| {
            let document = Document {
                salt: [0; 16],
                spec: spec.as_bytes().to_vec(),
            };
            document.endpoint().unwrap_err()
        };
        assert!(matches!(of("{"), SpecError::Unreadable(_)));
        assert!(matches!(
            of(r#"{"version":1,"gpu":1}"#),
            SpecError::Unreadable(_)
        ));
        assert_eq!(of(r#"{"version":2}"#), SpecError::Version(2));
        assert_eq!(of(r#"{"version":1}"#), SpecError::NoEndpoint);
        let endpoint = |key: &str, most: usize| {
            of(&format!(
                r#"{{"version":1,"endpoint":{{"key_hash":"{key}","max_concurrent":{most}}}}}"#
            ))
        };
        assert_eq!(endpoint("00", 1), SpecError::KeyHash);
        assert_eq!(endpoint(&"00".repeat(32), 0), SpecError::Concurrent(0));
        assert_eq!(Document::read(b"no salt"), Err(SpecError::Salt));
        assert_eq!(Document::read(&[b'z'; 40]), Err(SpecError::Salt));
        let long = [
            hex::encode([0; 16]).as_bytes(),
            b"\n",
            &[b' '; MAX_SPEC + 1],
        ]
        .concat();
        assert_eq!(Document::read(&long), Err(SpecError::TooLong(MAX_SPEC + 1)));
    }
}
