//! `muster demo`: servers and runners as real processes on this machine, a target to check, an intake that counts, and a script
//! that kills, changes and breaks things and shows what moved, why, and what it cost.
//!
//! Its stage, intake and target are public: the tests of the real binary play other scripts on them.

pub mod check_file;
pub mod evidence;
pub mod intake;
pub mod payload;
pub mod picture;
mod script;
pub mod server_view;
pub mod service;
mod show;
pub mod spooled;
pub mod stage;
pub mod target;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::demo::intake::Intake;
pub use crate::demo::script::ACTS;
use crate::demo::script::{Play, RUNNERS, SERVERS};
use crate::demo::show::{ActReport, Screen, Totals};
use crate::demo::stage::{EXPIRATION_SECONDS, LEASE_SECONDS, POLL_SECONDS, RETRY_SECONDS, Stage, runner_key, runner_name};
use crate::demo::target::Target;

/// How the demo is to be played.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// Each act takes at least this long.
    pub act_takes: Duration,
    /// Wait for Enter after each act.
    pub pause: bool,
    /// Print JSON lines instead of text.
    pub json: bool,
    /// No colours even on a terminal.
    pub no_colour: bool,
    /// Keep the folder with configs and logs.
    pub keep: bool,
}

/// How the demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every act was played and every invariant held.
    Held,
    /// Every act was played and an invariant broke.
    Broken,
    /// A signal ended it.
    Interrupted,
    /// Whoever read standard output went away.
    NobodyReads,
}

/// Plays the demo. No child process is left, however it ends.
///
/// Errors: the stage could not be set, or an act did not come to its end.
pub async fn run(options: DemoOptions) -> anyhow::Result<Outcome> {
    let screen = Screen::new(options.json, options.no_colour);
    let keys: BTreeMap<String, String> = (1..=RUNNERS + 1).map(|number| (runner_key(number), runner_name(number))).collect();
    let target = Target::start()?;
    let intake = Intake::start(keys)?;
    let stage = Stage::set(std::env::current_exe()?, &std::env::temp_dir(), format!("http://{}", intake.address), SERVERS)?;
    screen.say(&format!(
        "muster demo: {SERVERS} servers, {RUNNERS} runners, something to check, an intake that counts.\n\
         Checks run every second; runners poll every {POLL_SECONDS} s and are given up after {EXPIRATION_SECONDS} s.\n\
         Runners reach any server, as through a Service; the lease of the one that leads is {LEASE_SECONDS} s.\n\
         What the intake does not take is sent again after {RETRY_SECONDS} s.\n\
         Files and logs{}:\n  {}",
        if options.keep { "" } else { ", removed at the end unless --keep is given" },
        stage.folder().display()
    ));
    let mut play = Play::new(&stage, &intake, &screen, target.address.to_string(), options.act_takes)?;
    let mut reports: Vec<ActReport> = Vec::new();
    let interrupted = interruption()?;
    let played = tokio::select! {
        played = play_all(&mut play, &screen, &options, &mut reports) => played,
        () = interrupted => Ok(Some(Outcome::Interrupted)),
    };
    let tails = if played.is_err() { play.log_tails() } else { String::new() };
    play.end().await;
    let ended_early = match played {
        Ok(early) => early,
        Err(error) => {
            screen.say(&tails);
            return Err(error.context(format!("the folder {} keeps configs and logs", stage.folder().display())));
        }
    };
    if !options.keep {
        stage.clear();
    }
    if let Some(outcome) = ended_early {
        screen.say(&format!("\nEnded after {} of {ACTS} acts; all processes are stopped.", reports.len()));
        return Ok(outcome);
    }
    let totals = intake.read(|ledger| Totals {
        reports: ledger.evidence.count(),
        payloads: ledger.payloads.clone(),
        bytes: ledger.bytes,
        unreadable: ledger.unreadable,
        target_requests: target.requests.load(std::sync::atomic::Ordering::Relaxed),
    });
    screen.close(&reports, &totals);
    target.stop().await;
    intake.close().await;
    Ok(if reports.iter().all(ActReport::held) { Outcome::Held } else { Outcome::Broken })
}

/// Resolves when the user or the system wants the demo to end; from the call on, these signals do not kill this process.
fn interruption() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Plays act after act; `Some` when it ended before the last.
async fn play_all(
    play: &mut Play<'_>,
    screen: &Screen,
    options: &DemoOptions,
    reports: &mut Vec<ActReport>,
) -> anyhow::Result<Option<Outcome>> {
    for number in 1..=ACTS {
        screen.title(number, ACTS, Play::title(number));
        let report = play.act(number).await?;
        screen.report(&report);
        reports.push(report);
        if screen.nobody_reads() {
            return Ok(Some(Outcome::NobodyReads));
        }
        if options.pause && number < ACTS {
            screen.say("      Enter for the next act");
            enter().await;
        }
    }
    Ok(None)
}

/// Waits for a line on standard input, or its end.
///
/// On a thread of its own: the end of a runtime waits for its blocking threads, and this one may never return.
async fn enter() {
    let (done, pressed) = oneshot::channel();
    std::thread::spawn(move || {
        // What was typed does not matter, nor does a terminal that is gone or a demo that ended meanwhile.
        io::stdin().read_line(&mut String::new()).ok();
        done.send(()).ok();
    });
    pressed.await.ok();
}
