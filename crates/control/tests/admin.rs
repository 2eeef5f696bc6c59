//! Who may use the admin API. Every method of it must appear here.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::sync::Arc;

use model::CertificateDigest;
use testkit::{Authority, Issued, Profile};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use wire::generated::admin::admin_service_client::AdminServiceClient;
use wire::generated::admin::{GetStatusRequest, GetStatusResponse};

/// Reads TLS settings from a folder that holds nothing else of interest.
fn settings(authority: &Authority) -> control::Downstream {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let server = authority.issue("gateway", Profile::Server).unwrap();
    write("ca.crt", &authority.certificate_pem());
    write("gateway.crt", &server.certificate_pem);
    write("gateway.key", &server.key_pem);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    write("ledger.key", &key.serialize_pem());
    fs::create_dir(folder.path().join("registry")).unwrap();
    write(
        "gateway.yaml",
        "listen: 127.0.0.1:0\n\
         tls: { certificate: gateway.crt, key: gateway.key, client_authorities: [ca.crt] }\n\
         upstream: { certificate: gateway.crt, key: gateway.key }\n\
         ledger: { directory: ledger, origin: test, key: ledger.key }\n",
    );
    control::load(folder.path(), model::RevisionId(1)).unwrap().gateway.tls
}

fn digest(issued: &Issued) -> CertificateDigest {
    wire::certificate::parse(&issued.certificate_der).unwrap().digest
}

#[tokio::test]
async fn only_a_listed_certificate_gets_in() {
    let authority = Authority::new("Test CA").unwrap();
    let operator = authority.issue("operator", Profile::Client).unwrap();
    let system = authority.issue("commune", Profile::Client).unwrap();
    let stranger = Authority::new("Other CA").unwrap().issue("operator", Profile::Client).unwrap();
    let tls = settings(&authority);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let operators = vec![digest(&operator)];
    tokio::spawn(async move {
        let status = Arc::new(|| GetStatusResponse { revision: 7, ..Default::default() });
        control::admin::serve(listener, &tls, operators, status, std::future::pending()).await
    });

    let get_status = async |issued: &Issued| {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority.certificate_pem()))
            .identity(Identity::from_pem(&issued.certificate_pem, &issued.key_pem))
            .domain_name("localhost");
        let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
        AdminServiceClient::new(channel).get_status(GetStatusRequest {}).await
    };
    assert_eq!(get_status(&operator).await.unwrap().into_inner().revision, 7);
    assert_eq!(get_status(&system).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(get_status(&stranger).await.is_err());
}
