//! Loads and runs checks, and reads what they sent.

use std::sync::Arc;

use muster::checks::{CheckSettings, NativeLoader};
use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::ids::CheckId;
use muster_actors::domain::samples::{Sample, ServiceCheck};
use muster_actors::kernel::clock::SystemClock;
use muster_actors::ports::{Check, CheckInstance, CheckLoader, LoadError, RunReport};
use serde_json::Value as Json;

/// A config with one instance.
pub(crate) struct Given {
    pub(crate) check: &'static str,
    pub(crate) instance: String,
    pub(crate) init: String,
    pub(crate) provider: &'static str,
}

/// An instance of a check as a file of the operator would give it.
pub(crate) fn given(check: &'static str, instance: &Json) -> Given {
    Given { check, instance: instance.to_string(), init: "{}".to_owned(), provider: "file" }
}

impl Given {
    pub(crate) fn init(mut self, init: &Json) -> Self {
        self.init = init.to_string();
        self
    }

    pub(crate) fn provider(mut self, provider: &'static str) -> Self {
        self.provider = provider;
        self
    }

    pub(crate) fn load(&self) -> Result<Box<dyn Check>, LoadError> {
        let settings = CheckSettings::new("7.81.0", SystemClock::shared());
        self.load_with(settings)
    }

    pub(crate) fn load_with(&self, settings: CheckSettings) -> Result<Box<dyn Check>, LoadError> {
        let config = CheckConfig {
            name: self.check.to_owned(),
            instances: vec![Data::from(self.instance.as_str())],
            init_config: Some(Data::from(self.init.as_str())),
            provider: self.provider.to_owned(),
            ..CheckConfig::default()
        };
        NativeLoader::new(settings).load(&CheckInstance { config: Arc::new(config), index: 0, id: CheckId::from("x") })
    }

    pub(crate) async fn run(&self) -> RunReport {
        self.load().unwrap().run().await
    }
}

/// The values of a metric, in order of submission.
pub(crate) fn values(report: &RunReport, name: &str) -> Vec<f64> {
    metrics(report, name).iter().map(|sample| sample.value).collect()
}

/// The samples of a metric, in order of submission.
pub(crate) fn metrics<'a>(report: &'a RunReport, name: &str) -> Vec<&'a Sample> {
    report.samples.samples.iter().filter(|sample| sample.name == name).collect()
}

/// The only service check of that name.
pub(crate) fn service_check<'a>(report: &'a RunReport, name: &str) -> &'a ServiceCheck {
    let found: Vec<_> = report.samples.service_checks.iter().filter(|state| state.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {report:?}");
    found[0]
}
