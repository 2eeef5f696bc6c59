//! Certificates, keys and revocation lists: files that configuration names.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use model::{CertificateDigest, IssuerSerial};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use wire::certificate::{parse, parse_revocation_list};

use crate::fields::{Fields, located, some, unexpected};
use crate::problem::{Position, Report, quoted};
use crate::yaml::{Node, Value};

/// Largest file of certificates or of a key.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// Largest JWK set.
const KEY_SET_BYTES_MAX: u64 = 256 << 10;
/// Largest revocation list.
const REVOCATION_LIST_BYTES_MAX: u64 = 64 << 20;
/// First byte of everything that X.509 writes in DER.
const DER_SEQUENCE: u8 = 0x30;
/// The object identifier of Ed25519 (RFC 8410) in DER.
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// A private key. Showing it shows nothing.
#[derive(PartialEq, Eq)]
pub struct PrivateKey(PrivateKeyDer<'static>);

impl PrivateKey {
    /// The key as rustls takes it.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        self.0.clone_key()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(not shown)")
    }
}

impl Clone for PrivateKey {
    fn clone(&self) -> Self {
        Self(self.0.clone_key())
    }
}

/// What the gateway proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and those between it and the authority, in DER; its own comes first.
    pub certificates: Vec<Vec<u8>>,
    /// The key of the first certificate.
    pub key: PrivateKey,
}

/// A revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// The list in DER.
    pub der: Vec<u8>,
    /// The certificates on it.
    pub revoked: Vec<IssuerSerial>,
}

/// The path that a node names.
pub(crate) fn path(node: &Node<'_>, report: &mut Report) -> Option<PathBuf> {
    match &node.value {
        Value::Scalar(written) if !written.is_empty() => Some(report.path(written)),
        _ => {
            unexpected(node, "a path", report);
            None
        }
    }
}

/// The fields `certificate` and `key`, which must belong together.
pub(crate) fn identity(fields: &Fields<'_, '_>, report: &mut Report) -> Option<Identity> {
    let certificates = fields.required("certificate", certificates, report);
    let key = fields.required("key", located(private_key), report);
    let (certificates, (at, key)) = (certificates?, key?);
    let chain = certificates.iter().cloned().map(CertificateDer::from).collect();
    match CertifiedKey::from_der(chain, key.to_der(), &default_provider()) {
        Ok(_) => return Some(Identity { certificates, key }),
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let expected = "the key of the certificate beside it";
            report.add(at, "the key of another certificate", expected, None);
        }
        Err(error) => {
            let found = format!("a certificate and key that TLS cannot use ({error})");
            report.add(at, found, "a certificate and key for TLS 1.3", None);
        }
    }
    None
}

/// The certificates of a list of files.
pub(crate) fn authorities(node: &Node<'_>, report: &mut Report) -> Option<Vec<Vec<u8>>> {
    let files = some(certificates)(node, report)?;
    Some(files.into_iter().flatten().collect())
}

/// The SHA-256 of the one certificate of a file.
pub(crate) fn digest(node: &Node<'_>, report: &mut Report) -> Option<CertificateDigest> {
    match certificates(node, report)?.as_slice() {
        [certificate] => parse(certificate).ok().map(|certificate| certificate.digest),
        several => {
            let found = format!("a file of {} certificates", several.len());
            report.add(node.at, found, "one certificate", None);
            None
        }
    }
}

/// The certificates of a file, at least one.
fn certificates(node: &Node<'_>, report: &mut Report) -> Option<Vec<Vec<u8>>> {
    let bytes = read(node, PEM_BYTES_MAX, report)?;
    let sections = sections::<CertificateDer<'_>>(&bytes, "certificate", node.at, report)?;
    let all: Vec<Vec<u8>> = sections.iter().map(|der| der.to_vec()).collect();
    for der in &all {
        if let Err(error) = parse(der) {
            report.add(node.at, error.to_string(), "a file of X.509 certificates", None);
            return None;
        }
    }
    Some(all)
}

/// The one revocation list of a file.
pub(crate) fn revocation_list(node: &Node<'_>, report: &mut Report) -> Option<RevocationList> {
    type List<'a> = CertificateRevocationListDer<'a>;
    let bytes = read(node, REVOCATION_LIST_BYTES_MAX, report)?;
    let sections = sections::<List<'_>>(&bytes, "revocation list", node.at, report)?;
    let [list] = sections.as_slice() else {
        let found = format!("a file of {} revocation lists", sections.len());
        report.add(node.at, found, "one revocation list", None);
        return None;
    };
    match parse_revocation_list(list) {
        Ok(revoked) => Some(RevocationList { der: list.to_vec(), revoked }),
        Err(error) => {
            report.add(node.at, error.to_string(), "an X.509 revocation list", None);
            None
        }
    }
}

