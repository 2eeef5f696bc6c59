//! The extension type `ipaddr`: an address with the length of its prefix.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The longest text: eight groups of four digits, a slash and `128`.
const TEXT_BYTES_MAX: usize = 43;

/// An address or, with a prefix shorter than the address, a range of addresses.
///
/// Two ranges are equal if both address and prefix are: `10.0.0.1/24` is not `10.0.0.0/24`.
///
/// ```
/// let office: cedar::IpNet = "10.1.0.0/16".parse()?;
/// let desk: cedar::IpNet = "10.1.2.3".parse()?;
/// assert!(desk.is_in(&office) && !office.is_in(&desk));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no address.
#[derive(Debug, thiserror::Error)]
#[error("not an address, expected IPv4 or IPv6 with an optional prefix, such as `10.1.0.0/16`")]
pub struct IpNetError;

impl IpNet {
    /// The range of `prefix` bits around `address`, unless the address has fewer bits.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// Whether this is IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether this is IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether all addresses of the range are loopback addresses.
    pub fn is_loopback(&self) -> bool {
        self.address.is_loopback() && self.prefix >= if self.is_ipv4() { 8 } else { 128 }
    }

    /// Whether all addresses of the range are multicast addresses.
    pub fn is_multicast(&self) -> bool {
        self.address.is_multicast() && self.prefix >= if self.is_ipv4() { 4 } else { 8 }
    }

    /// Whether all addresses of this range are in `other`. IPv4 and IPv6 have none in common.
    pub fn is_in(&self, other: &IpNet) -> bool {
        self.is_ipv4() == other.is_ipv4()
            && other.first() <= self.first()
            && self.last() <= other.last()
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn prefix(&self) -> u8 {
        self.prefix
    }

    fn host_mask(&self) -> u128 {
        let host_bits = bits(self.address).saturating_sub(self.prefix);
        if host_bits >= 128 { u128::MAX } else { (1 << host_bits) - 1 }
    }

    fn number(&self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        }
    }

    fn first(&self) -> u128 {
        self.number() & !self.host_mask()
    }

    fn last(&self) -> u128 {
        self.number() | self.host_mask()
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for IpNet {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or(IpNetError)
    }
}

fn parse(text: &str) -> Option<IpNet> {
    // An IPv4 address written inside an IPv6 address is refused, as Cedar does.
    let twice = |sign| text.bytes().filter(|byte| *byte == sign).count() >= 2;
    if text.len() > TEXT_BYTES_MAX || (twice(b':') && twice(b'.')) {
        return None;
    }
    let Some((address, prefix)) = text.split_once('/') else {
        let address = text.parse().ok()?;
        return IpNet::new(address, bits(address));
    };
    let canonical = prefix == "0" || !prefix.starts_with('0');
    if prefix.is_empty() || !canonical || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    IpNet::new(address.parse().ok()?, prefix.parse().ok()?)
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cedar reads no dots within an IPv6 address, and the standard library writes them.
        match self.address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
                let [.., high, low] = address.segments();
                write!(f, "::ffff:{high:x}:{low:x}/{}", self.prefix)
            }
            address => write!(f, "{address}/{}", self.prefix),
        }
    }
}
