//! Decisions of the journal as a table.

use muster_actors::domain::ids::NodeName;
use muster_actors::domain::journal::Decision;

use crate::cli::render::columns;
use crate::telemetry::in_words::reasons;
use crate::telemetry::in_words::when::{ago, date};

/// Decisions as a table, newest first.
pub(super) fn table(decisions: &[Decision], now: i64) -> String {
    if decisions.is_empty() {
        return "None, as far as the journal of this leader reaches back.\n".to_owned();
    }
    let mut rows = vec![["When", "From", "To", "Because"].map(str::to_owned).to_vec()];
    for decision in decisions {
        let node = |node: &Option<NodeName>| node.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let at = decision.at_unix_nanos;
        let when = format!("{} ({})", date(at), ago(at, now));
        rows.push(vec![when, node(&decision.from), node(&decision.to), reasons::cause(decision.cause).to_owned()]);
    }
    columns(&rows, 3)
}
