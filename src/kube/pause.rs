//! How long to wait before the API server is asked again after failures.

use std::time::Duration;

/// The first pause is at most this.
const FIRST: Duration = Duration::from_millis(500);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Pause after so many failures in a row: doubles from half a second to half a minute; of that, a random part from half on.
///
/// `unit` is a random number in `[0, 1)`. Why random: all replicas and informers fail at the same moment.
pub(super) fn pause(failures: u32, unit: f64) -> Duration {
    let longest = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST);
    longest.mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let longest: Vec<f64> = (1..=8).map(|failures| pause(failures, 1.0).as_secs_f64()).collect();
        assert_eq!(longest, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(pause(1, 0.0), Duration::from_millis(250));
        assert_eq!(pause(u32::MAX, 0.0), Duration::from_secs(15));
    }
}
