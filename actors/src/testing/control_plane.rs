//! A control plane that the test makes up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::kube::control_plane::{ApiResource, ComponentStatus, QuotaUse, StorageObjects};
use crate::ports::{ClusterReadError, ControlPlane};

type Answer<T> = Result<T, ClusterReadError>;

/// What each call answers.
#[derive(Debug, Clone)]
pub struct ControlPlaneAnswers {
    /// Component statuses.
    pub components: Answer<Vec<ComponentStatus>>,
    /// By path; one that is not named is not ready.
    pub ready: BTreeMap<&'static str, Answer<bool>>,
    /// Kinds.
    pub api_resources: Answer<Vec<ApiResource>>,
    /// Stored objects.
    pub storage_objects: Answer<Vec<StorageObjects>>,
    /// Quotas.
    pub quotas: Answer<Option<Vec<QuotaUse>>>,
}

impl Default for ControlPlaneAnswers {
    fn default() -> Self {
        Self {
            components: Ok(Vec::new()),
            ready: BTreeMap::new(),
            api_resources: Ok(Vec::new()),
            storage_objects: Ok(Vec::new()),
            quotas: Ok(None),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    answers: ControlPlaneAnswers,
    calls: Vec<String>,
}

/// A control plane for tests. Clones share the answers.
#[derive(Debug, Clone, Default)]
pub struct FakeControlPlane {
    state: Arc<Mutex<State>>,
}

impl FakeControlPlane {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is answered from now on.
    pub fn answer(&self, change: impl FnOnce(&mut ControlPlaneAnswers)) {
        change(&mut self.state().answers);
    }

    /// What was asked since the last call, in order.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    fn tell<T: Send + 'static>(&self, call: &str, pick: impl FnOnce(&ControlPlaneAnswers) -> T) -> BoxFuture<'static, T> {
        let mut state = self.state();
        state.calls.push(call.to_owned());
        let answer = pick(&state.answers);
        async move { answer }.boxed()
    }
}

impl ControlPlane for FakeControlPlane {
    fn components(&self) -> BoxFuture<'static, Answer<Vec<ComponentStatus>>> {
        self.tell("components", |answers| answers.components.clone())
    }

    fn ready(&self, path: &'static str) -> BoxFuture<'static, Answer<bool>> {
        self.tell(path, |answers| answers.ready.get(path).cloned().unwrap_or(Ok(false)))
    }

    fn api_resources(&self) -> BoxFuture<'static, Answer<Vec<ApiResource>>> {
        self.tell("api resources", |answers| answers.api_resources.clone())
    }

    fn storage_objects(&self) -> BoxFuture<'static, Answer<Vec<StorageObjects>>> {
        self.tell("storage objects", |answers| answers.storage_objects.clone())
    }

    fn quotas(&self) -> BoxFuture<'static, Answer<Option<Vec<QuotaUse>>>> {
        self.tell("quotas", |answers| answers.quotas.clone())
    }
}
