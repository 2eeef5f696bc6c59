//! Where a ledger is published, or a witness listens: the URL that all their paths begin with, as
//! in C2SP tlog-tiles (monitoring prefix) and tlog-witness (submission prefix).
//!
//! ```
//! use tlog::Prefix;
//!
//! let prefix: Prefix = "http://giamsat.example.gov.vn:8480/witness/".parse()?;
//! assert_eq!((prefix.host(), prefix.port()), ("giamsat.example.gov.vn", 8480));
//! assert_eq!(prefix.path("add-checkpoint"), "/witness/add-checkpoint");
//! # Ok::<(), tlog::prefix::PrefixError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 1024;
const HTTP: &str = "http://";
const HTTPS: &str = "https://";

/// Why a text is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrefixError {
    /// Longer than allowed.
    #[error("URL has {0} bytes, at most {PREFIX_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// It begins otherwise.
    #[error("URL begins neither with `{HTTP}` nor with `{HTTPS}`")]
    Scheme,
    /// It holds what a prefix cannot.
    #[error("URL holds {0:?}; only host, port and path may stand in it")]
    Character(char),
    /// The part between scheme and path is not a host with or without a port.
    #[error("URL has no host, or a port that is no number from 1 to 65535")]
    Authority,
}

/// The URL that all paths of a published ledger, or of a witness, begin with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    tls: bool,
    authority: String,
    host: String,
    port: u16,
    /// Empty, or with a slash before it and none after.
    path: String,
}

impl Prefix {
    /// Whether it is reached by TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: 80 or 443 where none is named.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they were written, for the header `host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path under which `rest` stands there.
    pub fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if text.len() > PREFIX_BYTES_MAX {
            return Err(PrefixError::TooLong(text.len()));
        }
        let (tls, rest) = match (text.strip_prefix(HTTP), text.strip_prefix(HTTPS)) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(PrefixError::Scheme),
        };
        let good = |c: char| c.is_ascii_graphic() && !"?#@\\\"<>^`{|}".contains(c);
        if let Some(bad) = rest.chars().find(|c| !good(*c)) {
            return Err(PrefixError::Character(bad));
        }
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (host, port) = host_and_port(authority).ok_or(PrefixError::Authority)?;
        Ok(Self {
            tls,
            authority: authority.to_owned(),
            host: host.to_owned(),
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => Some(digits.parse().ok().filter(|port: &u16| *port > 0)?),
        None if port.is_empty() => None,
        None => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { HTTPS } else { HTTP };
        write!(f, "{scheme}{}{}", self.authority, self.path)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn a_prefix_is_scheme_host_port_and_path() {
        let check = |text: &str, host: &str, port: u16, path: &str| {
            let prefix: Prefix = text.parse().unwrap();
            let found = (prefix.host(), prefix.port(), prefix.path("checkpoint"));
            assert_eq!(found, (host, port, path.to_owned()), "{text}");
            assert_eq!(prefix.to_string().parse(), Ok(prefix));
        };
        check("http://a.example.vn", "a.example.vn", 80, "/checkpoint");
        check("https://a.example.vn/", "a.example.vn", 443, "/checkpoint");
        check("https://192.0.2.1:8443/a/b//", "192.0.2.1", 8443, "/a/b/checkpoint");
        check("http://[2001:db8::1]:81/x", "2001:db8::1", 81, "/x/checkpoint");
        let refused = |text: &str, expected: PrefixError| {
            assert_eq!(text.parse::<Prefix>(), Err(expected), "{text}");
        };
        refused("ftp://a", PrefixError::Scheme);
        refused("a.example.vn", PrefixError::Scheme);
        refused("http://user@a", PrefixError::Character('@'));
        refused("http://a/?x", PrefixError::Character('?'));
        refused("http://a b", PrefixError::Character(' '));
        for text in ["http://", "http://:80", "http://a:", "http://a:0", "http://a:b", "http://[a]"]
        {
            refused(text, PrefixError::Authority);
        }
        refused(&format!("http://{}", "a".repeat(1100)), PrefixError::TooLong(1107));
    }
}
