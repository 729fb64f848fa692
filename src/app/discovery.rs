//! Discovery, the same in both roles but for its sources.

use std::sync::Arc;

use anyhow::Context as _;
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::template::TemplateRules;
use muster_actors::kernel::published::Publisher;
use muster_actors::ports::{DiscoverySource, SecretBackend};
use muster_actors::shared::resolver::{DiscoverySubscriber, Resolver};

use crate::app::host::Host;
use crate::autodiscovery::{FileOptions, FileWatch, Listeners, WatchOptions};
use crate::config::CommonSettings;
use crate::secrets::SecretCommand;
use crate::telemetry::Metric;

/// Starts watching the directories of check configurations.
///
/// Errors: the thread cannot be started.
pub(super) fn file_source(host: &Host, settings: &CommonSettings, listeners: Listeners) -> anyhow::Result<Arc<FileWatch>> {
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
    let watch = FileWatch::start(files, WatchOptions::default(), Arc::clone(&host.clock), listeners, passes)
        .context("watch check configurations")?;
    Ok(Arc::new(watch))
}

/// What knows the secrets of check configurations, if the configuration names it.
pub(super) fn secret_command(host: &Host) -> Option<SecretCommand> {
    host.secrets.clone().filter(SecretCommand::serves_checks)
}

/// The same as actors want it.
pub(super) fn secret_backend(command: Option<&SecretCommand>) -> Option<Arc<dyn SecretBackend>> {
    command.map(|command| Arc::new(command.clone()) as Arc<dyn SecretBackend>)
}

/// Factory of the resolver of a role.
pub(super) fn resolver(
    host: &Host,
    settings: &CommonSettings,
    sources: Vec<Arc<dyn DiscoverySource>>,
    subscribers: Vec<DiscoverySubscriber>,
    report: Arc<Publisher<DiscoveryReport>>,
    secrets: Option<Arc<dyn SecretBackend>>,
) -> impl Fn() -> Resolver + use<> {
    let environment = host.runtime.current().environment().clone();
    let rules = TemplateRules {
        lookup: Arc::new(move |name| environment.get(name).map(str::to_owned)),
        allowed_env_vars: settings.allowed_env_vars.clone(),
        disable_env_var_resolution: settings.env_var_resolution_disabled,
        keep_tag_options: settings.keep_ad_tag_options,
    };
    let random = Arc::clone(&host.random);
    move || {
        let resolver = Resolver::new(sources.clone(), subscribers.clone(), Arc::clone(&report)).with_rules(rules.clone());
        match &secrets {
            Some(backend) => resolver.with_secrets(Arc::clone(backend), Arc::clone(&random)),
            None => resolver,
        }
    }
}
