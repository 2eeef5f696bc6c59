//! Who may call a node.

use nodes::proto::socialsecurity::v1::CheckVerifiedAccountRequest;
use nodes::proto::socialsecurity::v1::social_security_service_client::SocialSecurityServiceClient;
use nodes::{NodeKind, OpenError, ServeError, ServerTls};
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::{Authority, Node};

fn request() -> CheckVerifiedAccountRequest {
    CheckVerifiedAccountRequest { personal_number: "901099000001".into() }
}

#[tokio::test]
async fn only_the_gateway_may_call() {
    let node = Node::start(NodeKind::SocialSecurity).await;
    let mut gateway = SocialSecurityServiceClient::new(node.connect().await);
    assert!(gateway.check_verified_account(request()).await.is_ok());

    // Another certificate of the same authority gets through TLS, and no further.
    let other = node.authority.client("other.test");
    let mut other = SocialSecurityServiceClient::new(node.connect_as(&other).await.unwrap());
    let status = other.check_verified_account(request()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "only the gateway may call this node");
}

#[tokio::test]
async fn certificates_of_another_authority_fail_in_the_handshake() {
    let node = Node::start(NodeKind::SocialSecurity).await;
    let stranger = Authority::new().client("gateway.test");
    // With TLS 1.3 the client hears of the refusal only at its first call.
    let refused = match node.connect_as(&stranger).await {
        Err(_) => true,
        Ok(channel) => {
            let mut client = SocialSecurityServiceClient::new(channel);
            let call = client.check_verified_account(request());
            call.await.is_err_and(|status| status.code() != Code::PermissionDenied)
        }
    };
    assert!(refused);
}

#[tokio::test]
async fn a_node_stops_when_told() {
    let node = Node::start(NodeKind::Insurance).await;
    let _idle = node.connect().await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_kind_is_not_served() {
    let node = Node::start(NodeKind::Insurance).await;
    let path = node.country.database(NodeKind::Insurance);
    let tls = ServerTls {
        cert_pem: String::new(),
        key_pem: String::new(),
        client_ca_pem: String::new(),
        allowed_client_sha256: vec![],
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = nodes::serve(NodeKind::Population, &path, listener, tls, async {}).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ServeError::Open(OpenError::Kind { .. })));
    assert!(error.to_string().ends_with("is of kind `insurance`, expected `population`"));
}
