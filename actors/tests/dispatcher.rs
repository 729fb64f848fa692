//! The dispatching actors together, with the disk, the lease and discovery as fakes.

#![expect(clippy::expect_used, reason = "tests panic")]

mod cluster;
#[path = "dispatcher/departures.rs"]
mod departures;
#[path = "dispatcher/handover.rs"]
mod handover;
#[path = "dispatcher/quarantine.rs"]
mod quarantine;

use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, instance};
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::ids::{ConfigKey, NodeName, Stamp};
use muster_actors::domain::journal::{Cause, JournalFilter};
use muster_actors::domain::node::CheckCompatibility;
use muster_actors::domain::world::{DanglingReason, NodeKind, Standing};
use muster_actors::kernel::universe;
use muster_actors::messages::dispatcher::{DiscoveryStarted, DiscoverySynced, LostNode, NodesChanged};
use muster_actors::messages::journal::QueryJournal;
use muster_actors::testing::configs::{discovered, discovered_endpoint};
use muster_actors::testing::lease_store::LockService;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn cc_t16_in_warm_up_everybody_is_up_to_date_and_nothing_is_dispatched() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::start(&universe).await;
        cluster.discover_all(&[instance(1)]).await;
        assert!(cluster.poll("n1", 77).await.up_to_date);
        let served = cluster.served();
        assert_eq!(served.standing, Standing::WarmingUp);
        assert_eq!(served.nodes[&NodeName::from("n1")].view.stamp, Stamp(0));
        assert_eq!(served.dangling[0].reason, DanglingReason::WarmingUp);
        cluster.keep_polling(&["n1"], seconds(31)).await;
        assert_eq!(cluster.served().standing, Standing::Active);
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

#[test]
fn cc_t17_only_the_exact_version_or_a_heartbeat_is_up_to_date() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover(&[instance(1)]).await;
        let version = cluster.stamp("n1");
        assert!(version.0 > 0);
        for (last_change, expected) in [(77, false), (version.0, true), (-1, true), (version.0 - 1, false)] {
            assert_eq!(cluster.poll("n1", last_change).await.up_to_date, expected, "{last_change}");
        }
        assert_eq!(cluster.stamp("n1"), version);
    });
}

#[test]
fn cc_t18_a_new_agent_of_a_new_node_is_up_to_date() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        assert!(cluster.poll("n9", 0).await.up_to_date);
        assert!(!cluster.poll("n8", 5).await.up_to_date);
        let view = Arc::clone(&cluster.served().nodes[&NodeName::from("n8")].view);
        assert_eq!((view.stamp, view.configs.len()), (Stamp(0), 0));
        assert!(cluster.poll("n8", 0).await.up_to_date);
    });
}

#[test]
fn cc_t19_reading_registers_nobody() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        assert!(!cluster.served().nodes.contains_key("ghost"));
        assert!(!cluster.served().endpoints.contains_key("ghost"));
    });
}

#[test]
fn cc_t21_an_address_is_replaced_and_never_erased() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &[]).await;
        for (told, kept) in [(Some("10.0.0.1"), "10.0.0.1"), (Some("10.0.0.2"), "10.0.0.2"), (None, "10.0.0.2")] {
            cluster.beat("n1", told, NodeKind::Runner, CheckCompatibility::default()).await;
            universe.settle().await;
            assert_eq!(cluster.served().nodes[&NodeName::from("n1")].facts.address, kept);
        }
    });
}

#[test]
fn cc_t22_without_a_known_leader_nothing_is_answered() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::without_leader(&universe).await;
        assert_eq!(cluster.poll("n1", 0).await.standing, Standing::Starting);
        assert_eq!(cluster.served().standing, Standing::Starting);
        cluster.lease.set(LockService::Up);
        universe.advance(seconds(6)).await;
        assert_eq!(cluster.served().standing, Standing::WarmingUp);
    });
}

#[test]
fn cc_t25_configs_spread_by_count() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["nA", "nB"]).await;
        for number in 1..=4 {
            cluster.discover(&[instance(number)]).await;
        }
        assert_eq!((cluster.set("nA").len(), cluster.set("nB").len()), (2, 2));
        cluster.poll("nC", 0).await;
        cluster.discover(&[instance(5)]).await;
        assert_eq!(cluster.set("nC").len(), 1);
    });
}

