//! GPUs give the processor's bits: whole models of every weight format and architecture, in passes of every kind, on one GPU and on
//! several. Here the GPU is none, and its kernels are compiled for this machine; `make gpu` runs the same on one that is there.

mod common;
mod emulated;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use emulated::Emulated;
use mythic_engine::decoder::{Model, Pass, Row, Scratch, Span};
use mythic_engine::device::cuda::Cuda;
use mythic_engine::device::driver::Driver;
use mythic_engine::device::gpu::Gpu;
use mythic_engine::device::probe::Prober;
use mythic_engine::device::{Device, NoDevice, Sizes};
use mythic_engine::kernels::attention::SEGMENT;
use mythic_engine::kernels::pack::Pack;
use mythic_engine::kernels::{InstructionSet, Kernels};
use mythic_engine::kv::Pool;
use mythic_engine::logits::Keep;
use mythic_engine::pages::{PAGE, PageId, pages_for};
use mythic_engine::{Choice, DeviceError, Engine, EngineConfig, Lab, LayerInput};
use mythic_interface::market::probe::{Factors, WholeRound};
use mythic_lab::random_model::{FORMATS, RandomModel, architectures};
use mythic_model::gguf::{Gguf, TensorFormat};
use mythic_model::layout::Architecture;
use mythic_model::servable;

/// The most rows of a pass.
const ROWS: usize = 48;

fn model(path: &Path) -> Model {
    let gguf = Gguf::open(path).expect("a model file");
    let layout = servable::check(&gguf).expect("a model").layout;
    let kernels = Kernels::new(1, InstructionSet::Auto).expect("kernels");
    let pack = Pack::open(path, &gguf, kernels.pool()).expect("a pack");
    Model::load(&gguf, &pack, &layout, kernels).expect("a model")
}

fn vocabulary(path: &Path) -> usize {
    let gguf = Gguf::open(path).expect("a model file");
    servable::check(&gguf)
        .expect("a model")
        .layout
        .shape
        .vocabulary
}

fn sizes(path: &Path) -> Sizes {
    Sizes {
        pages: 64,
        context: 512,
        weights: std::fs::metadata(path).expect("the file").len(),
        residuals: 0,
    }
}

fn gpu(path: &Path, drivers: &[Arc<dyn Driver>]) -> Gpu {
    match Gpu::new(model(path), drivers, ROWS, sizes(path)) {
        Ok(gpu) => gpu,
        Err(failed) => panic!("{}", failed.1),
    }
}

/// Passes over two sequences: a prompt in parts that are no whole number of tiles, with another beside it, then tokens one by one. The
/// sequences' pages are in disorder.
fn passes(longest: usize, vocabulary: usize) -> Vec<Pass> {
    let parts = (33..longest - 2).step_by(33);
    let first: Vec<usize> = parts.chain(longest - 2..=longest).collect();
    let ends = [first, vec![7, 14, 20, 21]];
    let count = ends.iter().map(Vec::len).max().unwrap_or(0);
    let pass = |part: usize| {
        let mut pass = Pass::default();
        for (of, ends) in ends.iter().enumerate() {
            let Some(end) = ends.get(part).copied() else {
                continue;
            };
            let start = if part == 0 { 0 } else { ends[part - 1] };
            let (row, page) = (pass.rows.len(), pass.pages.len());
            pass.rows.extend((start..end).map(|position| Row {
                token: ((position * 31 + of * 7) % vocabulary) as u32,
                position,
                keep: (position % 5 == 0 || position + 2 > end).then(Keep::default),
            }));
            let pages = (0..pages_for(end)).map(|i| PageId((63 - 2 * i - of) as u32));
            pass.pages.extend(pages);
            pass.spans.push(Span {
                rows: row..pass.rows.len(),
                pages: page..pass.pages.len(),
            });
        }
        pass
    };
    (0..count).map(pass).collect()
}

/// What a model gives on the processor, pass by pass and row by row.
fn expected(path: &Path, passes: &[Pass]) -> Vec<(usize, Vec<u32>)> {
    let model = model(path);
    let mut pool = Pool::new(model.kv_shape(), 64, Lab::default()).expect("a pool");
    let (mut scratch, mut all) = (Scratch::default(), Vec::new());
    for pass in passes {
        model.forward(pass, &mut pool, &mut scratch, |row, kept, logits| {
            kept.expect("numbers");
            all.push((row, logits.iter().map(|x| x.to_bits()).collect()));
        });
    }
    all
}

