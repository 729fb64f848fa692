//! Vectors and properties of what is forwarded.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::kube::apiserver_check::EventSelector;
use crate::domain::kube::event::InvolvedObject;
use crate::domain::kube::event_bundle::{Bundle, MAX_TEXT};

fn about(kind: &str, namespace: &str, name: &str, uid: &str) -> InvolvedObject {
    InvolvedObject { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() }
}

fn on_web_1(reason: &str, message: &str) -> KubeEvent {
    KubeEvent {
        involved: about("Pod", "default", "web-1", "u1"),
        reason: reason.to_owned(),
        message: message.to_owned(),
        event_type: "Normal".to_owned(),
        count: 1,
        component: "kubelet".to_owned(),
        host: "node-a".to_owned(),
        controller: "kubelet".to_owned(),
        ..KubeEvent::default()
    }
}

fn pulled_and_started() -> [KubeEvent; 2] {
    [
        KubeEvent { count: 2, first_seen: Some(100), last_seen: Some(200), ..on_web_1("Pulled", "Image ok") },
        KubeEvent { count: 1, first_seen: Some(150), last_seen: Some(160), ..on_web_1("Started", "Container started") },
    ]
}

fn unbundled(selectors: &[(&str, &str, &[&str])]) -> ApiserverCheckOptions {
    let selector = |(kind, source, reasons): &(&str, &str, &[&str])| EventSelector {
        kind: (*kind).to_owned(),
        source: (*source).to_owned(),
        reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
    };
    ApiserverCheckOptions { unbundle: true, collected: selectors.iter().map(selector).collect(), ..ApiserverCheckOptions::default() }
}

fn with(events: &[KubeEvent], options: &ApiserverCheckOptions, source_detection: bool) -> Transformed {
    let facts = ObjectFacts { provider_ids: [("node-a".to_owned(), "gce://p/z/i-1".to_owned())].into(), ..ObjectFacts::default() };
    transform(events, &EventContext { options, source_detection, cluster_name: "prod", facts: &facts })
}

fn in_bundles(events: &[KubeEvent]) -> Transformed {
    with(events, &ApiserverCheckOptions::default(), false)
}

#[test]
fn ca_e2_two_events_of_a_pod_are_one_bundle() {
    let tags = [
        "kube_kind:Pod",
        "kube_name:web-1",
        "kubernetes_kind:Pod",
        "name:web-1",
        "kube_namespace:default",
        "namespace:default",
        "pod_name:web-1",
        "source_component:kubelet",
        "orchestrator:kubernetes",
        "reporting_controller:kubelet",
        "host_provider_id:i-1",
    ];
    let expected = Event {
        title: "Events from the Pod default/web-1".to_owned(),
        text: concat!(
            "%%% \n2 **Pulled**: Image ok\n 1 **Started**: Container started\n \n _Events emitted by the kubelet seen at ",
            "1970-01-01 00:03:20 +0000 UTC since 1970-01-01 00:02:30 +0000 UTC_ \n\n %%%"
        )
        .to_owned(),
        timestamp: 200,
        priority: "normal".to_owned(),
        host: "node-a-prod".to_owned(),
        tags: tags.map(str::to_owned).to_vec(),
        alert_type: "info".to_owned(),
        aggregation_key: "kubernetes_apiserver:u1".to_owned(),
        source_type_name: "kubernetes".to_owned(),
        event_type: "kubernetes_apiserver".to_owned(),
    };
    let events = pulled_and_started();
    assert_eq!(in_bundles(&events).events, [expected]);
    assert_eq!(bundle(&events)[0].size(), 331);
}

#[test]
fn ca_e4_tildes_are_escaped() {
    let text = in_bundles(&[on_web_1("Waiting", "for ~5 min")]).events.remove(0).text;
    assert!(text.contains(r"for \~5 min"), "{text}");
}

