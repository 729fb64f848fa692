//! Kubernetes: what comes from the API server and goes to it.

pub mod lock;
