//! Bodies of tenants' requests: read once it is known whose they are, and so many bytes of all of them at once.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, header},
};
use mythic_wire::MAX_BODY;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a permit.
const PART: usize = 1 << 10;
/// Bytes of all bodies that are held at once.
const ALL: usize = 64 << 20;

/// Room for bodies.
#[derive(Debug)]
pub struct Bodies(Arc<Semaphore>);

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL / PART)))
    }
}

/// Why a body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is longer than {MAX_BODY} bytes")]
    TooLong,
    #[error("too many long bodies are on their way; try again shortly")]
    NoRoom,
    #[error("the body is longer than it may be, or did not arrive whole and in time")]
    Broken,
}

impl BodyError {
    /// Status and code.
    pub fn code(self) -> (u16, &'static str) {
        match self {
            Self::TooLong => (413, "body_too_long"),
            Self::NoRoom => (503, "capacity"),
            Self::Broken => (400, "body_unreadable"),
        }
    }
}

impl Bodies {
    /// Reads a body; its room is taken until what is returned beside it is dropped.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Bytes, OwnedSemaphorePermit), BodyError> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        // What does not say how long it is takes as much as there may be.
        let length = length.unwrap_or(MAX_BODY);
        if length > MAX_BODY {
            return Err(BodyError::TooLong);
        }
        let parts = u32::try_from(length.div_ceil(PART)).unwrap_or(u32::MAX);
        let room = self.0.clone().try_acquire_many_owned(parts);
        let room = room.map_err(|_| BodyError::NoRoom)?;
        let bytes = to_bytes(body, length).await;
        Ok((bytes.map_err(|_| BodyError::Broken)?, room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_length(length: usize) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers
    }

    #[tokio::test]
    async fn a_body_takes_its_room_and_leaves_it() {
        let bodies = Bodies::default();
        let (bytes, room) = bodies.read(&of_length(2), "hi".into()).await.unwrap();
        assert_eq!((&bytes[..], room.num_permits()), (&b"hi"[..], 1));
        let long = bodies.read(&of_length(MAX_BODY + 1), Body::empty()).await;
        assert_eq!(long.unwrap_err(), BodyError::TooLong);
        // It says two bytes and brings three.
        let more = bodies.read(&of_length(2), "hi!".into()).await;
        assert_eq!(more.unwrap_err(), BodyError::Broken);
        let mut held = vec![room];
        loop {
            match bodies.read(&HeaderMap::new(), "unsaid".into()).await {
                Ok((_, room)) => held.push(room),
                Err(error) => {
                    assert_eq!(error, BodyError::NoRoom);
                    break;
                }
            }
            assert!(held.len() <= ALL / MAX_BODY, "there is an end");
        }
        held.clear();
        assert!(bodies.read(&HeaderMap::new(), "hi".into()).await.is_ok());
    }
}
