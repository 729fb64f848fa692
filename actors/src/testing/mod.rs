//! Fakes of the ports and builders of test data.

pub mod configs;
