//! Starting and ending a control plane.

use std::fs;
use std::net::SocketAddr;
use std::panic;
use std::path::Path;
use std::thread;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::certificates::write_certificates;
use crate::commands::{AUDIT_LOG, Setup, Tokens};
use crate::error::RigError;
use crate::folder::{keep_logs, tails};
use crate::guard::Guard;
use crate::identity::Identity;
use crate::options::Options;
use crate::ports::free_ports;
use crate::process::Process;
use crate::programs::Programs;
use crate::waiting::{HANG, STEP, until};

/// Control planes of one process at a time: a machine with two cores carries no more.
const LIMIT: u32 = 3;

/// How many [`ControlPlane::start_several`] starts: the shared one may run besides.
const SEVERAL: u32 = LIMIT - 1;

static PLACES: Semaphore = Semaphore::const_new(LIMIT as usize);

/// How often to start again because somebody else took a port.
const STARTS: usize = 5;

/// What Go programs write when a port is taken.
const PORT_TAKEN: &str = "address already in use";

/// A running control plane. Dropping it ends its processes and removes its folder; so does the death of the process that owns it.
///
/// At most three run in one process, further ones wait for a place.
#[derive(Debug)]
pub struct ControlPlane {
    etcd: Process,
    pub(crate) etcd_url: String,
    pub(crate) api_server: Process,
    /// Those that need a ready API server.
    others: Vec<Process>,
    guard: Option<Guard>,
    admin: Identity,
    options: Options,
    place: Option<SemaphorePermit<'static>>,
}

impl ControlPlane {
    /// Starts a control plane and waits until it can be used: the API server is ready, and pods can be created in the
    /// namespace `default`. Builds the programs first if nobody has (minutes, reported to standard error).
    pub async fn start(options: Options) -> Result<Self, RigError> {
        let [plane] = Self::start_several([options]).await?;
        Ok(plane)
    }

    /// Starts several side by side, at most two. Use this rather than several calls of [`Self::start`] by one test: tests
    /// that each hold one place and wait for another would wait forever.
    pub async fn start_several<const N: usize>(options: [Options; N]) -> Result<[Self; N], RigError> {
        let asked = N as u32;
        let too_many = RigError::TooMany { asked, limit: SEVERAL };
        if asked > SEVERAL {
            return Err(too_many);
        }
        let Ok(mut places) = PLACES.acquire_many(asked).await else {
            return Err(too_many);
        };
        let programs = find_programs().await?;
        let starts = options.into_iter().filter_map(|options| Some(Self::start_at(places.split(1)?, &programs, options)));
        try_join_all(starts).await?.try_into().map_err(|_| too_many)
    }

