use super::*;
use proptest::prelude::*;

fn verdict(ip: &str) -> Verdict {
    classify(ip.parse().unwrap())
}

/// An address of a network: its first bits, and then those of `low`.
fn within(network: Network, low: u128) -> IpAddr {
    let text = network.to_string();
    let (address, bits) = text.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match address.parse().unwrap() {
        IpAddr::V4(first) => {
            let rest = u32::try_from(low >> 96).unwrap().checked_shr(bits).unwrap_or(0);
            Ipv4Addr::from_bits(first.to_bits() | rest).into()
        }
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | low.checked_shr(bits).unwrap_or(0)).into(),
    }
}

#[test]
fn public_addresses_are_global_up_to_the_edge_of_every_special_range() {
    for ip in [
        "1.1.1.1",
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.215.14",
        "100.63.255.254",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1", // AS112 and AMT are globally reachable
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "3ffe::1",
        "3fff:1000::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ] {
        assert_eq!(verdict(ip), Verdict::Global, "{ip}");
    }
}

#[test]
fn every_special_range_is_refused_for_its_own_reason() {
    use Reason::*;
    for (ips, reason) in [
        (&["0.0.0.0", "0.0.0.1", "0.255.255.255", "::"][..], Unspecified),
        (&["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"], Loopback),
        (&["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"], Private),
        (&["::ffff:10.0.0.1", "::ffff:192.168.1.1", "64:ff9b::a00:1", "64:ff9b::ac10:1"], Private),
        (&["100.64.0.0", "100.64.0.1", "100.127.255.255"], CarrierNat),
        (&["fc00::1", "fd00::1", "fdff:ffff::1", "fec0::1", "feff::1"], UniqueLocal),
        (&["169.254.0.0", "169.254.255.255", "fe80::1", "febf::1"], LinkLocal),
        (&["169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192"], Metadata),
        (&["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110", "::ffff:168.63.129.16"], Metadata),
        (&["fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe"], Metadata),
        (
            &[
                "192.0.2.0",
                "198.51.100.255",
                "203.0.113.7",
                "2001:db8::1",
                "2001:db8:ffff::1",
                "3fff::1",
                "3fff:fff::1",
            ],
            Documentation,
        ),
        (&["198.18.0.0", "198.19.255.255"], Benchmarking),
        (&["224.0.0.0", "239.255.255.255", "ff02::1", "ffff::1"], Multicast),
        (&["255.255.255.255"], Broadcast),
        (&["192.88.99.1", "2002::1", "2002:a00:1::1", "2001::1", "2001:0:ffff::1", "64:ff9b:1::1"], Transition),
        (&["192.0.0.0", "192.0.0.255", "240.0.0.0", "255.255.255.254"], Reserved),
        (&["2001:2::1", "2001:10::1", "2001:20::1", "2001:1::1", "2001:1ff:ffff::1"], Reserved),
        (
            &[
                "::a00:1",
                "::ffff:0:a00:1",
                "::127.0.0.1",
                "100::1",
                "100:0:0:1::1",
                "64:ff9b:2::1",
                "5f00::1",
                "4000::1",
                "1fff::1",
                "e000::1",
            ],
            Reserved,
        ),
    ] {
        for ip in ips {
            assert_eq!(verdict(ip), Verdict::Forbidden(reason), "{ip}");
        }
    }
}

#[test]
fn reasons_have_names_of_their_own() {
    let names: std::collections::HashSet<_> = V4.iter().chain(&V6).map(|(_, reason)| reason.as_str()).collect();
    let reasons: std::collections::HashSet<_> = V4.iter().chain(&V6).map(|(_, reason)| *reason).collect();
    assert_eq!(names.len(), reasons.len());
}