#[test]
fn cc_t26_a_dangling_config_is_placed_as_soon_as_a_node_registers() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &[]).await;
        cluster.discover(&[instance(1)]).await;
        let served = cluster.served();
        assert_eq!((served.dangling.len(), served.dangling[0].reason), (1, DanglingReason::NoNode));
        cluster.poll("n1", 0).await;
        universe.settle().await;
        assert!(cluster.served().dangling.is_empty());
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

#[test]
fn cc_t27_an_expired_node_loses_its_configs_to_a_living_one_at_once() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1", "n2"]).await;
        cluster.discover(&[instance(1), instance(2), instance(3), instance(4)]).await;
        let before = cluster.stamp("n2");
        cluster.keep_polling(&["n1", "n2"], seconds(1)).await;
        cluster.keep_polling(&["n2"], seconds(29)).await;
        assert_eq!(cluster.set("n1").len(), 2, "30 s are allowed");
        cluster.keep_polling(&["n2"], seconds(4)).await;
        assert!(!cluster.served().nodes.contains_key("n1"));
        assert_eq!(cluster.set("n2").len(), 4);
        assert!(cluster.stamp("n2") > before);
        assert_eq!(cluster.served().counters.expired_nodes, 1);
        assert_eq!(cluster.served().counters.moves[&Cause::NodeExpired], 2);
    });
}

#[test]
fn cc_t27_without_a_living_node_they_dangle() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover(&[instance(1), instance(2)]).await;
        universe.advance(seconds(32)).await;
        let served = cluster.served();
        assert!(served.nodes.is_empty());
        assert_eq!(served.dangling.len(), 2);
    });
}

#[test]
fn cc_t28_discovering_twice_changes_nothing() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover(&[instance(1)]).await;
        let (set, stamp) = (cluster.set("n1"), cluster.stamp("n1"));
        cluster.discover(&[instance(1)]).await;
        assert_eq!((cluster.set("n1"), cluster.stamp("n1")), (set, stamp));
    });
}

#[test]
fn cc_t29_a_config_that_changes_its_node_changes_both_versions() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1", "n2"]).await;
        cluster.discover(&[instance(1), instance(2)]).await;
        let (from, to) = (cluster.stamp("n1"), cluster.stamp("n2"));
        let only_redis = CheckCompatibility { include: ["redisdb".to_owned()].into(), ..CheckCompatibility::default() };
        cluster.beat("n1", None, NodeKind::Runner, only_redis).await;
        universe.settle().await;
        assert_eq!((cluster.set("n1").len(), cluster.set("n2").len()), (0, 2));
        assert!(cluster.stamp("n1") > from && cluster.stamp("n2") > to);
        assert_eq!(cluster.served().counters.moves[&Cause::NotEligible], 1);
    });
}

#[test]
fn cc_t30_excluded_checks_are_not_dispatched_and_removing_them_is_no_error() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active_excluding(&universe, &["n1"], "redisdb").await;
        let redis = discovered("redisdb", "host: a\n");
        let endpoint = discovered_endpoint("redisdb", "host: a\n", "k1");
        cluster.discover(&[redis.clone(), endpoint.clone(), instance(1)]).await;
        assert_eq!((cluster.set("n1").len(), cluster.served().endpoints.len()), (1, 0));
        cluster.lose(&[&redis, &endpoint]).await;
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

#[test]
fn cc_t31_a_config_that_waits_too_long_is_flagged_until_it_is_dispatched() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &[]).await;
        cluster.discover(&[instance(1)]).await;
        universe.advance(seconds(59)).await;
        assert!(!cluster.served().dangling[0].flagged);
        universe.advance(seconds(4)).await;
        assert!(cluster.served().dangling[0].flagged);
        cluster.poll("n1", 0).await;
        universe.settle().await;
        assert!(cluster.served().dangling.is_empty());
    });
}

#[test]
fn cc_t32_a_node_agent_switches_advanced_dispatching_off_while_it_lives() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["r1"]).await;
        assert!(cluster.served().advanced_dispatching);
        cluster.beat("a1", None, NodeKind::NodeAgent, CheckCompatibility::default()).await;
        universe.settle().await;
        assert!(!cluster.served().advanced_dispatching);
        cluster.keep_polling(&["r1"], seconds(80)).await;
        assert!(!cluster.served().advanced_dispatching, "expired 49 s ago");
        cluster.keep_polling(&["r1"], seconds(15)).await;
        assert!(cluster.served().advanced_dispatching);
    });
}

