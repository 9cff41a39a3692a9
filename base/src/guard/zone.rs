//! Which addresses are not the public internet: IANA's registries of special-purpose addresses, for IPv4
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>) and IPv6
//! (<https://www.iana.org/assignments/iana-ipv6-special-registry>), and a cloud's address that is in neither.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{error::Zone, range::Range};

/// The zone of an address; `None` is the public internet.
pub(super) fn of(ip: IpAddr) -> Option<Zone> {
    match ip {
        IpAddr::V4(ip) => of_v4(ip),
        IpAddr::V6(ip) => of_v6(ip),
    }
}

/// The first that fits counts.
const V4: [(Range, Zone); 17] = [
    (Range::v4([0, 0, 0, 0], 8), Zone::Unspecified),
    (Range::v4([10, 0, 0, 0], 8), Zone::Private),
    (Range::v4([100, 64, 0, 0], 10), Zone::Shared),
    (Range::v4([127, 0, 0, 0], 8), Zone::Loopback),
    // Azure's own service, which answers inside it only.
    (Range::v4([168, 63, 129, 16], 32), Zone::Platform),
    (Range::v4([169, 254, 0, 0], 16), Zone::LinkLocal),
    (Range::v4([172, 16, 0, 0], 12), Zone::Private),
    (Range::v4([192, 0, 0, 0], 24), Zone::Reserved),
    (Range::v4([192, 0, 2, 0], 24), Zone::Documentation),
    // Relays of 6to4, which are no more.
    (Range::v4([192, 88, 99, 0], 24), Zone::Reserved),
    (Range::v4([192, 168, 0, 0], 16), Zone::Private),
    (Range::v4([198, 18, 0, 0], 15), Zone::Benchmarking),
    (Range::v4([198, 51, 100, 0], 24), Zone::Documentation),
    (Range::v4([203, 0, 113, 0], 24), Zone::Documentation),
    (Range::v4([224, 0, 0, 0], 4), Zone::Multicast),
    (Range::v4([255, 255, 255, 255], 32), Zone::Broadcast),
    (Range::v4([240, 0, 0, 0], 4), Zone::Reserved),
];

const V6: [(Range, Zone); 12] = [
    (Range::v6([0xfc00, 0, 0, 0], 7), Zone::Private),
    (Range::v6([0xfe80, 0, 0, 0], 10), Zone::LinkLocal),
    // Site-local: deprecated, and still routed here and there.
    (Range::v6([0xfec0, 0, 0, 0], 10), Zone::Private),
    (Range::v6([0xff00, 0, 0, 0], 8), Zone::Multicast),
    // NAT64 of a network's own (RFC 8215).
    (Range::v6([0x64, 0xff9b, 1, 0], 48), Zone::Private),
    (Range::v6([0x100, 0, 0, 0], 64), Zone::Reserved),
    (Range::v6([0x2001, 2, 0, 0], 48), Zone::Benchmarking),
    // The IETF's protocols: Teredo (a tunnel to an IPv4 address in its last bits), ORCHID and others.
    (Range::v6([0x2001, 0, 0, 0], 23), Zone::Reserved),
    (Range::v6([0x2001, 0xdb8, 0, 0], 32), Zone::Documentation),
    (Range::v6([0x3fff, 0, 0, 0], 20), Zone::Documentation),
    // Segment routing (RFC 9602).
    (Range::v6([0x5f00, 0, 0, 0], 16), Zone::Reserved),
    // The 6bone, given back.
    (Range::v6([0x3ffe, 0, 0, 0], 16), Zone::Reserved),
];

/// All that is given to hosts on the public internet, translated IPv4 aside.
const GLOBAL_UNICAST: Range = Range::v6([0x2000, 0, 0, 0], 3);

fn of_v4(ip: Ipv4Addr) -> Option<Zone> {
    V4.into_iter().find(|(range, _)| range.contains(ip.into())).map(|(_, zone)| zone)
}

