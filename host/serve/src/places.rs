//! Places for connections: so many at once, and of one address only a part of them, so that nobody alone takes all.
//!
//! Knows addresses. Must not know what comes over a connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at once; more wait to be accepted. Each takes up to 64 KiB for the head of its request.
const MAX_CONNECTIONS: usize = 4096;
/// Of one address: a proxy in front of many clients needs many.
const MAX_OF_ADDRESS: usize = MAX_CONNECTIONS / 2;

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place, free again on drop.
pub(crate) struct Place {
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new() -> Places {
        Places { free: Arc::new(Semaphore::new(MAX_CONNECTIONS)), taken: Arc::default() }
    }

    /// Waits until a place is free, for whoever comes next.
    pub(crate) async fn free(&self) -> OwnedSemaphorePermit {
        match self.free.clone().acquire_owned().await {
            Ok(permit) => permit,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes the place for a connection from here; `None` where this address has too many.
    pub(crate) fn take(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut taken = lock(&self.taken);
        let of_address = taken.entry(address).or_default();
        if *of_address >= MAX_OF_ADDRESS {
            return None;
        }
        *of_address += 1;
        drop(taken);
        Some(Place { address, taken: self.taken.clone(), _permit: permit })
    }

    /// Whether few are left: then a connection is not kept long for a request that does not come.
    pub(crate) fn are_scarce(&self) -> bool {
        self.free.available_permits() < MAX_CONNECTIONS / 4
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(of_address) = taken.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

fn lock(taken: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom an address belongs to: a host has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_alone_takes_all_places() {
        let places = Places::new();
        let (greedy, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "10.0.0.7".parse().unwrap());
        let mut taken = Vec::new();
        for _ in 0..MAX_OF_ADDRESS {
            taken.push(places.take(places.free().await, greedy).unwrap());
        }
        assert!(!places.are_scarce());
        let neighbour = "2001:db8::ffff".parse().unwrap();
        assert!(places.take(places.free().await, neighbour).is_none(), "it is the same network");
        for _ in 0..=MAX_CONNECTIONS / 4 {
            taken.push(places.take(places.free().await, other).unwrap());
        }
        assert!(places.are_scarce());
        taken.clear();
        assert!(places.take(places.free().await, greedy).is_some() && !places.are_scarce());
        assert!(lock(&places.taken).is_empty());
    }
}
