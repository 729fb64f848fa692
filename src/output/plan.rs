//! Which outputs there are: from settings to transports.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::rng::Random;
use muster_actors::messages::output::OutputStats;
use muster_actors::ports::{OutputTransport, Spool};
use muster_actors::shared::output::{OutputParts, OutputPolicy};
use tokio::runtime::Handle;

use crate::config::ApiKey;
use crate::config::settings::{IntakeSettings, OutputKind};
use crate::output::address;
use crate::output::datadog::DatadogTransport;
use crate::output::error::OutputError;
use crate::output::settings::OutputSettings;
use crate::output::spool::{FileSpool, Leftovers};
use crate::output::stdout::LineTransport;

/// One output to start: one actor.
#[derive(Clone)]
pub struct OutputPlan {
    /// Name of the actor.
    pub name: &'static str,
    /// `stdout` or a base URL, without secrets.
    pub destination: String,
    /// Last five characters of the API key, where there is one.
    pub key_ending: Option<String>,
    /// How to send.
    pub transport: Arc<dyn OutputTransport>,
    /// The disk, where there is one.
    pub spool: Option<FileSpool>,
    /// Its key, if that may change while the process runs.
    pub secret_key: Option<SecretKey>,
    /// Whether it is the first one, for which sources of events wait.
    pub primary: bool,
    /// Numbers.
    pub policy: OutputPolicy,
}

/// The key of an output that is a secret.
#[derive(Clone)]
pub struct SecretKey {
    /// Handle of the secret.
    pub handle: String,
    /// What sends with it.
    pub transport: Arc<DatadogTransport>,
}

impl OutputPlan {
    /// What the actor needs; its counts are read from `parts.publisher.reader()`.
    #[must_use]
    pub fn parts(&self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> OutputParts {
        let stats = OutputStats { destination: self.destination.clone(), key_ending: self.key_ending.clone(), ..OutputStats::default() };
        OutputParts {
            transport: Arc::clone(&self.transport),
            spool: self.spool.clone().map(|spool| Arc::new(spool) as Arc<dyn Spool>),
            primary: self.primary,
            policy: self.policy,
            publisher: Arc::new(Publisher::new(stats)),
            clock,
            random,
        }
    }
}

/// Turns `muster.outputs` into plans, in the order given. Requests are sent on `carrier`.
///
/// Errors: [`OutputError`], for settings that cannot work.
pub fn build(settings: &OutputSettings, carrier: &Handle) -> Result<Vec<OutputPlan>, OutputError> {
    let mut plans = Vec::new();
    for output in &settings.outputs {
        match output {
            OutputKind::Datadog => plans.extend(datadog(settings, carrier)?),
            OutputKind::Stdout => plans.push(OutputPlan {
                name: "Output(stdout)",
                destination: "stdout".to_owned(),
                key_ending: None,
                transport: Arc::new(LineTransport::stdout()?),
                // Whoever reads the lines keeps what is to be kept.
                spool: None,
                secret_key: None,
                primary: false,
                // There is one writer, and whoever reads sees what is written.
                policy: OutputPolicy { key_check_interval: None, max_in_flight: 1, log_every: 0, ..settings.policy },
            }),
        }
    }
    if let Some(first) = plans.first_mut() {
        first.primary = true;
    }
    Ok(plans)
}

/// What lies on the disk and belongs to none of the plans; `None` where nothing is kept there.
#[must_use]
pub fn leftovers(settings: &OutputSettings, plans: &[OutputPlan]) -> Option<Leftovers> {
    let root = settings.intake.spool.as_ref()?.folder.clone();
    let spools = plans.iter().filter_map(|plan| plan.spool.as_ref());
    Some(Leftovers::new(root, spools, settings.policy.spool))
}

/// One plan per intake, user of it, and key: each has its own queue and backoff.
fn datadog(settings: &OutputSettings, carrier: &Handle) -> Result<Vec<OutputPlan>, OutputError> {
    let mut transports = Vec::new();
    let mut seen = BTreeSet::new();
    let mut keys_of = BTreeMap::<String, usize>::new();
    for (url, key) in endpoints(&settings.intake)? {
        let transport = DatadogTransport::try_new(&settings.intake, url, key.clone(), carrier.clone())?;
        // Not the URL that is asked: the version is part of that, and a newer program is to find what an older one stored.
        let url = address::configured_url(url, &settings.intake.site);
        if seen.insert((url.clone(), key.expose())) {
            *keys_of.entry(address::without_credentials(&url)).or_default() += 1;
            transports.push((transport, url, key));
        }
    }
    let plan = |(transport, url, key): (DatadogTransport, String, &ApiKey)| {
        let place = address::without_credentials(&url);
        let only_key = keys_of.get(&place) == Some(&1);
        // User name and password are part of the key.
        let secret = if url == place { owner(key) } else { Cow::Owned(format!("{} {url}", owner(key))) };
        let spool = settings.intake.spool.as_ref().map(|spool| FileSpool::new(&spool.folder, &place, &secret, only_key));
        let transport = Arc::new(transport);
        let secret_key = key.handle().map(|handle| SecretKey { handle: handle.to_owned(), transport: Arc::clone(&transport) });
        OutputPlan {
            name: "Output(datadog)",
            destination: transport.destination().to_owned(),
            key_ending: Some(key.ending()),
            transport,
            spool,
            secret_key,
            primary: false,
            policy: settings.policy,
        }
    };
    Ok(transports.into_iter().map(plan).collect())
}

/// What a folder of payloads belongs to: the key, or the secret that it is, whatever value that has now. So a key that is changed there
/// leaves nothing behind, while the process runs and when it does not.
fn owner(key: &ApiKey) -> Cow<'_, str> {
    key.handle().map_or(Cow::Borrowed(key.expose()), |handle| Cow::Owned(format!("ENC[{handle}]")))
}

