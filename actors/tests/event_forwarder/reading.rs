//! What is read, and from where on. Source: cluster-agent-kubernetes 3.3, 3.4.

use muster_actors::domain::kube::apiserver_check::ApiserverCheckOptions;
use muster_actors::domain::kube::event::{InvolvedObject, KubeEvent};
use muster_actors::kernel::universe;
use muster_actors::ports::ClusterReadError;
use muster_actors::testing::event_source::event;

use crate::rig::{Rig, START, one_by_one};

fn forbidden(text: &str) -> ClusterReadError {
    ClusterReadError::Forbidden(text.to_owned())
}

#[test]
fn ca_e14_a_list_delivers_what_is_newer_than_the_stored_version() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("120", START - 301);
        rig.make([100, 121, 130]);
        rig.source.go_to(140);
        rig.replica.lead(1);
        rig.advance(1).await;
        assert_eq!(rig.texts(), ["121", "130"]);
        assert_eq!(rig.stored(), Some(("140".to_owned(), START)));
    });
}

#[test]
fn ca_e15_a_watch_delivers_what_comes_and_keeps_the_largest_version() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("120", START - 10);
        rig.make([90, 125, 123]);
        rig.source.expire(90);
        rig.replica.lead(1);
        rig.advance(4).await;
        assert_eq!(rig.texts(), ["125", "123"]);
        assert_eq!(rig.stored(), Some(("125".to_owned(), START - 10)));
        assert_eq!(rig.source.take_calls()[0], "watch 120");
    });
}

#[test]
fn ca_e16_an_expired_watch_is_mended_by_a_list_compared_with_the_stored_version() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("120", START - 10);
        rig.make([119, 122]);
        rig.source.go_to(150);
        rig.source.compact(145);
        rig.replica.lead(1);
        rig.advance(4).await;
        assert_eq!(rig.texts(), ["122"]);
        assert_eq!(rig.stored(), Some(("150".to_owned(), START)));
        assert_eq!(rig.stats().complaints.len(), 0);
    });
}

#[test]
fn ca_e17_without_a_config_map_everything_listed_is_delivered_up_to_the_limit() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.make(1..=400);
        rig.replica.lead(1);
        rig.advance(2).await;
        assert_eq!(rig.texts().len(), 300);
        assert_eq!(rig.stored(), Some(("400".to_owned(), START)));
    });
}

#[test]
fn version_0_replays_what_is_retained() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("0", START);
        rig.make(1..=400);
        rig.replica.lead(1);
        rig.advance(4).await;
        assert_eq!(rig.texts().len(), 400);
        assert_eq!(rig.stored(), Some(("400".to_owned(), START)));
    });
}

#[test]
fn further_pages_are_read_when_a_version_is_known() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("10", START - 301);
        rig.make(1..=1000);
        rig.replica.lead(1);
        rig.advance(1).await;
        assert_eq!(rig.texts().len(), 990);
        assert_eq!(rig.source.take_calls().iter().filter(|call| call.starts_with("list")).count(), 4);
    });
}

#[test]
fn a_list_too_long_for_a_look_is_left_to_the_watch_and_nothing_comes_twice() {
    universe::run(1, |universe| async move {
        let options = ApiserverCheckOptions { max_events_per_run: 10, ..one_by_one() };
        let rig = Rig::new(&universe, options);
        rig.tokens.put("900", START - 301);
        rig.make(1..=1000);
        rig.replica.lead(1);
        rig.advance(4).await;
        assert_eq!(rig.texts(), (901..=1000).map(|version| version.to_string()).collect::<Vec<_>>());
        assert_eq!(rig.stored(), Some(("1000".to_owned(), START)));
        // Where no watch brings the same, the list is read to its end.
        rig.make(1001..=1100);
        rig.source.compact(1050);
        rig.advance(15).await;
        assert_eq!(rig.texts().len(), 100);
        assert_eq!(rig.stored().unwrap().0, "1100");
    });
}

