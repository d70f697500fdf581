//! Our own addresses: a webhook that called us would call itself for ever.

use arc_swap::ArcSwap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use url::{Host, Url};

/// The addresses of our listeners and of `public_url`. Known in full once the listeners are bound.
#[derive(Debug, Default)]
pub struct OwnAddresses {
    listeners: ArcSwap<Vec<SocketAddr>>,
    public: Option<PublicUrl>,
}

#[derive(Debug)]
struct PublicUrl {
    host: Host<String>,
    port: u16,
}

impl OwnAddresses {
    /// Those of `public_url`, if there is one; the listeners come later.
    #[must_use]
    pub fn new(public_url: Option<&Url>) -> Self {
        let public = public_url.and_then(|url| {
            let host = match url.host()?.to_owned() {
                Host::Domain(name) => Host::Domain(name.trim_end_matches('.').to_owned()),
                address => address,
            };
            Some(PublicUrl { host, port: url.port_or_known_default()? })
        });
        Self { listeners: ArcSwap::default(), public }
    }

    /// What the listeners are bound to; takes the place of what was told before.
    pub fn set_listeners(&self, bound: Vec<SocketAddr>) {
        self.listeners.store(bound.into());
    }

    /// Whether a URL's host and port are those of `public_url`.
    #[must_use]
    pub fn is_public_url(&self, host: &Host<&str>, port: u16) -> bool {
        self.public.as_ref().is_some_and(|public| {
            public.port == port
                && match (&public.host, host) {
                    (Host::Domain(ours), Host::Domain(theirs)) => ours == theirs,
                    (Host::Ipv4(ours), Host::Ipv4(theirs)) => ours == theirs,
                    (Host::Ipv6(ours), Host::Ipv6(theirs)) => ours == theirs,
                    _ => false,
                }
        })
    }

    /// The name in `public_url`, if it has one and this port.
    pub(super) fn public_name(&self, port: u16) -> Option<&str> {
        match self.public.as_ref() {
            Some(PublicUrl { host: Host::Domain(name), port: ours }) if *ours == port => Some(name),
            _ => None,
        }
    }

    /// Whether a connection to the address would reach one of our listeners.
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let public = match self.public.as_ref() {
            Some(PublicUrl { host: Host::Ipv4(ours), port }) => *port == address.port() && ip == IpAddr::V4(*ours),
            Some(PublicUrl { host: Host::Ipv6(ours), port }) => {
                *port == address.port() && ip == IpAddr::V6(*ours).to_canonical()
            }
            _ => false,
        };
        public
            || self.listeners.load().iter().any(|listener| {
                let bound = listener.ip().to_canonical();
                listener.port() == address.port() && (bound == ip || bound.is_unspecified() && is_of_this_machine(ip))
            })
    }
}

/// To an address of this machine the kernel would talk from that very address. Nothing is sent; asked for wildcard
/// listeners alone. Binding to it would not tell: where `ip_nonlocal_bind` is set, any address can be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    ip.is_loopback() || ip.is_unspecified() || source().is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_listener_is_its_address_and_its_port() {
        let own = OwnAddresses::default();
        assert!(!own.contains(address("127.0.0.1:3000")));
        own.set_listeners(vec![address("127.0.0.1:3000"), address("[::1]:4000")]);
        for ours in ["127.0.0.1:3000", "[::1]:4000", "[::ffff:127.0.0.1]:3000"] {
            assert!(own.contains(address(ours)), "{ours}");
        }
        for other in ["127.0.0.1:3001", "127.0.0.2:3000", "[::1]:3000"] {
            assert!(!own.contains(address(other)), "{other}");
        }
    }

    #[test]
    fn a_wildcard_listener_is_every_address_of_this_machine() {
        let own = OwnAddresses::default();
        own.set_listeners(vec![address("0.0.0.0:3000")]);
        assert!(own.contains(address("127.0.0.1:3000")));
        assert!(own.contains(address("127.7.7.7:3000")));
        assert!(!own.contains(address("127.0.0.1:3001")));
        assert!(!own.contains(address("203.0.113.77:3000")));
    }

    #[test]
    fn the_public_url_is_ours_by_name_and_by_address() {
        let own = OwnAddresses::new(Some(&"https://Gateway.example.com./base".parse().unwrap()));
        assert!(own.is_public_url(&Host::Domain("gateway.example.com"), 443));
        assert!(!own.is_public_url(&Host::Domain("gateway.example.com"), 8443));
        assert!(!own.is_public_url(&Host::Domain("example.com"), 443));
        let own = OwnAddresses::new(Some(&"http://198.51.100.7:8080/".parse().unwrap()));
        assert!(own.contains(address("198.51.100.7:8080")) && own.contains(address("[::ffff:198.51.100.7]:8080")));
        assert!(!own.contains(address("198.51.100.7:80")));
    }
}
