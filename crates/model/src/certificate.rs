//! A client certificate, reduced to what identifying a system needs.

use crate::{CertificateDigest, Timestamp};

/// What the gateway keeps of a peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of the whole certificate: what a system is registered by.
    pub digest: CertificateDigest,
    /// Issuer and serial number: what a revocation list names.
    pub serial: IssuerSerial,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// Issuer and serial number of a certificate; unique among certificates (RFC 5280, 4.1.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IssuerSerial {
    /// The issuer's distinguished name in DER.
    pub issuer: Box<[u8]>,
    /// The serial number, big-endian, without leading zeros.
    pub serial: Box<[u8]>,
}
