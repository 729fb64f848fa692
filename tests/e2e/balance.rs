//! Rebalancing while leaders die: nothing is lost or doubled, demands and the budget outlive whoever carried them out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::agents::client;
use crate::ledger::{NEVER_NOWHERE, NEVER_TWICE, Set};
use crate::prober::Prober;
use crate::scenery::annotated;
use crate::statistics::{Costs, Form, Statistics, WORKERS, number_of};
use crate::world::{SHOP, Size, TOKEN, World};

const RUNNERS: usize = 30;
const CHECKS: usize = 150;

/// Moves that balancing may make in ten minutes: 5 % of all checks. Source: cluster-checks 11.5.
const BUDGET: u64 = 8;

/// What a check of a runner costs that gets expensive. Units: workers.
const EXPENSIVE: f64 = 0.6;

/// Runners whose checks get expensive with every round: more to do than the budget allows.
const HEATED: usize = 4;

/// From the request to the end of the leader, in times of what a dry run takes: while it plans, replicates, publishes, and after it.
const DELAYS: [f64; 7] = [1.5, 1.0, 0.0, 1.2, 3.0, 0.5, 0.8];

/// One line of the table.
struct Row {
    what: &'static str,
    delay: Duration,
    planned: u64,
    answered: bool,
    moved: u64,
    blind: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_die_while_they_rebalance() {
    #[expect(clippy::disallowed_methods, reason = "the switch of this test, documented in tests/e2e/main.rs")]
    let full = std::env::var("MUSTER_E2E").is_ok_and(|value| value == "full");
    let (rounds, lease_seconds) = if full { (10, 15) } else { (2, 6) };
    let mut stage = Stage::set(lease_seconds, full).await;
    let mut rows = Vec::new();
    for round in 0..rounds {
        // The first half within the budget and with an isolated check, the rest as if there were neither.
        rows.push(stage.play(round, round >= rounds / 2).await);
    }
    stage.until_nothing_moves().await;
    println!("{CHECKS} checks on {RUNNERS} runners, lease {lease_seconds} s; lost 0, doubled 0 in every line");
    for row in rows {
        println!(
            "{:<24} killed after {:>4} ms  answered {:<5}  planned {:>3}  moved {:>3}  blind {:>6.2} s",
            row.what,
            row.delay.as_millis(),
            row.answered,
            row.planned,
            row.moved,
            row.blind.as_secs_f64()
        );
    }
    stage.world.statistics.as_ref().unwrap().assert_well();
    stage.world.assert_rights_suffice();
}

/// The world, and what was demanded of it.
struct Stage {
    world: World,
    prober: Prober,
    costs: Costs,
    /// Part of an instance, and the runner that has nothing else.
    isolated: Option<(String, String)>,
    /// Part of an instance, and its runner.
    pinned: (String, String),
    /// Moves that counted against the budget.
    spent: u64,
    /// How often other checks got expensive.
    heats: usize,
}

impl Stage {
    async fn set(lease_seconds: u64, full: bool) -> Self {
        let size = Size { nodes: 3, runners: RUNNERS, cluster_checks: 0, endpoint_checks: 0, mistakes: 0, replicas: 3, lease_seconds };
        let mut world = World::prepare(size).await;
        let costs = Costs::default();
        let forms: Vec<Form> = (0..RUNNERS)
            .map(|number| match number {
                0 => Form::Hanging,
                1 => Form::Garbage,
                2 => Form::Failing,
                3..8 => Form::Oldest,
                8..16 => Form::Middle,
                _ => Form::Newest,
            })
            .collect();
        let statistics = Statistics::start(TOKEN, &forms, &costs, &world.runners);
        for replica in &mut world.replicas {
            replica.set("DD_CLUSTER_CHECKS_CLC_RUNNERS_PORT", &statistics.port.to_string());
            replica.set("DD_CLUSTER_CHECKS_WARMUP_DURATION", "2");
            // What runs at most once waits a little longer than this whenever a term begins.
            replica.set("DD_CLUSTER_CHECKS_NODE_EXPIRATION_TIMEOUT", "10");
            // Only what this test asks for moves anything.
            replica.set("MUSTER_REBALANCE_APPROVAL", "true");
        }
        world.statistics = Some(statistics);
        world.launch().await;
        // Only who has polled gets anything.
        world.until_all_polled().await;
        let services = (0..CHECKS).map(|number| annotated(&format!("cluster-{number}"), &check(number, full))).collect();
        world.admin.create_all(&format!("/api/v1/namespaces/{SHOP}/services"), services).await.unwrap();
        world.size.cluster_checks = CHECKS;
        world.until_quiet(2).await;
        let prober = world.prober();
        let mut stage = Self { world, prober, costs, isolated: None, pinned: (String::new(), String::new()), spent: 0, heats: 0 };
        stage.pin().await;
        stage.isolate().await;
        stage.until_at_rest().await;
        stage.judge("pinned and isolated");
        // A leader asks runners when its term begins, and then once a minute.
        stage.heat();
        stage.hand_on().await;
        stage
    }

