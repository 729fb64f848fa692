//! Template variables, `%%name%%` or `%%name_key%%`, inside the values of a config. Source: autodiscovery 6.

mod environment;
mod resolve;
mod substitute;
#[cfg(test)]
mod tests;
mod variable;
#[cfg(test)]
mod vectors;

pub use environment::{
    Environment, EnvironmentError, EnvironmentLookup, SubstitutionError, TemplateRules, VariableError, substitute_environment,
};
pub use resolve::{ResolveError, ResolveProblem, resolve};
pub use variable::Variable;
