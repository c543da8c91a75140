//! Audits of layers, between nodes that run a real model.

use std::{path::Path, sync::Arc, time::Instant};

use futures::future::BoxFuture;
use mythic_client::pda;
use mythic_engine::{
    ByOptions, Checked, Engine, EngineConfig, EngineError, EngineStats, GenerateRequest,
};
use mythic_model::{
    catalogue,
    prompt::{Message, PromptError},
};
use mythic_node::serve::backend::{Backend, Steps};
use mythic_verifier::Policy;
use solana_signer::Signer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    cases::{LONG_SLOT_MS, PATIENCE, Seat, another_logit, answer, tell_of_result, totals},
    harness::World,
    real::{register, spec_of},
};

/// Memory for residual rows.
const ROOM: u64 = 64 << 20;

/// An engine whose answers claim another logit at every position, over rows that are honest.
struct Altered(Engine);

impl Backend for Altered {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        let mut steps = self.0.generate(request, cancel)?;
        let (sender, receiver) = mpsc::channel(4_096);
        tokio::spawn(async move {
            while let Some(mut step) = steps.recv().await {
                if let Ok(step) = &mut step {
                    another_logit(&mut step.top4);
                }
                if sender.send(step).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
    fn check<'a>(
        &'a self,
        prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
        by_options: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        Backend::check(&self.0, prompt_ids, output_ids, claimed, by_options)
    }
    fn check_grammar<'a>(&'a self, grammar: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Backend::check_grammar(&self.0, grammar)
    }
    fn engine(&self) -> Option<&Engine> {
        Some(&self.0)
    }
    fn stats(&self) -> EngineStats {
        self.0.stats()
    }
    fn decode(&self, ids: &[u32]) -> String {
        Backend::decode(&self.0, ids)
    }
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        Backend::chat(&self.0, messages)
    }
    fn context_length(&self) -> u32 {
        Backend::context_length(&self.0)
    }
    fn vocab_size(&self) -> usize {
        Backend::vocab_size(&self.0)
    }
}

fn engine(path: &Path, residual_bytes: u64) -> Engine {
    let config = EngineConfig {
        threads: 1,
        kv_bytes: 128 << 20,
        residual_bytes,
        residual_seconds: 600,
        ..EngineConfig::default()
    };
    Engine::load(path, config).expect("the engine")
}

/// A maker with this backend answers a job, and who audits everything comes to this finding, by this outcome of its audit.
async fn audited(path: &Path, maker: Arc<dyn Backend>, residual_bytes: u64, comes_to: [&str; 2]) {
    let [finding, outcome] = comes_to;
    let mut world = World::paced(LONG_SLOT_MS).await;
    let checker = engine(path, 0);
    let spec = spec_of(path, checker.formatter());
    register(&world, spec).await;
    world.model = pda::model(&spec.identity(world.payer.pubkey().as_array()));
    let mut made = Seat::new(&world, 0, Policy::Rate, 0.0).await;
    made.config.residual_bytes = residual_bytes;
    made.start(&world, maker);
    let mut checks = Seat::new(&world, 1, Policy::All, 0.0).await;
    checks.config.verifier.audit_layers = 0.1;
    checks.config.verifier.audit_full = 0.0;
    checks.start(&world, Arc::new(checker));
    let job = answer(&mut world, &made, 1, 24).await;
    let started = Instant::now();
    while totals(&checks).await["checked"][finding] != 1 {
        assert!(
            started.elapsed() < PATIENCE,
            "{finding}: {}",
            totals(&checks).await
        );
        tell_of_result(&world, &job).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let metrics = reqwest::get(format!("{}/metrics", checks.url()));
    let metrics = metrics.await.unwrap().text().await.unwrap();
    let wanted = format!(r#"mythic_verifier_audits_total{{outcome="{outcome}"}} 1"#);
    assert!(metrics.contains(&wanted), "{wanted}: {metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_answer_passes_its_audit() {
    let path = catalogue::fetch(|_| ()).await.expect("the model file");
    let maker = Arc::new(engine(&path, ROOM));
    audited(&path, maker, ROOM, ["audited", "passed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn false_logits_over_honest_rows_fail_their_audit_and_are_fraud() {
    let path = catalogue::fetch(|_| ()).await.expect("the model file");
    let maker = Arc::new(Altered(engine(&path, ROOM)));
    audited(&path, maker, ROOM, ["fraud", "differs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_rows_are_not_kept_is_checked_as_a_whole() {
    let path = catalogue::fetch(|_| ()).await.expect("the model file");
    let maker = Arc::new(engine(&path, 0));
    audited(&path, maker, 0, ["honest", "refused"]).await;
}
