//! Secrets in the configuration itself: resolved once, when a process starts. Source: autodiscovery 8, cluster-agent-kubernetes 7.9.

use std::fmt;

use muster_actors::domain::secrets::SecretError;
use muster_actors::ports::SecretBackend as _;

use super::command::SecretCommand;
use crate::config::settings::SecretBackendSettings;
use crate::config::{Config, SecretUse};

/// Secrets of the configuration have no value, so that nothing may start with it.
#[derive(Debug, thiserror::Error)]
pub struct UnresolvedSecrets {
    /// Where the secrets are that have no value.
    uses: Vec<SecretUse>,
    /// Why.
    #[source]
    error: SecretError,
}

impl fmt::Display for UnresolvedSecrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("resolve ")?;
        for (at, place) in self.uses.iter().enumerate() {
            write!(out, "{}{place}", if at == 0 { "" } else { ", " })?;
        }
        out.write_str(match &self.error {
            SecretError::Missing(_) | SecretError::Refused { .. } | SecretError::Empty(_) => {
                " (make the program of secret_backend_command know this handle, or correct the handle)"
            }
            SecretError::Command { .. } | SecretError::Timeout { .. } | SecretError::Unreadable(_) => {
                " (secret_backend_command must name a program that this user can run and that answers)"
            }
        })
    }
}

