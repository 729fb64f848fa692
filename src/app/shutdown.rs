//! When a process stops: the first signal drains, the second ends it at once.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

/// Exit code of a process that a second signal ended: as if SIGINT had killed it.
const EXIT_CODE_ABORTED: i32 = 130;

/// A request to stop that anyone may make and one place waits for.
#[derive(Clone, Default)]
pub struct StopRequest {
    requested: Arc<Notify>,
}

impl StopRequest {
    /// Asks for an orderly stop; asking again changes nothing.
    pub fn request(&self) {
        self.requested.notify_one();
    }

    /// Waits for a signal or for [`Self::request`]; from then on a further signal ends the process at once.
    ///
    /// Errors: signals cannot be received.
    pub async fn wait(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM received, stopping"),
            _ = interrupt.recv() => info!("SIGINT received, stopping"),
            () = self.requested.notified() => info!("stop requested, stopping"),
        }
        actix_rt::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            warn!("second signal, ending at once");
            std::process::exit(EXIT_CODE_ABORTED);
        });
        Ok(())
    }
}
