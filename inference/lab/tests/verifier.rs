//! The independent verifier in `tests/verifier`, which shares no code with nodes, on answers of a small random model: it finds what
//! the engine makes honest, to the bit, and every cheat false.

#[path = "../../engine/tests/common/numpy.rs"]
mod numpy;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytemuck::Zeroable;
use mythic_engine::{Engine, EngineConfig, Finish, GenerateRequest, Sampler, Step};
use mythic_interface::hash;
use mythic_interface::le::{U16, U32};
use mythic_interface::state::{Job, KernelProfile, Model, SamplingProfile};
use mythic_lab::cheat::{How, Liar};
use mythic_lab::random_model::RandomModel;
use mythic_model::catalogue::file_sha256;
use mythic_model::gguf::TensorFormat;
use mythic_node::serve::backend::Backend;
use mythic_sampling::Options;
use mythic_wire::evidence::{Draft, Evidence};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const SALT: [u8; 16] = [4; 16];
const TEMPERATURE_MILLI: u16 = 1_000;
const MOST: u32 = 16;

fn prompt() -> Vec<u32> {
    (40..52).collect()
}

struct Court {
    python: PathBuf,
    engine: Engine,
    path: PathBuf,
    directory: tempfile::TempDir,
}

/// An answer as somebody submits it.
struct Made {
    sampler: Sampler,
    steps: Vec<Step>,
    finish: Finish,
}

impl Court {
    fn open(python: PathBuf) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("true.gguf");
        let model = RandomModel {
            layers: 8,
            ..RandomModel::new(TensorFormat::Q8_0, 5)
        };
        model.write(&path).expect("a model");
        let config = EngineConfig {
            threads: 1,
            kv_bytes: 64 << 20,
            ..EngineConfig::default()
        };
        let engine = Engine::load(&path, config).expect("an engine");
        Self {
            python,
            engine,
            path,
            directory,
        }
    }

    async fn answer(&self, backend: &dyn Backend, sampler: &Sampler) -> Made {
        let request = GenerateRequest {
            prompt_ids: prompt(),
            max_tokens: MOST,
            sampler: sampler.clone(),
            stop: Vec::new(),
            logprobs: false,
        };
        let stream = backend.generate(request, CancellationToken::new());
        let mut stream = stream.expect("a place");
        let mut steps = Vec::new();
        while let Some(step) = stream.recv().await {
            steps.push(step.expect("a step"));
        }
        let finish = steps.last().and_then(|step| step.finish);
        Made {
            sampler: sampler.clone(),
            steps,
            finish: finish.expect("an end"),
        }
    }

    async fn lie(&self, how: How, sampler: &Sampler) -> Made {
        let directory = self.directory.path().join("cheat");
        let liar = Liar::new(how, self.engine.clone(), &self.path, directory, 1);
        self.answer(&liar, sampler).await
    }

    /// A sampler of four with which the honest answer ends like this.
    async fn sampler(&self, wanted: Finish) -> Sampler {
        for seed in 0..=u8::MAX {
            let sampler = Sampler::Verified {
                seed: [seed; 32],
                temperature_milli: TEMPERATURE_MILLI,
            };
            if self.answer(&self.engine, &sampler).await.finish == wanted {
                return sampler;
            }
        }
        panic!("no answer ends with {wanted:?}");
    }

    /// What the verifier finds of an answer that was committed to.
    fn verify(&self, made: &Made) -> Value {
        let sampling = made.sampler.verified().expect("one of the protocol's");
        let options = match &made.sampler {
            Sampler::Full { options, .. } => Some(options),
            _ => None,
        };
        let mut job = Job::zeroed();
        job.header.discriminator = Job::DISCRIMINATOR;
        job.terms.prompt_hash = hash::prompt_hash(&SALT, &prompt());
        job.terms.prompt_tokens.set(prompt().len() as u32);
        job.terms.max_output_tokens.set(MOST);
        job.terms.seed = sampling.seed;
        job.terms.temperature_milli.set(sampling.temperature_milli);
        job.terms.sampling_profile = match options {
            Some(_) => SamplingProfile::SeededFull as u8,
            None => SamplingProfile::SeededTop4 as u8,
        };
        if let Some(options) = options {
            job.terms.options_hash = options.hash(&SALT).expect("options");
        }
        job.terms_hash = job.terms.hash();
        job.validator = [9; 32];
        job.finish_reason = made.finish as u8;
        let evidence = Evidence::seal_unchecked(Draft {
            job: [1; 32],
            submitter: job.validator,
            terms_hash: job.terms_hash,
            salt: SALT,
            prompt_ids: prompt(),
            output_ids: made.steps.iter().map(|step| step.token).collect(),
            leaves: made.steps.iter().map(|step| step.top4).collect(),
            sampling,
            options: options.map(|options| options.to_wire().expect("options")),
        });
        let evidence = evidence.expect("evidence");
        let found = evidence.commitments().expect("commitments");
        job.output_tokens.set(found.count);
        job.output_root = found.output_root;
        job.fingerprint = found.fingerprint;
        let mut model = Model::zeroed();
        model.header.discriminator = Model::DISCRIMINATOR;
        model.spec.weights_hash = file_sha256(&self.path).expect("the file");
        model.spec.kernel_profile = U16::new(KernelProfile::CpuWA8 as u16);
        let ends = self.engine.formatter().eos_ids();
        model.spec.eos_count = ends.len() as u8;
        for (place, end) in model.spec.eos_ids.iter_mut().zip(ends) {
            *place = U32::new(*end);
        }
        let evidence = serde_json::to_value(&evidence).expect("JSON");
        let subject = json!({
            "file": self.path,
            "address": evidence["job"],
            "job": BASE64_STANDARD.encode(bytemuck::bytes_of(&job)),
            "model": BASE64_STANDARD.encode(bytemuck::bytes_of(&model)),
            "evidence": evidence,
        });
        let file = tempfile::NamedTempFile::new().expect("a file");
        serde_json::to_writer(&file, &subject).expect("written");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verifier/verify.py");
        let output = Command::new(&self.python)
            .arg(script)
            .arg(file.path())
            .env("OPENBLAS_NUM_THREADS", "1")
            .output()
            .expect("Python runs");
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
    }
}

