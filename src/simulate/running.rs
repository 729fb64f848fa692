//! Several runs at the same time, one thread each.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use muster_actors::sim::fleet::{Contender, FleetReport, Progress, Scenario, run_contender};

/// Time between two looks at how far the runs are.
const LOOK: Duration = Duration::from_millis(200);

/// A run that broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("simulate {contender} with seed {seed}: an actor panicked; what it said is above")]
pub struct Failed {
    /// Which contender.
    pub contender: String,
    /// The seed.
    pub seed: u64,
}

/// Runs a scenario once for each contender, as many at the same time as there are processors. `tell` hears now and then how far all of
/// them are, from 0 to 1.
///
/// Errors: [`Failed`].
pub fn run_all(scenario: &Scenario, contenders: &[Contender], seed: u64, tell: impl Fn(f64)) -> Result<Vec<FleetReport>, Failed> {
    let at_a_time = thread::available_parallelism().map_or(1, usize::from).min(contenders.len().max(1));
    let progress: Vec<Progress> = contenders.iter().map(|_| Progress::default()).collect();
    let waiting = Mutex::new((0..contenders.len()).collect::<std::collections::VecDeque<_>>());
    let reports = Mutex::new(vec![None; contenders.len()]);
    let length = scenario.length.0.as_secs_f64().max(1e-9) * contenders.len().max(1) as f64;
    thread::scope(|scope| {
        let work = || {
            while let Some(index) = take(&waiting) {
                let ended = std::panic::catch_unwind(|| run_contender(scenario, &contenders[index], seed, &progress[index]));
                reports.lock().unwrap_or_else(PoisonError::into_inner)[index] = ended.ok();
            }
        };
        let threads: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            thread::park_timeout(LOOK);
            let done: f64 = progress.iter().map(|progress| progress.virtual_time().as_secs_f64()).sum();
            tell((done / length).min(1.0));
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    let named = reports.into_iter().zip(contenders);
    named.map(|(report, contender)| report.ok_or_else(|| Failed { contender: contender.name.clone(), seed })).collect()
}

fn take(waiting: &Mutex<std::collections::VecDeque<usize>>) -> Option<usize> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
