//! Runners whose statistics API says what the test tells it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::figures::CheckFigures;
use crate::domain::ids::CheckId;
use crate::ports::{RunnerError, RunnerStats};

/// What the runner at one address does.
#[derive(Clone)]
struct Script {
    checks: Result<BTreeMap<CheckId, CheckFigures>, RunnerError>,
    workers: Result<u32, RunnerError>,
    delay: Duration,
    calls: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self { checks: Ok(BTreeMap::new()), workers: Ok(4), delay: Duration::ZERO, calls: 0 }
    }
}

#[derive(Default)]
struct State {
    runners: BTreeMap<String, Script>,
    under_way: usize,
    most_under_way: usize,
}

/// All runners by address; nobody answers at an address that was not named. Cheap to clone.
#[derive(Clone, Default)]
pub struct FakeRunnerStats {
    state: Arc<Mutex<State>>,
}

/// A call; it ends also when whoever calls gives it up.
struct UnderWay(FakeRunnerStats);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}

impl FakeRunnerStats {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, address: &str, change: impl FnOnce(&mut Script)) {
        change(self.lock().runners.entry(address.to_owned()).or_default());
    }

    /// The runner there has these checks from now on.
    pub fn tell(&self, address: &str, checks: impl IntoIterator<Item = (CheckId, CheckFigures)>) {
        self.change(address, |runner| runner.checks = Ok(checks.into_iter().collect()));
    }

    /// The runner there does not tell its checks from now on.
    pub fn fail(&self, address: &str, error: RunnerError) {
        self.change(address, |runner| runner.checks = Err(error));
    }

    /// What the runner there says about its workers from now on.
    pub fn set_workers(&self, address: &str, workers: Result<u32, RunnerError>) {
        self.change(address, |runner| runner.workers = workers);
    }

    /// Each answer from there takes so long from now on.
    pub fn slow(&self, address: &str, delay: Duration) {
        self.change(address, |runner| runner.delay = delay);
    }

    /// Calls to this address so far.
    #[must_use]
    pub fn calls(&self, address: &str) -> u64 {
        self.lock().runners.get(address).map_or(0, |runner| runner.calls)
    }

    /// Calls under way at this moment.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.lock().under_way
    }

    /// The most calls that were ever under way at the same time.
    #[must_use]
    pub fn most_under_way(&self) -> usize {
        self.lock().most_under_way
    }

    async fn call<T>(self, address: String, answer: impl FnOnce(&Script) -> Result<T, RunnerError> + Send) -> Result<T, RunnerError> {
        let (delay, _under_way) = {
            let mut state = self.lock();
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
            let runner = state.runners.get_mut(&address);
            (
                runner.map(|runner| {
                    runner.calls += 1;
                    runner.delay
                }),
                UnderWay(self.clone()),
            )
        };
        if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
            tokio::time::sleep(delay).await;
        }
        let runner = self.lock().runners.get(&address).cloned();
        answer(&runner.ok_or_else(|| RunnerError::Unreachable(format!("nobody at {address}")))?)
    }
}

impl RunnerStats for FakeRunnerStats {
    fn stats(&self, address: &str) -> BoxFuture<'static, Result<BTreeMap<CheckId, CheckFigures>, RunnerError>> {
        self.clone().call(address.to_owned(), |runner| runner.checks.clone()).boxed()
    }

    fn workers(&self, address: &str) -> BoxFuture<'static, Result<u32, RunnerError>> {
        self.clone().call(address.to_owned(), |runner| runner.workers.clone()).boxed()
    }
}
