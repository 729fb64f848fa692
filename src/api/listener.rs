//! Binds an address and serves an [`Application`] on it, over TLS or plain.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{ConnectionType, HttpService, KeepAlive, Request, StatusCode};
use actix_server::{Server, ServerHandle};
use actix_service::{Service, ServiceFactory, fn_factory, fn_service};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::api::connection::{InWork, Patience, Pulse, Watched, Wire};
use crate::api::reply::{self, Reply};

/// Connections the kernel holds for us before they are accepted.
///
/// Why: after a restart all agents come back within their poll interval.
const BACKLOG: i32 = 4096;

/// What a listener serves.
pub trait Application: Send + Sync + 'static {
    /// Answers one request. Runs on an HTTP thread: it must not block.
    fn answer(self: &Arc<Self>, request: Request) -> Answer;
}

/// An answer, or the promise of one.
pub enum Answer {
    /// There at once.
    Now(Reply),
    /// Needs the body or another room first.
    Later(LocalBoxFuture<'static, Reply>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(reply) => write!(out, "Now({})", reply.status()),
            Self::Later(_) => out.write_str("Later"),
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress {
    /// All interfaces, IPv6 and IPv4; IPv4 alone where the machine has no IPv6. Port 0 = any free one.
    All(u16),
    /// Exactly this address.
    Exact(SocketAddr),
}

/// How a server listens.
#[derive(Clone)]
pub struct ListenerSettings {
    /// Name for logs.
    pub name: &'static str,
    /// Where.
    pub address: ListenAddress,
    /// TLS settings; `None` = plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Time an idle connection stays open.
    ///
    /// Why 75 s: longer than the 60 s after which agents close it themselves, and than their 10 s poll, so polls pay no handshake.
    pub keep_alive: Duration,
    /// Time for a request head, from its first byte.
    pub head_timeout: Duration,
    /// Time for a TLS handshake. Stock agents give up after 5 s themselves.
    pub handshake_timeout: Duration,
    /// Time for the last words on a connection that the server gave up.
    pub farewell_timeout: Duration,
    /// Threads that serve. Connections are spread over them.
    pub workers: usize,
    /// Time open requests get when the server stops.
    ///
    /// Units: whole seconds.
    pub stop_timeout_seconds: u64,
}

impl ListenerSettings {
    /// Plain HTTP with the stock timings and one thread.
    pub fn plain(name: &'static str, address: ListenAddress) -> Self {
        Self {
            name,
            address,
            tls: None,
            keep_alive: Duration::from_secs(75),
            head_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            farewell_timeout: Duration::from_secs(2),
            workers: 1,
            stop_timeout_seconds: 5,
        }
    }

    /// HTTPS with the stock timings and one thread.
    pub fn secure(name: &'static str, address: ListenAddress, tls: Arc<rustls::ServerConfig>) -> Self {
        Self { tls: Some(tls), ..Self::plain(name, address) }
    }
}

impl fmt::Debug for ListenerSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ListenerSettings").field("name", &self.name).field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, not ours, or needs a privilege.
    #[error("listen on {address} for {name}")]
    Bind {
        /// Which server.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bound socket cannot be served.
    #[error("serve {name}")]
    Serve {
        /// Which server.
        name: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server that runs until it is stopped.
#[derive(Debug)]
pub struct BoundServer {
    /// The address it listens on, with the real port.
    pub local_addr: SocketAddr,
    /// Stops or pauses it.
    pub handle: ServerHandle,
}

impl BoundServer {
    /// Stops accepting, lets open requests finish within the stop timeout, closes everything.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}

/// Binds and starts serving. Must be called on a thread with an actix system.
///
/// Errors: [`ListenError`].
pub fn listen<A: Application>(settings: ListenerSettings, application: Arc<A>) -> Result<BoundServer, ListenError> {
    let name = settings.name;
    let listener = bind(name, settings.address)?;
    let serve_error = |source| ListenError::Serve { name, source };
    let local_addr = listener.local_addr().map_err(serve_error)?;
    let builder = Server::build().workers(settings.workers.max(1)).disable_signals().shutdown_timeout(settings.stop_timeout_seconds);
    let stopping = builder.graceful_shutdown_signal();
    let handshake_errors = Arc::new(AtomicU64::new(0));
    let server = builder
        .listen(name, listener, move || {
            let settings = settings.clone();
            let application = Arc::clone(&application);
            let handshake_errors = Arc::clone(&handshake_errors);
            let stopping = stopping.clone();
            fn_factory(move || {
                let patience =
                    Patience { head: settings.head_timeout, keep_alive: settings.keep_alive, farewell: settings.farewell_timeout };
                let acceptor = settings.tls.clone().map(TlsAcceptor::from);
                let handshake = Handshake { name, acceptor, timeout: settings.handshake_timeout, errors: Arc::clone(&handshake_errors) };
                let application = Arc::clone(&application);
                let stopping = stopping.clone();
                let http = HttpService::build()
                    .keep_alive(KeepAlive::Os)
                    .client_request_timeout(settings.head_timeout)
                    .client_disconnect_timeout(settings.farewell_timeout)
                    .graceful_shutdown_signal(move || {
                        let stopping = stopping.clone();
                        async move { stopping.notified().await }
                    })
                    .on_connect_ext(|wire: &Wire, data| {
                        data.insert(wire.pulse());
                    })
                    .h1(fn_service(move |request: Request| respond(&application, request)))
                    .new_service(());
                async move {
                    let http = Rc::new(http.await?);
                    Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                        let http = Rc::clone(&http);
                        let handshake = handshake.clone();
                        async move {
                            let peer = stream.peer_addr().ok();
                            let Some(wire) = handshake.shake(stream).await else { return Ok::<_, Infallible>(()) };
                            let pulse = wire.pulse();
                            Watched::new(http.call((wire, peer)), pulse, patience).await;
                            Ok(())
                        }
                    }))
                }
            })
        })
        .map_err(serve_error)?
        .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    tracing::info!(server = name, address = %local_addr, "listening");
    Ok(BoundServer { local_addr, handle })
}

fn bind(name: &'static str, address: ListenAddress) -> Result<TcpListener, ListenError> {
    let open = |address: SocketAddr| {
        let opened = open_socket(address);
        opened.map_err(|source| ListenError::Bind { name, address, source })
    };
    match address {
        ListenAddress::Exact(address) => open(address),
        ListenAddress::All(port) => match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(ListenError::Bind { source, .. }) if source.kind() != io::ErrorKind::AddrInUse => {
                open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            outcome => outcome,
        },
    }
}

fn open_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// First thing on a connection.
#[derive(Clone)]
struct Handshake {
    name: &'static str,
    acceptor: Option<TlsAcceptor>,
    timeout: Duration,
    errors: Arc<AtomicU64>,
}

impl Handshake {
    /// The stream of requests; `None` if the client speaks no TLS we accept.
    async fn shake(&self, stream: TcpStream) -> Option<Wire> {
        // Answers are small: waiting for more bytes to send would only delay them. A failure costs latency, nothing else.
        let _delayed = stream.set_nodelay(true);
        let Some(acceptor) = &self.acceptor else { return Some(Wire::plain(stream, Pulse::new())) };
        match timeout(self.timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(Wire::tls(stream, Pulse::new())),
            Ok(Err(error)) => {
                self.report(&error.to_string());
                None
            }
            Err(_) => {
                self.report("timed out");
                None
            }
        }
    }

    /// Warns about the first failure and every hundredth: port scanners and half-open probes are common.
    fn report(&self, error: &str) {
        let count = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
        if count == 1 || count.is_multiple_of(100) {
            tracing::warn!(server = self.name, error, count, "TLS handshake failed");
        }
    }
}

/// Runs the application on one request; a panic in it is an answer, not the end of the thread.
fn respond<A: Application>(application: &Arc<A>, request: Request) -> Responding {
    let in_work = request.conn_data::<Rc<Pulse>>().map(Pulse::begin);
    let path = request.path().to_owned();
    match catch_unwind(AssertUnwindSafe(|| application.answer(request))) {
        Ok(Answer::Now(reply)) => Responding { state: State::Now(Some(reply)), in_work },
        Ok(Answer::Later(answer)) => Responding { state: State::Later(AssertUnwindSafe(answer).catch_unwind(), path), in_work },
        Err(_) => Responding { state: State::Now(Some(panicked(&path))), in_work },
    }
}

enum State {
    Now(Option<Reply>),
    Later(futures_util::future::CatchUnwind<AssertUnwindSafe<LocalBoxFuture<'static, Reply>>>, String),
}

/// The answer of one request on its way.
struct Responding {
    state: State,
    in_work: Option<InWork>,
}

impl Future for Responding {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = match &mut self.state {
            State::Now(reply) => reply.take().unwrap_or_else(|| reply::empty(StatusCode::INTERNAL_SERVER_ERROR)),
            State::Later(answer, path) => match answer.poll_unpin(context) {
                Poll::Ready(outcome) => outcome.unwrap_or_else(|_| panicked(path)),
                Poll::Pending => return Poll::Pending,
            },
        };
        if let Some(in_work) = &self.in_work
            && reply.head().connection_type() == ConnectionType::Close
        {
            in_work.ends_connection();
        }
        Poll::Ready(Ok(reply))
    }
}

fn panicked(path: &str) -> Reply {
    tracing::error!(path, "handler panicked");
    reply::text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")
}
