//! Addresses of leaders that did not write them into the lock: stock replicas, found behind the Service of the cluster agent.
//!
//! Source: cluster-agent-kubernetes 2.4.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;
use muster_actors::domain::lock_record::LockError;
use muster_actors::kernel::clock::Clock;
use muster_actors::ports::LeaderDirectory;
use tracing::debug;

use super::call::{Call, bounded};
use crate::kube::error::{Class, class};

/// For how long an address counts.
const CACHED: Duration = Duration::from_secs(300);

/// Label by which the slices of a Service are found.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Looks leaders up among the pods behind a Service.
pub struct ServiceDirectory {
    shared: Arc<Shared>,
}

struct Shared {
    client: kube::Client,
    clock: Arc<dyn Clock>,
    /// `kubernetes_use_endpoint_slices`.
    slices: bool,
    namespace: String,
    service: String,
    port: u16,
    limit: Duration,
    /// Found addresses with the time at which they were. What was not found is not kept.
    found: Mutex<BTreeMap<String, (Duration, IpAddr)>>,
}

/// What a [`ServiceDirectory`] needs.
#[derive(Clone)]
pub struct ServiceDirectoryParts {
    /// The API server.
    pub client: kube::Client,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// EndpointSlices instead of Endpoints.
    pub slices: bool,
    /// Namespace of the Service.
    pub namespace: String,
    /// `cluster_agent.kubernetes_service_name`.
    pub service: String,
    /// `cluster_agent.cmd_port`, which all replicas share.
    pub port: u16,
    /// Longest time of one look-up.
    pub limit: Duration,
}

impl ServiceDirectory {
    /// A directory that has looked nobody up yet.
    #[must_use]
    pub fn new(parts: ServiceDirectoryParts) -> Self {
        let ServiceDirectoryParts { client, clock, slices, namespace, service, port, limit } = parts;
        let shared = Shared { client, clock, slices, namespace, service, port, limit, found: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }
}

impl LeaderDirectory for ServiceDirectory {
    fn address_of(&self, leader: &str) -> BoxFuture<'static, Option<String>> {
        let (shared, leader) = (Arc::clone(&self.shared), leader.to_owned());
        async move {
            let address = shared.address_of(&leader).await?;
            Some(SocketAddr::new(address, shared.port).to_string())
        }
        .boxed()
    }
}

impl Shared {
    async fn address_of(&self, leader: &str) -> Option<IpAddr> {
        let now = self.clock.monotonic();
        {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.retain(|_, (at, _)| now < *at + CACHED);
            if let Some((_, address)) = found.get(leader) {
                return Some(*address);
            }
        }
        match bounded("look the leader up", self.limit, self.look_up(leader)).await {
            Ok(Some(address)) => {
                self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(leader.to_owned(), (now, address));
                Some(address)
            }
            Ok(None) => {
                debug!(leader, service = self.service, "the leader is not among the endpoints of the service");
                None
            }
            Err(error) => {
                debug!(leader, %error, "the address of the leader is not known");
                None
            }
        }
    }

    async fn look_up(&self, leader: &str) -> Result<Option<IpAddr>, LockError> {
        let addresses = if self.slices { self.in_slices(leader).await? } else { self.in_endpoints(leader).await? };
        Ok(addresses.iter().find_map(|address| address.parse().ok()))
    }

    async fn in_endpoints(&self, leader: &str) -> Result<Vec<String>, LockError> {
        let api = Api::<Endpoints>::namespaced(self.client.clone(), &self.namespace);
        let call = Call { verb: "get", resource: "endpoints", namespace: &self.namespace, name: &self.service };
        let endpoints = match api.get(&self.service).await {
            Ok(endpoints) => endpoints,
            Err(error) if class(&error) == Class::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(call.error(&error)),
        };
        let addresses = endpoints.subsets.into_iter().flatten().flat_map(|subset| subset.addresses.unwrap_or_default());
        let of_leader = addresses.filter(|address| address.target_ref.as_ref().is_some_and(|of| of.name.as_deref() == Some(leader)));
        Ok(of_leader.map(|address| address.ip).collect())
    }

    async fn in_slices(&self, leader: &str) -> Result<Vec<String>, LockError> {
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), &self.namespace);
        let of_service = ListParams::default().labels(&format!("{SERVICE_LABEL}={}", self.service));
        let call = Call { verb: "list", resource: "endpointslices.discovery.k8s.io", namespace: &self.namespace, name: "" };
        let slices = api.list(&of_service).await.map_err(|error| call.error(&error))?;
        let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
        let of_leader = endpoints.filter(|endpoint| endpoint.target_ref.as_ref().is_some_and(|of| of.name.as_deref() == Some(leader)));
        Ok(of_leader.flat_map(|endpoint| endpoint.addresses).collect())
    }
}