    /// The leader stops in good order, so that another one asks the runners anew.
    async fn hand_on(&mut self) {
        let leader = self.world.until_led(&self.prober).await;
        let port = self.world.replicas[leader].port;
        self.world.stop_replica(leader).await;
        self.world.until("another replica leads", async || self.prober.leader().is_some_and(|now| now != port)).await;
        self.world.start_replica(leader);
        self.world.replicas[leader].until_ready().await;
    }

    /// Plays one round: the leader is asked to rebalance, and killed; another one leads on, and is asked again.
    async fn play(&mut self, round: usize, force: bool) -> Row {
        let what = if force { "forced" } else { "within the budget" };
        let leader = self.world.until_led(&self.prober).await;
        let port = self.world.replicas[leader].port;
        let planned = self.until_planned(port, force).await;
        let began = Instant::now();
        self.dry_run(port, force).await;
        let (before, delay) = (self.world.runners.given(), began.elapsed().mul_f64(DELAYS[round % DELAYS.len()]));
        self.prober.begin();
        let request = tokio::spawn(rebalance(port, json!({"force": force, "details": true})));
        sleep(delay).await;
        self.world.kill_replica(leader).await;
        let answered = request.await.unwrap().is_some();
        self.heat();
        let led = async || self.prober.leader().is_some_and(|now| now != port);
        self.world.until("another replica leads", led).await;
        self.world.start_replica(leader);
        self.until_at_rest().await;
        let moved = self.world.runners.given() - before;
        // It is one change of the assignment: all of it was saved, or nothing.
        assert!([0, planned].contains(&moved), "{what}: {moved} of {planned} moves were made\n{}", self.world.words());
        assert!(!answered || moved == planned, "{what}: the leader answered that it moved {planned}, but {moved} moved");
        if force {
            self.end_of_isolation(moved > 0).await;
        } else {
            self.spent += moved;
            self.use_up_the_budget().await;
        }
        self.judge(what);
        self.prober.assert_one_leader();
        let row = Row { what, delay, planned, answered, moved, blind: self.prober.blind() };
        self.world.replicas[leader].until_ready().await;
        row
    }

    /// Waits until the leader has figures that call for something, and returns the number of moves. What the budget forbids is none.
    async fn until_planned(&self, port: u16, force: bool) -> u64 {
        let knows = async || self.dry_run(port, true).await.is_some_and(|answer| moves(&answer) > 0);
        self.world.until("the leader knows what to balance", knows).await;
        moves(&self.dry_run(port, force).await.expect("the leader answers"))
    }

    async fn dry_run(&self, port: u16, force: bool) -> Option<Json> {
        rebalance(port, json!({"force": force, "dry_run": true, "details": true})).await
    }

    /// What the leader before has left of the budget, its successor may move, and not more.
    async fn use_up_the_budget(&mut self) {
        let port = self.world.replicas[self.world.until_led(&self.prober).await].port;
        self.until_planned(port, false).await;
        let before = self.world.runners.given();
        let answer = rebalance(port, json!({"details": true})).await.expect("the leader answers");
        let planned = moves(&answer);
        assert_eq!(answer["plan"]["stopped"], "budget_used_up", "there is more to do than may be done: {answer:#}");
        assert_eq!((answer["plan"]["budget"].as_u64(), answer["plan"]["spent"].as_u64()), (Some(BUDGET), Some(self.spent)), "{answer:#}");
        self.until_at_rest().await;
        assert_eq!(self.world.runners.given() - before, planned, "each check moves once: {answer:#}");
        self.spent += planned;
        assert_eq!(self.spent, BUDGET, "moves within ten minutes, over all leaders so far");
    }

    /// A forced rebalance ends isolations. If it was lost with its leader, the isolation still stands, and is ended by hand.
    async fn end_of_isolation(&mut self, made: bool) {
        let Some((part, runner)) = self.isolated.clone() else { return };
        let constraints = self.ask("/api/v1/muster/constraints").await;
        let stands = constraints["isolations"].as_array().unwrap().iter().any(|isolation| isolation["node"] == runner);
        assert_eq!(stands, !made, "the isolation of {part} on {runner}: {constraints:#}");
        self.isolated = self.isolated.take().filter(|_| stands);
    }

