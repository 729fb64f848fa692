//! A stand-in for the intake that counts marks in the texts of events. Its address stays the same whatever it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::SocketAddr;
use std::ops::Sub;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value as Json;

/// Before the number of an event in its text.
pub const MARK: &str = "event-number-";

/// Events that arrived although they had before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// In a payload that had arrived before, byte for byte: its sender was killed, or lost the answer, before the payload was off its disk.
    pub sent_again: u64,
    /// In another payload: they were read again, because the token did not say yet that they were safe when somebody else, or the same
    /// replica after its restart, went on from it.
    pub read_again: u64,
}

impl Sub for Repeats {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { sent_again: self.sent_again - before.sent_again, read_again: self.read_again - before.read_again }
    }
}

#[derive(Default)]
struct Book {
    refuses: AtomicBool,
    loses_answers: AtomicBool,
    /// Number of an event -> how often it arrived.
    seen: Mutex<BTreeMap<u32, u32>>,
    /// Bodies with events.
    bodies: Mutex<BTreeSet<web::Bytes>>,
    repeats: Mutex<Repeats>,
    /// Path -> payloads taken.
    payloads: Mutex<BTreeMap<String, u64>>,
    unreadable: Mutex<Vec<String>>,
}

/// The running intake; it ends when it is dropped.
pub struct Intake {
    pub address: SocketAddr,
    book: Arc<Book>,
    server: ServerHandle,
}

impl Intake {
    pub fn start() -> Self {
        let book = Arc::new(Book::default());
        let shared = web::Data::from(Arc::clone(&book));
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new().app_data(shared.clone()).app_data(web::PayloadConfig::new(32 << 20)).default_service(web::to(accept))
                });
                let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let running = server.run();
                tell.send((address, running.handle())).unwrap();
                running.await.unwrap();
            });
        });
        let (address, server) = told.recv().unwrap();
        Self { address, book, server }
    }

    /// From now on it answers 503, or takes everything again.
    pub fn refuse(&self, refuses: bool) {
        self.book.refuses.store(refuses, Ordering::SeqCst);
    }

    /// From now on it takes everything and answers 503 all the same, or answers truly again.
    pub fn lose_answers(&self, loses: bool) {
        self.book.loses_answers.store(loses, Ordering::SeqCst);
    }

    /// Number of an event -> how often it arrived.
    pub fn seen(&self) -> BTreeMap<u32, u32> {
        self.book.seen.lock().unwrap().clone()
    }

    /// What arrived more than once.
    pub fn repeats(&self) -> Repeats {
        *self.book.repeats.lock().unwrap()
    }

    /// Path -> payloads taken.
    pub fn payloads(&self) -> BTreeMap<String, u64> {
        self.book.payloads.lock().unwrap().clone()
    }

    /// Bodies that could not be read, in words.
    pub fn unreadable(&self) -> Vec<String> {
        self.book.unreadable.lock().unwrap().clone()
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // It ends by itself; nobody waits for it.
        drop(self.server.stop(false));
    }
}

impl Book {
    fn count(&self, numbers: &[u32], body: web::Bytes) {
        let is_new = self.bodies.lock().unwrap().insert(body);
        let (mut seen, mut repeats) = (self.seen.lock().unwrap(), self.repeats.lock().unwrap());
        for number in numbers {
            let times = seen.entry(*number).or_default();
            let before = if is_new { &mut repeats.read_again } else { &mut repeats.sent_again };
            *before += u64::from(*times > 0);
            *times += 1;
        }
    }
}

async fn accept(request: HttpRequest, body: web::Bytes, book: web::Data<Book>) -> HttpResponse {
    if book.refuses.load(Ordering::SeqCst) {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let path = request.path().to_owned();
    if path == "/intake/" {
        let encoding = request.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
        match marks(encoding, &body) {
            Ok(numbers) => book.count(&numbers, body),
            Err(error) => book.unreadable.lock().unwrap().push(error),
        }
    }
    *book.payloads.lock().unwrap().entry(path).or_default() += 1;
    if book.loses_answers.load(Ordering::SeqCst) {
        return HttpResponse::ServiceUnavailable().finish();
    }
    HttpResponse::Accepted().content_type("application/json").body("{}")
}

/// The marked numbers in all texts of a body.
fn marks(encoding: &str, body: &[u8]) -> Result<Vec<u32>, String> {
    let mut plain = Vec::new();
    let read = match encoding {
        "zstd" => zstd::stream::read::Decoder::new(body).and_then(|mut reader| reader.read_to_end(&mut plain)),
        "deflate" => flate2::read::ZlibDecoder::new(body).read_to_end(&mut plain),
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        _ => (&mut &*body).read_to_end(&mut plain),
    };
    read.map_err(|error| format!("{encoding}: {error}"))?;
    let body: Json = serde_json::from_slice(&plain).map_err(|error| error.to_string())?;
    let by_source = body["events"].as_object().ok_or_else(|| format!("no events: {body}"))?;
    let texts = by_source.values().filter_map(Json::as_array).flatten().filter_map(|event| event["msg_text"].as_str());
    Ok(texts.flat_map(|text| text.split(MARK).skip(1)).filter_map(number).collect())
}

fn number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}
