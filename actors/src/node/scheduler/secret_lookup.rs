//! Configs that are loaded when their secrets are known. Source: autodiscovery 8, node-runner 4.

use std::sync::Arc;

use actix::{ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use tracing::warn;

use crate::domain::backoff::Backoff;
use crate::domain::config::CheckConfig;
use crate::domain::secrets::{self, Handles, SecretError, SecretValues};
use crate::node::scheduler::grants::ConfigRef;
use crate::node::scheduler::{LoadMore, Scheduler, failure};

impl Scheduler {
    /// Asks for the secrets of a config, if it is still to run; the answer comes back in a later turn.
    pub(super) fn look_up(
        &mut self,
        owner: ConfigRef,
        config: Arc<CheckConfig>,
        handles: Handles,
        backoff: Backoff,
        context: &mut Context<Self>,
    ) {
        let Some(backend) = self.secrets.as_ref().filter(|_| self.holds(&owner)) else {
            return;
        };
        let call = backend.resolve(handles.clone()).into_actor(self);
        self.looking_up.insert(owner);
        context.spawn(call.map(move |answer, scheduler, context| {
            scheduler.looking_up.remove(&owner);
            scheduler.on_secrets(owner, config, handles, backoff, answer, context);
            context.notify(LoadMore);
        }));
    }

    fn on_secrets(
        &mut self,
        owner: ConfigRef,
        config: Arc<CheckConfig>,
        handles: Handles,
        mut backoff: Backoff,
        answer: Result<SecretValues, SecretError>,
        context: &mut Context<Self>,
    ) {
        if !self.holds(&owner) {
            return;
        }
        match answer.and_then(|values| secrets::decrypted(&config, &values)) {
            Ok(plain) => {
                self.failures.retain(|(failed, _), _| *failed != owner);
                self.report_failures();
                self.queue(owner, &config, &Arc::new(plain));
            }
            Err(error) => {
                let error = secrets::dropped(&config, &error);
                let pause = backoff.failed(&secrets::BACKOFF, self.random.unit());
                warn!(check = config.name, error, retry_in = ?pause, "config cannot run here for want of a secret");
                for index in 0..config.instances.len() {
                    self.failures.insert((owner, index), failure(&config, index, error.clone()));
                }
                self.report_failures();
                context.run_later(pause, move |scheduler, context| scheduler.look_up(owner, config, handles, backoff, context));
            }
        }
    }

    /// Whether a config is still to run.
    fn holds(&self, owner: &ConfigRef) -> bool {
        let (source, digest) = owner;
        self.sets.get(source).is_some_and(|set| set.contains_key(digest)) && !self.grants.stopped(owner)
    }
}
