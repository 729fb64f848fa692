//! A small HTTP/1.1 server that does what a script says, also when that is wrong.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::PATIENCE;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does after it read a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// 202 to this API key, 403 to another.
    OnlyTo(&'static str),
    /// Writes this and closes.
    Raw(&'static [u8]),
    /// Writes this and keeps the connection open without another word.
    RawAndHang(&'static [u8]),
    /// Writes the head of an answer, then a body without end, as fast as it is read.
    Endless(u16),
    /// Resets the connection.
    Reset,
    /// Closes its half of the connection and goes on listening.
    HalfClose,
    /// For `CONNECT`: answers 200 and joins both ends.
    Tunnel,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<Request>,
    // Dropping the server ends it with all its connections.
    _tasks: JoinSet<()>,
}

struct Script {
    replies: Mutex<VecDeque<Reply>>,
    then: Reply,
    arrived: mpsc::UnboundedSender<Request>,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Answers with `replies` in order, then always with `then`.
    pub(crate) async fn start(replies: &[Reply], then: Reply) -> Self {
        Self::launch(replies, then, None).await
    }

    pub(crate) async fn start_tls(tls: TlsAcceptor, then: Reply) -> Self {
        Self::launch(&[], then, Some(tls)).await
    }

    async fn launch(replies: &[Reply], then: Reply, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, requests) = mpsc::unbounded_channel();
        let script = Arc::new(Script { replies: Mutex::new(replies.iter().cloned().collect()), then, arrived, tls });
        let mut tasks = JoinSet::new();
        let accepted = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&accepted);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(stream, Arc::clone(&script)));
            }
        });
        Self { address, accepted, requests, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The next request, also one that came long ago.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::time::timeout(PATIENCE, self.requests.recv()).await.unwrap().unwrap()
    }

    /// Whether all requests so far were taken by [`Self::next`].
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>) {
    match &script.tls {
        None => converse(stream, &script, |stream| stream.set_zero_linger().unwrap()).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.clone().accept(stream).await {
                converse(stream, &script, |_| {}).await;
            }
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: &Script, reset: impl Fn(&S)) {
    while let Some(request) = read_request(&mut stream).await {
        let reply = script.replies.lock().unwrap().pop_front().unwrap_or_else(|| script.then.clone());
        let target = request.target.clone();
        let reply = match reply {
            Reply::OnlyTo(key) => Reply::Status(if request.header("dd-api-key") == Some(key) { 202 } else { 403 }),
            other => other,
        };
        script.arrived.send(request).ok();
        match reply {
            Reply::Status(status) => {
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 15\r\n\r\n{{\"status\":\"ok\"}}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::OnlyTo(_) => unreachable!("decided above"),
            Reply::Raw(bytes) => {
                stream.write_all(bytes).await.ok();
                return;
            }
            Reply::RawAndHang(bytes) => {
                stream.write_all(bytes).await.ok();
                std::future::pending::<()>().await;
            }
            Reply::Endless(status) => {
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 99999999999\r\n\r\n");
                let mut bytes = head.into_bytes();
                while stream.write_all(&bytes).await.is_ok() {
                    bytes = vec![b' '; 16 * 1024];
                }
                return;
            }
            Reply::Reset => {
                reset(&stream);
                return;
            }
            Reply::HalfClose => {
                stream.shutdown().await.ok();
                std::future::pending::<()>().await;
            }
            Reply::Tunnel => {
                let mut other = TcpStream::connect(&target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                tokio::io::copy_bidirectional(&mut stream, &mut other).await.ok();
                return;
            }
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    };
    let headers: Vec<(String, String)> = lines.map(header).collect();
    let mut request = Request { method, target, headers, body: bytes.split_off(head_end) };
    let length: usize = request.header("content-length").map_or(0, |value| value.parse().unwrap());
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}
