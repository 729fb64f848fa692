//! Events about one object in one event. Source: cluster-agent-kubernetes 3.6.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::event::{InvolvedObject, KubeEvent};
use super::event_hosts::EventHost;
use super::event_tags::{aggregation_key, alert_type, object_tags, provider_tag, readable_key, reporter_tags};
use crate::domain::samples::Event;

/// Longest estimate of a text. Units: bytes, inclusive.
pub const MAX_TEXT: usize = 3750;

/// What of the estimate is not counted further: the frame of the text with both times.
const FRAME: usize = 250;

/// What of the estimate each line has besides its text: count and blanks.
const LINE_FRAME: usize = 11;

/// Longest name of a component in a text, as long as names in Kubernetes are. Units: bytes, escaped.
const MAX_COMPONENT: usize = 253;

/// Events about one object, of one type.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    /// The event that opened it: tells object, component, controller and host.
    first: &'a KubeEvent,
    /// First time of the event that joined last, as stock has it.
    first_seen: Option<i64>,
    /// Latest last time.
    last_seen: Option<i64>,
    /// How often each line happened.
    lines: BTreeMap<String, i64>,
    /// Estimate of the length of the text. Units: bytes, at most [`MAX_TEXT`].
    size: usize,
}

/// Whether an event says enough to be bundled.
#[must_use]
pub fn complete(event: &KubeEvent) -> bool {
    [&event.involved.kind, &event.involved.name, &event.reason, &event.message].iter().all(|text| !text.is_empty())
}

/// Bundles events in the order of first appearance; each one joins exactly one bundle.
///
/// A bundle without room is closed, and a further one of the same object opened, where stock drops the event.
#[must_use]
pub fn bundle<'a>(events: impl IntoIterator<Item = &'a KubeEvent>) -> Vec<Bundle<'a>> {
    let mut bundles: Vec<Bundle<'a>> = Vec::new();
    // The object is more than its UID: objects without one must not mix.
    let mut open: BTreeMap<(&InvolvedObject, &str), usize> = BTreeMap::new();
    for event in events {
        let line = line(event);
        let key = (&event.involved, event.event_type.as_str());
        if let Some(bundle) = open.get(&key).and_then(|position| bundles.get_mut(*position)).filter(|bundle| bundle.has_room(&line)) {
            bundle.join(event, line);
        } else {
            open.insert(key, bundles.len());
            let mut bundle = Bundle::new(event);
            bundle.join(event, line);
            bundles.push(bundle);
        }
    }
    bundles
}

impl<'a> Bundle<'a> {
    fn new(first: &'a KubeEvent) -> Self {
        let size = FRAME + escaped_len(component(first));
        Self { first, first_seen: None, last_seen: None, lines: BTreeMap::new(), size }
    }

    fn has_room(&self, line: &str) -> bool {
        self.lines.contains_key(line) || self.size + LINE_FRAME + escaped_len(line) <= MAX_TEXT
    }

    fn join(&mut self, event: &KubeEvent, line: String) {
        let added = LINE_FRAME + escaped_len(&line);
        self.first_seen = event.first_seen.or(event.event_time);
        self.last_seen = self.last_seen.max(event.last_seen.or(event.event_time));
        let count = self.lines.entry(line).or_insert_with(|| {
            self.size += added;
            0
        });
        *count = count.saturating_add(event.count);
    }

    /// The event that opened it.
    #[must_use]
    pub fn first(&self) -> &'a KubeEvent {
        self.first
    }

    /// Estimate of the length of the text. Units: bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The event as it is forwarded; `tags` are those of all that the check submits, and come last.
    ///
    /// Its time is 0 if no Kubernetes event of it has one; its host is empty if it is about none.
    #[must_use]
    pub fn to_event(&self, host: EventHost, source: &str, tags: &[String]) -> Event {
        let object = &self.first.involved;
        let mut all = object_tags(object);
        all.extend(reporter_tags(self.first));
        all.extend(provider_tag(&host));
        all.extend_from_slice(tags);
        Event {
            title: format!("Events from the {}", readable_key(object)),
            text: self.text(),
            timestamp: self.last_seen.unwrap_or_default(),
            priority: "normal".to_owned(),
            host: host.name,
            tags: all,
            alert_type: alert_type(&self.first.event_type).to_owned(),
            aggregation_key: aggregation_key(object),
            source_type_name: source.to_owned(),
            event_type: "kubernetes_apiserver".to_owned(),
        }
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|(line, count)| format!("{count} {line}")).collect();
        let lines = lines.join(" ");
        let (component, last) = (component(self.first), printed(self.last_seen));
        let first = printed(self.first_seen);
        // A tilde strikes text out in Markdown.
        format!("%%% \n{lines} \n _Events emitted by the {component} seen at {last} since {first}_ \n\n %%%").replace('~', "\\~")
    }
}

/// What an event says, cut to what fits a bundle of its own: its component takes at most [`MAX_COMPONENT`].
fn line(event: &KubeEvent) -> String {
    let room = MAX_TEXT - FRAME - escaped_len(component(event)) - LINE_FRAME - 1;
    let mut line = format!("**{}**: {}", event.reason, event.message);
    line.truncate(cut(&line, room).len());
    line.push('\n');
    line
}

fn component(event: &KubeEvent) -> &str {
    cut(&event.component, MAX_COMPONENT)
}

/// As many characters from the beginning as fit when they are escaped.
fn cut(text: &str, room: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, character)| {
        used += character.len_utf8() + usize::from(*character == '~');
        used > room
    });
    end.and_then(|(position, _)| text.get(..position)).unwrap_or(text)
}

/// Length with a backslash before each tilde, as it is sent.
///
/// Stock counts without them, so that its texts may come out longer than it allows; others are bundled alike.
fn escaped_len(text: &str) -> usize {
    text.len() + text.matches('~').count()
}

/// A time as Go prints it; what is not known as the zero time of Unix.
fn printed(seconds: Option<i64>) -> String {
    let time = Timestamp::from_second(seconds.unwrap_or_default()).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}
