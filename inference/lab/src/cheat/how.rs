//! The ways to cheat: lies of a node alone, and attacks in which it has friends.

use std::str::FromStr;

use mythic_node::seams::Shown;
use serde::{Deserialize, Serialize};

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
    /// Draws from all that the model finds likely, whatever `top_k`, `top_p` and `min_p` say.
    IgnoreTopP,
    /// Draws as if no token had a bias.
    IgnoreBias,
    /// Writes what the grammar does not allow.
    IgnoreGrammar,
    /// A false answer with one leaf that breaks the rules, which nobody is shown: a friend proves it once a jury judges.
    PlantedFault,
    /// A false answer; a friend claims against it after somebody else has.
    LateFriend,
    /// A true answer that nobody is shown, to be paid for showing it.
    Bait,
    /// A true answer, accused before a jury that was registered for the occasion.
    RentedJury,
    /// A false answer whose case friends open and fill with claims that name nothing false.
    Shield,
    /// A false answer that a friend claims against first, to have the reward.
    SelfSlash,
}

impl How {
    /// All of them, lies first.
    pub const ALL: [Self; 20] = [
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
        Self::IgnoreTopP,
        Self::IgnoreBias,
        Self::IgnoreGrammar,
        Self::PlantedFault,
        Self::LateFriend,
        Self::Bait,
        Self::RentedJury,
        Self::Shield,
        Self::SelfSlash,
    ];

    /// Whether others take part in it, whose transactions somebody has to make.
    pub fn has_friends(self) -> bool {
        matches!(
            self,
            Self::PlantedFault
                | Self::LateFriend
                | Self::Bait
                | Self::RentedJury
                | Self::Shield
                | Self::SelfSlash
        )
    }

    /// The lie that its answers are.
    pub(super) fn writes(self) -> Self {
        match self {
            Self::LateFriend | Self::Shield | Self::SelfSlash => Self::OneToken,
            Self::Bait | Self::RentedJury => Self::Withhold,
            alone => alone,
        }
    }

    /// How much of its answers the node gives out.
    pub(super) fn shown(self) -> Shown {
        match self {
            Self::Withhold | Self::Bait => Shown::Nothing,
            // Where the prompt is known from a gateway nobody can hide it.
            Self::PlantedFault => Shown::Prompt,
            _ => Shown::Everything,
        }
    }

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
            Self::IgnoreTopP => "ignore-top-p",
            Self::IgnoreBias => "ignore-bias",
            Self::IgnoreGrammar => "ignore-grammar",
            Self::PlantedFault => "planted-fault",
            Self::LateFriend => "late-friend",
            Self::Bait => "bait",
            Self::RentedJury => "rented-jury",
            Self::Shield => "shield",
            Self::SelfSlash => "self-slash",
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
            Self::IgnoreTopP => {
                "shows true logits and ignores top_k, top_p and min_p (which shows where somebody asks for them)"
            }
            Self::IgnoreBias => {
                "shows true logits and ignores logit_bias (which shows where somebody asks for one)"
            }
            Self::IgnoreGrammar => {
                "shows true logits and writes without the grammar (which shows where somebody asks for one)"
            }
            Self::PlantedFault => {
                "lets a smaller model write, hides a leaf that breaks the rules, and has a friend prove it when a jury judges"
            }
            Self::LateFriend => {
                "alters one token, and has a friend claim it after somebody else has"
            }
            Self::Bait => {
                "answers truly, hides the evidence, and is paid for showing it when it has to"
            }
            Self::RentedJury => {
                "answers truly, and is accused before validators that were registered for the occasion"
            }
            Self::Shield => {
                "alters one token, and has friends open and fill its case with claims that name nothing false"
            }
            Self::SelfSlash => {
                "alters one token, and has a friend claim it first, to keep the reward in the family"
            }
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
