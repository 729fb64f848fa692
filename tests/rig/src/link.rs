//! A wire that can be cut: one replica loses the API server, the others do not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::error::RigError;
use crate::ports::free_ports;

/// Bytes taken from one side before they are given to the other; a hanging connection keeps at most these.
const PIECE: usize = 16 * 1024;

/// How often to look for another port because somebody else took the free one.
const STARTS: usize = 5;

/// What a link does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Forwards.
    Whole,
    /// Refuses new ones, has closed the others.
    Cut,
    /// Accepts new ones, forwards nothing on any.
    Hanging,
}

/// A new state, and whom to tell that it is in force.
type Order = (State, oneshot::Sender<io::Result<()>>);

/// A TCP proxy on a port of its own. TLS passes through it, so the server's certificate must name 127.0.0.1, as that of the
/// API server does. Dropping it closes its connections.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
}

impl Link {
    /// Forwards from a free port of 127.0.0.1 to `target`, for example [`crate::ControlPlane::host_port`].
    pub async fn start(target: SocketAddr) -> Result<Self, RigError> {
        let (address, listener) = listen().await?;
        let (orders, queue) = mpsc::channel(1);
        tokio::spawn(serve(address, listener, target, queue));
        Ok(Self { address, orders })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Port of [`Self::address`].
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Refuses new connections and closes the open ones; both are true when this returns.
    pub async fn cut(&self) -> Result<(), RigError> {
        self.set(State::Cut).await
    }

    /// Accepts connections and forwards nothing, on open ones neither.
    pub async fn hang(&self) -> Result<(), RigError> {
        self.set(State::Hanging).await
    }

    /// Forwards again; connections that hung go on, nothing on them was lost.
    pub async fn mend(&self) -> Result<(), RigError> {
        self.set(State::Whole).await
    }

    async fn set(&self, state: State) -> Result<(), RigError> {
        let failed = |source| RigError::Link { address: self.address, source };
        let (done, told) = oneshot::channel();
        let ended = || failed(io::Error::other("the runtime of the link has ended"));
        self.orders.send((state, done)).await.map_err(|_| ended())?;
        told.await.map_err(|_| ended())?.map_err(failed)
    }
}

async fn listen() -> Result<(SocketAddr, TcpListener), RigError> {
    let mut tries = 0;
    loop {
        let [port] = free_ports()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok((address, listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < STARTS => tries += 1,
            Err(source) => return Err(RigError::Link { address, source }),
        }
    }
}

/// Ends when the link is dropped; its connections end with it.
async fn serve(address: SocketAddr, listener: TcpListener, target: SocketAddr, mut orders: mpsc::Receiver<Order>) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let (state, _) = watch::channel(State::Whole);
    loop {
        select! {
            order = orders.recv() => {
                let Some((wanted, done)) = order else { return };
                let obeyed = obey(wanted, address, &mut listener, &mut connections).await;
                if obeyed.is_ok() {
                    state.send_replace(wanted);
                }
                // Who gave the order may have stopped waiting.
                let _ = done.send(obeyed);
            }
            client = accept(listener.as_ref()) => {
                if let Ok(client) = client {
                    connections.spawn(carry(client, target, state.subscribe()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn obey(wanted: State, address: SocketAddr, listener: &mut Option<TcpListener>, connections: &mut JoinSet<()>) -> io::Result<()> {
    if wanted == State::Cut {
        *listener = None;
        connections.shutdown().await;
    } else if listener.is_none() {
        *listener = Some(TcpListener::bind(address).await?);
    }
    Ok(())
}

/// Never ready while the link is cut.
async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, state: watch::Receiver<State>) {
    whole(&mut state.clone()).await;
    // A target that refuses shows as a connection closed at once.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    // Either direction that breaks ends both.
    let _ = tokio::try_join!(pump(client_reads, server_writes, state.clone()), pump(server_reads, client_writes, state));
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        whole(&mut state).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

/// Waits until the link forwards.
async fn whole(state: &mut watch::Receiver<State>) {
    if state.wait_for(|state| *state == State::Whole).await.is_err() {
        // The link is gone, and this connection with it at the next moment.
        std::future::pending::<()>().await;
    }
}
