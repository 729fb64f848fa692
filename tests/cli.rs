//! The program as a person or a script calls it.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Calls the program by a name, with a configuration directory, a `run_path` inside it and these variables only: what a process of this
/// machine has left in the usual `run_path`, its role for one, must not count.
fn call(directory: &Path, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let program = directory.join(name);
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_muster"), &program).unwrap();
    }
    let mut command = Command::new(program);
    command.args(arguments).arg("-c").arg(directory).env_clear().env("DD_RUN_PATH", directory.join("run"));
    command.envs(environment.iter().copied()).output().unwrap()
}

fn texts(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

/// A directory with a local token and a port on which nobody listens.
fn directory_without_agent() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("auth_token"), TOKEN).unwrap();
    // Port 1 needs privileges nobody who runs tests uses.
    fs::write(directory.path().join("datadog-cluster.yaml"), "cluster_agent:\n  cmd_port: 1\n").unwrap();
    directory
}

#[test]
fn the_version_follows_the_name_of_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let (output, _, code) = texts(&call(directory.path(), "datadog-cluster-agent", &["version"], &[]));
    assert!(output.starts_with("Cluster Agent 7.81.1 - Commit: "), "{output}");
    assert_eq!(code, 0);
    let (output, _, _) = texts(&call(directory.path(), "agent", &["version"], &[]));
    assert!(output.starts_with("Agent 7.81.1 - Commit: "), "{output}");
    let (output, _, _) = texts(&call(directory.path(), "agent", &["version"], &[("MUSTER_ROLE", "cluster")]));
    assert!(output.starts_with("Cluster Agent 7.81.1 - Commit: "), "{output}");
    let (output, _, _) = texts(&call(directory.path(), "muster", &["version", "--json"], &[]));
    assert_eq!(serde_json::from_str::<Json>(&output).unwrap()["version"], "7.81.1");
}

#[test]
fn a_taken_port_ends_the_start_with_the_key_that_moves_it() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = directory.path().join("run").display().to_string();
    let text = format!("hostname: h\nrun_path: {run}\nmetrics_port: 0\ncmd_port: {port}\nmuster:\n  outputs: [stdout]\n");
    fs::write(directory.path().join("datadog.yaml"), text).unwrap();
    let (log, error, code) = texts(&call(directory.path(), "muster", &["node", "run"], &[]));
    assert!(error.contains("\nError: `cmd_port` (set it to a free port): ") && code == 1, "{code} {error}");
    // Half of the role runs by then, and has to be stopped in good order.
    assert!(!log.contains("panicked") && !error.contains("panicked"), "{log}{error}");
}

#[test]
fn nobody_answering_is_said_with_cause_and_next_step() {
    let directory = directory_without_agent();
    for command in ["status", "health", "config", "stop", "metamap"] {
        let (output, error, code) = texts(&call(directory.path(), "muster", &["cluster", command], &[]));
        assert!(output.starts_with("Could not reach agent: ") && output.contains("Make sure the agent is running"), "{command}: {output}");
        assert!(error.starts_with("Error: could not reach agent: "), "{command}: {error}");
        assert_eq!(code, 1, "{command}");
    }
    let (_, error, code) = texts(&call(directory.path(), "muster", &["cluster", "configcheck"], &[]));
    assert!(error.starts_with("Error: failed to query the agent (running?): "), "{error}");
    assert_eq!(code, 1);
    let (_, error, code) = texts(&call(directory.path(), "muster", &["cluster", "clusterchecks"], &[]));
    assert!(error.starts_with("Error: Failed to query the agent (running?): "), "{error}");
    assert_eq!(code, 1);
}

