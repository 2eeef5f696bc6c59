//! The plan made ready: a request head to clone, a framed message, a TLS configuration.
//!
//! Whatever can be wrong with a text of the plan is found here, before the first connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::error::LoadError;
use crate::plan::{Pem, Plan, Tls};

/// What every connection and call of one measurement shares.
pub(crate) struct Prepared {
    pub(crate) address: String,
    pub(crate) tls: Option<Secure>,
    pub(crate) head: Request<()>,
    /// The message behind its five-byte gRPC prefix.
    pub(crate) body: Bytes,
    /// How long to wait for an answer: the call's timeout and a second, so that the server's own
    /// word on the timeout is seen where it gives one.
    pub(crate) patience: Option<Duration>,
    pub(crate) streams: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) keep_sample: bool,
}

/// A TLS configuration and the name to check.
pub(crate) struct Secure {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
}

impl Prepared {
    pub(crate) fn new(plan: &Plan) -> Result<Prepared, LoadError> {
        plan.check()?;
        let host = host_of(&plan.address)?;
        let server_name = plan.server_name.as_deref().unwrap_or(host);
        let tls = plan.tls.as_ref().map(|tls| secure(tls, server_name)).transpose()?;
        Ok(Prepared {
            address: plan.address.clone(),
            head: head(plan, tls.is_some())?,
            tls,
            body: framed(&plan.message)?,
            patience: plan.timeout.map(|timeout| timeout + GRACE),
            streams: plan.streams,
            connect_timeout: plan.connect_timeout,
            keep_sample: plan.keep_sample,
        })
    }
}

const GRACE: Duration = Duration::from_secs(1);
const USER_AGENT: &str = concat!("giaolien-load/", env!("CARGO_PKG_VERSION"));

fn host_of(address: &str) -> Result<&str, LoadError> {
    let parts = address.rsplit_once(':');
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        return Err(LoadError::Plan(format!("address `{address}` is not `host:port`")));
    };
    if port.parse::<u16>().is_err() {
        return Err(LoadError::Plan(format!("port of `{address}` is not a number up to 65535")));
    }
    Ok(host.trim_start_matches('[').trim_end_matches(']'))
}

fn framed(message: &Bytes) -> Result<Bytes, LoadError> {
    let length = u32::try_from(message.len())
        .map_err(|_| LoadError::Plan("message is longer than 4 GiB".to_owned()))?;
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(length);
    body.put_slice(message);
    Ok(body.freeze())
}

fn head(plan: &Plan, tls: bool) -> Result<Request<()>, LoadError> {
    let mut names = plan.method.strip_prefix('/').unwrap_or_default().split('/');
    let (service, method, rest) = (names.next(), names.next(), names.next());
    let named = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
    if !named(service) || !named(method) || rest.is_some() {
        return Err(LoadError::Plan(format!(
            "method `{}` is not a path such as `/pkg.Service/Method`",
            plan.method
        )));
    }
    let authority = plan.server_name.as_deref().unwrap_or(&plan.address);
    let uri = Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(authority)
        .path_and_query(plan.method.as_str())
        .build()
        .map_err(|error| LoadError::Plan(format!("`{authority}{}`: {error}", plan.method)))?;

    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers(plan)?;
    Ok(request)
}

fn headers(plan: &Plan) -> Result<HeaderMap, LoadError> {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(timeout) = plan.timeout {
        headers.insert("grpc-timeout", timeout_value(timeout)?);
    }
    for (key, value) in &plan.metadata {
        let (key, value) = metadatum(key, value)?;
        headers.append(key, value);
    }
    Ok(headers)
}

/// gRPC allows eight digits: the finest unit in which they suffice is taken.
fn timeout_value(timeout: Duration) -> Result<HeaderValue, LoadError> {
    let units = [
        (timeout.as_nanos(), 'n'),
        (timeout.as_micros(), 'u'),
        (timeout.as_millis(), 'm'),
        (u128::from(timeout.as_secs()), 'S'),
    ];
    let fitting = units.into_iter().find(|(amount, _)| (1..100_000_000).contains(amount));
    fitting
        .and_then(|(amount, unit)| HeaderValue::from_str(&format!("{amount}{unit}")).ok())
        .ok_or_else(|| LoadError::Plan("timeout must be between 1 ns and 3 years".to_owned()))
}

