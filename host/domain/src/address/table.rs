//! Which addresses are public. The union of what the IANA special-purpose registries and the guards of other senders
//! list, and what none of them has: Azure's 168.63.129.16.

use super::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Anyone on the Internet could have it.
    Global,
    /// It is not, or not only, an address of the Internet.
    Forbidden(Reason),
}

/// Why an address is not one to connect to. For the operator: a consumer is told that it is refused, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 0.0.0.0/8 and `::`; connecting to it reaches this machine.
    Unspecified,
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// RFC 6598, behind a provider's NAT.
    CarrierNat,
    /// fc00::/7 and the old fec0::/10.
    UniqueLocal,
    /// 169.254.0.0/16 and fe80::/10.
    LinkLocal,
    /// Where clouds hand out credentials.
    Metadata,
    /// Kept for examples.
    Documentation,
    /// Kept for measuring.
    Benchmarking,
    /// To many.
    Multicast,
    /// To all.
    Broadcast,
    /// Carries another address that the network would unpack: 6to4, Teredo, NAT64 for local use.
    Transition,
    /// Given to nobody, or to a protocol.
    Reserved,
    /// On the operator's deny list.
    Denied,
}

impl Reason {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::CarrierNat => "carrier-nat",
            Self::UniqueLocal => "unique-local",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Transition => "transition",
            Self::Reserved => "reserved",
            Self::Denied => "denied",
        }
    }

    /// Whether an operator's allow list can lift it. Never where credentials are handed out, nor where an address
    /// stands for another one or for many: whoever lists `0.0.0.0/0` does not mean those.
    #[must_use]
    pub const fn can_be_allowed(self) -> bool {
        match self {
            Self::Loopback
            | Self::Private
            | Self::CarrierNat
            | Self::UniqueLocal
            | Self::Documentation
            | Self::Benchmarking
            | Self::Reserved => true,
            Self::Unspecified
            | Self::LinkLocal
            | Self::Metadata
            | Self::Multicast
            | Self::Broadcast
            | Self::Transition
            | Self::Denied => false,
        }
    }
}

/// The first row that fits decides, so single addresses stand above the ranges they are in.
const V4: [(Network, Reason); 21] = [
    (Network::v4([169, 254, 169, 254], 32), Reason::Metadata), // AWS, GCP, Azure and most others
    (Network::v4([169, 254, 170, 2], 32), Reason::Metadata),   // AWS ECS task credentials
    (Network::v4([168, 63, 129, 16], 32), Reason::Metadata),   // Azure WireServer: looks public
    (Network::v4([100, 100, 100, 200], 32), Reason::Metadata), // Alibaba
    (Network::v4([192, 0, 0, 192], 32), Reason::Metadata),     // Oracle
    (Network::v4([0, 0, 0, 0], 8), Reason::Unspecified),
    (Network::v4([10, 0, 0, 0], 8), Reason::Private),
    (Network::v4([100, 64, 0, 0], 10), Reason::CarrierNat),
    (Network::v4([127, 0, 0, 0], 8), Reason::Loopback),
    (Network::v4([169, 254, 0, 0], 16), Reason::LinkLocal),
    (Network::v4([172, 16, 0, 0], 12), Reason::Private),
    (Network::v4([192, 0, 0, 0], 24), Reason::Reserved),
    (Network::v4([192, 0, 2, 0], 24), Reason::Documentation),
    (Network::v4([192, 88, 99, 0], 24), Reason::Transition), // 6to4 relays
    (Network::v4([192, 168, 0, 0], 16), Reason::Private),
    (Network::v4([198, 18, 0, 0], 15), Reason::Benchmarking),
    (Network::v4([198, 51, 100, 0], 24), Reason::Documentation),
    (Network::v4([203, 0, 113, 0], 24), Reason::Documentation),
    (Network::v4([224, 0, 0, 0], 4), Reason::Multicast),
    (Network::v4([255, 255, 255, 255], 32), Reason::Broadcast),
    (Network::v4([240, 0, 0, 0], 4), Reason::Reserved),
];

const V6: [(Network, Reason); 16] = [
    (Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Reason::Unspecified),
    (Network::v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Reason::Loopback),
    (Network::v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), Reason::Metadata), // AWS
    (Network::v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), Reason::Metadata),  // GCP
    (Network::v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128), Reason::Metadata),   // Scaleway
    (Network::v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), Reason::Metadata), // OpenStack
    (Network::v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Reason::UniqueLocal),
    (Network::v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Reason::UniqueLocal),
    (Network::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Reason::LinkLocal),
    (Network::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Reason::Multicast),
    (Network::v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Reason::Transition), // NAT64 for local use
    (Network::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Reason::Transition),    // 6to4
    (Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Reason::Transition),    // Teredo
    (Network::v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Reason::Documentation),
    (Network::v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Reason::Documentation),
    (Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Reason::Reserved), // protocols: ORCHID, benchmarking, anycast
];

/// All that is given out of IPv6: what is outside is refused without being listed.
const V6_UNICAST: Network = Network::v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// NAT64: the network unpacks the IPv4 address in the last four bytes.
const NAT64: Network = Network::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// Whether an address is public, and if not, why.
#[must_use]
pub fn classify(ip: IpAddr) -> Verdict {
    match carried(ip) {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

/// The address that a connection would really reach: `::ffff:a.b.c.d` and NAT64 are another way to write `a.b.c.d`.
pub(super) fn carried(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(outer) if NAT64.contains(IpAddr::V6(outer)) => {
            let [.., a, b, c, d] = outer.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        other => other,
    }
}

fn classify_v4(ip: Ipv4Addr) -> Verdict {
    first_match(&V4, ip.into()).map_or(Verdict::Global, Verdict::Forbidden)
}

fn classify_v6(ip: Ipv6Addr) -> Verdict {
    match first_match(&V6, ip.into()) {
        Some(reason) => Verdict::Forbidden(reason),
        None if V6_UNICAST.contains(ip.into()) => Verdict::Global,
        None => Verdict::Forbidden(Reason::Reserved),
    }
}

fn first_match(table: &[(Network, Reason)], ip: IpAddr) -> Option<Reason> {
    table.iter().find(|(network, _)| network.contains(ip)).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests;
