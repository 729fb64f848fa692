//! Measures the cluster role as a process: polls per second and CPU per poll beside a bare handler, memory per idle connection, resident
//! memory idle and loaded. Run with `cargo bench --bench server`; results belong in docs/BENCHMARKS.md.
//!
//! Server processes are pinned to core 0, the load generator to core 1, with `taskset` (util-linux).
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing better to do than stop and say where")]

mod wire;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;

use crate::wire::{Connection, TOKEN, connect, cpu_seconds, get, machine, memory_kb, post_status};

const LOAD_CONNECTIONS: usize = 64;
const LOAD_SECONDS: u64 = 5;
const IDLE_CONNECTIONS: usize = 5_000;
const NODES: usize = 2_000;
const CONFIGS: usize = 2_000;

fn main() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "bare") {
        serve_bare();
        return;
    }
    pin_self(1);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(measure());
}

/// The limit: an actix-web handler that answers a constant, over the same TLS.
fn serve_bare() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(key.cert.der().to_vec());
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let mut tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], private).unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    actix_web::rt::System::new().block_on(async move {
        let server = actix_web::HttpServer::new(|| {
            actix_web::App::new().default_service(actix_web::web::to(|_body: actix_web::web::Bytes| async {
                actix_web::HttpResponse::Ok().content_type("application/json").body(r#"{"isuptodate":true}"#)
            }))
        })
        .workers(1)
        .keep_alive(Duration::from_secs(75))
        .bind_rustls_0_23(("127.0.0.1", 0), tls)
        .unwrap();
        println!("{}", server.addrs()[0]);
        std::io::stdout().flush().unwrap();
        server.run().await.unwrap();
    });
}

