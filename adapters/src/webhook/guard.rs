//! Which addresses a webhook may reach.
//!
//! A pure judgement on one address: no look-up, no connection. The resolver of the delivery threads asks it for
//! every address that a name led to, right before the connect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The ranges that are denied where `WEBHOOK_DENY_CIDRS` is not set: unspecified, loopback, link-local (the
/// metadata services) and multicast, and the one metadata address that lies outside link-local (EC2 over IPv6).
pub const DEFAULT_DENY: &str =
    "127.0.0.0/8,0.0.0.0/8,169.254.0.0/16,224.0.0.0/4,::1/128,::/128,fe80::/10,ff00::/8,fd00:ec2::254/128";

/// A list of denied networks with exceptions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Guard {
    deny: Vec<IpNet>,
    allow: Vec<IpNet>,
}

impl Guard {
    /// Makes a guard that denies `deny` except for what is also in `allow`; everything else is permitted.
    ///
    /// A network of IPv4-mapped addresses (`::ffff:127.0.0.0/104`) counts as the IPv4 network that it means.
    #[must_use]
    pub fn new(deny: Vec<IpNet>, allow: Vec<IpNet>) -> Guard {
        let plain = |nets: Vec<IpNet>| nets.into_iter().map(unmapped).collect();
        Guard {
            deny: plain(deny),
            allow: plain(allow),
        }
    }

    /// Makes the guard of [`DEFAULT_DENY`] with the exceptions `allow`.
    #[must_use]
    pub fn with_default_deny(allow: Vec<IpNet>) -> Guard {
        let deny = DEFAULT_DENY
            .split(',')
            .map(|net| net.parse().expect("DEFAULT_DENY holds networks"))
            .collect();
        Guard::new(deny, allow)
    }

    /// Tells whether a webhook may connect to `address`.
    ///
    /// An IPv4-mapped address is judged as its IPv4. An address that carries an IPv4 on to a gateway (NAT64 of
    /// RFC 6052 and RFC 8215, 6to4 of RFC 3056, IPv4-compatible of RFC 4291 2.5.5.1) is permitted only if both
    /// itself and that IPv4 are.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        self.denied_by(address).is_none()
    }

    /// Returns the denied network that `address` falls into, for the message of a refusal.
    #[must_use]
    pub fn denied_by(&self, address: IpAddr) -> Option<IpNet> {
        let address = address.to_canonical();
        self.rule(address)
            .or_else(|| self.rule(IpAddr::V4(carried(address)?)))
    }

    fn rule(&self, address: IpAddr) -> Option<IpNet> {
        if self.allow.iter().any(|net| net.contains(&address)) {
            return None;
        }
        self.deny.iter().find(|net| net.contains(&address)).copied()
    }
}

fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(prefix)) => {
            IpNet::V4(Ipv4Net::new(v4, prefix).expect("an IPv6 prefix above 96 is at most 128"))
        }
        _ => net,
    }
}

/// The IPv4 address that a gateway or the kernel would take out of an IPv6 one.
fn carried(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let octets = v6.octets();
    let v4_at = |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    let within = |prefix: Ipv6Addr, bits: u8| {
        Ipv6Net::new(prefix, bits)
            .expect("the prefixes below are at most 128 bits")
            .contains(&v6)
    };
    let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
    let local_nat64 = Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0);
    let six_to_four = Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0);
    if within(nat64, 96) || within(local_nat64, 48) {
        return Some(v4_at(12));
    }
    if within(six_to_four, 16) {
        return Some(v4_at(2));
    }
    let compatible = within(Ipv6Addr::UNSPECIFIED, 96) && !v6.is_unspecified() && !v6.is_loopback();
    compatible.then(|| v4_at(12))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn refused<'a>(guard: &Guard, addresses: &[&'a str]) -> Vec<&'a str> {
        addresses
            .iter()
            .copied()
            .filter(|address| !guard.permits(address.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_default_denies_every_way_back_into_this_machine_and_its_link() {
        let guard = Guard::with_default_deny(Vec::new());
        let inward = [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::127.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ];
        assert_eq!(refused(&guard, &inward), inward);
    }

    #[test]
    fn the_default_permits_private_and_public_addresses() {
        let guard = Guard::with_default_deny(Vec::new());
        let outward = [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "93.184.216.34",
            "fd00::1",
            "fec0::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::",
        ];
        assert_eq!(refused(&guard, &outward), Vec::<&str>::new());
    }

    #[test]
    fn an_exception_opens_its_range_in_every_form() {
        let guard = Guard::with_default_deny(nets(&["127.0.0.0/8"]));
        let probes = [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "::1",
            "169.254.169.254",
        ];
        assert_eq!(refused(&guard, &probes), ["::1", "169.254.169.254"]);
    }

    #[test]
    fn an_own_list_replaces_the_default() {
        let guard = Guard::new(nets(&["10.0.0.0/8"]), nets(&["10.1.0.0/16"]));
        let probes = ["10.0.0.1", "10.1.0.1", "127.0.0.1", "::ffff:10.2.0.1"];
        assert_eq!(refused(&guard, &probes), ["10.0.0.1", "::ffff:10.2.0.1"]);
    }

    #[test]
    fn a_network_of_mapped_addresses_counts_as_ipv4() {
        let guard = Guard::new(nets(&["::ffff:10.0.0.0/104"]), Vec::new());
        let rule = guard.denied_by("10.9.9.9".parse().unwrap());
        assert_eq!(rule, Some("10.0.0.0/8".parse().unwrap()));
    }
}
