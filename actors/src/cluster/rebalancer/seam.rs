//! The planners.

use crate::balance::plan::{Plan, Stopped, Trigger};
use crate::balance::policy::BalancePolicy;
use crate::balance::world::World;
use crate::domain::figures::Figures;
use crate::domain::ids::ConfigKey;
use crate::domain::world::ServedTable;

fn nothing(world: &World, policy: &BalancePolicy, trigger: Trigger, force: bool) -> Plan {
    Plan {
        epoch: world.epoch,
        generation: world.generation,
        strategy: policy.strategy,
        trigger,
        force,
        moves: Vec::new(),
        forecast: Vec::new(),
        mean: 0.0,
        tolerance: 0.0,
        budget: None,
        spent: world.spent,
        stopped: Stopped::NothingImproves,
    }
}

pub(super) fn plan(world: &World, policy: &BalancePolicy, trigger: Trigger, force: bool) -> Plan {
    nothing(world, policy, trigger, force)
}

pub(super) fn isolate(world: &World, _: ConfigKey) -> Plan {
    nothing(world, &BalancePolicy::default(), Trigger::Isolation, false)
}

pub(super) fn world(served: &ServedTable, _: &Figures, _: &BalancePolicy, _: i64) -> World {
    World { epoch: served.epoch, generation: served.shown, ..World::default() }
}
