//! Several servers behind one lock file, killed one at a time and all at once.

use std::fs;

use futures_util::future::join_all;
use muster::config::Secret;
use muster::demo::stage::Actor;
use muster::sealed_snapshots::Seal;
use muster_actors::domain::snapshot;

use crate::pretend_agent::{PretendAgent, Set};
use crate::scene::{Scene, until};
use crate::server_kills::{Files, until_polled, until_settled};

const SERVERS: usize = 3;
const FILES: u64 = 12;

/// What an agent was shown: version of its set, the set, and how often it was sent.
type Shown = Vec<(i64, Set, u64)>;

fn shown(agents: &[PretendAgent]) -> Shown {
    agents.iter().map(|agent| agent.look(|memory| (memory.stamp, memory.set.clone(), memory.fetches))).collect()
}

/// Asks for all sets anew: whoever leads now has to show what the one before it showed.
async fn assert_shown_as(before: &Shown, agents: &[PretendAgent]) {
    for agent in agents {
        agent.compare().await;
        agent.assert_well();
    }
    assert_eq!(*before, shown(agents), "nothing changed, so nothing may move or be sent again");
}

fn start_all(scene: &Scene) -> Vec<Actor> {
    scene.stage.servers.iter().map(|server| scene.stage.start_server(&server.name).unwrap()).collect()
}

async fn until_followed(scene: &Scene) {
    until("the others follow and have the assignment", async || {
        scene.view.followers_in_step().await.is_ok_and(|followers| followers == SERVERS - 1)
    })
    .await;
}

/// Waits until what every agent was shown is on disk.
async fn until_saved(scene: &Scene, agents: &[PretendAgent]) {
    let seal = Seal::try_new(&Secret::new(scene.stage.token.clone())).unwrap();
    until("the snapshot beside the lock has every stamp", async || {
        let opened = fs::read(scene.stage.snapshot()).ok().and_then(|bytes| seal.open(&bytes).ok());
        let table = opened.and_then(|bytes| snapshot::read_whole(&bytes));
        let saved = |agent: &PretendAgent| table.as_ref()?.nodes().get(agent.name.as_str()).map(|row| row.stamp.0);
        agents.iter().all(|agent| saved(agent) == Some(agent.look(|memory| memory.stamp)))
    })
    .await;
}

#[actix_rt::test]
async fn neither_the_loss_of_the_leader_nor_of_all_servers_at_once_moves_anything() {
    let scene = Scene::of_servers(SERVERS);
    let mut files = Files::default();
    for number in 0..FILES {
        files.write(&scene, number, 0);
    }
    let mut servers = start_all(&scene);
    let agents = ["agent-1", "agent-2", "agent-3"].map(|name| PretendAgent::join(&scene.stage, name));
    until_settled(&scene, &files, &agents).await;
    until_followed(&scene).await;

    let (first, before) = (scene.view.leader().await.unwrap(), shown(&agents));
    let position = servers.iter().position(|server| server.name == first.name).unwrap();
    servers[position].kill().await;
    scene.until_active().await;
    let second = scene.view.leader().await.unwrap();
    assert!(second.name != first.name && second.epoch > first.epoch, "{second:?} after {first:?}");
    until_polled(&agents, 4).await;
    assert_shown_as(&before, &agents).await;

    servers[position] = scene.stage.start_server(&first.name).unwrap();
    until_followed(&scene).await;
    // What the new leader decides reaches the agents as before.
    files.write(&scene, FILES, 1);
    until_settled(&scene, &files, &agents).await;

    // No copy may help but the one beside the lock.
    let before = shown(&agents);
    until_saved(&scene, &agents).await;
    join_all(servers.iter_mut().map(Actor::kill)).await;
    let servers = start_all(&scene);
    scene.until_active().await;
    until_polled(&agents, 4).await;
    let third = scene.view.leader().await.unwrap();
    assert!(third.epoch > second.epoch, "{third:?} after {second:?}");
    assert_shown_as(&before, &agents).await;
    until_settled(&scene, &files, &agents).await;
    until_followed(&scene).await;
    assert!(servers.iter().all(|server| !server.log().contains("panicked")));
}
