//! The statistics API of simulated runners, computed from what they really run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::figures::CheckFigures;
use crate::domain::ids::CheckId;
use crate::ports::{RunnerError, RunnerStats};
use crate::sim::fleet::model::{Agent, CheckIndex, Life, Model, unit};
use crate::sim::fleet::scenario::{AgentVersion, Lie};

/// Longest time of a call. Source: cluster-checks 10.
const CALL_LIMIT: Duration = Duration::from_secs(2);

/// The model, as the statistics API and whoever drives it share it.
pub(super) type SharedModel = Arc<Mutex<Model>>;

/// Looks at the model.
pub(super) fn lock(model: &SharedModel) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All runners by address.
pub(super) struct ModelRunnerStats {
    pub(super) model: SharedModel,
}

/// How an agent answers at all.
enum Answering {
    Yes,
    /// The connection is refused.
    Refuses,
    /// Nothing comes back.
    Silent,
}

fn answering(agent: &Agent) -> Answering {
    match agent.life {
        Life::Dead => Answering::Refuses,
        Life::Running if agent.reachable => Answering::Yes,
        Life::Running | Life::Paused => Answering::Silent,
    }
}

fn unreachable<T>(why: &str) -> Result<T, RunnerError> {
    Err(RunnerError::Unreachable(why.to_owned()))
}

impl ModelRunnerStats {
    fn answer<T: Send + 'static>(
        &self,
        address: &str,
        answer: impl FnOnce(&Model, &Agent) -> Result<T, RunnerError>,
    ) -> BoxFuture<'static, Result<T, RunnerError>> {
        let model = lock(&self.model);
        let Some(agent) = model.by_address.get(address).and_then(|index| model.agents.get(*index)) else {
            return async { unreachable("no route to host") }.boxed();
        };
        match answering(agent) {
            Answering::Yes => {
                let answer = answer(&model, agent);
                async { answer }.boxed()
            }
            Answering::Refuses => async { unreachable("connection refused") }.boxed(),
            Answering::Silent => async {
                tokio::time::sleep(CALL_LIMIT).await;
                unreachable("no answer in time")
            }
            .boxed(),
        }
    }
}

impl RunnerStats for ModelRunnerStats {
    fn stats(&self, address: &str) -> BoxFuture<'static, Result<BTreeMap<CheckId, CheckFigures>, RunnerError>> {
        self.answer(address, |model, agent| {
            if agent.lie == Some(Lie::Nan) {
                return Err(RunnerError::Garbled("expected value at line 1 column 42: NaN".to_owned()));
            }
            Ok(agent.set.iter().flat_map(|check| figures(model, agent, *check)).collect())
        })
    }

    fn workers(&self, address: &str) -> BoxFuture<'static, Result<u32, RunnerError>> {
        self.answer(address, |_, agent| match agent.version {
            AgentVersion::Old => Err(RunnerError::Refused { status: 404, body: "404 page not found".to_owned() }),
            AgentVersion::Muster | AgentVersion::Stock => Ok(agent.told_workers.unwrap_or(agent.workers)),
        })
    }
}

/// What an agent tells about a check: an entry for each instance.
fn figures(model: &Model, agent: &Agent, index: CheckIndex) -> Vec<(CheckId, CheckFigures)> {
    let check = &model.checks[index];
    let instances = check.config.check_ids.len();
    let run = check.need() / instances as f64 * check.interval.as_secs_f64() * model.noise_of(index);
    let ran_for = model.now.saturating_sub(check.started_at);
    let has_run = ran_for.as_secs_f64() > run;
    if !has_run && agent.version != AgentVersion::Muster {
        return Vec::new();
    }
    // Samples have nothing to do with how long it takes to get them.
    let samples = 10 + (200.0 * unit(model.seed ^ index as u64)) as i64;
    let told = CheckFigures {
        average_execution_time: (run * 1000.0).round() as i64,
        metric_samples: samples,
        total_runs: (agent.version != AgentVersion::Old).then(|| ran_for.as_secs() / check.interval.as_secs().max(1) + 1),
        ..CheckFigures::default()
    };
    let told = match agent.lie {
        _ if !has_run => CheckFigures { pending: true, total_runs: Some(0), ..CheckFigures::default() },
        None | Some(Lie::Nan) => told,
        Some(lie) => {
            let number = match lie {
                Lie::Huge => i64::MAX,
                Lie::Negative => -7_000,
                Lie::Zero | Lie::Nan => 0,
            };
            CheckFigures { average_execution_time: number, metric_samples: number, histogram_buckets: number, events: number, ..told }
        }
    };
    check.config.check_ids.iter().map(|id| (id.clone(), told.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::universe;
    use crate::sim::fleet::scenario::Scenario;

    const WORLD: &str = r#"{"version": 1, "nodes": [{"name": "a", "address": "10.9.9.9"}, {"name": "b", "agent": "old"}],
        "checks": [{"name": "slow", "average_ms": 3000}]}"#;

    fn stats() -> ModelRunnerStats {
        let mut model = Model::new(&Scenario::parse(WORLD).unwrap(), 1);
        model.give(0, vec![0]);
        model.now = Duration::from_secs(60);
        ModelRunnerStats { model: Arc::new(Mutex::new(model)) }
    }

    #[test]
    fn a_runner_tells_what_its_checks_cost() {
        universe::run(1, |_| async {
            let runners = stats();
            let told = runners.stats("10.9.9.9").await.unwrap();
            assert_eq!(told.values().map(|figures| figures.average_execution_time).collect::<Vec<_>>(), [3000]);
            assert_eq!(runners.workers("10.9.9.9").await, Ok(4));
            assert!(runners.stats("10.0.0.7").await.is_err());
            assert!(matches!(runners.workers("10.0.0.1").await, Err(RunnerError::Refused { status: 404, .. })));
        });
    }

    #[test]
    fn lies_silence_and_checks_that_have_not_run_yet() {
        universe::run(1, |_| async {
            let runners = stats();
            let of = |lie| {
                lock(&runners.model).agents[0].lie = lie;
                runners.stats("10.9.9.9")
            };
            let average = |told: Result<BTreeMap<CheckId, CheckFigures>, RunnerError>| {
                told.unwrap().into_values().next().unwrap().average_execution_time
            };
            assert_eq!(average(of(Some(Lie::Zero)).await), 0);
            assert_eq!(average(of(Some(Lie::Huge)).await), i64::MAX);
            assert!(average(of(Some(Lie::Negative)).await) < 0);
            assert!(matches!(of(Some(Lie::Nan)).await, Err(RunnerError::Garbled(_))));
            lock(&runners.model).now = Duration::from_secs(2);
            assert!(of(None).await.unwrap().into_values().all(|figures| figures.pending));
            lock(&runners.model).set_life(0, Life::Paused);
            assert_eq!(runners.stats("10.9.9.9").await, unreachable("no answer in time"));
        });
    }
}
