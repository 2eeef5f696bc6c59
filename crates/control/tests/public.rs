//! Where a ledger is published and who cosigns it: what is told of that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "a part of the support is used")]

mod support;

use std::time::Duration;

use expect_test::{Expect, expect};
use support::{Fixture, GATEWAY};
use tlog::WitnessKey;

const ONE: &str = "  witnesses: [{url: 'http://giamsat.example.vn:8480', key: giamsat.pub}]\n";

fn key(name: &str, byte: u8) -> String {
    WitnessKey::new(name.parse().unwrap(), [byte; 32]).to_string()
}

fn fixture(more: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.write("giamsat.pub", key("giamsat.example.vn", 1) + "\n");
    fixture.write("gateway.yaml", format!("{GATEWAY}{more}"));
    fixture
}

fn check(more: &str, expected: Expect) {
    fixture(more).check(&expected);
}

#[test]
fn witnesses_are_read_by_file_or_key() {
    let other = key("other.example.vn", 2);
    let more = format!(
        "  publish: {{listen: '0.0.0.0:8481'}}\n  previous_key: pki/ledger.key\n  witnesses:\n    \
         - {{url: 'http://giamsat.example.vn:8480', key: giamsat.pub}}\n    \
         - {{url: 'https://other.example.vn/w', key: {other}, authorities: [pki/ca.crt]}}\n"
    );
    let ledger = fixture(&more).load().unwrap().gateway.ledger;
    let publish = ledger.publish.unwrap();
    assert_eq!((publish.listen.port(), publish.entries), (8481, false));
    assert!(ledger.previous_key.unwrap().ends_with("pki/ledger.key"));
    let witnessing = ledger.witnessing.unwrap();
    assert_eq!((witnessing.quorum, witnessing.unwitnessed_max), (2, Duration::from_mins(15)));
    let [first, second] = witnessing.witnesses.as_slice() else { panic!("{witnessing:?}") };
    assert_eq!(first.key.to_string(), key("giamsat.example.vn", 1));
    assert_eq!((second.key.to_string(), second.authorities.len()), (other, 1));
    let more = format!("{ONE}  witness_quorum: 1\n  unwitnessed_max: 30s\n");
    let witnessing = fixture(&more).load().unwrap().gateway.ledger.witnessing.unwrap();
    assert_eq!((witnessing.quorum, witnessing.unwitnessed_max), (1, Duration::from_secs(30)));
    assert_eq!(fixture("").load().unwrap().gateway.ledger.witnessing, None);
}

#[test]
fn what_cannot_work_is_told() {
    check(
        "  publish: {entries: true}\n",
        expect![[r#"
        gateway.yaml:14:12: found a mapping without `listen`, expected key `listen`
    "#]],
    );
    check(
        "  witness_quorum: 1\n",
        expect![[r#"
        gateway.yaml:14:19: found `witness_quorum` without `witnesses`, expected key `witnesses`
    "#]],
    );
    check(
        "  witnesses: []\n",
        expect![[r#"
        gateway.yaml:14:14: found an empty list, expected at least one item
    "#]],
    );
    check(
        &format!("{ONE}  witness_quorum: 2\n"),
        expect![[r#"
        gateway.yaml:15:19: found `2`, expected a whole number from 1 to 1
    "#]],
    );
    check(
        &format!("{ONE}  unwitnessed_max: 0s\n"),
        expect![[r#"
        gateway.yaml:15:20: found `0s`, expected a duration from 1s to 7d
    "#]],
    );
    check(
        &ONE.replace("http:", "ftp:"),
        expect![[r#"
        gateway.yaml:14:21: found `ftp://giamsat.example.vn:8480`, expected a URL such as `http://giamsat.example.gov.vn:8480`; URL begins neither with `http://` nor with `https://`
    "#]],
    );
    check(
        &ONE.replace("http:", "https:"),
        expect![[r#"
        gateway.yaml:14:21: found a URL with https, without authorities, expected `authorities` that vouch for its certificate
    "#]],
    );
    check(
        &ONE.replace(".pub}", ".pub, authorities: [pki/ca.crt]}"),
        expect![[r#"
        gateway.yaml:14:21: found a URL without TLS, with authorities, expected a URL with https
    "#]],
    );
    check(
        &ONE.replace("giamsat.pub", "pki/ca.crt"),
        expect![[r#"
        gateway.yaml:14:60: found a file without such a key (verifying key is not of the form `<name>+<8 hex digits>+<base64>`), expected the public key of a witness, as `giaolien witness` prints it first
    "#]],
    );
    let twice = ONE.replace("[{", "[{url: 'http://a', key: giamsat.pub}, {");
    check(
        &twice,
        expect![[r#"
        gateway.yaml:14:52: found the key of `giamsat.example.vn` a second time, expected each witness once
    "#]],
    );
    check(
        "  previous_key: pki/ca.crt\n",
        expect![[r#"
        gateway.yaml:14:17: found a file without a private key, expected a private key in PEM
    "#]],
    );
}
