//! A node that cheats: on development networks only, to see that it does not pay.
//!
//! [`How`] names the cheats; [`Liar`] stands in for the engine where answers are written, so that all else is the
//! honest node, which streams, seals and submits what it is given. Other validators' answers are checked by the true
//! engine still.

mod liar;

use std::{str::FromStr, sync::Arc};

use anyhow::{Context as _, Result, bail};
use mythic_node::{
    NodeConfig,
    seams::{Disclosure, Seams},
};
use mythic_wire::{
    evidence::{Draft, Evidence, EvidenceError},
    origin::is_loopback,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use liar::Liar;

/// A way to cheat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The weights in fewer bits.
    OtherQuant,
    /// The file without its last layers.
    OtherModel,
    /// A cheap writer picks the tokens, the true model fills in its logits.
    Prefill,
    /// Another seed than the job's.
    WrongSeed,
    /// True logits, of ids that let the sampler choose what a cheap writer wrote.
    WrongIds,
    /// The first half of the prompt is not read.
    TruncatePrompt,
    /// Half of an answer, said to have ended by itself.
    EarlyStop,
    /// Goes on after the end, to bill more.
    PadAfterEos,
    /// An honest answer of which nothing is shown.
    Withhold,
    /// One altered token in the middle, with a logit that excuses it.
    OneToken,
    /// No model at all: made-up tokens and logits that the sampler's replay accepts.
    Random,
}

impl How {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::OtherQuant,
        Self::OtherModel,
        Self::Prefill,
        Self::WrongSeed,
        Self::WrongIds,
        Self::TruncatePrompt,
        Self::EarlyStop,
        Self::PadAfterEos,
        Self::Withhold,
        Self::OneToken,
        Self::Random,
    ];

    /// Its name in configurations and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherQuant => "other-quant",
            Self::OtherModel => "other-model",
            Self::Prefill => "prefill",
            Self::WrongSeed => "wrong-seed",
            Self::WrongIds => "wrong-ids",
            Self::TruncatePrompt => "truncate-prompt",
            Self::EarlyStop => "early-stop",
            Self::PadAfterEos => "pad-after-eos",
            Self::Withhold => "withhold",
            Self::OneToken => "one-token",
            Self::Random => "random",
        }
    }

    /// What it does, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::OtherQuant => "answers with its weights squeezed into Q4_0",
            Self::OtherModel => "answers without its last six layers",
            Self::Prefill => {
                "lets a smaller model write, and fills in the true logits of what it wrote"
            }
            Self::WrongSeed => {
                "draws its tokens with another seed (which shows only above temperature 0)"
            }
            Self::WrongIds => {
                "lets a smaller model write, and shows true logits of ids that excuse its tokens"
            }
            Self::TruncatePrompt => "reads only the second half of the prompt",
            Self::EarlyStop => {
                "stops half way and says that the answer had ended (which shows where it had not)"
            }
            Self::PadAfterEos => {
                "goes on after the end of an answer, to bill all that was allowed (where one ends before)"
            }
            Self::Withhold => "answers truly, and shows nobody any evidence of it",
            Self::OneToken => {
                "alters one token in the middle of an answer, with a logit that excuses it"
            }
            Self::Random => "makes up tokens and logits without any model",
        }
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for How {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|how| how.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is no way to cheat; there are {names}")
        })
    }
}

/// A node's configuration, and the way in which it is to cheat, if it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Cheat in this way. Development chains on this machine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cheat: Option<How>,
    /// What every node has.
    #[serde(flatten)]
    pub node: NodeConfig,
}

impl Told {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> std::result::Result<(), String> {
        self.node.validate()?;
        match self.cheat {
            Some(how) if !(self.node.allow_loopback && is_loopback(&self.node.rpc_url)) => {
                Err(format!(
                    "cheat = \"{how}\": allowed only with allow_loopback and a development chain on this machine as rpc_url"
                ))
            }
            _ => Ok(()),
        }
    }

    /// The parts of the node that the setting replaces; asks the chain whether it is a development chain.
    pub async fn seams(&self) -> Result<Seams> {
        let Some(how) = self.cheat else {
            return Ok(Seams::default());
        };
        permit(how, &self.node.rpc_url).await?;
        tracing::warn!(cheat = %how, "THIS NODE CHEATS: it {}; it will be found out and lose half of its stake", how.describe());
        Ok(Seams {
            backend: Arc::new(move |engine, path, config| {
                let directory = config.data_dir.join("cheat");
                Arc::new(Liar::new(how, engine, path, directory, config.threads))
            }),
            disclosure: Arc::new(Unashamed {
                shows: how != How::Withhold,
            }),
        })
    }
}

/// Seals whatever it is given: what a cheat seals need not hold.
struct Unashamed {
    shows: bool,
}

impl Disclosure for Unashamed {
    fn shows(&self) -> bool {
        self.shows
    }
    fn seal(&self, draft: Draft) -> std::result::Result<Evidence, EvidenceError> {
        Evidence::seal_unchecked(draft)
    }
}

/// Refuses to cheat unless the chain is a development chain of this machine, which answers `mythic_status`.
pub async fn permit(how: How, rpc_url: &str) -> Result<()> {
    if !is_loopback(rpc_url) {
        bail!("cheat = \"{how}\": only against a development chain on this machine, not {rpc_url}");
    }
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "mythic_status", "params": []});
    let answer = reqwest::Client::new().post(rpc_url).json(&request).send();
    let answer: Value = answer
        .await
        .and_then(reqwest::Response::error_for_status)
        .context("asking the chain whether it is a development chain")?
        .json()
        .await
        .context("asking the chain whether it is a development chain")?;
    if !answer["result"]["openSlot"].is_u64() {
        bail!(
            "cheat = \"{how}\": {rpc_url} is not a development chain (it has no mythic_status); remove the setting"
        );
    }
    Ok(())
}