#[test]
fn a_list_with_too_many_events_for_one_round_is_read_in_portions() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("10", START);
        rig.make(1..=45_010);
        rig.source.compact(45_010);
        rig.replica.lead(1);
        rig.advance(10).await;
        let mut versions: Vec<u64> = rig.texts().iter().map(|text| text.parse().unwrap()).collect();
        versions.sort_unstable();
        assert_eq!(versions, (11..=45_010).collect::<Vec<_>>());
        assert_eq!((rig.stats().rounds, rig.stored().unwrap().0.as_str()), (3, "45010"));
    });
}

#[test]
fn a_list_of_few_large_pages_is_forwarded_whole() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, ApiserverCheckOptions { max_events_per_run: 10_000, ..one_by_one() });
        rig.tokens.put("10", START - 301);
        rig.make(1..=45_010);
        rig.replica.lead(1);
        rig.advance(10).await;
        assert_eq!((rig.texts().len(), rig.stored().unwrap().0.as_str()), (45_000, "45010"));
    });
}

#[test]
fn an_api_server_that_began_anew_is_believed() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("5000000", START);
        rig.source.begin_anew();
        rig.make(900..=1000);
        rig.replica.lead(1);
        // A watch from a version to come says nothing; the next list does.
        rig.advance(330).await;
        assert_eq!(rig.texts().len(), 101);
        assert_eq!(rig.stored().unwrap().0, "1000");
        rig.make([1001]);
        rig.advance(30).await;
        assert_eq!((rig.texts(), rig.stored().unwrap().0.as_str()), (vec!["1001".to_owned()], "1001"));
    });
}

#[test]
fn an_event_goes_out_with_a_time_and_with_the_tags_of_the_process() {
    universe::run(1, |universe| async move {
        let rig =
            Rig::new(&universe, ApiserverCheckOptions { tags: vec!["zone:a".to_owned(), "kube_kind:Pod".to_owned()], ..one_by_one() });
        rig.tokens.put("1", START);
        rig.source.make(2, KubeEvent { first_seen: None, last_seen: None, ..event("a", "2") });
        rig.replica.lead(1);
        rig.advance(4).await;
        let events = rig.replica.outputs[0].events();
        assert!((START..START + 5).contains(&events[0].timestamp), "{}", events[0].timestamp);
        let tags = &events[0].tags;
        assert!(tags.contains(&"kube_cluster_name:c1".to_owned()) && tags.contains(&"zone:a".to_owned()), "{tags:?}");
        assert!(tags.is_sorted_by(|one, next| one < next), "{tags:?}");
    });
}

#[test]
fn a_burst_is_taken_in_portions_without_pauses() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make(2..=25_001);
        rig.replica.lead(1);
        rig.advance(6).await;
        assert_eq!(rig.texts().len(), 25_000);
        assert_eq!((rig.stats().rounds, rig.stored().unwrap().0.as_str()), (3, "25001"));
    });
}

#[test]
fn a_watch_that_is_closed_early_delivers_what_it_brought() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make(2..=5);
        rig.source.end_watches_after(Some(2));
        rig.replica.lead(1);
        rig.advance(2).await;
        assert_eq!(rig.texts(), ["2", "3"]);
        assert_eq!(rig.stats().complaints["watch events"], "Unexpected watch close");
        rig.source.end_watches_after(None);
        rig.advance(18).await;
        assert_eq!((rig.texts(), rig.stats().complaints.len()), (vec!["4".to_owned(), "5".to_owned()], 0));
    });
}

#[test]
fn an_error_of_the_watch_keeps_what_came_before_it() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make(2..=5);
        rig.source.fail_watches(Some(ClusterReadError::Unavailable("connection reset".to_owned())));
        rig.replica.lead(1);
        rig.advance(2).await;
        assert_eq!((rig.texts().len(), rig.stored().unwrap().0.as_str()), (4, "5"));
        assert_eq!(rig.stats().complaints["watch events"], "connection reset");
    });
}

#[test]
fn a_bookmark_moves_the_token() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.source.bookmark(70);
        rig.replica.lead(1);
        rig.advance(4).await;
        assert_eq!((rig.texts().len(), rig.stored()), (0, Some(("70".to_owned(), START))));
    });
}

