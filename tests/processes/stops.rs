//! Signals and `muster stop`.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt as _, stream};
use muster::demo::intake::Intake;
use muster::demo::stage::Actor;

use crate::scene::{Scene, exit_code, muster, signal, until};

const CHECKS: usize = 3;

async fn until_says(actor: &Actor, words: &str) {
    until(&format!("{} says {words:?}", actor.name), async || actor.log().contains(words)).await;
}

#[actix_rt::test]
async fn sigterm_ends_both_roles_in_order_and_the_last_samples_arrive() {
    let scene = Scene::set();
    scene.write_checks(1..=CHECKS);
    let mut server = scene.start_server();
    // So rarely that nothing is sent but at the end.
    let mut runner = scene.stage.start_runner_with(1, &["--set", "muster.flush_interval=3600"]).unwrap();
    until("checks have run", async || scene.target.requests.load(Ordering::Relaxed) >= 2 * CHECKS as u64).await;
    assert_eq!(scene.look(|ledger| ledger.evidence.count()), 0);

    signal(runner.pid().unwrap(), "TERM").await;
    assert_eq!(exit_code(&mut runner).await, 0, "{}", runner.log());
    // Those of the HTTP checks, each of which asked the target once per run, and of the others.
    let (reports, unreadable) = scene.look(|ledger| (ledger.evidence.count(), ledger.unreadable));
    assert!(reports >= 2 * CHECKS && unreadable == 0, "{reports} reports, {unreadable} unreadable");
    scene.until_all_report(CHECKS, 0).await;

    signal(server.pid().unwrap(), "TERM").await;
    assert_eq!(exit_code(&mut server).await, 0, "{}", server.log());
    assert!(server.log().contains("SIGTERM received") && !server.log().contains("panicked"), "{}", server.log());
}

#[actix_rt::test]
async fn a_second_signal_ends_a_draining_runner_at_once() {
    // Takes connections and never answers, so that the end of the runner takes its time.
    let deaf = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let scene = Scene::with_intake(Intake::start(BTreeMap::new()).unwrap(), format!("http://{}", deaf.local_addr().unwrap()));
    scene.write_checks(1..=CHECKS);
    let _server = scene.start_server();
    for second in ["TERM", "INT"] {
        let asked = scene.target.requests.load(Ordering::Relaxed);
        let mut runner = scene.stage.start_runner(1).unwrap();
        until("checks have run", async || scene.target.requests.load(Ordering::Relaxed) >= asked + 2 * CHECKS as u64).await;
        let pid = runner.pid().unwrap();
        signal(pid, "TERM").await;
        until_says(&runner, "SIGTERM received").await;
        signal(pid, second).await;
        assert_eq!(exit_code(&mut runner).await, 130, "{}", runner.log());
        assert!(runner.log().contains("second signal"), "{}", runner.log());
        std::fs::remove_file(scene.stage.folder().join("runner-1.log")).unwrap();
    }
}

#[actix_rt::test]
async fn a_second_signal_ends_a_draining_server_at_once() {
    let scene = Scene::set();
    let mut server = scene.start_server();
    scene.until_active().await;
    // A request whose body never ends keeps the server from ending by itself.
    let (sent, read) = tokio::sync::oneshot::channel();
    let begun = stream::once(async move {
        sent.send(()).unwrap();
        Ok::<_, std::io::Error>("{")
    });
    let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let request = http
        .post(format!("https://127.0.0.1:{}/api/v1/clusterchecks/status/agent-1", scene.stage.port()))
        .bearer_auth(&scene.stage.token)
        .body(reqwest::Body::wrap_stream(begun.chain(stream::pending())));
    let posting = actix_rt::spawn(request.send());
    read.await.unwrap();
    // The server has the head of the request once it answered what was sent after it.
    assert!(scene.view.active().await);

    let pid = server.pid().unwrap();
    signal(pid, "INT").await;
    until_says(&server, "SIGINT received").await;
    signal(pid, "TERM").await;
    assert_eq!(exit_code(&mut server).await, 130, "{}", server.log());
    posting.abort();
}

#[actix_rt::test]
async fn stop_ends_each_role() {
    let scene = Scene::set();
    let mut server = scene.start_server();
    let mut runner = scene.stage.start_runner(1).unwrap();
    until_says(&server, "now running").await;
    until_says(&runner, "node running").await;
    for (actor, role) in [(&mut runner, "node"), (&mut server, "cluster")] {
        let folder = scene.stage.folder_of(&actor.name).display().to_string();
        // The role is found in the run folder.
        let said = muster(&["stop", "-c", &folder]).await;
        assert_eq!((said.code, said.out.trim()), (0, format!("The {role} role is stopping.").as_str()), "{}", said.error);
        assert_eq!(exit_code(actor).await, 0, "{}", actor.log());
        assert!(actor.log().contains("stop requested"), "{}", actor.log());
    }
}
