//! Utilizations as bars.

/// Characters of a full bar.
const WIDTH: usize = 20;

/// Values that a full bar may stand for.
const SCALES: [f64; 6] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// A share as people read it.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// What a full bar stands for, so that the largest value fits.
pub(crate) fn scale(largest: f64) -> f64 {
    SCALES.into_iter().find(|scale| largest <= *scale).unwrap_or(largest)
}

/// `####......` of `value` where `full` fills it.
pub(crate) fn bar(value: f64, full: f64) -> String {
    let share = if full > 0.0 { (value / full).clamp(0.0, 1.0) } else { 0.0 };
    let filled = (share * WIDTH as f64).round() as usize;
    format!("{}{}", "#".repeat(filled), ".".repeat(WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_with_the_share_and_never_burst() {
        assert_eq!(bar(0.5, 1.0), "##########..........");
        assert_eq!(bar(7.0, 1.0), "####################");
        assert_eq!(bar(0.0, 0.0), "....................");
        assert_eq!(bar(f64::NAN, 1.0).len(), WIDTH);
    }

    #[test]
    fn the_scale_is_the_smallest_that_holds_everything() {
        assert_eq!([scale(0.0), scale(0.2), scale(0.975), scale(7.0)], [0.05, 0.25, 1.0, 7.0]);
    }
}
