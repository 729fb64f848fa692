//! Starts that cannot work: the text says what is wrong and how to mend it, and the exit code is not 0.

use std::net::TcpListener;

use muster::demo::stage::free_port;

use crate::scene::{Said, Scene, muster, until};

impl Scene {
    async fn start_wrongly(&self, command: &[&str], name: &str, settings: &[String]) -> Said {
        let folder = self.stage.folder_of(name).display().to_string();
        let mut arguments = [command, &["-c", &folder]].concat();
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        let said = muster(&arguments).await;
        assert_ne!(said.code, 0, "{}{}", said.out, said.error);
        assert!(!said.out.contains("panicked") && !said.error.contains("panicked"), "{}{}", said.out, said.error);
        said
    }
}

pub fn free() -> u16 {
    free_port("127.0.0.1").unwrap()
}

#[actix_rt::test]
async fn a_second_server_on_the_same_state_is_refused() {
    let scene = Scene::set();
    let first = scene.start_server();
    scene.until_active().await;
    let ports = [format!("cluster_agent.cmd_port={}", free()), format!("metrics_port={}", free())];
    let said = scene.start_wrongly(&["cluster", "start"], "server", &ports).await;
    let folder = scene.stage.folder_of("server").join("run/assignment").display().to_string();
    assert!(said.error.contains(&folder) && said.error.contains(&format!("process {} ", first.pid().unwrap())), "{}", said.error);
    assert!(said.error.contains("stop that one, or set another run_path"), "{}", said.error);
    assert!(scene.view.active().await, "the first one is not disturbed");
}

#[actix_rt::test]
async fn a_port_in_use_is_named_with_its_key() {
    let scene = Scene::set();
    // Writes the runner's configuration and folders.
    let mut runner = scene.stage.start_runner(1).unwrap();
    until("the runner runs", async || runner.log().contains("node running")).await;
    runner.kill().await;
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    for (command, name, key, others) in [
        (["cluster", "start"], "server", "cluster_agent.cmd_port", vec![]),
        (["cluster", "start"], "server", "metrics_port", vec![]),
        (["cluster", "start"], "server", "health_port", vec![]),
        (["node", "run"], "runner-1", "cmd_port", vec![]),
        (["node", "run"], "runner-1", "metrics_port", vec![]),
        (["node", "run"], "runner-1", "clc_runner_port", vec!["clc_runner_host=127.0.0.1".to_owned()]),
    ] {
        let settings = [vec![format!("{key}={port}")], others].concat();
        let said = scene.start_wrongly(&command, name, &settings).await;
        let named = said.error.starts_with("Error: ") && said.error.contains(key) && said.error.contains(&port.to_string());
        assert!(named && said.error.contains("in use"), "{key}: {}", said.error);
    }
}

#[actix_rt::test]
async fn an_invalid_value_is_told_with_key_value_allowed_and_how_to_mend_it() {
    let scene = Scene::set();
    let config = scene.stage.folder_of("server").join("datadog-cluster.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}  tls_min_version: \"0.9\"\n")).unwrap();
    let said = scene.start_wrongly(&["cluster", "start"], "server", &[]).await;
    assert_eq!(said.code, 2);
    for part in
        ["muster.tls_min_version", "0.9", "datadog-cluster.yaml", "allowed: ", "1.2", "1.3", "correct it, or remove it to use the default"]
    {
        assert!(said.error.contains(part), "{part}: {}", said.error);
    }
}
