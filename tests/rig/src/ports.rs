//! Free ports of 127.0.0.1 for programs that cannot report a port they chose themselves.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::error::RigError;

/// Below the range from which systems take ports for outgoing connections, so that a restarted process finds its port free.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Tries before giving up.
const TRIES: usize = 1_000;

/// Given out by this process, listened on or not yet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// `N` ports on which nobody listens now, each given out once. Another process may be faster to take them: who starts a process retries.
pub fn free_ports<const N: usize>() -> Result<[u16; N], RigError> {
    let mut held = Vec::with_capacity(N);
    for _ in 0..TRIES {
        let draw = Uuid::new_v4().as_u128() % u128::from(COUNT);
        let port = FIRST + draw as u16;
        // All addresses: a server that wants them all finds the port taken by a listener on any.
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port)
        {
            held.push((port, listener));
        }
        if held.len() == N {
            break;
        }
    }
    let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
    ports.try_into().map_err(|_| RigError::Ports { wanted: N })
}
