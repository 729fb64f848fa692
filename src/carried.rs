//! Work that runs on other threads than that of whoever waits for it.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// Runs `work` on `carrier`, beginning at once. Dropping the future ends the work.
///
/// Why: requests that are answered slowly, or by many at once, must not take the time of the thread that all actors share.
///
/// Errors: the work panicked, or the carrier ended before it.
pub fn carried<T: Send + 'static>(
    carrier: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> BoxFuture<'static, Result<T, JoinError>> {
    let mut task = Carried(carrier.spawn(work));
    async move { (&mut task.0).await }.boxed()
}

/// A task that ends when nobody waits for it any more.
struct Carried<T>(JoinHandle<T>);

impl<T> Drop for Carried<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn the_work_runs_on_the_carrier_and_tells_the_waiting_thread() {
        let carrier = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let here = Builder::new_current_thread().build().unwrap();
        let there = here.block_on(carried(carrier.handle(), async { std::thread::current().id() })).unwrap();
        assert_ne!(there, std::thread::current().id());
    }

    #[test]
    fn work_that_nobody_waits_for_ends() {
        let carrier = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (held, ended) = oneshot::channel::<()>();
        drop(carried(carrier.handle(), async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        assert!(carrier.block_on(ended).is_err(), "what the work held was dropped");
    }

    #[test]
    fn a_carrier_that_ends_is_an_error() {
        let carrier = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let waiting = carried(carrier.handle(), std::future::pending::<()>());
        carrier.shutdown_background();
        let here = Builder::new_current_thread().build().unwrap();
        assert!(here.block_on(waiting).is_err());
    }
}
