//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use trunkline_base::guard::AllowedRanges;

/// The address of whoever sent a request: the peer's own, or, behind proxies that are trusted, what the outermost of these saw. Anybody
/// can write `X-Forwarded-For`, and each proxy appends to it: it is read from its end, for as long as the proxies are ours.
pub fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &AllowedRanges) -> IpAddr {
    let mut address = peer.ip().to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or_default()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !trusted.contains(address) {
            break;
        }
        // What a trusted proxy wrote and nobody can read says no more than the proxy itself.
        let Some(hop) = parse(hop.trim()) else { break };
        address = hop;
    }
    address
}

/// An address, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, lines: &[&str]) -> String {
        let trusted: AllowedRanges = "10.0.0.0/8,fd00::/8".parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn what_is_forwarded_counts_only_from_proxies_that_are_trusted() {
        for (peer, lines, expected) in [
            ("203.0.113.1:9", &[] as &[&str], "203.0.113.1"),
            ("203.0.113.1:9", &["198.51.100.7"], "203.0.113.1"),
            ("10.0.0.1:9", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:9", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:9", &["1.1.1.1, 198.51.100.7,10.2.3.4 "], "198.51.100.7"),
            ("10.0.0.1:9", &["1.1.1.1", "198.51.100.7", "10.2.3.4"], "198.51.100.7"),
            ("10.0.0.1:9", &["10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1:9", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1:9", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1:9", &[""], "10.0.0.1"),
            ("[fd00::1]:9", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("[fd00::1]:9", &["[2001:db8::7]"], "2001:db8::7"),
            ("[::ffff:10.0.0.1]:9", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ] {
            assert_eq!(of(peer, lines), expected, "{peer} {lines:?}");
        }
    }
}
