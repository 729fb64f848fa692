//! The report for eyes and for scripts.

use std::fmt::Write as _;

use serde_json::json;

use super::finding::{Finding, State};
use crate::cli::render::{Paint, columns};

/// Width of the widest mark and the blanks behind it.
const MARK_WIDTH: usize = 9;

/// One JSON object on one line.
pub(super) fn json(findings: &[Finding]) -> String {
    let well = findings.iter().all(|finding| finding.state != State::Mend);
    format!("{}\n", json!({"well": well, "findings": findings}))
}

/// Sections with aligned lines; what is to be done stands below the line it belongs to.
pub(super) fn text(paint: Paint, findings: &[Finding]) -> String {
    let rows: Vec<Vec<String>> = findings.iter().map(|finding| vec![finding.subject.clone(), finding.found.clone()]).collect();
    let aligned = columns(&rows, 2);
    let mut text = String::new();
    let mut section = None;
    for (finding, line) in findings.iter().zip(aligned.lines()) {
        if section.replace(finding.section) != Some(finding.section) {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", paint.bold(finding.section.title()));
        }
        let _ = writeln!(text, "  {}{line}", mark(paint, finding.state));
        let mend = finding.mend.iter().map(String::as_str);
        let rules = finding.rules.iter().flat_map(|rule| rule.lines());
        for (number, line) in mend.chain(rules).enumerate() {
            let arrow = if number == 0 { "-> " } else { "     " };
            let _ = writeln!(text, "  {:MARK_WIDTH$}{arrow}{line}", "");
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (mend, advice) = (count(State::Mend), count(State::Advice));
    let verdict = if mend == 0 { paint.green("well") } else { paint.red(&format!("{mend} to mend")) };
    let advice = if advice == 0 { String::new() } else { format!(", {advice} worth a look") };
    text + &format!("\n{verdict}{advice}\n")
}

/// Colours have no width, so blanks are counted without them.
fn mark(paint: Paint, state: State) -> String {
    let (mark, word) = match state {
        State::Well => ("[OK]", paint.green("OK")),
        State::Advice => ("[LOOK]", paint.bold("LOOK")),
        State::Mend => ("[MEND]", paint.red("MEND")),
    };
    format!("[{word}]{}", " ".repeat(MARK_WIDTH - mark.len()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Section;
    use super::*;

    fn findings() -> Vec<Finding> {
        let rules = vec!["- apiGroups: [\"\"]\n  verbs: [list]\n".to_owned()];
        vec![
            Finding::well(Section::ApiServer, "address", "https://10.96.0.1:443"),
            Finding { rules, ..Finding::mend(Section::Rights, "metadata", "missing", "bind this:") },
            Finding::advice(Section::Rights, "snapshot", "missing", "set it off"),
        ]
    }

    #[test]
    fn the_text_is_aligned_and_says_what_to_do_below_each_line() {
        let expected = "API server
  [OK]     address   https://10.96.0.1:443

Rights
  [MEND]   metadata  missing
           -> bind this:
                - apiGroups: [\"\"]
                  verbs: [list]
  [LOOK]   snapshot  missing
           -> set it off

1 to mend, 1 worth a look
";
        assert_eq!(text(Paint::new(false), &findings()), expected);
        assert_eq!(text(Paint::new(false), &findings()[..1]), "API server\n  [OK]     address  https://10.96.0.1:443\n\nwell\n");
    }

    #[test]
    fn colours_do_not_move_anything() {
        let plain: String = text(Paint::new(true), &findings()).replace("\u{1b}[0m", "").replace("\u{1b}[1m", "");
        assert_eq!(plain.replace("\u{1b}[31m", "").replace("\u{1b}[32m", ""), text(Paint::new(false), &findings()));
    }

    #[test]
    fn scripts_get_every_finding_and_the_verdict() {
        let report: serde_json::Value = serde_json::from_str(&json(&findings())).unwrap();
        assert_eq!(report["well"], false);
        assert_eq!(
            report["findings"][0],
            json!({"section": "api_server", "subject": "address", "state": "well", "found": "https://10.96.0.1:443"})
        );
        assert_eq!(report["findings"][1]["rules"][0], "- apiGroups: [\"\"]\n  verbs: [list]\n");
        let report: serde_json::Value = serde_json::from_str(&json(&findings()[2..])).unwrap();
        assert_eq!((&report["well"], &report["findings"][0]["state"]), (&json!(true), &json!("advice")));
    }
}
