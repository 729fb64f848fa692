//! The server, killed at random moments while files change.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use muster_actors::kernel::rng::{Random as _, SeededRandom};

use crate::pretend_agent::{PretendAgent, Set};
use crate::scene::{Scene, until};

/// Times that files change and the server is killed meanwhile; after each of them it is killed again while nothing changes.
const ROUNDS: u64 = 12;
/// Longest time from the change of files to the kill.
const KILL_WITHIN_MILLIS: u64 = 400;
/// Names of files.
const FILES: u64 = 24;

/// The files as they are on disk: number and version.
#[derive(Default)]
pub struct Files(BTreeMap<u64, u64>);

impl Files {
    pub fn write(&mut self, scene: &Scene, number: u64, version: u64) {
        let check = check(number, version);
        let text = format!(
            "cluster_check: true\ninit_config: {{}}\ninstances:\n  - name: {check}\n    url: http://127.0.0.1:1/\n    tags: [\"demo_check:{check}\"]\n"
        );
        scene.stage.write_check_file(&format!("http_check.d/{number}.yaml"), &text).unwrap();
        self.0.insert(number, version);
    }

    fn remove(&mut self, scene: &Scene, number: u64) {
        if self.0.remove(&number).is_some() {
            fs::remove_file(scene.stage.conf_d().join(format!("http_check.d/{number}.yaml"))).unwrap();
        }
    }

    /// Adds, changes and removes several.
    fn change(&mut self, scene: &Scene, random: &SeededRandom, version: u64) {
        for _ in 0..=random.below(4) {
            self.write(scene, random.below(FILES), version);
        }
        for _ in 0..=random.below(2) {
            self.remove(scene, random.below(FILES));
        }
    }

    fn checks(&self) -> Set {
        self.0.iter().map(|(number, version)| check(*number, *version)).collect()
    }
}

fn check(number: u64, version: u64) -> String {
    format!("file-{number}-version-{version}")
}

/// Waits until the table is exactly the files, nothing has two owners, and each agent runs what the table says.
pub async fn until_settled(scene: &Scene, files: &Files, agents: &[PretendAgent]) {
    until("table, files and agents agree", async || {
        let Ok(picture) = scene.view.picture().await else { return false };
        assert!(picture.doubled.is_empty(), "two owners: {:?}", picture.doubled);
        let owned: Set = picture.owners.keys().cloned().collect();
        let runs_its_own = |agent: &PretendAgent| {
            let own: Set = picture.owners.iter().filter(|(_, owner)| **owner == agent.name).map(|(check, _)| check.clone()).collect();
            agent.look(|memory| memory.set == own && Some(&memory.stamp) == picture.stamps.get(&agent.name))
        };
        picture.dangling.is_empty() && owned == files.checks() && agents.iter().all(runs_its_own)
    })
    .await;
}

/// Waits until each agent got `polls` more answers.
pub async fn until_polled(agents: &[PretendAgent], polls: u64) {
    let before: Vec<u64> = agents.iter().map(|agent| agent.look(|memory| memory.polls)).collect();
    until("every agent polled", async || {
        agents.iter().zip(&before).all(|(agent, before)| agent.look(|memory| memory.polls) >= before + polls)
    })
    .await;
}

#[actix_rt::test]
async fn a_server_killed_at_random_moments_forgets_nothing() {
    let seed = SeededRandom::from_system().next_u64();
    // Shown when the test fails.
    println!("seed {seed}");
    let random = SeededRandom::new(seed);
    let scene = Scene::set();
    let mut files = Files::default();
    for number in 0..FILES / 2 {
        files.write(&scene, number, 0);
    }
    let mut server = scene.start_server();
    let agents = [PretendAgent::join(&scene.stage, "agent-1"), PretendAgent::join(&scene.stage, "agent-2")];
    until_settled(&scene, &files, &agents).await;

    for round in 1..=ROUNDS {
        files.change(&scene, &random, round);
        tokio::time::sleep(Duration::from_millis(random.below(KILL_WITHIN_MILLIS))).await;
        server.kill().await;
        server = scene.start_server();
        scene.until_active().await;
        for agent in &agents {
            agent.compare().await;
        }
        until_settled(&scene, &files, &agents).await;
        // What was under way when they were compared is over after two polls.
        until_polled(&agents, 2).await;

        let shown = |agent: &PretendAgent| agent.look(|memory| (memory.stamp, memory.set.clone(), memory.fetches));
        let before: Vec<_> = agents.iter().map(shown).collect();
        tokio::time::sleep(Duration::from_millis(random.below(KILL_WITHIN_MILLIS / 4))).await;
        server.kill().await;
        server = scene.start_server();
        until_polled(&agents, 4).await;
        for agent in &agents {
            agent.compare().await;
        }
        assert_eq!(before, agents.iter().map(shown).collect::<Vec<_>>(), "round {round}: nothing changed, so nothing may be sent again");
        agents.iter().for_each(PretendAgent::assert_well);
    }
    until_settled(&scene, &files, &agents).await;
    server.kill().await;
}
