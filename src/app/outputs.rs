//! Destinations of samples and events, for both roles: started, shown, drained.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_actors::domain::delivery::Contents;
use muster_actors::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Reader;
use muster_actors::messages::output::{Drain, Enqueue, OutputStats};
use muster_actors::shared::output::Output;
use tracing::warn;

use crate::app::carrier::Carrier;
use crate::app::host::Host;
use crate::output::key_refresh::KeyRefresh;
use crate::output::plan;
use crate::output::settings::OutputSettings;
use crate::telemetry::sources;
use crate::telemetry::status::ForwarderStatus;

/// The outputs of this process, in the order of `muster.outputs`.
pub(super) struct Outputs {
    /// Sends and receives; there as long as the outputs.
    carrier: Carrier,
    handles: Vec<Handle<Output>>,
    stats: Vec<Reader<OutputStats>>,
}

impl Outputs {
    /// Starts one actor for each destination.
    ///
    /// Errors: settings that cannot work, or no thread can be started.
    pub(super) fn start(host: &Host, settings: &OutputSettings) -> anyhow::Result<Self> {
        let group = host.kernel.one_for_one("outputs", None);
        let carrier = Carrier::start("outputs", 1).context("start the thread of the outputs")?;
        let plans = plan::build(settings, &carrier.handle)?;
        if let Some(leftovers) = plan::leftovers(settings, &plans) {
            carrier.handle.spawn(leftovers.watch(Arc::clone(&host.clock)));
        }
        let mut keys = Vec::new();
        let mut outputs = Self { carrier, handles: Vec::new(), stats: Vec::new() };
        for plan in plans {
            let parts = plan.parts(Arc::clone(&host.clock), Arc::clone(&host.random));
            outputs.stats.push(parts.publisher.reader());
            let handle = Handle::new(plan.name);
            group.child(&handle, STATE_OWNER_CAPACITY, move || Output::new(parts.clone()));
            keys.extend(plan.secret_key.map(|key| (key, handle.outlet())));
            outputs.handles.push(handle);
        }
        if let Some(secrets) = &host.secrets {
            let (clock, random) = (Arc::clone(&host.clock), Arc::clone(&host.random));
            let refresh = KeyRefresh { secrets: secrets.clone(), keys, clock, random };
            if refresh.is_needed() {
                outputs.carrier.handle.spawn(refresh.run());
            }
        }
        outputs.add_metrics(host);
        Ok(outputs)
    }

    /// Where whoever has something to send posts it.
    pub(super) fn outlets(&self) -> Vec<Outlet<Enqueue>> {
        self.handles.iter().map(Handle::outlet).collect()
    }

    /// What `status` shows of them, at the moment of the call.
    pub(super) fn status(&self) -> impl Fn() -> ForwarderStatus + Send + Sync + 'static {
        let stats = self.stats.clone();
        move || ForwarderStatus::of(stats.iter().map(|stats| (*stats.current()).clone()).collect())
    }

    fn add_metrics(&self, host: &Host) {
        let stats = self.stats.clone();
        host.metrics.add_source(move |scrape| {
            sources::outputs(&stats.iter().map(Reader::current).collect::<Vec<_>>(), scrape);
        });
    }

    /// Sends what waits, as far as the time allows; what is left is counted.
    pub(super) async fn drain(&self, deadline: Duration) {
        let drains = self.handles.iter().map(|output| async move {
            match output.ask(Drain { deadline }, deadline + Duration::from_secs(1)).await {
                Ok(report) if report.lost != Contents::default() => {
                    warn!(output = output.name(), lost = ?report.lost, "payloads lost at the end");
                }
                Ok(_) => {}
                Err(error) => warn!(%error, "output did not drain"),
            }
        });
        futures_util::future::join_all(drains).await;
    }
}
