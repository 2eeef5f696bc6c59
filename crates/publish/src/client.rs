//! A client for published ledgers and for witnesses: one request, one answer, both bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tlog::Prefix;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Time from connecting to the end of the answer.
const TIME_MAX: Duration = Duration::from_secs(10);
const AGENT: &str = concat!("giaolien/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The host of the prefix cannot stand in a certificate.
    #[error("host `{host}` is neither a DNS name nor an IP address")]
    Name {
        /// The host.
        host: String,
        /// Why.
        source: InvalidDnsNameError,
    },
    /// No authority was given for a prefix with https.
    #[error("`{0}` is reached by TLS, name the authorities that vouch for its certificate")]
    NoAuthority(String),
    /// An authority's certificate cannot be used.
    #[error("an authority of `{host}` cannot be used")]
    Authority {
        /// The host that it is to vouch for.
        host: String,
        /// Why.
        source: Box<rustls::Error>,
    },
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Nobody was reached.
    #[error("cannot connect to `{authority}`: {source}")]
    Connect {
        /// Host and port.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// The other side is not who it should be, or speaks no TLS.
    #[error("no TLS with `{authority}`: {source}")]
    Tls {
        /// Host and port.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// The exchange broke.
    #[error("`{url}`: {source}")]
    Http {
        /// What was asked for.
        url: String,
        /// Why.
        source: hyper::Error,
    },
    /// The answer was cut, or is longer than it may be.
    #[error("`{url}`: answer cannot be read, at most {bytes_max} bytes are taken: {cause}")]
    Body {
        /// What was asked for.
        url: String,
        /// Most bytes that are taken.
        bytes_max: usize,
        /// Why.
        cause: String,
    },
    /// It took too long.
    #[error("`{url}`: no answer within {} s", TIME_MAX.as_secs())]
    Time {
        /// What was asked for.
        url: String,
    },
    /// Another answer than was asked for.
    #[error("`{url}`: answered with {status}: {text}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: StatusCode,
        /// The beginning of its text.
        text: String,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its status.
    pub status: StatusCode,
    /// Its content.
    pub body: Bytes,
}

/// Asks what stands under a prefix. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    prefix: Prefix,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Client {
    /// A client; `authorities` (DER) vouch for the other side's certificate where the prefix asks
    /// for TLS, and are needed only then.
    ///
    /// # Errors
    ///
    /// Fails if there is TLS to be spoken and the authorities or the name cannot be used.
    pub fn new(prefix: Prefix, authorities: &[Vec<u8>]) -> Result<Self, ClientError> {
        if !prefix.is_tls() {
            return Ok(Self { prefix, tls: None });
        }
        if authorities.is_empty() {
            return Err(ClientError::NoAuthority(prefix.to_string()));
        }
        let host = || prefix.host().to_owned();
        let name = ServerName::try_from(host())
            .map_err(|source| ClientError::Name { host: host(), source })?;
        let unusable = |source| ClientError::Authority { host: host(), source: Box::new(source) };
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(CertificateDer::from(authority.clone())).map_err(unusable)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { prefix, tls: Some((Arc::new(config), name)) })
    }

    /// Where it asks.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The content of a path, of at most `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// Fails if there is no answer in time, a longer one, or one with another status than 200.
    pub async fn get(&self, path: &str, bytes_max: usize) -> Result<Bytes, FetchError> {
        let Fetched { status, body } = self.ask(Method::GET, path, Bytes::new(), bytes_max).await?;
        match status {
            StatusCode::OK => Ok(body),
            _ => Err(FetchError::Status { url: self.url(path), status, text: beginning(&body) }),
        }
    }

    /// The answer to what is sent to a path.
    ///
    /// # Errors
    ///
    /// Fails if there is no answer in time, or a longer one.
    pub async fn post(
        &self,
        path: &str,
        body: String,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        self.ask(Method::POST, path, body.into(), bytes_max).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.prefix)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        let asked = async {
            let authority = || self.prefix.authority().to_owned();
            let tcp = TcpStream::connect((self.prefix.host(), self.prefix.port())).await;
            let tcp =
                tcp.map_err(|source| FetchError::Connect { authority: authority(), source })?;
            match &self.tls {
                None => self.exchange(tcp, method, path, body, bytes_max).await,
                Some((config, name)) => {
                    let connector = TlsConnector::from(config.clone());
                    let tls = connector.connect(name.clone(), tcp).await;
                    let tls =
                        tls.map_err(|source| FetchError::Tls { authority: authority(), source })?;
                    self.exchange(tls, method, path, body, bytes_max).await
                }
            }
        };
        let answered = tokio::time::timeout(TIME_MAX, asked).await;
        answered.unwrap_or_else(|_elapsed| Err(FetchError::Time { url: self.url(path) }))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        method: Method,
        path: &str,
        body: Bytes,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        let broken = |source| FetchError::Http { url: self.url(path), source };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(broken)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        // A prefix holds only what a path may.
        *request.uri_mut() = self.prefix.path(path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(authority) = self.prefix.authority().parse() {
            headers.insert(HOST, authority);
        }
        headers.insert(USER_AGENT, hyper::header::HeaderValue::from_static(AGENT));
        let answered = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), bytes_max).collect().await;
            let body = body.map_err(|error| FetchError::Body {
                url: self.url(path),
                bytes_max,
                cause: error.to_string(),
            })?;
            Ok(Fetched { status, body: body.to_bytes() })
        };
        tokio::pin!(answered);
        tokio::select! {
            biased;
            answered = &mut answered => answered,
            // What came before the end may be all of the answer; if not, `answered` says so. How the
            // other side hung up does not matter then.
            _ended = connection => answered.await,
        }
    }
}

/// The first line of a text, and not much of it.
pub(crate) fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..200).unwrap_or(body)).into_owned();
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}
