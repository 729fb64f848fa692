//! Which config kills the runners that run it.
//!
//! A config that takes its runner down is an orphan a moment later, goes to the next runner, and takes that one down too. What tells it
//! from its innocent neighbours: it came to each of these runners shortly before it died, and hardly anything else did.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::domain::ids::{ConfigKey, NodeName, Stamp};

/// When a config is kept off every node.
///
/// The defaults would rather lose one more runner than stop an innocent check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantinePolicy {
    /// Whether anything is quarantined at all.
    pub enabled: bool,
    /// A death counts against configs that came to the runner at most so long before. Why 10 minutes: enough for a check that eats up
    /// the memory; and it is the time after which the usual innocent config, which has been where it is for days, is above suspicion.
    pub window: Duration,
    /// At most so many configs are quarantined for one death. Why 3: with an even spread, few configs make the same way by chance; if
    /// there are more, the next death tells them apart, and costs less than stopping all of them.
    pub max_suspects: usize,
    /// How long it lasts. Why 30 minutes: short enough to try again what was repaired, long enough that what was not costs a runner
    /// twice an hour at most.
    pub duration: Duration,
    /// Deaths of more than a third of the runners within this time count for nobody: the network or the server had trouble, not a check.
    /// As long as the expiry of a node, because that is how far apart one cause can be noticed.
    pub mass_window: Duration,
}

impl Default for QuarantinePolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(600),
            max_suspects: 3,
            duration: Duration::from_secs(1800),
            mass_window: Duration::from_secs(30),
        }
    }
}

/// How a runner died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is gone, and nobody announced it: expired, or its pod was deleted without being drained.
    Lost,
    /// It polls on under its name, but another process does: it knows nothing of the set it had.
    Restarted,
}

/// A runner that died unannounced, with what it had.
#[derive(Clone, Debug)]
pub struct Death {
    /// Which runner.
    pub node: NodeName,
    /// How.
    pub ending: Ending,
    /// When it was heard of last. Monotonic. What came to it later, it never had.
    pub last_heard: Duration,
    /// Version of its set.
    pub stamp: Stamp,
    /// What it had, in any order.
    pub held: Vec<ConfigKey>,
}

/// A config to be quarantined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub key: ConfigKey,
    /// The runners that died shortly after it came, oldest first; one that was restarted is named each time.
    pub killed: Vec<NodeName>,
}

#[derive(Debug)]
struct Arrival {
    node: NodeName,
    came_at: Duration,
    /// Since when nothing happened to it there: it came, or the runner was restarted.
    calm_since: Duration,
}

#[derive(Debug)]
struct Recorded {
    node: NodeName,
    ending: Ending,
    last_heard: Duration,
    stamp: Stamp,
    /// Sorted.
    held: Vec<ConfigKey>,
    /// It counts for nobody.
    void: bool,
}

/// Remembers which configs came where lately, and which runners died. All times are monotonic.
///
/// Knows nothing at first: what is on a runner by then counts as old. So a new leader begins anew, which can only let a config go.
#[derive(Debug, Default)]
pub struct DeathWatch {
    policy: QuarantinePolicy,
    /// Where configs came lately; what is not in here has been where it is for longer than the window.
    arrivals: HashMap<ConfigKey, Arrival>,
    /// Numbers of the deaths that count against a config, ascending.
    records: HashMap<ConfigKey, Vec<u64>>,
    /// By number.
    deaths: BTreeMap<u64, Recorded>,
    next_number: u64,
}