/// The configuration with the values of its secrets, which one call of the program tells. Without a program it stays as it is, which
/// is one of its [`Config::problems`].
///
/// Errors: [`UnresolvedSecrets`] with the places of those that have no value.
pub async fn resolved(config: Config) -> Result<Config, UnresolvedSecrets> {
    let uses = config.secret_uses();
    let Some(command) = SecretCommand::from_settings(SecretBackendSettings::from_config(&config)).filter(|_| !uses.is_empty()) else {
        return Ok(config);
    };
    match command.resolve(uses.iter().map(|used| used.handle.clone()).collect()).await {
        Ok(values) => Ok(config.with_secrets(values)),
        Err(error) => {
            let concerned = |used: &SecretUse| error.handle().is_none_or(|handle| handle == used.handle);
            Err(UnresolvedSecrets { uses: uses.into_iter().filter(concerned).collect(), error })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::config::settings::OutputKind;
    use crate::config::tokens::read_cluster_token;
    use crate::config::{ClusterSettings, Environment, Request, Role, RuntimeConfig};
    use crate::errors;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    /// A program that answers `answer` and notes what it was asked. Written by another process, see the tests of the command.
    fn program(folder: &Path, answer: &str) -> String {
        let path = folder.join("backend");
        std::fs::write(folder.join("answer"), answer).unwrap();
        let script = format!("#!/bin/sh\ncat >> {0}/asked\necho >> {0}/asked\ncat {0}/answer\n", folder.display());
        let write = format!("printf %s '{script}' > {0} && chmod 0700 {0}", path.display());
        assert!(Command::new("/bin/sh").arg("-c").arg(write).stdin(Stdio::null()).status().unwrap().success());
        path.display().to_string()
    }

    /// The configuration of a cluster role with this file and these variables, and its folder.
    fn config(text: &str, answer: &str, environment: &[(&str, &str)]) -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let command = program(folder.path(), answer);
        let file = format!("hostname: h\nsecret_backend_command: {command}\n{text}");
        std::fs::write(folder.path().join("datadog-cluster.yaml"), file).unwrap();
        let environment = Environment::from_pairs(environment.iter().copied());
        let request = Request { role: Role::Cluster, path: Some(folder.path().to_owned()), environment, overrides: Vec::new() };
        (folder, Config::load(request).unwrap())
    }

    #[tokio::test]
    async fn every_kind_of_text_is_resolved_in_one_call_and_none_is_shown() {
        let text = "
api_key: ENC[key]
additional_endpoints: {'https://other.invalid': ['ENC[other]', plain-key]}
cluster_agent: {auth_token: ' ENC[token] '}
tags: [a:b, 'ENC[tag]']
app_key: ENC[nobody-needs-it]
";
        let answer = format!(
            r#"{{"key":{{"value":"{KEY}"}},"other":{{"value":"other-secret-key"}},"token":{{"value":"{KEY}{KEY}"}},"tag":{{"value":"secret:tag"}},"proxy":{{"value":"http://u:hunter2@p:3128"}}}}"#
        );
        let (folder, config) = config(text, &answer, &[("DD_PROXY_HTTPS", "ENC[proxy]")]);
        let resolved = resolved(config).await.unwrap();
        let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(asked, "{\"secrets\":[\"key\",\"other\",\"proxy\",\"tag\",\"token\"],\"version\":\"1.0\"}\n");

        let settings = ClusterSettings::from_config(&resolved).unwrap();
        assert_eq!(settings.outputs, [OutputKind::Datadog]);
        let key = settings.intake.api_key.as_ref().unwrap();
        assert_eq!((key.expose(), key.handle()), (KEY, Some("key")));
        let others = &settings.intake.additional_endpoints["https://other.invalid"];
        let others: Vec<_> = others.iter().map(|key| (key.expose(), key.handle())).collect();
        assert_eq!(others, [("other-secret-key", Some("other")), ("plain-key", None)]);
        assert_eq!(settings.intake.proxy.https.as_ref().unwrap().expose(), "http://u:hunter2@p:3128");
        assert_eq!(settings.common.tags, ["a:b", "secret:tag"]);
        assert_eq!(*read_cluster_token(&resolved).unwrap().expose(), format!("{KEY}{KEY}"));

        let runtime = RuntimeConfig::new(resolved.clone(), std::sync::Arc::new(|_| {}));
        let shown = format!(
            "{}{}{:?}{}{resolved:?}{:?}",
            runtime.effective_yaml(),
            runtime.by_source(),
            runtime.yaml_by_source(),
            runtime.setting("proxy.https", true).unwrap(),
            settings.intake,
        );
        for secret in [KEY, "other-secret-key", "hunter2", "secret:tag"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert_eq!(runtime.setting("api_key", false).unwrap()["value"], "********");
        assert_eq!(runtime.setting("proxy.https", false).unwrap()["value"], "********");
        assert_eq!(runtime.setting("tags", false).unwrap()["value"], serde_json::json!(["a:b", "********"]));
    }

    #[tokio::test]
    async fn a_secret_without_value_is_named_with_its_key_place_and_handle() {
        let (_folder, config) = config("\napi_key: ENC[key]\n", r#"{"key":{"value":"","error":"no such entry"}}"#, &[]);
        let error = resolved(config).await.unwrap_err();
        let text = errors::chain(&error);
        assert!(text.starts_with("resolve api_key = ENC[key] (/"), "{text}");
        assert!(text.contains("datadog-cluster.yaml, line 4"), "{text}");
        assert!(text.contains("know this handle, or correct the handle"), "{text}");
        assert!(text.ends_with(": an error occurred while resolving 'key': no such entry"), "{text}");
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_all_that_wanted_it() {
        let text = "api_key: ENC[key]\ncluster_agent:\n  auth_token: ENC[token]\n";
        let (_folder, config) = config(text, "hunter2", &[("DD_API_KEY", "ENC[of-the-environment]")]);
        let text = errors::chain(&resolved(config).await.unwrap_err());
        assert!(text.contains("api_key = ENC[of-the-environment] (environment variable DD_API_KEY)"), "{text}");
        assert!(text.contains("cluster_agent.auth_token = ENC[token] (/") && text.contains("program that this user can run"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("ENC[key]"), "what is overridden is not asked for: {text}");
    }

    #[tokio::test]
    async fn without_handles_nothing_is_run_and_without_a_program_it_is_said() {
        let (folder, plain) = config("api_key: plain\n", "", &[("DD_SECRET_BACKEND_ARGUMENTS", "ENC[x]")]);
        assert!(resolved(plain).await.is_ok());
        assert!(!folder.path().join("asked").exists());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("datadog.yaml"), "api_key: ENC[key]\n").unwrap();
        let environment = Environment::default();
        let request = Request { role: Role::Node, path: Some(folder.path().to_owned()), environment, overrides: Vec::new() };
        let config = resolved(Config::load(request).unwrap()).await.unwrap();
        let problems: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
        assert!(problems.len() == 1 && problems[0].contains("api_key = ENC[key]"), "{problems:?}");
        assert!(problems[0].ends_with("used as it is written, because secret_backend_command is not set; set it"), "{problems:?}");
    }
}
