use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const EXPIRY: Duration = Duration::from_secs(30);

/// Runners with their configs, watched. Orphans go to the emptiest runner, as without figures.
struct Cluster {
    watch: DeathWatch,
    sets: BTreeMap<NodeName, Vec<ConfigKey>>,
    quarantined: Vec<Verdict>,
    now: Duration,
}

impl Cluster {
    /// Configs that have been on the runners for long.
    fn new(runners: usize, configs: u128) -> Self {
        let sets = (0..runners).map(|number| (NodeName::from(format!("r{number:02}")), Vec::new())).collect();
        let watch = DeathWatch::new(QuarantinePolicy::default());
        let mut cluster = Self { watch, sets, quarantined: Vec::new(), now: 60 * MINUTE };
        cluster.place((0..configs).map(ConfigKey).collect());
        cluster.pass(11 * MINUTE);
        cluster
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.watch.look(self.now);
    }

    fn place(&mut self, keys: Vec<ConfigKey>) {
        for key in keys {
            let emptiest = self.sets.iter().min_by_key(|(name, set)| (set.len(), (*name).clone())).map(|(name, _)| name.clone());
            self.watch.placed(key, emptiest.as_ref(), self.now);
            if let Some(set) = emptiest.and_then(|name| self.sets.get_mut(&name)) {
                set.push(key);
            }
        }
    }

    fn shift(&mut self, key: u128, to: &str) {
        self.sets.values_mut().for_each(|set| set.retain(|held| *held != ConfigKey(key)));
        self.sets.get_mut(to).unwrap().push(ConfigKey(key));
        self.watch.placed(ConfigKey(key), Some(&to.into()), self.now);
    }

    fn owner(&self, key: u128) -> Option<String> {
        self.sets.iter().find(|(_, set)| set.contains(&ConfigKey(key))).map(|(name, _)| name.to_string())
    }

    /// These fall silent now, and are taken for dead when they expire.
    fn lose(&mut self, names: &[&str]) -> Vec<ConfigKey> {
        let last_heard = self.now;
        self.pass(EXPIRY);
        let runners = self.sets.len();
        let death = |name: &&str| Death {
            node: (*name).into(),
            ending: Ending::Lost,
            last_heard,
            stamp: Stamp(5),
            held: self.sets.get(*name).cloned().unwrap_or_default(),
        };
        let verdicts = self.watch.died(names.iter().map(death).collect(), runners, self.now);
        let mut orphans: Vec<_> = names.iter().flat_map(|name| self.sets.remove(*name).unwrap_or_default()).collect();
        orphans.retain(|key| !verdicts.iter().any(|verdict| verdict.key == *key));
        self.place(orphans);
        self.convict(verdicts)
    }

    fn restart(&mut self, name: &str) -> Vec<ConfigKey> {
        let held = self.sets.get(name).cloned().unwrap_or_default();
        let death = Death { node: name.into(), ending: Ending::Restarted, last_heard: self.now, stamp: Stamp(5), held };
        let verdicts = self.watch.died(vec![death], self.sets.len(), self.now);
        for verdict in &verdicts {
            self.sets.values_mut().for_each(|set| set.retain(|held| *held != verdict.key));
        }
        self.convict(verdicts)
    }

    fn convict(&mut self, verdicts: Vec<Verdict>) -> Vec<ConfigKey> {
        let keys = verdicts.iter().map(|verdict| verdict.key).collect();
        self.quarantined.extend(verdicts);
        keys
    }

    fn join(&mut self, name: &str) {
        self.sets.insert(name.into(), Vec::new());
    }
}