async fn measure() {
    println!("Machine: {}", machine());
    let mut bare = pinned(&std::env::current_exe().unwrap(), &["bare"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(bare.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let bare_address: SocketAddr = line.trim().parse().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let idle = Server::start(folder.path(), 0).await;
    println!("\nResident memory, idle, no connection:            {:>8.1} MB   (goal <= 20; stock 137)", idle.rss_mb());

    // Alternating rounds in one run, so that a slow minute of the machine hits both.
    let mut rounds: Vec<(Figure, Figure)> = Vec::new();
    for _ in 0..3 {
        rounds.push((load(bare_address, bare.id()).await, load(idle.address, idle.child.id()).await));
    }
    rounds.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    let (limit, ours) = &rounds[rounds.len() / 2];
    println!("Status polls over TLS keep-alive, one server core, {LOAD_CONNECTIONS} connections, median of 3 rounds:");
    println!("  bare actix-web handler (limit): {:>8.0} polls/s  {:>6.1} us CPU a poll", limit.per_second, limit.cpu_us);
    println!("  muster:                         {:>8.0} polls/s  {:>6.1} us CPU a poll", ours.per_second, ours.cpu_us);
    println!(
        "  ratio: {:.0} % of the limit (goal >= 80 %; stock: 12 400/s with two cores, 55 us)",
        100.0 * ours.per_second / limit.per_second
    );
    drop(idle);
    bare.kill().unwrap();
    bare.wait().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let connected = Server::start(folder.path(), 0).await;
    let empty = connected.rss_kb();
    let mut one = connect(connected.address).await;
    for number in 0..IDLE_CONNECTIONS {
        poll(&mut one, &format!("agent-{number}"), "").await;
    }
    drop(one);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let registered = connected.rss_kb();
    let connections = open_idle(connected.address, IDLE_CONNECTIONS).await;
    let per_connection = (connected.rss_kb() - registered) as f64 / IDLE_CONNECTIONS as f64;
    let per_agent = (registered - empty) as f64 / IDLE_CONNECTIONS as f64;
    println!("Memory per idle agent connection, {} connections: {per_connection:>6.1} KB   (goal <= 22; stock 38)", connections.len());
    println!("  and {per_agent:.1} KB for the record of each agent, connected or not");
    drop(connections);
    drop(connected);

    let folder = tempfile::tempdir().unwrap();
    let loaded = Server::start(folder.path(), CONFIGS).await;
    let mut connection = connect(loaded.address).await;
    for node in 0..NODES {
        let address = format!("10.{}.{}.{}", node / 65_536, node / 256 % 256, node % 256);
        poll(&mut connection, &format!("runner-{node}"), &address).await;
    }
    let placed = wait_until_placed(&mut connection).await;
    drop(connection);
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("Resident memory, {NODES} nodes, {placed} configs, no connection: {:>6.1} MB   (goal <= 60; stock 163)", loaded.rss_mb());
}

fn ratio((limit, ours): &(Figure, Figure)) -> f64 {
    ours.per_second / limit.per_second
}

fn pinned(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg("0").arg(program).args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn pin_self(core: usize) {
    Command::new("taskset").args(["-a", "-cp", &core.to_string(), &std::process::id().to_string()]).stdout(Stdio::null()).status().unwrap();
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    async fn start(folder: &Path, configs: usize) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let conf_d = folder.join("conf.d/http_check.d");
        std::fs::create_dir_all(&conf_d).unwrap();
        std::fs::create_dir_all(folder.join("run")).unwrap();
        for number in 0..configs {
            let mut text = String::from("cluster_check: true\ninit_config: {}\ninstances:\n");
            write!(
                text,
                "  - name: service-{number}\n    url: http://10.0.0.1:80/health/{number}\n    timeout: 5\n    tags: [\"team:a\"]\n"
            )
            .unwrap();
            std::fs::write(conf_d.join(format!("c{number}.yaml")), text).unwrap();
        }
        let path = folder.display();
        std::fs::write(
            folder.join("datadog-cluster.yaml"),
            format!(
                "cluster_name: bench\nhostname: bench\nconfd_path: {path}/conf.d\nrun_path: {path}/run\nauth_token_file_path: {path}/auth_token\n\
                 metrics_port: {metrics}\nlog_level: warn\ncluster_agent:\n  auth_token: {TOKEN}\n  cmd_port: {port}\n\
                 cluster_checks:\n  enabled: true\n  node_expiration_timeout: 3600\n  warmup_duration: 1\nmuster:\n  standalone: true\n"
            ),
        )
        .unwrap();
        let child = pinned(Path::new(env!("CARGO_BIN_EXE_muster")), &["cluster", "start", "-c", &folder.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The cold start's warm-up is over, and what start-up allocated is given back.
        tokio::time::sleep(Duration::from_secs(4)).await;
        Self { child, address }
    }

    fn rss_kb(&self) -> u64 {
        memory_kb(self.child.id(), "VmRSS")
    }

    fn rss_mb(&self) -> f64 {
        self.rss_kb() as f64 / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One status poll of an agent that holds nothing; returns the body.
async fn poll(connection: &mut Connection, node: &str, address: &str) -> String {
    post_status(connection, node, address, 0).await
}

struct Figure {
    per_second: f64,
    cpu_us: f64,
}

async fn load(address: SocketAddr, pid: u32) -> Figure {
    let clock = SystemClock::new();
    let mut tasks = Vec::new();
    let deadline = clock.monotonic() + Duration::from_secs(LOAD_SECONDS);
    let cpu_before = cpu_seconds(pid);
    let began = clock.monotonic();
    for number in 0..LOAD_CONNECTIONS {
        let clock = clock.clone();
        tasks.push(tokio::spawn(async move {
            let mut connection = connect(address).await;
            let node = format!("runner-{number}");
            let mut polls = 0_u64;
            while clock.monotonic() < deadline {
                poll(&mut connection, &node, "10.0.0.1").await;
                polls += 1;
            }
            polls
        }));
    }
    let mut polls = 0;
    for task in tasks {
        polls += task.await.unwrap();
    }
    let seconds = clock.monotonic().saturating_sub(began).as_secs_f64();
    Figure { per_second: polls as f64 / seconds, cpu_us: (cpu_seconds(pid) - cpu_before) * 1e6 / polls as f64 }
}

async fn open_idle(address: SocketAddr, count: usize) -> Vec<Connection> {
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let mut connection = connect(address).await;
        poll(&mut connection, &format!("agent-{number}"), "").await;
        connections.push(connection);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    connections
}

async fn wait_until_placed(connection: &mut Connection) -> usize {
    loop {
        let table: serde_json::Value = serde_json::from_str(&get(connection, "/api/v1/muster/assignments").await).unwrap();
        let placed: usize = table["nodes"].as_array().unwrap().iter().map(|node| node["configs"].as_array().unwrap().len()).sum();
        if placed == CONFIGS {
            return placed;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
