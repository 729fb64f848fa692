//! Options of `demo`.

use clap::Args;

/// How the demo is shown.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoOptions {
    /// Length of the show; without it, as long as the acts need
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Wait for the return key after each act
    #[arg(long)]
    pub pause: bool,
    /// Print one JSON object per act, and one for all
    #[arg(short = 'j', long)]
    pub json: bool,
    /// Leave the files behind for inspection
    #[arg(long)]
    pub keep: bool,
}
