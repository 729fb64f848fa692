//! The table of results, and what is said meanwhile.

use std::fmt::Write as _;
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};

use crate::wire::machine;

pub struct Report {
    clock: SystemClock,
    rows: Vec<[String; 3]>,
    load: String,
}

impl Report {
    pub fn new(clock: &SystemClock) -> Self {
        println!("Machine: {}, load {}", machine(), load());
        Self { clock: clock.clone(), rows: Vec::new(), load: load() }
    }

    /// Progress, with the time since the beginning.
    pub fn say(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.clock.monotonic().as_secs_f64());
    }

    pub fn row(&mut self, what: &str, measured: impl Into<String>, limit: impl Into<String>) {
        let row = [what.to_owned(), measured.into(), limit.into()];
        self.say(&format!("{}: {}   ({})", row[0], row[1], row[2]));
        self.rows.push(row);
    }

    /// Resident memory in MB now, and the most so far.
    pub fn memory(&mut self, what: &str, [now, most]: [f64; 2], limit: &str) {
        self.row(&format!("resident memory, {what}"), format!("{now:.1} MB, {most:.1} MB at most so far"), limit);
    }

    /// The median and the 99th percentile of times, beside those of the floor.
    pub fn latency(&mut self, what: &str, times: &mut [Duration], floor: &str) {
        let shown = percentiles(times);
        self.row(&format!("{what}, {} changes", times.len()), shown, floor);
    }

    pub fn print(&self) {
        let mut table = format!("\n{}, load {} before and {} after\n\n", machine(), self.load, load());
        table.push_str("| What | Measured | Limit or goal |\n|---|---|---|\n");
        for [what, measured, limit] in &self.rows {
            writeln!(table, "| {what} | {measured} | {limit} |").unwrap();
        }
        println!("{table}");
    }
}

/// Median and 99th percentile, as text.
pub fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(50), at(99))
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}
