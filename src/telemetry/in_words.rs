//! Figures, times and reasons in the words of people: for the status and for the command line.

pub(crate) mod bars;
pub(crate) mod reasons;
pub(crate) mod when;
