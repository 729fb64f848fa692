//! Work that runs on other threads than that of whoever waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// Runs `work` on `carrier`, beginning at once.
///
/// Why: requests that are answered slowly, or by many at once, must not take the time of the thread that all actors share.
pub fn carried<T: Send + 'static>(carrier: &Handle, work: impl Future<Output = T> + Send + 'static) -> Carried<T> {
    Carried(carrier.spawn(work))
}

/// Waits for the work. Dropping this ends it.
///
/// Errors: the work panicked, or the carrier ended before it.
#[derive(Debug)]
pub struct Carried<T>(JoinHandle<T>);

impl<T> Future for Carried<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

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
