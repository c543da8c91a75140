//! How tokens are to be chosen, as the clients of OpenAI, vLLM and llama.cpp say it: read, rounded to a job's options, and what of
//! it needs a model whose arithmetic is exact.

use mythic_interface::state::SamplingProfile;
use mythic_sampling::{
    MAX_BIAS, MAX_BIAS_MILLI, MAX_PENALTY_MILLI, MAX_REPETITION_MILLI, MAX_TOP_K, Options, PPM,
};
use serde_json::Value;

use super::params::{Params, short};
use crate::error::{ApiError, ApiResult};

/// The `top_k` that the program replays by itself.
const FOUR: u8 = mythic_model::sampling::CANDIDATES as u8;

/// How tokens are to be chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawing {
    /// Without stop strings and grammar.
    pub options: Options,
    /// The first parameter that asks for more than the program replays by itself.
    pub named: Option<&'static str>,
}

impl Drawing {
    /// Under which sampling profile an answer is made, or the parameter for which this model is none. `also` asks for options too.
    pub fn profile(
        &self,
        also: Option<&'static str>,
        temperature_milli: u16,
        is_exact: bool,
    ) -> Result<SamplingProfile, &'static str> {
        match self.named.or(also) {
            Some(name) if !is_exact => Err(name),
            Some(_) => Ok(SamplingProfile::SeededFull),
            None if !is_exact || temperature_milli == 0 || self.options.top_k == FOUR => {
                Ok(SamplingProfile::SeededTop4)
            }
            None => Ok(SamplingProfile::SeededFull),
        }
    }
}

fn number(params: &mut Params, name: &str, low: f64, high: f64) -> ApiResult<Option<f64>> {
    let Some(value) = params.take(name) else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
        _ => Err(ApiError::invalid(
            name,
            format!(
                "{name} must be a number from {low} to {high}, not {}",
                short(&value)
            ),
        )),
    }
}

/// A share, in parts per million.
fn share(params: &mut Params, name: &str) -> ApiResult<Option<u32>> {
    let share = number(params, name, 0.0, 1.0)?;
    // The range makes the cast exact.
    Ok(share.map(|share| (share * f64::from(PPM)).round() as u32))
}

/// A penalty, in thousandths.
fn penalty(params: &mut Params, name: &str) -> ApiResult<i16> {
    let most = f64::from(MAX_PENALTY_MILLI) / 1_000.0;
    let penalty = number(params, name, -most, most)?.unwrap_or_default();
    Ok((penalty * 1_000.0).round() as i16)
}

fn repetition(params: &mut Params) -> ApiResult<Option<u16>> {
    let most = f64::from(MAX_REPETITION_MILLI) / 1_000.0;
    let asked = number(params, "repetition_penalty", 0.001, most)?;
    Ok(asked.map(|asked| (asked * 1_000.0).round() as u16))
}

/// 0 and -1 are other servers' words for all; so is whatever is more than can be drawn at all.
fn top_k(params: &mut Params) -> ApiResult<u8> {
    let Some(value) = params.take("top_k") else {
        return Ok(0);
    };
    match value.as_i64() {
        Some(-1) => Ok(0),
        Some(count) if count >= i64::from(MAX_TOP_K) => Ok(0),
        Some(count) if count >= 0 => Ok(count as u8),
        _ => Err(ApiError::invalid(
            "top_k",
            format!(
                "top_k must be an integer from 1, or 0 or -1 for all, not {}",
                short(&value)
            ),
        )),
    }
}

/// Biases by token id, ascending; those that round to nothing are left out.
fn logit_bias(params: &mut Params) -> ApiResult<Vec<(u32, i32)>> {
    let wrong = |message: String| Err(ApiError::invalid("logit_bias", message));
    let map = match params.take("logit_bias") {
        None => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => {
            return wrong(
                "logit_bias must be an object from token ids to numbers from -100 to 100".into(),
            );
        }
    };
    if map.len() > MAX_BIAS {
        return wrong(format!("logit_bias holds at most {MAX_BIAS} tokens"));
    }
    let most = f64::from(MAX_BIAS_MILLI) / 1_000.0;
    let mut out = Vec::with_capacity(map.len());
    for (id, bias) in &map {
        let number = bias.as_f64().filter(|bias| (-most..=most).contains(bias));
        match (id.parse::<u32>(), number) {
            (Ok(id), Some(bias)) => out.push((id, (bias * 1_000.0).round() as i32)),
            (Err(_), _) => {
                return wrong(format!(
                    "logit_bias: {} is no token id; ids are numbers of the model's own vocabulary",
                    short(&Value::from(id.as_str()))
                ));
            }
            (Ok(id), None) => {
                return wrong(format!(
                    "logit_bias of token {id} must be a number from -{most} to {most}, not {}",
                    short(bias)
                ));
            }
        }
    }
    out.retain(|(_, bias)| *bias != 0);
    out.sort_unstable();
    match out.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => wrong(format!("logit_bias names token {} twice", pair[0].0)),
        None => Ok(out),
    }
}

