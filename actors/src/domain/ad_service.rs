//! A discovered thing to which templates apply. Source: autodiscovery 1.3.

use std::collections::BTreeMap;

use crate::domain::kube::objects::Port;

/// A Kubernetes Service, or one address behind one, as templates see it. Two are the same if every field is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdService {
    /// `kube_service://<namespace>/<name>` or `kube_endpoint_uid://<namespace>/<service>/<ip>`.
    pub id: String,
    /// Identifiers that templates name; at least the id.
    pub identifiers: Vec<String>,
    /// Network name -> address: `cluster` or `endpoint`.
    pub hosts: BTreeMap<String, String>,
    /// Ports, in the order that `%%port_<index>%%` counts.
    pub ports: Vec<Port>,
    /// Tags for the instances of resolved configs, in order.
    pub tags: Vec<String>,
    /// Values of `%%kube_<name>%%` and `%%extra_<name>%%`, for example `namespace`.
    pub extra: BTreeMap<String, String>,
    /// A filter or annotation says that no metrics are collected from it; copied to resolved configs.
    pub metrics_excluded: bool,
    /// The same for logs.
    pub logs_excluded: bool,
}
