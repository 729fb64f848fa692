//! How the demo is shown: lines for eyes on a terminal, one JSON object per act for programs.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::demo::evidence::Gap;
use crate::demo::picture::Move;

/// One thing that must be true, and whether it was.
#[derive(Debug, Clone, Serialize)]
pub struct Invariant {
    /// What must hold.
    pub name: String,
    /// Whether it held.
    pub held: bool,
    /// Figures behind the verdict.
    pub detail: String,
}

/// What one act showed.
#[derive(Debug, Clone, Serialize)]
pub struct ActReport {
    /// Title of the act.
    pub act: String,
    /// Seconds it took.
    pub seconds: f64,
    /// What changed its owner, and why.
    pub moved: Vec<Move>,
    /// Largest time without data of any check during the act.
    pub largest_gap: Option<Gap>,
    /// Configs per runner after the act.
    pub load: Vec<(String, usize)>,
    /// What had to hold.
    pub invariants: Vec<Invariant>,
}

impl ActReport {
    /// Whether everything held.
    #[must_use]
    pub fn held(&self) -> bool {
        self.invariants.iter().all(|invariant| invariant.held)
    }
}

/// Where and how to print.
pub struct Screen {
    json: bool,
    /// Colours and live progress.
    live: bool,
}

impl Screen {
    /// Chooses colours and live progress from what standard output is.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json, live: std::io::stdout().is_terminal() && !json }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.live { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(text: &str) {
        // A closed pipe must not end the demo half-way: the children still have to be stopped.
        writeln!(std::io::stdout(), "{text}").ok();
    }

    /// A line of plain text, for people only.
    pub fn say(&self, text: &str) {
        if !self.json {
            Self::line(text);
        }
    }

    /// Announces an act.
    pub fn title(&self, number: usize, of: usize, title: &str) {
        if !self.json {
            Self::line("");
            Self::line(&self.paint("1;36", &format!("[{number}/{of}] {title}")));
        }
    }

    /// Says what is waited for; replaced by the next such line on a terminal.
    pub fn progress(&self, text: &str) {
        if self.live {
            let mut out = std::io::stdout();
            write!(out, "\r\x1b[2K      {text}").ok();
            out.flush().ok();
        }
    }

    fn clear_progress(&self) {
        if self.live {
            write!(std::io::stdout(), "\r\x1b[2K").ok();
        }
    }

    /// Shows what an act showed.
    pub fn report(&self, report: &ActReport) {
        if self.json {
            match serde_json::to_string(report) {
                Ok(text) => Self::line(&text),
                Err(error) => Self::line(&format!("{{\"error\":\"{error}\"}}")),
            }
            return;
        }
        self.clear_progress();
        if report.moved.is_empty() {
            Self::line("      moved: nothing");
        } else {
            Self::line(&format!("      moved: {}", report.moved.len()));
            for change in &report.moved {
                let from = if change.from.is_empty() { "nobody" } else { &change.from };
                let to = if change.to.is_empty() { "nobody" } else { &change.to };
                Self::line(&format!("        {:<12} {from} -> {to}   {}", change.check, self.paint("2", &change.why)));
            }
        }
        let gap = report.largest_gap.as_ref().map_or_else(|| "no data yet".to_owned(), |gap| format!("{} s ({})", gap.seconds, gap.check));
        Self::line(&format!("      largest gap in any check's data: {gap}"));
        let load: Vec<String> = report.load.iter().map(|(runner, configs)| format!("{runner} {}", "#".repeat(*configs))).collect();
        Self::line(&format!("      load: {}", load.join("   ")));
        for invariant in &report.invariants {
            let mark = if invariant.held { self.paint("32", "held  ") } else { self.paint("1;31", "BROKEN") };
            Self::line(&format!("      {mark} {}   {}", invariant.name, self.paint("2", &invariant.detail)));
        }
    }

    /// The closing table and the verdict.
    pub fn close(&self, reports: &[ActReport], summary: &serde_json::Value) {
        let held = reports.iter().all(ActReport::held);
        if self.json {
            Self::line(&serde_json::json!({"summary": summary, "held": held}).to_string());
            return;
        }
        Self::line("");
        Self::line(&self.paint("1", "      act                                   seconds  moved  largest gap  invariants"));
        for report in reports {
            let gap = report.largest_gap.as_ref().map_or_else(|| "-".to_owned(), |gap| format!("{} s", gap.seconds));
            let broken = report.invariants.iter().filter(|invariant| !invariant.held).count();
            let verdict = if broken == 0 {
                self.paint("32", &format!("{} held", report.invariants.len()))
            } else {
                self.paint("1;31", &format!("{broken} BROKEN"))
            };
            Self::line(&format!("      {:<36} {:>8.1} {:>6} {:>12}  {verdict}", report.act, report.seconds, report.moved.len(), gap));
        }
        Self::line("");
        let verdict = if held { self.paint("1;32", "Every invariant held.") } else { self.paint("1;31", "An invariant broke.") };
        Self::line(&format!("      {verdict}   {summary}"));
    }
}
