//! `completions`.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::arguments::Arguments;

pub(super) fn run(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "muster", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = run(shell);
            assert!(["clusterchecks", "demo", "rebalance", "dry-run", "explain"].iter().all(|word| script.contains(word)), "{shell}");
        }
    }
}
