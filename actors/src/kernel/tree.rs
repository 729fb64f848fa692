//! The supervision tree as data: who belongs to which group, what has to be stopped and started after a death. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::kernel::intensity::{RestartIntensity, Verdict};

/// Index of a child; children are numbered in the order of their first start.
pub(crate) type ChildId = usize;

/// Index of a group; groups are numbered in the order of creation.
pub(crate) type GroupId = usize;

/// Who restarts when a member dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All members: they hold state that must agree.
    Together,
    /// Only the member that died.
    OneForOne,
}

/// What the supervisor has to do now, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Order the incarnation to end; its death is reported later.
    Stop(ChildId),
    /// Start a new incarnation.
    Start(ChildId),
    /// Nobody is left to escalate to.
    GiveUp(GroupId),
}

#[derive(Debug)]
struct GroupNode {
    parent: Option<GroupId>,
    strategy: Strategy,
    intensity: RestartIntensity,
}

#[derive(Debug)]
struct ChildNode {
    group: GroupId,
    running: bool,
    told_to_stop: bool,
}

/// The tree and the restarts under way.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    groups: Vec<GroupNode>,
    children: Vec<ChildNode>,
    /// Sets of children that start again as soon as all of them are gone. Disjoint.
    restarting: Vec<BTreeSet<ChildId>>,
    closed: bool,
}

impl Tree {
    pub(crate) fn add_group(&mut self, parent: Option<GroupId>, strategy: Strategy) -> GroupId {
        self.groups.push(GroupNode { parent, strategy, intensity: RestartIntensity::default() });
        self.groups.len() - 1
    }

    pub(crate) fn set_intensity(&mut self, group: GroupId, intensity: RestartIntensity) {
        self.groups[group].intensity = intensity;
    }

    /// Adds a child and starts it, unless the tree is closed.
    pub(crate) fn add_child(&mut self, group: GroupId) -> (ChildId, Vec<Step>) {
        let child = self.children.len();
        self.children.push(ChildNode { group, running: !self.closed, told_to_stop: false });
        (child, if self.closed { Vec::new() } else { vec![Step::Start(child)] })
    }

