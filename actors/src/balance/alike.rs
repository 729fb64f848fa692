//! How many configs like another one each runner has: of the same service, of the same check name.

use std::collections::{BTreeMap, HashMap};

/// Tells every config that has an owner: runner, check name, service.
pub(crate) type Residents<'a> = dyn Fn(&mut dyn FnMut(usize, &'a str, &'a str)) + 'a;

/// Counts for the check names and services that are asked for; others are not in here.
#[derive(Debug, Default)]
pub(crate) struct Alike<'a> {
    names: HashMap<&'a str, Vec<u32>>,
    services: HashMap<&'a str, BTreeMap<usize, u32>>,
}

impl<'a> Alike<'a> {
    /// Counts those of these check names and services; an empty service is none.
    pub(crate) fn count(runners: usize, wanted: impl Iterator<Item = (&'a str, &'a str)>, residents: &Residents<'a>) -> Self {
        let mut alike = Self::default();
        for (name, service) in wanted {
            alike.names.entry(name).or_insert_with(|| vec![0; runners]);
            if !service.is_empty() {
                alike.services.entry(service).or_default();
            }
        }
        residents(&mut |runner, name, service| alike.add(runner, name, service));
        alike
    }

    /// Counts one more config.
    pub(crate) fn add(&mut self, runner: usize, name: &str, service: &str) {
        if let Some(count) = self.names.get_mut(name).and_then(|counts| counts.get_mut(runner)) {
            *count += 1;
        }
        if let Some(counts) = self.services.get_mut(service) {
            *counts.entry(runner).or_default() += 1;
        }
    }

    /// For each runner: configs of this service, then of this check name. Lower is better.
    pub(crate) fn of<'s>(&'s self, name: &str, service: &str) -> impl Fn(usize) -> (u32, u32) + use<'s, 'a> {
        let (names, services) = (self.names.get(name), self.services.get(service).filter(|counts| !counts.is_empty()));
        move |runner| {
            let of_service = services.and_then(|counts| counts.get(&runner)).copied().unwrap_or(0);
            let of_name = names.and_then(|counts| counts.get(runner)).copied().unwrap_or(0);
            (of_service, of_name)
        }
    }
}
