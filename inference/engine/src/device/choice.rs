//! What a config asks for that computes passes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most GPUs that share a model.
const MOST_GPUS: usize = 16;

/// What a config asks for: `cpu`, `cuda` (the first GPU), `cuda:0,1` (these, together) or `auto` (the first GPU if it can, else the
/// processor).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Choice {
    #[default]
    Cpu,
    Auto,
    Cuda(Vec<usize>),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("device = {text:?}: allowed are cpu, auto, cuda, cuda:0 and cuda:0,1");
        match text {
            "cpu" => return Ok(Self::Cpu),
            "auto" => return Ok(Self::Auto),
            "cuda" => return Ok(Self::Cuda(vec![0])),
            _ => {}
        }
        let list = text.strip_prefix("cuda:").ok_or_else(wrong)?;
        let numbers = list.split(',').map(str::parse::<u8>);
        let numbers: Result<Vec<u8>, _> = numbers.collect();
        let numbers = numbers.map_err(|_| wrong())?;
        let twice = (1..numbers.len()).any(|i| numbers[..i].contains(&numbers[i]));
        if twice || numbers.len() > MOST_GPUS {
            return Err(wrong());
        }
        Ok(Self::Cuda(numbers.into_iter().map(usize::from).collect()))
    }
}

impl TryFrom<String> for Choice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Auto => f.write_str("auto"),
            Self::Cuda(list) => {
                let list: Vec<String> = list.iter().map(usize::to_string).collect();
                write!(f, "cuda:{}", list.join(","))
            }
        }
    }
}