#[test]
fn commands_of_balancing_say_that_nobody_answers() {
    let directory = directory_without_agent();
    for arguments in [
        &["clusterchecks", "isolate", "--checkID", "a:1"][..],
        &["clusterchecks", "isolate", "--end", "a:1"],
        &["clusterchecks", "pin", "a", "r1"],
        &["clusterchecks", "plan"],
        &["clusterchecks", "constraints"],
        &["explain", "a"],
    ] {
        let arguments: Vec<&str> = ["cluster"].into_iter().chain(arguments.iter().copied()).collect();
        let (output, error, code) = texts(&call(directory.path(), "muster", &arguments, &[]));
        assert!(
            output.starts_with("Could not reach agent: ") && output.contains("Make sure the agent is running"),
            "{arguments:?}: {output}"
        );
        assert!(error.starts_with("Error: could not reach agent: "), "{arguments:?}: {error}");
        assert_eq!(code, 1, "{arguments:?}");
    }
    let (output, _, code) = texts(&call(directory.path(), "datadog-cluster-agent", &["clusterchecks", "rebalance", "-f"], &[]));
    assert!(output.starts_with("Requesting a cluster check rebalance...\nCould not reach agent: "), "{output}");
    assert_eq!(code, 1);
    let (_, error, code) = texts(&call(directory.path(), "datadog-cluster-agent", &["clusterchecks", "isolate"], &[]));
    assert_eq!((error.as_str(), code), ("Error: checkID must be specified\n", 1));
}

#[test]
fn help_shows_what_balancing_can_do() {
    let directory = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| texts(&call(directory.path(), "muster", arguments, &[])).0;
    let text = help(&["cluster", "clusterchecks", "--help"]);
    for command in ["rebalance", "isolate", "pin", "unpin", "release", "plan", "explain", "constraints"] {
        assert!(text.contains(&format!("\n  {command} ")), "{command}: {text}");
        let text = help(&["cluster", "clusterchecks", command, "--help"]);
        assert!(text.contains("Example") && text.contains("muster cluster "), "{command}: {text}");
    }
    assert!(help(&["explain", "--help"]).contains("Why a check is where it is"));
}

#[test]
fn json_is_asked_for_and_got_also_from_failures() {
    let directory = directory_without_agent();
    for arguments in [
        &["status", "-j"][..],
        &["health", "--json"],
        &["clusterchecks", "--json"],
        &["clusterchecks", "rebalance", "--json"],
        &["clusterchecks", "pin", "a", "r1", "--json"],
        &["explain", "a", "--json"],
        &["metamap", "--json"],
        &["config", "get", "log_level", "--json"],
    ] {
        let arguments: Vec<&str> = ["cluster"].into_iter().chain(arguments.iter().copied()).collect();
        let (output, _, code) = texts(&call(directory.path(), "muster", &arguments, &[]));
        let answer: Json = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output}"));
        assert!(answer["error"].as_str().unwrap().contains("reach") || answer["error"].as_str().unwrap().contains("query"), "{answer}");
        assert_eq!(code, 1, "{arguments:?}");
    }
}

#[test]
fn a_missing_local_token_says_who_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let (_, error, code) = texts(&call(directory.path(), "muster", &["cluster", "status"], &[]));
    assert!(error.starts_with("Error: unable to read authentication token file: No such file or directory"), "{error}");
    assert!(error.contains("auth_token") && error.contains("Make sure the agent is running"), "{error}");
    assert_eq!(code, 1);
    assert!(!directory.path().join("auth_token").exists(), "commands only read tokens");
}

#[test]
fn a_configuration_that_cannot_work_stops_the_start_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("datadog.yaml");
    fs::write(&node, "muster:\n  check_timeout: soon\n  outputs: [kafka]\n").unwrap();
    let (_, error, code) = texts(&call(directory.path(), "agent", &["run"], &[]));
    assert_eq!(code, 2, "{error}");
    assert!(error.starts_with("Error: failed to use the configuration:\n"), "{error}");
    assert!(error.contains("muster.check_timeout: invalid value") && error.contains("muster.outputs: invalid value"), "{error}");
    fs::write(&node, "a: [1\nb: 2\n").unwrap();
    let (_, error, code) = texts(&call(directory.path(), "agent", &["run"], &[]));
    assert!(error.starts_with("Error: failed to parse configuration file ") && error.contains(": line "), "{error}");
    assert_eq!(code, 2);
    fs::write(&node, "cluster_agent:\n  enabled: true\n  url: https://localhost:1\n").unwrap();
    let (_, error, code) = texts(&call(directory.path(), "agent", &["run"], &[]));
    assert!(error.starts_with("Error: empty cluster_agent.auth_token and cannot find "), "{error}");
    assert_eq!(code, 2);
}

