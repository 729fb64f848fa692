//! Work that takes longer than an owner's thread may be kept from its mailbox.

use std::future::pending;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// The result of `work`, done on the pool of blocking threads. For everything over a millisecond. Source: style 4.3.
///
/// The result is taken when a timer fires, not when the other thread happens to be done: so everything keeps its order where time
/// only passes when nobody has work, as in a [`crate::kernel::universe::Universe`].
///
/// Panics: as `work` does. Never ends if the process is about to end.
pub async fn heavy_work<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ()) = tokio::join!(spawn_blocking(work), sleep(Duration::from_millis(1)));
    match done.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::universe;

    #[test]
    fn the_result_is_there_when_a_timer_fires() {
        universe::run(1, |universe| async move {
            let before = universe.clock().monotonic();
            assert_eq!(heavy_work(|| 7).await, 7);
            assert_eq!(universe.clock().monotonic(), before + Duration::from_millis(1));
        });
    }

    #[actix_rt::test]
    #[should_panic(expected = "in the pool")]
    async fn a_panic_comes_back_to_whoever_asked() {
        heavy_work(|| panic!("in the pool")).await;
    }
}
