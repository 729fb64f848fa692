//! What every command that asks a process has at hand.

use super::arguments::GlobalOptions;
use super::connection::LocalApi;
use super::failure::Failure;
use super::render::Paint;
use crate::config::settings::{KubernetesSettings, Paths};
use crate::config::{Config, Environment, Request, Role};
use crate::errors;
use crate::kube::client;
use crate::roles::{self, RoleTrace};

/// Options of every command, and where it runs.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// `-c`, `-n`.
    pub(super) global: GlobalOptions,
    /// Variables.
    pub(super) environment: Environment,
    /// Role told by name or variable.
    pub(super) told: Option<Role>,
    /// Colours.
    pub(super) paint: Paint,
}

impl Context {
    /// Loads the configuration of a role.
    ///
    /// Errors: it cannot be used; exit code 2.
    pub(super) fn config(&self, role: Role, overrides: Vec<(String, String)>) -> Result<Config, Failure> {
        let request = Request { role, path: self.global.cfgpath.clone(), environment: self.environment.clone(), overrides };
        Config::load(request).map_err(|error| Failure::unusable(format!("failed to {}", errors::chain(&error))))
    }

    /// The configuration of the role a command is for: `role` if it names one, else the role of this machine.
    pub(super) fn config_of(&self, role: Option<Role>) -> Result<Config, Failure> {
        self.config(role.unwrap_or_else(|| self.local_role()), Vec::new())
    }

    /// The local API of that role.
    pub(super) fn api(&self, role: Option<Role>) -> Result<(Config, LocalApi), Failure> {
        let config = self.config_of(role)?;
        let api = LocalApi::new(&config)?;
        Ok((config, api))
    }

    /// The API server, as the configuration of the cluster role says, or as a pod finds it.
    ///
    /// Errors: there is none, in words.
    pub(super) async fn kube_client(&self) -> Result<kube::Client, String> {
        // A helper in the image of a node agent has no configuration of the cluster role, and needs none.
        let config = self.config(Role::Cluster, Vec::new()).unwrap_or_else(|_| Config::defaults(Role::Cluster));
        let settings = KubernetesSettings::from_config(&config).api_server;
        client::connect(&settings).await.map(|connection| connection.client).map_err(|error| errors::chain(&error))
    }

    /// Told, or found out by what the configurations of both roles lead to.
    fn local_role(&self) -> Role {
        let trace = |role| {
            let config = self.config(role, Vec::new()).ok()?;
            let left = roles::read_role_file(&Paths::from_config(&config).run);
            Some(RoleTrace { role, configured: config.file().is_some(), left })
        };
        let traces: Vec<RoleTrace> = [Role::Cluster, Role::Node].into_iter().filter_map(trace).collect();
        roles::local_role(self.told, self.global.cfgpath.is_some(), &traces)
    }
}