    /// Running children of a group, or of all groups.
    pub(crate) fn running(&self, group: Option<GroupId>) -> impl Iterator<Item = ChildId> + '_ {
        let of_group = move |child: &ChildNode| group.is_none_or(|group| child.group == group);
        (0..self.children.len()).filter(move |id| self.children[*id].running && of_group(&self.children[*id]))
    }

    /// Number of groups.
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// From now on nothing is started any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.restarting.clear();
    }

    /// Orders the running members of a group to stop.
    pub(crate) fn stop_group(&mut self, group: GroupId) -> Vec<Step> {
        let members: Vec<_> = self.running(Some(group)).collect();
        self.stop(members)
    }

    /// A child's incarnation is gone: decides what follows.
    pub(crate) fn died(&mut self, child: ChildId, now: Duration) -> Vec<Step> {
        self.children[child].running = false;
        if self.closed {
            return Vec::new();
        }
        if self.restarting.iter().any(|set| set.contains(&child)) {
            return self.start_complete_sets();
        }
        let group = self.children[child].group;
        match self.groups[group].intensity.record(now) {
            Verdict::Escalate => self.escalate(group, now),
            Verdict::Restart => {
                let affected = match self.groups[group].strategy {
                    Strategy::OneForOne => BTreeSet::from([child]),
                    Strategy::Together => self.members(|candidate| candidate == group),
                };
                self.restart(affected)
            }
        }
    }

    /// The parent restarts its whole subtree, or asks its own parent.
    fn escalate(&mut self, mut failed: GroupId, now: Duration) -> Vec<Step> {
        while let Some(parent) = self.groups[failed].parent {
            if self.groups[parent].intensity.record(now) == Verdict::Restart {
                for group in 0..self.groups.len() {
                    if group != parent && self.is_below(group, parent) {
                        self.groups[group].intensity.clear();
                    }
                }
                let affected = self.members(|candidate| self.is_below(candidate, parent));
                return self.restart(affected);
            }
            failed = parent;
        }
        self.close();
        let everyone: Vec<_> = self.running(None).collect();
        let mut steps = self.stop(everyone);
        steps.push(Step::GiveUp(failed));
        steps
    }

    fn is_below(&self, group: GroupId, ancestor: GroupId) -> bool {
        let mut current = Some(group);
        while let Some(candidate) = current {
            if candidate == ancestor {
                return true;
            }
            current = self.groups[candidate].parent;
        }
        false
    }

    fn members(&self, of: impl Fn(GroupId) -> bool) -> BTreeSet<ChildId> {
        (0..self.children.len()).filter(|child| of(self.children[*child].group)).collect()
    }

    /// Stops what still runs of a set; the set starts again when all of it is gone.
    fn restart(&mut self, mut affected: BTreeSet<ChildId>) -> Vec<Step> {
        let (overlapping, disjoint) = std::mem::take(&mut self.restarting).into_iter().partition(|set| !set.is_disjoint(&affected));
        self.restarting = disjoint;
        for set in overlapping {
            affected.extend(set);
        }
        let running: Vec<_> = affected.iter().copied().filter(|child| self.children[*child].running).collect();
        self.restarting.push(affected);
        let mut steps = self.stop(running);
        steps.extend(self.start_complete_sets());
        steps
    }

    fn stop(&mut self, children: Vec<ChildId>) -> Vec<Step> {
        let mut steps = Vec::new();
        // Latest first: who was started last depends on those before it.
        for id in children.into_iter().rev() {
            let child = &mut self.children[id];
            if !child.told_to_stop {
                child.told_to_stop = true;
                steps.push(Step::Stop(id));
            }
        }
        steps
    }

    fn start_complete_sets(&mut self) -> Vec<Step> {
        let children = &mut self.children;
        let mut steps = Vec::new();
        self.restarting.retain(|set| {
            if set.iter().any(|child| children[*child].running) {
                return true;
            }
            for id in set {
                children[*id].running = true;
                children[*id].told_to_stop = false;
                steps.push(Step::Start(*id));
            }
            false
        });
        steps
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prop_assert, proptest};

    use super::*;

    const NOW: Duration = Duration::ZERO;

    /// A parent with child 0, below it group `first` with children 1 and 2, and group `second` (one for one) with 3 and 4.
    fn family() -> Tree {
        let mut tree = Tree::default();
        let parent = tree.add_group(None, Strategy::Together);
        let first = tree.add_group(Some(parent), Strategy::Together);
        let second = tree.add_group(Some(parent), Strategy::OneForOne);
        for group in [parent, first, first, second, second] {
            tree.add_child(group);
        }
        tree
    }

    #[test]
    fn the_others_of_a_group_stop_before_anyone_starts() {
        let mut tree = family();
        assert_eq!(tree.died(1, NOW), [Step::Stop(2)]);
        assert_eq!(tree.died(2, NOW), [Step::Start(1), Step::Start(2)]);
    }

    #[test]
    fn a_single_member_starts_at_once() {
        assert_eq!(family().died(3, NOW), [Step::Start(3)]);
    }

    #[test]
    fn an_escalation_during_a_restart_waits_for_everyone() {
        let mut tree = family();
        tree.set_intensity(2, RestartIntensity::new(0, Duration::from_secs(60)));
        assert_eq!(tree.died(1, NOW), [Step::Stop(2)]);
        assert_eq!(tree.died(3, NOW), [Step::Stop(4), Step::Stop(0)], "2 was told before");
        assert_eq!(tree.died(2, NOW), []);
        assert_eq!(tree.died(0, NOW), []);
        assert_eq!(tree.died(4, NOW), [0, 1, 2, 3, 4].map(Step::Start));
    }

    #[test]
    fn giving_up_stops_everyone_and_starts_nobody_again() {
        let mut tree = family();
        tree.set_intensity(0, RestartIntensity::new(0, Duration::from_secs(60)));
        tree.set_intensity(1, RestartIntensity::new(0, Duration::from_secs(60)));
        assert_eq!(tree.died(1, NOW), [Step::Stop(4), Step::Stop(3), Step::Stop(2), Step::Stop(0), Step::GiveUp(0)]);
        assert_eq!(tree.died(3, NOW), []);
        assert_eq!(tree.add_child(0).1, []);
    }

    proptest! {
        /// Whoever dies in whatever order: nobody is started twice, nobody is forgotten, orders to stop are given once.
        #[test]
        fn after_all_deaths_are_heard_everyone_runs_or_the_root_gave_up(deaths in collection::vec((0_usize..5, 0_u64..30), 0..40)) {
            let mut tree = family();
            let mut alive = [true; 5];
            let mut ordered = BTreeSet::new();
            let mut gave_up = 0;
            let mut now = 0;
            let mut pending: Vec<(usize, u64)> = deaths;
            pending.reverse();
            while let Some((child, wait)) = pending.pop() {
                if !alive[child] {
                    continue;
                }
                now += wait;
                alive[child] = false;
                ordered.remove(&child);
                for step in tree.died(child, Duration::from_secs(now)) {
                    match step {
                        Step::Start(id) => {
                            prop_assert!(!alive[id]);
                            alive[id] = true;
                        }
                        Step::Stop(id) => {
                            prop_assert!(alive[id]);
                            prop_assert!(ordered.insert(id));
                            // It obeys after the deaths that are already on their way.
                            pending.insert(0, (id, 0));
                        }
                        Step::GiveUp(_) => gave_up += 1,
                    }
                }
            }
            prop_assert!(gave_up <= 1);
            prop_assert!(alive == [gave_up == 0; 5], "{alive:?}");
        }
    }
}
