//! Answers to those who ask why.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::explain::{Evidence, explain_check, explain_node};
use crate::balance::explanation::{CheckExplanation, NodeExplanation};
use crate::balance::plan::Trigger;
use crate::balance::planner;
use crate::cluster::rebalancer::course::Course;
use crate::cluster::rebalancer::lookup::{config_named, node_named};
use crate::cluster::rebalancer::parts::RebalancerParts;
use crate::domain::journal::{Decision, JournalFilter};
use crate::domain::world::ServedTable;
use crate::messages::journal::QueryJournal;
use crate::messages::rebalancer::{ExplainCheck, ExplainNode, Refusal};

/// Longest wait for the journal, without which there is no history.
const HISTORY_WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn of_check(course: Course, asked: ExplainCheck) -> Result<Box<CheckExplanation>, Refusal> {
    let served = course.settled().await?;
    let key = config_named(&served, &asked.check)?.key;
    let history = course.history(JournalFilter { key: Some(key), ..JournalFilter::default() }).await;
    let explanation = course.explain(&served, move |evidence, _| explain_check(evidence, key, history)).await;
    explanation.map(Box::new).ok_or(Refusal::UnknownCheck(asked.check))
}

pub(super) async fn of_node(course: Course, asked: ExplainNode) -> Result<Box<NodeExplanation>, Refusal> {
    let served = course.settled().await?;
    let node = node_named(&served, &asked.node)?;
    let history = course.history(JournalFilter { node: Some(node.clone()), ..JournalFilter::default() }).await;
    let explain = move |evidence: Evidence<'_>, parts: &RebalancerParts| {
        explain_node(evidence, &parts.figures.peek(), parts.clock.monotonic(), &node, history)
    };
    course.explain(&served, explain).await.map(Box::new).ok_or(Refusal::UnknownNode(asked.node))
}

impl Course {
    /// The decisions that pass the filter, newest first; none if the journal does not answer.
    async fn history(&self, filter: JournalFilter) -> Vec<Decision> {
        let page = self.parts.journal.ask(QueryJournal { filter }, HISTORY_WITHIN).await;
        page.map(|page| page.decisions).unwrap_or_default()
    }

    /// Computes an explanation from the world that is shown and the plan that would be made of it.
    async fn explain<T: Send + 'static>(
        &self,
        served: &Arc<ServedTable>,
        explain: impl FnOnce(Evidence<'_>, &RebalancerParts) -> T + Send + 'static,
    ) -> T {
        let shown = Arc::clone(served);
        let computation = self.compute(served, move |world, parts| {
            let plan = planner::plan(world, &parts.policy, Trigger::Manual, false);
            explain(Evidence { world, policy: &parts.policy, plan: &plan, served: &shown }, parts)
        });
        computation.await
    }
}
