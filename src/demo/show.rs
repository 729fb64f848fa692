//! How the demo is shown: lines for eyes on a terminal, one JSON object per act for programs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::demo::evidence::Gap;
use crate::demo::picture::Move;

/// Longest line, as far as words allow.
///
/// Units: columns.
const WIDTH: usize = 79;

/// What the intake and the target counted over all acts.
#[derive(Debug, Clone, Serialize)]
pub struct Totals {
    /// Reports of checks.
    pub reports: usize,
    /// Payloads by route.
    pub payloads: BTreeMap<String, u64>,
    /// Bytes of them, compressed as they came.
    pub bytes: u64,
    /// Payloads that could not be read.
    pub unreadable: u64,
    /// Requests that checks made.
    pub target_requests: u64,
}

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

/// How one leader followed another.
#[derive(Debug, Clone, Serialize)]
pub struct Succession {
    /// The server that leads after the act.
    pub leader: String,
    /// Its term of office.
    pub epoch: u64,
    /// The server that led before.
    pub leader_before: String,
    /// Its term of office.
    pub epoch_before: u64,
    /// Longest time in which no agent got an answer that only a leader gives.
    pub blind_seconds: f64,
    /// Polls that followers passed on to the leader during the act.
    pub relayed_polls: u64,
}

/// What became of events that were made while the intake was away.
#[derive(Debug, Clone, Serialize)]
pub struct Outage {
    /// Time without an intake that answers.
    pub intake_away_seconds: f64,
    /// Events made.
    pub events_made: usize,
    /// Of those made until then, on the disks after each `kill -9`.
    pub events_on_disk_at_kills: Vec<usize>,
    /// That reached the intake.
    pub events_arrived: usize,
    /// That reached it more than once.
    pub events_repeated: usize,
    /// That never reached it.
    pub events_missing: usize,
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
    /// Only of acts in which a leader ends.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub succession: Option<Succession>,
    /// Only of acts in which the intake goes away.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
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
    colours: bool,
    live: bool,
    nobody_reads: Cell<bool>,
}

impl Screen {
    /// Chooses colours and live progress from what standard output is.
    #[must_use]
    pub fn new(json: bool, no_colour: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { json, colours: terminal && !json && !no_colour, live: terminal && !json, nobody_reads: Cell::new(false) }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A closed pipe must not end the demo here and now: the children have to be stopped first.
    fn line(&self, text: &str) {
        let mut out = io::stdout();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            self.nobody_reads.set(true);
        }
    }

    /// Whether standard output was found closed.
    #[must_use]
    pub fn nobody_reads(&self) -> bool {
        self.nobody_reads.get()
    }

    /// A line of plain text, for people only.
    pub fn say(&self, text: &str) {
        if !self.json {
            self.clear_progress();
            self.line(text);
        }
    }

    /// Announces an act.
    pub fn title(&self, number: usize, of: usize, title: &str) {
        if !self.json {
            self.line("");
            self.line(&self.paint("1;36", &format!("[{number}/{of}] {title}")));
        }
    }

    /// Says what is waited for; replaced by the next such line on a terminal.
    pub fn progress(&self, text: &str) {
        if self.live {
            let mut out = io::stdout();
            // The next whole line finds out whether anyone reads.
            write!(out, "\r\x1b[2K      {text}").ok();
            out.flush().ok();
        }
    }

    fn clear_progress(&self) {
        if self.live {
            write!(io::stdout(), "\r\x1b[2K").ok();
        }
    }

    /// Shows what an act showed.
    pub fn report(&self, report: &ActReport) {
        if self.json {
            match serde_json::to_string(report) {
                Ok(text) => self.line(&text),
                Err(error) => self.line(&serde_json::json!({"error": error.to_string()}).to_string()),
            }
            return;
        }
        self.clear_progress();
        let moves = grouped(&report.moved);
        let widest = moves.iter().map(|(route, _)| route.len()).max().unwrap_or(0);
        self.line(&format!("      {}", counted(&report.moved)));
        for (route, checks) in &moves {
            let indent = 8 + widest + 2;
            let lines = wrapped(&checks.join(" "), WIDTH - indent);
            for (number, line) in lines.iter().enumerate() {
                let route = if number == 0 { route.as_str() } else { "" };
                self.line(&format!("        {}  {line}", self.paint("2", &format!("{route:<widest$}"))));
            }
        }
        let gap =
            report.largest_gap.as_ref().map_or_else(|| "no two reports".to_owned(), |gap| format!("{} s ({})", gap.seconds, gap.check));
        self.line(&format!("      largest gap in any check's data: {gap}"));
        let load: Vec<String> =
            report.load.iter().map(|(runner, configs)| format!("{runner} {configs} {}", "#".repeat(*configs))).collect();
        self.line(format!("      load: {}", load.join("  ")).trim_end());
        if let Some(Succession { leader, epoch, leader_before, epoch_before, blind_seconds, relayed_polls }) = &report.succession {
            self.line(&format!("      leader: {leader} (epoch {epoch}), before {leader_before} (epoch {epoch_before})"));
            self.line(&format!("      blind: {blind_seconds:.1} s; polls passed on by followers: {relayed_polls}"));
        }
        if let Some(outage) = &report.outage {
            let Outage { intake_away_seconds, events_made, events_arrived, events_repeated, events_missing, .. } = outage;
            let kept = listed(&outage.events_on_disk_at_kills);
            self.line(&format!("      intake away: {intake_away_seconds:.1} s; events made: {events_made}, on disk at each kill: {kept}"));
            self.line(&format!("      events arrived: {events_arrived}, more than once: {events_repeated}, missing: {events_missing}"));
        }
        for invariant in &report.invariants {
            let mark = if invariant.held { self.paint("32", "held  ") } else { self.paint("1;31", "BROKEN") };
            let Invariant { name, detail, .. } = invariant;
            if detail.is_empty() {
                self.line(&format!("      {mark} {name}"));
            } else if 13 + name.len() + 2 + detail.len() <= WIDTH {
                self.line(&format!("      {mark} {name}  {}", self.paint("2", detail)));
            } else {
                self.line(&format!("      {mark} {name}"));
                for line in wrapped(detail, WIDTH - 15) {
                    self.line(&format!("               {}", self.paint("2", &line)));
                }
            }
        }
    }

