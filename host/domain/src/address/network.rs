//! A network: an address and how many of its leading bits count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses as CIDR writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNetworkError {
    /// Not an address, or a prefix that is too long.
    #[error("`{0}` is not a network: write an address and a prefix length, such as \"10.0.0.0/8\" or \"fd00::/8\"")]
    Malformed(String),
    /// `10.0.0.1/8`: perhaps `10.0.0.1` was meant, perhaps `10.0.0.0/8`.
    #[error("`{text}` has bits set after its prefix: write \"{network}\" for the whole network")]
    HostBits {
        /// What was written.
        text: String,
        /// The network that the prefix names.
        network: Network,
    },
}

impl Network {
    pub(super) const fn v4(octets: [u8; 4], prefix_bits: u8) -> Self {
        let [a, b, c, d] = octets;
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix_bits }
    }

    pub(super) const fn v6(segments: [u16; 8], prefix_bits: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = segments;
        Self { address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix_bits }
    }

    /// Whether the address is inside. An IPv4 address is in no IPv6 network: canonicalise first.
    #[must_use]
    pub const fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                (network.to_bits() ^ ip.to_bits()) & mask_v4(self.prefix_bits) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                (network.to_bits() ^ ip.to_bits()) & mask_v6(self.prefix_bits) == 0
            }
            _ => false,
        }
    }

    const fn truncated(self) -> Self {
        let address = match self.address {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask_v4(self.prefix_bits))),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask_v6(self.prefix_bits))),
        };
        Self { address, prefix_bits: self.prefix_bits }
    }

    /// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: addresses are canonical when they are compared, so must networks be.
    fn canonical(self) -> Self {
        match self.address {
            IpAddr::V6(ip) if self.prefix_bits >= 96 => match ip.to_ipv4_mapped() {
                Some(inner) => Self { address: IpAddr::V4(inner), prefix_bits: self.prefix_bits - 96 },
                None => self,
            },
            _ => self,
        }
    }
}

const fn mask_v4(prefix_bits: u8) -> u32 {
    if prefix_bits == 0 { 0 } else { u32::MAX << (32 - prefix_bits) }
}

const fn mask_v6(prefix_bits: u8) -> u128 {
    if prefix_bits == 0 { 0 } else { u128::MAX << (128 - prefix_bits) }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    /// An address alone is the network of that one address.
    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let malformed = || ParseNetworkError::Malformed(text.chars().take(64).collect());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => longest,
            // `u8::from_str` takes a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| malformed())?
            }
            Some(_) => return Err(malformed()),
        };
        if prefix_bits > longest {
            return Err(malformed());
        }
        let written = Self { address, prefix_bits };
        let network = written.truncated();
        if network == written {
            Ok(network.canonical())
        } else {
            Err(ParseNetworkError::HostBits { text: text.to_owned(), network })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_ends_where_its_prefix_says() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("100.64.0.0/10", "100.127.255.255", "100.128.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
        ] {
            assert!(network(text).contains(inside.parse().unwrap()), "{inside} in {text}");
            assert!(!network(text).contains(outside.parse().unwrap()), "{outside} in {text}");
        }
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for bad in ["", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0/8", "::/129", "a"]
        {
            assert!(matches!(bad.parse::<Network>(), Err(ParseNetworkError::Malformed(_))), "{bad:?}");
        }
        let error = "10.0.0.1/8".parse::<Network>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`10.0.0.1/8` has bits set after its prefix: write \"10.0.0.0/8\" for the whole network"
        );
    }

    proptest! {
        #[test]
        fn a_network_survives_its_text_form_and_holds_its_own_addresses(bits: u128, low: u128, prefix in 0_u8..=128, v4: bool) {
            let host = if v4 {
                let prefix = prefix.min(32);
                let host = u32::try_from(bits >> 96).unwrap();
                let written = Network { address: Ipv4Addr::from_bits(host).into(), prefix_bits: prefix }.truncated();
                let inside = host & mask_v4(prefix) | u32::try_from(low >> 96).unwrap() & !mask_v4(prefix);
                (written, IpAddr::from(Ipv4Addr::from_bits(inside)))
            } else {
                // Not under ::/16, where mapped addresses are.
                let bits = bits | 1 << 127;
                let prefix = prefix.max(1);
                let written = Network { address: Ipv6Addr::from_bits(bits).into(), prefix_bits: prefix }.truncated();
                (written, IpAddr::from(Ipv6Addr::from_bits(bits & mask_v6(prefix) | low & !mask_v6(prefix))))
            };
            prop_assert_eq!(host.0.to_string().parse::<Network>(), Ok(host.0));
            prop_assert!(host.0.contains(host.1));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<Network>();
        }
    }
}
