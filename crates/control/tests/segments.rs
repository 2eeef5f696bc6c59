//! What becomes of full segments: sealing, archive, terms, and what is told of each mistake.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "a part of the support is used")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use expect_test::{Expect, expect};
use support::{Fixture, GATEWAY};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
const DAY: u64 = 24 * 60 * 60;

fn fixture(more: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.write("pki/a.key", KEY);
    fixture.write("pki/short.key", "AQEB\n");
    fixture.write("../ledger/inside.key", KEY);
    fixture.write("../archive/inside.key", KEY);
    fixture.write("../file", "");
    fixture.write("gateway.yaml", format!("{GATEWAY}{more}"));
    fixture
}

fn check(more: &str, expected: Expect) {
    fixture(more).check(&expected);
}

const ALL: &str = "  \
sealing: {keys: [{id: 2026-a, file: pki/a.key}], seal_with: 2026-a, level: 9}
  archive: {directory: ../archive, after: 90d}
  retention:
    default: 400d
    services:
      - {service: vn.population.v1.PopulationService, term: 3650d}
      - {service: vn.land.v1.LandService, term: forever}
";

#[test]
fn all_of_it_is_read() {
    let config = fixture(ALL).load().unwrap();
    let ledger = config.gateway.ledger;
    let sealing = ledger.sealing.as_ref().unwrap();
    assert_eq!((sealing.seal_with.as_deref(), sealing.level), (Some("2026-a"), 9));
    let archive = ledger.archive.as_ref().unwrap();
    assert!(archive.directory.ends_with("archive"));
    assert_eq!(archive.after, Duration::from_secs(90 * DAY));
    assert_eq!(ledger.retention.default, Duration::from_secs(400 * DAY));
    let term = |name: &str| ledger.retention.services[name];
    assert_eq!(term("vn.population.v1.PopulationService"), Duration::from_secs(3650 * DAY));
    assert_eq!(term("vn.land.v1.LandService"), Duration::MAX);
    let shown = format!("{ledger:?}");
    assert!(!shown.contains("AQEB"), "{shown}");
    let unknown = "`ledger.retention`: no node offers the service `vn.land.v1.LandService`";
    assert!(config.notes.iter().any(|note| note == unknown), "{:?}", config.notes);
}

#[test]
fn without_anything_nothing_is_sealed_and_terms_are_a_year() {
    let ledger = fixture("").load().unwrap().gateway.ledger;
    assert_eq!((ledger.sealing, ledger.archive), (None, None));
    assert_eq!(ledger.retention.default, Duration::from_secs(365 * DAY));
    let ledger = fixture("  sealing: {}\n").load().unwrap().gateway.ledger;
    let sealing = ledger.sealing.unwrap();
    assert!(sealing.keys.is_empty() && sealing.seal_with.is_none());
}

#[test]
fn an_archive_that_is_not_there_is_a_note() {
    let more = "  sealing: {}\n  archive: {directory: ../mnt/away, after: 90d}\n";
    let notes = fixture(more).load().unwrap().notes;
    let told = |note: &String| note.starts_with("`ledger.archive.directory`: nothing is archived");
    assert!(notes.iter().any(told), "{notes:?}");
}

#[test]
fn the_whereabouts_are_found_whatever_else_is_wrong() {
    let fixture = fixture(ALL);
    let text = std::fs::read_to_string(fixture.folder().join("gateway.yaml")).unwrap();
    fixture.write("gateway.yaml", text.replace("listen:", "lisen:"));
    let found = control::whereabouts(&fixture.folder()).unwrap();
    assert!(found.directory.ends_with("ledger"));
    assert!(found.archive.unwrap().ends_with(PathBuf::from("archive")));
    assert_eq!(found.keys.len(), 1);
    fixture.write("gateway.yaml", "listen: 127.0.0.1:0\n");
    assert!(control::whereabouts(&fixture.folder()).is_err());
}

