//! Histograms of durations that engines count themselves, one for each model.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mythic_engine::Durations;
use mythic_engine::durations::ENDS;
use parking_lot::Mutex;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// A histogram with the label `model`.
#[derive(Debug, Clone)]
pub struct DurationsOfModels {
    desc: Desc,
    /// What was last said of each.
    models: Arc<Mutex<BTreeMap<String, Durations>>>,
}

impl DurationsOfModels {
    pub fn new(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let metric = Self {
            desc: Desc::new(
                name.to_owned(),
                help.to_owned(),
                vec!["model".to_owned()],
                HashMap::new(),
            )?,
            models: Arc::default(),
        };
        registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// Takes over what an engine counted since its start.
    pub fn set(&self, model: &str, durations: Durations) {
        self.models.lock().insert(model.to_owned(), durations);
    }
}

impl Collector for DurationsOfModels {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let models = self.models.lock();
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(
            models
                .iter()
                .map(|(model, all)| metric(model, all))
                .collect(),
        );
        vec![family]
    }
}

fn metric(model: &str, durations: &Durations) -> Metric {
    let mut below = 0;
    let buckets = ENDS.iter().zip(durations.counts).map(|(end, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*end);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(durations.counts.iter().sum());
    histogram.set_sample_sum(durations.seconds);
    let mut label = LabelPair::default();
    label.set_name("model".to_owned());
    label.set_value(model.to_owned());
    let mut metric = Metric::from_label(vec![label]);
    metric.set_histogram(histogram);
    metric
}
