//! Discovery from files, the same in both roles.

use std::sync::Arc;

use anyhow::Context as _;
use muster_actors::kernel::mailbox::Outlet;
use muster_actors::messages::resolver::ProviderListing;

use crate::app::host::Host;
use crate::autodiscovery::{FileOptions, FileWatch, WatchOptions};
use crate::config::CommonSettings;
use crate::telemetry::Metric;

/// Starts watching the directories of check configurations.
///
/// Errors: the thread cannot be started.
pub(super) fn file_source(host: &Host, settings: &CommonSettings, listings: Outlet<ProviderListing>) -> anyhow::Result<Arc<FileWatch>> {
    let environment = host.runtime.current().environment().clone();
    let files = FileOptions {
        search_paths: settings.paths.confd.clone(),
        ignore_autoconf: settings.ignore_autoconf.clone(),
        allowed_env_vars: settings.allowed_env_vars.clone(),
        disable_env_var_resolution: settings.env_var_resolution_disabled,
        lookup: Arc::new(move |name| environment.get(name).map(str::to_owned)),
    };
    let metrics = host.metrics.clone();
    let passes = Arc::new(move |elapsed| metrics.observe(Metric::DiscoveryPollDuration, &["file"], elapsed));
    let watch = FileWatch::start(files, WatchOptions::default(), Arc::clone(&host.clock), listings, passes)
        .context("watch check configurations")?;
    Ok(Arc::new(watch))
}