#[test]
fn keys_that_cannot_be_used_are_told() {
    let sealing = |text: &str| format!("  sealing: {{{text}}}\n");
    check(
        &sealing("keys: [{id: a, file: pki/short.key}], seal_with: a"),
        expect![[r#"
        gateway.yaml:14:34: found a file without such a key, expected a random key of 32 bytes in base64 on one line; make one with `openssl rand -base64 32`
    "#]],
    );
    check(
        &sealing("keys: [{id: a, file: pki/none.key}], seal_with: a"),
        expect![[r#"
        gateway.yaml:14:34: found `pki/none.key`, which cannot be read (No such file or directory (os error 2)), expected a readable file; relative paths begin at the configuration folder
    "#]],
    );
    check(
        &sealing("keys: [{id: A b, file: pki/a.key}], seal_with: b"),
        expect![[r#"
        gateway.yaml:14:25: found `A b`, expected 1 to 64 of `a-z`, `0-9`, `-`, `.`, `_`
    "#]],
    );
    check(
        &sealing("keys: [{id: a, file: pki/a.key}], seal_with: b"),
        expect![[r#"
        gateway.yaml:14:58: found `b`, expected the id of a key under `keys`
    "#]],
    );
    check(
        &sealing("keys: [{id: a, file: pki/a.key}]"),
        expect![[r#"
        gateway.yaml:14:12: found `keys` without `seal_with`, expected `seal_with`, the id of the key to seal with
    "#]],
    );
    check(
        &sealing("seal_with: b"),
        expect![[r#"
        gateway.yaml:14:24: found `b`, expected the id of a key under `keys`
    "#]],
    );
    let twice = "keys: [{id: a, file: pki/a.key}, {id: a, file: pki/a.key}], seal_with: a";
    check(
        &sealing(twice),
        expect![[r#"
        gateway.yaml:14:46: found key `a` a second time, expected each key under an id of its own
    "#]],
    );
    check(
        &sealing("keys: [{id: a, file: ../ledger/inside.key}], seal_with: a"),
        expect![[r#"
        gateway.yaml:14:20: found a key in the ledger's folder, expected a key outside of it; keep it where only the gateway can read it
    "#]],
    );
    check(
        &sealing("level: 30"),
        expect![[r#"
        gateway.yaml:14:20: found `30`, expected a whole number from 1 to 22
    "#]],
    );
    check(
        "  sealing:\n",
        expect![[r#"
        gateway.yaml:14:10: found nothing, expected a mapping; write `sealing: {}` to compress segments without encrypting them
    "#]],
    );
    let archived = "  archive: {directory: ../archive, after: 1d}\n";
    let key = sealing("keys: [{id: a, file: ../archive/inside.key}], seal_with: a");
    check(
        &format!("{key}{archived}"),
        expect![[r#"
        gateway.yaml:14:20: found a key in the archive's folder, expected a key outside of it; keep it where only the gateway can read it
    "#]],
    );
}

#[test]
fn an_archive_has_a_place_of_its_own() {
    let archive =
        |place: &str| format!("  sealing: {{}}\n  archive: {{directory: {place}, after: 1d}}\n");
    check(
        &archive("../ledger"),
        expect![[r#"
        gateway.yaml:15:12: found a path in the ledger's folder, expected a folder beside the ledger's, for this ledger alone
    "#]],
    );
    check(
        &archive("../ledger/archive"),
        expect![[r#"
        gateway.yaml:15:12: found a path in the ledger's folder, expected a folder beside the ledger's, for this ledger alone
    "#]],
    );
    check(
        &archive(".."),
        expect![[r#"
        gateway.yaml:13:8: found a key in the archive's folder, expected a key outside of it; keep it where only the gateway can read it
    "#]],
    );
    check(
        &archive("../file"),
        expect![[r#"
        gateway.yaml:15:12: found a path that is not a folder, expected a folder beside the ledger's, for this ledger alone
    "#]],
    );
    check(
        &format!("{}  index: ../archive/index\n", archive("../archive")),
        expect![[r#"
        gateway.yaml:15:12: found a folder in or around the index's, expected a folder beside the ledger's, for this ledger alone
    "#]],
    );
    check(
        "  archive: {directory: ../archive, after: 1d}\n",
        expect![[r#"
        gateway.yaml:14:12: found `archive` without `sealing`, expected `sealing` beside it; only sealed segments are archived, and terms are written as they are sealed
    "#]],
    );
    check(
        "  sealing: {}\n  archive: {directory: ../archive, after: 1w}\n",
        expect![[r#"
        gateway.yaml:15:43: found `1w`, expected a duration from 1s to 36600d; the units are `ms`, `s`, `m`, `h` or `d`
    "#]],
    );
    check(
        "  sealing: {}\n  archive: {after: 1d}\n",
        expect![[r#"
        gateway.yaml:15:12: found a mapping without `directory`, expected key `directory`
    "#]],
    );
}

#[test]
fn terms_that_cannot_hold_are_told() {
    let retention = |text: &str| {
        let sealed = "  sealing: {}\n  archive: {directory: ../archive, after: 90d}\n";
        format!("{sealed}  retention: {{{text}}}\n")
    };
    check(
        &retention("default: 30d"),
        expect![[r#"
        gateway.yaml:16:24: found a default term shorter than `archive.after`, expected a term as long as `archive.after` at least; entries are removed from the archive only
    "#]],
    );
    check(
        &retention("services: [{service: a.B, term: 30d}]"),
        expect![[r#"
        gateway.yaml:16:47: found a term shorter than `archive.after`, expected a term as long as `archive.after` at least; entries are removed from the archive only
    "#]],
    );
    check(
        &retention("services: [{service: a.B, term: 300d}, {service: a.B, term: 400d}]"),
        expect![[r#"
            gateway.yaml:16:64: found service `a.B` a second time, expected each service once
        "#]],
    );
    check(
        &retention("services: [{service: B, term: soon}]"),
        expect![[r#"
        gateway.yaml:16:36: found `B`, expected a full service name, such as `vn.population.v1.PopulationService`
        gateway.yaml:16:45: found `soon`, expected a duration from 1s to 36600d, or `forever`
    "#]],
    );
    check(
        "  retention: {default: 30d}\n",
        expect![[r#"
        gateway.yaml:14:14: found `retention` without `sealing`, expected `sealing` beside it; only sealed segments are archived, and terms are written as they are sealed
    "#]],
    );
    // A default that nobody wrote is as long as it has to be.
    let late = "  sealing: {}\n  archive: {directory: ../archive, after: 400d}\n";
    check(
        &format!("{late}  retention: {{services: [{{service: a.B, term: 500d}}]}}\n"),
        expect![[r#"
            good
        "#]],
    );
    check(
        late,
        expect![[r#"
        good
    "#]],
    );
}
