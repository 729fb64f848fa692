//! The files of the image, and what the official chart does with them. Source: cluster-agent-kubernetes 9.3, 9.4.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::cluster::{MUSTER, root};

/// The root of an image, as the script lays it out.
struct Image {
    folder: TempDir,
}

impl Image {
    fn lay_out() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A small stand-in: the real one has hundreds of megabytes with its symbols.
        let stand_in = folder.path().join("stand-in");
        fs::write(&stand_in, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
        let script = root().join("deploy/image/rootfs.sh");
        let output = Command::new("bash").arg(script).arg(&stand_in).arg(folder.path().join("root")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let image = Self { folder };
        let binary = image.path("opt/datadog-agent/bin/muster");
        assert_eq!(mode(&binary), 0o755);
        fs::remove_file(&binary).unwrap();
        symlink(MUSTER, &binary).unwrap();
        image
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("root").join(below)
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn bash(command: &str) -> String {
    text(&Command::new("bash").args(["-c", command]).output().unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn what_the_chart_mounts_over_copies_and_calls_is_there() {
    let image = Image::lay_out();
    for folder in ["etc/datadog-agent/conf.d", "etc/datadog-agent/auth", "etc/datadog-agent/certificates", "etc/cont-init.d", "conf.d"] {
        assert!(image.path(folder).is_dir(), "{folder}");
    }
    for folder in ["opt/datadog-agent/run", "var/log/datadog"] {
        assert!(image.path(folder).is_dir(), "{folder}");
    }
}

#[test]
fn the_names_of_the_program_answer_with_their_version() {
    let image = Image::lay_out();
    let bin = image.path("opt/datadog-agent/bin");
    let version = |name: &str| text(&Command::new(bin.join(name)).arg("version").env_clear().output().unwrap());
    assert!(version("datadog-cluster-agent").starts_with("Cluster Agent 7."));
    assert!(version("agent").starts_with("Agent 7."));
}

#[test]
fn the_init_container_of_the_cluster_agent_copies_the_configuration() {
    let image = Image::lay_out();
    let volume = tempfile::tempdir().unwrap();
    fs::create_dir(volume.path().join("datadog-agent")).unwrap();
    let (from, to) = (image.path("etc/datadog-agent"), volume.path());
    bash(&format!("cp -r {} {}", from.display(), to.display()));
    assert!(to.join("datadog-agent/conf.d").is_dir() && to.join("datadog-agent/auth").is_dir());
}

#[test]
fn the_runner_of_the_chart_starts_as_it_is_told() {
    let image = Image::lay_out();
    let volume = tempfile::tempdir().unwrap();
    let configuration = volume.path().join("datadog-agent");
    fs::create_dir(&configuration).unwrap();
    bash(&format!("cp -r {} {}", image.path("etc/datadog-agent").display(), volume.path().display()));
    fs::write(configuration.join("conf.d/cpu.yaml.default"), "instances: [{}]\n").unwrap();
    fs::write(configuration.join("conf.d/own.yaml"), "instances: [{}]\n").unwrap();
    // The second init container, then the main one, with the paths of this test.
    bash(&format!(
        "for script in $(find {}/ -type f -name '*.sh' | sort) ; do bash $script ; done",
        image.path("etc/cont-init.d").display()
    ));
    let told = format!(
        "find {0}/conf.d/ -name \"*.yaml.default\" -type f -delete && touch {0}/datadog.yaml && exec agent version -c {0}",
        configuration.display()
    );
    let path = format!("{}:/usr/bin:/bin", image.path("opt/datadog-agent/bin").display());
    let output = Command::new("bash").args(["-c", &told]).env_clear().env("PATH", path).output().unwrap();
    assert!(text(&output).starts_with("Agent 7."));
    let left: Vec<_> = fs::read_dir(configuration.join("conf.d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["own.yaml"]);
    assert!(configuration.join("datadog.yaml").is_file());
}

#[test]
fn whoever_is_in_group_0_may_write_what_its_owner_may() {
    let image = Image::lay_out();
    for folder in ["etc/datadog-agent", "opt/datadog-agent/run", "var/log/datadog"] {
        for path in below(&image.path(folder)) {
            let mode = mode(&path);
            assert_eq!((mode >> 3) & 0o7, (mode >> 6) & 0o7, "{} has mode {mode:o}", path.display());
        }
    }
}

/// The script as a secret backend calls it, with the paths of this test.
fn ask(image: &Image, script: &str, arguments: &[&str], request: &str) -> serde_json::Value {
    let text_of = fs::read_to_string(image.path(script)).unwrap();
    assert!(text_of.contains("/opt/datadog-agent/bin/"), "{text_of}");
    let script = text_of.replace("/opt/datadog-agent", image.path("opt/datadog-agent").to_str().unwrap());
    let mut command = Command::new("bash");
    command.args(["-c", &script, "script"]).args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    serde_json::from_str(&text(&child.wait_with_output().unwrap())).unwrap()
}

#[test]
fn the_two_helper_scripts_resolve_secrets() {
    let image = Image::lay_out();
    for script in ["readsecret.sh", "readsecret_multiple_providers.sh"] {
        assert_eq!(mode(&image.path(script)), 0o550, "{script}");
    }
    // As Kubernetes mounts a Secret.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("..2026")).unwrap();
    fs::write(folder.path().join("..2026/password"), "hunter2").unwrap();
    symlink("..2026", folder.path().join("..data")).unwrap();
    symlink("..data/password", folder.path().join("password")).unwrap();
    let mount = folder.path().to_str().unwrap();

    let said = ask(&image, "readsecret.sh", &[mount], r#"{"version":"1.0","secrets":["password","../x"]}"#);
    assert_eq!(said["password"], serde_json::json!({"value": "hunter2", "error": null}));
    assert!(said["../x"]["error"].as_str().unwrap().starts_with("the handle must be the path of a file below"), "{said}");

    let request = format!(r#"{{"version":"1.0","secrets":["file@{mount}/password","k8s_secret@ns/db/user"]}}"#);
    let said = ask(&image, "readsecret_multiple_providers.sh", &[], &request);
    assert_eq!(said[format!("file@{mount}/password")]["value"], "hunter2");
    assert!(said["k8s_secret@ns/db/user"]["error"].as_str().unwrap().contains("run in one with a service account"), "{said}");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let script = root().join("deploy/image/rootfs.sh");
    let output = Command::new("bash").arg(script).args(["/nonexistent", "/nonexistent-root"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: rootfs.sh "));
}
