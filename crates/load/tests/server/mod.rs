//! A small gRPC server on a thread of its own; the method's name says how it misbehaves.

#![allow(dead_code, unreachable_pub, reason = "shared by test and example, which use parts of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;

/// Ends when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
pub struct Seen {
    pub calls: AtomicU64,
    pub connections: AtomicU64,
    pub request_bytes: AtomicU64,
    pub timeouts: AtomicU64,
    pub purposes: AtomicU64,
}

impl Server {
    pub fn start(tls: Option<rustls::ServerConfig>) -> Server {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, tls.map(Arc::new), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { () = serving => (), _ = stopped => () }
            });
        });
        Server { address, seen, stop: Some(stop), thread: Some(thread) }
    }

    pub fn calls(&self) -> u64 {
        self.seen.calls.load(Relaxed)
    }

    pub fn wait(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn serve(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, seen: Arc<Seen>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        seen.connections.fetch_add(1, Relaxed);
        let (tls, seen) = (tls.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            match tls {
                None => connection(tcp, seen).await,
                Some(tls) => {
                    if let Ok(stream) = TlsAcceptor::from(tls).accept(tcp).await {
                        connection(stream, seen).await;
                    }
                }
            }
        });
    }
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin>(io: T, seen: Arc<Seen>) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    let cut = Arc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = cut.notified() => return,
        };
        let Some(Ok((request, respond))) = accepted else { return };
        let (seen, cut) = (Arc::clone(&seen), Arc::clone(&cut));
        tokio::spawn(async move {
            // A client that resets its stream is no concern of the server.
            let _ = answer(request, respond, &seen, &cut).await;
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: &Seen,
    cut: &Notify,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut message = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message = if message.is_empty() { chunk } else { [message, chunk].concat().into() };
    }
    let number = seen.calls.fetch_add(1, Relaxed) + 1;
    seen.request_bytes.fetch_add(message.len() as u64, Relaxed);
    seen.timeouts.fetch_add(u64::from(head.headers.contains_key("grpc-timeout")), Relaxed);
    seen.purposes.fetch_add(u64::from(head.headers.contains_key("exchange-purpose")), Relaxed);

    match head.uri.path() {
        "/t.T/Echo" => send(&mut respond, message, 1, trailers("0")),
        "/t.T/Stream" => send(&mut respond, message, 10, trailers("0")),
        "/t.T/Receipt" => {
            let mut trailers = trailers("0");
            trailers.insert("exchange-receipt-bin", HeaderValue::from_static("AAEC"));
            send(&mut respond, message, 1, trailers)
        }
        "/t.T/Stall" => {
            if number == 100 {
                std::thread::sleep(Duration::from_millis(200));
            }
            send(&mut respond, message, 1, trailers("0"))
        }
        "/t.T/Slow" => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            send(&mut respond, message, 1, trailers("0"))
        }
        "/t.T/Deny" => {
            let mut response = Response::new(());
            *response.headers_mut() = trailers("7");
            response.headers_mut().insert("grpc-message", HeaderValue::from_static("no%20purpose"));
            respond.send_response(response, true).map(|_| ())
        }
        "/t.T/Reset" => {
            respond.send_reset(Reason::CANCEL);
            Ok(())
        }
        "/t.T/Cut" if number.is_multiple_of(50) => {
            cut.notify_one();
            Ok(())
        }
        "/t.T/Cut" => send(&mut respond, message, 1, trailers("0")),
        "/t.T/Hang" => std::future::pending().await,
        _ => {
            let response = Response::builder().status(404).body(()).unwrap();
            respond.send_response(response, true).map(|_| ())
        }
    }
}

fn send(
    respond: &mut SendResponse<Bytes>,
    message: Bytes,
    times: usize,
    trailers: HeaderMap,
) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(Response::new(()), false)?;
    for _ in 0..times {
        stream.send_data(message.clone(), false)?;
    }
    stream.send_trailers(trailers)
}

fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers
}

/// A test authority with a certificate for the server and one for the client.
pub struct Certificates {
    pub ca: String,
    pub client: String,
    pub client_key: String,
    pub server: rustls::ServerConfig,
}

impl Certificates {
    pub fn new() -> Certificates {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &issuer).unwrap(), key)
        };
        let (client, client_key) = issue("system.test");
        let (server, server_key) = issue("gateway.test");

        let mut roots = RootCertStore::empty();
        roots.add(ca_certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![server.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Certificates {
            ca: ca_certificate.pem(),
            client: client.pem(),
            client_key: client_key.serialize_pem(),
            server: config,
        }
    }
}