/// Options that a cheat ignores; `None` of the others.
fn ignored(how: How) -> Option<Options> {
    let options = match how {
        How::IgnoreTopP => Options {
            top_p_ppm: 100_000,
            ..Options::default()
        },
        How::IgnoreBias => Options {
            logit_bias: vec![(77, 100_000)],
            ..Options::default()
        },
        How::IgnoreGrammar => Options {
            grammar: Some("start: /[a-f]{30}/\n".into()),
            ..Options::default()
        },
        _ => return None,
    };
    Some(options)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_shares_no_code_agrees_with_the_engine_and_finds_every_cheat() {
    let Some(python) = numpy::python() else {
        eprintln!("skipped: no Python with numpy can be made here");
        return;
    };
    let follows_grammars = numpy::has(&python, "llguidance");
    let court = Court::open(python);
    let whole = court.sampler(Finish::Length).await;
    let ends = court.sampler(Finish::Eos).await;
    for how in How::ALL {
        let sampler = match (ignored(how), how) {
            (Some(options), _) => Sampler::Full {
                seed: [7; 32],
                temperature_milli: TEMPERATURE_MILLI,
                options: Arc::new(options),
            },
            (None, How::PadAfterEos) => ends.clone(),
            (None, _) => whole.clone(),
        };
        if how == How::IgnoreGrammar && !follows_grammars {
            eprintln!("{how} is left out: llguidance can't be had here");
            continue;
        }
        let honest = court.answer(&court.engine, &sampler).await;
        let found = court.verify(&honest);
        assert_eq!(found, json!({"finding": "honest"}), "without {how}");
        let found = court.verify(&court.lie(how, &sampler).await);
        let wanted: &[&str] = match how {
            // True answers, with which something else is wrong.
            How::Withhold | How::Bait | How::RentedJury => &["honest"],
            How::Prefill
            | How::WrongSeed
            | How::EarlyStop
            | How::PadAfterEos
            | How::PlantedFault => &["fault"],
            How::OtherQuant
            | How::OtherModel
            | How::TruncatePrompt
            | How::OneToken
            | How::LateFriend
            | How::Shield
            | How::SelfSlash
            | How::IgnoreTopP
            | How::IgnoreBias
            | How::IgnoreGrammar => &["fraud"],
            // Not all of a random model's tokens can be excused.
            How::WrongIds | How::Random => &["fraud", "fault"],
        };
        let finding = found["finding"].as_str().expect("a finding");
        assert!(wanted.contains(&finding), "{how}: {found}");
    }
}
