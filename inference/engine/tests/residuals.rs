//! Residual rows: a checker that gets what went into a layer computes what came out, to the bit, however the answer was made.

mod common;

use mythic_engine::residuals;
use mythic_engine::{Engine, EngineConfig, LayerInput};

const ROOM: u64 = 1 << 26;

#[tokio::test]
async fn every_layer_of_an_answer_is_computed_again_from_the_rows_before_it() {
    let maker = common::engine(EngineConfig {
        residual_bytes: ROOM,
        ..EngineConfig::default()
    });
    let checker = common::engine(EngineConfig {
        threads: 1,
        chunk: 7,
        ..EngineConfig::default()
    });
    let prompt: Vec<u32> = (0..75).map(|p| 1_000 + p * 37).collect();
    // The second answer finds the rows of its prompt's full pages.
    for tokens in [9, 12] {
        let (steps, _) = common::run(&maker, common::greedy(prompt.clone(), tokens)).await;
        let output: Vec<u32> = steps.iter().map(|step| step.token).collect();
        let kept = common::rows_of(&maker, &prompt, &output).await;
        let read = [&prompt[..], &output[..output.len() - 1]].concat();
        let (positions, shape) = (kept.positions(), kept.shape());
        assert_eq!((positions, shape), (read.len(), checker.row_shape()));
        let mut input = LayerInput::Tokens(read);
        for layer in 0..shape.layers {
            let out = checker.layer(layer, input).await.expect("a layer");
            let digest = residuals::digest(layer, shape.width, &out);
            assert_eq!(digest, kept.digests()[layer], "layer {layer}");
            let bytes = kept.rows(layer).expect("its rows");
            let given = residuals::read(&bytes, positions, shape.width).expect("rows");
            assert!(given == out, "layer {layer}");
            input = LayerInput::Rows(given);
        }
        let LayerInput::Rows(last) = input else {
            panic!("there is a layer");
        };
        let first = (prompt.len() - 1) * shape.width;
        let found = checker.outputs(last[first..].to_vec()).await;
        let made: Vec<_> = steps.iter().map(|step| step.top4).collect();
        assert_eq!(found, Ok(made));
    }
}

#[tokio::test]
async fn one_altered_number_changes_a_layers_digest_and_what_is_no_layer_is_refused() {
    let engine = common::engine(EngineConfig {
        residual_bytes: ROOM,
        ..EngineConfig::default()
    });
    let prompt = [1_000, 1_001, 1_002];
    let (steps, _) = common::run(&engine, common::greedy(prompt.to_vec(), 4)).await;
    let output: Vec<u32> = steps.iter().map(|step| step.token).collect();
    let kept = common::rows_of(&engine, &prompt, &output).await;
    let shape = kept.shape();
    let bytes = kept.rows(0).expect("its rows");
    let mut rows = residuals::read(&bytes, kept.positions(), shape.width).expect("rows");
    let honest = engine.layer(1, LayerInput::Rows(rows.clone())).await;
    let digest = |rows: &[f32]| residuals::digest(1, shape.width, rows);
    assert_eq!(digest(&honest.expect("a layer")), kept.digests()[1]);
    rows[5] += 1.0;
    let other = engine.layer(1, LayerInput::Rows(rows)).await;
    assert_ne!(digest(&other.expect("a layer")), kept.digests()[1]);
    for (layer, input) in [
        (shape.layers, LayerInput::Tokens(vec![1])),
        (0, LayerInput::Tokens(Vec::new())),
        (0, LayerInput::Tokens(vec![u32::MAX])),
        (0, LayerInput::Rows(vec![0.0; shape.width + 1])),
    ] {
        assert!(engine.layer(layer, input).await.is_err());
    }
    assert!(engine.outputs(vec![0.0; 33 * shape.width]).await.is_err());
}

#[tokio::test]
async fn without_a_budget_nothing_is_kept_and_one_for_less_than_a_page_is_refused() {
    let engine = common::engine(EngineConfig::default());
    let (steps, _) = common::run(&engine, common::greedy(vec![1_000], 3)).await;
    let output: Vec<u32> = steps.iter().map(|step| step.token).collect();
    assert!(engine.residuals(&[1_000], &output).is_none());
    let config = EngineConfig {
        residual_bytes: 1_000,
        ..EngineConfig::default()
    };
    let refused = Engine::load(common::model(), config)
        .err()
        .expect("refused");
    assert!(refused.to_string().contains("residual_bytes = 1000"));
}
