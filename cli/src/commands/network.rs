//! `mythic network`: validators, jobs and money of the whole network.

use crate::{context::Connection, gateway::Gateway, report::Report, terminal, units::sol};
use anyhow::Result;
use serde_json::Value;

/// Runs `mythic network`.
pub async fn run(json: bool, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    let network = gateway.get("/v1/network").await?;
    if json {
        return terminal::json(&network);
    }
    let fees = burned_fees(&gateway).await?;
    describe(&network, gateway.base(), fees).print(false)
}

/// What was burned of fees, if the daily statistics go back far enough to tell.
async fn burned_fees(gateway: &Gateway) -> Result<Option<u64>> {
    let days = gateway.get("/v1/stats/daily?limit=100").await?;
    if days["has_more"] == true {
        return Ok(None);
    }
    let days = days["data"].as_array().into_iter().flatten();
    Ok(days
        .map(|day| {
            let amount = |name: &str| day[name].as_u64();
            amount("fee_lamports")?
                .checked_sub(amount("validator_lamports")?)?
                .checked_sub(amount("foundation_lamports")?)
        })
        .sum())
}

/// The network for people.
fn describe(network: &Value, gateway: &str, fees: Option<u64>) -> Report {
    let mut report = Report::default();
    report.add("gateway", gateway);
    for field in [
        "slot",
        "finalized_slot",
        "active_validators",
        "registered_validators",
    ] {
        report.add(field, network[field].clone());
    }
    let gpus = network["gpus"].clone();
    match gpus.as_u64() {
        Some(0) => report.say("gpus", "none registered; validators compute on CPUs", gpus),
        _ => report.add("gpus", gpus),
    };
    let speed = network["capacity_tokens_per_second"].as_f64();
    report.say(
        "capacity",
        speed.map_or_else(|| "-".into(), |speed| format!("{speed:.0} tokens/s")),
        speed,
    );
    for field in [
        "jobs",
        "jobs_settled",
        "jobs_slashed",
        "disputes",
        "disputes_open",
    ] {
        report.add(field, network[field].clone());
    }
    report
        .lamports("staked", network["staked_lamports"].as_u64())
        .lamports("slashed", network["slashed_lamports"].as_u64());
    let burned = network["burned_lamports"].as_u64();
    let mut text = burned.map_or_else(|| "-".into(), sol);
    if let (Some(burned), Some(fees)) = (burned, fees) {
        text.push_str(&format!(
            " ({} of fees, {} of registrations and cases)",
            sol(fees),
            sol(burned.saturating_sub(fees))
        ));
    }
    report.say("burned", text, burned);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_network_says_what_was_burned_for_what_and_that_no_gpu_is_needed() {
        let network = json!({"gpus": 0, "burned_lamports": 100_000_400_u64});
        let text = format!("{:?}", describe(&network, "http://g", Some(400)));
        assert!(
            text.contains(
                "0.1000004 SOL (0.0000004 SOL of fees, 0.1 SOL of registrations and cases)"
            ),
            "{text}"
        );
        assert!(text.contains("compute on CPUs"), "{text}");
    }
}