fn metadatum(key: &str, value: &str) -> Result<(HeaderName, HeaderValue), LoadError> {
    let wrong = |why: &str| LoadError::Plan(format!("metadata `{key}`: {why}"));
    let name = HeaderName::from_bytes(key.as_bytes()).map_err(|_| wrong("not a header name"))?;
    let reserved = ["te", "content-type", "content-length", "connection", "host", "user-agent"];
    if name.as_str().starts_with("grpc-") || reserved.contains(&name.as_str()) {
        return Err(wrong("set by the protocol, not by the caller"));
    }
    let printable = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if !printable {
        return Err(wrong("value is not printable ASCII"));
    }
    if name.as_str().ends_with("-bin") && !is_base64(value) {
        return Err(wrong("value of a `-bin` key is not base64"));
    }
    let value = HeaderValue::from_str(value).map_err(|_| wrong("not a header value"))?;
    Ok((name, value))
}

/// Padded or not, as gRPC asks receivers to accept both; the value is sent as it stands.
fn is_base64(value: &str) -> bool {
    let digits = value.trim_end_matches('=');
    let padding = value.len() - digits.len();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let whole = padding == 0 || (padding <= 2 && value.len().is_multiple_of(4));
    whole && digits.len() % 4 != 1 && digits.bytes().all(known)
}

fn secure(tls: &Tls, server_name: &str) -> Result<Secure, LoadError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(&tls.ca)?);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates("client certificate", &identity.certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&text(&identity.key)?)
                .map_err(|error| pem("client key", error.to_string()))?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server_name = ServerName::try_from(server_name.to_owned()).map_err(|_| {
        LoadError::Plan(format!("server name `{server_name}` is neither a DNS name nor an address"))
    })?;
    Ok(Secure { config: Arc::new(config), server_name })
}

fn roots(ca: &Pem) -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("authority certificate", ca)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn certificates(what: &'static str, from: &Pem) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let text = text(from)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(what, error.to_string()))?;
    if found.is_empty() {
        return Err(pem(what, "no certificate in the PEM text".to_owned()));
    }
    Ok(found)
}

fn text(from: &Pem) -> Result<Vec<u8>, LoadError> {
    match from {
        Pem::Bytes(bytes) => Ok(bytes.clone()),
        Pem::File(path) => {
            std::fs::read(path).map_err(|source| LoadError::File { path: path.clone(), source })
        }
    }
}

fn pem(what: &'static str, reason: String) -> LoadError {
    LoadError::Pem { what, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Plan), expected: &str) {
        let mut plan = Plan::new("127.0.0.1:1", "/a.B/C", Bytes::new());
        change(&mut plan);
        let found = match Prepared::new(&plan) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    fn metadata(key: &str, value: &str) -> impl FnOnce(&mut Plan) {
        move |plan| plan.metadata.push((key.to_owned(), value.to_owned()))
    }

    #[test]
    fn texts_are_checked() {
        check(|_| (), "fine");
        check(|plan| plan.address = "[::1]:50051".to_owned(), "fine");
        check(|plan| plan.address = "here".to_owned(), "address `here` is not `host:port`");
        check(
            |plan| plan.address = "here:x".to_owned(),
            "port of `here:x` is not a number up to 65535",
        );
        check(
            |plan| plan.method = "a.B/C".to_owned(),
            "method `a.B/C` is not a path such as `/pkg.Service/Method`",
        );
        check(metadata("exchange-purpose", "x"), "fine");
        check(metadata("digest-bin", "AAEC"), "fine");
        check(metadata("digest-bin", "AAE="), "fine");
        check(metadata("digest-bin", "AAE"), "fine");
        check(
            metadata("digest-bin", "A"),
            "metadata `digest-bin`: value of a `-bin` key is not base64",
        );
        check(
            metadata("grpc-timeout", "1S"),
            "metadata `grpc-timeout`: set by the protocol, not by the caller",
        );
        check(metadata("a", "tỉnh"), "metadata `a`: value is not printable ASCII");
        check(|plan| plan.streams = 0, "streams must be between 1 and 10000, not 0");
    }

    #[test]
    fn timeouts_keep_to_eight_digits() {
        let value = |timeout| timeout_value(timeout).unwrap().to_str().unwrap().to_owned();
        assert_eq!(value(Duration::from_millis(50)), "50000000n");
        assert_eq!(value(Duration::from_secs(5)), "5000000u");
        assert_eq!(value(Duration::from_secs(3600)), "3600000m");
        assert_eq!(value(Duration::from_secs(1_000_000)), "1000000S");
        assert!(timeout_value(Duration::ZERO).is_err());
    }

    #[test]
    fn message_is_prefixed() {
        assert_eq!(framed(&Bytes::from_static(b"ab")).unwrap().as_ref(), b"\0\0\0\0\x02ab");
    }
}
