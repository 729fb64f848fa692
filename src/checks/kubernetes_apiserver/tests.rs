use std::collections::BTreeMap;

use muster_actors::domain::config::Data;
use muster_actors::domain::ids::CheckId;
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::universe::{self, Recorded, Universe};

use super::*;

/// The node around the instances of one test.
struct Node {
    link: ApiserverLink,
    reached: watch::Sender<Reached>,
    events: Publisher<EventForwarderStats>,
    control_plane: Publisher<ControlPlaneProbeStats>,
    told: [Recorded<ConfigsDiscovered>; 2],
}

impl Node {
    fn new(universe: &Universe, behind_cluster_agent: bool) -> Self {
        let (reached, _) = watch::channel(Reached::NotYet);
        let events = Publisher::new(EventForwarderStats::default());
        let control_plane = Publisher::new(ControlPlaneProbeStats::default());
        let ((forwarder, to_forwarder), (probe, to_probe)) = (universe.recorder("forwarder"), universe.recorder("probe"));
        let link = ApiserverLink {
            behind_cluster_agent,
            defaults: ApiserverCheckOptions::default(),
            wanted: Arc::default(),
            reached: reached.subscribe(),
            workers: vec![forwarder, probe],
            events: events.reader(),
            control_plane: control_plane.reader(),
        };
        Self { link, reached, events, control_plane, told: [to_forwarder, to_probe] }
    }

    fn load(&self, instances: &[&str], index: usize) -> Result<ApiserverCheck, LoadError> {
        let config = CheckConfig {
            name: "kubernetes_apiserver".to_owned(),
            instances: instances.iter().map(|text| Data::from(*text)).collect(),
            source: "file:/a.yaml".to_owned(),
            ..CheckConfig::default()
        };
        ApiserverCheck::load(&CheckInstance { config: Arc::new(config), index, id: CheckId::from("a:1".to_owned()) }, &self.link)
    }

    /// What both actors were told since the last call: configs that came, number of those that went.
    fn told(&self) -> [Vec<(Vec<String>, usize)>; 2] {
        let instances = |config: &Arc<CheckConfig>| config.instances.iter().map(Data::text).collect::<Vec<_>>().join(";");
        let told = |one: &ConfigsDiscovered| (one.added.iter().map(instances).collect(), one.removed.len());
        [0, 1].map(|which: usize| self.told[which].take().iter().map(told).collect())
    }

    async fn is_wanted(&self) -> bool {
        timeout(Duration::ZERO, self.link.wanted.notified()).await.is_ok()
    }
}

#[test]
fn ca_c7_behind_a_cluster_agent_nothing_is_collected_and_nothing_is_wrong() {
    universe::run(1, |universe| async move {
        let node = Node::new(&universe, true);
        let mut check = node.load(&["collect_events: true"], 0).unwrap();
        let report = check.run().await;
        assert_eq!((report.error, report.warnings.len()), (None, 0));
        drop(check);
        universe.settle().await;
        assert_eq!((node.told(), node.is_wanted().await), ([vec![], vec![]], false));
    });
}

#[test]
fn without_cluster_agent_and_election_a_run_fails_in_the_words_of_stock() {
    universe::run(1, |universe| async move {
        let node = Node::new(&universe, false);
        let report = node.load(&["{}"], 0).unwrap().run().await;
        let expected = "Leader Election not enabled. Not running Kubernetes API Server check or collecting Kubernetes Events.";
        assert_eq!((report.error.as_deref(), node.is_wanted().await), (Some(expected), false));
    });
}

#[test]
fn with_skip_leader_election_the_actors_get_this_instance_and_lose_it_with_the_check() {
    universe::run(1, |universe| async move {
        for behind_cluster_agent in [true, false] {
            let node = Node::new(&universe, behind_cluster_agent);
            node.reached.send_replace(Reached::Yes);
            let mine = "{skip_leader_election: true, max_events_per_run: 7}";
            let mut check = node.load(&["{}", mine], 1).unwrap();
            for _ in 0..2 {
                let report = check.run().await;
                assert_eq!((report.error, report.warnings.len()), (None, 0));
            }
            drop(check);
            universe.settle().await;
            let came = (vec![mine.to_owned()], 0);
            let expected = vec![came.clone(), came, (Vec::new(), 1)];
            assert_eq!((node.told(), node.is_wanted().await), ([expected.clone(), expected], true));
        }
    });
}

#[test]
fn an_api_server_that_does_not_answer_is_told_and_asked_for_again() {
    universe::run(1, |universe| async move {
        let node = Node::new(&universe, true);
        let mut check = node.load(&["skip_leader_election: true"], 0).unwrap();
        let report = check.run().await;
        assert_eq!((report.error, report.warnings), (None, vec!["the API server has not answered yet".to_owned()]));
        node.reached.send_replace(Reached::Failed("no route".to_owned()));
        assert!(node.is_wanted().await);
        assert_eq!(check.run().await.error.as_deref(), Some("no route"));
        assert!(node.is_wanted().await);
        universe.settle().await;
        assert_eq!(node.told(), [vec![], vec![]]);
    });
}

#[test]
fn events_that_do_not_arrive_are_an_error_and_the_rest_is_a_warning() {
    universe::run(1, |universe| async move {
        let node = Node::new(&universe, true);
        node.reached.send_replace(Reached::Yes);
        node.events.publish(EventForwarderStats {
            complaints: BTreeMap::from([
                ("list events", "not allowed: list events".to_owned()),
                ("store the token of the events", "conflict".to_owned()),
            ]),
            config_remarks: vec!["2 instances of kubernetes_apiserver, only the last one counts, of file:/b.yaml".to_owned()],
            ..EventForwarderStats::default()
        });
        node.control_plane.publish(ControlPlaneProbeStats {
            complaints: BTreeMap::from([("read the component statuses", "not allowed".to_owned())]),
            ..ControlPlaneProbeStats::default()
        });
        let report = node.load(&["skip_leader_election: true"], 0).unwrap().run().await;
        assert_eq!(report.error.as_deref(), Some("failed to list events: not allowed: list events"));
        let expected = [
            "2 instances of kubernetes_apiserver, only the last one counts, of file:/b.yaml",
            "failed to store the token of the events: conflict",
            "failed to read the component statuses: not allowed",
        ];
        assert_eq!(report.warnings, expected);
    });
}

#[test]
fn ca_e19_an_instance_with_a_mistake_is_not_loaded() {
    universe::run(1, |universe| async move {
        let node = Node::new(&universe, true);
        let told = |instance| node.load(&[instance], 0).err().map(|error| error.to_string()).unwrap_or_default();
        let mode = r#"instance 0: invalid event_collection_mode "foo": must be "poll" or "watch""#;
        assert_eq!(told("event_collection_mode: foo"), mode);
        assert_eq!(told("skip_leader_election: maybe"), r#"option "skip_leader_election": found maybe, allowed: true or false"#);
    });
}
