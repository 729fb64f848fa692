//! Files of the assignment, damaged while the server is down.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;

use crate::pretend_agent::PretendAgent;
use crate::scene::{Scene, muster, until};
use crate::server_kills::{Files, until_settled};

/// What happens to a file: its name, what is done to it, and what the server must say.
struct Damage {
    file: &'static str,
    what: fn(&mut Vec<u8>),
    says: &'static str,
    kept: bool,
}

const DAMAGES: [Damage; 7] = [
    Damage { file: "log", what: |bytes| bytes.truncate(bytes.len() - 3), says: "cut off", kept: false },
    Damage { file: "log", what: |bytes| flip_in_the_middle(bytes), says: "damaged bytes after change", kept: true },
    Damage { file: "log", what: |bytes| *bytes = b"no log at all".to_vec(), says: "/log: ", kept: true },
    Damage { file: "log", what: |bytes| bytes.truncate(bytes.len() / 2), says: "cut off", kept: false },
    Damage { file: "snapshot", what: |bytes| flip_in_the_middle(bytes), says: "/snapshot: ", kept: true },
    Damage { file: "snapshot", what: |bytes| bytes.truncate(bytes.len() / 2), says: "/snapshot: ", kept: true },
    Damage { file: "snapshot", what: |bytes| *bytes = vec![0xff; 4096], says: "/snapshot: ", kept: true },
];

fn flip_in_the_middle(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
}

fn set_aside(folder: &Path, file: &str) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("{file}.damaged-"))).count()
}

#[actix_rt::test]
async fn a_damaged_file_is_set_aside_and_the_server_serves() {
    let scene = Scene::set();
    let folder = scene.stage.folder_of("server").join("run/assignment");
    let settings = scene.stage.folder_of("server").display().to_string();
    let log = scene.stage.folder().join("server.log");
    let mut files = Files::default();
    for number in 0..8 {
        files.write(&scene, number, 0);
    }
    let mut server = scene.start_server();
    let agents = [PretendAgent::join(&scene.stage, "agent-1"), PretendAgent::join(&scene.stage, "agent-2")];
    until_settled(&scene, &files, &agents).await;
    for (version, damage) in (1..).zip(&DAMAGES) {
        // So that the log holds something also where the last start emptied it.
        files.write(&scene, 1, version);
        files.write(&scene, 2, version);
        until_settled(&scene, &files, &agents).await;
        server.kill().await;

        let path = folder.join(damage.file);
        let mut bytes = fs::read(&path).unwrap();
        (damage.what)(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let kept_before = set_aside(&folder, damage.file);
        fs::remove_file(&log).unwrap();

        server = scene.start_server();
        until("the server says what it found", async || {
            server.log().lines().any(|line| line.contains("assignment files were repaired") && line.contains(damage.says))
        })
        .await;
        let said = muster(&["status", "--json", "-c", &settings]).await;
        assert_eq!(said.code, 0, "{}", said.error);
        let status: Json = serde_json::from_str(&said.out).unwrap();
        let repaired = status["clusterchecks"]["RepairedFiles"].to_string();
        assert!(repaired.contains(damage.says), "{version}: {repaired}");
        assert_eq!(set_aside(&folder, damage.file) - kept_before, usize::from(damage.kept), "{version}: {}", server.log());
        until_settled(&scene, &files, &agents).await;
    }
}
