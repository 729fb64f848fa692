//! The network between agents, servers and the lock: delays, losses, duplicates, partitions.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, pending};

use crate::kernel::rng::Random;

/// Time after which a stock agent gives a request up. Source: cluster-checks 9.
const GIVE_UP: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
struct Quality {
    /// Probability that a request or an answer is lost.
    loss: f64,
    /// Probability that a request of an agent arrives twice.
    duplication: f64,
    /// Who reaches nobody.
    isolated: BTreeSet<String>,
    /// Who does not reach whom, both ways; the smaller name first.
    apart: BTreeSet<(String, String)>,
}

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct Network {
    random: Arc<dyn Random>,
    quality: Arc<Mutex<Quality>>,
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.min(other).to_owned(), one.max(other).to_owned())
}

impl Network {
    pub(super) fn new(random: Arc<dyn Random>) -> Self {
        Self { random, quality: Arc::default() }
    }

    fn quality(&self) -> MutexGuard<'_, Quality> {
        self.quality.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_loss(&self, loss: f64, duplication: f64) {
        let mut quality = self.quality();
        (quality.loss, quality.duplication) = (loss, duplication);
    }

    /// Nobody reaches this one any more, or everybody again.
    pub(super) fn isolate(&self, name: &str, isolated: bool) {
        let mut quality = self.quality();
        if isolated {
            quality.isolated.insert(name.to_owned())
        } else {
            quality.isolated.remove(name)
        };
    }

    /// These two do not reach each other any more, or again.
    pub(super) fn part(&self, one: &str, other: &str, apart: bool) {
        let (mut quality, pair) = (self.quality(), pair(one, other));
        if apart {
            quality.apart.insert(pair)
        } else {
            quality.apart.remove(&pair)
        };
    }

    pub(super) fn heal(&self) {
        *self.quality() = Quality::default();
    }

    fn lost(&self, from: &str, to: &str) -> bool {
        let chance = self.random.unit();
        let quality = self.quality();
        let isolated = [from, to].iter().any(|name| quality.isolated.contains(*name));
        chance < quality.loss || isolated || quality.apart.contains(&pair(from, to))
    }

    fn delay(&self) -> Duration {
        // Mostly milliseconds, rarely more than an agent waits for.
        let scale = if self.random.unit() < 0.02 { 4_000.0 } else { 60.0 };
        Duration::from_micros((self.random.unit() * scale * 1_000.0) as u64 + 100)
    }

    /// Between machines that stand beside each other.
    fn short_delay(&self) -> Duration {
        let scale = if self.random.unit() < 0.005 { 1_000.0 } else { 5.0 };
        Duration::from_micros((self.random.unit() * scale * 1_000.0) as u64 + 100)
    }

    /// Carries a request of an agent to a server and the answer back; `None` if none comes in time.
    pub(super) async fn exchange<T: Send + 'static>(
        &self,
        agent: &str,
        server: &str,
        deliver: impl Fn() -> BoxFuture<'static, T>,
    ) -> Option<T> {
        let there_and_back = async {
            tokio::time::sleep(self.delay()).await;
            if self.lost(agent, server) {
                return pending().await;
            }
            let twice = self.random.unit() < self.quality().duplication;
            if twice {
                let (again, late) = (deliver(), self.delay() * 20);
                actix_rt::spawn(async move {
                    tokio::time::sleep(late).await;
                    // Nobody waits for the second answer.
                    drop(again.await);
                });
            }
            let answer = deliver().await;
            tokio::time::sleep(self.delay()).await;
            if self.lost(agent, server) { pending().await } else { answer }
        };
        tokio::time::timeout(GIVE_UP, there_and_back).await.ok()
    }

    /// Carries a request from server to server and the answer back; `None` if none comes in time.
    pub(super) async fn carry<T>(&self, from: &str, to: &str, patience: Duration, deliver: impl Future<Output = T>) -> Option<T> {
        let there_and_back = async {
            tokio::time::sleep(self.short_delay()).await;
            if self.lost(from, to) {
                return pending().await;
            }
            let answer = deliver.await;
            tokio::time::sleep(self.short_delay()).await;
            if self.lost(from, to) { pending().await } else { answer }
        };
        tokio::time::timeout(patience, there_and_back).await.ok()
    }
}
