//! Stands where a Kubernetes Service stands: one address for all servers, each connection goes to one that accepts it.
//!
//! As a Service it knows nothing of leaders and of what it carries: TLS passes through it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Pause after the system refused to accept, for example for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The open address. Dropping it closes it and its connections.
#[derive(Debug)]
pub struct Service {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    accepting: JoinHandle<()>,
}

impl Service {
    /// Opens a free port of 127.0.0.1 in front of these ports.
    ///
    /// Errors: no port is free.
    pub fn open(targets: Vec<u16>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { port, accepting: tokio::spawn(accept(listener, targets)) })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Ends when it is aborted, and all connections with it.
async fn accept(listener: TcpListener, mut targets: Vec<u16>) {
    let step = targets.len().min(1);
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                connections.spawn(carry(client, targets.clone()));
                // The next connection goes to the next one.
                targets.rotate_left(step);
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection to the first target that accepts it; if none does, it is closed.
async fn carry(mut client: TcpStream, targets: Vec<u16>) {
    for port in targets {
        if let Ok(mut server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
            // Whichever side breaks, both see the end of the connection.
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Says its name to each connection, then closes it.
    async fn greeter(name: &'static [u8]) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let greeting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                client.write_all(name).await.unwrap();
            }
        });
        (port, greeting)
    }

    async fn greeting(service: &Service) -> String {
        let mut text = String::new();
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, service.port)).await.unwrap();
        connection.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn connections_go_to_all_in_turn_and_past_those_that_are_gone() {
        let ((one, first), (two, _second)) = (greeter(b"one").await, greeter(b"two").await);
        let service = Service::open(vec![one, two]).unwrap();
        assert_eq!([greeting(&service).await, greeting(&service).await, greeting(&service).await], ["one", "two", "one"]);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!([greeting(&service).await, greeting(&service).await], ["two", "two"]);
    }

    #[tokio::test]
    async fn without_anybody_behind_it_a_connection_is_closed() {
        assert_eq!(greeting(&Service::open(Vec::new()).unwrap()).await, "");
    }
}
