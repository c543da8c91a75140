//! Every cheat on a small random model: what it submits, and how much of that is false.

use mythic_interface::{leaf::Leaf, leaf::check_leaf};
use serde_json::{Value, json};

use super::*;
use crate::{cheat::permit, random_model::RandomModel};

fn sampling(seed: u8) -> Sampling {
    Sampling {
        seed: [seed; 32],
        temperature_milli: 1_000,
    }
}
const MOST: u32 = 24;

fn prompt() -> Vec<u32> {
    (40..72).collect()
}

struct Lab {
    engine: Engine,
    directory: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("true.gguf");
        let model = RandomModel {
            layers: 8,
            ..RandomModel::new(TensorFormat::Q8_0, 5)
        };
        model.write(&path).unwrap();
        let config = EngineConfig {
            threads: 1,
            kv_bytes: 64 << 20,
            ..EngineConfig::default()
        };
        Self {
            engine: Engine::load(&path, config).unwrap(),
            directory,
        }
    }

    /// A job's sampler with which the honest answer ends like this, and that answer.
    async fn honest(&self, wanted: Finish) -> (Sampling, Vec<Step>) {
        for seed in 0..=u8::MAX {
            let (steps, finish) = self.answer(&self.engine, sampling(seed)).await;
            if finish == wanted {
                return (sampling(seed), steps);
            }
        }
        panic!("no answer ends with {wanted:?}");
    }

    async fn answer(&self, backend: &dyn Backend, sampling: Sampling) -> (Vec<Step>, Finish) {
        let request = GenerateRequest {
            prompt_ids: prompt(),
            max_tokens: MOST,
            sampler: Sampler::Verified {
                seed: sampling.seed,
                temperature_milli: sampling.temperature_milli,
            },
            stop: Vec::new(),
            logprobs: false,
        };
        let mut stream = backend.generate(request, CancellationToken::new()).unwrap();
        let mut steps = Vec::new();
        while let Some(step) = stream.recv().await {
            steps.push(step.unwrap());
        }
        let finish = steps.last().and_then(|step| step.finish).unwrap();
        (steps, finish)
    }

    async fn lie(&self, how: How, sampling: Sampling) -> (Vec<Step>, Finish) {
        let directory = self.directory.path().join("cheat");
        let source = self.directory.path().join("true.gguf");
        let liar = Liar::new(how, self.engine.clone(), &source, directory, 1);
        self.answer(&liar, sampling).await
    }

    /// Positions whose logits are false by the exact rule, and positions that the sampler's replay refuses.
    async fn findings(&self, steps: &[Step], sampling: &Sampling) -> (Vec<usize>, Vec<usize>) {
        let ids: Vec<u32> = steps.iter().map(|step| step.token).collect();
        let claimed: Vec<[u32; 4]> = steps.iter().map(|s| s.top4.map(|(id, _)| id)).collect();
        let checked = self
            .engine
            .check(&prompt(), &ids, &claimed, None)
            .await
            .unwrap();
        let (mut differing, mut faulty) = (Vec::new(), Vec::new());
        for (at, (step, own)) in steps.iter().zip(&checked).enumerate() {
            if step.top4 != own.own {
                differing.push(at);
            }
            let leaf = Leaf {
                position: at as u32,
                token: step.token,
                top4: step.top4,
            };
            if check_leaf(&leaf, sampling).is_err() {
                faulty.push(at);
            }
        }
        (differing, faulty)
    }
}

#[test]
fn names_are_the_ones_in_configurations() {
    assert_eq!(How::ALL.iter().filter(|how| how.has_friends()).count(), 6);
    for how in How::ALL {
        assert_eq!(serde_json::to_value(how).unwrap(), how.as_str());
        assert_eq!(how.as_str().parse(), Ok(how));
    }
    let error = "nonsense".parse::<How>().unwrap_err();
    assert!(error.contains("other-quant, other-model"), "{error}");
}

