//! What a control plane consists of.

/// Which processes to start, and with what.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub(crate) controllers: bool,
    pub(crate) scheduler: bool,
    pub(crate) kwok: bool,
    pub(crate) audit: bool,
    pub(crate) api_server_flags: Vec<String>,
}

impl Options {
    /// etcd and the API server only: starts fastest. Nothing binds or runs pods, fills EndpointSlices or collects garbage;
    /// default ServiceAccounts exist in `default` and in what [`crate::ControlPlane::namespace`] makes.
    pub fn bare() -> Self {
        Self::default()
    }

    /// All controllers, the scheduler, and kwok, which makes every node Ready and every pod on it Running.
    pub fn full() -> Self {
        Self { controllers: true, scheduler: true, kwok: true, ..Self::default() }
    }

    /// With or without kube-controller-manager.
    pub fn controllers(mut self, wanted: bool) -> Self {
        self.controllers = wanted;
        self
    }

    /// With or without kube-scheduler.
    pub fn scheduler(mut self, wanted: bool) -> Self {
        self.scheduler = wanted;
        self
    }

    /// With or without kwok.
    pub fn kwok(mut self, wanted: bool) -> Self {
        self.kwok = wanted;
        self
    }

    /// Writes one line per request to the API server, read by [`crate::ControlPlane::audit`].
    pub fn audit(mut self) -> Self {
        self.audit = true;
        self
    }

    /// One more flag of kube-apiserver, `--name=value`. The last of several with one name counts.
    pub fn api_server_flag(mut self, flag: impl Into<String>) -> Self {
        self.api_server_flags.push(flag.into());
        self
    }
}
