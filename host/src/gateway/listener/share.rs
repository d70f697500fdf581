//! How many connections one address may have: nobody takes them all.

use crate::gateway::TrustedProxies;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The connections by the address they come from.
pub struct Shares {
    max: usize,
    trusted: TrustedProxies,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One of an address's connections; gives itself back.
pub(super) struct Share {
    /// With the address, if it is one that is counted.
    counted: Option<(Arc<Shares>, IpAddr)>,
}

impl Shares {
    /// `max` for each address; loopback and the `trusted` speak for many, and are not counted.
    #[must_use]
    pub fn new(max: usize, trusted: TrustedProxies) -> Arc<Self> {
        Arc::new(Self { max, trusted, taken: Mutex::default() })
    }

    /// A place for one more connection of the address; `None`: it has its share.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let address = address.to_canonical();
        if address.is_loopback() || self.trusted.contains(address) {
            return Some(Share { counted: None });
        }
        let whose = whose(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = taken.entry(whose).or_default();
        if *mine >= self.max {
            return None;
        }
        *mine += 1;
        Some(Share { counted: Some((self.clone(), whose)) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((shares, whose)) = &self.counted else { return };
        let mut taken = shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = taken.get_mut(whose) {
            *mine -= 1;
            if *mine == 0 {
                taken.remove(whose);
            }
        }
    }
}

/// Whoever has one address of IPv6 has the 2^64 of its network (RFC 4291, 2.5.4).
fn whose(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::address::Network;

    #[test]
    fn an_address_has_its_share_and_gives_it_back() {
        let shares = Shares::new(2, std::iter::once("10.0.0.0/8".parse::<Network>().unwrap()).collect());
        let enter = |address: &str| shares.enter(address.parse().unwrap());
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none(), "a mapped address is the same one");
        let _other = enter("192.0.2.2").unwrap();
        let _network = (enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:2").unwrap());
        assert!(enter("2001:db8::3").is_none(), "one network of IPv6 is one peer");
        assert!(enter("2001:db8:0:1::3").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        let many: Vec<_> =
            ["127.0.0.1", "::1", "10.1.2.3"].iter().flat_map(|of| [enter(of), enter(of), enter(of)]).collect();
        assert!(many.iter().all(Option::is_some), "this machine and trusted proxies speak for many");
        drop((_second, _other, _network, many));
        assert!(shares.taken.lock().unwrap().is_empty());
    }
}
