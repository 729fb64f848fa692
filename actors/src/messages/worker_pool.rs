//! Messages to the `WorkerPool`.

use std::fmt;
use std::time::Duration;

use actix::Message;

use crate::domain::check_options::CheckOptions;
use crate::domain::ids::CheckId;
use crate::ports::Check;

/// A check that may run from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Install {
    /// Its id; an installed check of the same id is replaced.
    pub id: CheckId,
    /// The loaded check.
    pub check: Box<dyn Check>,
    /// What the node does for it.
    pub options: CheckOptions,
}

impl fmt::Debug for Install {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Install").field("id", &self.id).field("options", &self.options).finish_non_exhaustive()
    }
}

/// Checks that are not to run any more; running ones are cancelled and what they submitted in that run is dropped.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Uninstall {
    /// Their ids.
    pub ids: Vec<CheckId>,
}

/// It is the turn of these checks.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RunDue {
    /// Their ids; unknown ones are ignored.
    pub ids: Vec<CheckId>,
}

/// Run a check now, whatever the schedule says.
#[derive(Debug, Clone, Message)]
#[rtype(result = "RunNowReply")]
pub struct RunNow {
    /// Its id.
    pub id: CheckId,
}

/// Answer to [`RunNow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunNowReply {
    /// It starts as soon as a permit is free.
    Queued,
    /// It is queued or running already; a check never overlaps itself.
    UnderWay,
    /// No such check runs here.
    Unknown,
}

/// Start nothing any more, let running checks end, cancel what is left after the grace time.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Drained")]
pub struct Drain {
    /// Time for running checks.
    pub grace: Duration,
}

/// Answer to [`Drain`], sent when nothing runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Number of runs that were cancelled.
    pub cancelled: usize,
}
