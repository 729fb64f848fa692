use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::balance::units::{milli, nano};

const SERVICES: [&str; 5] = ["", "web", "shop", "mail", "search"];

/// Places configs of (service, check name, hundredths of a worker), the largest first. Returns where each one went, and what every node
/// uses in the end.
fn placed(configs: &[(usize, usize, i64)], names: &[NodeName], spread: bool) -> (Vec<usize>, Vec<Nano>) {
    let facts = NodeFacts::default();
    let places: Vec<_> = names
        .iter()
        .map(|name| Place { name, facts: &facts, staying: true, workers: milli(4.0), isolated_for: None, used: 0, configs: 0 })
        .collect();
    let item = |(number, (service, name, need)): (usize, &(usize, usize, i64))| Item {
        key: ConfigKey(number as u128),
        check_name: ["http_check", "tls", "redisdb"][*name],
        service: SERVICES[*service],
        handover: Handover::Any,
        need: nano(*need as f64 / 100.0),
        pinned_to: None,
    };
    let mut items: Vec<_> = configs.iter().enumerate().map(item).collect();
    items.sort_by_key(|item| (std::cmp::Reverse(item.need), item.key));
    let residents = |_: &mut dyn FnMut(usize, _, _)| {};
    let wanted = spread.then(|| items.iter().map(|item| (item.check_name, item.service)).collect());
    let mut placer = Placer::new(places, &residents, wanted);
    let mut went = vec![0; items.len()];
    let mut used = vec![0; names.len()];
    for item in &items {
        let least = used.iter().min().copied().unwrap_or(0);
        let place = placer.place(item).unwrap();
        assert_eq!(used[place], least, "another node is used less");
        used[place] += item.need;
        went[item.key.0 as usize] = place;
    }
    used.sort_unstable();
    (went, used)
}

fn nodes(count: usize) -> Vec<NodeName> {
    (0..count).map(|number| NodeName::from(format!("r{number:03}"))).collect()
}

fn most_on_one(configs: &[(usize, usize, i64)], went: &[usize], service: usize) -> usize {
    let on = |place: usize| configs.iter().zip(went).filter(|((of, _, _), at)| *of == service && **at == place).count();
    went.iter().map(|place| on(*place)).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn spreading_never_changes_the_utilization_reached(
        configs in vec((0_usize..5, 0_usize..3, prop_oneof![Just(5_i64), 1_i64..60]), 0..60), runners in 1_usize..12,
    ) {
        let names = nodes(runners);
        let ((_, with), (_, without)) = (placed(&configs, &names, true), placed(&configs, &names, false));
        prop_assert_eq!(with, without);
    }

    #[test]
    fn a_service_is_spread_over_all_nodes_that_fill_up_evenly(runners in 2_usize..100, services in 1_usize..5, each in 1_usize..40) {
        let configs: Vec<_> = (0..services * each).map(|number| (1 + number / each, 0, 5)).collect();
        let (went, _) = placed(&configs, &nodes(runners), true);
        for service in 1..=services {
            let most = most_on_one(&configs, &went, service);
            prop_assert!(most <= each.div_ceil(runners) + 1, "{} of {} on one of {} nodes", most, each, runners);
        }
    }
}
