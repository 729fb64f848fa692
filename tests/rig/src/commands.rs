//! The command lines of the components.

use std::path::Path;

use crate::error::RigError;
use crate::folder::write;
use crate::identity::kubeconfig;
use crate::options::Options;
use crate::process::Process;
use crate::programs::Programs;

/// Plays the kubelets: node Ready, pod Running with container ids and address, deletions finished, jobs completed.
const STAGES: &str = include_str!("kwok.yaml");

const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";

/// Where the API server writes one line per request, below the folder.
pub(crate) const AUDIT_LOG: &str = "audit.jsonl";

/// What the command lines share.
pub(crate) struct Setup<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) options: &'a Options,
    pub(crate) folder: &'a Path,
    /// Process group of the guard.
    pub(crate) group: u32,
    pub(crate) api_port: u16,
    pub(crate) etcd_port: u16,
    pub(crate) peer_port: u16,
    pub(crate) authority: &'a str,
    pub(crate) tokens: &'a Tokens,
}

/// Tokens that the API server reads once at start.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) admin: String,
    pub(crate) controllers: String,
    pub(crate) scheduler: String,
}

impl Setup<'_> {
    /// A process whose flags name files relative to its folder, in which it runs.
    fn process(&self, name: &'static str, flags: impl IntoIterator<Item = String>) -> Result<Process, RigError> {
        let mut command = self.programs.command(name)?;
        command.args(flags);
        Ok(Process::new(name, command, self.folder, self.group))
    }

    fn write_kubeconfig(&self, file: &str, token: &str) -> Result<(), RigError> {
        write(&self.folder.join(file), &kubeconfig(self.api_port, self.authority, token))
    }

    pub(crate) fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_port)
    }

    pub(crate) fn etcd(&self) -> Result<Process, RigError> {
        let clients = self.etcd_url();
        let peers = format!("http://127.0.0.1:{}", self.peer_port);
        self.process(
            "etcd",
            [
                "--name=rig".to_owned(),
                "--data-dir=etcd".to_owned(),
                format!("--listen-client-urls={clients}"),
                format!("--advertise-client-urls={clients}"),
                format!("--listen-peer-urls={peers}"),
                format!("--initial-advertise-peer-urls={peers}"),
                format!("--initial-cluster=rig={peers}"),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
            ],
        )
    }

    pub(crate) fn api_server(&self) -> Result<Process, RigError> {
        let Tokens { admin, controllers, scheduler } = self.tokens;
        let tokens = format!(
            "{admin},admin,admin,\"system:masters\"\n{controllers},system:kube-controller-manager,controllers\n{scheduler},system:kube-scheduler,scheduler\n"
        );
        write(&self.folder.join("tokens.csv"), &tokens)?;
        let mut flags = vec![format!("--etcd-servers={}", self.etcd_url()), format!("--secure-port={}", self.api_port)];
        let fixed = [
            "--bind-address=127.0.0.1",
            // Nobody writes endpoints of the service `kubernetes`; the address must not be a loopback one all the same.
            "--advertise-address=10.254.254.1",
            "--endpoint-reconciler-type=none",
            "--tls-cert-file=serving.crt",
            "--tls-private-key-file=serving.key",
            "--client-ca-file=ca.crt",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-signing-key-file=accounts.key",
            "--service-account-key-file=accounts.pub",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--requestheader-client-ca-file=front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file=front-proxy.crt",
            "--proxy-client-key-file=front-proxy.key",
            "--max-requests-inflight=3000",
            "--max-mutating-requests-inflight=1000",
            "--shutdown-delay-duration=0s",
        ];
        flags.extend(fixed.map(str::to_owned));
        if self.options.audit {
            write(&self.folder.join("audit-policy.yaml"), AUDIT_POLICY)?;
            flags.extend(["--audit-policy-file=audit-policy.yaml".to_owned(), format!("--audit-log-path={AUDIT_LOG}")]);
        }
        flags.extend(self.options.api_server_flags.iter().cloned());
        self.process("kube-apiserver", flags)
    }

    /// The processes that need a ready API server.
    pub(crate) fn others(&self) -> Result<Vec<Process>, RigError> {
        let mut processes = Vec::new();
        if self.options.controllers {
            self.write_kubeconfig("controllers.kubeconfig", &self.tokens.controllers)?;
            let flags = [
                "--kubeconfig=controllers.kubeconfig",
                // Controllers call as their own service accounts, as in a real cluster.
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--secure-port=0",
                "--service-account-private-key-file=accounts.key",
                "--root-ca-file=ca.crt",
                "--horizontal-pod-autoscaler-sync-period=2s",
                "--horizontal-pod-autoscaler-downscale-stabilization=1s",
                // Nodes without kwok have nobody who renews their leases.
                "--node-monitor-grace-period=24h",
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
                "--concurrent-deployment-syncs=20",
                "--concurrent-replicaset-syncs=20",
            ];
            processes.push(self.process("kube-controller-manager", flags.map(str::to_owned))?);
        }
        if self.options.scheduler {
            self.write_kubeconfig("scheduler.kubeconfig", &self.tokens.scheduler)?;
            let flags = [
                "--kubeconfig=scheduler.kubeconfig",
                "--leader-elect=false",
                "--secure-port=0",
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
            ];
            processes.push(self.process("kube-scheduler", flags.map(str::to_owned))?);
        }
        if self.options.kwok {
            self.write_kubeconfig("kwok.kubeconfig", &self.tokens.admin)?;
            write(&self.folder.join("kwok.yaml"), STAGES)?;
            let flags = [
                "--kubeconfig=kwok.kubeconfig",
                "--config=kwok.yaml",
                "--manage-all-nodes=true",
                "--node-ip=10.1.0.1",
                "--cidr=10.244.0.0/16",
                "--node-lease-duration-seconds=40",
                "--v=WARN",
            ];
            processes.push(self.process("kwok", flags.map(str::to_owned))?);
        }
        Ok(processes)
    }
}
