//! What a case as the gateway tells it means, in words.

use crate::units::{cell, counted, sol};
use mythic_interface::dispute::SAMPLE;
use serde_json::Value;

/// What comes next, in words; empty where nothing does.
pub fn countdown(case: &Value) -> String {
    let next = &case["next"];
    match (next["event"].as_str(), case["phase"].as_str()) {
        (Some(event), _) => {
            let about = match next["seconds_left"].as_i64() {
                Some(seconds) => format!(", about {seconds} s"),
                None => String::new(),
            };
            let words = match event {
                "leaves_due" => "what was asked for must be shown by slot".to_owned(),
                "joining_end" => "others may join until slot".to_owned(),
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
pub fn progress(case: &Value) -> String {
    let number = |name: &str| case[name].as_u64();
    let amount = |name: &str| number(name).map_or_else(|| "-".into(), sol);
    if let Some(verdict) = case["verdict"].as_str() {
        let mut text = format!("{verdict} ({})", cell(&case["ground"]));
        if number("slashed_lamports").is_some_and(|slashed| slashed > 0) {
            text.push_str(&format!(
                ": the validator loses {}; reward {}, jurors {}, burned {}",
                amount("slashed_lamports"),
                amount("reward_lamports"),
                amount("jurors_lamports"),
                amount("burned_lamports")
            ));
        } else {
            text.push_str(&format!(
                ": claimants {} of their bonds of {}, submitter {}, jurors {}, burned {}",
                amount("claimants_lamports"),
                amount("bonds_lamports"),
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
        "{}, {} of {checked} positions shown, {} of {} seats taken, {} revealed",
        counted(number("claims").unwrap_or_default(), "claim"),
        cell(&case["opened_positions"]),
        cell(&case["committed_seats"]),
        cell(&case["jury_seats"]),
        cell(&case["revealed_seats"])
    )
}

/// What the seats that revealed find of what a claim says.
pub fn verdicts(case: &Value, claim: &Value) -> String {
    let seats = case["jurors"].as_array().into_iter().flatten();
    let revealed: Vec<&Vec<Value>> = seats.filter_map(|s| s["finds_true"].as_array()).collect();
    if revealed.is_empty() || claim["kind"] != "false" {
        return "-".into();
    }
    let count = |place: usize| {
        let found = revealed
            .iter()
            .filter(|found| found.contains(&place.into()));
        let found = found.count();
        format!("{found} true, {} false", revealed.len() - found)
    };
    match claim["digest_place"].as_u64() {
        Some(own) => format!("sample {}; its own {}", count(SAMPLE), count(own as usize)),
        None => format!("sample {}", count(SAMPLE)),
    }
}

/// What a seat finds as it was submitted, in words.
pub fn finds(case: &Value, seat: &Value) -> String {
    let Some(found) = seat["finds_true"].as_array() else {
        return "-".into();
    };
    let claims = case["all_claims"].as_array().into_iter().flatten();
    let named = claims.filter(|claim| found.contains(&claim["digest_place"]));
    let sample = found.contains(&SAMPLE.into()).then(|| "sample".to_owned());
    let named = named.map(|claim| format!("claim {}", cell(&claim["place"])));
    let all: Vec<String> = sample.into_iter().chain(named).collect();
    match all.is_empty() {
        true => "nothing".into(),
        false => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_countdown_names_the_slot_and_about_how_long() {
        let next = json!({"event": "commit_end", "slot": 126, "slots_left": 20, "seconds_left": 8});
        let mut case = json!({"phase": "commit", "next": next});
        assert_eq!(
            countdown(&case),
            "jurors may commit until slot 126 (20 slots, about 8 s left)"
        );
        case["next"]["seconds_left"] = Value::Null;
        assert_eq!(
            countdown(&case),
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
        let mut case = json!({
            "claims": 2, "sampled_positions": 16, "named_positions": 1, "opened_positions": 4, "jury_seats": 3, "committed_seats": 2,
            "revealed_seats": 0, "verdict": null
        });
        assert_eq!(
            progress(&case),
            "2 claims, 4 of 17 positions shown, 2 of 3 seats taken, 0 revealed"
        );
        for (name, value) in [
            ("verdict", json!("guilty")),
            ("ground", json!("jury")),
            ("slashed_lamports", json!(1_000_000_000)),
            ("reward_lamports", json!(400_000_000)),
            ("claimants_lamports", json!(500_000_000)),
            ("jurors_lamports", json!(1_000_000)),
            ("burned_lamports", json!(599_000_000)),
        ] {
            case[name] = value;
        }
        assert_eq!(
            progress(&case),
            "guilty (jury): the validator loses 1 SOL; reward 0.4 SOL, jurors 0.001 SOL, burned 0.599 SOL"
        );
        case["slashed_lamports"] = json!(0);
        case["verdict"] = json!("void");
        assert!(progress(&case).starts_with("void (jury): claimants 0.5 SOL of their bonds of -"));
    }
}
