//! `muster simulate`: runs contenders beside each other and draws what came of them.

mod comparison;
mod running;
mod spark;
mod svg;
mod text;

pub use comparison::{Comparison, Summary};
pub use running::{Failed, run_all};
pub use svg::draw;
pub use text::render;
