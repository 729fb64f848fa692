//! Gives configs to the runner with the lowest predicted utilization, one by one. Source: cluster-checks 8.1, 11.5 phase 2.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::balance::alike::{Alike, Residents};
use crate::balance::eligibility::{RANKS, is_singleton, rank};
use crate::balance::units::{Milli, Nano, order, utilization};
use crate::domain::handover::Handover;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::node::NodeFacts;

/// A registered node as a place for configs.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    /// Its name.
    pub(crate) name: &'a NodeName,
    /// What it told.
    pub(crate) facts: &'a NodeFacts,
    /// Whether it may get anything.
    pub(crate) staying: bool,
    /// Workers; 0 = only if there is no other.
    pub(crate) workers: Milli,
    /// The only config it may get.
    pub(crate) isolated_for: Option<ConfigKey>,
    /// What its configs use.
    pub(crate) used: Nano,
    /// Their number.
    pub(crate) configs: usize,
}

/// A config that needs a place.
#[derive(Clone, Debug)]
pub(crate) struct Item<'a> {
    /// Which.
    pub(crate) key: ConfigKey,
    /// Its check name.
    pub(crate) check_name: &'a str,
    /// Its service; empty = none.
    pub(crate) service: &'a str,
    /// In which order it changes its owner.
    pub(crate) handover: Handover,
    /// What it uses.
    pub(crate) need: Nano,
    /// Where it belongs if that is possible.
    pub(crate) pinned_to: Option<&'a NodeName>,
}

/// At most so many equally used nodes are compared. Why: on an empty cluster all are, and looking at each of 1000 for each of 100 000
/// configs takes longer than everything else. Those with the fewest configs come first.
const COMPARED: usize = 64;

/// Nodes that no check can tell apart, with the same number of workers: the least used is the best of them for every config.
#[derive(Debug)]
struct Group {
    /// A node like all of them.
    like: usize,
    workers: Milli,
    order: BTreeSet<(Nano, usize, usize)>,
}

/// Places configs one after the other; each counts for the next. One step costs the logarithm of the number of nodes, and where several
/// are equally used and configs are to be spread, their number.
pub(crate) struct Placer<'a> {
    /// By name.
    places: Vec<Place<'a>>,
    /// Nodes that stay and are free for all.
    groups: Vec<Group>,
    group_of: Vec<Option<usize>>,
    /// The only places of isolated configs.
    isolated: HashMap<ConfigKey, usize>,
    /// Rank of each group by check name and whether the check must not run twice.
    ranks: HashMap<(&'a str, bool), Rc<[Option<u8>]>>,
    residents: &'a Residents<'a>,
    /// Check names and services of everything that is to be placed; `None` = they are not to be spread.
    spread: Option<Vec<(&'a str, &'a str)>>,
    /// Counted when it is needed for the first time.
    alike: Option<Alike<'a>>,
    /// What was placed before that: place, check name, service.
    placed: Vec<(usize, &'a str, &'a str)>,
    /// Singleton checks by node; counted when the first one is placed.
    singletons: Option<Vec<BTreeSet<&'a str>>>,
}

impl<'a> Placer<'a> {
    /// Starts from places in order of their names. `spread` names what is to be placed if that is to be spread.
    pub(crate) fn new(places: Vec<Place<'a>>, residents: &'a Residents<'a>, spread: Option<Vec<(&'a str, &'a str)>>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut known = BTreeMap::new();
        let mut group_of = vec![None; places.len()];
        for (index, place) in places.iter().enumerate().filter(|(_, place)| place.staying && place.isolated_for.is_none()) {
            let declared = &place.facts.compatibility;
            let group =
                *known.entry((&declared.include, &declared.exclude, place.facts.honours_grants, place.workers)).or_insert(groups.len());
            if group == groups.len() {
                groups.push(Group { like: index, workers: place.workers, order: BTreeSet::new() });
            }
            groups[group].order.insert((place.used, place.configs, index));
            group_of[index] = Some(group);
        }
        let isolated = places.iter().enumerate().filter_map(|(index, place)| Some((place.isolated_for?, index))).collect();
        Self {
            places,
            groups,
            group_of,
            isolated,
            ranks: HashMap::new(),
            residents,
            spread,
            alike: None,
            placed: Vec::new(),
            singletons: None,
        }
    }

    /// Chooses a place for a config that is on none, and counts it there. `None` = no place may run it.
    pub(crate) fn place(&mut self, item: &Item<'a>) -> Option<usize> {
        let place = match self.demanded(item) {
            Some(place) => place,
            None if is_singleton(item.check_name) => {
                let taken = self.holders_of(item.check_name);
                self.best(item, |place| !taken.contains(&place)).or_else(|| self.best(item, |_| true))?
            }
            None => self.best(item, |_| true)?,
        };
        self.put(item, place);
        Some(place)
    }

