//! Options of the commands of balancing.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Commands below `clusterchecks`.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum BalanceCommand {
    /// Even the load of the runners out now
    #[command(
        after_help = "Examples:\n  muster cluster clusterchecks rebalance --dry-run\n  muster cluster clusterchecks rebalance\n  muster cluster clusterchecks rebalance --force"
    )]
    Rebalance(RebalanceOptions),
    /// Keep a check alone on the runner it is on, or end that
    #[command(
        after_help = "Examples:\n  muster cluster clusterchecks isolate --checkID http_check:shop:1f00aa\n  muster cluster clusterchecks isolate --end http_check:shop:1f00aa"
    )]
    Isolate(IsolateOptions),
    /// Keep a check on a node
    #[command(
        after_help = "Examples:\n  muster cluster clusterchecks pin http_check:shop:1f00aa runner-1\n  muster cluster clusterchecks pin oracle runner-big"
    )]
    Pin {
        /// Check id, digest, or name of a check with one config
        check: String,
        /// Name of the node, as in `muster cluster clusterchecks`
        node: String,
    },
    /// Let a pinned check go anywhere again
    #[command(after_help = "Example:\n  muster cluster clusterchecks unpin http_check:shop:1f00aa")]
    Unpin {
        /// Check id, digest, or name of a check with one config
        check: String,
    },
    /// End the quarantine of a check whose runners died
    #[command(after_help = "Example:\n  muster cluster clusterchecks release snmp:router:77e0")]
    Release {
        /// Check id, digest, or name of a check with one config
        check: String,
    },
    /// What balancing would do next, and what waits for approval; nothing moves
    #[command(
        after_help = "Examples:\n  muster cluster clusterchecks plan\n  muster cluster clusterchecks plan --approve 3\n  muster cluster clusterchecks plan --json | jq '.next.moves[]'"
    )]
    Plan(PlanOptions),
    /// Why a check is where it is, or why a node has what it has
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Subject),
    /// What is pinned, isolated, quarantined, or on its way
    #[command(
        after_help = "Examples:\n  muster cluster clusterchecks constraints\n  muster cluster clusterchecks constraints --json | jq '.pins[]'"
    )]
    Constraints,
    /// Write the world as it is now for `muster simulate`; what instances of checks say is not in it
    #[command(
        after_help = "Examples:\n  muster cluster clusterchecks record > world.json\n  muster cluster clusterchecks record --anonymous -o world.json\n  muster simulate --world world.json --remove-runners 3"
    )]
    Record(RecordOptions),
}

/// Options of `record`.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct RecordOptions {
    /// Put numbers in place of the names of nodes, checks and services, and leave addresses out
    #[arg(long)]
    pub(in crate::cli) anonymous: bool,
    /// Write to this file instead
    #[arg(short = 'o', long, value_name = "PATH")]
    pub(in crate::cli) file: Option<PathBuf>,
}

/// Examples of `explain`, wherever it is called.
pub(in crate::cli) const EXPLAIN_EXAMPLES: &str = "Examples:\n  muster cluster explain http_check:shop:1f00aa\n  muster cluster explain oracle\n  muster cluster explain runner-1\n  muster cluster explain --node oracle --json";

/// Options of `rebalance`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(in crate::cli) struct RebalanceOptions {
    /// Ignore budget and cooldown, and end isolations
    #[arg(short = 'f', long)]
    pub(in crate::cli) force: bool,
    /// Only show what would move
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// Options of `isolate`.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct IsolateOptions {
    /// Check id of the check that is to be alone, as in `muster cluster clusterchecks`
    #[arg(long = "checkID", value_name = "ID", conflicts_with = "end")]
    pub(in crate::cli) check_id: Option<String>,
    /// End the isolation of this check, or on this node
    #[arg(long, value_name = "CHECK")]
    pub(in crate::cli) end: Option<String>,
}

/// Options of `plan`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(in crate::cli) struct PlanOptions {
    /// Carry out the plan that waits under this number
    #[arg(long, value_name = "N")]
    pub(in crate::cli) approve: Option<u64>,
}

/// What is to be explained.
#[derive(Args, Clone, Debug, Default)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct Subject {
    /// Check id, digest or name of a check; else name of a node
    #[arg(value_name = "CHECK|NODE")]
    pub(in crate::cli) name: Option<String>,
    /// A check, where a node has the same name
    #[arg(long, value_name = "CHECK")]
    pub(in crate::cli) check: Option<String>,
    /// A node, where a check has the same name
    #[arg(long, value_name = "NODE")]
    pub(in crate::cli) node: Option<String>,
}

/// Options of `explain` where it stands alone.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct ExplainOptions {
    /// What.
    #[command(flatten)]
    pub(in crate::cli) subject: Subject,
    /// Print JSON
    #[arg(short = 'j', long)]
    pub(in crate::cli) json: bool,
}
