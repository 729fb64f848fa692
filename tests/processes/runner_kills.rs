//! Runners that die and come back, and runners whose server does.

use muster::demo::stage::POLL_SECONDS;

use crate::scene::{Scene, unix_seconds, until};

const CHECKS: usize = 8;

#[actix_rt::test]
async fn a_runner_killed_and_restarted_runs_everything_again_and_nothing_twice() {
    let scene = Scene::set();
    let (_server, mut runners) = scene.play(2, CHECKS).await;
    let before = scene.picture().await;
    let own = before.load()["runner-1"];
    assert!(own > 0, "{before:?}");

    runners[0].kill().await;
    runners[0] = scene.stage.start_runner(1).unwrap();
    let back_at = unix_seconds();
    let window = 4;
    scene.until_all_report(CHECKS, back_at + window).await;

    let after = scene.picture().await;
    assert!(before.moves_to(&after).is_empty(), "{:#?}", before.moves_to(&after));
    assert_eq!(before.stamps, after.stamps);
    scene.look(|ledger| {
        let seen = ledger.evidence.sightings();
        let strangers: Vec<_> = seen.iter().filter(|seen| before.owners.get(&seen.check) != Some(&seen.runner)).collect();
        assert!(strangers.is_empty(), "run by others than their owners: {strangers:#?}");
        for check in before.owners.keys() {
            let runs = seen.iter().filter(|seen| seen.check == *check && (back_at + 1..back_at + window).contains(&seen.at)).count();
            // Whole seconds: a check that runs each second may be seen once more than there are seconds.
            assert!(runs as i64 <= window, "{check} ran {runs} times in {} s", window - 1);
        }
    });
}

#[actix_rt::test]
async fn a_runner_cut_off_from_its_server_keeps_running_its_checks() {
    let scene = Scene::set();
    let (mut server, _runners) = scene.play(2, CHECKS).await;
    let before = scene.picture().await;

    server.kill().await;
    let cut_off_at = unix_seconds();
    // Longer than the server waits for a silent runner.
    let several = muster::demo::stage::EXPIRATION_SECONDS.cast_signed() + 2;
    scene.until_all_report(CHECKS, cut_off_at + several).await;

    let _server = scene.start_server();
    until("both runners polled the new server three times", async || scene.requests("postCheckStatus").await >= 6.0).await;
    let resends = scene.requests("getCheckConfigs").await;
    scene.until_all_report(CHECKS, unix_seconds() + 1).await;
    let after = scene.picture().await;
    assert!(before.moves_to(&after).is_empty(), "{:#?}", before.moves_to(&after));
    assert_eq!((before.stamps, resends), (after.stamps, 0.0));
    scene.look(|ledger| {
        assert_eq!(ledger.evidence.double_runs(POLL_SECONDS.cast_signed()), Vec::<String>::new());
        let gap = ledger.evidence.largest_gap(cut_off_at - 1).unwrap();
        assert!(gap.seconds <= 3, "the checks of 1 s paused: {gap:?}");
    });
}