#[test]
fn cc_t12_a_config_that_cannot_be_patched_keeps_no_other_back() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        let bad = discovered("http_check", "- a\n");
        cluster.discover(&[instance(1), bad.clone(), instance(2)]).await;
        let served = cluster.served();
        assert_eq!((cluster.set("n1").len(), served.counters.patch_failures), (2, 1));
        assert_eq!(served.rejected[0].source, "file:http_check.yaml");
        cluster.lose(&[&bad]).await;
        assert!(cluster.served().rejected.is_empty());
    });
}

#[test]
fn endpoint_checks_go_to_their_kubernetes_node_without_assignment() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &[]).await;
        let endpoint = discovered_endpoint("redisdb", "host: a\n", "k1");
        cluster.discover(std::slice::from_ref(&endpoint)).await;
        let served = cluster.served();
        assert_eq!(served.endpoints["k1"].configs.len(), 1);
        assert_eq!((served.endpoints["k1"].stamp, served.dangling.len()), (Stamp(0), 0));
        cluster.lose(&[&endpoint]).await;
        assert!(cluster.served().endpoints.is_empty());
    });
}

#[test]
fn an_agent_that_returns_is_never_given_an_empty_set_while_its_new_one_is_written() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::on_slow_disk(&universe, &[], seconds(2)).await;
        cluster.discover(&[instance(1)]).await;
        universe.advance(seconds(3)).await;
        // Its version is of an earlier life, so it fetches right after this answer; an empty set would stop all its checks.
        assert!(!cluster.poll("n1", 77).await.up_to_date);
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

#[test]
fn the_warm_up_ends_when_what_it_decided_is_on_disk() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::reading_for(&universe, seconds(1)).await;
        universe.advance(seconds(2)).await;
        cluster.discover_all(&[instance(1)]).await;
        for _ in 0..350 {
            cluster.beat("n1", None, NodeKind::Runner, CheckCompatibility::default()).await;
            universe.advance(Duration::from_millis(100)).await;
            let served = cluster.served();
            let shown = served.nodes.get(&NodeName::from("n1")).map_or(0, |entry| entry.view.configs.len());
            assert!(served.standing == Standing::WarmingUp || shown == 1, "{:?} with {shown} configs", served.standing);
        }
        assert_eq!(cluster.served().standing, Standing::Active);
    });
}

#[test]
fn a_node_that_only_membership_knows_is_registered_by_its_next_poll() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover(&[instance(1)]).await;
        // As when a verdict crosses the list of nodes of a restarted dispatcher.
        let lost = vec![LostNode { node: "n1".into(), silent_for: seconds(31), why: Cause::NodeExpired, successor: None }];
        cluster.tell(NodesChanged { lost, ..NodesChanged::default() }).await;
        cluster.poll("n1", 0).await;
        universe.settle().await;
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

#[test]
fn a_check_that_is_excluded_since_a_restart_goes_even_if_the_first_listing_is_told_twice() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover_all(&[instance(1)]).await;
        let cluster = cluster.kill_and_restart_with(|patch| patch.exclude_checks.extend(["http_check".to_owned()])).await;
        for _ in 0..2 {
            cluster.tell(DiscoveryStarted).await;
            cluster.discover(&[instance(1)]).await;
        }
        assert_eq!(cluster.set("n1").len(), 1, "nothing goes before the listing is complete");
        cluster.synced().await;
        assert_eq!(cluster.set("n1").len(), 0);
    });
}

#[test]
fn what_came_from_a_directory_that_cannot_be_read_is_kept_across_restarts() {
    universe::run(1, |universe| async move {
        let from = |source: &str, number| {
            let config = CheckConfig { source: format!("file:{source}"), ..CheckConfig::clone(&instance(number)) };
            Arc::new(config)
        };
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover_all(&[from("/conf.d/a.d/1.yaml", 1), from("/conf.d/a.d2/1.yaml", 2), from("/conf.d/b.yaml", 3)]).await;
        let cluster = cluster.kill_and_restart().await;
        cluster.tell(DiscoveryStarted).await;
        cluster.tell(DiscoverySynced { broken: ["file:/conf.d/a.d".to_owned()].into() }).await;
        let left: Vec<_> = cluster.set("n1").iter().map(|config| config.config.source.clone()).collect();
        assert_eq!(left, ["file:/conf.d/a.d/1.yaml"]);
    });
}