#[test]
fn a_killer_is_found_among_200_innocent_configs_on_10_runners() {
    let mut cluster = Cluster::new(10, 200);
    cluster.place(vec![ConfigKey(999)]);
    let mut deaths = 0;
    while cluster.quarantined.is_empty() {
        let victim = cluster.owner(999).unwrap();
        cluster.pass(20 * Duration::from_secs(1));
        cluster.lose(&[victim.as_str()]);
        deaths += 1;
        assert!(deaths <= 3, "nobody was found after {deaths} deaths");
    }
    assert!(cluster.quarantined.iter().any(|verdict| verdict.key == ConfigKey(999) && verdict.killed.len() == deaths));
    assert!(cluster.quarantined.len() <= QuarantinePolicy::default().max_suspects);
    assert_eq!(deaths, 2);
}

#[test]
fn a_config_that_turns_into_a_killer_after_days_is_found_too() {
    let mut cluster = Cluster::new(10, 200);
    let mut deaths = 0;
    while cluster.quarantined.is_empty() && deaths < 5 {
        let victim = cluster.owner(7).unwrap();
        cluster.pass(20 * Duration::from_secs(1));
        cluster.lose(&[victim.as_str()]);
        deaths += 1;
    }
    assert!(cluster.quarantined.iter().any(|verdict| verdict.key == ConfigKey(7)));
    assert_eq!(deaths, 3, "where it has been for days it is no suspect");
}

#[test]
fn moves_for_balance_in_between_do_not_help_a_killer() {
    let mut cluster = Cluster::new(10, 200);
    cluster.place(vec![ConfigKey(999)]);
    let first = cluster.owner(999).unwrap();
    cluster.pass(MINUTE);
    cluster.lose(&[first.as_str()]);
    cluster.pass(8 * MINUTE);
    let others: Vec<_> = cluster.sets.keys().map(ToString::to_string).collect();
    let elsewhere = others.iter().find(|name| cluster.owner(999).as_ref() != Some(*name)).unwrap().clone();
    cluster.shift(999, &elsewhere);
    cluster.pass(8 * MINUTE);
    assert_eq!(cluster.lose(&[elsewhere.as_str()]), [ConfigKey(999)]);
}

#[test]
fn what_survives_on_a_runner_is_cleared() {
    let mut cluster = Cluster::new(10, 200);
    cluster.place(vec![ConfigKey(999)]);
    let first = cluster.owner(999).unwrap();
    cluster.pass(MINUTE);
    cluster.lose(&[first.as_str()]);
    cluster.pass(11 * MINUTE);
    let second = cluster.owner(999).unwrap();
    cluster.lose(&[second.as_str()]);
    cluster.pass(MINUTE);
    let third = cluster.owner(999).unwrap();
    assert_eq!(cluster.lose(&[third.as_str()]), []);
}

#[test]
fn one_death_is_never_enough() {
    let mut cluster = Cluster::new(3, 0);
    cluster.place(vec![ConfigKey(1)]);
    cluster.pass(MINUTE);
    let victim = cluster.owner(1).unwrap();
    assert_eq!(cluster.lose(&[victim.as_str()]), []);
}

#[test]
fn what_came_after_the_last_poll_was_never_run() {
    let mut watch = DeathWatch::new(QuarantinePolicy::default());
    for (round, node) in ["a", "b", "c"].into_iter().enumerate() {
        let at = Duration::from_secs(60 * round as u64 + 60);
        watch.placed(ConfigKey(1), Some(&node.into()), at);
        let death = Death {
            node: node.into(),
            ending: Ending::Lost,
            last_heard: at.saturating_sub(Duration::from_secs(1)),
            stamp: Stamp(5),
            held: vec![ConfigKey(1)],
        };
        assert_eq!(watch.died(vec![death], 10, at + EXPIRY), []);
    }
}

#[test]
fn a_pool_that_goes_down_quarantines_nobody() {
    let mut cluster = Cluster::new(10, 0);
    cluster.place((0..10).map(ConfigKey).collect());
    cluster.pass(MINUTE);
    cluster.lose(&["r00", "r01", "r02", "r03"]);
    cluster.pass(MINUTE);
    cluster.lose(&["r04", "r05", "r06"]);
    cluster.pass(MINUTE);
    cluster.lose(&["r07", "r08"]);
    assert_eq!(cluster.quarantined, []);
}

