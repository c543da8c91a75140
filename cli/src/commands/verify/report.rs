//! What a check by hand found, for people and for scripts.

use super::{balance::Offer, claim::Claim};
use crate::{
    exit::{self, Exit},
    say, terminal,
    units::{counted, print_table},
};
use anyhow::Result;
use mythic_interface::comparison::Rule;
use mythic_verifier::check::{self, Finding, Position};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

/// What a check found.
pub struct Outcome<'a> {
    pub claim: &'a Claim,
    pub finding: Finding,
    pub positions: Vec<Position>,
    /// What a claim of it would come to, if one can be made now.
    pub offer: Option<Offer>,
    /// Text of a token, where the model was loaded.
    pub text: Option<&'a dyn Fn(u32) -> String>,
    /// How long the engine computed, if it did.
    pub seconds: Option<f64>,
}

impl Outcome<'_> {
    /// Prints it; an answer that is not honest is an error with its exit code.
    pub fn report(&self, json: bool, quiet: bool) -> Result<()> {
        match json {
            true => terminal::json(&self.json())?,
            false => self.say(quiet),
        }
        let job = self.claim.address;
        match self.finding {
            Finding::Honest | Finding::Audited => Ok(()),
            Finding::Fault { .. } | Finding::Fraud { .. } => Err(Exit::error(
                exit::CHECK_FAILED,
                format!("the answer of job {job} is false"),
            )),
            Finding::Withheld { .. } | Finding::Unknown { .. } => Err(Exit::error(
                exit::CANNOT_SAY,
                format!("job {job} could not be checked"),
            )),
        }
    }

    fn is_exact(&self) -> bool {
        check::rule(&self.claim.model.spec) == Some(Rule::Exact)
    }

    fn differing(&self) -> usize {
        self.positions.iter().filter(|p| p.differs).count()
    }

    fn json(&self) -> Value {
        let rows: Vec<_> = self
            .positions
            .iter()
            .map(|p| {
                json!({
                    "position": p.position,
                    "token": p.token,
                    "given": p.given,
                    "own": &p.own[..4],
                    "own_fourth": p.own[4],
                    "error_ppm": p.error_ppm,
                    "differs": p.differs,
                    "sampled": p.sampled,
                    "fault": p.fault.map(|fault| fault.to_string()),
                })
            })
            .collect();
        let Claim {
            address,
            state,
            model,
        } = self.claim;
        json!({
            "job": address.to_string(),
            "validator": Pubkey::new_from_array(state.validator).to_string(),
            "model": hex::encode(model.identity),
            "exact": self.is_exact(),
            "finding": self.finding.name(),
            "detail": self.finding.to_string(),
            "output_tokens": state.output_tokens.get(),
            "differing": self.differing(),
            "compute_seconds": self.seconds,
            "claim": self.offer.as_ref().map(Offer::json),
            "positions": rows,
        })
    }

    fn say(&self, quiet: bool) {
        say!("{}", self.finding);
        if let Some(offer) = &self.offer {
            offer.say();
        }
        if !quiet {
            table(self.text, &self.positions);
        }
        if let Some(seconds) = self.seconds {
            let profile = match self.is_exact() {
                true => "exact",
                false => "calibrated",
            };
            say!(
                "{}: {}, {} differ; {profile} profile; {seconds:.2} s of the engine",
                self.finding.name(),
                counted(self.positions.len() as u64, "position"),
                self.differing(),
            );
        }
    }
}

fn table(text: Option<&dyn Fn(u32) -> String>, positions: &[Position]) {
    let logit = |value: i32| format!("{:.4}", f64::from(value) / 65_536.0);
    let rows: Vec<Vec<String>> = positions
        .iter()
        .map(|p| {
            let given = p.given.map(|(id, value)| format!("{id}:{}", logit(value)));
            let own = p.own[..4].iter().map(|value| logit(*value));
            let mark = match (p.fault, p.differs) {
                (Some(fault), _) => fault.to_string(),
                (None, true) => "differs".into(),
                (None, false) => "=".into(),
            };
            vec![
                format!("{}{}", p.position, if p.sampled { "*" } else { "" }),
                p.token.to_string(),
                text.map_or_else(String::new, |text| text(p.token)),
                given.join(" "),
                own.collect::<Vec<_>>().join(" "),
                logit(p.own[4]),
                format!("{:.4} %", f64::from(p.error_ppm) / 10_000.0),
                mark,
            ]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    let headers = [
        "pos",
        "token",
        "text",
        "claimed id:logit",
        "own logits there",
        "own 4th",
        "error",
        "",
    ];
    print_table(&headers, &rows);
    if positions.iter().any(|p| p.sampled) {
        say!("* drawn by the chain");
    }
}
