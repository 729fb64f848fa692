//! Options of the check come from discovery.

use std::sync::Arc;

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::digest::config_key;
use muster_actors::domain::kube::apiserver_check::ApiserverCheckOptions;
use muster_actors::kernel::universe;
use muster_actors::messages::dispatcher::{ConfigsDiscovered, DiscoverySynced};
use muster_actors::messages::event_forwarder::Duty;
use muster_actors::testing::event_source::event;

use crate::rig::{Rig, START, one_by_one};

const ONE_BY_ONE: &str = "{collect_events: true, unbundle_events: true, collected_event_types: [{kind: Pod}]}";

#[test]
fn nothing_is_forwarded_before_discovery_has_told_everything() {
    universe::run(1, |universe| async move {
        let rig = Rig::unsynced(&universe, one_by_one());
        rig.replica.lead(1);
        rig.advance(20).await;
        assert_eq!((rig.stats().rounds, rig.replica.replays.take().len()), (0, 1));
        rig.replica.forwarder.tell(DiscoverySynced::default()).unwrap();
        rig.advance(1).await;
        assert_eq!(rig.stats().rounds, 1);
    });
}

#[test]
fn a_discovery_that_never_ends_does_not_keep_the_events_back() {
    universe::run(1, |universe| async move {
        let rig = Rig::unsynced(&universe, one_by_one());
        rig.replica.lead(1);
        rig.advance(31).await;
        assert_eq!(rig.stats().rounds, 1);
    });
}

#[test]
fn by_default_events_are_collected_only_if_the_settings_say_so() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, ApiserverCheckOptions::default());
        rig.replica.lead(1);
        rig.advance(20).await;
        assert_eq!((rig.stats().duty, rig.source.take_calls().len()), (Duty::Off, 0));
    });
}

#[test]
fn a_config_of_the_check_counts_the_last_of_several_and_without_it_the_defaults() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, ApiserverCheckOptions::default());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.replica.lead(1);
        // What is for the dispatcher, or another check, is no option here.
        let foreign = CheckConfig { name: "kubernetes_apiserver".to_owned(), cluster_check: true, ..CheckConfig::default() };
        let foreign = CheckConfig { instances: vec![ONE_BY_ONE.into()], ..foreign };
        rig.replica.forwarder.tell(ConfigsDiscovered { added: vec![Arc::new(foreign.clone())], removed: Vec::new() }).unwrap();
        let dispatched = config_key(&foreign);
        rig.advance(4).await;
        assert_eq!(rig.stats().duty, Duty::Dispatched);
        rig.replica.forwarder.tell(ConfigsDiscovered { added: Vec::new(), removed: vec![dispatched] }).unwrap();
        rig.configure("file:/a.yaml", &["{collect_events: false}"]);
        let second = rig.configure("file:/b.yaml", &[ONE_BY_ONE]);
        rig.advance(4).await;
        assert_eq!((rig.texts(), rig.stats().duty), (vec!["2".to_owned()], Duty::Active));
        assert_eq!(rig.stats().config_remarks, ["2 instances of kubernetes_apiserver, only the last one counts, of file:/b.yaml"]);
        rig.replica.forwarder.tell(ConfigsDiscovered { added: Vec::new(), removed: vec![config_key(&second)] }).unwrap();
        rig.advance(4).await;
        assert_eq!((rig.stats().duty, rig.stats().config_remarks.len()), (Duty::Off, 0));
    });
}

#[test]
fn an_instance_with_a_mistake_is_remarked_and_the_defaults_count() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.make([1]);
        rig.configure("file:/a.yaml", &["{event_collection_mode: foo}"]);
        rig.replica.lead(1);
        rig.advance(4).await;
        let expected = "file:/a.yaml: invalid event_collection_mode \"foo\": must be \"poll\" or \"watch\"; the defaults count";
        assert_eq!((rig.stats().config_remarks[0].as_str(), rig.texts().len()), (expected, 1));
    });
}

#[test]
fn what_is_dispatched_to_an_agent_is_not_done_here_too() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.make([1]);
        rig.replica.lead(1);
        let dispatched = rig.configure_as("file:/a.yaml", &["{skip_leader_election: true}"], true);
        rig.advance(60).await;
        assert_eq!((rig.stats().duty, rig.stats().config_remarks.len(), rig.source.take_calls().len()), (Duty::Dispatched, 0, 0));
        let lame = rig.configure_as("file:/b.yaml", &["{}"], true);
        rig.advance(2).await;
        assert_eq!(
            rig.stats().config_remarks,
            ["file:/b.yaml is dispatched to an agent, which does nothing without skip_leader_election: true in the instance"]
        );
        let own = rig.configure("file:/c.yaml", &["{}"]);
        rig.advance(4).await;
        assert_eq!((rig.texts().len(), rig.stats().duty, rig.stats().config_remarks.len()), (1, Duty::Active, 2));
        assert!(rig.stats().config_remarks[0].contains("this process does the same"), "{:?}", rig.stats().config_remarks);
        let removed = [dispatched, lame, own].iter().map(|config| config_key(config)).collect();
        rig.replica.forwarder.tell(ConfigsDiscovered { added: Vec::new(), removed }).unwrap();
        rig.advance(2).await;
        assert_eq!((rig.stats().duty, rig.stats().config_remarks.len()), (Duty::Active, 0));
    });
}

#[test]
fn a_check_that_may_move_gives_its_events_no_host_of_its_own() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        let mut scaled = event("d", "1");
        "Deployment".clone_into(&mut scaled.involved.kind);
        rig.source.make(1, scaled);
        rig.configure("file:/a.yaml", &["{collected_event_types: [{kind: Deployment}], empty_default_hostname: true}"]);
        rig.advance(1).await;
        rig.replica.lead(1);
        rig.advance(4).await;
        let hosts: Vec<String> = rig.replica.outputs[0].events().into_iter().map(|event| event.host).collect();
        assert_eq!(hosts, [""]);
    });
}

#[test]
fn a_check_that_skips_the_election_runs_without_leading() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.make([1]);
        rig.configure("file:/a.yaml", &["{skip_leader_election: true, min_collection_interval: 5}"]);
        rig.replica.follow(7);
        rig.advance(21).await;
        assert_eq!((rig.texts().len(), rig.tokens.saved().len(), rig.stats().rounds), (1, 1, 5));
    });
}
