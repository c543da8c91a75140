//! Why an output ended, in JSON: the names that SQL and the chain's documentation use.

use mythic_interface::state::FinishReason;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

const ALL: [FinishReason; 4] = [
    FinishReason::Eos,
    FinishReason::Length,
    FinishReason::Stopped,
    FinishReason::Cancelled,
];

/// Writes its name; for `#[serde(with = "mythic_wire::finish")]`.
pub fn serialize<S: Serializer>(reason: &FinishReason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.as_str())
}

/// Reads a name; for `#[serde(with = "mythic_wire::finish")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<FinishReason, D::Error> {
    let name = std::borrow::Cow::<'de, str>::deserialize(from)?;
    let found = ALL.into_iter().find(|reason| reason.as_str() == name);
    found.ok_or_else(|| D::Error::custom(format!("{name:?} is no reason to end")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_written_by_its_name_and_read_again() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct End(#[serde(with = "super")] FinishReason);
        for reason in ALL {
            let text = serde_json::to_string(&End(reason)).unwrap();
            assert_eq!(text, format!("{:?}", reason.as_str()));
            assert_eq!(serde_json::from_str::<End>(&text).unwrap().0, reason);
        }
        assert!(serde_json::from_str::<End>("\"enough\"").is_err());
    }
}
