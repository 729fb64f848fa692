//! From Kubernetes events to the events that are forwarded. Source: cluster-agent-kubernetes 3.6, 3.7, 3.10.

use std::collections::BTreeMap;

use super::apiserver_check::ApiserverCheckOptions;
use super::event::KubeEvent;
use super::event_bundle::{bundle, complete};
pub use super::event_filter::query_selector;
use super::event_filter::{allowed, selected};
use super::event_hosts::{ObjectFacts, host};
use super::event_single::single;
use super::event_source_names::source;
use crate::domain::samples::Event;

/// What the rules go by besides the events.
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a> {
    /// What the instance says.
    pub options: &'a ApiserverCheckOptions,
    /// `kubernetes_events_source_detection.enabled`.
    pub source_detection: bool,
    /// Name of the cluster; empty if unknown.
    pub cluster_name: &'a str,
    /// What the events do not say themselves.
    pub facts: &'a ObjectFacts,
}

/// Labels by which received Kubernetes events are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Received {
    /// Kind of the involved object.
    pub kind: String,
    /// Source component.
    pub component: String,
    /// Event type.
    pub event_type: String,
    /// Reason.
    pub reason: String,
    /// Source.
    pub source: String,
}

/// Labels by which forwarded events are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Emitted {
    /// Kind of the involved object.
    pub kind: String,
    /// Type of the Kubernetes events.
    pub event_type: String,
    /// Source.
    pub source: String,
    /// Whether it is a bundle.
    pub is_bundled: bool,
}

/// What became of Kubernetes events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transformed {
    /// The events to forward. Those about no host have an empty one, those without a time have 0.
    pub events: Vec<Event>,
    /// How many were received.
    pub received: BTreeMap<Received, u64>,
    /// How many are forwarded.
    pub emitted: BTreeMap<Emitted, u64>,
}

/// Turns Kubernetes events into the events that are forwarded.
#[must_use]
pub fn transform(events: &[KubeEvent], context: &EventContext<'_>) -> Transformed {
    let mut transformed = Transformed::default();
    if context.options.unbundle {
        transformed.unbundled(events, context);
    } else {
        transformed.bundled(events, context);
    }
    transformed
}

impl Transformed {
    /// Everything in bundles.
    fn bundled(&mut self, events: &[KubeEvent], context: &EventContext<'_>) {
        let options = context.options;
        let mut kept = Vec::new();
        for event in events.iter().filter(|event| complete(event)) {
            let source = source(event, context.source_detection);
            self.count(event, source);
            if !options.filtering || allowed(source, event) || selected(&options.collected, event) {
                kept.push(event);
            }
        }
        self.emit_bundles(kept, context);
    }

    /// What is selected one by one; the rest in bundles, if that is wanted.
    fn unbundled(&mut self, events: &[KubeEvent], context: &EventContext<'_>) {
        let options = context.options;
        let mut rest = Vec::new();
        for event in events {
            let source = source(event, context.source_detection);
            self.count(event, source);
            let listed = options.filtering && allowed(source, event);
            if listed || selected(&options.collected, event) {
                let source = if options.filtering && !listed { format!("{source}_custom") } else { source.to_owned() };
                self.events.push(single(event, host(event, context.cluster_name, context.facts), &source, &options.tags));
                self.count_emitted(event, source, false);
            } else if options.bundle_unspecified && complete(event) {
                rest.push(event);
            }
        }
        self.emit_bundles(rest, context);
    }

    fn emit_bundles(&mut self, events: Vec<&KubeEvent>, context: &EventContext<'_>) {
        for bundle in bundle(events) {
            let first = bundle.first();
            let source = source(first, context.source_detection);
            let host = host(first, context.cluster_name, context.facts);
            self.events.push(bundle.to_event(host, source, &context.options.tags));
            self.count_emitted(first, source.to_owned(), true);
        }
    }

    fn count(&mut self, event: &KubeEvent, source: &str) {
        let labels = Received {
            kind: event.involved.kind.clone(),
            component: event.component.clone(),
            event_type: event.event_type.clone(),
            reason: event.reason.clone(),
            source: source.to_owned(),
        };
        *self.received.entry(labels).or_default() += 1;
    }

    fn count_emitted(&mut self, event: &KubeEvent, source: String, is_bundled: bool) {
        let labels = Emitted { kind: event.involved.kind.clone(), event_type: event.event_type.clone(), source, is_bundled };
        *self.emitted.entry(labels).or_default() += 1;
    }
}

#[cfg(test)]
mod tests;
