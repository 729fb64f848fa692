//! Options of `demo`.

use clap::Args;

/// How the demo is shown.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoOptions {
    /// Make the show last at least so long; without it, as long as the acts need (about 50 s)
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Wait for the return key after each act
    #[arg(long)]
    pub pause: bool,
    /// Print one JSON object per act, and a last one with the verdict
    #[arg(short = 'j', long)]
    pub json: bool,
    /// Leave the files behind for inspection
    #[arg(long)]
    pub keep: bool,
    /// `-n` or `NO_COLOR`.
    #[arg(skip)]
    pub no_colour: bool,
}
