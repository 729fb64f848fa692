//! What can be asked of a drawn world.

use std::fmt;
use std::str::FromStr;

use crate::sim::fleet::scenario::Span;

/// How much checks differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Load {
    /// By a factor of up to three.
    #[default]
    Uniform,
    /// The n-th needs an n-th of the first.
    Zipf,
    /// Most need little, a few very much (Pareto, 1.2).
    Heavy,
}

/// How much goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    /// Nothing.
    #[default]
    None,
    /// Something every 20 minutes.
    Some,
    /// Something every 4 minutes.
    Many,
}

/// No such word is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not known; allowed are {allowed}")]
pub struct UnknownWord {
    found: String,
    allowed: &'static str,
}

impl FromStr for Load {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "uniform" => Ok(Self::Uniform),
            "zipf" => Ok(Self::Zipf),
            "heavy" => Ok(Self::Heavy),
            other => Err(UnknownWord { found: other.to_owned(), allowed: "uniform, zipf and heavy" }),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::Heavy => "heavy",
        })
    }
}

impl FromStr for Faults {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "none" => Ok(Self::None),
            "some" => Ok(Self::Some),
            "many" => Ok(Self::Many),
            other => Err(UnknownWord { found: other.to_owned(), allowed: "none, some and many" }),
        }
    }
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Agents.
    pub nodes: usize,
    /// Configs.
    pub checks: usize,
    /// How much they differ.
    pub load: Load,
    /// What goes wrong.
    pub faults: Faults,
    /// Virtual time.
    pub length: Span,
    /// How far costs stray from minute to minute, relative.
    pub noise: f64,
    /// The seed.
    pub seed: u64,
}

impl Default for Drawing {
    fn default() -> Self {
        Self { nodes: 20, checks: 400, load: Load::Uniform, faults: Faults::None, length: Span::from_hours(2), noise: 0.1, seed: 0 }
    }
}