#[test]
fn ca_e5_events_of_two_types_are_two_bundles_with_the_same_key() {
    let warning = KubeEvent { event_type: "Warning".to_owned(), ..on_web_1("Failed", "m") };
    let events = in_bundles(&[on_web_1("Pulled", "m"), warning]).events;
    let shown: Vec<_> = events.iter().map(|event| (event.alert_type.as_str(), event.aggregation_key.as_str())).collect();
    assert_eq!(shown, [("info", "kubernetes_apiserver:u1"), ("warning", "kubernetes_apiserver:u1")]);
    let other = KubeEvent { event_type: "Other".to_owned(), ..on_web_1("Failed", "m") };
    assert_eq!(in_bundles(&[other]).events[0].alert_type, "info");
}

#[test]
fn ca_e6_an_event_without_a_message_is_skipped_and_not_counted() {
    assert_eq!(in_bundles(&[on_web_1("Pulled", "")]), Transformed::default());
    assert_eq!(in_bundles(&[on_web_1("", "m")]), Transformed::default());
}

#[test]
fn ca_e8_an_event_on_a_deployment_has_no_host() {
    let event = KubeEvent { involved: about("Deployment", "default", "web", "u2"), ..on_web_1("Scaled", "m") };
    let event = in_bundles(&[event]).events.remove(0);
    assert_eq!((event.host.as_str(), event.title.as_str()), ("", "Events from the Deployment default/web"));
    assert!(event.tags.contains(&"kube_deployment:web".to_owned()));
    assert!(!event.tags.iter().any(|tag| tag.starts_with("host_provider_id:")));
}

#[test]
fn ca_e10_a_selected_event_is_forwarded_as_it_is() {
    let event = KubeEvent { event_type: "Warning".to_owned(), event_time: Some(42), ..on_web_1("BackOff", "m") };
    let transformed = with(&[event], &unbundled(&[("Pod", "", &["BackOff"])]), false);
    let tags = [
        "event_reason:BackOff",
        "host_provider_id:i-1",
        "kube_kind:Pod",
        "kube_name:web-1",
        "kube_namespace:default",
        "kubernetes_kind:Pod",
        "name:web-1",
        "namespace:default",
        "orchestrator:kubernetes",
        "pod_name:web-1",
        "reporting_controller:kubelet",
        "source_component:kubelet",
    ];
    let expected = Event {
        title: "Pod default/web-1: BackOff".to_owned(),
        text: "m".to_owned(),
        timestamp: 42,
        priority: "normal".to_owned(),
        host: "node-a-prod".to_owned(),
        tags: tags.map(str::to_owned).to_vec(),
        alert_type: "warning".to_owned(),
        aggregation_key: "kubernetes_apiserver:u1".to_owned(),
        source_type_name: "kubernetes".to_owned(),
        event_type: "kubernetes_apiserver".to_owned(),
    };
    assert_eq!(transformed.events, [expected]);
    let emitted = Emitted { kind: "Pod".to_owned(), event_type: "Warning".to_owned(), source: "kubernetes".to_owned(), is_bundled: false };
    assert_eq!(transformed.emitted, [(emitted, 1)].into());
}

#[test]
fn ca_e12_with_filtering_the_allow_list_collects_by_detected_source() {
    let scheduler = || "default-scheduler".to_owned();
    let event = KubeEvent { component: scheduler(), controller: scheduler(), ..on_web_1("FailedScheduling", "m") };
    for unbundle in [false, true] {
        let options = ApiserverCheckOptions { filtering: true, unbundle, ..ApiserverCheckOptions::default() };
        let events = with(&[event.clone(), on_web_1("Pulled", "m")], &options, true).events;
        assert_eq!(events.iter().map(|event| event.source_type_name.as_str()).collect::<Vec<_>>(), ["kube_scheduler"]);
    }
}

#[test]
fn ca_e13_what_only_a_selector_of_the_user_collects_is_marked() {
    let event = KubeEvent { involved: about("ReplicaSet", "default", "web", "u3"), ..on_web_1("SuccessfulCreate", "m") };
    let options = ApiserverCheckOptions { filtering: true, ..unbundled(&[("ReplicaSet", "", &["SuccessfulCreate"])]) };
    let transformed = with(&[event.clone(), on_web_1("Pulled", "m")], &options, false);
    assert_eq!(transformed.events.len(), 1);
    assert_eq!(transformed.events[0].source_type_name, "kubernetes_custom");
    assert!(transformed.received.keys().all(|labels| labels.source == "kubernetes"));
    assert_eq!(transformed.received.values().sum::<u64>(), 2);
    let bundled = ApiserverCheckOptions { unbundle: false, ..options };
    assert_eq!(with(&[event], &bundled, false).events[0].source_type_name, "kubernetes");
}