    /// Panics if a check is lost or doubled, or a demand is not met.
    fn judge(&self, what: &str) {
        let owners = self.world.runners.owners();
        assert_eq!(owners.len(), CHECKS, "{what}: checks are lost\n{}", self.world.words());
        self.world.runners.assert_well();
        let runs = |part: &str| owners.iter().find(|(instance, _)| instance.contains(part)).map(|(_, owners)| owners.clone());
        assert_eq!(runs(&self.pinned.0), Some(vec![self.pinned.1.clone()]), "{what}: the pinned check left its runner");
        if let Some((part, runner)) = &self.isolated {
            let set = self.world.runners.account(runner).set;
            assert!(
                set.len() == 1 && set.iter().all(|instance| instance.contains(part)),
                "{what}: {part} is not alone on {runner}: {set:?}"
            );
        }
    }

    /// Waits until nothing is on its way and nobody is told anything new.
    async fn until_at_rest(&self) {
        self.world.until_led(&self.prober).await;
        let arrived = async || self.ask("/api/v1/muster/constraints").await["moving"].as_array().is_some_and(Vec::is_empty);
        self.world.until("nothing is on its way", arrived).await;
        self.world.until_quiet(2).await;
    }

    /// The checks of a few runners get expensive, all others are cheap again.
    fn heat(&mut self) {
        let statistics = self.world.statistics.as_ref().unwrap();
        let accounts = self.world.runners.accounts();
        let telling = accounts.iter().filter(|(name, account)| statistics.form_of(name).tells() && account.set.len() > 3);
        let sets: Vec<&Set> = telling.map(|(_, account)| &account.set).collect();
        assert!(sets.len() >= HEATED, "there are runners with several checks");
        let chosen = sets.iter().cycle().skip(self.heats * HEATED).take(HEATED);
        self.costs.replace(chosen.copied().flatten().map(|instance| (number_of(instance), EXPENSIVE)));
        self.heats += 1;
    }

    /// Some check of a runner whose figures arrive: its id, part of its instance, and the runner.
    fn some_check(&self, suits: impl Fn(&str, &str) -> bool) -> (String, String, String) {
        let statistics = self.world.statistics.as_ref().unwrap();
        let accounts = self.world.runners.accounts().into_iter().filter(|(name, _)| statistics.form_of(name).tells());
        let checks = accounts.flat_map(|(name, account)| {
            account.checks.into_iter().map(move |(id, instance)| (id, format!("name: check-{}\n", number_of(&instance)), name.clone()))
        });
        let mut suitable = checks.filter(|(_, part, name)| suits(name, part));
        suitable.next().expect("a check on such a runner")
    }

    async fn pin(&mut self) {
        let (id, part, from) = self.some_check(|_, _| true);
        let (_, _, to) = self.some_check(|name, _| name != from);
        let answer = self.post("/api/v1/muster/pin", json!({"check": id, "node": to})).await.unwrap();
        assert_eq!(answer["moved"], 1, "{answer:#}");
        self.pinned = (part, to);
    }

    async fn isolate(&mut self) {
        let (id, part, runner) = self.some_check(|name, part| name != self.pinned.1 && part != self.pinned.0);
        let answer = self.post(&format!("/api/v1/clusterchecks/isolate/check/{id}"), json!({})).await.unwrap();
        assert_eq!((&answer["is_isolated"], &answer["check_node"]), (&json!(true), &json!(runner)), "{answer:#}");
        self.isolated = Some((part, runner));
    }

    /// Rebalances by the command of the program, asking a follower, until nothing is to be moved; then nothing may improve anything.
    async fn until_nothing_moves(&mut self) {
        // What was on its way when the last leader asked the runners, nobody knew.
        self.hand_on().await;
        let leader = self.world.until_led(&self.prober).await;
        let follower = (0..self.world.replicas.len()).find(|number| *number != leader && self.world.replicas[*number].runs()).unwrap();
        self.until_planned(self.world.replicas[leader].port, true).await;
        for time in 0.. {
            let before = self.world.runners.given();
            let answer = self.world.replicas[follower].ask_json(&["clusterchecks", "rebalance", "--force", "--json"]).await;
            self.isolated = None;
            self.until_at_rest().await;
            let moved = self.world.runners.given() - before;
            self.judge("evened out");
            if moved == 0 {
                println!("rebalancing moved nothing any more after {time} times: {}", summary(&answer));
                break;
            }
            assert!(time < 10, "rebalancing goes on and on: {answer:#}");
        }
        let port = self.world.replicas[self.world.until_led(&self.prober).await].port;
        let answer = self.dry_run(port, true).await.unwrap();
        self.assert_even(&answer["plan"]);
    }

