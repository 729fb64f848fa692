//! Keys of balancing. Source: cluster-checks 11, 13.

use crate::config::option::{KeySpec, Unit, choice, duration, duration_from_one, flag, integer, list, number, port};

/// Words for `muster.rebalance_strategy`.
const STRATEGIES: &[&str] = &["auto", "bounded", "utilization", "busyness", "off"];

/// The table.
pub(super) const KEYS: &[KeySpec] = &[
    choice(
        "muster.rebalance_strategy",
        "auto",
        STRATEGIES,
        "How the load of runners is balanced: `bounded` pays for every move, `utilization` and `busyness` are the stock rules, `off` moves \
         nothing but orphans; `auto` = `busyness` if `cluster_checks.rebalance_with_utilization` is set to false, else `bounded`",
    )
    .cluster(),
    duration_from_one("cluster_checks.rebalance_period", Unit::GoStyle, "10m", "Time between two looks at the balance").cluster(),
    number("muster.rebalance_band", "0.05", 0.0, 1.0, "Deviation from the mean utilization that is even enough, as a part of the mean")
        .cluster(),
    number("muster.rebalance_min_gap", "0.02", 0.0, 1.0, "The same, least value, in utilization (1 = all workers of a runner)").cluster(),
    number(
        "muster.rebalance_budget_percent",
        "5",
        0.0,
        100.0,
        "Moves for balance that are allowed in 10 minutes, percent of all dispatched configs",
    )
    .cluster(),
    integer("muster.rebalance_budget_min", "5", 0, 1_000_000, "The same, least number").cluster(),
    duration(
        "muster.rebalance_cooldown",
        Unit::GoStyle,
        "20m",
        "A config that was moved for balance stays so long, unless its runner is lost",
    )
    .cluster(),
    flag(
        "muster.rebalance_approval",
        "false",
        "Plans that nobody asked for wait until `muster clusterchecks plan --approve` is told their number",
    )
    .cluster(),
    list("cluster_checks.exclude_checks_from_dispatching", "", "Names of checks that balancing never moves; they are dispatched").cluster(),
    port("cluster_checks.clc_runners_port", "5005", "Port of the statistics API of all runners").cluster(),
    flag("cluster_checks.rebalance_with_utilization", "true", "Set to false, it selects `busyness` where the strategy is `auto`").cluster(),
    integer("cluster_checks.rebalance_min_percentage_improvement", "10", 0, 100, "Smallest gain of a plan of `utilization`, in percent")
        .cluster(),
    flag("cluster_checks.stickiness_enabled", "true", "`utilization` prefers the present runner").cluster(),
    number("cluster_checks.stickiness_factor", "4", 0.0, f64::MAX, "That preference: times the workers a config occupies").cluster(),
    number("cluster_checks.stickiness_upper_limit", "1", 0.0, f64::MAX, "Largest preference, in utilization").cluster(),
    number("cluster_checks.stickiness_lower_limit", "0.05", 0.0, f64::MAX, "Smallest preference, in utilization").cluster(),
    flag("muster.quarantine", "true", "Keep a check off every runner for a while when its runners die in a row").cluster(),
    duration(
        "muster.quarantine_window",
        Unit::GoStyle,
        "10m",
        "The death of a runner counts against checks that came to it at most so long before",
    )
    .cluster(),
    duration_from_one("muster.quarantine_duration", Unit::GoStyle, "30m", "How long a quarantine lasts, if nobody ends it before")
        .cluster(),
    integer("muster.quarantine_max_suspects", "3", 1, 1000, "Most checks that are quarantined for one death; if more are suspect, none is")
        .cluster(),
];