proptest! {
    #[test]
    fn all_of_the_lowest_eighth_of_ipv6_is_refused_unless_it_carries_a_public_ipv4(low: u128) {
        let ip = Ipv6Addr::from_bits(low & (u128::MAX >> 8));
        prop_assume!(ip.to_ipv4_mapped().is_none() && !NAT64.contains(ip.into()));
        prop_assert!(matches!(classify(ip.into()), Verdict::Forbidden(_)));
    }

    #[test]
    fn every_6to4_address_is_refused_whatever_it_carries(v4: u32, low: u128) {
        let bits = 0x2002_u128 << 112 | u128::from(v4) << 80 | low >> 48;
        prop_assert_eq!(classify(Ipv6Addr::from_bits(bits).into()), Verdict::Forbidden(Reason::Transition));
    }

    #[test]
    fn every_teredo_and_every_local_nat64_address_is_refused_whatever_it_carries(low: u128) {
        for (prefix, bits) in [(0x2001_u128 << 112, 32), (0x0064_ff9b_0001_u128 << 80, 48)] {
            let ip = Ipv6Addr::from_bits(prefix | low >> bits);
            prop_assert_eq!(classify(ip.into()), Verdict::Forbidden(Reason::Transition), "{}", ip);
        }
    }

    /// Random addresses seldom hit a small network, so each row is hit on purpose, in each way to write it.
    #[test]
    fn every_address_of_every_row_is_refused_in_every_form(low: u128, v4_row in 0..V4.len(), v6_row in 0..V6.len()) {
        let (v4, v6) = (within(V4[v4_row].0, low), within(V6[v6_row].0, low));
        let IpAddr::V4(inner) = v4 else { panic!("{v4} is in the wrong table") };
        let nat64 = Ipv6Addr::from_bits(0x0064_ff9b_u128 << 96 | u128::from(inner.to_bits()));
        for ip in [v4, v6, inner.to_ipv6_mapped().into(), nat64.into()] {
            prop_assert!(matches!(classify(ip), Verdict::Forbidden(_)), "{}", ip);
        }
    }

    #[test]
    fn what_is_outside_of_the_rows_and_inside_of_the_unicast_blocks_is_global(v4: u32, low: u128) {
        let v4 = IpAddr::V4(Ipv4Addr::from_bits(v4));
        let v6 = within(V6_UNICAST, low);
        for (ip, listed) in [(v4, first_match(&V4, v4)), (v6, first_match(&V6, v6))] {
            prop_assert_eq!(classify(ip), listed.map_or(Verdict::Global, Verdict::Forbidden), "{}", ip);
        }
    }

    #[test]
    fn nat64_and_mapped_addresses_inherit_the_verdict_of_the_address_they_carry(v4: u32) {
        let inner = Ipv4Addr::from_bits(v4);
        let nat64 = Ipv6Addr::from_bits(0x0064_ff9b_u128 << 96 | u128::from(v4));
        prop_assert_eq!(classify(nat64.into()), classify(inner.into()));
        prop_assert_eq!(classify(inner.to_ipv6_mapped().into()), classify(inner.into()));
    }

    #[test]
    fn nothing_outside_the_unicast_block_is_global(bits: u128) {
        let ip = Ipv6Addr::from_bits(bits);
        prop_assume!(ip.to_ipv4_mapped().is_none() && !NAT64.contains(ip.into()));
        if classify(ip.into()) == Verdict::Global {
            prop_assert_eq!(bits >> 125, 1);
        }
    }

    /// The standard library knows most of the IPv4 ranges too: where it says special, so must we.
    #[test]
    fn what_the_standard_library_calls_special_is_refused(v4: u32) {
        let ip = Ipv4Addr::from_bits(v4);
        let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_broadcast()
            || ip.is_documentation() || ip.is_multicast() || ip.is_unspecified() || ip.octets()[0] == 0 || ip.octets()[0] >= 240;
        if special {
            prop_assert!(matches!(classify(ip.into()), Verdict::Forbidden(_)), "{}", ip);
        }
    }
}
