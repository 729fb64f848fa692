//! What comes before any balancing: configs that are not where somebody demands them to be. Neither budget nor cooldown holds them.

use crate::balance::board::Board;
use crate::balance::world::Held;

/// Moves pinned configs to their nodes, and what has no business there off the runners of isolated configs.
pub(crate) fn repair(board: &mut Board<'_>) {
    follow_pins(board);
    clear_isolated(board);
}

/// As far as the node is there, stays, may run the config, and no other one is isolated there.
fn follow_pins(board: &mut Board<'_>) {
    for index in 0..board.world.loads.len() {
        let load = &board.world.loads[index];
        let Some(node) = load.pinned_to.as_ref().filter(|_| load.held == Some(Held::Pinned)) else { continue };
        let Some(runner) = board.world.runner(node) else { continue };
        let open = board.stays(runner) && board.isolated_for(runner).is_none_or(|only| only == load.key);
        if open && board.world.runners[runner].facts.may_run(&load.check_name) {
            let stock = board.in_thousandths(index, runner);
            board.move_to(index, runner, 0.0, stock);
        }
    }
}

fn clear_isolated(board: &mut Board<'_>) {
    if (0..board.world.runners.len()).all(|runner| board.isolated_for(runner).is_none()) {
        return;
    }
    let misplaced = |index: &usize| {
        let load = &board.world.loads[*index];
        let only = board.owners[*index].and_then(|owner| board.isolated_for(owner));
        only.is_some_and(|only| only != load.key) && !matches!(load.held, Some(Held::Pinned | Held::Moving))
    };
    let misplaced: Vec<usize> = (0..board.world.loads.len()).filter(misplaced).collect();
    for (load, runner) in board.find_places(&misplaced, |_| false) {
        let stock = board.in_thousandths(load, runner);
        board.move_to(load, runner, 0.0, stock);
    }
}
