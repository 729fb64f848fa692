//! The address under which other replicas reach this one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{UdpSocket, lookup_host};

/// Why the own address is not known.
#[derive(Debug, thiserror::Error)]
#[error("find the own address towards {host}; set muster.advertise_address to the host:port that other replicas reach")]
pub struct AddressError {
    /// Where to.
    pub host: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The address to advertise: the configured one, else the local address from which `host` is reached, with the own `port`.
///
/// Nothing is sent: connecting a datagram socket only chooses the route.
///
/// Errors: [`AddressError`] if the name cannot be resolved or there is no route.
pub async fn own_address(configured: Option<&str>, host: &str, host_port: u16, port: u16) -> Result<String, AddressError> {
    if let Some(configured) = configured {
        return Ok(configured.to_owned());
    }
    let local = local_address(host, host_port).await.map_err(|source| AddressError { host: host.to_owned(), source })?;
    Ok(SocketAddr::new(local.ip(), port).to_string())
}

async fn local_address(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    // Addresses in brackets are how URLs write IPv6.
    for target in lookup_host((host.trim_start_matches('[').trim_end_matches(']'), port)).await? {
        let any =
            if target.is_ipv4() { SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
        let connect = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(target).await?;
            socket.local_addr()
        };
        match connect.await {
            Ok(local) => return Ok(local),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_configured_counts_as_it_is() {
        assert_eq!(own_address(Some("muster-0.muster:5005"), "no.such.name.invalid", 1, 2).await.unwrap(), "muster-0.muster:5005");
    }

    #[tokio::test]
    async fn the_address_is_the_one_from_which_the_api_server_is_reached() {
        assert_eq!(own_address(None, "127.0.0.1", 443, 5005).await.unwrap(), "127.0.0.1:5005");
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_found_names_the_mend() {
        let error = own_address(None, "no such name", 443, 5005).await.unwrap_err();
        assert!(error.to_string().contains("muster.advertise_address"), "{error}");
    }
}