#[test]
fn ca_e22_a_text_of_3750_is_accepted_and_one_of_3751_starts_another_bundle() {
    let sizes = |second: usize| {
        // 250 for the frame, 7 for the component, 19 for each line besides its message.
        let events = [on_web_1("R", &"a".repeat(1000)), on_web_1("R", &"b".repeat(second))];
        bundle(&events).iter().map(Bundle::size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(2455), [3750]);
    assert_eq!(sizes(2456), [1276, 2732]);
}

#[test]
fn an_event_too_long_for_any_bundle_is_cut_and_not_lost() {
    for message in ["ä".repeat(4000), "~".repeat(4000), "m".repeat(100_000)] {
        let events = in_bundles(&[on_web_1("R", &message)]).events;
        assert_eq!(events.len(), 1);
        assert!(events[0].text.len() <= MAX_TEXT && events[0].text.len() > 3500, "{}", events[0].text.len());
    }
}

#[test]
fn the_first_time_is_that_of_the_event_that_came_last_and_the_last_time_the_latest() {
    let mut events = pulled_and_started().to_vec();
    events.reverse();
    let event = in_bundles(&events).events.remove(0);
    assert_eq!(event.timestamp, 200);
    assert!(event.text.contains("seen at 1970-01-01 00:03:20 +0000 UTC since 1970-01-01 00:01:40 +0000 UTC"), "{}", event.text);
    let late = KubeEvent { event_time: Some(1_538_733_295), ..on_web_1("R", "m") };
    let event = in_bundles(&[late]).events.remove(0);
    assert_eq!(event.timestamp, 1_538_733_295);
    assert!(event.text.contains("seen at 2018-10-05 09:54:55 +0000 UTC since 2018-10-05 09:54:55 +0000 UTC"), "{}", event.text);
}

#[test]
fn objects_without_a_uid_do_not_mix() {
    let nameless = |name: &str| KubeEvent { involved: about("Pod", "default", name, ""), ..on_web_1("R", "m") };
    assert_eq!(in_bundles(&[nameless("a"), nameless("b"), nameless("a")]).events.len(), 2);
}

#[test]
fn what_no_selector_selects_is_dropped_or_bundled() {
    let events = [on_web_1("Pulled", "m"), on_web_1("BackOff", "m"), on_web_1("Started", "m")];
    let options = unbundled(&[("Pod", "", &["BackOff"])]);
    let titles =
        |options: &ApiserverCheckOptions| with(&events, options, false).events.into_iter().map(|event| event.title).collect::<Vec<_>>();
    assert_eq!(titles(&options), ["Pod default/web-1: BackOff"]);
    let all = ApiserverCheckOptions { bundle_unspecified: true, ..options };
    assert_eq!(titles(&all), ["Pod default/web-1: BackOff", "Events from the Pod default/web-1"]);
}

#[test]
fn tags_of_the_instance_come_with_every_event() {
    let tags = vec!["a:b".to_owned()];
    let bundled = ApiserverCheckOptions { tags: tags.clone(), ..ApiserverCheckOptions::default() };
    let event = with(&[on_web_1("R", "m")], &bundled, false).events.remove(0);
    assert_eq!(event.tags.last().map(String::as_str), Some("a:b"));
    let single = ApiserverCheckOptions { tags, ..unbundled(&[("Pod", "", &[])]) };
    let event = with(&[on_web_1("R", "m")], &single, false).events.remove(0);
    assert_eq!(event.tags.first().map(String::as_str), Some("a:b"));
}

/// Any event, among few objects, so that bundles happen, and with long messages, so that they fill up.
fn any_event() -> impl Strategy<Value = KubeEvent> {
    let object = prop_oneof![
        Just(about("Pod", "default", "web-1", "u1")),
        Just(about("Node", "", "n9", "n9")),
        Just(about("Job", "default", "job", "")),
        Just(about("", "", "", "")),
    ];
    let message = prop_oneof![4 => "[a-z~]{0,20}", 1 => "[a~ä]{1500,3000}"];
    let reason = prop_oneof![Just("BackOff"), Just("Pulled"), Just("")];
    let component = prop_oneof![Just("kubelet".to_owned()), "[~a]{0,400}"];
    let event_type = prop_oneof![Just("Normal"), Just("Warning")];
    (object, message, reason, component, event_type, 0..1000_i64, any::<Option<u32>>()).prop_map(
        |(involved, message, reason, component, event_type, count, seen)| KubeEvent {
            involved,
            message,
            reason: reason.to_owned(),
            component,
            event_type: event_type.to_owned(),
            count,
            last_seen: seen.map(i64::from),
            ..KubeEvent::default()
        },
    )
}

fn any_options() -> impl Strategy<Value = ApiserverCheckOptions> {
    let selectors =
        prop_oneof![Just(unbundled(&[])), Just(unbundled(&[("Pod", "", &[])])), Just(unbundled(&[("", "kubelet", &["Pulled"])]))];
    (selectors, any::<[bool; 3]>()).prop_map(|(options, [unbundle, bundle_unspecified, filtering])| ApiserverCheckOptions {
        unbundle,
        bundle_unspecified,
        filtering,
        ..options
    })
}

/// Sum of the counts of the lines of a bundle.
fn counted(text: &str) -> i64 {
    let lines = text.lines().map(|line| line.trim_start().split_once(" **").map_or("", |(count, _)| count));
    lines.filter_map(|count| count.parse::<i64>().ok()).sum()
}

proptest! {
    #[test]
    fn no_text_of_a_bundle_is_too_long(events in prop::collection::vec(any_event(), 0..40)) {
        for event in in_bundles(&events).events {
            prop_assert!(event.text.len() <= MAX_TEXT, "{}", event.text.len());
        }
    }

    #[test]
    fn every_collected_event_is_in_exactly_one_forwarded_event(
        mut events in prop::collection::vec(any_event(), 0..40),
        options in any_options(),
    ) {
        for (position, event) in events.iter_mut().enumerate().filter(|(_, event)| !event.message.is_empty()) {
            event.message.insert_str(0, &format!("<{position}>"));
        }
        let transformed = with(&events, &options, false);
        for (position, event) in events.iter().enumerate().filter(|(_, event)| !event.message.is_empty()) {
            let listed = options.filtering && allowed("kubernetes", event);
            let named = selected(&options.collected, event);
            let collected = match (options.unbundle, complete(event)) {
                (true, complete) => listed || named || (options.bundle_unspecified && complete),
                (false, complete) => complete && (!options.filtering || listed || named),
            };
            let mark = format!("<{position}>");
            let times: usize = transformed.events.iter().map(|forwarded| forwarded.text.matches(&mark).count()).sum();
            prop_assert_eq!(times, usize::from(collected), "{}", mark);
        }
    }

    #[test]
    fn counts_add_up(events in prop::collection::vec(any_event(), 0..40), options in any_options()) {
        let transformed = with(&events, &options, true);
        let countable = events.iter().filter(|event| options.unbundle || complete(event)).count();
        prop_assert_eq!(transformed.received.values().sum::<u64>(), countable as u64);
        prop_assert_eq!(transformed.emitted.values().sum::<u64>(), transformed.events.len() as u64);
        let bundled = in_bundles(&events);
        let happened: i64 = events.iter().filter(|event| complete(event)).map(|event| event.count).sum();
        prop_assert_eq!(bundled.events.iter().map(|event| counted(&event.text)).sum::<i64>(), happened);
    }

    #[test]
    fn the_order_of_events_does_not_change_which_bundles_there_are(
        (events, shuffled) in prop::collection::vec(any_event(), 0..40).prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        }),
    ) {
        let bundles = |events: &[KubeEvent]| -> BTreeSet<(String, String)> {
            in_bundles(events).events.into_iter().map(|event| (event.title, event.alert_type)).collect()
        };
        prop_assert_eq!(bundles(&events), bundles(&shuffled));
        prop_assert_eq!(in_bundles(&events).received, in_bundles(&shuffled).received);
    }
}
