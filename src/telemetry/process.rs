//! What the operating system says about this process.

use std::fs;

use super::metrics::Metric;
use super::scrape::Scrape;

/// Clock ticks per second of `/proc`; 100 on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fills `process_*`; what cannot be read is left out.
pub(super) fn fill(scrape: &mut Scrape) {
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_bytes(&status)) {
        scrape.set(Metric::ResidentMemory, &[], bytes);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is read.
        scrape.set(Metric::OpenFds, &[], descriptors.count().saturating_sub(1) as f64);
    }
    let Some((cpu, started)) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| times(&stat)) else { return };
    scrape.set(Metric::CpuSeconds, &[], cpu);
    if let Some(booted) = fs::read_to_string("/proc/stat").ok().and_then(|stat| boot_time(&stat)) {
        scrape.set(Metric::StartTime, &[], booted + started);
    }
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// Processor seconds, and seconds from boot to start.
fn times(stat: &str) -> Option<(f64, f64)> {
    // The name of the program stands in brackets and may contain anything.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let field = |number: usize| after_name.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
    Some(((field(14)? + field(15)?) / TICKS_PER_SECOND, field(22)? / TICKS_PER_SECOND))
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read() {
        assert_eq!(resident_bytes("Name:\tmuster\nVmRSS:\t   20480 kB\n"), Some(20_971_520.0));
        let stat = "5260 (a ) b) S 1 5260 5260 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 12345 1 1";
        assert_eq!(times(stat), Some((2.0, 123.45)));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
