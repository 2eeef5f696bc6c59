//! What holds for whole folders: splitting changes nothing, and nothing makes loading panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test has no callers")]

mod support;

use control::LoadError;
use proptest::prelude::*;
use support::{AGREEMENTS, Fixture, GATEWAY, REGISTRY};

#[test]
fn splitting_and_joining_files_changes_nothing() {
    let joined = Fixture::new();
    joined.write("agreements/b.yaml", AGREEMENTS.replace("a1", "a2"));
    let split = Fixture::new();
    split.remove("registry/all.yaml");
    split.remove("agreements/all.yaml");
    let (members, rest) = REGISTRY.split_at(REGISTRY.find("systems:").unwrap());
    let (first, others) = members.split_at(members.find("  - {id: G09,").unwrap());
    split.write("registry/z/members.yaml", first);
    split.write("registry/a/members.yaml", format!("members:\n{others}"));
    split.write("registry/rest.yaml", rest);
    let second = AGREEMENTS.replace("a1", "a2").replace("agreements:\n", "");
    split.write("agreements/2026/all.yaml", format!("agreements:\n{second}"));
    split.write("agreements/z.yaml", AGREEMENTS);

    let (joined, split) = (joined.load().unwrap(), split.load().unwrap());
    assert_eq!(joined.source.members.len(), 3);
    assert_eq!(joined.counts.agreements, 2);
    assert_eq!(format!("{:?}", joined.source), format!("{:?}", split.source));
    assert_eq!(joined.counts, split.counts);
}

#[test]
fn revoked_certificates_reach_source_and_settings() {
    let fixture = Fixture::new();
    let lists = "client_authorities: [pki/ca.crt]\n  revocation_lists: [pki/ca.crl]\n";
    fixture.write("gateway.yaml", GATEWAY.replacen("client_authorities: [pki/ca.crt]\n", lists, 1));
    let config = fixture.load().unwrap();
    let [list] = config.gateway.tls.revocation_lists.as_slice() else { panic!() };
    assert_eq!(list.revoked, config.source.revoked);
    assert_eq!(*config.source.revoked.first().unwrap().serial, [0x42]);
}

#[test]
fn nodes_that_name_no_authority_take_the_default() {
    let fixture = Fixture::new();
    let config = fixture.load().unwrap();
    let authorities = config.source.nodes.first().unwrap().authorities.to_vec();
    assert_eq!(authorities, config.gateway.tls.client_authorities);
}

#[test]
fn settings_do_not_show_keys() {
    let config = Fixture::new().load().unwrap();
    assert!(format!("{:?}", config.gateway).contains("key: PrivateKey(not shown)"));
}

#[test]
fn optional_settings_have_defaults() {
    let config = Fixture::new().load().unwrap();
    assert_eq!(config.gateway.limits, control::Limits::default());
    assert_eq!(config.gateway.workers, None);
    assert_eq!(config.gateway.admin, None);
    assert_eq!(config.gateway.ledger.segment_size, None);
}

/// A text from the words that the reader knows, put together without sense.
fn near_yaml() -> impl Strategy<Value = String> {
    let words = [
        "agreements:",
        "members:",
        "nodes:",
        "id:",
        "- ",
        "  ",
        "\n",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "'",
        "\"",
        "#",
        "&a ",
        "*a",
        "!x ",
        "|\n",
        "all",
        "G09",
        "2026-01-01",
        "30s",
        "services:",
        "methods:",
        "consumer:",
        "member:",
        "quota:",
        "per:",
        "-1",
        "~",
        "ộ",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..60)
        .prop_map(|words| words.concat())
}

/// The bytes of the good configuration with a part replaced.
fn spoilt(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let replacement = proptest::collection::vec(any::<u8>(), 0..4);
    (0..good.len(), 0..8_usize, replacement).prop_map(move |(at, length, replacement)| {
        let mut bytes = good.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, replacement);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_configuration_makes_loading_panic(
        gateway in spoilt(GATEWAY),
        registry in prop_oneof![spoilt(REGISTRY), near_yaml().prop_map(String::into_bytes)],
        agreements in prop_oneof![spoilt(AGREEMENTS), near_yaml().prop_map(String::into_bytes)],
    ) {
        let fixture = Fixture::new();
        fixture.write("gateway.yaml", gateway);
        fixture.write("registry/all.yaml", registry);
        fixture.write("agreements/all.yaml", agreements);
        match fixture.load() {
            Err(LoadError::Problems(problems)) => prop_assert!(!problems.is_empty()),
            Err(error) => prop_assert!(false, "{error}"),
            Ok(_) => {}
        }
    }
}
