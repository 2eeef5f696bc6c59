//! Tokens: what holds, what does not, and what a policy learns of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dataplane::{IssuerError, IssuerSettings, Issuers, TokenError};
use model::Timestamp;
use serde_json::{Value, json};
use support::{NOW, World, error_info, reasons, within};
use testkit::echo::pb::EchoRequest;
use tonic::Request;

const ISSUER: &str = "https://vneid.gov.vn";
const SECS: u64 = NOW.as_micros() / 1_000_000;

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send>;

/// A key pair that signs tokens, with the public half as a JWK.
struct Signer {
    algorithm: &'static str,
    jwk: Value,
    sign: Sign,
}

impl Signer {
    fn ec(algorithm: &'static str, curve: &str, signing: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
        let jwk = json!({ "kty": "EC", "crv": curve, "x": base64(x), "y": base64(y) });
        let sign = move |message: &[u8]| {
            pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        };
        Self { algorithm, jwk, sign: Box::new(sign) }
    }

    fn es256() -> Self {
        Self::ec("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = base64(pair.public_key());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let sign = move |message: &[u8]| pair.sign(message).as_ref().to_vec();
        Self { algorithm: "EdDSA", jwk, sign: Box::new(sign) }
    }

    fn rsa(algorithm: &'static str, encoding: &'static dyn RsaEncoding) -> Self {
        let pair = RsaKey::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let [n, e] = [n, e].map(|part| base64(part.big_endian_without_leading_zero()));
        let jwk = json!({ "kty": "RSA", "n": n, "e": e });
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        Self { algorithm, jwk, sign: Box::new(sign) }
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.jwk[key] = value.into();
        self
    }

    fn token(&self, claims: &Value) -> String {
        let header = match self.jwk.get("kid") {
            Some(kid) => json!({ "alg": self.algorithm, "kid": kid }),
            None => json!({ "alg": self.algorithm }),
        };
        self.token_under(&header, claims)
    }

    fn token_under(&self, header: &Value, claims: &Value) -> String {
        let message = [header, claims].map(|part| base64(part.to_string())).join(".");
        let signature = base64((self.sign)(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn settings(issuer: &str, signers: &[&Signer]) -> IssuerSettings {
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    IssuerSettings {
        issuer: issuer.into(),
        audience: "giaolien".into(),
        keys: json!({ "keys": keys }).to_string().into_bytes(),
        level_claim: "acr".into(),
        unit_claim: "unit".into(),
        roles_claim: "roles".into(),
    }
}

fn issuers(signers: &[&Signer]) -> Issuers {
    Issuers::new(vec![settings(ISSUER, signers)]).unwrap()
}

/// Claims that hold.
fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "giaolien", "exp": SECS + 300, "nbf": SECS, "sub": "an" })
}

fn changed(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

#[test]
fn every_algorithm_taken_here_holds() {
    let signers = [
        Signer::es256(),
        Signer::ec("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        Signer::ed25519(),
        Signer::rsa("RS256", &RSA_PKCS1_SHA256),
        Signer::rsa("PS256", &RSA_PSS_SHA256),
    ];
    for signer in signers {
        let issuers = issuers(&[&signer]);
        let token = issuers.validate(&signer.token(&claims()), NOW);
        assert!(token.is_ok(), "{}: {token:?}", signer.algorithm);
        let other = Signer::es256();
        let forged = signer.token(&claims()).rsplit_once('.').unwrap().0.to_owned();
        let forged = format!("{forged}.{}", base64((other.sign)(forged.as_bytes())));
        let found = issuers.validate(&forged, NOW);
        assert_eq!(found, Err(TokenError::Signature), "{}", signer.algorithm);
    }
}

#[test]
fn a_policy_learns_subject_level_unit_and_roles() {
    let signer = Signer::es256();
    let issuers = issuers(&[&signer]);
    let read = |changes: Value| {
        let mut claims = claims();
        for (key, value) in changes.as_object().unwrap() {
            claims[key] = value.clone();
        }
        issuers.validate(&signer.token(&claims), NOW).unwrap()
    };
    let roles = json!({ "acr": "02", "unit": "H26.12", "roles": ["officer", "clerk"] });
    let token = read(roles);
    assert_eq!((&*token.issuer, token.subject.as_deref()), (ISSUER, Some("an")));
    assert_eq!((token.level, token.unit.as_deref()), (Some(2), Some("H26.12")));
    assert_eq!(token.roles, [Box::from("officer"), Box::from("clerk")]);
    assert_eq!(token.expires, Timestamp::from_secs(SECS + 300));
    assert_eq!(read(json!({ "acr": 1 })).level, Some(1));
    assert_eq!(read(json!({ "acr": "-2" })).level, None);
    assert_eq!(read(json!({ "acr": "urn:loa:2" })).level, None);
    assert_eq!(read(json!({ "roles": "officer clerk" })).roles.len(), 2);
    assert_eq!(read(json!({ "aud": ["other", "giaolien"] })).level, None);
}

#[test]
fn claims_that_do_not_hold() {
    let signer = Signer::es256();
    let issuers = issuers(&[&signer]);
    let check = |claims: Value, expected| {
        assert_eq!(issuers.validate(&signer.token(&claims), NOW), Err(expected), "{claims}");
    };
    check(changed("iss", json!("https://elsewhere.example")), TokenError::Issuer);
    check(changed("iss", Value::Null), TokenError::Issuer);
    for audience in [json!("other"), json!(["other"]), json!([]), json!(7), Value::Null] {
        check(changed("aud", audience), TokenError::Audience);
    }
    check(changed("exp", Value::Null), TokenError::NoEnd);
    check(changed("exp", json!("never")), TokenError::NoEnd);
    check(changed("exp", json!(SECS - 60)), TokenError::Expired);
    check(changed("exp", json!(-1)), TokenError::NoEnd);
    check(changed("nbf", json!(SECS + 61)), TokenError::NotYetValid);
    check(changed("nbf", json!("soon")), TokenError::NotYetValid);
    check(changed("roles", json!(vec!["officer"; 65])), TokenError::Roles);
    check(json!(["no", "claims"]), TokenError::Form);
    // Within the leeway.
    for claims in [changed("exp", json!(SECS - 59)), changed("nbf", json!(SECS + 60))] {
        assert!(issuers.validate(&signer.token(&claims), NOW).is_ok(), "{claims}");
    }
    let fraction = changed("exp", json!(SECS as f64 + 0.5));
    assert!(issuers.validate(&signer.token(&fraction), NOW).is_ok());
}

#[test]
fn algorithms_that_are_not_taken() {
    let (rsa, ec) = (Signer::rsa("RS256", &RSA_PKCS1_SHA256), Signer::es256());
    let (rsa, ec) = (rsa.with("kid", "rsa"), ec.with("kid", "ec"));
    let issuers = issuers(&[&rsa, &ec]);
    let check = |header: Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let message = [&header, &claims()].map(|part| base64(part.to_string())).join(".");
        let token = format!("{message}.{}", base64(sign(message.as_bytes())));
        assert_eq!(issuers.validate(&token, NOW), Err(TokenError::Algorithm), "{header}");
    };
    check(json!({ "alg": "none", "kid": "rsa" }), &|_| Vec::new());
    check(json!({ "alg": "None", "kid": "rsa" }), &|_| Vec::new());
    // The public key as a shared secret.
    let public = rsa.jwk["n"].as_str().unwrap().to_owned();
    for secret in [URL_SAFE_NO_PAD.decode(&public).unwrap(), public.into_bytes()] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        check(json!({ "alg": "HS256", "kid": "rsa" }), &|message| {
            hmac::sign(&key, message).as_ref().to_vec()
        });
    }
    check(json!({ "alg": "RS512", "kid": "rsa" }), &*rsa.sign);
    check(json!({ "alg": "ES256", "kid": "rsa" }), &*ec.sign);
    check(json!({ "alg": "RS256", "kid": "ec" }), &*rsa.sign);
    check(json!({ "kid": "ec" }), &*ec.sign);
}

#[test]
fn a_key_that_states_its_algorithm_keeps_to_it() {
    let signer = Signer::rsa("PS256", &RSA_PSS_SHA256).with("alg", "RS256");
    let found = issuers(&[&signer]).validate(&signer.token(&claims()), NOW);
    assert_eq!(found, Err(TokenError::Algorithm));
}

#[test]
fn the_key_is_the_one_named_or_the_only_one() {
    let (first, second) =
        (Signer::es256().with("kid", "first"), Signer::es256().with("kid", "second"));
    let unnamed = json!({ "alg": "ES256" });
    let unknown = json!({ "alg": "ES256", "kid": "third" });
    let both = issuers(&[&first, &second]);
    assert!(both.validate(&second.token(&claims()), NOW).is_ok());
    let validated = |header, issuers: &Issuers| {
        issuers.validate(&first.token_under(header, &claims()), NOW).map(drop)
    };
    assert_eq!(validated(&unnamed, &both), Err(TokenError::Key));
    assert_eq!(validated(&unknown, &both), Err(TokenError::Key));
    assert_eq!(validated(&unnamed, &issuers(&[&first])), Ok(()));
    assert_eq!(validated(&unknown, &issuers(&[&first])), Err(TokenError::Key));
    // A key of one issuer does not sign for another.
    let other = settings("https://other.example", &[&second]);
    let apart = Issuers::new(vec![settings(ISSUER, &[&first]), other]).unwrap();
    assert_eq!(apart.validate(&second.token(&claims()), NOW), Err(TokenError::Key));
}

#[test]
fn forms_that_are_not_taken() {
    let signer = Signer::es256();
    let issuers = issuers(&[&signer]);
    let good = signer.token(&claims());
    let [header, body, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let critical = json!({ "alg": "ES256", "crit": ["b64"], "b64": false });
    let cases = [
        String::new(),
        "a.b.c".to_owned(),
        format!("{header}.{signature}"),
        format!("{header}.{body}.{signature}.{signature}"),
        format!("{header}=.{body}.{signature}"),
        signer.token_under(&critical, &claims()),
    ];
    for token in cases {
        assert_eq!(issuers.validate(&token, NOW), Err(TokenError::Form), "{token}");
    }
    let padded = changed("pad", json!("x".repeat(8 << 10)));
    assert_eq!(issuers.validate(&signer.token(&padded), NOW), Err(TokenError::TooLong));
    assert!(issuers.validate(&good, NOW).is_ok());
}

#[test]
fn issuers_that_cannot_be_used() {
    let signer = Signer::es256();
    let check = |settings: Vec<IssuerSettings>, expected: &str| {
        assert_eq!(Issuers::new(settings).map(drop).unwrap_err().to_string(), expected);
    };
    let twice = vec![settings(ISSUER, &[&signer]), settings(ISSUER, &[&signer])];
    check(twice, "issuer `https://vneid.gov.vn` is given twice");
    let none = settings(ISSUER, &[&Signer::es256().with("use", "enc")]);
    check(
        vec![none],
        "issuer `https://vneid.gov.vn` has 0 keys for RS256, PS256, ES256, ES384 or EdDSA, \
         expected 1 to 64",
    );
    let same = settings(ISSUER, &[&signer, &signer]);
    check(vec![same], "issuer `https://vneid.gov.vn` has several keys with the id ``");
    let unreadable = IssuerSettings { keys: b"[]".to_vec(), ..settings(ISSUER, &[]) };
    let found = Issuers::new(vec![unreadable]).map(drop);
    assert!(matches!(found, Err(IssuerError::Keys { .. })), "{found:?}");
}

/// A world that takes tokens of `signer`.
async fn world(signer: &Signer, route: impl FnOnce(&mut policy::source::RouteRule)) -> World {
    let world = World::start().await;
    let mut source = world.revision();
    source.routes = vec![support::rule()];
    route(&mut source.routes[0]);
    world.live.replace_with(policy::Snapshot::compile(source).unwrap(), issuers(&[signer]));
    world
}

fn bearing(token: &str) -> Request<EchoRequest> {
    let mut request = Request::new(EchoRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn a_token_that_does_not_hold_refuses_the_call() {
    let signer = Signer::es256();
    let world = world(&signer, |_| {}).await;
    let mut client = world.client().await;
    let good = signer.token(&claims());
    within(client.unary(EchoRequest::default())).await.unwrap();
    for _ in 0..3 {
        let response = within(client.unary(bearing(&good))).await.unwrap();
        assert!(!response.into_inner().metadata.contains_key("authorization"), "it stays here");
    }
    let forged = Signer::es256().token(&claims());
    let mut basic = bearing(&good);
    basic.metadata_mut().insert("authorization", "Basic YTpi".parse().unwrap());
    let mut twice = bearing(&good);
    let again = format!("Bearer {good}").parse().unwrap();
    twice.metadata_mut().append("authorization", again);
    for request in [bearing(&forged), bearing("secret-of-somebody"), basic, twice] {
        let status = within(client.unary(request)).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
        assert_eq!(error_info(&status).0, "TOKEN_INVALID");
        assert!(!format!("{status:?}").contains("secret-of-somebody"));
    }
    // What was remembered ends with the token.
    world.clock.advance(Duration::from_secs(361));
    let status = within(client.unary(bearing(&good))).await.unwrap_err();
    assert_eq!(error_info(&status).0, "TOKEN_INVALID");
    assert_eq!(reasons(&world.entries().await), [model::Reason::TokenInvalid; 5]);
}

#[tokio::test]
async fn where_the_node_judges_a_token_it_passes() {
    let signer = Signer::es256();
    let world = world(&signer, |rule| rule.pass_authorization = Some(true)).await;
    let mut client = world.client().await;
    for token in [Signer::es256().token(&claims()), signer.token(&claims())] {
        let answer = within(client.unary(bearing(&token))).await.unwrap().into_inner();
        assert_eq!(answer.metadata["authorization"], format!("Bearer {token}"));
    }
}

#[tokio::test]
async fn a_new_revision_forgets_tokens_of_the_old_one() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let world = world(&old, |_| {}).await;
    let mut client = world.client().await;
    let token = old.token(&claims());
    within(client.unary(bearing(&token))).await.unwrap();
    // Without a word about issuers they stay as they are.
    world.put_in_force(|_| {});
    within(client.unary(bearing(&token))).await.unwrap();
    let snapshot = policy::Snapshot::compile(world.revision()).unwrap();
    world.live.replace_with(snapshot, issuers(&[&new]));
    let status = within(client.unary(bearing(&token))).await.unwrap_err();
    assert_eq!(error_info(&status).0, "TOKEN_INVALID");
    within(client.unary(bearing(&new.token(&claims())))).await.unwrap();
}

#[tokio::test]
async fn a_policy_asks_for_a_level() {
    let signer = Signer::es256();
    let world = World::start().await;
    let mut source = world.revision();
    source.policies = Some(support::policies(
        r#"@id("level-2") forbid(principal, action, resource)
           unless { context has token && context.token has level && context.token.level >= 2 };"#,
    ));
    world.live.replace_with(policy::Snapshot::compile(source).unwrap(), issuers(&[&signer]));
    let mut client = world.client().await;
    let told = |status: tonic::Status| error_info(&status).0;
    let bare = within(client.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(told(bare), "POLICY_FORBIDS");
    let low = bearing(&signer.token(&changed("acr", json!("01"))));
    assert_eq!(told(within(client.unary(low)).await.unwrap_err()), "POLICY_FORBIDS");
    let high = bearing(&signer.token(&changed("acr", json!("02"))));
    within(client.unary(high)).await.unwrap();
}
