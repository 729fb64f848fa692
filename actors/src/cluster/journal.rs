//! Remembers what was decided lately, so that people can ask why.

use actix::{Actor, Context, Handler};

use crate::domain::journal;
use crate::kernel::supervised::Observed;
use crate::messages::journal::{JournalPage, QueryJournal, RecordDecisions};
use crate::supervised;

/// Owns the last decisions. Best effort: after a restart it is empty.
#[derive(Debug, Default)]
pub struct Journal {
    journal: journal::Journal,
}

impl Actor for Journal {
    type Context = Context<Self>;
}

supervised!(Journal);

impl Observed for Journal {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({ "kept": self.journal.len(), "forgotten": self.journal.forgotten() })
    }
}

impl Handler<RecordDecisions> for Journal {
    type Result = ();

    fn handle(&mut self, record: RecordDecisions, _: &mut Context<Self>) {
        self.journal.record(record.decisions);
    }
}

impl Handler<QueryJournal> for Journal {
    type Result = JournalPage;

    fn handle(&mut self, query: QueryJournal, _: &mut Context<Self>) -> JournalPage {
        JournalPage {
            decisions: self.journal.newest_first(&query.filter).cloned().collect(),
            kept: self.journal.len(),
            forgotten: self.journal.forgotten(),
        }
    }
}
