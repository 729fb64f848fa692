//! Runners before and after a plan, as bars.

use muster_actors::balance::plan::Forecast;

use crate::cli::render::columns;
use crate::telemetry::in_words::bars::{bar, percent, scale};

/// Every runner before and after a plan.
pub(super) fn table(runners: &[Forecast]) -> String {
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
            table(&[runner("r1", 4.0, 0.975, 0.5, (4, 2)), runner("r2", 4.0, 0.025, 0.5, (1, 3)), runner("r3", 0.0, 0.0, 0.0, (0, 0))]);
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
