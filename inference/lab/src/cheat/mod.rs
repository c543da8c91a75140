//! A node that cheats: on development networks only, to see that it does not pay.
//!
//! [`How`] names the cheats; [`Liar`] stands in for the engine where answers are written, so that all else is the
//! honest node, which streams, seals and submits what it is given. Other validators' answers are checked by the true
//! engine still.

mod how;
mod liar;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use mythic_interface::le::U32;
use mythic_node::{
    NodeConfig,
    seams::{Disclosure, Seams, Shown},
};
use mythic_wire::{
    Finish,
    evidence::{Draft, Evidence, EvidenceError},
    origin::is_loopback,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use how::How;
pub use liar::Liar;

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
        tracing::warn!(cheat = %how, "THIS NODE CHEATS: it {}; what is false will be found out and cost half of its stake", how.describe());
        Ok(Seams {
            backend: Arc::new(move |engine, path, config| {
                let directory = config.data_dir.join("cheat");
                Arc::new(Liar::new(how, engine, path, directory, config.threads))
            }),
            disclosure: Arc::new(Unashamed {
                shown: how.shown(),
                answers: how != How::Withhold,
            }),
        })
    }
}

/// Seals whatever it is given: what a cheat seals need not hold.
struct Unashamed {
    shown: Shown,
    answers: bool,
}

impl Disclosure for Unashamed {
    fn shown(&self) -> Shown {
        self.shown
    }
    fn answers(&self) -> bool {
        self.answers
    }
    fn seal(
        &self,
        draft: Draft,
        _: Finish,
        _: &[U32],
    ) -> std::result::Result<Evidence, EvidenceError> {
        Evidence::seal_unchecked(draft)
    }
}

/// Refuses to cheat unless the chain is nobody's but this machine's: a development chain, which answers `mythic_status`, or a cluster of one
/// validator. Votes are part of a bank's state, so that no public cluster ever shows one alone.
pub async fn permit(how: impl std::fmt::Display, rpc_url: &str) -> Result<()> {
    if !is_loopback(rpc_url) {
        bail!("cheat = \"{how}\": only against a development chain on this machine, not {rpc_url}");
    }
    let develops = ask(rpc_url, "mythic_status").await?["openSlot"].is_u64();
    if !develops && voters(&ask(rpc_url, "getVoteAccounts").await?) != Some(1) {
        bail!(
            "cheat = \"{how}\": {rpc_url} is not a development chain (it has no mythic_status, and not one validator alone); remove the setting"
        );
    }
    Ok(())
}

/// Vote accounts of a cluster, of those that don't vote too.
fn voters(answer: &Value) -> Option<usize> {
    let count = |list: &str| answer[list].as_array().map(Vec::len);
    Some(count("current")? + count("delinquent")?)
}

/// The result of a call without parameters; null if there is none.
async fn ask(rpc_url: &str, method: &str) -> Result<Value> {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": []});
    let answer = reqwest::Client::new().post(rpc_url).json(&request).send();
    let mut answer: Value = answer
        .await
        .and_then(reqwest::Response::error_for_status)
        .context("asking the chain whether it is a development chain")?
        .json()
        .await
        .context("asking the chain whether it is a development chain")?;
    Ok(answer["result"].take())
}