/// The JWK set that a node names: JSON with at least one key. What a key must be to be used is
/// for those who use it to say.
pub(crate) fn json_web_keys(node: &Node<'_>, report: &mut Report) -> Option<Vec<u8>> {
    let bytes = read(node, KEY_SET_BYTES_MAX, report)?;
    let expected = "a JWK set such as `{\"keys\": [{\"kty\": …}]}`";
    let set: serde_json::Value = match serde_json::from_slice(&bytes) {
        Ok(set) => set,
        Err(error) => {
            let found = format!("a file that is no JSON ({})", json_error(&error));
            report.add(node.at, found, expected, None);
            return None;
        }
    };
    let keys = set.get("keys").and_then(serde_json::Value::as_array);
    let found = match keys {
        Some(keys) if keys.is_empty() => "a JWK set without keys",
        Some(keys) if !keys.iter().all(is_json_web_key) => "a JWK set with a key of no kind",
        Some(keys) if keys.iter().any(is_secret) => "a JWK set with secret keys",
        Some(_) => return Some(bytes),
        None => "JSON that is no JWK set",
    };
    report.add(node.at, found, expected, None);
    None
}

/// Where JSON is malformed. The text itself may be a key and is not shown.
fn json_error(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

fn is_json_web_key(key: &serde_json::Value) -> bool {
    key.get("kty").is_some_and(serde_json::Value::is_string)
}

/// Whether a key could sign tokens and not only verify them (RFC 7518, 6.2.2, 6.3.2 and 6.4.1).
fn is_secret(key: &serde_json::Value) -> bool {
    key.get("d").is_some() || key.get("k").is_some()
}

fn private_key(node: &Node<'_>, report: &mut Report) -> Option<PrivateKey> {
    let bytes = read(node, PEM_BYTES_MAX, report)?;
    let mut sections = sections::<PrivateKeyDer<'static>>(&bytes, "private key", node.at, report)?;
    match (sections.pop(), sections.is_empty()) {
        (Some(key), true) => Some(PrivateKey(key)),
        _ => {
            report.add(node.at, "a file of several keys", "one private key", None);
            None
        }
    }
}

/// The path of a file that holds an Ed25519 key. The key itself is not kept.
pub(crate) fn signing_key(node: &Node<'_>, report: &mut Report) -> Option<PathBuf> {
    let key = private_key(node, report)?.0;
    let ed25519 = matches!(&key, PrivateKeyDer::Pkcs8(_))
        && key.secret_der().windows(ED25519.len()).any(|bytes| bytes == ED25519);
    if !ed25519 {
        let hint = "make one with `openssl genpkey -algorithm ed25519`".to_owned();
        report.add(node.at, "a key of another kind", "an Ed25519 key in PKCS#8", Some(hint));
        return None;
    }
    path(node, report)
}

/// The bytes of the file that a node names.
pub(crate) fn read(node: &Node<'_>, bytes_max: u64, report: &mut Report) -> Option<Vec<u8>> {
    let path = path(node, report)?;
    let Value::Scalar(written) = &node.value else { return None };
    let error = match read_bounded(&path, bytes_max) {
        Ok(bytes) => {
            report.has_read(written, &bytes);
            return Some(bytes);
        }
        Err(error) => error,
    };
    let found = format!("{}, which cannot be read ({error})", quoted(written));
    let relative = Path::new(&**written).is_relative();
    let hint = (error.kind() == io::ErrorKind::NotFound && relative)
        .then(|| "relative paths begin at the configuration folder".to_owned());
    report.add(node.at, found, "a readable file", hint);
    None
}

/// The bytes of an ordinary file that is no larger than `bytes_max`.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // Asked before opening, since opening a named pipe waits.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).is_ok_and(|len| len <= bytes_max) {
        true => Ok(bytes),
        false => {
            let cause = match bytes_max >> 20 {
                0 => format!("larger than {} KiB", bytes_max >> 10),
                mib => format!("larger than {mib} MiB"),
            };
            Err(io::Error::new(io::ErrorKind::FileTooLarge, cause))
        }
    }
}

/// The PEM sections of one kind, at least one.
fn sections<T: PemObject>(
    bytes: &[u8],
    kind: &str,
    at: Position,
    report: &mut Report,
) -> Option<Vec<T>> {
    let found = match T::pem_slice_iter(bytes).collect::<Result<Vec<T>, pem::Error>>() {
        Ok(sections) if !sections.is_empty() => return Some(sections),
        Ok(_) if bytes.first() == Some(&DER_SEQUENCE) => "a file in DER".to_owned(),
        Ok(_) => format!("a file without a {kind}"),
        // The error is not shown, since it may repeat bytes of a damaged key.
        Err(_) => "a file with damaged PEM".to_owned(),
    };
    let hint = found.ends_with("DER").then(|| "convert it with `openssl … -inform der`".to_owned());
    report.add(at, found, format!("a {kind} in PEM"), hint);
    None
}