    async fn start_at(place: SemaphorePermit<'static>, programs: &Programs, options: Options) -> Result<Self, RigError> {
        let mut starts = 1;
        loop {
            let mut plane = Self::prepare(programs, &options)?;
            match plane.launch().await {
                Ok(()) => {
                    plane.place = Some(place);
                    return Ok(plane);
                }
                Err(RigError::Ended { tail, .. }) if tail.contains(PORT_TAKEN) && starts < STARTS => starts += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything but running processes.
    fn prepare(programs: &Programs, options: &Options) -> Result<Self, RigError> {
        let failed = |source| RigError::File { path: std::env::temp_dir(), source };
        let folder = tempfile::Builder::new().prefix("muster-rig-").tempdir().map_err(failed)?;
        let guard = Guard::start(folder.path())?;
        // From here on the guard removes it.
        let folder = folder.keep();
        let authority = write_certificates(&folder)?;
        let [api_port, etcd_port, peer_port] = free_ports()?;
        let [admin, controllers, scheduler] = [(); 3].map(|()| Uuid::new_v4().to_string());
        let tokens = Tokens { admin, controllers, scheduler };
        let setup = Setup {
            programs,
            options,
            folder: &folder,
            group: guard.group(),
            api_port,
            etcd_port,
            peer_port,
            authority: &authority,
            tokens: &tokens,
        };
        Ok(Self {
            etcd: setup.etcd()?,
            etcd_url: setup.etcd_url(),
            api_server: setup.api_server()?,
            others: setup.others()?,
            guard: Some(guard),
            admin: Identity::new("admin".to_owned(), tokens.admin, api_port, authority.into(), folder.into(), programs.clone()),
            options: options.clone(),
            place: None,
        })
    }

    async fn launch(&mut self) -> Result<(), RigError> {
        self.etcd.start()?;
        self.api_server.start()?;
        self.until_ready().await?;
        for process in &mut self.others {
            process.start()?;
        }
        let admin = self.admin();
        if self.options.controllers {
            self.until("the namespace default has its service account", async || has_account(&admin, "default").await).await
        } else {
            // The API server makes the namespace after it said that it is ready.
            self.until("the namespace default exists", async || admin.get("/api/v1/namespaces/default").await.is_ok()).await?;
            make_account(&admin, "default").await
        }
    }

    /// Waits until the API server answers that it is ready.
    pub(crate) async fn until_ready(&mut self) -> Result<(), RigError> {
        let admin = self.admin();
        self.until("the API server is ready", async || admin.get("/readyz").await.is_ok()).await
    }

    /// Waits while every process lives.
    async fn until(&mut self, what: &str, mut look: impl AsyncFnMut() -> bool) -> Result<(), RigError> {
        let give_up_at = Instant::now() + HANG;
        while !look().await {
            for process in [&mut self.etcd, &mut self.api_server].into_iter().chain(&mut self.others) {
                process.check()?;
            }
            if Instant::now() >= give_up_at {
                return Err(RigError::Late { what: what.to_owned(), tail: tails(self.folder()) });
            }
            sleep(STEP).await;
        }
        Ok(())
    }

    /// The one who may do everything (`system:masters`).
    pub fn admin(&self) -> Identity {
        self.admin.renewed()
    }

    /// An existing service account with a token of its own, by TokenRequest; valid for an hour.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Identity, RigError> {
        self.admin().service_account(namespace, name).await
    }

    /// `https://127.0.0.1:port` of the API server.
    pub fn url(&self) -> String {
        self.admin.url()
    }

    /// Address of the API server.
    pub fn host_port(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The certificate that signed the API server's, as PEM.
    pub fn ca_pem(&self) -> &str {
        self.admin.authority()
    }

    /// Folder of the control plane, with one `.log` per process; gone when it is dropped.
    pub fn folder(&self) -> &Path {
        self.admin.folder()
    }

    /// A new namespace in which pods can be created, named after `prefix`: tests that share a control plane take one each.
    pub async fn namespace(&self, prefix: &str) -> Result<String, RigError> {
        let admin = self.admin();
        let name = format!("{prefix}-{}", &Uuid::new_v4().simple().to_string()[..8]);
        admin.create("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await?;
        if self.options.controllers {
            until("the namespace has its service account", async || has_account(&admin, &name).await).await?;
        } else {
            make_account(&admin, &name).await?;
        }
        Ok(name)
    }

    /// What the audit log holds, one value per request and stage; empty without [`Options::audit`].
    pub fn audit(&self) -> Result<Vec<Value>, RigError> {
        let path = self.folder().join(AUDIT_LOG);
        if !self.options.audit {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).map_err(|source| RigError::File { path, source })?;
        // The last line may be half written.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// What to type in a shell to run the kubectl of this control plane.
    pub fn kubectl_hint(&self) -> String {
        self.admin.programs().shell("kubectl")
    }

    /// The ends of all logs; keeps copies of them in a folder that it names. Printed when a test panics.
    pub fn failure_report(&self) -> String {
        let kept = keep_logs(self.folder()).map(|folder| format!("logs kept in {}\n", folder.display())).unwrap_or_default();
        format!("{}{kept}", tails(self.folder()))
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.failure_report());
        }
        // Ends the processes and removes the folder.
        drop(self.guard.take());
        for process in [&mut self.etcd, &mut self.api_server].into_iter().chain(&mut self.others) {
            process.collect();
        }
    }
}

/// The programs, without holding up the other tasks while they are built.
async fn find_programs() -> Result<Programs, RigError> {
    match spawn_blocking(Programs::find).await {
        Ok(found) => found,
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

async fn has_account(admin: &Identity, namespace: &str) -> bool {
    admin.get(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/default")).await.is_ok()
}

/// What a controller would do: without it no pod can be created.
async fn make_account(admin: &Identity, namespace: &str) -> Result<(), RigError> {
    let account = json!({"metadata": {"name": "default"}});
    admin.create(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account).await?;
    Ok(())
}
