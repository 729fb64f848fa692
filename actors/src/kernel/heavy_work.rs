//! Where work is done that takes longer than an owner's thread may be kept from its mailbox.

use std::future::pending;

use tokio::task::spawn_blocking;

/// Where work over a millisecond is done. Source: style 4.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeavyWork {
    /// On the pool of blocking threads.
    #[default]
    Pool,
    /// On the thread that asks, in the order of asking.
    ///
    /// Why: in a [`crate::kernel::universe::Universe`] a second thread would be done at a moment that no seed determines.
    Inline,
}

impl HeavyWork {
    /// The result of `work`.
    ///
    /// Panics: as `work` does. Never ends if the process is about to end.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Self::Inline => work(),
            Self::Pool => match spawn_blocking(work).await {
                Ok(result) => result,
                Err(failed) => match failed.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => pending().await,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn both_places_yield_the_same() {
        assert_eq!((HeavyWork::Pool.run(|| 7).await, HeavyWork::Inline.run(|| 7).await), (7, 7));
    }

    #[actix_rt::test]
    #[should_panic(expected = "in the pool")]
    async fn a_panic_comes_back_to_whoever_asked() {
        HeavyWork::Pool.run(|| panic!("in the pool")).await;
    }
}
