//! What a leader answers to its followers. Whoever does not know the secret takes none of their places: it costs one MAC over at most
//! 128 KiB, and a place among those that are read, for a moment.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;

use super::wire::{
    Ask, BLOCKS, MAX_QUESTION, MAX_STATE, PART, Part, Question, Secret, Told, VERSION,
};
use crate::chain::{After, Made, Mark};
use crate::node::{Node, Notice, Place};
use crate::store;

/// Questions answered at a time, of those that know the secret.
const AT_ONCE: usize = 16;
/// Questions read at a time, whoever asks, and how long one may take to come: all come from this machine.
const READ_AT_ONCE: usize = 64;
const READING: Duration = Duration::from_secs(2);
/// How long a question for blocks waits for something new.
const NEWS: Duration = Duration::from_millis(500);
/// How long a state is held for the next question for a part of it.
const HELD: Duration = Duration::from_secs(60);

/// A finalized state that is being told.
struct Prepared {
    id: u64,
    bytes: Arc<Vec<u8>>,
    used: Instant,
}

/// A chain that may be followed.
pub struct Leading {
    node: Arc<Node>,
    secret: Secret,
    reading: Arc<AtomicUsize>,
    answering: Arc<AtomicUsize>,
    prepared: Mutex<Option<Prepared>>,
}

impl Leading {
    pub fn new(node: Arc<Node>, secret: Secret) -> Arc<Self> {
        Arc::new(Self {
            node,
            secret,
            reading: Arc::default(),
            answering: Arc::default(),
            prepared: Mutex::new(None),
        })
    }

    /// The question of somebody who knows the secret.
    async fn question(&self, body: Body) -> Result<Question, StatusCode> {
        let _place =
            Place::take(&self.reading, READ_AT_ONCE).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let read = axum::body::to_bytes(body, MAX_QUESTION);
        let read = tokio::time::timeout(READING, read).await;
        let bytes = read.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
        let bytes = bytes.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        self.secret.asked(&bytes).ok_or(StatusCode::UNAUTHORIZED)
    }

    async fn answer(&self, body: Body) -> Result<Vec<u8>, StatusCode> {
        let Question {
            version,
            nonce,
            genesis,
            ask,
        } = self.question(body).await?;
        let _place =
            Place::take(&self.answering, AT_ONCE).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let ours = self.node.genesis_hash().to_bytes();
        let told = match (genesis, ask) {
            _ if version != VERSION => Told::Refused(format!(
                "messages of version {version}; this build has {VERSION}"
            )),
            (Some(theirs), _) if theirs != ours => Told::OtherChain(ours),
            (_, Ask::Blocks(marks)) => self.blocks(marks).await,
            (_, Ask::State { id, offset }) => {
                let [a, b, c, d, e, f, g, h, ..] = nonce;
                let new = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                self.state((id, offset), new).await
            }
        };
        self.secret.tell(&nonce, &told).map_err(|error| {
            tracing::error!(%error, "an answer to a follower could not be made");
            StatusCode::INTERNAL_SERVER_ERROR
        })
    }

    async fn blocks(&self, marks: Vec<Mark>) -> Told {
        drop(
            self.prepared
                .lock()
                .take_if(|state| state.used.elapsed() > HELD),
        );
        let mut notices = self.node.subscribe();
        let told = self.look(&marks).await;
        let Told::Blocks { onto, blocks, .. } = &told else {
            return told;
        };
        if !blocks.is_empty() || marks.first() != Some(onto) {
            return told;
        }
        let news = async {
            loop {
                match notices.recv().await {
                    Ok(Notice::Received { .. }) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    // The chain stops.
                    Err(RecvError::Closed) => return,
                }
            }
        };
        let _ = tokio::time::timeout(NEWS, news).await;
        self.look(&marks).await
    }

    async fn look(&self, marks: &[Mark]) -> Told {
        let (node, marks) = (self.node.clone(), marks.to_vec());
        let look = move || match node.read(|chain| chain.after(&marks, BLOCKS)) {
            After::Blocks {
                onto,
                blocks,
                rooted,
            } => Told::Blocks {
                onto,
                blocks: blocks.iter().map(|block| Made::of(block)).collect(),
                rooted,
            },
            After::Gone => Told::Gone,
            After::Unknown => Told::Unknown,
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.unwrap_or_else(|error| Told::Refused(error.to_string()))
    }

    /// The part of a state that is asked for, or the first one of a new state, which is called `new`.
    async fn state(&self, (id, offset): (u64, u64), new: u64) -> Told {
        let held = self.held(id);
        let (id, bytes, offset) = match held {
            Some(bytes) => (id, bytes, offset),
            None => match self.prepare(new).await {
                Ok(bytes) => (new, bytes, 0),
                Err(error) => return Told::Refused(format!("{error:#}")),
            },
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or_default();
        Told::State(Part {
            id,
            total: bytes.len() as u64,
            offset,
            bytes: rest.get(..PART).unwrap_or(rest).to_vec(),
        })
    }

    fn held(&self, id: u64) -> Option<Arc<Vec<u8>>> {
        let mut prepared = self.prepared.lock();
        let state = prepared.as_mut().filter(|state| state.id == id)?;
        state.used = Instant::now();
        Some(state.bytes.clone())
    }

    /// The state as it is now takes the place of the one that is held.
    async fn prepare(&self, id: u64) -> anyhow::Result<Arc<Vec<u8>>> {
        let node = self.node.clone();
        let encode = move || {
            let state = node.read(|chain| chain.rooted_state());
            store::encode(&state, &node.genesis_hash())
        };
        let bytes = Arc::new(tokio::task::spawn_blocking(encode).await??);
        anyhow::ensure!(
            bytes.len() <= MAX_STATE,
            "a state of {} bytes; at most {MAX_STATE} are told: stop both, and copy the leader's data_dir without faucet.json",
            bytes.len()
        );
        *self.prepared.lock() = Some(Prepared {
            id,
            bytes: bytes.clone(),
            used: Instant::now(),
        });
        Ok(bytes)
    }
}

/// `POST /follow`.
pub async fn follow(State(leading): State<Arc<Leading>>, body: Body) -> Response {
    match leading.answer(body).await {
        Ok(answer) => {
            let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
            (headers, answer).into_response()
        }
        Err(status) => status.into_response(),
    }
}
