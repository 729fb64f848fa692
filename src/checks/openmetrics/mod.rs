//! `openmetrics` (V2): scrapes an endpoint in Prometheus or OpenMetrics text format. Source: node-runner 10.6.

mod labels;
mod names;
mod options;
pub(crate) mod parser;
mod scrape;
mod transform;
#[cfg(test)]
mod vectors;

pub(crate) use scrape::OpenMetricsCheck;
