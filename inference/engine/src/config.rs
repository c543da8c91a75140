//! Settings of an engine.

use serde::{Deserialize, Serialize};

use super::device::Choice;
use super::kernels::InstructionSet;

/// Settings of an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Threads that compute; 0 = one for each core.
    pub threads: usize,
    /// Interactive requests that run at once; one verification may run besides.
    pub max_sequences: usize,
    /// Requests of each priority that wait; one more is refused as busy.
    pub max_queued: usize,
    /// Most memory for keys and values, of running requests and of prefixes that are kept, in bytes.
    pub kv_bytes: u64,
    /// After so many seconds memory of keys and values that no request uses goes back to the system; 0 = never.
    pub kv_idle_seconds: u32,
    /// Most memory for residual rows: of answers that are made, and for `residual_seconds` after, in bytes; 0 = they are not kept.
    pub residual_bytes: u64,
    /// For how long an answer's residual rows are kept once it is made.
    pub residual_seconds: u32,
    /// Rows of a forward pass. While a request decodes, prompts get a quarter of them.
    pub chunk: usize,
    /// Whether tokens that may come next are read before they are chosen; the answers and their bits are the same.
    pub speculation: bool,
    /// Which instructions compute; the bits are the same with each.
    pub instruction_set: InstructionSet,
    /// What computes: `cpu`, `cuda`, `cuda:0,1` or `auto`; the bits are the same.
    pub device: Choice,
    /// Departures from the profile's arithmetic, for calibration.
    #[serde(skip)]
    pub lab: Lab,
}

/// What calibration varies to see whether it is found out. An engine with any of it is no honest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lab {
    /// Keys and values rounded to integers of so many bits (2 to 8), one scale a head and position,
    /// before they are stored.
    pub kv_bits: Option<u8>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            max_sequences: 4,
            max_queued: 32,
            kv_bytes: 1 << 30,
            kv_idle_seconds: 300,
            residual_bytes: 0,
            residual_seconds: 120,
            chunk: 128,
            speculation: true,
            instruction_set: InstructionSet::Auto,
            device: Choice::default(),
            lab: Lab::default(),
        }
    }
}

impl EngineConfig {
    /// Names the first key whose value is not allowed.
    pub fn validate(&self) -> Result<(), String> {
        let check = |key: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(format!("{key} = {value}: allowed is {min} to {max}"))
            }
        };
        check("threads", self.threads as u64, 0, 1_024)?;
        check("max_sequences", self.max_sequences as u64, 1, 256)?;
        check("max_queued", self.max_queued as u64, 0, 65_536)?;
        check("kv_bytes", self.kv_bytes, 1 << 20, 1 << 44)?;
        check(
            "kv_idle_seconds",
            u64::from(self.kv_idle_seconds),
            0,
            31_536_000,
        )?;
        check("residual_bytes", self.residual_bytes, 0, 1 << 44)?;
        check(
            "residual_seconds",
            u64::from(self.residual_seconds),
            1,
            86_400,
        )?;
        check("chunk", self.chunk as u64, 1, 4_096)?;
        if let Some(bits) = self.lab.kv_bits {
            check("lab.kv_bits", u64::from(bits), 2, 8)?;
        }
        if self.chunk < self.max_sequences {
            return Err(format!(
                "chunk = {}: allowed is at least max_sequences = {}",
                self.chunk, self.max_sequences
            ));
        }
        Ok(())
    }
}
