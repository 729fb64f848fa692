//! The acts of the demo, in order, and what must hold in each.

mod leaders;
mod outage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_actors::kernel::clock::{Clock, SystemClock};

use crate::demo::check_file::{check_file, check_name};
use crate::demo::evidence::Evidence;
use crate::demo::intake::Intake;
use crate::demo::picture::{Move, Picture};
use crate::demo::server_view::{Decision, LookError, ServerView};
use crate::demo::show::{ActReport, Invariant, Screen};
use crate::demo::stage::{Actor, EXPIRATION_SECONDS, POLL_SECONDS, Stage, StageError, runner_name};

/// Servers.
pub const SERVERS: usize = 3;
/// Runners at the start.
pub const RUNNERS: usize = 3;
/// Checks at the start.
const CHECKS: usize = 12;
/// Acts of the script.
pub const ACTS: usize = 10;
/// Longest wait for anything; only catches hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why an act could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// A file or process of the stage failed.
    #[error("set the stage")]
    Stage(#[from] StageError),
    /// The server did not answer as expected.
    #[error("look at the server")]
    Look(#[from] LookError),
    /// The intake could not come back.
    #[error("open the intake again")]
    Intake(#[source] std::io::Error),
    /// What was waited for did not come.
    #[error("wait until {what}: not within {seconds} s")]
    Patience {
        /// What.
        what: String,
        /// How long.
        seconds: u64,
    },
}

impl ActError {
    fn patience(what: &str) -> Self {
        Self::Patience { what: what.to_owned(), seconds: PATIENCE.as_secs() }
    }
}

/// The play in progress.
pub struct Play<'a> {
    stage: &'a Stage,
    intake: &'a Intake,
    view: ServerView,
    screen: &'a Screen,
    target: String,
    servers: BTreeMap<String, Actor>,
    runners: BTreeMap<usize, Actor>,
    clock: SystemClock,
    /// Each act takes at least this long.
    act_takes: Duration,
    picture: Picture,
    names: BTreeMap<String, String>,
    last_decision: i64,
}

struct Opening {
    began: Duration,
    began_unix: i64,
    before: Picture,
}

impl<'a> Play<'a> {
    /// Prepares the play; nothing runs yet.
    ///
    /// Errors: [`ActError::Look`].
    pub fn new(stage: &'a Stage, intake: &'a Intake, screen: &'a Screen, target: String, act_takes: Duration) -> Result<Self, ActError> {
        Ok(Self {
            stage,
            intake,
            view: ServerView::of(stage)?,
            screen,
            target,
            servers: BTreeMap::new(),
            runners: BTreeMap::new(),
            clock: SystemClock::new(),
            act_takes,
            picture: Picture::default(),
            names: BTreeMap::new(),
            last_decision: 0,
        })
    }

    /// Plays act `number`, counted from 1.
    ///
    /// Errors: [`ActError`].
    pub async fn act(&mut self, number: usize) -> Result<ActReport, ActError> {
        match number {
            1 => self.discover().await,
            2 => self.dispatch().await,
            3 => self.kill_a_runner().await,
            4 => self.add_a_runner().await,
            5 => self.change_a_file().await,
            6 => self.break_a_file().await,
            7 => self.kill_the_leader().await,
            8 => self.stop_the_leader().await,
            9 => self.kill_all_servers().await,
            _ => self.take_the_intake_away().await,
        }
    }

    /// Title of act `number`, counted from 1.
    #[must_use]
    pub fn title(number: usize) -> &'static str {
        match number {
            1 => "discover: files are read, runners register, the cold leader warms up",
            2 => "dispatch: the warm-up is over",
            3 => "kill -9 a runner",
            4 => "add a runner, and a check",
            5 => "change a file",
            6 => "break a file",
            7 => "kill -9 the leader, start it again",
            8 => "stop the leader, start it again",
            9 => "kill -9 all servers at once, start them again",
            _ => "intake down, kill -9 all servers four times, intake back",
        }
    }

    /// The tails of all logs, for the case that something failed.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let children = self.servers.values().chain(self.runners.values());
        children.map(|child| format!("--- {}\n{}", child.name, child.log_tail(15))).collect::<Vec<_>>().join("\n")
    }

    /// Stops all children.
    pub async fn end(&mut self) {
        for child in self.servers.values_mut().chain(self.runners.values_mut()) {
            child.kill().await;
        }
    }

    async fn discover(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        for number in 1..=CHECKS {
            self.write_check(number, 0)?;
        }
        for server in &self.stage.servers {
            self.start_server(&server.name)?;
        }
        for number in 1..=RUNNERS {
            self.runners.insert(number, self.stage.start_runner(number)?);
        }
        self.wait_for("every file is read and every runner has registered", async |play| {
            let picture = play.view.picture().await?;
            Ok(picture.checks() == CHECKS && picture.stamps.len() == RUNNERS)
        })
        .await?;
        let report = self.finish(opening, "discover").await?;
        let known = self.picture.checks();
        Ok(report.with("every config in the files is known", known == CHECKS, format!("{known} of {CHECKS}")))
    }

    async fn dispatch(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        self.wait_for("every check reported data", async |play| Ok(play.all_report(opening.began_unix, CHECKS))).await?;
        let report = self.finish(opening, "dispatch").await?;
        let load = self.picture.load();
        let (least, most) = (load.values().min().copied().unwrap_or(0), load.values().max().copied().unwrap_or(0));
        Ok(report.with("every config has an owner", self.picture.dangling.is_empty(), format!("{} configs", self.picture.checks())).with(
            "the load is even",
            most - least <= 1,
            format!("{least} to {most} configs per runner"),
        ))
    }

    async fn kill_a_runner(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        let victim_number = self.busiest_runner();
        let victim = runner_name(victim_number);
        if let Some(mut runner) = self.runners.remove(&victim_number) {
            runner.kill().await;
        }
        self.wait_for("its checks run elsewhere", async |play| {
            let picture = play.view.picture().await?;
            Ok(!picture.stamps.contains_key(&victim) && picture.dangling.is_empty())
        })
        .await?;
        let moved_at = self.clock.unix_seconds();
        self.wait_for("every check reported data again", async |play| Ok(play.all_report(moved_at, CHECKS))).await?;
        let before = opening.before.clone();
        let report = self.finish(opening, &format!("kill {victim}")).await?;
        let strangers: Vec<&Move> = report.moved.iter().filter(|change| change.from != victim).collect();
        let orphans = before.owners.values().filter(|owner| **owner == victim).count();
        let detail = format!("{} moved, {orphans} were on {victim}", report.moved.len());
        let exact = strangers.is_empty() && report.moved.len() == orphans;
        // Noticed after the expiration, fetched at the next poll, first run at once; what it held is lost, sweeps take a second, and
        // whole seconds are rounded.
        let bound = EXPIRATION_SECONDS + POLL_SECONDS + 7;
        let gap = report.gap();
        Ok(report.with("only the lost runner's configs moved", exact, detail).with(
            "the gap stays below expiry + poll + 7 s",
            gap <= bound as f64,
            format!("{gap} s, bound {bound} s"),
        ))
    }

    async fn add_a_runner(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        let number = RUNNERS + 1;
        let name = runner_name(number);
        self.runners.insert(number, self.stage.start_runner(number)?);
        self.wait_for("the runner has registered", async |play| Ok(play.view.picture().await?.stamps.contains_key(&name))).await?;
        self.write_check(CHECKS + 1, 0)?;
        self.wait_for("the new check reported data", async |play| Ok(play.all_report(opening.began_unix, CHECKS + 1))).await?;
        let report = self.finish(opening, &format!("add {name}")).await?;
        let owner = self.picture.owners.get(&check_name(CHECKS + 1)).cloned().unwrap_or_default();
        let only = report.moved.len() == 1;
        Ok(report
            .with("the new check went to the least loaded runner", owner == name, format!("{} runs on {owner}", check_name(CHECKS + 1)))
            .with("nothing else moved", only, "a new runner takes nothing away".to_owned()))
    }

    async fn change_a_file(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        let changed = check_name(1);
        let digest_before = self.names.iter().find(|(_, name)| **name == changed).map(|(digest, _)| digest.clone()).unwrap_or_default();
        self.write_check(1, 1)?;
        self.wait_for("the changed check is dispatched", async |play| {
            Ok(play.view.digests().await?.iter().any(|(name, digest)| *name == changed && *digest != digest_before))
        })
        .await?;
        let changed_at = self.clock.unix_seconds() + 1;
        self.wait_for("it reported data", async |play| Ok(play.all_report(changed_at, CHECKS + 1))).await?;
        let report = self.finish(opening, "change a file").await?;
        let strangers = report.moved.iter().filter(|change| change.check != changed).count();
        Ok(report.with("no other config was touched", strangers == 0, format!("{strangers} other configs moved")))
    }

    async fn break_a_file(&mut self) -> Result<ActReport, ActError> {
        let opening = self.open();
        self.stage.write_check_file("http_check.d/web-02.yaml", "instances:\n  - name: \"web-02\n    url: [unclosed\n")?;
        self.wait_for("configcheck shows the error", async |play| Ok(!play.view.file_errors().await?.is_empty())).await?;
        let errors = self.look("configcheck answers", async |view| view.file_errors().await).await?;
        let shown = errors.first().cloned().unwrap_or_default();
        let since = self.clock.unix_seconds() + 1;
        self.wait_for("every check still reports", async |play| Ok(play.all_report(since, CHECKS + 1))).await?;
        let report = self.finish(opening, "break a file").await?;
        let unmoved = report.moved.is_empty();
        let located = shown.contains("web-02.yaml") && shown.contains("line") && shown.contains("column");
        Ok(report.with("nothing stopped or moved", unmoved, "the last good form of the file keeps running".to_owned()).with(
            "the error names file, line and column",
            located,
            shown.replace(&format!("{}/", self.stage.folder().display()), ""),
        ))
    }

    fn start_server(&mut self, name: &str) -> Result<(), ActError> {
        self.servers.insert(name.to_owned(), self.stage.start_server(name)?);
        Ok(())
    }

    fn write_check(&self, number: usize, version: usize) -> Result<(), ActError> {
        let (name, text) = check_file(number, version, &self.target);
        Ok(self.stage.write_check_file(&name, &text)?)
    }

    fn busiest_runner(&self) -> usize {
        let load = self.picture.load();
        self.runners
            .keys()
            .copied()
            .max_by_key(|number| (load.get(runner_name(*number).as_str()).copied(), usize::MAX - number))
            .unwrap_or(1)
    }

    fn all_report(&self, since: i64, checks: usize) -> bool {
        let expected: BTreeSet<String> = (1..=checks).map(check_name).collect();
        self.intake.read(|ledger| ledger.evidence.silent(&expected, since).is_empty())
    }

    fn open(&self) -> Opening {
        Opening { began: self.clock.monotonic(), began_unix: self.clock.unix_seconds(), before: self.picture.clone() }
    }

    async fn wait_for(&self, what: &str, holds: impl AsyncFn(&Self) -> Result<bool, LookError>) -> Result<(), ActError> {
        self.wait(what, async || Ok(holds(self).await?.then_some(()))).await
    }

    /// Looks until there is an answer: while a leader is replaced, or renews its lease late on a busy machine, there is none.
    async fn look<T>(&self, what: &str, look: impl AsyncFn(&ServerView) -> Result<T, LookError>) -> Result<T, ActError> {
        self.wait(what, async || look(&self.view).await.map(Some)).await
    }

    async fn wait<T>(&self, what: &str, look: impl AsyncFn() -> Result<Option<T>, LookError>) -> Result<T, ActError> {
        let began = self.clock.monotonic();
        loop {
            // A server that is starting refuses connections; that is what we wait for.
            if let Ok(Some(found)) = look().await {
                return Ok(found);
            }
            let waited = self.clock.monotonic().saturating_sub(began);
            if waited > PATIENCE {
                return Err(ActError::patience(what));
            }
            self.screen.progress(&format!("waiting until {what} ({:.1} s)", waited.as_secs_f64()));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Looks at the result of an act: what moved and why, the gap, and the invariants that hold in every act.
    async fn finish(&mut self, opening: Opening, act: &str) -> Result<ActReport, ActError> {
        let taken = self.clock.monotonic().saturating_sub(opening.began);
        tokio::time::sleep(self.act_takes.saturating_sub(taken)).await;
        let after = self.look("the leader shows its table", async |view| view.picture().await).await?;
        for (name, digest) in self.look("the leader shows its table", async |view| view.digests().await).await? {
            self.names.insert(digest, name);
        }
        let mut moved = opening.before.moves_to(&after);
        let decisions = self.look("the leader shows its journal", async |view| view.decisions(self.last_decision).await).await?;
        self.last_decision = decisions.iter().map(|decision| decision.at).max().unwrap_or(self.last_decision);
        for change in &mut moved {
            // A changed check leaves under its old digest and comes under its new one; the reason of coming is the one to show.
            let about = |decision: &Decision| {
                let same = self.names.get(&decision.digest).is_some_and(|name| *name == change.check);
                same && (change.to.is_empty() || decision.cause != "removed")
            };
            change.why = decisions.iter().find(|decision| about(decision)).map(|decision| decision.cause.clone()).unwrap_or_default();
        }
        let (largest_gap, doubles) = self.intake.read(|ledger| gap_and_doubles(&ledger.evidence, opening.began_unix));
        let one_owner = after.doubled.is_empty();
        let backwards: Vec<&String> = opening
            .before
            .stamps
            .iter()
            .filter(|(runner, stamp)| after.stamps.get(*runner).is_some_and(|now| now < stamp))
            .map(|(runner, _)| runner)
            .collect();
        let invariants = vec![
            Invariant {
                name: "each config has exactly one owner or waits".into(),
                held: one_owner,
                detail: format!("{} configs", after.checks()),
            },
            Invariant { name: "no stamp went back".into(), held: backwards.is_empty(), detail: format!("{} runners", after.stamps.len()) },
            Invariant { name: "nothing ran twice for longer than one poll".into(), held: doubles.is_empty(), detail: doubles.join(", ") },
        ];
        let load = after.load().into_iter().map(|(runner, configs)| (runner.to_owned(), configs)).collect();
        let seconds = self.clock.monotonic().saturating_sub(opening.began).as_secs_f64();
        self.picture = after;
        Ok(ActReport { act: act.to_owned(), seconds, moved, largest_gap, load, succession: None, outage: None, invariants })
    }
}

fn gap_and_doubles(evidence: &Evidence, since: i64) -> (Option<crate::demo::evidence::Gap>, Vec<String>) {
    // Reports carry whole seconds, so a hand-over within one poll may look one second longer than it was.
    (evidence.largest_gap(since), evidence.double_runs(POLL_SECONDS.cast_signed() + 1))
}

impl ActReport {
    /// Seconds without data of some check; 0 where nothing is known.
    fn gap(&self) -> f64 {
        self.largest_gap.as_ref().map_or(0.0, |gap| gap.seconds as f64)
    }

    /// Seconds without a leader's answer; 0 where nobody looked.
    fn blind(&self) -> f64 {
        self.succession.as_ref().map_or(0.0, |succession| succession.blind_seconds)
    }

    fn with(mut self, name: &str, held: bool, detail: String) -> Self {
        self.invariants.push(Invariant { name: name.to_owned(), held, detail });
        self
    }
}