fn given(gpu: &mut Gpu, passes: &[Pass]) -> Result<Vec<(usize, Vec<u32>)>, DeviceError> {
    let mut all = Vec::new();
    for pass in passes {
        gpu.forward(pass, &mut |row, kept, logits| {
            kept.expect("numbers");
            all.push((row, logits.iter().map(|x| x.to_bits()).collect()));
        })?;
    }
    Ok(all)
}

fn assert_same_bits(path: &Path, drivers: &[Arc<dyn Driver>], longest: usize) {
    eprintln!("{} on {} GPUs", path.display(), drivers.len());
    let passes = passes(longest, vocabulary(path));
    let want = expected(path, &passes);
    let got = given(&mut gpu(path, drivers), &passes).expect("it computes");
    assert_eq!(got.len(), want.len());
    for (at, ((row, got), (other, want))) in got.iter().zip(&want).enumerate() {
        assert_eq!(row, other);
        let differs = got.iter().zip(want).position(|(a, b)| a != b);
        assert_eq!(
            differs, None,
            "result {at}, row {row}: the first other logit"
        );
    }
}

fn written(directory: &Path, name: &str, model: &RandomModel) -> PathBuf {
    let path = directory.join(format!("{name}.gguf"));
    model.write(&path).expect("a model");
    path
}

fn every_format(drivers: &[Arc<dyn Driver>]) {
    let directory = tempfile::tempdir().expect("a directory");
    for (seed, (name, format)) in (1..).zip(FORMATS) {
        let path = written(directory.path(), name, &RandomModel::new(format, seed));
        assert_same_bits(&path, drivers, PAGE + 13);
    }
}

fn every_architecture(drivers: &[Arc<dyn Driver>]) {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, model) in architectures(3) {
        let path = written(directory.path(), name, &model);
        assert_same_bits(&path, drivers, PAGE + 13);
    }
}

fn experts_past_a_segment(drivers: &[Arc<dyn Driver>]) {
    let directory = tempfile::tempdir().expect("a directory");
    let model = RandomModel::of(Architecture::GptOss, TensorFormat::MXFP4, 5);
    let path = written(directory.path(), "experts", &model);
    assert_same_bits(&path, drivers, SEGMENT + PAGE + 13);
}

#[test]
fn models_of_every_weight_format_give_the_processors_bits() {
    every_format(&[Emulated::sound()]);
}

#[test]
fn models_of_every_architecture_give_the_processors_bits() {
    every_architecture(&[Emulated::sound()]);
}

#[test]
fn experts_windows_and_sinks_give_them_past_a_segment_of_attention() {
    experts_past_a_segment(&[Emulated::sound()]);
}

#[test]
fn several_gpus_give_the_bits_of_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let three = [Emulated::sound(), Emulated::sound(), Emulated::sound()];
    for (name, model) in [
        ("llama", RandomModel::new(TensorFormat::Q4K, 9)),
        (
            "olmo2",
            RandomModel::of(Architecture::Olmo2, TensorFormat::Q8_0, 9),
        ),
        (
            "experts",
            RandomModel::of(Architecture::GptOss, TensorFormat::MXFP4, 9),
        ),
    ] {
        let path = written(directory.path(), name, &model);
        assert_same_bits(&path, &three[..2], PAGE + 13);
        // More than there are key-value heads.
        assert_same_bits(&path, &three, 20);
    }
}

#[test]
fn a_model_too_big_for_a_gpu_is_refused_with_its_numbers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = written(
        directory.path(),
        "m",
        &RandomModel::new(TensorFormat::Q8_0, 1),
    );
    let small = [Emulated::failing(8 << 20, u64::MAX)];
    let Err(refused) = Gpu::new(model(&path), &small, ROWS, sizes(&path)) else {
        panic!("it does not fit");
    };
    let error = refused.1.to_string();
    for part in [
        "MiB on emulated",
        "for weights",
        "8 of its 8 MiB are free",
        "lower kv_bytes",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // The model is there still, for the processor.
    assert_eq!(refused.0.kv_shape(), model(&path).kv_shape());
}

