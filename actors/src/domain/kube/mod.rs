//! Kubernetes objects as far as muster looks at them, and what follows from them.

pub mod annotations;
pub mod apiserver_check;
pub mod cluster_id;
pub mod cluster_name;
pub mod control_plane;
pub mod endpoints;
pub mod event;
pub mod event_buffer;
pub mod event_bundle;
pub mod event_filter;
pub mod event_hosts;
pub mod event_rules;
pub mod event_single;
pub mod event_source_names;
pub mod event_tags;
pub mod file_templates;
pub mod filters;
pub mod informer;
pub mod informer_status;
pub mod json_text;
pub mod kube_discovery;
pub mod objects;
pub mod plan;
pub mod prometheus;
mod prometheus_keys;
pub mod services;
#[cfg(test)]
mod tests;
pub mod version;
