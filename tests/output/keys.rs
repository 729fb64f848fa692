//! API keys that are secrets: fetched again when the intake refuses them, and what waits is sent with the new one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use actix_rt::System;
use muster::config::settings::{IntakeSettings, SecretBackendSettings, SecretRefreshSettings, SpoolSettings};
use muster::config::{ApiKey, Secret};
use muster::secrets::SecretCommand;
use muster_actors::domain::delivery::{DropReason, KeyState};
use muster_actors::domain::samples::Batch;
use muster_actors::messages::output::OutputStats;

use crate::actor::Running;
use crate::server::{Reply, Server};
use crate::{KEY, PATIENCE, batch, logs, one_check_run};

const NEW_KEY: &str = "fedcba9876543210fedcba9876543210";

/// A program that says what the key is now, asked because one was refused or after this time.
fn program(folder: &Path, interval: Duration, on_refused_key: Duration) -> SecretCommand {
    let path = folder.join("backend");
    let answer = format!(r#"{{"key":{{"value":"{NEW_KEY}"}}}}"#);
    // Written by another process: one that this process writes could not be run while a parallel test starts its own.
    std::fs::write(folder.join("backend.answer"), answer).unwrap();
    let write = format!("printf '#!/bin/sh\\ncat \"$0.answer\"' > {0} && chmod 0700 {0}", path.display());
    assert!(Command::new("/bin/sh").arg("-c").arg(write).stdin(Stdio::null()).status().unwrap().success());
    let settings = SecretBackendSettings {
        command: Some(path),
        arguments: Vec::new(),
        timeout: PATIENCE,
        output_max_size: 1024,
        group_exec_allowed: false,
        skip_checks: false,
        remove_trailing_line_break: false,
        refresh: SecretRefreshSettings { interval, scatter: false, on_refused_key },
    };
    let command = SecretCommand::from_settings(settings).unwrap();
    command.remember(&BTreeMap::from([("key".to_owned(), Secret::new(KEY.to_owned()))]));
    command
}

/// An intake whose key is a secret, with a disk.
fn intake(url: &str, folder: &Path, key: &str) -> IntakeSettings {
    let spool = SpoolSettings {
        folder: folder.join("spool"),
        max_bytes: 0,
        max_disk_ratio: 0.0,
        flush_ratio: 0.0,
        max_age: Duration::ZERO,
        samples: true,
    };
    IntakeSettings {
        api_key: Some(ApiKey::of_secret("key", key)),
        url: Some(url.to_owned()),
        timeout: PATIENCE,
        spool: Some(spool),
        ..IntakeSettings::default()
    }
}

async fn until(running: &Running, reached: impl Fn(&OutputStats) -> bool) {
    let waiting = async {
        while !reached(&running.stats.current()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

fn one_event() -> Batch {
    Batch { events: batch().events, ..Batch::default() }
}

#[test]
fn a_refused_key_is_fetched_again_and_what_waited_is_sent_with_the_new_one() {
    System::new().block_on(async {
        logs::keep();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(&[], Reply::OnlyTo(NEW_KEY)).await;
        let running = Running::with(intake(&server.url(), folder.path(), KEY));
        // Without a disk a service check is lost by a refusal.
        running.enqueue(one_check_run());
        let refused = server.next().await;
        assert_eq!((refused.target.as_str(), refused.header("dd-api-key")), ("/api/v1/check_run", Some(KEY)));
        running.enqueue(one_event());
        let refused = server.next().await;
        assert_eq!((refused.target.as_str(), refused.header("dd-api-key")), ("/intake/", Some(KEY)));
        running.refresh_keys(program(folder.path(), Duration::ZERO, Duration::from_secs(3600)));
        let accepted = loop {
            let request = server.next().await;
            assert_eq!(request.body, refused.body);
            if request.header("dd-api-key") == Some(NEW_KEY) {
                break request;
            }
            assert!(running.stats.current().retries < 10_000, "the key is never asked for again");
        };
        assert_eq!(accepted.target, "/intake/");
        let url = server.url();
        let stats = running.finish().await;
        assert_eq!((stats.sent.events, stats.dropped[&DropReason::InvalidKey].check_runs), (1, 1));
        assert_eq!((stats.key_ending.as_deref(), stats.key_state), (Some("43210"), KeyState::NotChecked));
        let logged = logs::so_far();
        let line = format!("API Key invalid (403 response), dropping transaction for {url}/api/v1/check_run\n");
        assert!(logged.contains(&line), "{logged}");
        assert!(!logged.contains(&format!("dropping transaction for {url}/intake/")), "it waits, which is said in other words");
        assert!(!logged.contains(NEW_KEY));
    });
}

#[test]
fn a_key_that_changed_in_time_is_used_from_then_on() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(&[], Reply::Status(202)).await;
        let running = Running::with(intake(&server.url(), folder.path(), KEY));
        running.refresh_keys(program(folder.path(), Duration::from_millis(10), Duration::ZERO));
        until(&running, |stats| stats.key_ending.as_deref() == Some("43210")).await;
        running.enqueue(one_check_run());
        assert_eq!(server.next().await.header("dd-api-key"), Some(NEW_KEY));
        running.finish().await;
    });
}

#[test]
fn what_waits_under_a_secret_survives_a_restart_with_another_value() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(&[], Reply::OnlyTo(NEW_KEY)).await;
        // Nobody could tell whose it is by the value alone: the intake has several keys.
        let several = BTreeMap::from([(server.url(), vec![ApiKey::new("another-key")])]);
        let before = IntakeSettings { additional_endpoints: several, ..intake(&server.url(), folder.path(), KEY) };
        let after = IntakeSettings { api_key: Some(ApiKey::of_secret("key", NEW_KEY)), ..before.clone() };
        let running = Running::with(before);
        running.enqueue(one_event());
        assert_eq!(server.next().await.header("dd-api-key"), Some(KEY));
        let stats = running.finish().await;
        assert_eq!((stats.sent.events, stats.spooled.events), (0, 1));

        let running = Running::with(after);
        until(&running, |stats| stats.sent.events > 0).await;
        running.finish().await;
    });
}