fn of_v6(ip: Ipv6Addr) -> Option<Zone> {
    if ip.is_unspecified() {
        return Some(Zone::Unspecified);
    }
    if ip.is_loopback() {
        return Some(Zone::Loopback);
    }
    if let Some(embedded) = embedded(ip) {
        return of_v4(embedded);
    }
    if let Some((_, zone)) = V6.into_iter().find(|(range, _)| range.contains(ip.into())) {
        return Some(zone);
    }
    // IPv4-compatible addresses (`::a.b.c.d`) are outside of it, like all that nobody has been given yet.
    if GLOBAL_UNICAST.contains(ip.into()) { None } else { Some(Zone::Reserved) }
}

/// The IPv4 address that a connection ends at: mapped (`::ffff:a.b.c.d`), translated (`64:ff9b::a.b.c.d`, RFC 6052) or tunnelled by
/// 6to4 (`2002:AABB:CCDD::`, RFC 3056).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    const WELL_KNOWN_NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        WELL_KNOWN_NAT64 | [0, 0, 0, 0, 0, 0xffff] => Some(v4(g, h)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_has_its_zone_from_its_first_address_to_its_last() {
        let table = [
            (Zone::Unspecified, "0.0.0.0 0.255.255.255 :: ::ffff:0.0.0.0 64:ff9b::0.0.0.0 2002:0:1::"),
            (
                Zone::Loopback,
                "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 64:ff9b::7f00:1 2002:7f00:1::9",
            ),
            (Zone::Private, "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255"),
            (
                Zone::Private,
                "::ffff:10.1.2.3 64:ff9b::192.168.1.1 2002:c0a8:101:: 2002:a00:1::1 fc00:: fdff::1 fd00:ec2::254",
            ),
            (Zone::Private, "fec0::1 64:ff9b:1::1 64:ff9b:1:ffff::8.8.8.8"),
            (Zone::LinkLocal, "169.254.0.0 169.254.169.254 169.254.255.255 fe80::1 febf::1 ::ffff:169.254.169.254"),
            (Zone::LinkLocal, "64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::"),
            (Zone::Shared, "100.64.0.0 100.100.100.200 100.127.255.255 ::ffff:100.64.0.1"),
            (Zone::Multicast, "224.0.0.0 239.255.255.255 ff02::1 ff0e::1"),
            (Zone::Broadcast, "255.255.255.255 ::ffff:255.255.255.255"),
            (Zone::Documentation, "192.0.2.1 198.51.100.1 203.0.113.255 2001:db8::1 3fff::1 3fff:fff::1"),
            (Zone::Benchmarking, "198.18.0.0 198.19.255.255 2001:2::1"),
            (Zone::Platform, "168.63.129.16 ::ffff:168.63.129.16"),
            (
                Zone::Reserved,
                "192.0.0.192 192.88.99.1 240.0.0.1 254.255.255.255 100::1 5f00::1 4000::1 ::8.8.8.8 ::127.0.0.1",
            ),
            // Teredo, whatever it embeds: here 127.0.0.1, and 8.8.8.8.
            (
                Zone::Reserved,
                "2001:0:4136:e378:8000:63bf:80ff:fffe 2001:0:808:808:0:0:f7f7:f7f7 2001:20::1 2001:1ff::1 3ffe::1",
            ),
        ];
        for (zone, addresses) in table {
            for ip in addresses.split(' ') {
                assert_eq!(of(ip.parse().unwrap()), Some(zone), "{ip}");
            }
        }
    }

    #[test]
    fn the_public_internet_has_none() {
        let public = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 \
                      169.255.0.0 168.63.129.15 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 \
                      198.20.0.0 203.0.112.255 223.255.255.255 2606:4700:4700::1111 2001:200::1 2001:4860:4860::8888 \
                      ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1 2a00::1 3fff:1000::1";
        for ip in public.split_whitespace() {
            assert_eq!(of(ip.parse().unwrap()), None, "{ip}");
        }
    }
}
