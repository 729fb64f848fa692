//! A stock runner and a stock node agent, replayed from their first request on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rustls::version::TLS13;
use serde_json::Value as Json;

use crate::client::{Connection, tls_client};
use crate::differences::{compare, expected};
use crate::recording::{Exchange, exchanges, offered_protocols};
use crate::server::configs;
use crate::site::Site;

/// Name of the agent in a path of cluster checks.
fn agent<'a>(exchange: &'a Exchange, route: &str) -> Option<&'a str> {
    exchange.bare_path().strip_prefix(route)
}

/// Gives an agent the set that the stock server is going to send it next.
async fn dispatch_what_comes(site: &Site, name: &str, rest: &[Exchange]) {
    let next = rest.iter().find(|exchange| agent(exchange, "/api/v1/clusterchecks/configs/") == Some(name)).unwrap();
    let set: Json = next.stock.json();
    let name = name.to_owned();
    site.arrange(move |cluster| {
        let node = cluster.nodes.entry(name).or_default();
        node.stamp = set["last_change"].as_i64().unwrap();
        node.configs = configs(&set["configs"]);
    })
    .await;
}

async fn replay(file: &str) {
    let recorded = exchanges(file);
    let site = Site::start().await;
    let mut connections: BTreeMap<u64, Connection> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut polls = 0;
    for (index, exchange) in recorded.iter().enumerate() {
        if let Some(name) = agent(exchange, "/api/v1/clusterchecks/status/") {
            polls += 1;
            if exchange.stock.text().contains("false") {
                dispatch_what_comes(&site, name, &recorded[index..]).await;
            }
        }
        if let Some(node) = agent(exchange, "/api/v1/endpointschecks/configs/") {
            let (node, set) = (node.to_owned(), exchange.stock.json());
            site.arrange(move |cluster| drop(cluster.endpoints.insert(node, configs(&set["configs"])))).await;
        }
        let connection = match connections.entry(exchange.connection) {
            Entry::Occupied(open) => open.into_mut(),
            // As recorded: TLS 1.3, no protocol offered.
            Entry::Vacant(place) => place.insert(Connection::with_tls(site.address, tls_client(&[&TLS13], &[])).await.unwrap()),
        };
        let ours = exchange.replay(connection).await;
        let (rule, expected) = expected(exchange);
        if let Err(difference) = compare(exchange, &expected, &ours) {
            wrong.push(format!("{} {} {} [{rule}]: {difference}", exchange.place, exchange.method, exchange.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(site.heartbeats().await, polls, "each poll is one heartbeat");
    site.stop().await;
}

#[actix_rt::test]
async fn a_stock_runner_gets_the_recorded_answers() {
    replay("runner-to-server.jsonl").await;
}

#[actix_rt::test]
async fn a_stock_node_agent_gets_the_recorded_answers() {
    replay("node-agent-to-server.jsonl").await;
}

/// The runner's second connection of the recording is its tagger stream. It is not served yet, and refused in the way that makes
/// the runner wait longer and longer (cluster-agent-kubernetes 1.9).
#[actix_rt::test]
async fn the_tagger_stream_of_a_runner_is_refused_in_the_handshake() {
    let offers = offered_protocols("runner-to-server.jsonl");
    assert!(offers.contains(&Some("h2".to_owned())), "{offers:?}");
    let site = Site::start().await;
    let refused = Connection::with_tls(site.address, tls_client(&[&TLS13], &[b"h2"])).await.err().unwrap();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    site.stop().await;
}
