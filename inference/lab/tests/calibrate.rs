//! A whole calibration on quick settings, over a small model: the default one's first layers.

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::path::Path;

use mythic_lab::calibrate::files::{Derive, derive, layers};
use mythic_lab::calibrate::{CalibrateError, Event, Report, Settings, audit, calibrate};

fn small_model(directory: &Path) -> std::path::PathBuf {
    let goal = directory.join("small.gguf");
    let made = derive(&common::model(), &goal, Derive::Layers(4)).expect("a smaller file");
    assert_eq!(layers(&goal), Some(4));
    assert!(made.changed > 0);
    goal
}

fn settings(directory: &Path) -> Settings {
    Settings {
        prompts: 5,
        tokens: 16,
        directory: Some(directory.join("work")),
        // No Python: llama.cpp is to be left out, with its reason.
        python: Some(directory.join("no-python")),
        ..Settings::quick()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cheat_is_found_by_the_exact_rule_and_nothing_honest_moves_a_bit() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let model = small_model(directory.path());
    let mut events = Vec::new();
    let mut tell = |event| events.push(event);
    let settings = settings(directory.path());
    let report: Report = calibrate(&model, &settings, &mut tell)
        .await
        .expect("a report");
    println!("{}", report.markdown());

    assert!(report.holds());
    assert_eq!((report.calibration_jobs, report.test_jobs), (2, 3));
    for identity in &report.identity {
        assert_eq!(identity.positions.hits, 0, "{}", identity.name);
        assert!(identity.positions.of > 0, "{}", identity.name);
    }
    let honest = &report.rows[0];
    assert_eq!(
        (honest.honest, honest.jobs, honest.positions.hits),
        (true, 3, 0)
    );
    assert_eq!(
        honest.exact.hits + honest.calibrated.hits + honest.gonka.hits,
        0
    );

    let cheats: Vec<_> = report.rows.iter().filter(|r| !r.honest).collect();
    for row in &cheats {
        assert_eq!(row.exact.hits, row.exact.of, "{}", row.name);
    }
    let named = |part: &str| cheats.iter().filter(|r| r.name.contains(part)).count();
    for part in [
        "Q8_0",
        "Q5_1",
        "Q5_0",
        "Q4_0",
        "Q6_K",
        "Q4_K",
        "keys and values",
        "system prompt",
        "temperature",
        "seed",
        "10 %",
        "1 %",
        "last token",
        "random",
        "copied",
        "last layers",
        "prefilled",
    ] {
        assert!(named(part) > 0, "{part} is missing");
    }
    // Filled-in logits are the true ones: only the sampler's replay finds the tokens false.
    for row in cheats.iter().filter(|r| r.name.ends_with(": prefilled")) {
        assert_eq!(row.max_error_ppm, 0, "{}", row.name);
        assert_eq!(row.replay.hits, row.replay.of, "{}", row.name);
    }
    assert!(
        report
            .skipped
            .iter()
            .any(|s| s.what.starts_with("llama.cpp"))
    );

    // Thresholds are frozen before any answer to the test set is written.
    let frozen = events.iter().position(|e| matches!(e, Event::Frozen(_)));
    let frozen = frozen.expect("an event");
    let jobs = |events: &[Event]| -> usize {
        let began = events.iter().map(|e| match e {
            Event::Began { jobs, .. } => *jobs,
            _ => 0,
        });
        began.max().unwrap_or(0)
    };
    assert_eq!(jobs(&events[..frozen]), report.calibration_jobs);
    assert_eq!(jobs(&events[frozen..]), report.test_jobs);
    // Nothing is left behind.
    let left = std::fs::read_dir(directory.path().join("work")).expect("the directory");
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn settings_that_measure_nothing_are_refused() {
    for (prompts, tokens) in [(1, 16), (2, 0)] {
        let settings = Settings {
            prompts,
            tokens,
            ..Settings::quick()
        };
        let error = calibrate(Path::new("none"), &settings, &mut |_| ())
            .await
            .expect_err("a refusal");
        match error {
            CalibrateError::TooFew(1) | CalibrateError::NoTokens => {}
            other => panic!("{other}"),
        }
    }
    let missing = calibrate(Path::new("none.gguf"), &Settings::quick(), &mut |_| ()).await;
    assert!(
        missing
            .expect_err("no file")
            .to_string()
            .contains("none.gguf")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_pass_what_is_honest_and_find_false_layers_as_often_as_they_draw_them() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let model = small_model(directory.path());
    let settings = Settings {
        prompts: 2,
        ..settings(directory.path())
    };
    let found = audit::measure(&model, &settings, 0.25)
        .await
        .expect("figures");
    println!("{}", found.markdown());
    assert_eq!((found.answers, found.honest_failed), (2, 0));
    assert_eq!((found.layers, found.drawn), (4, 1));
    let [skipped, altered, coarse] = &found.cheats[..] else {
        panic!("{:?}", found.cheats);
    };
    // One layer of four is drawn.
    let quarter = skipped.draws / 4;
    assert!(skipped.found.abs_diff(quarter) < quarter / 5, "{skipped:?}");
    assert!(altered.found > 0, "{altered:?}");
    assert_eq!(coarse.found, coarse.draws, "all layers differ");
    let refused = audit::measure(&model, &settings, 0.0).await;
    assert!(matches!(refused, Err(CalibrateError::Part(_))));
}
