//! The client against servers that are slow, long, wrong, or somebody else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::sync::Arc;

use publish::{Client, FetchError};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::{Authority, Profile};
use tlog::Prefix;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Answers each connection with the same bytes; gives back where.
async fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = tcp.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..read]).to_lowercase();
            assert!(text.starts_with("get /base/a/b http/1.1\r\n"), "{text}");
            assert!(text.contains(&format!("host: {address}\r\n")), "{text}");
            tcp.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                // Silent for as long as anybody waits.
                std::future::pending::<()>().await;
            }
        }
    });
    format!("http://{address}/base/")
}

async fn fetch(url: &str, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    let client = Client::new(url.parse().unwrap(), &[]).unwrap();
    client.get("a/b", bytes_max).await.map(Vec::from)
}

#[tokio::test]
async fn an_answer_is_bounded_in_status_and_length() {
    let good = server(ANSWER).await;
    assert_eq!(fetch(&good, 5).await.unwrap(), b"hello");
    let long = fetch(&good, 4).await.unwrap_err();
    assert!(matches!(&long, FetchError::Body { bytes_max: 4, .. }), "{long}");
    let endless = server("HTTP/1.1 200 OK\r\n\r\naaaaaaaaaaaaaaaaaaaaaaaaaaa").await;
    assert!(matches!(fetch(&endless, 9).await, Err(FetchError::Body { .. })));
    let missing = server("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nno\n!").await;
    let missing = fetch(&missing, 100).await.unwrap_err().to_string();
    assert!(missing.ends_with("/base/a/b`: answered with 404 Not Found: no"), "{missing}");
    let cut = server("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await;
    let cut = fetch(&cut, 100).await;
    assert!(matches!(cut, Err(FetchError::Body { .. } | FetchError::Http { .. })), "{cut:?}");
    let nonsense = server("+OK ready\r\n").await;
    assert!(matches!(fetch(&nonsense, 100).await, Err(FetchError::Http { .. })));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = fetch(&format!("http://{nobody}/base"), 100).await;
    assert!(matches!(nobody, Err(FetchError::Connect { .. })), "{nobody:?}");
}

/// Time passes only while everybody waits.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let silent = server("").await;
    assert!(matches!(fetch(&silent, 100).await, Err(FetchError::Time { .. })));
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_authority_vouches_for() {
    let (known, other) = (Authority::new("known").unwrap(), Authority::new("other").unwrap());
    let issued = known.issue("witness", Profile::Server).unwrap();
    let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // Whoever does not trust it goes away.
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut request = [0; 1024];
            let _ = tls.read(&mut request).await;
            let _ = tls.write_all(ANSWER.as_bytes()).await;
        }
    });
    let prefix: Prefix = format!("https://localhost:{port}").parse().unwrap();
    let der = |authority: &Authority| {
        let pem = authority.certificate_pem();
        vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()]
    };
    let client = Client::new(prefix.clone(), &der(&known)).unwrap();
    assert_eq!(client.get("checkpoint", 100).await.unwrap(), "hello");
    let client = Client::new(prefix.clone(), &der(&other)).unwrap();
    let refused = client.get("checkpoint", 100).await;
    assert!(matches!(refused, Err(FetchError::Tls { .. })), "{refused:?}");
    assert!(Client::new(prefix.clone(), &[]).is_err());
    assert!(Client::new(prefix, &[vec![1, 2, 3]]).is_err(), "no certificate");
}
