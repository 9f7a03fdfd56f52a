//! Which addresses may be called: public ones over https, and what the operator allows besides.
//!
//! What is not public follows the special-purpose registries of IANA (RFC 6890 and what came after it); of IPv6 nothing but
//! 2000::/3 is public at all. Addresses that carry an IPv4 address are as public as that one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use gristmill_schemas::WebhookUrl;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::Host;

/// What is special among IPv4 addresses.
const SPECIAL_V4: [&str; 17] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    // multicast, reserved and broadcast
    "224.0.0.0/3",
];

/// What is special within 2000::/3.
const SPECIAL_V6: [&str; 6] = [
    // Teredo, ORCHID, benchmarking and the like
    "2001::/23",
    "2001:db8::/32",
    // 6to4
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    // the rest of it is not allocated to anybody
    "3000::/4",
];

static V4: LazyLock<Vec<Ipv4Net>> = LazyLock::new(|| SPECIAL_V4.map(|net| net.parse().expect("a network")).to_vec());
static V6: LazyLock<Vec<Ipv6Net>> = LazyLock::new(|| SPECIAL_V6.map(|net| net.parse().expect("a network")).to_vec());
static PUBLIC_V6: LazyLock<Ipv6Net> = LazyLock::new(|| "2000::/3".parse().expect("a network"));

/// Why something may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The address is not public, and not among those that the operator allows.
    #[error("the address {0} is not public, and the operator has not allowed it")]
    Address(IpAddr),
    /// The name has no address that may be called.
    #[error("the host has no public address")]
    Host,
    /// Without TLS, to an address that the operator has not allowed.
    #[error("http:// is for addresses that the operator has allowed; use https://")]
    Plain,
}

/// What may be called.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    allowed: Vec<IpNet>,
}

impl Addresses {
    /// Public ones, and these.
    #[must_use]
    pub const fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether an address may be called over https.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        is_public(address) || self.is_allowed(address)
    }

    /// Whether the operator has named an address, so that it may be called without TLS too.
    #[must_use]
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        self.allowed.iter().any(|net| net.contains(&plain))
    }

    /// Holds a URL against this, as far as can be told before its name is resolved.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn check(&self, url: &WebhookUrl) -> Result<(), Forbidden> {
        let is_plain = url.as_url().scheme() == "http";
        let address = match url.as_url().host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None if is_plain && self.allowed.is_empty() => return Err(Forbidden::Plain),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        match (self.permits(address), is_plain && !self.is_allowed(address)) {
            (false, _) => Err(Forbidden::Address(address)),
            (true, true) => Err(Forbidden::Plain),
            (true, false) => Ok(()),
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_public_v4(inner),
            None => PUBLIC_V6.contains(&address) && !V6.iter().any(|net| net.contains(&address)),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !V4.iter().any(|net| net.contains(&address))
}

/// The IPv4 address that this one leads to: mapped (RFC 4291) or by NAT64 (RFC 6052).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else {
        return address.to_ipv4_mapped();
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_networks_within_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!Addresses::default().permits(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(Addresses::default().permits(text.parse().unwrap()), "{text}");
        }
    }

    /// The table of the issue, as far as a URL alone decides; what a name leads to is the sender's affair.
    #[test]
    fn url_of_an_address_within_is_refused_however_it_is_written() {
        let addresses = Addresses::default();
        for text in [
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://0/",
        ] {
            let refused = addresses.check(&text.parse().unwrap());
            assert!(matches!(refused, Err(Forbidden::Address(_))), "{text}: {refused:?}");
        }
        for text in ["http://example.com/", "http://1.1.1.1/"] {
            assert_eq!(addresses.check(&text.parse().unwrap()), Err(Forbidden::Plain), "{text}");
        }
        for text in ["https://example.com/", "https://1.1.1.1/"] {
            assert_eq!(addresses.check(&text.parse().unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_the_operator_allows_may_be_called_with_and_without_tls_and_nothing_beside_it() {
        let addresses = Addresses::new(vec!["10.1.0.0/16".parse().unwrap()]);
        for text in ["http://10.1.2.3/", "https://10.1.2.3/", "https://[::ffff:10.1.2.3]/"] {
            assert_eq!(addresses.check(&text.parse().unwrap()), Ok(()), "{text}");
        }
        assert!(addresses.check(&"https://10.2.0.1/".parse().unwrap()).is_err());
        assert_eq!(
            addresses.check(&"http://1.1.1.1/".parse().unwrap()),
            Err(Forbidden::Plain)
        );
    }
}