#[test]
fn a_config_that_dangled_before_a_restart_is_flagged_after_it() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &[]).await;
        cluster.discover(&[instance(1)]).await;
        let cluster = cluster.kill_and_restart().await;
        universe.advance(seconds(59)).await;
        assert!(!cluster.served().dangling[0].flagged);
        universe.advance(seconds(5)).await;
        assert!(cluster.served().dangling[0].flagged);
    });
}

#[test]
fn a_lease_older_than_the_saved_table_decides_nothing() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await.kill_and_restart().await;
        cluster.poll("n1", 0).await;
        cluster.discover_all(&[instance(1)]).await;
        let before = cluster.store.stored();
        let cluster = cluster.restart_with_a_forgotten_lease().await;
        cluster.discover_all(&[]).await;
        assert_eq!(cluster.poll("n1", 0).await.standing, Standing::Starting);
        assert_eq!(cluster.served().standing, Standing::Starting);
        assert_eq!(cluster.store.stored().table, before.table);
        assert_eq!(cluster.observe_dispatcher().await["counters"]["stale_epoch_dropped"], 1);
    });
}

#[test]
fn nothing_is_shown_before_it_is_on_disk() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::on_slow_disk(&universe, &["n1"], seconds(2)).await;
        cluster.send(&[instance(1)]);
        universe.advance(seconds(1)).await;
        assert!(cluster.poll("n1", 0).await.up_to_date);
        assert_eq!(cluster.stamp("n1"), Stamp(0));
        universe.advance(seconds(2)).await;
        assert_eq!(cluster.set("n1").len(), 1);
        assert_eq!(cluster.store.stored().table.set_of(&"n1".into()).len(), 1);
    });
}

#[test]
fn a_broken_disk_is_counted_and_does_not_stop_dispatching() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.store.fail(true);
        cluster.discover(&[instance(1)]).await;
        cluster.discover(&[instance(2)]).await;
        assert_eq!(cluster.set("n1").len(), 2);
        assert!(cluster.served().counters.persistence_failures >= 2);
        assert!(cluster.observe_persistence().await["failing"].as_bool().unwrap());
        cluster.store.fail(false);
        cluster.keep_polling(&["n1"], seconds(40)).await;
        assert_eq!(cluster.store.stored().table.set_of(&"n1".into()).len(), 2, "what failed is saved later");
        assert!(!cluster.observe_persistence().await["failing"].as_bool().unwrap());
    });
}

#[test]
fn a_server_killed_at_any_moment_comes_back_with_the_same_sets_and_versions() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1", "n2"]).await;
        cluster.discover(&[instance(1), instance(2), instance(3)]).await;
        let before: Vec<_> = ["n1", "n2"].map(|node| (cluster.set(node), cluster.stamp(node))).into();
        universe.virtual_clock().step_wall(-3_600_000_000_000);
        let cluster = cluster.kill_and_restart().await;
        assert_eq!(cluster.served().standing, Standing::Active, "no warm-up");
        let after: Vec<_> = ["n1", "n2"].map(|node| (cluster.set(node), cluster.stamp(node))).into();
        assert_eq!(before, after);
        assert!(cluster.poll("n1", before[0].1.0).await.up_to_date);
        cluster.discover_all(&[instance(1), instance(2), instance(3)]).await;
        assert_eq!(cluster.stamp("n1"), before[0].1, "nothing is sent again");
        assert!(cluster.journal().await.is_empty(), "nothing was decided");
        cluster.discover(&[instance(4)]).await;
        let newest = cluster.stamp("n1").max(cluster.stamp("n2"));
        assert!(newest > before[0].1 && newest > before[1].1, "versions go up although the clock went back");
    });
}

