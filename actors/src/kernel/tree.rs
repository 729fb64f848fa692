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
