//! Image, manifests and rights: what `deploy/` promises, tried with the real programs and a real API server.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod cluster;

mod chart;
mod dockerfile;
mod doctor;
mod manifests;
mod rights;
mod rootfs;