#[test]
fn after_a_restart_configs_go_only_when_discovery_is_complete() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        let endpoint = discovered_endpoint("redisdb", "host: a\n", "k1");
        cluster.discover(&[instance(1), instance(2), endpoint]).await;
        let cluster = cluster.kill_and_restart().await;
        assert!(!cluster.served().discovery_synced);
        cluster.tell(DiscoveryStarted).await;
        cluster.discover(&[instance(2)]).await;
        assert_eq!(cluster.set("n1").len(), 2);
        cluster.synced().await;
        assert_eq!(cluster.set("n1").len(), 1);
        assert!(cluster.served().discovery_synced);
        assert!(cluster.served().endpoints.is_empty());
    });
}

#[test]
fn a_file_that_is_broken_when_the_server_starts_keeps_what_it_said_before() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        let from_file = |number: u32, file: &str| {
            let source = format!("file:/conf.d/{file}.yaml");
            Arc::new(CheckConfig { source, ..CheckConfig::clone(&instance(number)) })
        };
        let (good, broken, deleted) = (from_file(1, "good"), from_file(2, "broken"), from_file(3, "deleted"));
        cluster.discover(&[good.clone(), broken, deleted]).await;
        let cluster = cluster.kill_and_restart().await;
        cluster.tell(DiscoveryStarted).await;
        cluster.discover(std::slice::from_ref(&good)).await;
        cluster.tell(DiscoverySynced { broken: ["file:/conf.d/broken.yaml".to_owned()].into() }).await;
        assert_eq!(cluster.set("n1").len(), 2, "the broken file's config stays, the deleted one's goes");
        cluster.discover_all(&[good]).await;
        assert_eq!(cluster.set("n1").len(), 1, "now the file is readable and says nothing of it");
    });
}

#[test]
fn the_tail_of_a_listing_that_began_before_the_restart_removes_nothing() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        cluster.discover(&[instance(1), instance(2)]).await;
        let cluster = cluster.kill_and_restart().await;
        cluster.discover(&[instance(2)]).await;
        cluster.synced().await;
        assert_eq!(cluster.set("n1").len(), 2);
        assert!(!cluster.served().discovery_synced);
    });
}

#[test]
fn other_global_tags_after_a_restart_change_configs_where_they_are() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1", "n2"]).await;
        cluster.discover(&[instance(1), instance(2)]).await;
        let (keys, stamp) = (cluster.keys("n1"), cluster.stamp("n1"));
        let cluster = cluster.kill_and_restart_with(|patch| patch.global_tags.push("team:a".to_owned())).await;
        cluster.discover_all(&[instance(1), instance(2)]).await;
        assert_eq!(cluster.keys("n1"), keys);
        assert!(cluster.stamp("n1") > stamp);
        assert!(cluster.set("n1")[0].config.instances[0].text().contains("team:a"));
    });
}

#[test]
fn a_dispatcher_that_panics_interrupts_nobody() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1", "n2"]).await;
        cluster.discover(&[instance(1), instance(2), instance(3)]).await;
        cluster.synced().await;
        let before: Vec<_> = ["n1", "n2"].map(|node| (cluster.keys(node), cluster.stamp(node))).into();
        universe.expect_panics(1);
        assert!(cluster.crash("Dispatcher"));
        assert_eq!(cluster.served().standing, Standing::Active, "the published table is served on");
        universe.settle().await;
        universe.settle().await;
        assert_eq!(cluster.served().standing, Standing::Active);
        let after: Vec<_> = ["n1", "n2"].map(|node| (cluster.keys(node), cluster.stamp(node))).into();
        assert_eq!(before, after);
        assert_eq!(cluster.replays(), 2, "discovery is asked again");
        cluster.keep_polling(&["n2"], seconds(35)).await;
        assert_eq!(cluster.set("n2").len(), 3, "membership lives again too");
    });
}

#[test]
fn a_persistence_that_panics_loses_nothing() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::on_slow_disk(&universe, &["n1"], seconds(1)).await;
        cluster.send(&[instance(1)]);
        universe.advance(Duration::from_millis(100)).await;
        universe.expect_panics(1);
        assert!(cluster.crash("Persistence"));
        universe.advance(seconds(4)).await;
        assert_eq!(cluster.set("n1").len(), 1);
        assert_eq!(cluster.store.stored().table.set_of(&"n1".into()).len(), 1);
        cluster.discover(&[instance(2)]).await;
        universe.advance(seconds(2)).await;
        assert_eq!(cluster.set("n1").len(), 2);
    });
}