#[test]
fn ca_f9_with_kubernetes_a_key_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["start", "--set", "kubernetes_kubeconfig_path=/nonexistent"];
    let (_, error, code) = texts(&call(directory.path(), "datadog-cluster-agent", &arguments, &[]));
    assert_eq!((error.as_str(), code), ("Error: no API key configured, exiting\n", 1));
}

/// A configuration directory for a cluster whose API server is away, and more lines of its file.
fn directory_with_kubernetes(more: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    // Port 1 needs privileges nobody who runs tests uses.
    let kubeconfig = "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: a, user: {token: t}}]\n\
                      contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n";
    fs::write(directory.path().join("kubeconfig"), kubeconfig).unwrap();
    let text = format!(
        "api_key: {TOKEN}\nrun_path: {}\nkubernetes_kubeconfig_path: {}\nmetrics_port: 0\nhealth_port: 0\n{more}",
        path("run"),
        path("kubeconfig")
    );
    fs::write(directory.path().join("datadog-cluster.yaml"), text).unwrap();
    directory
}

#[test]
fn with_kubernetes_a_start_that_cannot_work_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let environment = [("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN)];
    let directory = directory_with_kubernetes(&format!("cluster_agent:\n  cmd_port: {port}\n"));
    let (log, error, code) = texts(&call(directory.path(), "muster", &["cluster", "start"], &environment));
    assert!(error.contains("Error: `cluster_agent.cmd_port` (set it to a free port): ") && code == 1, "{code} {error}");
    assert!(!log.contains("panicked") && !error.contains("panicked"), "{log}{error}");

    fs::write(directory.path().join("kubeconfig"), "clusters: 7\n").unwrap();
    let (log, error, code) = texts(&call(directory.path(), "muster", &["cluster", "start"], &environment));
    assert!(error.contains("Error: ") && error.contains("kubeconfig") && code == 1, "{code} {error}");
    assert!(!log.contains("panicked") && !error.contains("panicked"), "{log}{error}");
}

#[test]
fn a_start_that_waits_for_the_api_server_can_be_stopped() {
    let directory = directory_with_kubernetes("cluster_agent:\n  cmd_port: 0\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(["cluster", "start", "-c"]).arg(directory.path()).env_clear().env("DD_CLUSTER_AGENT_AUTH_TOKEN", TOKEN);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("API server does not answer")), "it ended by itself");
    rustix::process::kill_process(rustix::process::Pid::from_child(&process), rustix::process::Signal::TERM).unwrap();
    let rest: Vec<String> = lines.collect();
    let status = process.wait().unwrap();
    assert!(status.success() && !rest.concat().contains("panicked"), "{status}: {rest:#?}");
}

#[test]
fn slips_on_the_command_line_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let (_, error, code) = texts(&call(directory.path(), "muster", &["cluster", "clusterchekcs"], &[]));
    assert!(error.contains("clusterchecks"), "{error}");
    assert_eq!(code, 2);
    let (_, error, code) = texts(&call(directory.path(), "muster", &["version"], &[("MUSTER_ROLE", "both")]));
    assert!(error.starts_with("Error: MUSTER_ROLE: invalid value \"both\"; allowed: cluster, node"), "{error}");
    assert_eq!(code, 2);
    let (output, _, code) = texts(&call(directory.path(), "muster", &["cluster", "clusterchecks", "--help"], &[]));
    assert!(output.contains("Examples:"), "{output}");
    assert_eq!(code, 0);
}
