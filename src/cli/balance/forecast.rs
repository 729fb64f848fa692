//! Utilizations as bars.

use muster_actors::balance::plan::Forecast;

use crate::cli::render::columns;

/// Characters of a full bar.
const WIDTH: usize = 20;

/// Values that a full bar may stand for.
const SCALES: [f64; 6] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// A share as people read it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// What a full bar stands for, so that the largest value fits.
pub(super) fn scale(largest: f64) -> f64 {
    SCALES.into_iter().find(|scale| largest <= *scale).unwrap_or(largest)
}

/// `####......` of `value` where `full` fills it.
pub(super) fn bar(value: f64, full: f64) -> String {
    let share = if full > 0.0 { (value / full).clamp(0.0, 1.0) } else { 0.0 };
    let filled = (share * WIDTH as f64).round() as usize;
    format!("{}{}", "#".repeat(filled), ".".repeat(WIDTH - filled))
}

/// Every runner before and after a plan.
pub(super) fn forecast(runners: &[Forecast]) -> String {
    let largest = runners.iter().map(|runner| runner.before.max(runner.after)).fold(0.0, f64::max);
    let full = scale(largest);
    let mut rows = vec![["Runner", "Utilization before", "", "Utilization after", "", "Configs"].map(str::to_owned).to_vec()];
    for runner in runners {
        let configs = if runner.configs_before == runner.configs_after {
            runner.configs_after.to_string()
        } else {
            format!("{} -> {}", runner.configs_before, runner.configs_after)
        };
        if runner.workers <= 0.0 {
            rows.push(vec![runner.runner.to_string(), "no workers".to_owned(), String::new(), String::new(), String::new(), configs]);
            continue;
        }
        let shown = |value: f64| [bar(value, full), percent(value)];
        let [before, before_percent] = shown(runner.before);
        let [after, after_percent] = shown(runner.after);
        rows.push(vec![runner.runner.to_string(), before, before_percent, after, after_percent, configs]);
    }
    format!("{}A full bar is {}.\n", columns(&rows, 2), percent(full))
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

    #[test]
    fn runners_are_drawn_before_and_after() {
        let runner = |name: &str, workers: f64, before: f64, after: f64, configs: (usize, usize)| Forecast {
            runner: name.into(),
            workers,
            before,
            after,
            configs_before: configs.0,
            configs_after: configs.1,
        };
        let text =
            forecast(&[runner("r1", 4.0, 0.975, 0.5, (4, 2)), runner("r2", 4.0, 0.025, 0.5, (1, 3)), runner("r3", 0.0, 0.0, 0.0, (0, 0))]);
        assert_eq!(
            text,
            "Runner  Utilization before            Utilization after             Configs\n\
             r1      ####################  97.5 %  ##########..........  50.0 %  4 -> 2\n\
             r2      #...................  2.5 %   ##########..........  50.0 %  1 -> 3\n\
             r3      no workers                                                  0\n\
             A full bar is 100.0 %.\n"
        );
    }
}