#[test]
fn deaths_of_a_mass_event_that_are_noticed_one_by_one_count_for_nobody_either() {
    let mut watch = DeathWatch::new(QuarantinePolicy::default());
    let last_heard = 10 * MINUTE;
    for (key, node) in ["a", "b"].into_iter().enumerate() {
        watch.placed(ConfigKey(key as u128), Some(&node.into()), last_heard.saturating_sub(MINUTE));
    }
    let die = |watch: &mut DeathWatch, node: &str, heard: Duration, held: &[u128]| {
        let held = held.iter().copied().map(ConfigKey).collect();
        watch.died(vec![Death { node: node.into(), ending: Ending::Lost, last_heard: heard, stamp: Stamp(5), held }], 4, heard + EXPIRY)
    };
    assert_eq!(die(&mut watch, "a", last_heard, &[0]), []);
    watch.placed(ConfigKey(0), Some(&"c".into()), last_heard + EXPIRY);
    assert_eq!(die(&mut watch, "b", last_heard + Duration::from_secs(9), &[1]), []);
    assert_eq!(die(&mut watch, "c", last_heard + 3 * MINUTE, &[0]), [], "the first death does not count any more");
}

#[test]
fn a_runner_that_was_out_of_reach_never_died() {
    let mut cluster = Cluster::new(10, 200);
    cluster.place(vec![ConfigKey(999)]);
    for _ in 0..4 {
        let owner = cluster.owner(999).unwrap();
        cluster.pass(MINUTE);
        cluster.lose(&[owner.as_str()]);
        cluster.join(&owner);
        cluster.watch.returned(&owner.as_str().into(), Stamp(5));
        cluster.pass(MINUTE);
    }
    assert_eq!(cluster.quarantined, []);
}

#[test]
fn a_runner_that_flaps_quarantines_nobody() {
    for period in [40, 70, 130, 310, 700] {
        let mut cluster = Cluster::new(10, 200);
        for key in 1000..1030 {
            cluster.lose(&["r03"]);
            cluster.pass(Duration::from_secs(10));
            cluster.join("r03");
            // Two new ones, one of which goes to the runner that is empty.
            cluster.place(vec![ConfigKey(key), ConfigKey(key + 1000)]);
            cluster.pass(Duration::from_secs(period));
        }
        assert_eq!(cluster.quarantined, [], "every {period} s");
    }
}

#[test]
fn a_runner_that_crashes_in_place_is_blamed_first_and_a_config_after_the_third_time() {
    let mut cluster = Cluster::new(5, 50);
    cluster.place(vec![ConfigKey(999)]);
    let name = cluster.owner(999).unwrap();
    let mut crash = || {
        cluster.pass(MINUTE);
        cluster.restart(&name)
    };
    assert_eq!([crash(), crash(), crash()], [vec![], vec![], vec![ConfigKey(999)]]);
}

#[test]
fn a_config_that_crashes_two_runners_in_place_is_quarantined_at_once() {
    let mut cluster = Cluster::new(5, 50);
    cluster.place(vec![ConfigKey(999)]);
    cluster.pass(MINUTE);
    let first = cluster.owner(999).unwrap();
    assert_eq!(cluster.restart(&first), []);
    let second = cluster.sets.keys().find(|name| name.as_str() != first).unwrap().to_string();
    cluster.shift(999, &second);
    cluster.pass(MINUTE);
    assert_eq!(cluster.restart(&second), [ConfigKey(999)]);
    let killed: Vec<_> = cluster.quarantined[0].killed.iter().map(ToString::to_string).collect();
    assert_eq!(killed, [first, second]);
}

#[test]
fn a_runner_that_crashed_before_is_not_the_fault_of_what_came_then() {
    let mut cluster = Cluster::new(5, 50);
    cluster.restart("r00");
    cluster.pass(MINUTE);
    cluster.shift(7, "r00");
    for _ in 0..5 {
        cluster.pass(MINUTE);
        assert_eq!(cluster.restart("r00"), []);
    }
}

