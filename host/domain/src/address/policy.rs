//! What one gateway lets through: the table, and what its operator adds to it.

use super::table::carried;
use super::{Network, Reason, Verdict, classify};
use std::net::IpAddr;

/// The table with the operator's additions. The default allows what is public.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Development mode: this machine itself may be reached.
    pub allow_loopback: bool,
    /// Refused besides what always is; the table is extended, never replaced.
    pub extra_deny: Vec<Network>,
    /// Allowed although not public, if [`Reason::can_be_allowed`].
    pub allow: Vec<Network>,
}

/// The policy does not let an address pass. For the operator's log: consumers are told less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is refused: {}", reason.as_str())]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// Why.
    pub reason: Reason,
}

impl Policy {
    /// Whether a connection to the address may be made.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, ip: IpAddr) -> Result<(), Refused> {
        let plain = ip.to_canonical();
        let listed =
            |list: &[Network]| list.iter().any(|network| network.contains(plain) || network.contains(carried(plain)));
        let reason = match classify(plain) {
            _ if listed(&self.extra_deny) => Reason::Denied,
            Verdict::Global => return Ok(()),
            // Not for a loopback address inside NAT64: that is the loopback of some router.
            Verdict::Forbidden(Reason::Loopback) if self.allow_loopback && plain.is_loopback() => return Ok(()),
            Verdict::Forbidden(reason) if reason.can_be_allowed() && listed(&self.allow) => return Ok(()),
            Verdict::Forbidden(reason) => reason,
        };
        Err(Refused { address: ip, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> Vec<Network> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn reason(policy: &Policy, ip: &str) -> Option<Reason> {
        policy.check(ip.parse().unwrap()).err().map(|refused| refused.reason)
    }

    #[test]
    fn development_mode_opens_loopback_and_nothing_else() {
        let dev = Policy { allow_loopback: true, ..Policy::default() };
        for open in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "93.184.215.14"] {
            assert_eq!(reason(&dev, open), None, "{open}");
        }
        for (shut, why) in [
            ("0.0.0.0", Reason::Unspecified),
            ("10.0.0.1", Reason::Private),
            ("169.254.169.254", Reason::Metadata),
            ("64:ff9b::7f00:1", Reason::Loopback),
            ("::ffff:192.168.0.1", Reason::Private),
        ] {
            assert_eq!(reason(&dev, shut), Some(why), "{shut}");
        }
        assert_eq!(reason(&Policy::default(), "127.0.0.1"), Some(Reason::Loopback));
    }

    #[test]
    fn an_operator_can_close_any_address_however_it_is_written() {
        let policy = Policy {
            allow_loopback: true,
            extra_deny: networks(&["93.184.0.0/16", "127.0.0.0/8"]),
            ..Policy::default()
        };
        for shut in ["93.184.215.14", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e", "127.0.0.1"] {
            assert_eq!(reason(&policy, shut), Some(Reason::Denied), "{shut}");
        }
        assert_eq!(reason(&policy, "93.185.0.1"), None);
    }

    #[test]
    fn an_allow_list_opens_private_networks_but_never_what_hands_out_credentials() {
        let policy = Policy { allow: networks(&["0.0.0.0/0", "::/0"]), ..Policy::default() };
        for open in ["10.0.0.1", "192.168.0.1", "fd12::1", "64:ff9b::a00:1", "127.0.0.1"] {
            assert_eq!(reason(&policy, open), None, "{open}");
        }
        for shut in ["169.254.169.254", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254"] {
            assert_eq!(reason(&policy, shut), Some(Reason::Metadata), "{shut}");
        }
        for shut in
            ["0.0.0.0", "::", "169.254.1.1", "fe80::1", "224.0.0.1", "255.255.255.255", "2002:a00:1::", "2001::1"]
        {
            assert!(reason(&policy, shut).is_some(), "{shut}");
        }
        let narrow = Policy { allow: networks(&["10.1.0.0/16"]), ..Policy::default() };
        assert_eq!([reason(&narrow, "10.1.2.3"), reason(&narrow, "10.2.0.1")], [None, Some(Reason::Private)]);
    }

    #[test]
    fn deny_wins_over_allow() {
        let policy =
            Policy { allow: networks(&["10.0.0.0/8"]), extra_deny: networks(&["10.9.0.0/16"]), ..Policy::default() };
        assert_eq!([reason(&policy, "10.1.0.1"), reason(&policy, "10.9.0.1")], [None, Some(Reason::Denied)]);
    }
}