/// Tokens that an engine makes of a prompt.
async fn tokens(engine: &Engine, prompt: Vec<u32>) -> Vec<u32> {
    let (steps, _) = common::run(engine, common::greedy(prompt, 40)).await;
    steps.iter().map(|step| step.token).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_is_lost_in_the_middle_shows_in_no_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = written(
        directory.path(),
        "m",
        &RandomModel::new(TensorFormat::Q4K, 2),
    );
    let config = EngineConfig {
        threads: 1,
        kv_bytes: 8 << 20,
        ..EngineConfig::default()
    };
    let prompts: Vec<Vec<u32>> = [3, 40, 70]
        .map(|len| (0..len).map(|i| (i * 17 + len) % 250).collect())
        .to_vec();
    let honest = Engine::load(&path, config.clone()).expect("an engine");
    let mut want = Vec::new();
    for prompt in &prompts {
        want.push(tokens(&honest, prompt.clone()).await);
    }
    let checked = honest
        .teacher_forced(&prompts[1], &want[1])
        .await
        .expect("a check");
    // It fails while prompts are read, and while tokens are made.
    for launches in [0, 30, 700] {
        let failing = |model: Model, _: &EngineConfig, sizes: Sizes| {
            let driver = [Emulated::failing(4 << 30, launches)];
            match Gpu::new(model, &driver, 128, sizes) {
                Ok(gpu) => Ok(Box::new(gpu) as Box<dyn Device>),
                Err(failed) => Err(NoDevice::Gpu(failed.1)),
            }
        };
        let engine = Engine::load_on(&path, config.clone(), failing).expect("an engine");
        assert_eq!(engine.stats().device, "emulated");
        let (a, b, c, check) = tokio::join!(
            tokens(&engine, prompts[0].clone()),
            tokens(&engine, prompts[1].clone()),
            tokens(&engine, prompts[2].clone()),
            engine.teacher_forced(&prompts[1], &want[1]),
        );
        assert_eq!([a, b, c].as_slice(), want, "after {launches} launches");
        assert_eq!(check.expect("a check"), checked);
        assert!(engine.stats().device.starts_with("CPU"), "it says so");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_takes_no_part_in_audits_of_layers_and_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = written(
        directory.path(),
        "m",
        &RandomModel::new(TensorFormat::Q4K, 2),
    );
    let config = EngineConfig {
        threads: 1,
        kv_bytes: 8 << 20,
        residual_bytes: 64 << 20,
        ..EngineConfig::default()
    };
    let emulated = |model: Model, _: &EngineConfig, sizes: Sizes| match Gpu::new(
        model,
        &[Emulated::sound()],
        128,
        sizes,
    ) {
        Ok(gpu) => Ok(Box::new(gpu) as Box<dyn Device>),
        Err(failed) => Err(NoDevice::Gpu(failed.1)),
    };
    let engine = Engine::load_on(&path, config, emulated).expect("an engine");
    let prompt = vec![1, 2, 3];
    let (steps, _) = common::run(&engine, common::greedy(prompt.clone(), 3)).await;
    let output: Vec<u32> = steps.iter().map(|step| step.token).collect();
    assert!(!engine.has_layers());
    assert!(engine.residuals(&prompt, &output).is_none());
    let layer = engine.layer(0, LayerInput::Tokens(prompt)).await;
    let refused = layer.expect_err("no layer").to_string();
    assert!(refused.contains("audits of layers"), "{refused}");
    let row = vec![0.0; engine.row_shape().width];
    assert!(engine.outputs(row).await.is_err());
}

#[test]
fn the_markets_products_are_those_of_the_processor() {
    products_of_the_market(Emulated::sound());
}

fn products_of_the_market(driver: Arc<dyn Driver>) {
    let prober = Prober::new(driver).expect("the processor's product");
    for side in [16, 80, 272] {
        let seed = [side as u8; 32];
        let here = WholeRound::new(side, &seed);
        let there = prober
            .product(side, &Factors::new(&seed))
            .expect("a product");
        assert!(there == here.product(), "side {side}");
    }
}

#[test]
fn what_is_asked_for_is_read_and_written_alike() {
    for text in ["cpu", "auto", "cuda:0", "cuda:1,0", "cuda:7"] {
        let choice: Choice = text.parse().expect("a choice");
        assert_eq!(choice.to_string(), text);
        let json = serde_json::to_string(&choice).expect("JSON");
        assert_eq!(json, format!("{text:?}"));
        assert_eq!(
            serde_json::from_str::<Choice>(&json).expect("a choice"),
            choice
        );
    }
    assert_eq!("cuda".parse(), Ok(Choice::Cuda(vec![0])));
    for text in [
        "", "gpu", "cuda:", "cuda:0,0", "cuda:-1", "cuda:0,", "CPU", "cuda:256",
    ] {
        let error = text.parse::<Choice>().expect_err(text);
        assert!(error.contains("cuda:0,1"), "{error}");
    }
}

#[test]
fn a_machine_without_a_gpu_says_so_and_goes_on_by_its_processor() {
    if Cuda::open(0).is_ok() {
        eprintln!("SKIPPED: this machine has a GPU");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = written(
        directory.path(),
        "m",
        &RandomModel::new(TensorFormat::Q8_0, 1),
    );
    let with = |device: &str| {
        let config = EngineConfig {
            device: device.parse().expect("a choice"),
            kv_bytes: 8 << 20,
            ..EngineConfig::default()
        };
        Engine::load(&path, config)
    };
    let engine = with("auto").expect("an engine");
    assert!(engine.stats().device.starts_with("CPU"));
    let Err(error) = with("cuda") else {
        panic!("there is no GPU");
    };
    assert!(error.to_string().contains("NVIDIA"), "{error}");
}

/// Operations on floats that a device may do: each rounded once, to nearest; nothing crosses threads.
const ROUNDED: [&str; 8] = [
    "add.rn.f32",
    "sub.rn.f32",
    "mul.rn.f32",
    "div.rn.f32",
    "fma.rn.f32",
    "sqrt.rn.f32",
    "cvt.rn.f32.s32",
    "cvt.rn.f16.f32",
];

/// Others, which round nothing. The compiler makes `max` only of a comparison with minus infinity.
const EXACT: [&str; 8] = [
    "ld",
    "st",
    "mov",
    "setp",
    "selp.f32",
    "neg.f32",
    "max.f32",
    "cvt.f32.f16",
];

#[test]
fn no_kernel_fuses_flushes_or_approximates_by_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    for capability in [75, 80] {
        let path = folder.join(format!("kernels_{capability}.ptx"));
        let ptx = std::fs::read_to_string(&path).expect("the PTX");
        let mut rounded = 0;
        for line in ptx.lines() {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| word.starts_with('@'));
            let operation = words.next().unwrap_or_default().trim_end_matches(';');
            for crossing in ["atom", "red", "shfl"] {
                assert!(!operation.starts_with(&format!("{crossing}.")), "{line}");
            }
            let mut kinds = [".f32", ".f16", ".f64"].iter();
            if operation.starts_with('.') || !kinds.any(|kind| operation.contains(kind)) {
                continue;
            }
            if ROUNDED.contains(&operation) {
                rounded += 1;
                continue;
            }
            let first = operation.split('.').next().unwrap_or_default();
            let exact = EXACT.contains(&operation) || EXACT.contains(&first);
            assert!(exact && !operation.contains("ftz"), "{line}");
        }
        assert!(rounded > 1_000, "{rounded} operations on floats");
        for (name, _) in FORMATS {
            let name = name.replace("_K", "K").replace("IQ4_", "IQ4");
            let there = |kind: &str| ptx.contains(&format!(".entry {kind}_{name}("));
            assert!(
                there("floats") || there("narrow") && there("wide"),
                "{name}"
            );
        }
    }
}

