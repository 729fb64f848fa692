//! A stand-in for the intake that counts: it takes the payloads of the `datadog` output and remembers who reported what when.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;

use crate::demo::evidence::{Evidence, Sighting};

/// Largest decompressed payload it reads.
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;

/// What arrived so far.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Reports by check and runner.
    pub evidence: Evidence,
    /// Payloads per route.
    pub payloads: BTreeMap<String, u64>,
    /// Compressed bytes.
    pub bytes: u64,
    /// Payloads that could not be read.
    pub unreadable: u64,
}

struct Book {
    runner_by_key: BTreeMap<String, String>,
    ledger: Mutex<Ledger>,
}

/// The running intake.
pub struct Intake {
    /// Where it listens.
    pub address: SocketAddr,
    book: Arc<Book>,
    server: ServerHandle,
}

impl Intake {
    /// Starts it on a free port of 127.0.0.1. `runner_by_key` tells which API key belongs to which runner.
    ///
    /// Errors: the port could not be bound.
    pub fn start(runner_by_key: BTreeMap<String, String>) -> std::io::Result<Self> {
        let book = Arc::new(Book { runner_by_key, ledger: Mutex::default() });
        let shared = web::Data::from(Arc::clone(&book));
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).default_service(web::to(accept)))
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))?;
        let address = server.addrs().first().copied().ok_or_else(|| std::io::Error::other("no address bound"))?;
        let running = server.run();
        let handle = running.handle();
        actix_rt::spawn(running);
        Ok(Self { address, book, server: handle })
    }

    /// Reads the ledger.
    pub fn read<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        look(&self.book.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

#[derive(Deserialize)]
struct Report {
    timestamp: i64,
    #[serde(default)]
    tags: Option<Vec<String>>,
}

async fn accept(request: HttpRequest, body: web::Bytes, book: web::Data<Book>) -> HttpResponse {
    let route = request.path().to_owned();
    let encoding = request.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let key = request.headers().get("dd-api-key").and_then(|value| value.to_str().ok()).unwrap_or("");
    let reports = if route == "/api/v1/check_run" { read_reports(encoding, &body) } else { Ok(Vec::new()) };

    let mut ledger = book.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.bytes += body.len() as u64;
    match reports {
        Ok(reports) => {
            let runner = book.runner_by_key.get(key).cloned().unwrap_or_else(|| "unknown".to_owned());
            for report in reports {
                let tags = report.tags.unwrap_or_default();
                if let Some(check) = tags.iter().find_map(|tag| tag.strip_prefix("demo_check:")) {
                    ledger.evidence.record(Sighting { at: report.timestamp, check: check.to_owned(), runner: runner.clone() });
                }
            }
        }
        Err(_) => ledger.unreadable += 1,
    }
    *ledger.payloads.entry(route).or_default() += 1;
    HttpResponse::Accepted().content_type("application/json").body("{}")
}

fn read_reports(encoding: &str, body: &[u8]) -> std::io::Result<Vec<Report>> {
    let mut plain = Vec::new();
    match encoding {
        "zstd" => zstd::stream::read::Decoder::new(body)?.take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
        "deflate" => flate2::read::ZlibDecoder::new(body).take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
        "gzip" => flate2::read::GzDecoder::new(body).take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
        _ => body.take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
    };
    Ok(serde_json::from_slice(&plain)?)
}
