//! `muster demo`: a server and runners as real processes on this machine, a target to check, an intake that counts, and a script
//! that kills, changes and breaks things and shows what moved, why, and what it cost.
//!
//! Its stage, intake and target are public: the tests of the real binary play other scripts on them.

pub mod check_file;
pub mod evidence;
pub mod intake;
pub mod picture;
mod script;
pub mod server_view;
mod show;
pub mod stage;
pub mod target;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::demo::intake::Intake;
pub use crate::demo::script::ACTS;
use crate::demo::script::{Play, RUNNERS};
use crate::demo::show::{ActReport, Screen};
use crate::demo::stage::{Stage, runner_key, runner_name};
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

/// Plays the demo. `Ok(true)` only if every invariant held.
///
/// Errors: the stage could not be set, or an act did not come to its end.
pub async fn run(options: DemoOptions) -> anyhow::Result<bool> {
    let screen = Screen::new(options.json, options.no_colour);
    let keys: BTreeMap<String, String> = (1..=RUNNERS + 1).map(|number| (runner_key(number), runner_name(number))).collect();
    let target = Target::start()?;
    let intake = Intake::start(keys)?;
    let stage = Stage::set(std::env::current_exe()?, &std::env::temp_dir(), format!("http://{}", intake.address))?;
    screen.say(&format!(
        "muster demo: one server, {RUNNERS} runners, a target on {}, an intake on {}.\nFiles and logs: {}",
        target.address,
        intake.address,
        stage.folder().display()
    ));
    let mut play = Play::new(&stage, &intake, &screen, target.address.to_string(), options.act_takes)?;
    let mut reports: Vec<ActReport> = Vec::new();
    let played = play_all(&mut play, &screen, &options, &mut reports).await;
    let tails = if played.is_err() { play.log_tails() } else { String::new() };
    play.end().await;
    if let Err(error) = played {
        screen.say(&tails);
        return Err(error.context(format!("the folder {} keeps configs and logs", stage.folder().display())));
    }
    let summary = intake.read(|ledger| {
        serde_json::json!({
            "reports": ledger.evidence.count(), "payloads": ledger.payloads, "bytes": ledger.bytes, "unreadable": ledger.unreadable,
            "target_requests": target.requests.load(std::sync::atomic::Ordering::Relaxed),
        })
    });
    screen.close(&reports, &summary);
    target.stop().await;
    intake.stop().await;
    if !options.keep {
        stage.clear();
    }
    Ok(reports.iter().all(ActReport::held))
}

async fn play_all(play: &mut Play<'_>, screen: &Screen, options: &DemoOptions, reports: &mut Vec<ActReport>) -> anyhow::Result<()> {
    for number in 1..=ACTS {
        screen.title(number, ACTS, Play::title(number));
        let report = play.act(number).await?;
        screen.report(&report);
        reports.push(report);
        if options.pause && number < ACTS {
            screen.say("      Enter for the next act");
            tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
        }
    }
    Ok(())
}