/// The PTX that is committed is what the source gives, where the compiler is.
#[test]
fn the_ptx_is_that_of_the_source_and_rounds_as_it_must() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/compile.py");
    let python = std::process::Command::new("python3")
        .arg(script)
        .arg("--check")
        .output()
        .expect("python3");
    let said = String::from_utf8_lossy(&python.stderr);
    if said.contains("No module named") {
        eprintln!(
            "SKIPPED: nvidia-cuda-nvrtc-cu12 is not installed, so the PTX is not compiled again"
        );
    } else {
        assert!(python.status.success(), "{said}");
    }
}

/// The GPUs of this machine, one or two of them.
fn cuda(count: usize) -> Vec<Arc<dyn Driver>> {
    (0..count)
        .map(|index| match Cuda::open(index) {
            Ok(driver) => Arc::new(driver) as Arc<dyn Driver>,
            Err(error) => panic!("{error}"),
        })
        .collect()
}

#[test]
#[ignore = "needs an NVIDIA GPU: make gpu"]
fn a_gpu_gives_the_processors_bits() {
    let gpus = cuda(1);
    every_format(&gpus);
    every_architecture(&gpus);
    experts_past_a_segment(&gpus);
    products_of_the_market(gpus[0].clone());
    let path = common::model();
    assert_same_bits(&path, &gpus, SEGMENT + PAGE + 13);
}