    /// Panics unless the load is inside the band, or no single move between runners whose figures arrive improves anything.
    fn assert_even(&self, plan: &Json) {
        assert!(["inside_band", "nothing_improves"].iter().any(|end| plan["stopped"] == *end), "{plan:#}");
        let accounts = self.world.runners.accounts();
        let statistics = self.world.statistics.as_ref().unwrap();
        let mut loads = BTreeMap::new();
        for (name, account) in accounts.iter().filter(|(name, _)| statistics.form_of(name).tells()) {
            let needs: Vec<(f64, &String)> = account.set.iter().map(|one| (self.costs.of(number_of(one)), one)).collect();
            loads.insert(name, (needs.iter().map(|(need, _)| need).sum::<f64>() / WORKERS, needs));
        }
        let forecast = plan["forecast"].as_array().unwrap();
        assert_eq!(forecast.len(), RUNNERS, "every runner is usable: {plan:#}");
        for (name, (load, _)) in &loads {
            let told = forecast.iter().find(|one| one["runner"] == ***name).and_then(|one| one["after"].as_f64()).unwrap();
            assert!((told - load).abs() < 0.001, "{name} has {load}, and the plan says {told}: {plan:#}");
        }
        let (mean, tolerance) = (plan["mean"].as_f64().unwrap(), plan["tolerance"].as_f64().unwrap());
        if plan["stopped"] == "inside_band" {
            for one in forecast {
                assert!((one["after"].as_f64().unwrap() - mean).abs() <= tolerance + 1e-9, "{one} is outside of {mean} +- {tolerance}");
            }
            return;
        }
        for (source, (from, needs)) in loads.iter().filter(|(_, (load, _))| *load > mean) {
            for (destination, (to, _)) in loads.iter().filter(|(_, (load, _))| *load < mean) {
                for (need, instance) in needs.iter().filter(|(_, instance)| !instance.contains(&self.pinned.0)) {
                    let gain = 2.0 * need * (from - to) - need * need * (2.0 / WORKERS);
                    assert!(gain <= 1e-9, "moving this from {source} ({from}) to {destination} ({to}) gains {gain}: {instance}");
                }
            }
        }
    }

    /// Asks the leader.
    async fn ask(&self, path: &str) -> Json {
        let Some(port) = self.prober.leader() else { return Json::Null };
        let answer = client().get(format!("https://127.0.0.1:{port}{path}")).bearer_auth(TOKEN).send().await;
        match answer {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Json::Null,
        }
    }

    async fn post(&self, path: &str, body: Json) -> Option<Json> {
        let port = self.world.replicas[self.world.until_led(&self.prober).await].port;
        post(port, path, body).await
    }
}

/// The answer to a command, if there is one.
async fn post(port: u16, path: &str, body: Json) -> Option<Json> {
    let request = client().post(format!("https://127.0.0.1:{port}{path}")).timeout(Duration::from_secs(10));
    let answer = request.bearer_auth(TOKEN).body(body.to_string()).send().await.ok()?;
    let status = answer.status();
    let text = answer.text().await.ok()?;
    assert!([200, 502, 503].contains(&status.as_u16()), "{path}: {status} {text}");
    if status != 200 {
        return None;
    }
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}")))
}

async fn rebalance(port: u16, body: Json) -> Option<Json> {
    post(port, "/api/v1/clusterchecks/rebalance", body).await
}

fn moves(answer: &Json) -> u64 {
    answer["plan"]["moves"].as_array().map_or(0, Vec::len) as u64
}

fn summary(answer: &Json) -> String {
    let plan = &answer["plan"];
    format!("{} at mean {}, tolerance {}", plan["stopped"], plan["mean"], plan["tolerance"])
}

/// A check with one of the orders in which a check changes its owner. Those that run at most once take long after each change of leaders.
fn check(number: usize, full: bool) -> Json {
    let (handover, tags) = match number % 4 {
        0 => ("any", json!([])),
        1 => ("overlap", json!([NEVER_NOWHERE])),
        2 if full => ("at_most_once", json!([NEVER_TWICE])),
        _ => ("gap", json!([NEVER_TWICE])),
    };
    let instance = json!({"name": format!("check-{number}"), "url": "http://%%host%%:%%port%%/", "tags": tags});
    let checks = json!({"http_check": {"init_config": {"muster_handover": handover}, "instances": [instance]}});
    json!({"ad.datadoghq.com/service.checks": checks.to_string()})
}
