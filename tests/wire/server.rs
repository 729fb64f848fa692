//! Requests of many kinds to a leader, and what a server asks of a runner.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use muster::api::body::BodyLimits;
use muster::api::runner::{RunNowError, RunnerApi, StatsSource, StatsView};
use muster::api::version::AgentVersion;
use muster::config::settings::IncludePending;
use muster_actors::domain::check_traits::CheckTraits;
use muster_actors::domain::config::{CheckConfig, DispatchedConfig};
use muster_actors::domain::ids::{CheckId, ConfigKey, Digest};
use muster_actors::domain::world::Standing;
use serde_json::Value as Json;

use crate::client::Connection;
use crate::differences::{DIFFERENCES, compare, expected};
use crate::recording::{Exchange, exchanges};
use crate::site::{Setup, Site, reachable, serve, tokens};

/// Configs of a recorded answer.
pub fn configs(list: &Json) -> Vec<Arc<DispatchedConfig>> {
    let configs = list.as_array().into_iter().flatten().enumerate();
    configs
        .map(|(index, config)| {
            let config: CheckConfig = serde_json::from_value(config.clone()).unwrap();
            let check_ids = vec![CheckId::from(format!("{}:{index}", config.name))];
            Arc::new(DispatchedConfig {
                key: ConfigKey(index as u128),
                digest: Digest(index as u64),
                config,
                check_ids,
                traits: CheckTraits::default(),
            })
        })
        .collect()
}

/// Brings the cluster into the state that the stock server was in when it gave this answer.
async fn arrange_as_recorded(site: &Site, exchange: &Exchange) {
    let body = exchange.stock.text();
    let Some(answer) = body.lines().last().and_then(|line| serde_json::from_str::<Json>(line).ok()) else { return };
    let path = exchange.bare_path().to_owned();
    site.arrange(move |cluster| {
        if path == "/api/v1/clusterchecks" {
            cluster.dangling = configs(&answer["dangling"]);
            for node in answer["nodes"].as_array().into_iter().flatten() {
                cluster.nodes.entry(node["name"].as_str().unwrap().to_owned()).or_default();
            }
            if answer["nodes"].is_null() {
                cluster.nodes.clear();
            }
        } else if let Some(node) = path.strip_prefix("/api/v1/endpointschecks/configs/") {
            cluster.endpoints.insert(node.to_owned(), configs(&answer["configs"]));
        } else if path == "/api/v1/endpointschecks/configs" {
            cluster.endpoints = [("all".to_owned(), configs(&answer["configs"]))].into();
        }
    })
    .await;
}

/// Replays a recording and collects what differs; also counts how often each rule was used.
async fn replay(site: &Site, recorded: &[Exchange], used: &mut BTreeMap<&'static str, usize>) -> Vec<String> {
    let mut connection = site.connect().await;
    let mut wrong = Vec::new();
    for exchange in recorded {
        arrange_as_recorded(site, exchange).await;
        let ours = exchange.replay(&mut connection).await;
        let (rule, expected) = expected(exchange);
        *used.entry(rule).or_default() += 1;
        if let Err(difference) = compare(exchange, &expected, &ours) {
            wrong.push(format!("{} {} {} [{rule}]: {difference}", exchange.place, exchange.method, exchange.path));
        }
        if ours.header("connection") == Some("close") {
            connection = site.connect().await;
        }
    }
    wrong
}

#[actix_rt::test]
async fn a_leader_answers_as_the_stock_leader_or_better() {
    let site = Site::start().await;
    let mut used = BTreeMap::new();
    let wrong = replay(&site, &exchanges("server-answers.jsonl"), &mut used).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The rules must not swallow what can be compared.
    assert!(used["as stock"] >= 28, "{used:?}");
    site.stop().await;
}

/// The recording holds a leader that was warm already, one line before dispatching is set up, and the warm-up of a new one.
#[actix_rt::test]
async fn a_new_leader_answers_as_the_stock_one_or_better() {
    let recorded = exchanges("server-warming-up.jsonl");
    let start = recorded.iter().position(|exchange| exchange.stock.status == 404).unwrap();
    let mut used = BTreeMap::new();

    let site = Site::start().await;
    let wrong = replay(&site, &recorded[..start], &mut used).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    site.stop().await;

    let site = Site::start().await;
    site.arrange(|cluster| cluster.standing = Standing::Starting).await;
    let wrong = replay(&site, &recorded[start..=start], &mut used).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    site.arrange(|cluster| {
        cluster.standing = Standing::WarmingUp;
        cluster.synced = false;
    })
    .await;
    // README 8.5: 503 where the stock server gives an empty set, or calls an agent unknown that it has not heard yet.
    let (sets, others): (Vec<_>, Vec<_>) =
        recorded[start + 1..].iter().cloned().partition(|exchange| exchange.bare_path().contains("/configs"));
    let wrong = replay(&site, &others, &mut used).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(sets.len(), 4);
    let mut connection = site.connect().await;
    for exchange in sets {
        let ours = exchange.replay(&mut connection).await;
        assert_eq!((ours.status, ours.text().as_str()), (503, "Startup in progress\n"), "{}", exchange.place);
    }
    site.stop().await;
}

#[test]
fn every_listed_difference_is_found_in_the_recordings() {
    let files = ["server-answers.jsonl", "server-warming-up.jsonl", "runner-to-server.jsonl", "node-agent-to-server.jsonl"];
    let recorded: Vec<_> = files.iter().flat_map(|file| exchanges(file)).collect();
    for difference in DIFFERENCES {
        assert!(!difference.reason.is_empty());
        let used = recorded.iter().any(|exchange| expected(exchange).0 == difference.name);
        assert!(used, "{} is never needed: {}", difference.name, difference.reason);
    }
}

/// Statistics as a recorded runner gave them.
struct Recorded(Vec<u8>);

impl StatsSource for Recorded {
    fn stats_json(&self, view: StatsView) -> Bytes {
        assert_eq!(view, StatsView::default(), "a stock server is not shown pending checks");
        Bytes::from(self.0.clone())
    }

    fn workers_json(&self) -> Bytes {
        Bytes::from_static(b"{}")
    }

    fn status_json(&self) -> Bytes {
        Bytes::from_static(b"{}")
    }

    fn run_now(&self, _check: CheckId) -> BoxFuture<'_, Result<(), RunNowError>> {
        Box::pin(std::future::ready(Err(RunNowError::Unknown)))
    }
}

#[actix_rt::test]
async fn what_a_stock_server_asks_of_a_runner_is_answered() {
    let recorded = exchanges("server-calls-runner.jsonl");
    assert_eq!(recorded.len(), 12);
    for exchange in recorded {
        let api = RunnerApi {
            tokens: tokens(),
            version: AgentVersion::parse("7.81.1", "").unwrap().body(),
            stats: Arc::new(Recorded(exchange.stock.body.clone())),
            include_pending: IncludePending::Auto,
            body_limits: BodyLimits::default(),
        };
        let server = serve(&Setup::default(), api);
        let mut connection = Connection::secure(reachable(&server)).await;
        let ours = exchange.replay(&mut connection).await;
        assert_eq!((ours.status, &ours.body), (exchange.stock.status, &exchange.stock.body), "{}", exchange.place);
        server.stop().await;
    }
}
