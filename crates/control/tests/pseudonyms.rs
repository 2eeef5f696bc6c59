//! The keys under which persons stand in the ledger, and the index: what is told of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "a part of the support is used")]

mod support;

use expect_test::{Expect, expect};
use support::{Fixture, GATEWAY};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

fn check(more: &str, key: &str, expected: Expect) {
    let fixture = Fixture::new();
    fixture.write("pki/2026.key", key);
    fixture.write("gateway.yaml", format!("{GATEWAY}{more}"));
    fixture.check(&expected);
}

#[test]
fn keys_are_read_from_their_files() {
    let fixture = Fixture::new();
    fixture.write("pki/2026.key", KEY);
    let more = "  index: ../index\n  pseudonyms: [{period: '2026', key: pki/2026.key}]\n";
    fixture.write("gateway.yaml", format!("{GATEWAY}{more}"));
    let ledger = fixture.load().unwrap().gateway.ledger;
    assert!(!ledger.pseudonyms.is_empty());
    assert!(ledger.index.as_ref().unwrap().ends_with("index"));
    let shown = format!("{ledger:?}");
    assert!(!shown.contains("0102") && !shown.contains("[0, 1, 2"), "{shown}");
}

#[test]
fn a_key_that_is_none_is_told_and_not_shown() {
    let one = "  pseudonyms: [{period: '2026', key: pki/2026.key}]\n";
    check(
        one,
        KEY,
        expect![[r#"
        good
    "#]],
    );
    check(
        one,
        "000102zz\n",
        expect![[r#"
        gateway.yaml:14:38: found a file without such a key, expected a random key of 64 hexadecimal digits; make one with `openssl rand -hex 32`
    "#]],
    );
    check(
        one,
        &"00".repeat(32),
        expect![[r#"
        gateway.yaml:14:38: found a file without such a key, expected a random key of 64 hexadecimal digits; make one with `openssl rand -hex 32`
    "#]],
    );
    check(
        "  pseudonyms: [{period: '2026', key: pki/2025.key}]\n",
        KEY,
        expect![[r#"
        gateway.yaml:14:38: found `pki/2025.key`, which cannot be read (No such file or directory (os error 2)), expected a readable file; relative paths begin at the configuration folder
    "#]],
    );
    check(
        "  pseudonyms: [{period: '20 26', kay: pki/2026.key}]\n",
        KEY,
        expect![[r#"
        gateway.yaml:14:25: found `20 26`, expected 1 to 64 letters, digits, `.`, `_` or `-`
        gateway.yaml:14:34: found unknown key `kay`, expected `period` or `key`; did you mean `key`?
    "#]],
    );
    let twice = "  pseudonyms:\n    - {period: '2026', key: pki/2026.key}\n    \
                 - {period: '2026', key: pki/2026.key}\n";
    check(
        twice,
        KEY,
        expect![[r#"
        gateway.yaml:16:7: found period `2026` a second time, expected each period once
    "#]],
    );
}

#[test]
fn keys_and_index_are_not_in_the_ledger() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.root.path().join("ledger")).unwrap();
    std::fs::write(fixture.root.path().join("ledger/2026.key"), KEY).unwrap();
    let more = "  pseudonyms: [{period: '2026', key: ../ledger/2026.key}]\n";
    fixture.write("gateway.yaml", format!("{GATEWAY}{more}"));
    fixture.check(&expect![[r#"
        gateway.yaml:14:38: found a key in the ledger's folder, expected a key outside of it; keep it where only the gateway can read it
    "#]]);
    fixture.write("gateway.yaml", format!("{GATEWAY}  index: ../ledger/index\n"));
    fixture.check(&expect![[r#"
        gateway.yaml:14:10: found a path in the ledger's folder, expected a folder beside the ledger's
    "#]]);
}
