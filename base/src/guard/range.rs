//! Ranges of addresses in CIDR notation, and the operator's list of them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range such as `10.0.0.0/8` or `fd00::/8`. A range of one family holds nothing of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    network: IpAddr,
    prefix: u8,
}

impl Range {
    pub(super) const fn v4(octets: [u8; 4], prefix: u8) -> Self {
        Self { network: IpAddr::V4(Ipv4Addr::from_octets(octets)), prefix }
    }

    /// By the first 64 bits: no range of the tables is narrower.
    pub(super) const fn v6(begin: [u16; 4], prefix: u8) -> Self {
        let [a, b, c, d] = begin;
        Self { network: IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), prefix }
    }

    /// Whether an address is in it.
    pub fn contains(self, ip: IpAddr) -> bool {
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let host_bits = 32 - u32::from(self.prefix);
                (network.to_bits() ^ ip.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let host_bits = 128 - u32::from(self.prefix);
                (network.to_bits() ^ ip.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Range {
    type Err = BadRange;

    /// `address/prefix`, or an address alone for a range of one.
    fn from_str(text: &str) -> Result<Self, BadRange> {
        let bad = || BadRange(text.to_owned());
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) if prefix.bytes().all(|b| b.is_ascii_digit()) => (network, Some(prefix)),
            Some(_) => return Err(bad()),
            None => (text, None),
        };
        let network: IpAddr = network.parse().map_err(|_| bad())?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse().map_err(|_| bad()))?;
        if prefix > longest { Err(bad()) } else { Ok(Self { network, prefix }) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a range of addresses such as 10.0.0.0/8 or fd00::/8")]
pub struct BadRange(String);

/// What an operator lets users connect to although it is inside. Read from a list with commas; the default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedRanges(Vec<Range>);

impl AllowedRanges {
    /// Nothing.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// This machine: for development.
    pub fn loopback() -> Self {
        Self::none().with_loopback()
    }

    /// These, and this machine.
    #[must_use]
    pub fn with_loopback(mut self) -> Self {
        let one = Range { network: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };
        self.0.extend([Range::v4([127, 0, 0, 0], 8), one]);
        self
    }

    /// Whether an address is in one of them. An IPv4 address that is written as IPv6 is that IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|range| range.contains(ip))
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for AllowedRanges {
    type Err = BadRange;

    fn from_str(list: &str) -> Result<Self, BadRange> {
        list.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3/8", "10.9.9.9", "9.255.255.255"),
            ("192.168.1.0/24", "192.168.1.255", "192.168.2.0"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.6"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("::1", "::1", "::2"),
            ("::/0", "2606:4700::1", "1.1.1.1"),
        ] {
            let list: AllowedRanges = range.parse().unwrap();
            assert!(list.contains(inside.parse().unwrap()), "{inside} in {range}");
            assert!(!list.contains(outside.parse().unwrap()), "{outside} in {range}");
        }
    }

    #[test]
    fn a_list_has_commas_and_names_what_is_wrong_in_it() {
        let list: AllowedRanges = " 10.0.0.0/8 , ::1/128,".parse().unwrap();
        assert!(list.contains("10.0.0.1".parse().unwrap()) && list.contains("::1".parse().unwrap()));
        assert!("".parse::<AllowedRanges>().unwrap().is_empty());
        for bad in
            ["10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "1.2.3.4/8/8"]
        {
            let error = format!("127.0.0.1,{bad}").parse::<AllowedRanges>().unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn loopback_is_both_families_and_the_mapped_one() {
        let list = AllowedRanges::loopback();
        for ip in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            assert!(list.contains(ip.parse().unwrap()), "{ip}");
        }
        assert!(!list.contains("10.0.0.1".parse().unwrap()));
    }
}
