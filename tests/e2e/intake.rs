//! A stand-in for the intake that counts marks in the texts of events. Its address stays the same whatever it answers.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value as Json;

/// Before the number of an event in its text.
pub const MARK: &str = "event-number-";

#[derive(Default)]
struct Book {
    refuses: AtomicBool,
    /// Number of an event -> how often it arrived.
    seen: Mutex<BTreeMap<u32, u32>>,
    /// Path -> payloads taken.
    payloads: Mutex<BTreeMap<String, u64>>,
    unreadable: Mutex<Vec<String>>,
}

/// The running intake; it ends when it is dropped.
pub struct Intake {
    pub url: String,
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
        Self { url: format!("http://{address}"), book, server }
    }

    /// From now on it answers 503, or takes everything again.
    pub fn refuse(&self, refuses: bool) {
        self.book.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Number of an event -> how often it arrived.
    pub fn seen(&self) -> BTreeMap<u32, u32> {
        self.book.seen.lock().unwrap().clone()
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

async fn accept(request: HttpRequest, body: web::Bytes, book: web::Data<Book>) -> HttpResponse {
    if book.refuses.load(Ordering::SeqCst) {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let path = request.path().to_owned();
    if path == "/intake/" {
        let encoding = request.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
        match marks(encoding, &body) {
            Ok(numbers) => {
                let mut seen = book.seen.lock().unwrap();
                for number in numbers {
                    *seen.entry(number).or_default() += 1;
                }
            }
            Err(error) => book.unreadable.lock().unwrap().push(error),
        }
    }
    *book.payloads.lock().unwrap().entry(path).or_default() += 1;
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
