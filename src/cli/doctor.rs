//! `cluster doctor`: what is wrong around the cluster role, and what would mend it. Changes nothing.

mod api_server;
mod finding;
mod lock;
mod machine;
mod render;
mod rights;

use self::finding::{Finding, Section, State};
use super::arguments::JsonOption;
use super::context::Context;
use super::failure::{CommandResult, Failure};
use crate::config::settings::KubernetesSettings;
use crate::config::{ClusterSettings, Config, Role, Value};
use crate::{errors, secrets};

pub(super) async fn run(context: &Context, options: JsonOption) -> CommandResult {
    let config = context.config(Role::Cluster, Vec::new())?;
    let (config, unresolved) = match secrets::resolved(config.clone()).await {
        Ok(resolved) => (resolved, None),
        Err(error) => (config, Some(errors::chain(&error))),
    };
    let mut findings = configuration(&config);
    let mend = "mend it; it does not start like this";
    findings.extend(unresolved.map(|found| Finding::mend(Section::Configuration, "secrets", found, mend)));
    let settings = KubernetesSettings::from_config(&config);
    if !config.stand_alone() {
        findings.extend(api_server::examine(settings.clone()).await);
    }
    let lock_file = matches!(config.get("muster.lock_file"), Some(sourced) if sourced.value != Value::Text(String::new()));
    let several = if config.stand_alone() { lock_file } else { settings.election.enabled };
    findings.extend(machine::tokens(&config, several));
    findings.extend(machine::ports(&config).await);
    let text = if options.json { render::json(&findings) } else { render::text(context.paint, &findings) };
    match findings.iter().filter(|finding| finding.state == State::Mend).count() {
        0 => Ok(text),
        count => Err(Failure::new(format!("{count} to mend")).with_output(text)),
    }
}

/// Whether the cluster role could start with what is configured, and where it would run.
fn configuration(config: &Config) -> Vec<Finding> {
    let file = config.file().map_or_else(|| "none, only variables".to_owned(), |file| file.display().to_string());
    let mut findings = vec![Finding::well(Section::Configuration, "file", file)];
    let problems = config.problems().iter().filter(|problem| problem.severity() > crate::config::Severity::Note);
    findings.extend(problems.map(|problem| Finding::advice(Section::Configuration, "value", problem.to_string(), "correct or remove it")));
    findings.push(match ClusterSettings::from_config(config) {
        Ok(_) => Finding::well(Section::Configuration, "values", "usable"),
        Err(error) => Finding::mend(Section::Configuration, "values", errors::chain(&error), "correct them; it does not start like this"),
    });
    findings.push(mode(config));
    findings
}

fn mode(config: &Config) -> Finding {
    let in_pod = config.environment().get("KUBERNETES_SERVICE_HOST").is_some();
    match (config.stand_alone(), config.kubernetes_found()) {
        (false, _) => Finding::well(Section::Configuration, "mode", "Kubernetes"),
        (true, true) => Finding::well(Section::Configuration, "mode", "stand-alone, because muster.standalone is set"),
        // A pod without a token looks like no cluster at all.
        (true, false) if in_pod => {
            let mend = "set automountServiceAccountToken: true in the pod, or muster.standalone: true if it is meant to run alone";
            Finding::mend(Section::Configuration, "mode", "stand-alone: this is a pod without a token of a service account", mend)
        }
        (true, false) => Finding::well(Section::Configuration, "mode", "stand-alone: no Kubernetes found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Request};

    fn config(pairs: &[(&str, &str)], text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("datadog-cluster.yaml"), text).unwrap();
        let environment = Environment::from_pairs(pairs.iter().copied());
        Config::load(Request { role: Role::Cluster, path: Some(folder.path().to_owned()), environment, overrides: Vec::new() }).unwrap()
    }

    fn found(config: &Config) -> Vec<(State, String)> {
        configuration(config).into_iter().skip(1).map(|finding| (finding.state, finding.found)).collect()
    }

    #[test]
    fn a_usable_configuration_is_well() {
        let alone = config(&[], "log_level: debug\n");
        assert_eq!(found(&alone), [(State::Well, "usable".into()), (State::Well, "stand-alone: no Kubernetes found".into())]);
        let cluster = config(&[("DD_API_KEY", "0123456789abcdef0123456789abcdef")], "kubernetes_kubeconfig_path: /x\n");
        assert_eq!(found(&cluster), [(State::Well, "usable".into()), (State::Well, "Kubernetes".into())]);
    }

    #[test]
    fn what_keeps_it_from_starting_is_to_be_mended_and_slips_are_told() {
        let found = found(&config(&[], "kubernetes_kubeconfig_path: /x\nlog_lvel: debug\n"));
        assert!(found[0].0 == State::Advice && found[0].1.contains("did you mean log_level?"), "{found:?}");
        assert_eq!(found[1], (State::Mend, "no API key configured, exiting".into()));
    }

    #[test]
    fn a_pod_without_a_token_is_not_taken_for_a_machine() {
        let found = found(&config(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1")], ""));
        assert_eq!(found[1], (State::Mend, "stand-alone: this is a pod without a token of a service account".into()));
    }
}
