//! What the agents of a test were told, and what they must never be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Tag of instances that must not run on two agents at any moment.
pub const NEVER_TWICE: &str = "handover:never-twice";

/// Tag of instances that an agent must not stop before another one runs them.
pub const NEVER_NOWHERE: &str = "handover:never-nowhere";

/// What an agent runs: the text of each instance.
pub type Set = BTreeSet<String>;

/// What one agent was told.
#[derive(Debug, Default, Clone)]
pub struct Account {
    pub stamp: i64,
    pub set: Set,
    /// Check id -> instance; of runners only.
    pub checks: BTreeMap<String, String>,
    /// Polls that were answered.
    pub answered: u64,
    /// Polls that were not.
    pub failed: u64,
    /// Sets fetched because a poll said so; for endpoint checks: sets that differed from the one before.
    pub resent: u64,
    /// Empty sets that came after one that was not empty.
    pub emptied: u64,
}

/// The accounts of all agents of one kind.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    accounts: Arc<Mutex<BTreeMap<String, Account>>>,
    forgotten: Arc<Mutex<BTreeSet<String>>>,
    /// Instance -> how often an agent was told to run it that did not run it before.
    given: Arc<Mutex<BTreeMap<String, u64>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Ledger {
    pub fn change(&self, agent: &str, change: impl FnOnce(&mut Account)) {
        // A model that is being stopped may be about to tell what it was told.
        if self.forgotten.lock().unwrap().contains(agent) {
            return;
        }
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(agent.to_owned()).or_default();
        let before = account.set.clone();
        change(account);
        let now = account.set.clone();
        let mut given = self.given.lock().unwrap();
        for instance in now.difference(&before) {
            *given.entry(instance.clone()).or_default() += 1;
        }
        let elsewhere = |instance: &String| accounts.iter().any(|(other, account)| other != agent && account.set.contains(instance));
        for twice in now.difference(&before).filter(|instance| instance.contains(NEVER_TWICE) && elsewhere(instance)) {
            self.complain(format!("{agent} was told to run this while another one did: {twice}"));
        }
        for nowhere in before.difference(&now).filter(|instance| instance.contains(NEVER_NOWHERE) && !elsewhere(instance)) {
            self.complain(format!("{agent} was told to stop this while nobody else ran it: {nowhere}"));
        }
    }

    pub fn complain(&self, text: String) {
        self.wrong.lock().unwrap().push(text);
    }

    pub fn accounts(&self) -> BTreeMap<String, Account> {
        self.accounts.lock().unwrap().clone()
    }

    /// How often agents were told to run something that they did not run before.
    pub fn given(&self) -> u64 {
        self.given.lock().unwrap().values().sum()
    }

    /// What an agent was told last.
    pub fn account(&self, agent: &str) -> Account {
        self.accounts().remove(agent).unwrap_or_default()
    }

    /// Whether an agent runs an instance whose text holds `part`.
    pub fn runs(&self, part: &str) -> bool {
        self.owners().keys().any(|instance| instance.contains(part))
    }

    pub fn forget(&self, agent: &str) {
        self.forgotten.lock().unwrap().insert(agent.to_owned());
        self.accounts.lock().unwrap().remove(agent);
    }

    /// Instance -> agents that run it.
    pub fn owners(&self) -> BTreeMap<String, Vec<String>> {
        let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (agent, account) in self.accounts() {
            for check in account.set {
                owners.entry(check).or_default().push(agent.clone());
            }
        }
        owners
    }

    /// Panics if an agent was told what must not be, or a check runs twice.
    pub fn assert_well(&self) {
        let wrong = self.wrong.lock().unwrap().clone();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let doubled: Vec<_> = self.owners().into_iter().filter(|(_, owners)| owners.len() > 1).collect();
        assert!(doubled.is_empty(), "on two agents: {doubled:#?}");
    }
}

/// The sum of something over all agents, to be compared with an earlier one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub resent: u64,
    pub emptied: u64,
    pub failed: u64,
}

impl Sums {
    pub fn of(ledgers: &[&Ledger]) -> Self {
        let mut sums = Self::default();
        for account in ledgers.iter().flat_map(|ledger| ledger.accounts().into_values()) {
            sums.resent += account.resent;
            sums.emptied += account.emptied;
            sums.failed += account.failed;
        }
        sums
    }

    pub fn since(self, before: Self) -> Self {
        Self { resent: self.resent - before.resent, emptied: self.emptied - before.emptied, failed: self.failed - before.failed }
    }
}