impl DeathWatch {
    /// A watch that has seen nothing.
    #[must_use]
    pub fn new(policy: QuarantinePolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The rules it judges by.
    #[must_use]
    pub fn policy(&self) -> &QuarantinePolicy {
        &self.policy
    }

    /// A config went to a node, or to none. For whatever reason: a move for balance in between makes nobody innocent.
    pub fn placed(&mut self, key: ConfigKey, node: Option<&NodeName>, now: Duration) {
        match node.filter(|_| self.policy.enabled) {
            Some(node) => drop(self.arrivals.insert(key, Arrival { node: node.clone(), came_at: now, calm_since: now })),
            None => drop(self.arrivals.remove(&key)),
        }
    }

    /// A config is gone, or somebody vouches for it: nothing counts against it any more.
    pub fn forget(&mut self, key: ConfigKey) {
        self.arrivals.remove(&key);
        self.records.remove(&key);
    }

    /// Its quarantine ended by itself: one more death is enough to begin another one.
    pub fn release(&mut self, key: ConfigKey) {
        if let Some(record) = self.records.get_mut(&key) {
            record.drain(..record.len().saturating_sub(1));
        }
    }

    /// A runner has this version of its set. If that is one from before it was lost, it was out of reach, but never died.
    pub fn returned(&mut self, node: &NodeName, stamp: Stamp) {
        let last = self.deaths.values_mut().rev().find(|death| death.node == *node && death.ending == Ending::Lost);
        if let Some(death) = last.filter(|death| stamp <= death.stamp) {
            death.void = true;
        }
    }

    /// Time goes by: what has been on a runner for the whole window and did not kill it is cleared.
    pub fn look(&mut self, now: Duration) {
        let window = self.policy.window;
        let records = &mut self.records;
        self.arrivals.retain(|key, arrival| {
            let cleared = now.saturating_sub(arrival.calm_since) >= window;
            if cleared {
                records.remove(key);
            }
            !cleared
        });
        let referenced: BTreeSet<u64> = self.records.values().flatten().copied().collect();
        self.deaths.retain(|number, death| now.saturating_sub(death.last_heard) < window || referenced.contains(number));
    }

    /// Runners died, all at the same moment; `runners` of them were there before. Returns whom to quarantine, by key.
    ///
    /// To be called before their configs are placed anew.
    pub fn died(&mut self, deaths: Vec<Death>, runners: usize, now: Duration) -> Vec<Verdict> {
        if !self.policy.enabled || deaths.is_empty() {
            return Vec::new();
        }
        let first = self.next_number;
        let mut implicated = Vec::new();
        for death in deaths {
            implicated.push(self.record(death, now));
        }
        let all = runners + self.lost_before(first, now);
        self.discount_mass_events(all);
        let mut verdicts: Vec<Verdict> = implicated.iter().flat_map(|keys| self.judge(keys, all, now)).collect();
        verdicts.sort_by_key(|verdict| verdict.key);
        verdicts.dedup();
        verdicts
    }

    /// Puts one death on record, and returns the configs that it counts against.
    fn record(&mut self, death: Death, now: Duration) -> Vec<ConfigKey> {
        let number = self.next_number;
        self.next_number += 1;
        let Death { node, ending, last_heard, stamp, mut held } = death;
        held.sort_unstable();
        let mut implicated = Vec::new();
        for key in &held {
            let Some(arrival) = self.arrivals.get_mut(key).filter(|arrival| arrival.node == node) else { continue };
            if arrival.came_at < last_heard && last_heard.saturating_sub(arrival.came_at) <= self.policy.window {
                implicated.push(*key);
                self.records.entry(*key).or_default().push(number);
            }
            match ending {
                Ending::Lost => drop(self.arrivals.remove(key)),
                Ending::Restarted => arrival.calm_since = now,
            }
        }
        self.deaths.insert(number, Recorded { node, ending, last_heard, stamp, held, void: false });
        implicated
    }

    /// Runners that were lost a moment before the death of this number, and so are not among those that are there.
    fn lost_before(&self, number: u64, now: Duration) -> usize {
        let lost = self.deaths.range(..number).map(|(_, death)| death);
        let lately =
            lost.filter(|death| death.ending == Ending::Lost && now.saturating_sub(death.last_heard) <= 2 * self.policy.mass_window);
        lately.map(|death| &death.node).collect::<BTreeSet<_>>().len()
    }

    /// Deaths of more than a third of all runners, at least 2, that were heard of last within the mass window count for nobody.
    fn discount_mass_events(&mut self, runners: usize) {
        let deaths = self.deaths.iter().map(|(number, death)| (death.last_heard, *number, &death.node));
        let mut by_time: Vec<(Duration, u64, &NodeName)> = deaths.collect();
        by_time.sort_unstable();
        // A window slides over them: looking at each window anew takes minutes when 100 000 die at once.
        let mut nodes: HashMap<&NodeName, usize> = HashMap::new();
        let (mut end, mut void, mut void_to) = (0, Vec::new(), 0);
        for (begin, (at, _, node)) in by_time.iter().enumerate() {
            while let Some((_, _, next)) = by_time.get(end).filter(|(next_at, ..)| *next_at <= *at + self.policy.mass_window) {
                *nodes.entry(*next).or_default() += 1;
                end += 1;
            }
            if nodes.len() >= 2 && nodes.len() * 3 > runners {
                void.extend(by_time[begin.max(void_to)..end].iter().map(|(_, number, _)| *number));
                void_to = end;
            }
            if let Some(deaths) = nodes.get_mut(*node) {
                *deaths -= 1;
                if *deaths == 0 {
                    nodes.remove(*node);
                }
            }
        }
        for number in void {
            if let Some(death) = self.deaths.get_mut(&number) {
                death.void = true;
            }
        }
    }

    /// Deaths that count against a config, oldest first.
    fn counting(&self, key: ConfigKey) -> impl Iterator<Item = &Recorded> {
        let record = self.records.get(&key).into_iter().flatten();
        record.filter_map(|number| self.deaths.get(number)).filter(|death| !death.void)
    }

    /// How much counts against a config: the number of deaths; one less if all were of the same runner, which may be at fault itself.
    fn weight(&self, key: ConfigKey) -> usize {
        let deaths = self.counting(key).count();
        let runners = self.counting(key).map(|death| &death.node).collect::<BTreeSet<_>>().len();
        if runners >= 2 { deaths } else { deaths.saturating_sub(1) }
    }

    /// Of the configs that one death counts against: the few that killed two runners or more in a row.
    fn judge(&self, implicated: &[ConfigKey], runners: usize, now: Duration) -> Vec<Verdict> {
        let weighed: Vec<(ConfigKey, usize)> = implicated.iter().map(|key| (*key, self.weight(*key))).collect();
        let most = weighed.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        let with = |least: usize| weighed.iter().filter(move |(_, weight)| *weight >= least).map(|(key, _)| *key);
        // The fewer deaths, the more configs share the record by chance; a further one tells them apart.
        let Some(least) = (2..=most).find(|least| with(*least).count() <= self.policy.max_suspects) else { return Vec::new() };
        if !self.explained(runners, now) {
            return Vec::new();
        }
        let killed = |key| self.counting(key).map(|death| death.node.clone()).collect();
        with(least).map(|key| Verdict { key, killed: killed(key) }).collect()
    }

    /// Whether hardly any runner died lately without one of the suspects. Else something other than a check kills runners: a rolling
    /// update of machines, a broken one, a network; and whatever was moved meanwhile would look guilty.
    ///
    /// How many may: with u such deaths among n runners there are some 20 u orphans, and each follows the deaths twice with a chance of
    /// (u / n)^2. The bound keeps these innocent ones below 1 in 50: none of 10 runners, 2 of 100, 10 of 1000.
    fn explained(&self, runners: usize, now: Duration) -> bool {
        let pool: Vec<ConfigKey> = self.records.keys().copied().filter(|key| self.weight(*key) >= 2).collect();
        let lately = self.deaths.values().filter(|death| !death.void && now.saturating_sub(death.last_heard) <= self.policy.window);
        let unexplained = lately.filter(|death| !pool.iter().any(|key| death.held.binary_search(key).is_ok())).count();
        unexplained.pow(3) * 1000 <= runners.pow(2)
    }
}

#[cfg(test)]
mod tests;
