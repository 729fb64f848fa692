//! The statistics API of runner models: each has an address of its own, and all have one port, as pods have it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};

use muster_rig::free_ports;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Map, Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::ledger::Ledger;

/// Interval of a check that names none. Units: milliseconds. Source: cluster-checks 11.2.
const INTERVAL: f64 = 15_000.0;

/// Workers of every runner: as many as are assumed of one that does not tell. Source: cluster-checks 10.
pub const WORKERS: f64 = 4.0;

/// How often to draw another port because it is taken on one of the addresses.
const DRAWS: usize = 50;

/// How a runner answers. Source: node-runner 8.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Two keys, and no route for workers.
    Oldest,
    /// The keys of 7.4x, and the entry without a name that those had.
    Middle,
    /// The keys of 7.8x.
    Newest,
    /// Takes connections, and says nothing.
    Hanging,
    /// Half of a JSON.
    Garbage,
    /// 500 with an error.
    Failing,
}

impl Form {
    /// Whether its figures arrive.
    pub fn tells(self) -> bool {
        matches!(self, Self::Oldest | Self::Middle | Self::Newest)
    }
}

/// Number of a check -> workers it occupies, where it is not the usual value.
#[derive(Debug, Default, Clone)]
pub struct Costs(Arc<Mutex<BTreeMap<usize, f64>>>);

impl Costs {
    /// Of most checks. Units: workers.
    pub const USUAL: f64 = 0.2;

    pub fn of(&self, check: usize) -> f64 {
        self.0.lock().unwrap().get(&check).copied().unwrap_or(Self::USUAL)
    }

    /// What these checks cost; all others cost what is usual.
    pub fn replace(&self, unusual: impl Iterator<Item = (usize, f64)>) {
        *self.0.lock().unwrap() = unusual.collect();
    }
}

/// Where a runner lives.
#[derive(Debug, Clone, Copy)]
struct House {
    form: Form,
    address: Ipv4Addr,
}

/// What the servers know.
#[derive(Debug)]
struct Town {
    token: String,
    costs: Costs,
    ledger: Ledger,
    houses: Vec<House>,
    /// Those who live in the houses, in their order.
    tenants: Mutex<Vec<String>>,
    /// Route -> questions with the right token.
    asked: Mutex<BTreeMap<&'static str, u64>>,
    wrong: Mutex<Vec<String>>,
}

/// All servers; they end when it is dropped.
pub struct Statistics {
    pub port: u16,
    town: Arc<Town>,
    _servers: JoinSet<()>,
}

impl Statistics {
    /// One server for each form; they tell what the ledger says of whoever [`Self::move_in`]s.
    pub fn start(token: &str, forms: &[Form], costs: &Costs, ledger: &Ledger) -> Self {
        let addresses: Vec<Ipv4Addr> = (1..=u8::try_from(forms.len()).unwrap()).map(|last| Ipv4Addr::new(127, 77, 5, last)).collect();
        let (port, listeners) = listen(&addresses);
        let houses = forms.iter().zip(&addresses).map(|(form, address)| House { form: *form, address: *address }).collect();
        let town = Arc::new(Town {
            token: format!("Bearer {token}"),
            costs: costs.clone(),
            ledger: ledger.clone(),
            houses,
            tenants: Mutex::default(),
            asked: Mutex::default(),
            wrong: Mutex::default(),
        });
        let acceptor = acceptor();
        let mut servers = JoinSet::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            servers.spawn(serve(listener, acceptor.clone(), Arc::clone(&town), number));
        }
        Self { port, town, _servers: servers }
    }

    /// The address of a runner, which is given one when it is asked for the first time.
    pub fn move_in(&self, runner: &str) -> String {
        let mut tenants = self.town.tenants.lock().unwrap();
        let number = tenants.iter().position(|tenant| tenant == runner).unwrap_or_else(|| {
            tenants.push(runner.to_owned());
            tenants.len() - 1
        });
        self.town.houses[number].address.to_string()
    }

    pub fn form_of(&self, runner: &str) -> Form {
        let number = self.town.tenants.lock().unwrap().iter().position(|tenant| tenant == runner).expect("it lives here");
        self.town.houses[number].form
    }

    /// Panics if somebody asked what must not be asked, or some form of runner was not asked at all.
    pub fn assert_well(&self) {
        let wrong = self.town.wrong.lock().unwrap().clone();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let asked = self.town.asked.lock().unwrap().clone();
        assert_eq!(asked.keys().copied().collect::<Vec<_>>(), ["/stats", "/workers"], "{asked:?}");
    }
}

fn listen(addresses: &[Ipv4Addr]) -> (u16, Vec<TcpListener>) {
    for _ in 0..DRAWS {
        let [port] = free_ports().unwrap();
        let all: Result<Vec<StdListener>, _> = addresses.iter().map(|address| StdListener::bind((*address, port))).collect();
        let Ok(all) = all else { continue };
        let started = all.into_iter().map(|listener| {
            listener.set_nonblocking(true).unwrap();
            TcpListener::from_std(listener).unwrap()
        });
        return (port, started.collect());
    }
    panic!("no port is free on all of {addresses:?}");
}

