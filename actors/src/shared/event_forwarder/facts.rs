//! What events do not say themselves about their hosts, asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::sleep;

use crate::domain::kube::event::KubeEvent;
use crate::domain::kube::event_hosts::{ObjectFacts, nodes_to_ask, pods_to_ask};
use crate::kernel::clock::Clock;
use crate::ports::{ClusterReadError, EventSource};
use crate::shared::complaints::Report;

/// How long a provider id is taken from memory. Source: cluster-agent-kubernetes 3.5.
const KEPT: Duration = Duration::from_secs(3600);

/// How long it is taken from memory that a node has none. Why shorter: a new node gets its id a little later.
const NONE_KEPT: Duration = Duration::from_secs(300);

/// Questions that are under way at the same time.
const AT_A_TIME: usize = 8;

/// Time for all questions of a kind in one round. Why: an event without its host is better than one that comes late.
const LIMIT: Duration = Duration::from_secs(10);

/// What is asked, in complaints.
const NODES: &str = "ask for the nodes of pods";
const PROVIDERS: &str = "ask for the provider ids of nodes";

/// Provider ids by node, each with the monotonic time of its answer.
#[derive(Debug, Clone, Default)]
pub(super) struct ProviderIds(BTreeMap<String, (String, Duration)>);

/// Asks for what these events leave open. Whatever is not learned is left out.
pub(super) async fn look_up(
    events: &[KubeEvent],
    source: &dyn EventSource,
    clock: &dyn Clock,
    known: &mut ProviderIds,
    reports: &mut Vec<Report>,
) -> ObjectFacts {
    let mut facts = ObjectFacts::default();
    let pods = pods_to_ask(events).into_iter().map(|pod| (source.node_of_pod(&pod.0, &pod.1), pod)).collect();
    facts.nodes_of_pods = ask(NODES, pods, reports).await;

    let now = clock.monotonic();
    known.0.retain(|_, (id, learned_at)| now.saturating_sub(*learned_at) < if id.is_empty() { NONE_KEPT } else { KEPT });
    facts.provider_ids = known.0.iter().map(|(node, (id, _))| (node.clone(), id.clone())).collect();
    let nodes = nodes_to_ask(events, &facts).into_iter().map(|node| (source.provider_id(&node), node)).collect();
    let told = ask(PROVIDERS, nodes, reports).await;
    known.0.extend(told.iter().map(|(node, id)| (node.clone(), (id.clone(), now))));
    facts.provider_ids.extend(told);
    facts
}

type Question<K> = (BoxFuture<'static, Result<String, ClusterReadError>>, K);

async fn ask<K: Ord>(what: &'static str, questions: Vec<Question<K>>, reports: &mut Vec<Report>) -> BTreeMap<K, String> {
    let mut told = BTreeMap::new();
    if questions.is_empty() {
        return told;
    }
    let asked = questions.len();
    let answers = stream::iter(questions).map(|(answer, key)| async move { (key, answer.await) });
    let mut answers = std::pin::pin!(answers.buffer_unordered(AT_A_TIME).take_until(sleep(LIMIT)));
    let mut problem = None;
    let mut answered = 0;
    while let Some((key, answer)) = answers.next().await {
        answered += 1;
        match answer {
            Ok(text) => {
                told.insert(key, text);
            }
            Err(error) => {
                let for_all = matches!(error, ClusterReadError::Forbidden(_));
                problem = Some(error.to_string());
                if for_all {
                    break;
                }
            }
        }
    }
    if problem.is_none() && answered < asked {
        problem = Some(format!("{answered} of {asked} answered within {LIMIT:?}"));
    }
    reports.push((what, problem));
    told
}
