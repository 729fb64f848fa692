//! Which configs of a world may go to which of its runners, worked out once for each kind of either.

use std::collections::{BTreeMap, HashMap};

use crate::balance::eligibility::rank;
use crate::balance::world::{Load, RunnerIndex, World};
use crate::domain::handover::Handover;

/// Runners that no check can tell apart.
pub(crate) type Class = usize;

/// Configs that may go to the same runners.
pub(crate) type Row = usize;

/// Who may go where.
#[derive(Debug)]
pub(crate) struct Suits {
    class_of: Vec<Class>,
    row_of: Vec<Row>,
    /// By row, then class.
    rows: Vec<Vec<bool>>,
}

impl Suits {
    /// Works it out for the runners that are open for new configs; of these, only the ones of the best rank may get a config.
    pub(crate) fn new(world: &World, open: &[bool]) -> Self {
        let mut classes = BTreeMap::new();
        let mut likes = Vec::new();
        let class_of = world.runners.iter().enumerate().map(|(index, runner)| {
            let declared = &runner.facts.compatibility;
            *classes.entry((&declared.include, &declared.exclude, runner.facts.honours_grants)).or_insert_with(|| {
                likes.push(index);
                likes.len() - 1
            })
        });
        let class_of: Vec<Class> = class_of.collect();
        let mut peopled = vec![false; likes.len()];
        class_of.iter().zip(open).filter(|(_, open)| **open).for_each(|(class, _)| peopled[*class] = true);

        let row = |load: &Load| {
            let ranks: Vec<_> = likes.iter().map(|like| rank(&world.runners[*like].facts, &load.check_name, load.handover)).collect();
            let best = ranks.iter().zip(&peopled).filter(|(_, peopled)| **peopled).filter_map(|(rank, _)| *rank).min();
            ranks.into_iter().map(|rank| rank.is_some() && rank == best).collect::<Vec<bool>>()
        };
        let mut kinds: HashMap<(&str, bool), Row> = HashMap::new();
        let mut numbers: BTreeMap<Vec<bool>, Row> = BTreeMap::new();
        let row_of = world.loads.iter().map(|load| {
            let kind = (&*load.check_name, load.handover == Handover::AtMostOnce);
            *kinds.entry(kind).or_insert_with(|| {
                let next = numbers.len();
                *numbers.entry(row(load)).or_insert(next)
            })
        });
        let row_of = row_of.collect();
        let mut rows = vec![Vec::new(); numbers.len()];
        for (row, number) in numbers {
            rows[number] = row;
        }
        Self { class_of, row_of, rows }
    }

    pub(crate) fn class(&self, runner: RunnerIndex) -> Class {
        self.class_of[runner]
    }

    pub(crate) fn classes(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    pub(crate) fn row(&self, load: usize) -> Row {
        self.row_of[load]
    }

    /// Whether configs of this row may go to runners of this class, as far as these are open.
    pub(crate) fn allows(&self, row: Row, class: Class) -> bool {
        self.rows[row][class]
    }
}
