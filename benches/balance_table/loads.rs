//! Loads of several shapes, each with the same sum.

use muster_actors::kernel::rng::{Random, SeededRandom};

/// Workers of every runner. Source: cluster-checks 10, what a runner has that does not tell.
pub const WORKERS: f64 = 4.0;

/// Mean utilization of all runners.
pub const MEAN: f64 = 0.5;

/// How needs of checks are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Evenly between nothing and twice the mean.
    Uniform,
    /// By rank: the n-th needs an n-th of what the first one needs.
    Zipf,
    /// Log-normal, sigma 1.5: the tail of check durations as they are.
    LogNormal,
    /// Pareto, alpha 1.2: nearly all of the load in a few checks.
    Pareto,
}

impl Shape {
    pub const ALL: [Self; 4] = [Self::Uniform, Self::Zipf, Self::LogNormal, Self::Pareto];

    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
            Self::LogNormal => "log-normal",
            Self::Pareto => "Pareto",
        }
    }

    /// Needs in workers, at most 1 each: an instance cannot occupy more.
    pub fn needs(self, checks: usize, runners: usize, random: &SeededRandom) -> Vec<f64> {
        let mut needs: Vec<f64> = (1..=checks)
            .map(|rank| match self {
                Self::Uniform => 2.0 * random.unit(),
                Self::Zipf => 1.0 / rank as f64,
                Self::LogNormal => (1.5 * normal(random)).exp(),
                Self::Pareto => (1.0 - random.unit()).powf(-1.0 / 1.2),
            })
            .collect();
        let wanted = MEAN * WORKERS * runners as f64;
        // What is cut from the largest goes to the others, which may make some of them too large.
        for _ in 0..100 {
            let sum: f64 = needs.iter().sum();
            for need in &mut needs {
                *need = (*need * wanted / sum).min(1.0);
            }
        }
        // In no order of size.
        for index in (1..needs.len()).rev() {
            needs.swap(index, random.below(index as u64 + 1) as usize);
        }
        needs
    }
}

fn normal(random: &SeededRandom) -> f64 {
    let (radius, angle) = (1.0 - random.unit(), random.unit());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Each need changed by at most a tenth, up or down.
pub fn with_noise(needs: &[f64], random: &SeededRandom) -> Vec<f64> {
    needs.iter().map(|need| need * (0.9 + 0.2 * random.unit())).collect()
}
