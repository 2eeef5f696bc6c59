//! A node for benchmarks, and the configuration of a gateway before it.
//!
//! `bench_node DIR GATEWAY_PORT NODE_PORT` writes `DIR/pki` and `DIR/config`, then answers every
//! call on NODE_PORT with 100 bytes until it is ended; `Query1` and `Query10` after so many milliseconds.
//! It does as little as a node can, on one thread, so that what is measured is what stands before it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use testkit::{Authority, Issued, Profile};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const ANSWER_BYTES: usize = 100;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, gateway_port, node_port] = arguments.as_slice() else {
        panic!("usage: bench_node DIR GATEWAY_PORT NODE_PORT")
    };
    let authority = Authority::new("Bench CA").unwrap();
    let node = authority.issue("node", Profile::Server).unwrap();
    write_folder(Path::new(dir), &authority, gateway_port, node_port);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(acceptor(&authority, &node), node_port.parse().unwrap()));
}

async fn serve(acceptor: TlsAcceptor, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    println!("ready");
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tokio::spawn(carry(acceptor.clone(), tcp));
    }
}

async fn carry(acceptor: TlsAcceptor, tcp: TcpStream) {
    tcp.set_nodelay(true).unwrap();
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    let connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(tls)
        .await;
    let Ok(mut connection) = connection else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let delay = match request.uri().path() {
        "/bench.v1.Bench/Query1" => Some(Duration::from_millis(1)),
        "/bench.v1.Bench/Query10" => Some(Duration::from_millis(10)),
        _ => None,
    };
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        drop(body.flow_control().release_capacity(data.len()));
    }
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let mut frame = vec![0; 5 + ANSWER_BYTES];
    frame[4] = ANSWER_BYTES as u8;
    // An unknown length-delimited field: 0x0a, its length, then zeros.
    frame[5] = 0x0a;
    frame[6] = (ANSWER_BYTES - 2) as u8;
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    drop(stream.send_data(frame.into(), false));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    drop(stream.send_trailers(trailers));
}

fn acceptor(authority: &Authority, node: &Issued) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der().into()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![node.certificate_der.clone().into()],
            PrivateKeyDer::from_pem_slice(node.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config).into()
}

fn write_folder(dir: &Path, authority: &Authority, gateway_port: &str, node_port: &str) {
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("pki/ca.crt", &authority.certificate_pem());
    for (name, profile) in
        [("gateway", Profile::Server), ("upstream", Profile::Client), ("client", Profile::Client)]
    {
        let issued = authority.issue(name, profile).unwrap();
        write(&format!("pki/{name}.crt"), &issued.certificate_pem);
        write(&format!("pki/{name}.key"), &issued.key_pem);
    }
    write("pki/ledger.key", &testkit::ed25519_key_pem().unwrap());
    write(
        "config/gateway.yaml",
        &format!(
            "listen: 127.0.0.1:{gateway_port}\nworkers: 1\n\
         tls: {{ certificate: ../pki/gateway.crt, key: ../pki/gateway.key, client_authorities: [../pki/ca.crt] }}\n\
         upstream: {{ certificate: ../pki/upstream.crt, key: ../pki/upstream.key, authorities: [../pki/ca.crt] }}\n\
         ledger: {{ directory: ../ledger, origin: bench, key: ../pki/ledger.key }}\n"
        ),
    );
    write(
        "config/registry/all.yaml",
        &format!(
            "members: [{{ id: H26, name: H26 }}, {{ id: G01, name: G01 }}]\n\
         systems: [{{ id: bench, name: Bench, member: H26, certificates: [{{ file: ../pki/client.crt }}] }}]\n\
         purposes: [{{ code: bench, name: Bench }}]\n\
         nodes:\n  - id: bench\n    name: Bench\n    provider: G01\n    endpoints: [\"127.0.0.1:{node_port}\"]\n    \
         services: [{{ name: bench.v1.Bench, methods: [{{ name: Query, effect: query }}, {{ name: Query1, effect: query }}, \
         {{ name: Query10, effect: query }}, {{ name: Update, effect: update }}] }}]\n"
        ),
    );
    write(
        "config/agreements/all.yaml",
        "agreements:\n  - id: bench\n    consumer: { member: H26 }\n    node: bench\n    \
         service: bench.v1.Bench\n    methods: all\n    purposes: [bench]\n    \
         legal_basis: none, this is a benchmark\n    mode: by_default\n    state: active\n    \
         valid_from: 2026-01-01\n    valid_until: 2046-01-01\n    \
         quota: [{ calls: 1000000, per: 1s }]\n",
    );
}
