//! Measures how long agents get no answer that only a leader can give.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use tokio::task::JoinHandle;

use crate::demo::server_view::ServerView;

/// Pause between an answer and the next question.
const STEP: Duration = Duration::from_millis(50);

/// Asks until it is dropped, as an agent does: through the address in front of all servers.
pub struct Watch {
    blind: Rc<Cell<Duration>>,
    asking: JoinHandle<()>,
}

impl Watch {
    /// Begins to ask, on the thread of the caller.
    #[must_use]
    pub fn begin(view: &ServerView) -> Self {
        let blind = Rc::<Cell<Duration>>::default();
        Self { asking: actix_rt::spawn(ask(view.clone(), Rc::clone(&blind))), blind }
    }

    /// The longest time between two answers so far, of whichever leader.
    #[must_use]
    pub fn blind(&self) -> Duration {
        self.blind.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(view: ServerView, blind: Rc<Cell<Duration>>) {
    let clock = SystemClock::new();
    let mut answered_at = clock.monotonic();
    loop {
        if view.answers_agents().await {
            let now = clock.monotonic();
            blind.set(blind.get().max(now.saturating_sub(answered_at)));
            answered_at = now;
        }
        tokio::time::sleep(STEP).await;
    }
}
