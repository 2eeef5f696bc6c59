//! Which zone holds an address, at a cost that hardly grows with the number of networks.

use std::net::IpAddr;

use crate::registry::Ix;
use crate::source::Network;

/// Stretches of addresses, each with its zone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zones {
    v4: Vec<Stretch>,
    v6: Vec<Stretch>,
}

/// Addresses from `first` to just before the next stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    first: u128,
    zone: Option<Ix>,
}

impl Zones {
    /// The zones of these networks; where several hold an address, the longest prefix counts.
    pub(crate) fn new(networks: &[(Network, Ix)]) -> Self {
        let of = |is_v4| {
            let blocks = networks.iter().filter(move |(it, _)| it.address.is_ipv4() == is_v4);
            stretches(blocks.filter_map(|(network, zone)| Block::new(*network, *zone)).collect())
        };
        Self { v4: of(true), v6: of(false) }
    }

    /// The zone that holds `address`. An IPv4 address is in no network of IPv6.
    pub(crate) fn of(&self, address: IpAddr) -> Option<Ix> {
        let (stretches, address) = match address.to_canonical() {
            IpAddr::V4(address) => (&self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (&self.v6, address.to_bits()),
        };
        let after = stretches.partition_point(|stretch| stretch.first <= address);
        stretches.get(after.checked_sub(1)?)?.zone
    }
}

/// A network as the numbers of its addresses.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: u128,
    last: u128,
    zone: Ix,
}

impl Block {
    /// `None` for a prefix that is longer than an address.
    fn new(network: Network, zone: Ix) -> Option<Self> {
        let (bits, address) = match network.address {
            IpAddr::V4(address) => (32, u128::from(address.to_bits())),
            IpAddr::V6(address) => (128, address.to_bits()),
        };
        let free = bits - u32::from(network.prefix).min(bits);
        let mask = 1_u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
        let fits = u32::from(network.prefix) <= bits;
        fits.then_some(Self { first: address & !mask, last: address | mask, zone })
    }
}

/// Cuts blocks, of which any two are apart or one within the other, into stretches.
fn stretches(mut blocks: Vec<Block>) -> Vec<Stretch> {
    blocks.sort_by_key(|block| (block.first, std::cmp::Reverse(block.last)));
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut around: Vec<Block> = Vec::new();
    for block in blocks {
        leave(&mut around, &mut stretches, |outer| outer.last < block.first);
        stretches.push(Stretch { first: block.first, zone: Some(block.zone) });
        around.push(block);
    }
    leave(&mut around, &mut stretches, |_| true);
    // What begins where another begins hides it.
    let mut kept: Vec<Stretch> = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        match kept.last_mut() {
            Some(last) if last.first == stretch.first => *last = stretch,
            _ => kept.push(stretch),
        }
    }
    kept
}

/// Ends the innermost blocks for which `over` holds: behind each its outer block goes on.
fn leave(around: &mut Vec<Block>, stretches: &mut Vec<Stretch>, over: impl Fn(&Block) -> bool) {
    while let Some(inner) = around.pop_if(|block| over(block)) {
        if let Some(first) = inner.last.checked_add(1) {
            stretches.push(Stretch { first, zone: around.last().map(|outer| outer.zone) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<(Network, Ix)> {
        let parse = |text: &&str| {
            let (address, prefix) = text.split_once('/').unwrap();
            Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
        };
        texts.iter().map(parse).zip(0..).collect()
    }

    /// The longest prefix, by looking at all.
    fn slow(networks: &[(Network, Ix)], address: IpAddr) -> Option<Ix> {
        let holding = networks.iter().filter(|(network, _)| network.holds(address));
        holding.max_by_key(|(network, _)| network.prefix).map(|(_, zone)| *zone)
    }

    #[test]
    fn the_longest_prefix_holds() {
        let networks = networks(&[
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.3/32",
            "10.255.0.0/16",
            "255.255.255.255/32",
            "2001:db8::/32",
            "2001:db8:1::/48",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
            "::/1",
        ]);
        for networks in [&networks[..], &networks[1..], &networks[5..7], &[]] {
            let zones = Zones::new(networks);
            for text in [
                "0.0.0.0",
                "9.255.255.255",
                "10.0.0.0",
                "10.1.2.2",
                "10.1.2.3",
                "10.1.2.4",
                "10.1.3.0",
                "10.255.255.255",
                "11.0.0.0",
                "255.255.255.254",
                "255.255.255.255",
                "::",
                "2001:db8::1",
                "2001:db8:1::1",
                "2001:db9::",
                "8000::",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ] {
                let address = text.parse().unwrap();
                assert_eq!(zones.of(address), slow(networks, address), "{text}");
            }
        }
    }
}