/// Reads what says how tokens are chosen, beside temperature and seed.
pub(super) fn drawing(params: &mut Params, temperature_milli: u16) -> ApiResult<Drawing> {
    let neutral = Options::default();
    let mut options = Options {
        top_k: top_k(params)?,
        // A share that rounds to nothing is the likeliest token's alone.
        top_p_ppm: share(params, "top_p")?.map_or(neutral.top_p_ppm, |share| share.max(1)),
        min_p_ppm: share(params, "min_p")?.unwrap_or(neutral.min_p_ppm),
        presence_milli: penalty(params, "presence_penalty")?,
        frequency_milli: penalty(params, "frequency_penalty")?,
        repetition_milli: repetition(params)?.unwrap_or(neutral.repetition_milli),
        logit_bias: logit_bias(params)?,
        ..Options::default()
    };
    if temperature_milli == 0 {
        // The largest is drawn in any case.
        options.top_k = neutral.top_k;
        options.top_p_ppm = neutral.top_p_ppm;
        options.min_p_ppm = neutral.min_p_ppm;
    }
    let changed = [
        ("top_p", options.top_p_ppm != neutral.top_p_ppm),
        (
            "top_k",
            options.top_k != neutral.top_k && options.top_k != FOUR,
        ),
        ("min_p", options.min_p_ppm != neutral.min_p_ppm),
        ("presence_penalty", options.presence_milli != 0),
        ("frequency_penalty", options.frequency_milli != 0),
        (
            "repetition_penalty",
            options.repetition_milli != neutral.repetition_milli,
        ),
        ("logit_bias", !options.logit_bias.is_empty()),
    ];
    let named = changed
        .into_iter()
        .find(|(_, changed)| *changed)
        .map(|(name, _)| name);
    Ok(Drawing { options, named })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> ApiResult<Drawing> {
        let mut params = Params::new(body.to_string().as_bytes())?;
        drawing(&mut params, 1_000)
    }

    #[test]
    fn neutral_values_of_every_client_change_nothing() {
        for body in [
            json!({}),
            json!({"top_p": 1, "top_k": 0, "min_p": 0}),
            json!({"top_k": -1, "presence_penalty": 0, "frequency_penalty": 0.0, "repetition_penalty": 1.0}),
            json!({"top_k": 64, "logit_bias": {}}),
            json!({"top_k": 32000, "logit_bias": {"5": 0}}),
            json!({"top_p": null, "top_k": null, "logit_bias": null}),
        ] {
            let drawing = read(body.clone()).unwrap();
            assert_eq!(drawing, Drawing::default(), "{body}");
        }
    }

    #[test]
    fn fractions_are_rounded_and_biases_put_in_order() {
        let body = json!({"top_p": 0.9, "top_k": 40, "min_p": 0.05, "presence_penalty": -0.5, "frequency_penalty": 1.25,
            "repetition_penalty": 1.1, "logit_bias": {"10": -100, "9": 0.5, "3": 0}});
        let drawing = read(body).unwrap();
        let expected = Options {
            top_k: 40,
            top_p_ppm: 900_000,
            min_p_ppm: 50_000,
            presence_milli: -500,
            frequency_milli: 1_250,
            repetition_milli: 1_100,
            logit_bias: vec![(9, 500), (10, -100_000)],
            ..Options::default()
        };
        assert_eq!(drawing.options, expected);
        expected.check().unwrap();
        let none = read(json!({"top_p": 0})).unwrap();
        assert_eq!((none.options.top_p_ppm, none.named), (1, Some("top_p")));
    }

    #[test]
    fn what_can_not_be_is_refused_by_name() {
        let many: serde_json::Map<String, Value> = (0..=MAX_BIAS)
            .map(|id| (id.to_string(), json!(1)))
            .collect();
        for (name, value) in [
            ("top_p", json!(1.1)),
            ("top_p", json!("x")),
            ("top_k", json!(-2)),
            ("top_k", json!(1.5)),
            ("min_p", json!(-0.1)),
            ("presence_penalty", json!(2.5)),
            ("frequency_penalty", json!([])),
            ("repetition_penalty", json!(0)),
            ("repetition_penalty", json!(11)),
            ("logit_bias", json!({"a": 1})),
            ("logit_bias", json!({"-1": 1})),
            ("logit_bias", json!({"1": 101})),
            ("logit_bias", json!({"1": 1, "01": 2})),
            ("logit_bias", json!([1])),
            ("logit_bias", Value::Object(many)),
        ] {
            let error = read(json!({name: value})).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.param.as_deref()),
                ("invalid_request", Some(name)),
                "{value}"
            );
        }
    }

    #[test]
    fn the_profile_is_the_one_that_can_be_replayed_by_most() {
        use SamplingProfile::{SeededFull, SeededTop4};
        let profile = |body: Value, temperature: u16, is_exact: bool| {
            let mut params = Params::new(body.to_string().as_bytes()).unwrap();
            let drawing = drawing(&mut params, temperature).unwrap();
            drawing.profile(None, temperature, is_exact)
        };
        for (body, temperature, exact, calibrated) in [
            (json!({}), 1_000, Ok(SeededFull), Ok(SeededTop4)),
            (json!({}), 0, Ok(SeededTop4), Ok(SeededTop4)),
            (json!({"top_k": 4}), 1_000, Ok(SeededTop4), Ok(SeededTop4)),
            (json!({"top_p": 0.5}), 1_000, Ok(SeededFull), Err("top_p")),
            // At temperature 0 the largest is drawn, whatever share it has.
            (
                json!({"top_p": 0.5, "top_k": 9, "min_p": 0.1}),
                0,
                Ok(SeededTop4),
                Ok(SeededTop4),
            ),
            (
                json!({"top_k": 4, "presence_penalty": 1}),
                0,
                Ok(SeededFull),
                Err("presence_penalty"),
            ),
        ] {
            assert_eq!(profile(body.clone(), temperature, true), exact, "{body}");
            assert_eq!(
                profile(body.clone(), temperature, false),
                calibrated,
                "{body}"
            );
        }
        let tools = Drawing::default().profile(Some("tools"), 0, false);
        assert_eq!(tools, Err("tools"));
    }
}