/// As stock runners: a certificate that nobody else signed.
fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, town: Arc<Town>, number: usize) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, town) = (acceptor.clone(), Arc::clone(&town));
        connections.spawn(async move {
            // Whoever asks may hang up at any time.
            drop(answer_all(stream, acceptor, &town, number).await);
        });
    }
}

async fn answer_all(stream: TcpStream, acceptor: TlsAcceptor, town: &Town, number: usize) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    while let Some(head) = head(&mut stream).await? {
        if town.houses[number].form == Form::Hanging {
            std::future::pending::<()>().await;
        }
        let (status, body) = town.answer(number, &head);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await?;
        stream.flush().await?;
    }
    Ok(())
}

/// The lines of a request without a body; `None` when there is no further one.
async fn head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<Option<Vec<String>>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return Ok(None) };
        head.push(byte);
    }
    Ok(Some(String::from_utf8_lossy(&head).lines().map(str::to_owned).collect()))
}

impl Town {
    fn answer(&self, number: usize, head: &[String]) -> (u16, String) {
        let House { form, .. } = self.houses[number];
        let token = head.iter().find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("authorization")));
        if token.is_none_or(|(_, token)| token != self.token) {
            self.wrong.lock().unwrap().push(format!("a call without the token: {}", head[0]));
            return (403, "invalid session token".to_owned());
        }
        let route = head[0].strip_prefix("GET /api/v1/clcrunner").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
        let answer = match route {
            Some("/version") => json!({"Major": 7, "Minor": 81, "Patch": 1, "Pre": "", "Meta": "", "Commit": "0a1b2c3"}),
            Some("/stats") => self.stats(number),
            Some("/workers") if form == Form::Oldest => return self.count("/workers", (404, "404 page not found\n".to_owned())),
            Some("/workers") => {
                let instances: Map<String, Json> =
                    (1..=WORKERS as usize).map(|worker| (format!("worker_{worker}"), json!({"Utilization": 0.25}))).collect();
                json!({"Count": WORKERS as u32, "Instances": instances})
            }
            _ => {
                self.wrong.lock().unwrap().push(format!("a call that no runner answers: {}", head[0]));
                return (404, "404 page not found\n".to_owned());
            }
        };
        let text = answer.to_string();
        let route = if route == Some("/workers") { "/workers" } else { "/stats" };
        self.count(
            route,
            match form {
                Form::Garbage => (200, text[..text.len() / 2].to_owned()),
                Form::Failing => (500, "{\"error\":\"out of memory\"}".to_owned()),
                _ => (200, text),
            },
        )
    }

    fn count(&self, route: &'static str, answer: (u16, String)) -> (u16, String) {
        *self.asked.lock().unwrap().entry(route).or_default() += 1;
        answer
    }

    fn stats(&self, number: usize) -> Json {
        let form = self.houses[number].form;
        let tenant = self.tenants.lock().unwrap().get(number).cloned().unwrap_or_default();
        let mut stats: Map<String, Json> = self
            .ledger
            .account(&tenant)
            .checks
            .into_iter()
            .map(|(id, instance)| (id, figures(form, self.costs.of(number_of(&instance)))))
            .collect();
        // Every agent has checks that are no cluster checks.
        stats.insert("uptime".to_owned(), figures(form, 0.001));
        if form == Form::Middle {
            stats.insert(String::new(), figures(form, 1.0));
        }
        Json::Object(stats)
    }
}

/// The number of a check, from the name of its instance.
pub fn number_of(instance: &str) -> usize {
    let (_, rest) = instance.split_once("name: check-").expect("a check of this test");
    rest.lines().next().and_then(|number| number.parse().ok()).expect("a number")
}

fn figures(form: Form, need: f64) -> Json {
    let mut figures = json!({"AverageExecutionTime": (need * INTERVAL).round() as u64, "MetricSamples": 7});
    if form == Form::Oldest {
        return figures;
    }
    for (key, value) in [("HistogramBuckets", json!(0)), ("Events", json!(0)), ("LastExecFailed", json!(false))] {
        figures[key] = value;
    }
    if form != Form::Middle {
        for key in ["ServiceChecks", "TotalErrors", "TotalEvents"] {
            figures[key] = json!(0);
        }
        for (key, value) in [
            ("LastError", json!("")),
            ("TotalRuns", json!(40)),
            ("TotalMetricSamples", json!(280)),
            ("TotalServiceChecks", json!(40)),
            ("LastSuccessDate", json!(1_700_000_000)),
            ("LastExecutionDate", json!(1_700_000_000_123_u64)),
        ] {
            figures[key] = value;
        }
    }
    figures
}