fn endpoints(intake: &IntakeSettings) -> Result<Vec<(Option<&str>, &ApiKey)>, OutputError> {
    let main = intake.api_key.as_ref().filter(|key| !key.is_empty()).ok_or(OutputError::NoApiKey)?;
    let mut all = vec![(intake.url.as_deref(), main)];
    for (url, keys) in &intake.additional_endpoints {
        all.extend(keys.iter().filter(|key| !key.is_empty()).map(|key| (Some(url.as_str()), key)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::settings::SpoolSettings;

    fn settings(outputs: &[OutputKind], key: Option<&str>) -> OutputSettings {
        rustls::crypto::ring::default_provider().install_default().ok();
        OutputSettings {
            outputs: outputs.to_vec(),
            intake: IntakeSettings {
                api_key: key.map(ApiKey::new),
                url: Some("http://intake.invalid".to_owned()),
                ..IntakeSettings::default()
            },
            policy: OutputPolicy::default(),
        }
    }

    /// Nothing is sent here, so the carrier need not run.
    fn plans(settings: &OutputSettings) -> Result<Vec<OutputPlan>, OutputError> {
        let carrier = tokio::runtime::Builder::new_current_thread().build().unwrap();
        build(settings, carrier.handle())
    }

    fn destinations(settings: &OutputSettings) -> Vec<String> {
        let plans = plans(settings).unwrap();
        plans.iter().map(|plan| format!("{} {}", plan.destination, plan.key_ending.as_deref().unwrap_or("-"))).collect()
    }

    #[test]
    fn a_choice_is_followed_in_its_order() {
        let both = settings(&[OutputKind::Stdout, OutputKind::Datadog], Some("0123456789"));
        assert_eq!(destinations(&both), ["stdout -", "http://intake.invalid 56789"]);
    }

    #[test]
    fn ca_f9_datadog_needs_a_key() {
        assert_eq!(plans(&settings(&[OutputKind::Datadog], None)).err().unwrap().to_string(), "no API key configured, exiting");
    }

    #[test]
    fn every_pair_of_url_and_key_is_an_output_of_its_own() {
        let mut settings = settings(&[OutputKind::Datadog], Some("main-key"));
        settings.intake.additional_endpoints = BTreeMap::from([
            ("http://other.invalid".to_owned(), vec![ApiKey::new("other-key-1"), ApiKey::new("other-key-2"), ApiKey::new("")]),
            ("http://intake.invalid/".to_owned(), vec![ApiKey::new("main-key")]),
        ]);
        assert_eq!(
            destinations(&settings),
            ["http://intake.invalid n-key", "http://other.invalid key-1", "http://other.invalid key-2"],
            "the main intake with the same key counts once"
        );
    }

    #[test]
    fn intakes_have_a_disk_if_one_is_named_and_the_first_output_is_the_one_to_wait_for() {
        let mut settings = settings(&[OutputKind::Stdout, OutputKind::Datadog], Some("main-key"));
        let shown = |settings: &OutputSettings| {
            plans(settings).unwrap().iter().map(|plan| (plan.spool.is_some(), plan.primary, plan.policy.max_in_flight)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&settings), [(false, true, 1), (false, false, 10)]);
        settings = with_spool(settings, "/spool".as_ref());
        assert_eq!(shown(&settings), [(false, true, 1), (true, false, 10)]);
    }

    fn with_spool(mut settings: OutputSettings, folder: &std::path::Path) -> OutputSettings {
        settings.intake.spool = Some(SpoolSettings {
            folder: folder.to_owned(),
            max_bytes: 1,
            max_disk_ratio: 1.0,
            flush_ratio: 1.0,
            max_age: std::time::Duration::ZERO,
            samples: true,
        });
        settings
    }

    /// Names of the folders of all outputs, all of which can be used at the same time.
    fn folders(settings: OutputSettings) -> BTreeSet<String> {
        let root = tempfile::tempdir().unwrap();
        let plans = plans(&with_spool(settings, root.path())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for plan in &plans {
            runtime.block_on(plan.spool.as_ref().unwrap().open()).unwrap();
        }
        std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_newer_program_finds_what_an_older_one_stored() {
        let of_version = |version: &str| {
            let mut settings = settings(&[OutputKind::Datadog], Some("main-key"));
            (settings.intake.url, settings.intake.version) = (None, version.to_owned());
            (destinations(&settings), folders(settings))
        };
        let (old, new) = (of_version("7.81.1"), of_version("7.82.0"));
        assert_ne!(old.0, new.0);
        assert_eq!(old.1, new.1);
    }

    #[test]
    fn every_user_of_an_intake_is_an_output_of_its_own() {
        let mut settings = settings(&[OutputKind::Datadog], Some("main-key"));
        settings.intake.url = Some("http://a@proxy.invalid".to_owned());
        settings.intake.additional_endpoints = BTreeMap::from([
            ("http://b@proxy.invalid".to_owned(), vec![ApiKey::new("main-key")]),
            ("http://a@proxy.invalid/".to_owned(), vec![ApiKey::new("main-key")]),
        ]);
        assert_eq!(destinations(&settings), ["http://proxy.invalid n-key", "http://proxy.invalid n-key"]);
        assert_eq!(folders(settings).len(), 2);
    }

    #[test]
    fn the_policy_has_the_documented_defaults() {
        let policy = settings(&[], None).policy;
        assert_eq!(policy.max_queue_bytes, 15 * 1024 * 1024);
        assert_eq!(policy.key_check_interval, Some(std::time::Duration::from_secs(3600)));
    }
}