    /// The closing table and the verdict.
    pub fn close(&self, reports: &[ActReport], totals: &Totals) {
        let held = reports.iter().all(ActReport::held);
        if self.json {
            self.line(&serde_json::json!({"summary": totals, "held": held}).to_string());
            return;
        }
        self.line("");
        let widest = reports.iter().map(|report| report.act.len()).max().unwrap_or(0);
        self.line(&self.paint("1", &format!("      {:<widest$}  seconds  moved  largest gap  invariants", "act")));
        for report in reports {
            let gap = report.largest_gap.as_ref().map_or_else(|| "-".to_owned(), |gap| format!("{} s", gap.seconds));
            let moved = report.moved.iter().filter(|change| !change.from.is_empty()).count();
            let broken = report.invariants.iter().filter(|invariant| !invariant.held).count();
            let verdict = if broken == 0 {
                self.paint("32", &format!("{} held", report.invariants.len()))
            } else {
                self.paint("1;31", &format!("{broken} BROKEN"))
            };
            self.line(&format!("      {:<widest$}  {:>7.1}  {moved:>5}  {gap:>11}  {verdict}", report.act, report.seconds));
        }
        self.line("");
        let payloads: u64 = totals.payloads.values().sum();
        self.line(&format!(
            "      {} reports in {payloads} payloads ({} kB, {} unreadable), {} target requests",
            totals.reports,
            totals.bytes.div_ceil(1000),
            totals.unreadable,
            totals.target_requests
        ));
        self.line(&format!(
            "      {}",
            if held { self.paint("1;32", "Every invariant held.") } else { self.paint("1;31", "An invariant broke.") }
        ));
    }
}

/// Numbers as people list them.
#[must_use]
pub fn listed(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// How many checks got their first owner, and how many changed it.
fn counted(moves: &[Move]) -> String {
    let placed = moves.iter().filter(|change| change.from.is_empty()).count();
    match (placed, moves.len() - placed) {
        (0, 0) => "moved: nothing".to_owned(),
        (0, moved) => format!("moved: {moved}"),
        (placed, 0) => format!("placed: {placed}, moved: nothing"),
        (placed, moved) => format!("placed: {placed}, moved: {moved}"),
    }
}

/// Checks that went the same way for the same reason, in one line.
fn grouped(moves: &[Move]) -> Vec<(String, Vec<&str>)> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for change in moves {
        groups.entry((&change.from, &change.to, &change.why)).or_default().push(&change.check);
    }
    let owner = |name: &str| if name.is_empty() { "nobody".to_owned() } else { name.to_owned() };
    groups
        .into_iter()
        .map(|((from, to, why), checks)| (format!("{} -> {} ({})", owner(from), owner(to), why.replace('_', " ")), checks))
        .collect()
}

/// Breaks between words so that no line is longer than `width`; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(check: &str, from: &str, to: &str) -> Move {
        Move { check: check.into(), from: from.into(), to: to.into(), why: "node_expired".into() }
    }

    #[test]
    fn checks_that_went_the_same_way_share_a_line() {
        let moves = [change("a", "r1", "r2"), change("b", "r1", "r3"), change("c", "r1", "r2"), change("d", "", "r3")];
        let lines: Vec<(String, String)> = grouped(&moves).into_iter().map(|(route, checks)| (route, checks.join(" "))).collect();
        let expected = [("nobody -> r3 (node expired)", "d"), ("r1 -> r2 (node expired)", "a c"), ("r1 -> r3 (node expired)", "b")];
        assert_eq!(lines, expected.map(|(route, checks)| (route.to_owned(), checks.to_owned())));
        assert_eq!(counted(&moves), "placed: 1, moved: 3");
    }

    #[test]
    fn no_line_is_longer_than_asked_but_for_a_long_word() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a/very/long/path x", 5), ["a/very/long/path", "x"]);
        assert_eq!(wrapped("", 5), Vec::<String>::new());
    }
}