#[test]
fn a_node_that_registers_while_the_table_is_read_is_not_forgotten() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::reading_for(&universe, seconds(3)).await;
        assert_eq!(cluster.poll("n1", 0).await.standing, Standing::Starting);
        // Three seconds to read the table, three to write the node.
        universe.advance(seconds(7)).await;
        assert!(cluster.served().nodes.contains_key("n1"));
    });
}

#[test]
fn the_journal_says_what_moved_and_why() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1", "n2"]).await;
        cluster.discover(&[instance(1)]).await;
        cluster.keep_polling(&["n2"], seconds(40)).await;
        let decisions = cluster.journal().await;
        assert_eq!(decisions.len(), 2);
        assert_eq!((decisions[0].from.clone(), decisions[0].to.clone()), (Some("n1".into()), Some("n2".into())));
        assert_eq!((decisions[0].cause, decisions[1].cause), (Cause::NodeExpired, Cause::Discovered));
        let filter = JournalFilter { limit: Some(1), key: Some(ConfigKey(0)), ..JournalFilter::default() };
        assert!(cluster.query(QueryJournal { filter }).await.decisions.is_empty());
    });
}

#[test]
fn many_configs_at_once_do_not_keep_polls_waiting() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        let many: Vec<_> = (0..1000).map(instance).collect();
        cluster.send(&many);
        cluster.poll("n2", -1).await;
        let placed = cluster.observe_dispatcher().await["configs"].as_u64().unwrap();
        assert!(placed < 1000, "the poll was answered before everything was patched, after {placed}");
        universe.settle().await;
        assert_eq!(cluster.set("n1").len() + cluster.set("n2").len(), 1000);
    });
}

#[test]
fn a_membership_that_panics_counts_everybody_as_just_seen() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::active(&universe, &["n1"]).await;
        universe.expect_panics(1);
        universe.advance(seconds(20)).await;
        assert!(cluster.crash("Membership"));
        universe.advance(seconds(25)).await;
        assert!(cluster.served().nodes.contains_key("n1"));
    });
}

#[test]
fn a_warm_up_waits_for_discovery() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::start(&universe).await;
        cluster.tell(DiscoveryStarted).await;
        cluster.keep_polling(&["n1"], seconds(50)).await;
        assert_eq!(cluster.served().standing, Standing::WarmingUp);
        assert!(cluster.poll("n1", 77).await.up_to_date, "it keeps what an earlier server gave it");
        cluster.discover(&[instance(1)]).await;
        cluster.synced().await;
        cluster.keep_polling(&["n1"], seconds(2)).await;
        assert_eq!(cluster.served().standing, Standing::Active);
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

#[test]
fn a_warm_up_does_not_wait_for_ever_for_discovery() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::start(&universe).await;
        cluster.discover(&[instance(1)]).await;
        cluster.keep_polling(&["n1"], seconds(55)).await;
        assert_eq!(cluster.served().standing, Standing::WarmingUp);
        cluster.keep_polling(&["n1"], seconds(10)).await;
        assert_eq!(cluster.served().standing, Standing::Active);
        assert_eq!(cluster.set("n1").len(), 1);
    });
}

#[test]
fn a_server_that_ended_before_it_had_discovered_anything_warms_up_again() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::start(&universe).await;
        cluster.poll("n1", 77).await;
        let cluster = cluster.kill_and_restart().await;
        assert!(cluster.served().nodes.contains_key("n1"));
        assert_eq!(cluster.served().standing, Standing::WarmingUp);
        assert!(cluster.poll("n1", 77).await.up_to_date);
    });
}

#[test]
fn endpoint_checks_are_complete_only_when_the_complete_ones_are_on_disk() {
    universe::run(1, |universe| async move {
        let cluster = Cluster::on_slow_disk(&universe, &["n1"], seconds(2)).await;
        cluster.discover_all(&[discovered_endpoint("redisdb", "host: a\n", "k1")]).await;
        universe.advance(seconds(1)).await;
        let served = cluster.served();
        assert!(served.endpoints.is_empty() && !served.discovery_synced);
        universe.advance(seconds(3)).await;
        let served = cluster.served();
        assert!(served.endpoints.contains_key("k1") && served.discovery_synced);
    });
}
