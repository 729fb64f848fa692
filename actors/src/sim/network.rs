//! The network between agents and server: delays, losses, duplicates, partitions.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, pending};

use crate::kernel::rng::Random;
use crate::ports::ClusterAgentError;

/// Time after which a stock agent gives a request up. Source: cluster-checks 9.
const GIVE_UP: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
struct Quality {
    /// Probability that a request or an answer is lost.
    loss: f64,
    /// Probability that a request arrives twice.
    duplication: f64,
    partitioned: BTreeSet<String>,
    all_partitioned: bool,
}

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct Network {
    random: Arc<dyn Random>,
    quality: Arc<Mutex<Quality>>,
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

    pub(super) fn partition(&self, node: &str, apart: bool) {
        let mut quality = self.quality();
        if apart {
            quality.partitioned.insert(node.to_owned())
        } else {
            quality.partitioned.remove(node)
        };
    }

    pub(super) fn partition_all(&self, apart: bool) {
        self.quality().all_partitioned = apart;
    }

    pub(super) fn heal(&self) {
        *self.quality() = Quality::default();
    }

    fn lost(&self, node: &str) -> bool {
        let chance = self.random.unit();
        let quality = self.quality();
        chance < quality.loss || quality.all_partitioned || quality.partitioned.contains(node)
    }

    fn delay(&self) -> Duration {
        // Mostly milliseconds, rarely more than an agent waits for.
        let scale = if self.random.unit() < 0.02 { 4_000.0 } else { 60.0 };
        Duration::from_micros((self.random.unit() * scale * 1_000.0) as u64 + 100)
    }

    /// Carries a request to the server and its answer back.
    pub(super) async fn exchange<T: Send + 'static>(
        &self,
        node: &str,
        deliver: impl Fn() -> BoxFuture<'static, Result<T, ClusterAgentError>>,
    ) -> Result<T, ClusterAgentError> {
        let there_and_back = async {
            tokio::time::sleep(self.delay()).await;
            if self.lost(node) {
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
            if self.lost(node) { pending().await } else { answer }
        };
        let answer = tokio::time::timeout(GIVE_UP, there_and_back).await;
        answer.unwrap_or_else(|_| Err(ClusterAgentError::Remote("no answer in time".to_owned())))
    }
}
