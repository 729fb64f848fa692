//! Placement of what is new, dangling or has lost its owner, by predicted utilization. Source: cluster-checks 11.5 phase 2.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::balance::need::{estimated_need, known_need};
use crate::balance::placer::{Item, Place, Placer};
use crate::balance::units::{Nano, milli, nano};
use crate::domain::assignment::{AssignmentTable, Placement, Row};
use crate::domain::config::DispatchedConfig;
use crate::domain::figures::Figures;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::world::DanglingReason;

/// By what nodes are compared.
#[derive(Clone, Copy)]
enum Scale<'a> {
    /// The number of their configs.
    Counts,
    /// The part of their workers that their configs need.
    Figures(&'a Figures),
}

/// Chooses nodes for all these configs, which must dangle or have lost their owner: the largest need first, ties by stock digest, then
/// key; each goes to the node with the lowest predicted utilization, ties to where the fewest configs of the same service and of the same
/// check name are, then where the fewest are, then by name. Budget and cooldown have no say.
///
/// Returns only where something is different from the table. Planning again after applying the result yields nothing.
#[must_use]
pub fn place_batch(table: &AssignmentTable, figures: &Figures, keys: impl IntoIterator<Item = ConfigKey>) -> Vec<(ConfigKey, Placement)> {
    place(table, Scale::Figures(figures), keys)
}

/// The same by the number of configs, ties by name: for agents of which no statistics are collected. Source: cluster-checks 8.1.
pub(crate) fn place_batch_by_count(table: &AssignmentTable, keys: impl IntoIterator<Item = ConfigKey>) -> Vec<(ConfigKey, Placement)> {
    place(table, Scale::Counts, keys)
}

fn place(table: &AssignmentTable, scale: Scale<'_>, keys: impl IntoIterator<Item = ConfigKey>) -> Vec<(ConfigKey, Placement)> {
    let mut rows: Vec<(Nano, &Row)> = keys
        .into_iter()
        .filter_map(|key| table.rows().get(&key))
        .filter(|row| row.placement.owner().is_none())
        .map(|row| (scale.need(&row.config), row))
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    rows.sort_unstable_by_key(|(need, row)| (Reverse(*need), row.config.digest, row.config.key));
    let demands = table.constraints();
    let items = rows.iter().map(|(need, row)| Item {
        key: row.config.key,
        check_name: &row.config.config.name,
        service: &row.config.config.service_id,
        handover: row.config.traits.handover,
        need: *need,
        pinned_to: demands.pinned.get(&row.config.key),
    });
    let items: Vec<Item<'_>> = items.collect();
    let indexes: HashMap<&NodeName, usize> = table.nodes().keys().enumerate().map(|(index, name)| (name, index)).collect();
    let residents = |tell: &mut dyn FnMut(usize, _, _)| {
        for row in table.rows().values() {
            if let Some(index) = row.placement.owner().and_then(|owner| indexes.get(owner)) {
                tell(*index, row.config.config.name.as_str(), row.config.config.service_id.as_str());
            }
        }
    };
    let spread = match scale {
        Scale::Counts => None,
        Scale::Figures(_) => Some(items.iter().map(|item| (item.check_name, item.service)).collect()),
    };
    let mut placer = Placer::new(scale.places(table, &indexes), &residents, spread);
    let nobody = if table.nodes().is_empty() { DanglingReason::NoNode } else { DanglingReason::NoEligibleNode };
    let names: Vec<&NodeName> = table.nodes().keys().collect();
    let mut changes = Vec::new();
    for (item, (_, row)) in items.iter().zip(&rows) {
        let placement = if demands.quarantined.contains_key(&item.key) {
            Placement::Dangling(DanglingReason::Quarantined)
        } else {
            placer.place(item).map_or(Placement::Dangling(nobody), |place| Placement::Owned(names[place].clone()))
        };
        if row.placement != placement {
            changes.push((item.key, placement));
        }
    }
    changes
}

impl Scale<'_> {
    fn need(self, config: &DispatchedConfig) -> Nano {
        match self {
            Self::Counts => nano(1.0),
            Self::Figures(figures) => nano(known_need(figures, config.key).unwrap_or_else(|| estimated_need(figures, &config.config.name))),
        }
    }

    /// The nodes with what they have now, in order of their names. A config on its way counts where it goes.
    fn places<'t>(self, table: &'t AssignmentTable, indexes: &HashMap<&NodeName, usize>) -> Vec<Place<'t>> {
        let places = table.nodes().iter().map(|(name, node)| Place {
            name,
            facts: &node.facts,
            staying: node.presence.is_staying(),
            workers: match self {
                Self::Counts => milli(1.0),
                Self::Figures(figures) => milli(figures.workers(name).unwrap_or(0.0)),
            },
            isolated_for: table.constraints().isolated.get(name).copied(),
            used: 0,
            configs: 0,
        });
        let mut places: Vec<Place<'t>> = places.collect();
        for place in &mut places {
            // Placement follows every change, and most change one config: nothing is looked at that need not be.
            let settled = table.set_of(place.name).iter().filter(|key| table.moving().is_empty() || !table.moving().contains(key));
            if let Some(need) = self.need_of_all() {
                place.configs = settled.count();
                place.used = need * place.configs as Nano;
            } else {
                for key in settled {
                    place.configs += 1;
                    place.used += self.need_of(table, *key);
                }
            }
        }
        for row in table.moving().iter().filter_map(|key| table.rows().get(key)) {
            if let Some(index) = row.placement.owner().and_then(|owner| indexes.get(owner)) {
                places[*index].used += self.need(&row.config);
                places[*index].configs += 1;
            }
        }
        places
    }

    /// The need of a config in the table, which is only looked up there if its figures do not tell.
    fn need_of(self, table: &AssignmentTable, key: ConfigKey) -> Nano {
        if let Self::Figures(figures) = self
            && let Some(need) = known_need(figures, key)
        {
            return nano(need);
        }
        table.rows().get(&key).map_or(0, |row| self.need(&row.config))
    }

    /// The need of every config, if it is the same for all.
    fn need_of_all(self) -> Option<Nano> {
        match self {
            Self::Counts => Some(nano(1.0)),
            Self::Figures(figures) => (figures.configs.is_empty() && figures.medians.is_empty()).then(|| nano(estimated_need(figures, ""))),
        }
    }
}

#[cfg(test)]
mod tests;
