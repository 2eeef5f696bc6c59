//! TLS 1.3 with certificates on both sides, hybrid post-quantum key exchange preferred.

use std::io;
use std::sync::Arc;

use model::{Certificate, Reason};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig, ServerConnection};
use thiserror::Error;

use crate::settings::{Identity, Settings};

/// The protocol named in ALPN: HTTP/2 over TLS (RFC 9113).
const ALPN: &[u8] = b"h2";

/// Why a TLS configuration cannot be made.
#[derive(Debug, Error)]
pub enum TlsError {
    /// An authority's certificate cannot serve as one.
    #[error("certificate authority")]
    Authority(#[source] rustls::Error),
    /// No authority is given.
    #[error("no certificate authority is given")]
    NoAuthority,
    /// Certificate and key do not go together, or one of them is unusable.
    #[error("certificate and key")]
    Identity(#[source] rustls::Error),
    /// The provider does not offer TLS 1.3.
    #[error("TLS 1.3")]
    Protocol(#[source] rustls::Error),
    /// The verifier cannot be built.
    #[error("certificate verifier: {0}")]
    Verifier(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    if authorities.is_empty() {
        return Err(TlsError::NoAuthority);
    }
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(TlsError::Authority)?;
    }
    Ok(Arc::new(roots))
}

/// Towards consumers: a certificate of one of the authorities is required.
///
/// Revocation is not checked here but per call, against the snapshot in force, so that it binds
/// open connections too and the caller is told why.
pub(crate) fn server(settings: &Settings) -> Result<Arc<ServerConfig>, TlsError> {
    let roots = roots(&settings.client_authorities)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| TlsError::Verifier(error.to_string()))?;
    let Identity { chain, key } = settings.server.clone();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Protocol)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Towards a node: its certificate must come from one of `authorities`.
pub(crate) fn client(
    identity: &Identity,
    authorities: &[Vec<u8>],
) -> Result<Arc<ClientConfig>, TlsError> {
    let authorities: Vec<CertificateDer<'static>> =
        authorities.iter().cloned().map(CertificateDer::from).collect();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(&authorities)?, provider())
        .build()
        .map_err(|error| TlsError::Verifier(error.to_string()))?;
    let Identity { chain, key } = identity.clone();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Protocol)?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The certificate that the consumer proved to hold.
pub(crate) fn peer_certificate(connection: &ServerConnection) -> Result<Certificate, String> {
    if connection.alpn_protocol() != Some(ALPN) {
        return Err("the client does not speak HTTP/2 by ALPN".to_owned());
    }
    let chain = connection.peer_certificates().unwrap_or_default();
    let leaf = chain.first().ok_or("the client sent no certificate")?;
    wire::certificate::parse(leaf).map_err(|error| error.to_string())
}

/// Why a handshake failed, as far as TLS says.
pub(crate) fn handshake_reason(error: &io::Error) -> Reason {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Reason::CertificateExpired,
            CertificateError::Revoked => Reason::CertificateRevoked,
            _ => Reason::CertificateUntrusted,
        },
        _ => Reason::HandshakeFailed,
    }
}