    /// Where somebody demands that it is: where it is isolated, else where it is pinned, as far as that is possible.
    fn demanded(&self, item: &Item<'a>) -> Option<usize> {
        let accepts = |place: &Place<'a>| {
            place.staying && place.facts.may_run(item.check_name) && place.isolated_for.is_none_or(|only| only == item.key)
        };
        let isolated = self.isolated.get(&item.key).copied().filter(|place| accepts(&self.places[*place]));
        isolated.or_else(|| {
            let pinned = self.places.binary_search_by_key(&item.pinned_to?, |place| place.name).ok()?;
            accepts(&self.places[pinned]).then_some(pinned)
        })
    }

    /// The best of the places that suit: usable ones first, then by rank, then by utilization.
    fn best(&mut self, item: &Item<'a>, suits: impl Fn(usize) -> bool) -> Option<usize> {
        let ranks = self.ranks_for(item);
        for usable in [true, false] {
            for wanted in 0..RANKS {
                let of_rank = |group: usize| ranks[group] == Some(wanted) && (self.groups[group].workers > 0) == usable;
                let groups: Vec<usize> = (0..self.groups.len()).filter(|group| of_rank(*group)).collect();
                let heads = groups.iter().filter_map(|group| self.head(*group, item.need, &suits));
                let Some(lowest) = heads.min() else { continue };
                return Some(self.best_of_equals(&groups, lowest, item, &suits));
            }
        }
        None
    }

    /// Utilization with the config, number of configs and index of the best place of a group, without regard to what is alike.
    fn head(&self, group: usize, need: Nano, suits: &impl Fn(usize) -> bool) -> Option<(u64, usize, usize)> {
        let group = &self.groups[group];
        let (used, configs, place) = *group.order.iter().find(|(_, _, place)| suits(*place))?;
        Some((predicted(used, need, group.workers), configs, place))
    }

    /// Among the places that would be used as little as the lowest one: the one with the fewest configs that are alike.
    fn best_of_equals(&mut self, groups: &[usize], lowest: (u64, usize, usize), item: &Item<'a>, suits: &impl Fn(usize) -> bool) -> usize {
        let (with_it, configs, place) = lowest;
        let Some(wanted) = &self.spread else { return place };
        let mut equals = groups.iter().flat_map(|group| {
            let Group { workers, order, .. } = &self.groups[*group];
            let equal = move |used: Nano| predicted(used, item.need, *workers) == with_it;
            let same = order.iter().skip_while(move |(used, _, place)| !equal(*used) || !suits(*place));
            same.take_while(move |(used, _, _)| equal(*used)).filter(|(_, _, place)| suits(*place)).copied()
        });
        let Some(first) = equals.next() else { return place };
        let Some(second) = equals.next() else { return first.2 };
        let count = || {
            let mut alike = Alike::count(self.places.len(), wanted.iter().copied(), self.residents);
            self.placed.drain(..).for_each(|(place, name, service)| alike.add(place, name, service));
            alike
        };
        let alike = self.alike.get_or_insert_with(count).of(item.check_name, item.service);
        let mut best = (alike(place), configs, place);
        for (_, configs, place) in [first, second].into_iter().chain(equals).take(COMPARED) {
            best = best.min((alike(place), configs, place));
        }
        best.2
    }

    fn put(&mut self, item: &Item<'a>, index: usize) {
        let place = &mut self.places[index];
        let before = (place.used, place.configs, index);
        place.used += item.need;
        place.configs += 1;
        if let Some(group) = self.group_of[index] {
            let order = &mut self.groups[group].order;
            order.remove(&before);
            order.insert((place.used, place.configs, index));
        }
        match &mut self.alike {
            Some(alike) => alike.add(index, item.check_name, item.service),
            None if self.spread.is_some() => self.placed.push((index, item.check_name, item.service)),
            None => {}
        }
        if let Some(singletons) = self.singletons.as_mut().filter(|_| is_singleton(item.check_name)) {
            singletons[index].insert(item.check_name);
        }
    }

    fn ranks_for(&mut self, item: &Item<'a>) -> Rc<[Option<u8>]> {
        let kind = (item.check_name, item.handover == Handover::AtMostOnce);
        let (groups, places) = (&self.groups, &self.places);
        let ranks = || groups.iter().map(|group| rank(places[group.like].facts, item.check_name, item.handover)).collect();
        Rc::clone(self.ranks.entry(kind).or_insert_with(ranks))
    }

    /// Places that have a config of this singleton check.
    fn holders_of(&mut self, check_name: &str) -> BTreeSet<usize> {
        let (count, residents) = (self.places.len(), self.residents);
        let singletons = self.singletons.get_or_insert_with(|| {
            let mut singletons = vec![BTreeSet::new(); count];
            residents(&mut |place, name, _| {
                if is_singleton(name) {
                    singletons[place].insert(name);
                }
            });
            singletons
        });
        (0..count).filter(|place| singletons[*place].contains(check_name)).collect()
    }
}

/// Utilization with one config more; where there are no workers, what is used.
fn predicted(used: Nano, need: Nano, workers: Milli) -> u64 {
    order(if workers == 0 { (used + need) as f64 } else { utilization(used + need, workers) })
}

#[cfg(test)]
mod tests;
