//! What one listener grants to whoever connects.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of a listener; the keys are those of the configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in all; a further one is told 503 and closed.
    pub connections: usize,
    /// Connections from one address (IPv6: from one /64); a further one is told 429 and closed. Behind a reverse proxy, which
    /// counts its own clients, set it as high as `connections`.
    pub connections_per_address: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Seconds from the first byte of a request to the end of its headers.
    pub header_seconds: u64,
    /// Seconds from the end of the headers to the end of the body.
    pub body_seconds: u64,
    /// Seconds for which a connection may be idle between two requests.
    pub idle_seconds: u64,
    /// Seconds for which a reader may take nothing of what is written to it.
    pub write_seconds: u64,
    /// Most bytes of an unread body that are thrown away so that the connection stays usable after a refusal.
    pub discard_bytes: usize,
    /// Seconds for which requests under way may end after a stop.
    pub drain_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_000,
            connections_per_address: 512,
            headers: 100,
            header_bytes: 32 << 10,
            header_seconds: 10,
            body_seconds: 30,
            idle_seconds: 75,
            write_seconds: 30,
            discard_bytes: 16 << 20,
            drain_seconds: 10,
        }
    }
}

impl Limits {
    /// Checks what types can't; the message names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let seconds = [
            ("header_seconds", self.header_seconds),
            ("body_seconds", self.body_seconds),
            ("idle_seconds", self.idle_seconds),
            ("write_seconds", self.write_seconds),
        ];
        if let Some((key, value)) = seconds
            .iter()
            .find(|(_, value)| !(1..=86_400).contains(value))
        {
            return Err(format!("{key} = {value}: must be 1 to 86400"));
        }
        if self.drain_seconds > 86_400 {
            return Err(format!(
                "drain_seconds = {}: must be at most 86400",
                self.drain_seconds
            ));
        }
        let counts = [
            ("connections", self.connections, 1, 1 << 20),
            (
                "connections_per_address",
                self.connections_per_address,
                1,
                1 << 20,
            ),
            ("headers", self.headers, 8, 1_000),
            ("header_bytes", self.header_bytes, 1 << 10, 1 << 20),
            ("discard_bytes", self.discard_bytes, 0, 1 << 30),
        ];
        match counts
            .iter()
            .find(|(_, value, least, most)| value < least || value > most)
        {
            Some((key, value, least, most)) => {
                Err(format!("{key} = {value}: must be {least} to {most}"))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn header_time(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    pub(crate) fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }

    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    pub(crate) fn write_time(&self) -> Duration {
        Duration::from_secs(self.write_seconds)
    }

    pub(crate) fn drain_time(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_errors_name_the_key() {
        Limits::default().validate().unwrap();
        let limits = Limits {
            write_seconds: 0,
            ..Limits::default()
        };
        assert!(limits.validate().unwrap_err().starts_with("write_seconds"));
        let limits = Limits {
            headers: 1_000_000,
            ..Limits::default()
        };
        assert!(limits.validate().unwrap_err().starts_with("headers"));
    }
}
