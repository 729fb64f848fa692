//! What the demo's checks look at: a small HTTP service with an OpenMetrics page.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};

/// The running target.
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Requests answered so far.
    pub requests: Arc<AtomicU64>,
    server: ServerHandle,
}

impl Target {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// Errors: the port could not be bound.
    pub fn start() -> std::io::Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let shared = web::Data::from(Arc::clone(&requests));
        let server = HttpServer::new(move || {
            App::new().app_data(shared.clone()).route("/metrics", web::get().to(metrics)).default_service(web::to(hello))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))?;
        let address = server.addrs().first().copied().ok_or_else(|| std::io::Error::other("no address bound"))?;
        let running = server.run();
        let handle = running.handle();
        actix_rt::spawn(running);
        Ok(Self { address, requests, server: handle })
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

async fn hello(requests: web::Data<AtomicU64>) -> HttpResponse {
    requests.fetch_add(1, Ordering::Relaxed);
    HttpResponse::Ok().content_type("text/plain").body("ready\n")
}

async fn metrics(requests: web::Data<AtomicU64>) -> HttpResponse {
    let total = requests.fetch_add(1, Ordering::Relaxed) + 1;
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(format!("# TYPE demo_requests_total counter\ndemo_requests_total {total}\n# TYPE demo_up gauge\ndemo_up 1\n"))
}
