//! Tells the intake which version runs and how it is configured. Source: cluster-agent-kubernetes 6.6.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context};
use serde_json::json;

use crate::domain::samples::Batch;
use crate::kernel::mailbox::Outlet;
use crate::kernel::supervised::Observed;
use crate::messages::output::Enqueue;
use crate::supervised;

/// Time from the start to the first report. Source: cluster-agent-kubernetes 6.6.
pub const FIRST_REPORT: Duration = Duration::from_secs(60);

/// Time between two reports. Source: cluster-agent-kubernetes 6.6.
pub const REPORT_PERIOD: Duration = Duration::from_secs(600);

/// Writes the document as of now, without secrets; quick, and without I/O.
pub type Describe = Arc<dyn Fn() -> String + Send + Sync>;

/// What [`MetadataReporter`] needs.
#[derive(Clone)]
pub struct MetadataReporterParts {
    /// Every output.
    pub outputs: Vec<Outlet<Enqueue>>,
    /// Makes the document.
    pub describe: Describe,
}

/// Posts the metadata of this process to every output, now and then. Every replica does, whether it leads or not.
pub struct MetadataReporter {
    parts: MetadataReporterParts,
    reports: u64,
}

impl MetadataReporter {
    /// Has reported nothing yet.
    #[must_use]
    pub fn new(parts: MetadataReporterParts) -> Self {
        Self { parts, reports: 0 }
    }

    fn report(&mut self) {
        let batch = Arc::new(Batch { metadata: vec![(self.parts.describe)()], ..Batch::default() });
        for output in &self.parts.outputs {
            output.post(Enqueue::new(Arc::clone(&batch)));
        }
        self.reports += 1;
    }
}

impl Actor for MetadataReporter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_later(FIRST_REPORT, |reporter, context| {
            reporter.report();
            context.run_interval(REPORT_PERIOD, |reporter, _| reporter.report());
        });
    }
}

supervised!(MetadataReporter);

impl Observed for MetadataReporter {
    fn observe(&self) -> serde_json::Value {
        json!({ "reports": self.reports })
    }
}
