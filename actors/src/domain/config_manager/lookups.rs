//! Configs that wait for their secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::config::CheckConfig;
use crate::domain::ids::ConfigKey;
use crate::domain::secrets::{self, Handles, SecretError};

/// Who wants a config to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Candidate {
    /// A config without service.
    Plain(ConfigKey),
    /// A template with a service.
    Resolved {
        /// The template.
        template: ConfigKey,
        /// Id of the service.
        service: String,
    },
}

/// Configs with the same handles.
#[derive(Clone, Debug, Default)]
struct Group {
    waiting: BTreeMap<Candidate, Arc<CheckConfig>>,
    /// Why the last answer was none; nothing before the first answer.
    error: Option<SecretError>,
}

/// The questions to the secret backend, one for all configs with the same handles.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookups {
    groups: BTreeMap<Handles, Group>,
    /// Groups that nobody has asked for yet.
    new: Vec<Handles>,
}

impl Lookups {
    /// Lets a config wait.
    pub(super) fn wait(&mut self, handles: &Handles, candidate: Candidate, config: Arc<CheckConfig>) {
        if !self.groups.contains_key(handles) {
            self.new.push(handles.clone());
        }
        self.groups.entry(handles.clone()).or_default().waiting.insert(candidate, config);
    }

    /// Lets a config wait no longer.
    pub(super) fn leave(&mut self, handles: &Handles, candidate: &Candidate) {
        if let Some(group) = self.groups.get_mut(handles) {
            group.waiting.remove(candidate);
            if group.waiting.is_empty() {
                self.groups.remove(handles);
            }
        }
    }

    /// Questions that are new since the last call.
    pub(super) fn take_new(&mut self) -> Vec<Handles> {
        let new = std::mem::take(&mut self.new);
        new.into_iter().filter(|handles| self.groups.contains_key(handles)).collect()
    }

    /// The configs that waited for these handles.
    pub(super) fn answered(&mut self, handles: &Handles) -> BTreeMap<Candidate, Arc<CheckConfig>> {
        self.groups.remove(handles).map(|group| group.waiting).unwrap_or_default()
    }

    /// Keeps the reason why there is no answer. Returns whether it is another one than before.
    pub(super) fn failed(&mut self, handles: &Handles, error: SecretError) -> bool {
        self.groups.get_mut(handles).is_some_and(|group| group.error.replace(error.clone()).as_ref() != Some(&error))
    }

    /// Whether anything waits for these handles.
    pub(super) fn wanted(&self, handles: &Handles) -> bool {
        self.groups.contains_key(handles)
    }

    /// Whether a question has not been answered at all.
    pub(super) fn unanswered(&self) -> bool {
        self.groups.values().any(|group| group.error.is_none())
    }

    /// The configs that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Arc<CheckConfig>> {
        self.groups.values().flat_map(|group| group.waiting.values())
    }

    /// Who is dropped for now, by check name: whether it has a service, and why.
    pub(super) fn dropped(&self) -> impl Iterator<Item = (&str, Dropped)> {
        self.groups.values().filter_map(|group| group.error.as_ref().map(|error| (group, error))).flat_map(|(group, error)| {
            group.waiting.iter().map(move |(candidate, config)| {
                let dropped = match candidate {
                    Candidate::Plain(_) => Dropped::Plain(secrets::dropped(config, error)),
                    Candidate::Resolved { .. } => Dropped::Resolved(secrets::dropped_for_service(config, error)),
                };
                (config.name.as_str(), dropped)
            })
        })
    }
}

/// Why a config is dropped.
pub(super) enum Dropped {
    /// One without service.
    Plain(String),
    /// One of a template.
    Resolved(String),
}