#[tokio::test]
async fn no_chain_but_a_development_chain_of_this_machine_is_cheated() {
    for url in [
        "http://10.0.0.1:8899",
        "https://api.example.org",
        "nonsense",
    ] {
        let error = permit(How::Random, url).await.unwrap_err().to_string();
        assert!(
            error.contains("only against a development chain"),
            "{error}"
        );
    }
    // Chains that know no development methods: one of unknown kind, a cluster, a cluster of one.
    let cluster = |voters: usize| json!({"current": vec![json!({}); voters], "delinquent": []});
    for (votes, permitted) in [
        (Value::Null, false),
        (cluster(2), false),
        (cluster(0), false),
        (cluster(1), true),
    ] {
        let other = axum::Router::new().fallback(move |request: axum::Json<Value>| {
            let result = match request.0["method"].as_str() {
                Some("getVoteAccounts") => votes.clone(),
                _ => Value::Null,
            };
            async move { axum::Json(json!({"jsonrpc": "2.0", "id": 1, "result": result})) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(axum::serve(listener, other).into_future());
        match permit(How::Random, &url).await {
            Ok(()) => assert!(permitted),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    !permitted && error.contains("is not a development chain"),
                    "{error}"
                );
            }
        }
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cheat_submits_what_its_name_says() {
    let lab = Lab::new();
    let (sampling, honest) = lab.honest(Finish::Length).await;
    assert_eq!(lab.findings(&honest, &sampling).await, (vec![], vec![]));
    let n = honest.len();
    let tokens = |steps: &[Step]| steps.iter().map(|s| s.token).collect::<Vec<_>>();

    for how in How::ALL {
        let (lie, end) = lab.lie(how, sampling).await;
        let (differing, faulty) = lab.findings(&lie, &sampling).await;
        let most = differing.len() > lie.len() / 2;
        let found = format!("{how}: {differing:?} differ, {faulty:?} are faults, {end:?}");
        match how {
            How::Withhold
            | How::PadAfterEos
            | How::Bait
            | How::RentedJury
            | How::IgnoreTopP
            | How::IgnoreBias
            | How::IgnoreGrammar => {
                // Nothing ended early, so there was nothing to pad; there were no options to ignore.
                assert_eq!(
                    (tokens(&lie), end),
                    (tokens(&honest), Finish::Length),
                    "{found}"
                );
            }
            How::OtherQuant | How::OtherModel | How::TruncatePrompt | How::Random => {
                assert!(most && faulty.is_empty(), "{found}");
            }
            How::Prefill => assert!(differing.is_empty() && !faulty.is_empty(), "{found}"),
            How::WrongSeed => assert!(differing.is_empty() && !faulty.is_empty(), "{found}"),
            // A random model gives its own tokens no high logits, so not all of them can be excused.
            How::WrongIds => assert!(most && faulty.len() < lie.len() / 2, "{found}"),
            How::EarlyStop => {
                assert_eq!((lie.len(), end), (n / 2, Finish::Eos), "{found}");
                assert!(differing.is_empty() && faulty.is_empty(), "{found}");
            }
            How::PlantedFault => assert!(most && faulty == [lie.len() / 2], "{found}"),
            How::OneToken | How::LateFriend | How::Shield | How::SelfSlash => {
                assert_eq!((differing, faulty), (vec![n / 2], vec![]));
                assert_eq!(tokens(&lie)[..n / 2], tokens(&honest)[..n / 2]);
                assert_ne!(lie[n / 2].token, honest[n / 2].token);
            }
        }
        assert!(
            lie.iter()
                .enumerate()
                .all(|(at, s)| s.position == at as u32)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ended_is_padded_to_what_was_allowed() {
    let lab = Lab::new();
    let (sampling, honest) = lab.honest(Finish::Eos).await;
    let (lie, end) = lab.lie(How::PadAfterEos, sampling).await;
    assert_eq!((lie.len() as u32, end), (MOST, Finish::Length));
    let last = honest.len() - 1;
    assert!(lab.engine.formatter().eos_ids().contains(&lie[last].token));
    // Every logit is true, and every token the sampler's choice: only the end in the middle is wrong.
    assert_eq!(lab.findings(&lie, &sampling).await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn going_on_gives_the_same_bits_as_never_having_stopped() {
    let lab = Lab::new();
    let directory = lab.directory.path();
    let source = directory.join("true.gguf");
    let engine = lab.engine.clone();
    let liar = Liar::new(How::OneToken, engine, &source, directory.to_owned(), 1);
    let (sampling, mut honest) = lab.honest(Finish::Length).await;
    let part = &honest[..9];
    let mut lie = Lie {
        answer: Answer {
            ids: part.iter().map(|step| step.token).collect(),
            leaves: part.iter().map(|step| step.top4).collect(),
        },
        finish: Finish::Eos,
    };
    liar.0
        .go_on(
            &mut lie,
            &sampling,
            Rest {
                prompt: &prompt(),
                most: MOST,
                eos: &[],
            },
        )
        .await
        .unwrap();
    // What only an engine tells.
    for step in &mut honest {
        step.text.clear();
        step.cached_tokens = None;
    }
    assert_eq!(lie.steps(String::new()), honest);
}
