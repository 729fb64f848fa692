//! One accepted connection: TLS handshake, then requests, with a bound on every wait for the client.
//!
//! The HTTP engine bounds the first request head only, and stops watching a kept connection as soon as a byte of the next head
//! arrives. [`Watched`] closes both gaps: a head that began must end, and a connection without a request in work must get one.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

/// How long a client may keep a connection without making progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first byte of a request head to its last.
    pub(crate) head: Duration,
    /// Between two requests.
    pub(crate) keep_alive: Duration,
    /// For the last words (TLS close, the rest of an answer) after the server gave the connection up.
    pub(crate) farewell: Duration,
}

/// What the three parts of a connection (stream, handler, watch) tell each other.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Requests that are being answered.
    in_work: Cell<u32>,
    /// Bytes arrived that no handler has seen yet.
    unread: Cell<bool>,
    /// When the last request ended, or the connection began.
    idle_since: Cell<Instant>,
    /// The last answer ends the connection, although more of the request may come.
    last_answer: Cell<bool>,
    /// The watch gave up: the stream ends.
    given_up: Cell<bool>,
}

impl Pulse {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            in_work: Cell::new(0),
            unread: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            last_answer: Cell::new(false),
            given_up: Cell::new(false),
        })
    }

    /// A handler took a request; the guard marks its end.
    pub(crate) fn begin(self: &Rc<Self>) -> InWork {
        self.in_work.set(self.in_work.get() + 1);
        self.unread.set(false);
        InWork(Rc::clone(self))
    }
}

/// A request in work; dropped when its answer is ready or its connection gone.
pub(crate) struct InWork(Rc<Pulse>);

impl InWork {
    /// The answer of this request ends the connection.
    pub(crate) fn ends_connection(&self) {
        self.0.last_answer.set(true);
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.in_work.set(self.0.in_work.get().saturating_sub(1));
        self.0.unread.set(false);
        self.0.idle_since.set(Instant::now());
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The byte stream of a connection, plain or TLS.
pub(crate) struct Wire {
    stream: Stream,
    pulse: Rc<Pulse>,
}

impl Wire {
    pub(crate) fn plain(stream: TcpStream, pulse: Rc<Pulse>) -> Self {
        Self { stream: Stream::Plain(stream), pulse }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, pulse: Rc<Pulse>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), pulse }
    }

    /// The pulse, for the handlers of this connection.
    pub(crate) fn pulse(&self) -> Rc<Pulse> {
        Rc::clone(&self.pulse)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pulse.given_up.get() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let outcome = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        };
        if buffer.filled().len() > before {
            self.pulse.unread.set(true);
        }
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

/// A connection being served, with somebody who looks at the clock.
pub(crate) struct Watched<F> {
    serving: Pin<Box<F>>,
    pulse: Rc<Pulse>,
    patience: Patience,
    alarm: Pin<Box<Sleep>>,
    /// When the head that is arriving began, if one is.
    head_since: Option<Instant>,
}

impl<F> Watched<F> {
    pub(crate) fn new(serving: F, pulse: Rc<Pulse>, patience: Patience) -> Self {
        let alarm = Box::pin(sleep_until(pulse.idle_since.get() + patience.keep_alive));
        Self { serving: Box::pin(serving), pulse, patience, alarm, head_since: None }
    }

    /// When patience ends if nothing happens.
    fn deadline(&mut self) -> Instant {
        if self.pulse.last_answer.get() {
            self.pulse.idle_since.get() + self.patience.farewell
        } else if self.pulse.unread.get() {
            *self.head_since.get_or_insert_with(Instant::now) + self.patience.head
        } else {
            self.head_since = None;
            self.pulse.idle_since.get() + self.patience.keep_alive
        }
    }
}

impl<F, E> Future for Watched<F>
where
    F: Future<Output = Result<(), E>>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if this.serving.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if this.pulse.given_up.get() {
                return this.alarm.as_mut().poll(context);
            }
            if this.pulse.in_work.get() > 0 {
                // Handlers have their own deadlines; the end of one polls this future again.
                return Poll::Pending;
            }
            let deadline = this.deadline();
            if deadline < this.alarm.deadline() {
                this.alarm.as_mut().reset(deadline);
            }
            while this.alarm.as_mut().poll(context).is_ready() {
                // The alarm is not moved with every request, so it may ring early.
                if deadline > Instant::now() {
                    this.alarm.as_mut().reset(deadline);
                    continue;
                }
                this.pulse.given_up.set(true);
                this.alarm.as_mut().reset(Instant::now() + this.patience.farewell);
            }
            if !this.pulse.given_up.get() {
                return Poll::Pending;
            }
            // Poll once more: the stream now reads as ended, so the engine closes it in good order.
        }
    }
}
