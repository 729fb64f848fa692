//! A stand-in for the intake that counts: it takes the payloads of the `datadog` output and remembers who reported what when.
//!
//! It can go away and come back under the same address.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::net::TcpSocket;

use crate::demo::evidence::{Evidence, Sighting};
use crate::demo::payload::{EventId, events, reports};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 256;

/// What arrived so far.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Reports by check and runner.
    pub evidence: Evidence,
    /// How often each event was taken.
    pub events: BTreeMap<EventId, Taken>,
    /// Payloads per route.
    pub payloads: BTreeMap<String, u64>,
    /// Compressed bytes.
    pub bytes: u64,
    /// Payloads that could not be read.
    pub unreadable: u64,
}

/// How often something was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// And its sender got an answer.
    pub answered: u64,
    /// And its sender got none, so that it has to send it again.
    pub unanswered: u64,
}

impl Taken {
    /// All in all.
    #[must_use]
    pub fn times(self) -> u64 {
        self.answered + self.unanswered
    }
}

/// What the intake does with a payload once it is in its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Says that it has it.
    Answers,
    /// Says nothing.
    Silent,
}

struct Book {
    sender_by_key: BTreeMap<String, String>,
    ledger: Mutex<Ledger>,
}

/// What handlers need.
#[derive(Clone)]
struct Desk {
    book: Arc<Book>,
    manner: Manner,
}

/// The intake, open or not.
pub struct Intake {
    /// Where it listens while it is open.
    pub address: SocketAddr,
    /// Keeps the port while nobody listens on it. Why: another program could get it meanwhile, and then there is no way back.
    _port: TcpSocket,
    book: Arc<Book>,
    open: Cell<Option<ServerHandle>>,
}

impl Intake {
    /// Opens it on a free port of 127.0.0.1. `sender_by_key` tells which API key belongs to which runner.
    ///
    /// Errors: the port could not be bound.
    pub fn start(sender_by_key: BTreeMap<String, String>) -> io::Result<Self> {
        let port = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let book = Arc::new(Book { sender_by_key, ledger: Mutex::default() });
        let intake = Self { address: port.local_addr()?, _port: port, book, open: Cell::default() };
        intake.open(Manner::Answers)?;
        Ok(intake)
    }

    /// Opens it (again); it must be closed.
    ///
    /// Errors: the port could not be listened on.
    pub fn open(&self, manner: Manner) -> io::Result<()> {
        let listener = bound(self.address)?.listen(BACKLOG)?.into_std()?;
        let desk = web::Data::new(Desk { book: Arc::clone(&self.book), manner });
        let server = HttpServer::new(move || App::new().app_data(desk.clone()).default_service(web::to(accept)));
        let running = server.workers(1).disable_signals().listen(listener)?.run();
        self.open.set(Some(running.handle()));
        actix_rt::spawn(running);
        Ok(())
    }

    /// Closes it: connections are cut, further ones refused.
    pub async fn close(&self) {
        if let Some(server) = self.open.take() {
            server.stop(false).await;
        }
    }

    /// Reads the ledger.
    pub fn read<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        look(&self.book.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A socket with this address. Several may have it, and connections go only to one that listens.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of before, which the system remembers for a while, must not stand in the way either.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(request: HttpRequest, body: web::Bytes, desk: web::Data<Desk>) -> HttpResponse {
    let Desk { book, manner } = desk.get_ref();
    book.enter(&request, &body, *manner);
    if *manner == Manner::Silent {
        // Until the connection is cut.
        std::future::pending::<()>().await;
    }
    HttpResponse::Accepted().content_type("application/json").body("{}")
}

impl Book {
    /// Enters a payload in the ledger.
    fn enter(&self, request: &HttpRequest, body: &[u8], manner: Manner) {
        let route = request.path();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let encoding = header(CONTENT_ENCODING.as_str());
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.bytes += body.len() as u64;
        *ledger.payloads.entry(route.to_owned()).or_default() += 1;
        let read = match route {
            "/api/v1/check_run" => reports(encoding, body).map(|reports| {
                let runner = self.sender_by_key.get(header("dd-api-key")).map_or("unknown", String::as_str);
                for report in reports {
                    let tags = report.tags.unwrap_or_default();
                    if let Some(check) = tags.iter().find_map(|tag| tag.strip_prefix("demo_check:")) {
                        let (check, runner) = (check.to_owned(), runner.to_owned());
                        ledger.evidence.record(Sighting { at: report.timestamp, check, runner });
                    }
                }
            }),
            "/intake/" => events(encoding, body).map(|events| {
                for event in events {
                    let taken = ledger.events.entry(event).or_default();
                    match manner {
                        Manner::Answers => taken.answered += 1,
                        Manner::Silent => taken.unanswered += 1,
                    }
                }
            }),
            _ => Ok(()),
        };
        ledger.unreadable += u64::from(read.is_err());
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// Sends an event, and returns the connection.
    async fn send(intake: &Intake, at: i64) -> io::Result<TcpStream> {
        let body = format!(r#"{{"events":{{"System":[{{"timestamp":{at},"host":"a"}}]}}}}"#);
        let mut connection = TcpStream::connect(intake.address).await?;
        let head = format!("POST /intake/ HTTP/1.1\r\nhost: intake\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.write_all((head + &body).as_bytes()).await?;
        Ok(connection)
    }

    fn taken(intake: &Intake, at: i64) -> Taken {
        let event = EventId { host: "a".into(), at, kind: String::new() };
        intake.read(|ledger| ledger.events.get(&event).copied().unwrap_or_default())
    }

    async fn answer(mut connection: TcpStream) -> String {
        let mut answer = String::new();
        // A connection that is cut may end with an error.
        connection.read_to_string(&mut answer).await.ok();
        answer
    }

    #[actix_rt::test]
    async fn it_goes_away_and_comes_back_under_the_same_address() {
        let intake = Intake::start(BTreeMap::new()).unwrap();
        assert!(answer(send(&intake, 1).await.unwrap()).await.starts_with("HTTP/1.1 202"));
        intake.close().await;
        assert_eq!(send(&intake, 2).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);

        intake.open(Manner::Silent).unwrap();
        let silent = send(&intake, 3).await.unwrap();
        while taken(&intake, 3).times() == 0 {
            tokio::task::yield_now().await;
        }
        intake.close().await;
        assert_eq!(answer(silent).await, "");

        intake.open(Manner::Answers).unwrap();
        for at in [3, 4] {
            assert!(answer(send(&intake, at).await.unwrap()).await.starts_with("HTTP/1.1 202"));
        }
        let expected = [(1, 0), (0, 0), (1, 1), (1, 0)].map(|(answered, unanswered)| Taken { answered, unanswered });
        assert_eq!([1, 2, 3, 4].map(|at| taken(&intake, at)), expected);
        assert_eq!(intake.read(|ledger| ledger.unreadable), 0);
        intake.close().await;
    }
}
