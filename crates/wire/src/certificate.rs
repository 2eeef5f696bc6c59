//! X.509 certificates and revocation lists (RFC 5280) to [`model::Certificate`].

use model::{Certificate, CertificateDigest, IssuerSerial, Timestamp};
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// Longest common name (`ub-common-name` of RFC 5280), in characters.
const COMMON_NAME_CHARS_MAX: usize = 64;

/// Why bytes are not a certificate or a revocation list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The bytes are not an X.509 certificate in DER.
    #[error("not an X.509 certificate: {0}")]
    Certificate(String),
    /// The bytes are not an X.509 revocation list in DER.
    #[error("not an X.509 certificate revocation list: {0}")]
    RevocationList(String),
}

/// Reads a certificate in DER.
///
/// # Errors
///
/// Fails if `der` is not exactly one X.509 certificate.
pub fn parse(der: &[u8]) -> Result<Certificate, CertificateError> {
    let wrong = |cause: String| CertificateError::Certificate(cause);
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| wrong(error.to_string()))?;
    if !rest.is_empty() {
        return Err(wrong(format!("{} bytes follow it", rest.len())));
    }
    let validity = certificate.validity();
    Ok(Certificate {
        digest: CertificateDigest(Sha256::digest(der).into()),
        serial: issuer_serial(certificate.issuer().as_raw(), certificate.raw_serial()),
        not_before: moment(validity.not_before.timestamp()),
        // `notAfter` is the last second of validity; ours is the first moment after it.
        not_after: moment(validity.not_after.timestamp().saturating_add(1)),
    })
}

/// The common name that a certificate in DER bears, cut at 64 characters; what a terminal would act
/// on is left out. `None` if it bears none or cannot be read.
pub fn common_name(der: &[u8]) -> Option<Box<str>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    let name: String =
        name.chars().filter(|c| !c.is_control()).take(COMMON_NAME_CHARS_MAX).collect();
    (!name.is_empty()).then(|| name.into())
}

/// Reads the certificates that a revocation list in DER names.
///
/// # Errors
///
/// Fails if `der` is not exactly one X.509 revocation list.
pub fn parse_revocation_list(der: &[u8]) -> Result<Vec<IssuerSerial>, CertificateError> {
    let wrong = |cause: String| CertificateError::RevocationList(cause);
    let (rest, list) =
        CertificateRevocationList::from_der(der).map_err(|error| wrong(error.to_string()))?;
    if !rest.is_empty() {
        return Err(wrong(format!("{} bytes follow it", rest.len())));
    }
    let issuer = list.issuer().as_raw();
    let revoked = list.iter_revoked_certificates();
    Ok(revoked.map(|entry| issuer_serial(issuer, entry.raw_serial())).collect())
}

fn issuer_serial(issuer: &[u8], serial: &[u8]) -> IssuerSerial {
    let leading = serial.iter().take_while(|byte| **byte == 0).count();
    IssuerSerial { issuer: issuer.into(), serial: serial.get(leading..).unwrap_or(serial).into() }
}

fn moment(secs: i64) -> Timestamp {
    Timestamp::from_secs(u64::try_from(secs).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, CertificateRevocationListParams, CertifiedIssuer, KeyPair,
        RevokedCertParams, SerialNumber, date_time_ymd,
    };

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_and_the_list_that_revokes_it_agree_on_its_serial() {
        let authority = authority();
        let mut params = CertificateParams::new(vec!["x".into()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&[0x80, 1, 2]));
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2036, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from_slice(&[0x80, 1, 2]),
                revocation_time: date_time_ymd(2026, 2, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&authority).unwrap();

        let certificate = parse(leaf.der()).unwrap();
        assert_eq!(certificate.not_before.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(certificate.not_after.to_string(), "2027-01-01T00:00:01Z");
        assert_eq!(parse_revocation_list(list.der()).unwrap(), [certificate.serial]);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(matches!(parse(b"no"), Err(CertificateError::Certificate(_))));
        assert!(matches!(parse_revocation_list(b""), Err(CertificateError::RevocationList(_))));
    }
}
