//! `http_check`: does a URL answer as it should, and how long does its certificate last. Source: node-runner 10.1.

mod expiry;
mod options;
mod run;

pub(crate) use run::HttpCheck;
