//! What every rule is asked to do.

/// Checks on runners under one rule. Every number that is returned counts changes of owners.
pub trait Fleet {
    /// Places all checks, and goes on until nothing moves any more.
    fn start(&mut self, runners: &[String], needs: &[f64]) -> usize;

    /// A runner is lost.
    fn lose(&mut self, runner: &str) -> usize;

    /// An empty runner comes.
    fn join(&mut self, runner: &str) -> usize;

    /// The needs are measured once.
    fn measure(&mut self, needs: &[f64]) -> usize;

    /// A pod is replaced: the new one is there before the old one goes. `as_block` = whoever has a rule for this follows it.
    fn replace(&mut self, old: &str, new: &str, as_block: bool) -> usize;

    /// Time goes by until nothing moves any more.
    fn rest(&mut self) -> usize {
        0
    }

    /// What each runner has and can do. Units: workers.
    fn shares(&self) -> Vec<(f64, f64)>;

    /// The same once more.
    fn copy(&self) -> Box<dyn Fleet>;

    /// The needs of the checks of a runner. Units: workers.
    fn needs_of(&self, runner: &str) -> Vec<f64>;
}