#[test]
fn a_missing_right_is_shown_until_it_is_there_and_then_nothing_is_missing() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START - 301);
        rig.make(2..=3);
        rig.source.fail_lists(Some(forbidden("events list")));
        rig.source.fail_watches(Some(forbidden("events watch")));
        rig.source.compact(2);
        rig.replica.lead(1);
        rig.advance(40).await;
        assert_eq!(rig.texts(), Vec::<String>::new());
        assert_eq!(rig.stats().complaints["list events"], "not allowed: events list");
        rig.source.fail_lists(None);
        rig.source.fail_watches(None);
        rig.advance(20).await;
        assert_eq!((rig.texts(), rig.stats().complaints.len()), (vec!["2".to_owned(), "3".to_owned()], 0));
    });
}

#[test]
fn a_token_that_can_not_be_read_stops_the_round_and_nothing_else() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.make([1]);
        rig.tokens.fail_loads(1);
        rig.replica.lead(1);
        rig.advance(2).await;
        assert_eq!((rig.source.take_calls().len(), rig.texts().len()), (0, 0));
        assert_eq!(rig.stats().complaints["read the token of the events"], "could not create the ConfigMap: forbidden");
        rig.advance(15).await;
        assert_eq!((rig.texts().len(), rig.stats().complaints.len()), (1, 0));
    });
}

#[test]
fn an_emptied_token_is_replaced_by_the_remembered_one() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2]);
        rig.replica.lead(1);
        rig.advance(4).await;
        rig.tokens.put("", START);
        rig.make([3]);
        rig.advance(15).await;
        assert_eq!((rig.texts(), rig.stored()), (vec!["2".to_owned(), "3".to_owned()], Some(("3".to_owned(), START))));
    });
}

#[test]
fn a_user_who_sets_version_0_gets_everything_again() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.make([2, 3]);
        rig.replica.lead(1);
        rig.advance(4).await;
        rig.tokens.put("0", START);
        rig.advance(15).await;
        assert_eq!(rig.texts(), ["2", "3", "2", "3"]);
    });
}

#[test]
fn hosts_are_asked_for_and_provider_ids_kept_for_an_hour() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, one_by_one());
        rig.tokens.put("1", START);
        rig.source.place("default", "a", "n7", "aws:///us-east-1e/i-0abc");
        rig.replica.lead(1);
        let homeless = |version: u64| rig.source.make(version, KubeEvent { host: String::new(), ..event("a", &version.to_string()) });
        homeless(2);
        rig.advance(4).await;
        let events = rig.replica.outputs[0].events();
        assert_eq!(events[0].host, "n7-c1");
        assert!(events[0].tags.contains(&"host_provider_id:i-0abc".to_owned()));
        assert_eq!(rig.source.take_calls(), ["watch 1", "pod default/a", "node n7"]);
        homeless(3);
        rig.advance(15).await;
        assert_eq!(rig.source.take_calls(), ["watch 2", "pod default/a"]);
        rig.advance(3700).await;
        homeless(4);
        let _ = rig.source.take_calls();
        rig.advance(30).await;
        assert!(rig.source.take_calls().contains(&"node n7".to_owned()));
    });
}

#[test]
fn events_without_a_host_get_that_of_the_agent_and_a_missing_right_costs_only_hosts() {
    universe::run(1, |universe| async move {
        let all = ApiserverCheckOptions { collect_events: true, ..ApiserverCheckOptions::default() };
        let rig = Rig::new(&universe, all);
        rig.tokens.put("1", START);
        rig.source.fail_nodes(Some(forbidden("pods get")));
        let involved = InvolvedObject { kind: "Deployment".to_owned(), ..event("d", "").involved };
        rig.source.make(2, KubeEvent { involved, ..event("d", "scaled") });
        rig.source.make(3, KubeEvent { host: String::new(), ..event("a", "pending") });
        rig.replica.lead(1);
        rig.advance(4).await;
        let hosts: Vec<String> = rig.replica.outputs[0].events().into_iter().map(|event| event.host).collect();
        assert_eq!(hosts, ["agent-host", "agent-host"]);
        assert_eq!(rig.stats().complaints["ask for the nodes of pods"], "not allowed: pods get");
        assert_eq!(rig.stored().unwrap().0, "3");
    });
}
