//! Free ports on the loopback. They are free when chosen, not reserved: who listens later must be ready to lose the race.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that operating systems take for outgoing connections (32768 and up on Linux, 49152 on macOS): a port in
/// it could be taken by anybody's connection while its server is down for a restart.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Each process begins elsewhere and counts up, so no port is chosen twice in a process and seldom by two.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
    let random = RandomState::new().hash_one(std::process::id());
    AtomicU16::new(u16::try_from(random % u64::from(COUNT)).unwrap_or_default())
});

/// A port of 127.0.0.1 on which nobody listens now.
///
/// # Errors
///
/// All are taken.
pub fn free_port() -> io::Result<u16> {
    (0..COUNT)
        .map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port on 127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_chosen() {
        let port = free_port().unwrap();
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let others: Vec<u16> = (0..10).map(|_| free_port().unwrap()).collect();
        assert!(!others.contains(&port));
    }
}
