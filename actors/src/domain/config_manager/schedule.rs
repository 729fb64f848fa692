//! What is scheduled: of all configs that say the same, one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::config::CheckConfig;
use crate::domain::digest::config_key;
use crate::domain::ids::ConfigKey;

/// What subscribers have to do after a change. Removals come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Configs that are no longer scheduled.
    pub unschedule: Vec<ConfigKey>,
    /// Configs that are scheduled from now on.
    pub schedule: Vec<Arc<CheckConfig>>,
}

impl Changes {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unschedule.is_empty() && self.schedule.is_empty()
    }
}

/// A config that is scheduled.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// As subscribers get it.
    pub config: Arc<CheckConfig>,
    /// As people may see it: the same, with handles where secrets are.
    pub shown: Arc<CheckConfig>,
}

/// A place among the configs of one content, given back by [`Schedule::add`].
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    content: ConfigKey,
    rank: Rank,
}

/// Order in which configs of one content take over from each other.
type Rank = (String, ConfigKey);

#[derive(Clone, Debug)]
struct Member {
    scheduled: Scheduled,
    /// How many templates resolve to exactly this.
    claims: usize,
}

/// The configs of one content.
#[derive(Clone, Debug, Default)]
struct Content {
    members: BTreeMap<Rank, Member>,
    /// Which of them subscribers were told.
    told: Option<Rank>,
}

/// Which configs are to run, and what subscribers were told of it.
///
/// Of configs that differ only in where they come from, one is told; when it goes, another takes its place. One that is told already
/// stays, so that a copy in another file does not cause a move.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    contents: BTreeMap<ConfigKey, Content>,
    told: BTreeMap<ConfigKey, Scheduled>,
    /// Contents that changed since the last [`Self::settle`].
    touched: BTreeSet<ConfigKey>,
}

impl Schedule {
    /// Wants a config to run. `shown` is its form for people.
    pub(super) fn add(&mut self, config: Arc<CheckConfig>, shown: Arc<CheckConfig>) -> Ticket {
        let ticket = Ticket { content: content_key(&config), rank: (config.provider.clone(), config_key(&config)) };
        let content = self.contents.entry(ticket.content).or_default();
        let scheduled = Scheduled { config, shown };
        content.members.entry(ticket.rank.clone()).or_insert(Member { scheduled, claims: 0 }).claims += 1;
        self.touched.insert(ticket.content);
        ticket
    }

    /// Takes back what [`Self::add`] gave.
    pub(super) fn remove(&mut self, ticket: &Ticket) {
        let Some(content) = self.contents.get_mut(&ticket.content) else {
            return;
        };
        if let Some(member) = content.members.get_mut(&ticket.rank) {
            member.claims -= 1;
            if member.claims == 0 {
                content.members.remove(&ticket.rank);
            }
        }
        self.touched.insert(ticket.content);
    }

    /// What changed since the last call. Costs in proportion to that.
    pub(super) fn settle(&mut self) -> Changes {
        let mut gone = BTreeSet::new();
        let mut new = BTreeMap::new();
        for key in std::mem::take(&mut self.touched) {
            let Some(content) = self.contents.get_mut(&key) else {
                continue;
            };
            if content.told.as_ref().is_some_and(|rank| content.members.contains_key(rank)) {
                continue;
            }
            gone.extend(content.told.take().map(|(_, key)| key));
            match content.members.first_key_value() {
                Some((rank, member)) => {
                    content.told = Some(rank.clone());
                    new.insert(rank.1, member.scheduled.clone());
                }
                None => {
                    self.contents.remove(&key);
                }
            }
        }
        for key in &gone {
            self.told.remove(key);
        }
        let schedule = new.values().map(|scheduled| Arc::clone(&scheduled.config)).collect();
        self.told.append(&mut new);
        Changes { unschedule: gone.into_iter().collect(), schedule }
    }

    /// What subscribers were told.
    pub(super) fn told(&self) -> &BTreeMap<ConfigKey, Scheduled> {
        &self.told
    }
}

/// Key of what a config says, whoever says it.
fn content_key(config: &CheckConfig) -> ConfigKey {
    config_key(&CheckConfig { provider: String::new(), source: String::new(), ..config.clone() })
}
