//! Waiting for what other processes do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::RigError;

/// Longest wait for anything; only catches hangs.
pub const HANG: Duration = Duration::from_secs(120);

/// Between two looks.
pub(crate) const STEP: Duration = Duration::from_millis(50);

/// Looks until `look` answers true, at most [`HANG`].
///
/// # Errors
///
/// [`RigError::Late`] with `what`, which reads after "see in time that".
pub async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) -> Result<(), RigError> {
    let give_up_at = Instant::now() + HANG;
    while !look().await {
        if Instant::now() >= give_up_at {
            return Err(RigError::Late { what: what.to_owned(), tail: String::new() });
        }
        sleep(STEP).await;
    }
    Ok(())
}
