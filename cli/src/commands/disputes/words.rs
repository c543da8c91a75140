//! What a dispute as the gateway tells it means, in words.

use crate::units::{cell, counted, sol};
use serde_json::Value;

/// What comes next, in words; empty where nothing does.
pub fn countdown(dispute: &Value) -> String {
    let next = &dispute["next"];
    match (next["event"].as_str(), dispute["phase"].as_str()) {
        (Some(event), _) => {
            let about = match next["seconds_left"].as_i64() {
                Some(seconds) => format!(", about {seconds} s"),
                None => String::new(),
            };
            let words = match event {
                "openings_end" => "the data must be shown by slot".to_owned(),
                "commit_from" => "jurors may commit from slot".to_owned(),
                "commit_end" => "jurors may commit until slot".to_owned(),
                "reveal_end" => "jurors may reveal until slot".to_owned(),
                other => format!("{} at slot", other.replace('_', " ")),
            };
            let left = next["slots_left"].as_u64().unwrap_or_default();
            let slot = cell(&next["slot"]);
            format!("{words} {slot} ({}{about} left)", counted(left, "slot"))
        }
        (None, Some("due")) => "verdict due now".into(),
        _ => String::new(),
    }
}

/// What is known of the verdict or, before it, of the answer and the jury.
pub fn progress(dispute: &Value) -> String {
    let number = |name: &str| dispute[name].as_u64();
    let amount = |name: &str| number(name).map_or_else(|| "-".into(), sol);
    if let Some(verdict) = dispute["verdict"].as_str() {
        let mut text = format!("{verdict} ({})", cell(&dispute["ground"]));
        if number("slashed_lamports").is_some_and(|slashed| slashed > 0) {
            text.push_str(&format!(
                ": the validator loses {}; challenger {} (bond and reward), jurors {}, burned {}",
                amount("slashed_lamports"),
                amount("challenger_lamports"),
                amount("jurors_lamports"),
                amount("burned_lamports")
            ));
        } else {
            text.push_str(&format!(
                ": challenger {} of its bond of {}, submitter {}, jurors {}, burned {}",
                amount("challenger_lamports"),
                amount("bond_lamports"),
                amount("submitter_lamports"),
                amount("jurors_lamports"),
                amount("burned_lamports")
            ));
        }
        return text;
    }
    let checked = number("sampled_positions")
        .zip(number("named_positions"))
        .map_or_else(|| "-".into(), |(a, b)| (a + b).to_string());
    format!(
        "{} of {checked} positions shown, {} of {} seats taken, {} revealed",
        cell(&dispute["opened_positions"]),
        cell(&dispute["committed_seats"]),
        cell(&dispute["jury_seats"]),
        cell(&dispute["revealed_seats"])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_countdown_names_the_slot_and_about_how_long() {
        let next = json!({"event": "commit_end", "slot": 126, "slots_left": 20, "seconds_left": 8});
        let mut dispute = json!({"phase": "commit", "next": next});
        assert_eq!(
            countdown(&dispute),
            "jurors may commit until slot 126 (20 slots, about 8 s left)"
        );
        dispute["next"]["seconds_left"] = Value::Null;
        assert_eq!(
            countdown(&dispute),
            "jurors may commit until slot 126 (20 slots left)"
        );
        assert_eq!(
            countdown(&json!({"phase": "due", "next": null})),
            "verdict due now"
        );
        assert_eq!(countdown(&json!({"phase": "resolved", "next": null})), "");
    }

    #[test]
    fn progress_tells_the_answer_the_jury_and_then_the_money() {
        let mut dispute = json!({
            "sampled_positions": 16, "named_positions": 1, "opened_positions": 4, "jury_seats": 3, "committed_seats": 2,
            "revealed_seats": 0, "verdict": null
        });
        assert_eq!(
            progress(&dispute),
            "4 of 17 positions shown, 2 of 3 seats taken, 0 revealed"
        );
        for (name, value) in [
            ("verdict", json!("guilty")),
            ("ground", json!("jury")),
            ("slashed_lamports", json!(1_000_000_000)),
            ("challenger_lamports", json!(500_000_000)),
            ("jurors_lamports", json!(499_999_999)),
            ("burned_lamports", json!(1)),
        ] {
            dispute[name] = value;
        }
        assert_eq!(
            progress(&dispute),
            "guilty (jury): the validator loses 1 SOL; challenger 0.5 SOL (bond and reward), jurors 0.499999999 SOL, burned 0.000000001 SOL"
        );
        dispute["slashed_lamports"] = json!(0);
        dispute["verdict"] = json!("void");
        assert!(progress(&dispute).starts_with("void (jury): challenger 0.5 SOL of its bond of -"));
    }
}
