//! What the image definition has to say for chart, operator and OpenShift. Source: cluster-agent-kubernetes 9.3, 9.4.

use std::fs;

use crate::cluster::root;

/// Instructions of the last stage, without comments, each on one line.
fn last_stage() -> Vec<String> {
    let text = fs::read_to_string(root().join("deploy/image/Dockerfile")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let instructions: Vec<String> = joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let start = instructions.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    instructions[start..].to_vec()
}

fn all(word: &str) -> Vec<String> {
    let prefix = format!("{word} ");
    last_stage().iter().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

#[test]
fn programs_that_the_chart_calls_come_from_base_and_packages() {
    // Of Debian, these are essential packages that every image has: bash; coreutils with cp, touch, chmod.
    let from = all("FROM");
    assert!(from[0].starts_with("debian:") && !from[0].contains("distroless"), "{from:?}");
    let installed = all("RUN").join(" ");
    // find; the certificates of authorities; time zones.
    for package in ["findutils", "ca-certificates", "tzdata"] {
        assert!(installed.contains(&format!(" {package} ")), "{package}: {installed}");
    }
}

#[test]
fn the_files_come_from_the_build_stage_as_rootfs_laid_them_out() {
    assert_eq!(all("COPY"), ["--from=build /rootfs/ /"]);
    let text = fs::read_to_string(root().join("deploy/image/Dockerfile")).unwrap();
    assert!(text.contains(" AS build\n") && text.contains("bash deploy/image/rootfs.sh target/release/muster /rootfs"), "{text}");
}

#[test]
fn it_starts_the_cluster_agent_when_nobody_says_what_to_start() {
    assert_eq!(all("CMD"), [r#"["datadog-cluster-agent", "start"]"#]);
    // `command: [agent, run]` of a chart replaces an entry point, and its absence must not.
    assert_eq!(all("ENTRYPOINT"), Vec::<String>::new());
}

#[test]
fn its_user_is_a_number_that_is_not_root_in_group_0() {
    let users = all("USER");
    let (user, group) = users.last().unwrap().split_once(':').unwrap();
    // Kubernetes can only prove a number not to be root.
    assert!(user.parse::<u32>().unwrap() > 0, "{users:?}");
    assert_eq!(group, "0");
}

#[test]
fn the_helper_scripts_can_be_executed_by_group_0_and_by_nobody_else() {
    // `USER 1001:0` has no other groups, and neither has an arbitrary user of OpenShift.
    assert!(!last_stage().iter().any(|line| line.contains("chgrp") || line.contains("chown")), "{:#?}", last_stage());
}

#[test]
fn the_variables_that_checks_and_helpers_look_at_are_set() {
    let variables = all("ENV").join(" ");
    let variables: Vec<&str> = variables.split_whitespace().collect();
    assert!(variables.contains(&"DOCKER_DD_AGENT=true"), "{variables:?}");
    assert!(variables.contains(&"DD_SECRET_BACKEND_COMMAND_ALLOW_GROUP_EXEC_PERM=true"), "{variables:?}");
    let path = variables.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap();
    let folders: Vec<&str> = path.split(':').collect();
    for folder in ["/opt/datadog-agent/bin", "/usr/bin", "/bin"] {
        assert!(folders.contains(&folder), "{path}");
    }
}

#[test]
fn the_ports_of_agents_and_scrapers_are_exposed() {
    assert_eq!(all("EXPOSE"), ["5005/tcp 5000/tcp"]);
}