#[test]
fn a_roll_of_restarts_quarantines_nobody_even_when_everything_is_new() {
    for rounds in 1..=4 {
        let mut cluster = Cluster::new(10, 0);
        cluster.place((0..200).map(ConfigKey).collect());
        for number in 0..10 * rounds {
            cluster.pass(Duration::from_secs(15));
            cluster.restart(&format!("r{:02}", number % 10));
        }
        assert_eq!(cluster.quarantined, [], "{rounds} rounds");
    }
}

#[test]
fn a_roll_in_which_every_runner_expires_and_comes_back_empty_quarantines_nobody() {
    let mut cluster = Cluster::new(10, 200);
    for number in 0..10 {
        let name = format!("r{number:02}");
        cluster.lose(&[&name]);
        cluster.pass(Duration::from_secs(10));
        cluster.join(&name);
        cluster.pass(Duration::from_secs(20));
    }
    assert_eq!(cluster.quarantined, []);
}

#[test]
fn one_more_death_after_a_release_is_enough() {
    let mut cluster = Cluster::new(10, 200);
    cluster.place(vec![ConfigKey(999)]);
    while cluster.quarantined.is_empty() {
        let victim = cluster.owner(999).unwrap();
        cluster.pass(MINUTE);
        cluster.lose(&[victim.as_str()]);
    }
    cluster.pass(30 * MINUTE);
    cluster.watch.release(ConfigKey(999));
    cluster.place(vec![ConfigKey(999)]);
    let owner = cluster.owner(999).unwrap();
    cluster.pass(MINUTE);
    assert_eq!(cluster.lose(&[owner.as_str()]), [ConfigKey(999)]);
    cluster.watch.forget(ConfigKey(999));
    cluster.place(vec![ConfigKey(999)]);
    let owner = cluster.owner(999).unwrap();
    cluster.pass(MINUTE);
    assert_eq!(cluster.lose(&[owner.as_str()]), [], "somebody vouched for it");
}

#[test]
fn nothing_is_watched_when_it_is_off() {
    let mut watch = DeathWatch::new(QuarantinePolicy { enabled: false, ..QuarantinePolicy::default() });
    for (round, node) in ["a", "b", "c"].into_iter().enumerate() {
        let at = Duration::from_secs(60 * round as u64);
        watch.placed(ConfigKey(1), Some(&node.into()), at);
        let death =
            Death { node: node.into(), ending: Ending::Lost, last_heard: at + MINUTE / 2, stamp: Stamp(5), held: vec![ConfigKey(1)] };
        assert_eq!(watch.died(vec![death], 10, at + MINUTE), []);
    }
    assert!(watch.arrivals.is_empty() && watch.deaths.is_empty());
}

#[test]
fn what_is_over_is_forgotten() {
    let mut cluster = Cluster::new(10, 200);
    cluster.lose(&["r00"]);
    cluster.pass(MINUTE);
    cluster.lose(&["r01"]);
    cluster.pass(30 * MINUTE);
    assert!(cluster.watch.arrivals.is_empty() && cluster.watch.deaths.is_empty() && cluster.watch.records.is_empty());
}

#[test]
fn deaths_that_have_nothing_to_do_with_configs_convict_next_to_nobody() {
    let (mut dead, mut convicted) = (0, 0);
    for seed in 0..300_u64 {
        let mut state = seed;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut cluster = Cluster::new(30, 300);
        for _ in 0..10 {
            let name = format!("r{:02}", draw(30));
            cluster.lose(&[&name]);
            cluster.pass(Duration::from_secs(10 + draw(300)));
            cluster.join(&name);
            dead += 1;
        }
        convicted += cluster.quarantined.len();
    }
    assert!(convicted * 500 < dead, "{convicted} innocent configs in {dead} deaths");
}
