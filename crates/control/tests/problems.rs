//! What is said about each way in which a configuration can be wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test has no callers")]

mod support;

use expect_test::{Expect, expect};
use support::{AGREEMENTS, Fixture, GATEWAY, REGISTRY, check_files, shown};

fn check_registry(content: &str, expected: Expect) {
    let fixture = Fixture::new();
    fixture.remove("agreements");
    fixture.write("registry/all.yaml", content);
    fixture.check(&expected);
}

fn check_gateway(from: &str, to: &str, expected: Expect) {
    assert!(GATEWAY.contains(from));
    check_files(&[("gateway.yaml", &GATEWAY.replace(from, to))], &expected);
}

fn check_agreement(from: &str, to: &str, expected: Expect) {
    assert!(AGREEMENTS.contains(from));
    check_files(&[("agreements/all.yaml", &AGREEMENTS.replace(from, to))], &expected);
}

#[test]
fn the_fixture_is_good() {
    check_files(
        &[],
        &expect![[r#"
            good
        "#]],
    );
}

#[test]
fn unknown_keys() {
    check_registry(
        "members: [{id: G09, name: Bộ Nội vụ, partent: G01}]",
        expect![[r#"
            registry/all.yaml:1:38: found unknown key `partent`, expected `id`, `name`, `parent`, `classes` or `attributes`; did you mean `parent`?
        "#]],
    );
    check_registry(
        "member: []",
        expect![[r#"
            registry/all.yaml:1:1: found unknown key `member`, expected `classes`, `members`, `systems`, `nodes`, `purposes` or `zones`; did you mean `members`?
        "#]],
    );
    check_registry(
        "systens: []",
        expect![[r#"
            registry/all.yaml:1:1: found unknown key `systens`, expected `classes`, `members`, `systems`, `nodes`, `purposes` or `zones`; did you mean `systems`?
        "#]],
    );
    check_agreement(
        "legal_basis",
        "legal_bais",
        expect![[r#"
            agreements/all.yaml:8:5: found unknown key `legal_bais`, expected `id`, `consumer`, `node`, `service`, `methods`, `fields`, `request_fields`, `purposes`, `legal_basis`, `mode`, `state`, `valid_from`, `valid_until`, `quota` or `subjects`; did you mean `legal_basis`?
        "#]],
    );
    check_gateway(
        "listen:",
        "zzz: 1\nlisten:",
        expect![[r#"
            gateway.yaml:1:1: found unknown key `zzz`, expected `listen`, `workers`, `tls`, `upstream`, `ledger`, `admin`, `metrics`, `events`, `tokens`, `utc_offset`, `reload` or `limits`
        "#]],
    );
    check_gateway(
        "ledger:\n",
        "limits: {conections_max: 1}\nledger:\n",
        expect![[r#"
            gateway.yaml:10:10: found unknown key `conections_max`, expected `connections_max`, `streams_per_connection_max`, `calls_in_flight_max`, `header_size_max`, `handshake_time_max`, `idle_time_max`, `deadline_max`, `drain_time_max`, `connect_time_max` or `upstream_connections_max`; did you mean `connections_max`?
        "#]],
    );
}

#[test]
fn missing_keys() {
    check_registry(
        "members: [{name: Bộ Nội vụ}]",
        expect![[r#"
            registry/all.yaml:1:11: found a mapping without `id`, expected key `id`
        "#]],
    );
    check_registry(
        "purposes: [{}]",
        expect![[r#"
            registry/all.yaml:1:12: found a mapping without `code`, expected key `code`
            registry/all.yaml:1:12: found a mapping without `name`, expected key `name`
        "#]],
    );
    check_agreement(
        "    valid_until: 2027-12-31\n",
        "",
        expect![[r#"
            agreements/all.yaml:2:5: found a mapping without `valid_until`, expected key `valid_until`
        "#]],
    );
    check_files(
        &[("gateway.yaml", "")],
        &expect![[r#"
            gateway.yaml:1:1: found an empty file, expected the gateway's settings
        "#]],
    );
    check_files(
        &[("gateway.yaml", "listen: 0.0.0.0:1")],
        &expect![[r#"
            gateway.yaml:1:1: found a mapping without `ledger`, expected key `ledger`
            gateway.yaml:1:1: found a mapping without `tls`, expected key `tls`
            gateway.yaml:1:1: found a mapping without `upstream`, expected key `upstream`
        "#]],
    );
}

#[test]
fn duplicate_keys() {
    check_registry(
        "members: []\nmembers: []",
        expect![[r#"
            registry/all.yaml:2:1: found key `members` a second time, expected each key once; the first stands in line 1
        "#]],
    );
    check_agreement(
        "state: active",
        "state: active\n    state: ended",
        expect![[r#"
            agreements/all.yaml:11:5: found key `state` a second time, expected each key once; the first stands in line 10
        "#]],
    );
}

#[test]
fn wrong_types() {
    check_registry(
        "members: {id: G09}",
        expect![[r#"
            registry/all.yaml:1:10: found a mapping, expected a list
        "#]],
    );
    check_registry(
        "members:",
        expect![[r#"
            registry/all.yaml:1:8: found nothing, expected a list; write a value, or remove the key
        "#]],
    );
    check_registry(
        "- members",
        expect![[r#"
            registry/all.yaml:1:1: found a list, expected a mapping
        "#]],
    );
    check_registry(
        "members: [G09]",
        expect![[r#"
            registry/all.yaml:1:11: found `G09`, expected a mapping
        "#]],
    );
    check_registry(
        "members: [{id: [G09], name: {a: b}}]",
        expect![[r#"
            registry/all.yaml:1:16: found a list, expected a single value
            registry/all.yaml:1:29: found a mapping, expected a single value
        "#]],
    );
    check_registry(
        "members: [{id: G09, name: ~}]",
        expect![[r#"
            registry/all.yaml:1:27: found nothing, expected a single value; write a value, or remove the key
        "#]],
    );
    check_registry(
        "members: [{id: G09, name: '  '}]",
        expect![[r#"
            registry/all.yaml:1:27: found `  `, expected text of 1 to 1024 bytes
        "#]],
    );
    check_registry(
        "[a]: b",
        expect![[r#"
            registry/all.yaml:1:1: found a key that is not a word, expected a word as key
        "#]],
    );
}

#[test]
fn wrong_identifiers() {
    check_registry(
        "members: [{id: BNV, name: Bộ Nội vụ}]",
        expect![[r#"
            registry/all.yaml:1:16: found `BNV`, expected an agency code such as `G09.05`, a code from `Z01` to `Z99`, or a business number of 10 or 13 digits; at most 35 characters
        "#]],
    );
    check_registry(
        "members: [{id: g09.05, name: Bộ Nội vụ}]",
        expect![[r#"
            registry/all.yaml:1:16: found `g09.05`, expected an agency code such as `G09.05`, a code from `Z01` to `Z99`, or a business number of 10 or 13 digits; at most 35 characters; did you mean `G09.05`?
        "#]],
    );
    check_registry(
        "purposes: [{code: bổ nhiệm, name: Bổ nhiệm}]",
        expect![[r#"
            registry/all.yaml:1:19: found `bổ nhiệm`, expected 1 to 64 letters, digits, `.`, `_` or `-`
        "#]],
    );
}

#[test]
fn durations_and_sizes() {
    check_agreement(
        "per: 1s",
        "per: 1",
        expect![[r#"
            agreements/all.yaml:13:31: found `1`, expected a duration from 1ms to 366d; add a unit: `1s`
        "#]],
    );
    check_agreement(
        "per: 1s",
        "per: 1 phút",
        expect![[r#"
            agreements/all.yaml:13:31: found `1 phút`, expected a duration from 1ms to 366d; the units are `ms`, `s`, `m`, `h` or `d`
        "#]],
    );
    check_agreement(
        "per: 1s",
        "per: 0s",
        expect![[r#"
            agreements/all.yaml:13:31: found `0s`, expected a duration from 1ms to 366d
        "#]],
    );
    check_gateway(
        "ledger:\n",
        "limits: {header_size_max: 16384}\nledger:\n",
        expect![[r#"
            gateway.yaml:10:27: found `16384`, expected a size from 1KiB to 1MiB; add a unit: `16KiB`
        "#]],
    );
    check_gateway(
        "ledger:\n",
        "limits: {header_size_max: 16KB}\nledger:\n",
        expect![[r#"
            gateway.yaml:10:27: found `16KB`, expected a size from 1KiB to 1MiB; the units are `B`, `KiB`, `MiB` or `GiB`
        "#]],
    );
    check_gateway(
        "ledger:\n",
        "limits: {drain_time_max: 2h}\nledger:\n",
        expect![[r#"
            gateway.yaml:10:26: found `2h`, expected a duration from 1ms to 1h
        "#]],
    );
    check_gateway(
        "ledger:\n",
        "workers: 0\nledger:\n",
        expect![[r#"
            gateway.yaml:10:10: found `0`, expected a whole number from 1 to 1024
        "#]],
    );
}

#[test]
fn dates() {
    check_agreement(
        "2027-12-31",
        "31/12/2027",
        expect![[r#"
            agreements/all.yaml:12:18: found `31/12/2027`, expected a date such as `2026-01-31`, or a time such as `2026-01-31T08:00:00+07:00`, since 1970; did you mean `2027-12-31`?
        "#]],
    );
    check_agreement(
        "2027-12-31",
        "2027-02-30",
        expect![[r#"
            agreements/all.yaml:12:18: found `2027-02-30`, expected a date such as `2026-01-31`, or a time such as `2026-01-31T08:00:00+07:00`, since 1970
        "#]],
    );
    check_agreement(
        "2027-12-31",
        "2025-12-31",
        expect![[r#"
            agreements/all.yaml:12:18: found an end before the start, expected a time after `valid_from`
        "#]],
    );
    check_agreement(
        "2027-12-31",
        "2027-12-31T17:30:00+07:00",
        expect![[r#"
            good
        "#]],
    );
}

#[test]
fn closed_lists_of_words() {
    check_agreement(
        "by_default",
        "default",
        expect![[r#"
            agreements/all.yaml:9:11: found `default`, expected `by_default` or `by_agreement`; did you mean `by_default`?
        "#]],
    );
    check_agreement(
        "active",
        "actve",
        expect![[r#"
            agreements/all.yaml:10:12: found `actve`, expected `draft`, `active`, `suspended` or `ended`; did you mean `active`?
        "#]],
    );
    check_agreement(
        "[VerifyPerson]",
        "every",
        expect![[r#"
            agreements/all.yaml:6:14: found `every`, expected `all`, or a list of method names
        "#]],
    );
    check_agreement(
        "[VerifyPerson]",
        "[]",
        expect![[r#"
            agreements/all.yaml:6:14: found an empty list, expected at least one item
        "#]],
    );
    check_agreement(
        "{member: G09}",
        "{}",
        expect![[r#"
            agreements/all.yaml:3:15: found neither `member`, `system` nor `class`, expected one of them
        "#]],
    );
    check_agreement(
        "{member: G09}",
        "{member: G09, system: hrm}",
        expect![[r#"
            agreements/all.yaml:3:15: found both `member` and `system`, expected one of them
        "#]],
    );
    check_agreement(
        "{calls: 100, per: 1s}",
        "{calls: 100, per: 1s, burst: 0}",
        expect![[r#"
            agreements/all.yaml:13:42: found `0`, expected a whole number from 1 to 4294967295
        "#]],
    );
}

#[test]
fn unknown_references() {
    check_agreement(
        "G09",
        "G10",
        expect![[r#"
            agreements/all.yaml:3:24: found `G10`, expected a registered member
        "#]],
    );
    check_agreement(
        "{member: G09}",
        "{system: hmr}",
        expect![[r#"
            agreements/all.yaml:3:24: found `hmr`, expected a registered system
        "#]],
    );
    check_agreement(
        "node: population",
        "node: popultion",
        expect![[r#"
            agreements/all.yaml:4:11: found `popultion`, expected a registered node; did you mean `population`?
        "#]],
    );
    check_agreement(
        "PopulationService",
        "PopulationServices",
        expect![[r#"
            agreements/all.yaml:5:14: found `vn.population.v1.PopulationServices`, expected a registered service of node `population`; did you mean `vn.population.v1.PopulationService`?
        "#]],
    );
    check_agreement(
        "[VerifyPerson]",
        "[LookUpPerson, VerifyPersons]",
        expect![[r#"
            agreements/all.yaml:6:29: found `VerifyPersons`, expected a registered method of the service; did you mean `VerifyPerson`?
        "#]],
    );
    check_agreement(
        "[appointment]",
        "[appointment, apointment]",
        expect![[r#"
            agreements/all.yaml:7:29: found `apointment`, expected a registered purpose; did you mean `appointment`?
        "#]],
    );
    check_registry(
        &REGISTRY.replace("parent: G09", "parent: G08").replace("member: G09.05", "member: X"),
        expect![[r#"
            registry/all.yaml:4:51: found `G08`, expected a registered member; did you mean `G01`?
            registry/all.yaml:8:13: found `X`, expected a registered member
        "#]],
    );
    check_files(
        &[(
            "routes.yaml",
            "routes:\n- service: vn.population.v1.PopulationService\n  method: X\n- service: a.B",
        )],
        &expect![[r#"
            routes.yaml:3:11: found `X`, expected a registered method of the service
            routes.yaml:4:12: found `a.B`, expected a registered service
        "#]],
    );
}

#[test]
fn duplicate_ids() {
    check_files(
        &[("registry/more.yaml", "members:\n  - name: Bộ Nội vụ\n    id: G09\n")],
        &expect![[r#"
            registry/more.yaml:3:9: found `G09` a second time, expected one member with this id; the first stands at registry/all.yaml:3
        "#]],
    );
    check_files(
        &[("agreements/more.yaml", AGREEMENTS)],
        &expect![[r#"
            agreements/more.yaml:2:9: found `a1` a second time, expected one agreement with this id; the first stands at agreements/all.yaml:2
        "#]],
    );
    check_registry(
        "purposes: [{code: a, name: A}, {code: a, name: B}]",
        expect![[r#"
            registry/all.yaml:1:39: found `a` a second time, expected one purpose with this id; the first stands at registry/all.yaml:1
        "#]],
    );
}

#[test]
fn cycles() {
    check_registry(
        "members:\n- {id: G01, name: A, parent: G02}\n- {id: G02, name: B, parent: G01}",
        expect![[r#"
            registry/all.yaml:2:30: found a member that stands below this one, expected a tree
        "#]],
    );
}

#[test]
fn services_have_one_node_and_methods_one_place() {
    let node = "{id: ID, name: N, provider: G01, endpoints: ['a:1'], services: [S]}";
    let service = "{name: a.B, methods: [C, C]}";
    let members = "members: [{id: G01, name: A}]\nnodes:\n";
    let twice = node.replace("ID", "x").replace('S', service);
    check_registry(
        &format!("{members}- {twice}"),
        expect![[r#"
            registry/all.yaml:3:91: found method `C` a second time, expected each method once
        "#]],
    );
    let one = node.replace('S', "{name: a.B, methods: [C]}");
    let (x, y) = (one.replace("ID", "x"), one.replace("ID", "y"));
    check_registry(
        &format!("{members}- {x}\n- {y}"),
        expect![[r#"
            registry/all.yaml:4:66: found `a.B`, which another node offers already, expected a service with one authoritative node
        "#]],
    );
}

#[test]
fn what_refers_to_a_broken_object_is_not_reported() {
    // The node's provider is missing, and so is a purpose's code.
    let registry = REGISTRY.replace("    provider: G01\n", "").replace("{code: appointment, ", "{");
    check_files(
        &[("registry/all.yaml", &registry)],
        &expect![[r#"
            registry/all.yaml:11:5: found a mapping without `provider`, expected key `provider`
            registry/all.yaml:18:5: found a mapping without `code`, expected key `code`
        "#]],
    );
    // A whole file is malformed.
    check_files(
        &[("registry/all.yaml", "members: [")],
        &expect![[r#"
            registry/all.yaml:2:1: found malformed YAML (while parsing a node, did not find expected node content), expected YAML 1.2
        "#]],
    );
    // A list stands under a misspelt key.
    check_files(
        &[("registry/all.yaml", &REGISTRY.replace("members:", "member:"))],
        &expect![[r#"
            registry/all.yaml:1:1: found unknown key `member`, expected `classes`, `members`, `systems`, `nodes`, `purposes` or `zones`; did you mean `members`?
        "#]],
    );
    // Broken references are reported although other fields are broken.
    check_files(
        &[("agreements/all.yaml", &AGREEMENTS.replace("2027-12-31", "soon").replace("G09", "G10"))],
        &expect![[r#"
            agreements/all.yaml:3:24: found `G10`, expected a registered member
            agreements/all.yaml:12:18: found `soon`, expected a date such as `2026-01-31`, or a time such as `2026-01-31T08:00:00+07:00`, since 1970
        "#]],
    );
}

#[test]
fn several_problems_at_once_in_order() {
    check_files(
        &[
            ("gateway.yaml", &GATEWAY.replace("listen: 127.0.0.1:0", "listen: localhost:8443")),
            ("registry/z.yaml", "purposes:\n  - {code: b, nme: B}\n  - {code: c}\n"),
            ("agreements/all.yaml", &AGREEMENTS.replace("active", "on").replace("G09", "G90")),
        ],
        &expect![[r#"
            agreements/all.yaml:3:24: found `G90`, expected a registered member
            agreements/all.yaml:10:12: found `on`, expected `draft`, `active`, `suspended` or `ended`
            gateway.yaml:1:9: found `localhost:8443`, expected an IP address and a port, such as `0.0.0.0:8443`
            registry/z.yaml:2:15: found unknown key `nme`, expected `code` or `name`; did you mean `name`?
            registry/z.yaml:3:5: found a mapping without `name`, expected key `name`
        "#]],
    );
}

#[test]
fn columns_count_characters() {
    check_registry(
        "members: [{name: Bộ Nội vụ, partent: ơ, id: G09}]",
        expect![[r#"
            registry/all.yaml:1:29: found unknown key `partent`, expected `id`, `name`, `parent`, `classes` or `attributes`; did you mean `parent`?
        "#]],
    );
}

#[test]
fn malformed_yaml() {
    check_registry(
        "members:\n\t- id: G09",
        expect![[r#"
            registry/all.yaml:2:2: found malformed YAML (tabs disallowed within this context (block indentation)), expected YAML 1.2; indent with spaces, YAML takes no tabs
        "#]],
    );
    check_registry(
        "members: [",
        expect![[r#"
            registry/all.yaml:2:1: found malformed YAML (while parsing a node, did not find expected node content), expected YAML 1.2
        "#]],
    );
    check_registry(
        "members: 'abc",
        expect![[r#"
            registry/all.yaml:1:10: found malformed YAML (while scanning a quoted scalar, found unexpected end of stream), expected YAML 1.2
        "#]],
    );
    check_registry(
        "a: b\n---\nc: d",
        expect![[r#"
            registry/all.yaml:2:1: found a second YAML document, expected one document per file
        "#]],
    );
    check_registry(
        "members: [{id: !x G09, name: !!str A}]",
        expect![[r#"
            registry/all.yaml:1:16: found a YAML tag, expected a value without a tag
            registry/all.yaml:1:30: found a YAML tag, expected a value without a tag
        "#]],
    );
    check_registry(
        "members: !x []",
        expect![[r#"
            registry/all.yaml:1:10: found a YAML tag, expected a value without a tag
        "#]],
    );
}

#[test]
fn aliases_and_deep_nesting() {
    check_registry(
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmembers: *c",
        expect![[r#"
            registry/all.yaml:1:1: found unknown key `a`, expected `classes`, `members`, `systems`, `nodes`, `purposes` or `zones`
            registry/all.yaml:2:1: found unknown key `b`, expected `classes`, `members`, `systems`, `nodes`, `purposes` or `zones`
            registry/all.yaml:2:8: found a YAML alias, expected the value itself; write the value out
            registry/all.yaml:2:12: found a YAML alias, expected the value itself; write the value out
            registry/all.yaml:3:1: found unknown key `c`, expected `classes`, `members`, `systems`, `nodes`, `purposes` or `zones`
            registry/all.yaml:3:8: found a YAML alias, expected the value itself; write the value out
            registry/all.yaml:3:12: found a YAML alias, expected the value itself; write the value out
            registry/all.yaml:4:10: found a YAML alias, expected the value itself; write the value out
        "#]],
    );
    check_registry(
        &format!("members: {}", "[".repeat(1000)),
        expect![[r#"
            registry/all.yaml:1:265: found malformed YAML (recursion limit exceeded), expected YAML 1.2
        "#]],
    );
    check_registry(
        &"- ".repeat(100_000),
        expect![[r#"
            registry/all.yaml:1:33: found deeper nesting, expected at most 16 levels of nesting
        "#]],
    );
}

#[test]
fn empty_files_hold_nothing() {
    check_files(
        &[
            ("registry/empty.yaml", ""),
            ("agreements/comments.yaml", "# nothing yet\n"),
            ("routes.yaml", "---\n"),
        ],
        &expect![[r#"
            good
        "#]],
    );
}

#[test]
fn encodings() {
    check_files(
        &[("registry/all.yaml", &format!("\u{feff}{REGISTRY}"))],
        &expect![[r#"
            good
        "#]],
    );
    check_registry(
        "\u{feff}partent: ơ",
        expect![[r#"
            registry/all.yaml:1:1: found unknown key `partent`, expected `classes`, `members`, `systems`, `nodes`, `purposes` or `zones`
        "#]],
    );
    check_registry(
        "members: []\n\0systems: x",
        expect![[r#"
            registry/all.yaml:2:1: found control character U+0000, expected text without control characters
        "#]],
    );
    let fixture = Fixture::new();
    fixture.write("registry/tcvn.yaml", b"members:\n  - {id: G09, name: B\xe9 N\xe9i v\xf4}\n");
    fixture.write("registry/utf16.yaml", b"\xff\xfem\0");
    fixture.check(&expect![[r#"
        registry/tcvn.yaml:2:22: found bytes that are not UTF-8, expected UTF-8 text; save the file as UTF-8
        registry/utf16.yaml:1:1: found bytes that are not UTF-8, expected UTF-8 text; save the file as UTF-8
    "#]]);
}

#[test]
fn files_that_are_missing_or_of_another_kind() {
    check_gateway(
        "key: pki/gateway.key",
        "key: pki/gw.key",
        expect![[r#"
            gateway.yaml:4:8: found `pki/gw.key`, which cannot be read (No such file or directory (os error 2)), expected a readable file; relative paths begin at the configuration folder
        "#]],
    );
    check_gateway(
        "key: pki/gateway.key",
        "key: pki",
        expect![[r#"
            gateway.yaml:4:8: found `pki`, which cannot be read (not a file), expected a readable file
        "#]],
    );
    check_gateway(
        "key: pki/gateway.key",
        "key: /pki/gw.key",
        expect![[r#"
            gateway.yaml:4:8: found `/pki/gw.key`, which cannot be read (No such file or directory (os error 2)), expected a readable file
        "#]],
    );
    check_gateway(
        "key: pki/gateway.key",
        "key: pki/gateway-client.key",
        expect![[r#"
            gateway.yaml:4:8: found the key of another certificate, expected the key of the certificate beside it
        "#]],
    );
    check_gateway(
        "key: pki/gateway.key",
        "key: pki/gateway.crt",
        expect![[r#"
            gateway.yaml:4:8: found a file without a private key, expected a private key in PEM
        "#]],
    );
    check_gateway(
        "key: pki/ledger.key",
        "key: pki/gateway.key",
        expect![[r#"
            gateway.yaml:13:8: found a key of another kind, expected an Ed25519 key in PKCS#8; make one with `openssl genpkey -algorithm ed25519`
        "#]],
    );
    check_gateway(
        "directory: ../ledger",
        "directory: pki",
        expect![[r#"
            gateway.yaml:13:8: found a key in the ledger's folder, expected a key outside of it; keep it where only the gateway can read it
        "#]],
    );
    check_gateway(
        "directory: ../ledger",
        "directory: pki/ca.crt",
        expect![[r#"
            gateway.yaml:11:14: found a path that is not a folder, expected the ledger's folder
        "#]],
    );
    check_gateway(
        "origin: giaolien.example.gov.vn/gw1",
        "origin: gw 1",
        expect![[r#"
            gateway.yaml:12:11: found `gw 1`, expected a name such as `giaolien.example.gov.vn/gw1`, without spaces or `+`, of at most 255 bytes
        "#]],
    );
    check_gateway(
        "[pki/ca.crt]\nup",
        "[]\nup",
        expect![[r#"
            gateway.yaml:5:23: found an empty list, expected at least one item
        "#]],
    );
    check_gateway(
        "  authorities: [pki/ca.crt]\n",
        "",
        expect![[r#"
            registry/all.yaml:11:9: found a node that no authority vouches for, expected `authorities` here, or under `upstream` in gateway.yaml
        "#]],
    );
    let lists = "[pki/ca.crt]\n  revocation_lists: [pki/ca.crl, pki/ca.crt]\nup";
    check_gateway(
        "[pki/ca.crt]\nup",
        lists,
        expect![[r#"
            gateway.yaml:6:34: found a file without a revocation list, expected a revocation list in PEM
        "#]],
    );
    let system = "systems: [{id: x, name: X, member: G01, certificates: [CERTIFICATES]}]";
    let certificates = "{file: pki/ca.crt, sha256: ''}, {sha256: 'AB:CD'}, {}, {file: pki/two.crt}";
    let fixture = Fixture::new();
    fixture.write("registry/systems.yaml", system.replace("CERTIFICATES", certificates));
    let two = std::fs::read(fixture.root.path().join("config/pki/ca.crt")).unwrap().repeat(2);
    fixture.write("pki/two.crt", two);
    fixture
        .write("pki/gateway.crt", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n");
    fixture
        .write("pki/gateway.key", "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n");
    fixture.check(&expect![[r#"
        gateway.yaml:3:16: found not an X.509 certificate: Parsing requires 1 bytes/chars, expected a file of X.509 certificates
        gateway.yaml:4:8: found a file with damaged PEM, expected a private key in PEM
        registry/systems.yaml:1:56: found both `file` and `sha256`, expected one of them
        registry/systems.yaml:1:97: found `AB:CD`, expected 64 hexadecimal digits, the SHA-256 of the certificate in DER; leave the colons out
        registry/systems.yaml:1:107: found neither `file` nor `sha256`, expected one of them
        registry/systems.yaml:1:118: found a file of 2 certificates, expected one certificate
    "#]]);
}

#[test]
fn keys_are_refused_inline_and_not_repeated() {
    let block = "key: |\n    -----BEGIN PRIVATE KEY-----\n    MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n    -----END PRIVATE KEY-----";
    check_gateway(
        "key: pki/gateway.key",
        block,
        expect![[r#"
            gateway.yaml:5:5: found what looks like key material (not shown), expected the path of a file that holds it
        "#]],
    );
    check_gateway(
        "key: pki/gateway.key",
        &block.replace("|\n    ", ""),
        expect![[r#"
            gateway.yaml:4:8: found what looks like key material (not shown), expected the path of a file that holds it
        "#]],
    );
    check_gateway(
        "key: pki/gateway.key",
        &block.replace("key: |", "kye: |"),
        expect![[r#"
            gateway.yaml:3:3: found a mapping without `key`, expected key `key`
            gateway.yaml:4:3: found unknown key `kye`, expected `certificate`, `key`, `client_authorities` or `revocation_lists`
            gateway.yaml:5:5: found what looks like key material (not shown), expected the path of a file that holds it
        "#]],
    );
    let bare = "key: MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    check_gateway(
        "key: pki/gateway.key",
        bare,
        expect![[r#"
            gateway.yaml:4:8: found what looks like key material (not shown), which cannot be read (No such file or directory (os error 2)), expected a readable file; relative paths begin at the configuration folder
        "#]],
    );
}

#[test]
fn files_that_would_be_passed_over() {
    let fixture = Fixture::new();
    fixture.write("registry/more.yml", "");
    fixture.write("registry/deep/more.json", "");
    fixture.write("registry/.all.yaml.swp", "");
    fixture.write("registry/all.yaml~", "");
    fixture.write("registry/README.md", "");
    fixture.write("routes.yml", "");
    fixture.write("policies/deep/other.cedarschema", "");
    fixture.write("policies/deep/links.yaml", "");
    fixture.write("policies/guard.json", "");
    fixture.write("policies/README.md", "");
    fixture.write("agreements/guard.cedar", "");
    fixture.write("guard.cedar", "");
    fixture.write(".applying", "registry");
    fixture.check(&expect![[r#"
        .applying:1:1: found an apply that is under way or was cut short, expected a folder at rest; the gateway finishes it when it loads the folder
        agreements/guard.cedar:1:1: found a Cedar file, expected Cedar below `policies` alone; move it into the folder `policies`; it has no effect here
        guard.cedar:1:1: found a Cedar file, expected Cedar below `policies` alone; move it into the folder `policies`; it has no effect here
        policies/deep/links.yaml:1:1: found a YAML file, expected `policies/links.yaml`; links of templates are read from there
        policies/deep/other.cedarschema:1:1: found a schema, expected `policies/schema.cedarschema`; one schema holds for all policies
        policies/guard.json:1:1: found a file of another kind, expected files that end in `.cedar`; rename it to `policies/guard.cedar`, or move it elsewhere
        registry/deep/more.json:1:1: found a file of another kind, expected files that end in `.yaml`; rename it to `registry/deep/more.yaml`, or move it elsewhere
        registry/more.yml:1:1: found a file of another kind, expected files that end in `.yaml`; rename it to `registry/more.yaml`, or move it elsewhere
        routes.yml:1:1: found a file of another kind, expected files that end in `.yaml`; rename it to `routes.yaml`, or move it elsewhere
    "#]]);
}

#[test]
fn folders_that_are_missing() {
    let fixture = Fixture::new();
    fixture.remove("registry");
    fixture.remove("agreements");
    fixture.remove("gateway.yaml");
    fixture.check(&expect![[r#"
        gateway.yaml:1:1: found no such file, expected `gateway.yaml`
        registry:1:1: found no such folder, expected the folder `registry`
    "#]]);
    let absent = control::load(&fixture.root.path().join("none"), model::RevisionId(1));
    assert!(matches!(absent, Err(control::LoadError::Unreadable { .. })));
}

#[test]
fn problems_are_json_too() {
    let fixture = Fixture::new();
    fixture.write("registry/all.yaml", "members: [{id: G09, name: A, partent: G01}]");
    fixture.remove("agreements");
    let Err(control::LoadError::Problems(problems)) = fixture.load() else { panic!() };
    expect![[r#"{"file":"registry/all.yaml","line":1,"column":30,"found":"unknown key `partent`","expected":"`id`, `name`, `parent`, `classes` or `attributes`","hint":"did you mean `parent`?"}"#]].assert_eq(&problems.first().unwrap().to_json().to_string());
}

#[test]
fn a_key_in_the_ledger_is_found_behind_links() {
    let fixture = Fixture::new();
    let root = fixture.root.path();
    std::fs::create_dir(root.join("ledger")).unwrap();
    std::fs::rename(root.join("config/pki/ledger.key"), root.join("ledger/key")).unwrap();
    std::os::unix::fs::symlink("../../ledger/key", root.join("config/pki/ledger.key")).unwrap();
    expect![[r#"
        gateway.yaml:13:8: found a key in the ledger's folder, expected a key outside of it; keep it where only the gateway can read it
    "#]]
    .assert_eq(&shown(fixture.load()));
}

#[test]
fn classes_and_zones() {
    let registry = |more: &str| format!("{REGISTRY}{more}");
    check_files(
        &[
            (
                "registry/all.yaml",
                &registry(
                    "classes: [{id: commune, name: Cấp xã}]\n\
                     zones: [{id: tslcd, name: Mạng, networks: [10.0.0.0/8, '2001:db8::/32']}]\n",
                ),
            ),
            ("agreements/all.yaml", &AGREEMENTS.replace("{member: G09}", "{class: commune}")),
        ],
        &expect![[r#"
            good
        "#]],
    );
    check_files(
        &[
            (
                "registry/all.yaml",
                &registry(
                    "classes: [{id: commune, name: Cấp xã}, {id: commune, name: Lần nữa}]\n\
                     zones: [{id: a, name: Mạng, networks: [10.1.0.0/8, x, 10.0.0.0/33]},\n\
                     {id: b, name: Mạng, networks: []}]\n",
                )
                .replace("name: Bộ Nội vụ", "name: Bộ Nội vụ, classes: [comune]"),
            ),
            ("agreements/all.yaml", &AGREEMENTS.replace("{member: G09}", "{class: communes}")),
        ],
        &expect![[r#"
            agreements/all.yaml:3:23: found `communes`, expected a registered class; did you mean `commune`?
            registry/all.yaml:3:42: found `comune`, expected a registered class; did you mean `commune`?
            registry/all.yaml:20:45: found `commune` a second time, expected one class with this id; the first stands at registry/all.yaml:20
            registry/all.yaml:21:40: found `10.1.0.0/8`, expected a block of addresses such as `10.20.0.0/16`; did you mean `10.0.0.0/8`?
            registry/all.yaml:21:52: found `x`, expected a block of addresses such as `10.20.0.0/16`
            registry/all.yaml:21:55: found `10.0.0.0/33`, expected a block of addresses such as `10.20.0.0/16`
            registry/all.yaml:22:31: found an empty list, expected at least one item
        "#]],
    );
    check_agreement(
        "{member: G09}",
        "{member: G09, class: commune}",
        expect![[r#"
        agreements/all.yaml:3:15: found both `member` and `class`, expected one of them
    "#]],
    );
}

#[test]
fn what_refers_to_broken_classes_and_zones_is_not_reported() {
    let registry =
        format!("{REGISTRY}classes: [{{id: commune}}]\nzones: [{{id: inside, name: Mạng}}]\n");
    let routes = "routes: [{service: vn.population.v1.PopulationService, splits: [\
                  {node: population, zone: inside}, {node: population, zone: outside}]}]";
    check_files(
        &[
            ("registry/all.yaml", &registry),
            ("agreements/all.yaml", &AGREEMENTS.replace("{member: G09}", "{class: commune}")),
            ("routes.yaml", routes),
        ],
        &expect![[r#"
            registry/all.yaml:20:11: found a mapping without `name`, expected key `name`
            registry/all.yaml:21:9: found a mapping without `networks`, expected key `networks`
            routes.yaml:1:124: found `outside`, expected a registered zone
        "#]],
    );
}

#[test]
fn attributes_have_names_and_types() {
    let attributes =
        |text: &str| REGISTRY.replace("id: hrm\n", &format!("id: hrm\n    attributes: {text}\n"));
    let good = "{level: 3, shared: true, code: '007', name: Bộ, tags: [a, 2], since: {datetime: \
                2026-01-31}, net: {ip: 10.0.0.0/8}, ratio: {decimal: '1.5'}, time: {duration: 8h}}";
    check_files(
        &[("registry/all.yaml", &attributes(good))],
        &expect![[r#"
        good
    "#]],
    );
    let bad = "\n      1st: 1\n      like: 1\n      a: 1.5\n      b: 007\n      c: yes\n      \
               d: {decimal: 1}\n      e: {time: 1}\n      f: {ip: 10.0.0.0/40}\n      \
               g: {ip: 10.0.0.0, decimal: '1.5'}\n      h: {datetime: 31/01/2026}\n      \
               i: {duration: 8}\n      j: ~\n      k: [[1]]\n      l: 99999999999999999999\n      \
               m: TRUE\n      n: -0\n      o: 1e400";
    check_files(
        &[("registry/all.yaml", &attributes(bad))],
        &expect![[r#"
        registry/all.yaml:8:7: found `1st`, expected a name of letters, digits and `_` that policies can use, at most 64 bytes
        registry/all.yaml:9:7: found `like`, expected a name of letters, digits and `_` that policies can use, at most 64 bytes; Cedar keeps this word for itself
        registry/all.yaml:10:10: found `1.5`, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; write `{decimal: 1.5}`, or put text in quotes
        registry/all.yaml:11:10: found `007`, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; put a code in quotes, write a number without leading zeros
        registry/all.yaml:12:10: found `yes`, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; write `true` or `false`, or put text in quotes
        registry/all.yaml:13:20: found `1`, expected digits around a point, at most four after it, such as `12.34`
        registry/all.yaml:14:10: found a mapping of another number of types, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`
        registry/all.yaml:14:11: found unknown key `time`, expected `ip`, `datetime`, `decimal` or `duration`
        registry/all.yaml:15:15: found `10.0.0.0/40`, expected an IP address or a block such as `10.0.0.0/8`
        registry/all.yaml:16:10: found a mapping of another number of types, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`
        registry/all.yaml:17:21: found `31/01/2026`, expected a date such as `2026-01-31`, or a time such as `2026-01-31T08:00:00+0700`
        registry/all.yaml:18:21: found `8`, expected a duration such as `250ms`, `30s` or `1d2h`
        registry/all.yaml:19:10: found nothing, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; write a value, or remove the key
        registry/all.yaml:20:11: found a list, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`
        registry/all.yaml:21:10: found `99999999999999999999`, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; whole numbers have 64 bits, others are written as `{decimal: 1.5}`
        registry/all.yaml:22:10: found `TRUE`, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; write `true` or `false`, or put text in quotes
        registry/all.yaml:23:10: found `-0`, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; put a code in quotes, write a number without leading zeros
        registry/all.yaml:24:10: found `1e400`, expected `true`, `false`, a whole number, text, a list of those, or a mapping with one of `ip`, `datetime`, `decimal` or `duration`; whole numbers have 64 bits, others are written as `{decimal: 1.5}`
    "#]],
    );
}

const CONTRACT: &str = r#"
syntax = "proto3";
package vn.population.v1;
import "giaolien/annotations/v1/annotations.proto";
import "google/protobuf/any.proto";
import "p.proto";
service PopulationService {
  rpc VerifyPerson(M) returns (M);
  rpc LookUpPerson(M) returns (M);
}
message M {
  string basic = 1 [(giaolien.annotations.v1.subject) = true];
  google.protobuf.Any d = 2;
}
"#;

#[test]
fn fields_and_subjects() {
    let with = |text: &str| AGREEMENTS.replace("    quota", &format!("    {text}\n    quota"));
    for good in ["fields: all", "fields: [.basic, 'd.[p.M].x', open]", "subjects: {day_max: 5}"] {
        let fixture = Fixture::new();
        fixture.write("protos/population.proto", CONTRACT);
        fixture
            .write("protos/p.proto", "syntax = \"proto3\"; package p; message M { int32 x = 1; }");
        fixture.write("agreements/all.yaml", with(good));
        assert_eq!(shown(fixture.load()), "good\n", "{good}");
    }
    for (bad, expected) in [
        (
            "fields: none",
            expect![[r#"
            agreements/all.yaml:13:13: found `none`, expected `all`, or a list of fields and classes of fields
        "#]],
        ),
        (
            "fields: []",
            expect![[r#"
            agreements/all.yaml:13:13: found an empty list, expected at least one item
        "#]],
        ),
        (
            "fields: [a..b, 'họ tên']",
            expect![[r#"
                agreements/all.yaml:13:14: found `a..b`, expected a field such as `person.full_name` or a class of fields, at most 512 bytes
                agreements/all.yaml:13:20: found `họ tên`, expected a field such as `person.full_name` or a class of fields, at most 512 bytes
            "#]],
        ),
        (
            "subjects: {}",
            expect![[r#"
            agreements/all.yaml:13:15: found neither `hour_max` nor `day_max`, expected at least one of them
        "#]],
        ),
        (
            "subjects: {hour_max: 0}",
            expect![[r#"
                agreements/all.yaml:13:26: found `0`, expected a whole number from 1 to 4294967295
            "#]],
        ),
        (
            "subjects: {hour_max: 50, day_max: 20}",
            expect![[r#"
                agreements/all.yaml:13:15: found a bound on persons, while no contract describes `vn.population.v1.PopulationService`, expected a service whose contract is known; put its `.proto` files, or a descriptor set, below `protos`; or take `subjects` out
                agreements/all.yaml:13:39: found fewer persons a day than an hour, expected at least `hour_max`
            "#]],
        ),
    ] {
        check_files(&[("agreements/all.yaml", &with(bad))], &expected);
    }
}

#[test]
fn routes_have_splits_shadows_and_sizes() {
    let route = |text: &str| {
        format!("routes:\n  - service: vn.population.v1.PopulationService\n    {text}\n")
    };
    let good = "retries_max: 2\n    request_bytes_max: 64KiB\n    answer_bytes_max: 1GiB\n    \
                splits: [{node: population, member: G09, share: 12.5%, header: {name: x-a, value: \
                b}}]\n    shadow: {node: population, share: 5%}";
    check_files(
        &[("routes.yaml", &route(good))],
        &expect![[r#"
        good
    "#]],
    );
    let bad = "retries_max: 11\n    request_bytes_max: 64\n    splits: [{node: population}, {node: \
               populaton, share: 100.1%}, {node: population, header: {name: X-A, value: ' '}}, \
               {node: population, member: G99, zone: inside}]\n    shadow: {node: nowhere}";
    check_files(
        &[("routes.yaml", &route(bad))],
        &expect![[r#"
        routes.yaml:3:18: found `11`, expected a whole number from 0 to 10
        routes.yaml:4:24: found `64`, expected a size from 1B to 1024GiB; add a unit: `64B`
        routes.yaml:5:14: found a split that takes every call, expected one of `member`, `zone`, `header` or `share`; `share: 100%` says that every call is meant
        routes.yaml:5:59: found `100.1%`, expected a percentage from `0%` to `100%` with at most two decimals, such as `12.5%`
        routes.yaml:5:102: found `X-A`, expected a metadata key of small letters, digits, `_`, `-` and `.` that does not begin with `grpc-` or end with `-bin`; did you mean `x-a`?
        routes.yaml:5:114: found ` `, expected 1 to 256 printable ASCII characters, no spaces around them
        routes.yaml:6:20: found `nowhere`, expected a registered node
    "#]],
    );
    let unknown = "splits: [{node: nowhere, member: G99, zone: inside, share: 1%}]\n    \
                   shadow: {node: populaton, share: 1%}";
    check_files(
        &[("routes.yaml", &route(unknown))],
        &expect![[r#"
        routes.yaml:3:21: found `nowhere`, expected a registered node
        routes.yaml:3:38: found `G99`, expected a registered member; did you mean `G09`?
        routes.yaml:3:49: found `inside`, expected a registered zone
        routes.yaml:4:20: found `populaton`, expected a registered node; did you mean `population`?
    "#]],
    );
}

#[test]
fn time_and_reload() {
    check_gateway(
        "ledger:\n",
        "utc_offset: '7'\nreload: onchange\nledger:\n",
        expect![[r#"
        gateway.yaml:10:13: found `7`, expected an offset such as `+07:00`, from `-12:00` to `+14:00`
        gateway.yaml:11:9: found `onchange`, expected `signal` or `on_change`; did you mean `on_change`?
    "#]],
    );
}

#[test]
fn tokens_have_issuers_and_keys() {
    let tokens = |text: &str| format!("tokens: [{text}]\nledger:\n");
    let issuer = "{issuer: 'https://id.example', audience: gw, keys: pki/id.jwks.json}";
    let check = |keys: &str, text: &str, expected: Expect| {
        let fixture = Fixture::new();
        fixture.write("pki/id.jwks.json", keys);
        fixture.write("gateway.yaml", GATEWAY.replace("ledger:\n", &tokens(text)));
        fixture.check(&expected);
    };
    check(
        r#"{"keys": [{"kty": "OKP"}]}"#,
        issuer,
        expect![[r#"
        good
    "#]],
    );
    check(
        r#"{"keys": []}"#,
        issuer,
        expect![[r#"
        gateway.yaml:10:61: found a JWK set without keys, expected a JWK set such as `{"keys": [{"kty": …}]}`
    "#]],
    );
    check(
        r#"{"keys": [{}]}"#,
        issuer,
        expect![[r#"
        gateway.yaml:10:61: found a JWK set with a key of no kind, expected a JWK set such as `{"keys": [{"kty": …}]}`
    "#]],
    );
    check(
        r#"{"keys": [{"kty": "OKP", "d": "secret"}]}"#,
        issuer,
        expect![[r#"
        gateway.yaml:10:61: found a JWK set with secret keys, expected a JWK set such as `{"keys": [{"kty": …}]}`
    "#]],
    );
    check(
        "[",
        issuer,
        expect![[r#"
        gateway.yaml:10:61: found a file that is no JSON (line 1, column 1), expected a JWK set such as `{"keys": [{"kty": …}]}`
    "#]],
    );
    check(
        "{}",
        issuer,
        expect![[r#"
        gateway.yaml:10:61: found JSON that is no JWK set, expected a JWK set such as `{"keys": [{"kty": …}]}`
    "#]],
    );
    check(
        &" ".repeat((256 << 10) + 1),
        issuer,
        expect![[r#"
        gateway.yaml:10:61: found `pki/id.jwks.json`, which cannot be read (larger than 256 KiB), expected a readable file
    "#]],
    );
    let twice = format!("{issuer}, {issuer}");
    check(
        r#"{"keys": [{"kty": "OKP"}]}"#,
        &twice,
        expect![[r#"
        gateway.yaml:10:80: found issuer `https://id.example` a second time, expected each issuer once
    "#]],
    );
    let more = "{issuer: a, keys: pki/none.json, claims: {levels: x, unit: 'đơn vị'}}";
    check(
        r#"{"keys": [{"kty": "OKP"}]}"#,
        more,
        expect![[r#"
        gateway.yaml:10:10: found a mapping without `audience`, expected key `audience`
        gateway.yaml:10:28: found `pki/none.json`, which cannot be read (No such file or directory (os error 2)), expected a readable file; relative paths begin at the configuration folder
        gateway.yaml:10:52: found unknown key `levels`, expected `level`, `unit` or `roles`; did you mean `level`?
        gateway.yaml:10:69: found `đơn vị`, expected the name of a claim: 1 to 128 printable ASCII characters
    "#]],
    );
}

#[test]
fn policies_are_read_and_validated() {
    let check = |policies: &[(&str, &str)], expected: Expect| check_files(policies, &expected);
    let permit =
        "@id(\"p\")\nforbid (principal, action, resource)\nwhen { context.weekday > 5 };\n";
    check(
        &[("policies/a.cedar", permit)],
        expect![[r#"
        good
    "#]],
    );
    check(
        &[("policies/a.cedar", "forbid (principal, action, resource)\nwen {};")],
        expect![[r#"
            policies/a.cedar:2:1: found unusable Cedar (invalid policy condition: wen), expected policies in Cedar; condition must be either `when` or `unless`
        "#]],
    );
    check(
        &[(
            "policies/a.cedar",
            "@id(\"p\")\nforbid (principal, action, resource)\n  when { context.weekdy > 5 };\n",
        )],
        expect![[r#"
            policies/a.cedar:3:10: found a policy against the schema (attribute `weekdy` in context for Action::"query" not found), expected what the schema declares; did you mean `weekday`?
        "#]],
    );
    check(
        &[(
            "policies/a.cedar",
            "forbid (principal in Membr::\"x\", action == Action::\"updates\", resource);",
        )],
        expect![[r#"
            policies/a.cedar:1:22: found a policy against the schema (unrecognized entity type `Membr`), expected what the schema declares; did you mean `Member`?
            policies/a.cedar:1:44: found a policy against the schema (unrecognized action `Action::"updates"`), expected what the schema declares; did you mean `Action::"update"`?
        "#]],
    );
    check(
        &[("policies/a.cedar", permit), ("policies/deep/b.cedar", permit)],
        expect![[r#"
            policies/deep/b.cedar:1:1: found unusable Cedar (its id is taken by the policy at policies/a.cedar:1), expected policies in Cedar
        "#]],
    );
    check(
        &[("policies/a.cedar", "")],
        expect![[r#"
        good
    "#]],
    );
}

#[test]
fn templates_are_linked() {
    let template = "@id(\"blocked\")\nforbid (principal in ?principal, action, resource);\n";
    let check = |links: &str, expected: Expect| {
        check_files(&[("policies/a.cedar", template), ("policies/links.yaml", links)], &expected);
    };
    check(
        "links: [{id: one, template: blocked, principal: 'Member::\"G09\"'}]",
        expect![[r#"
        good
    "#]],
    );
    check(
        "links:\n  - {id: one, template: blockd, principal: 'Member::\"G09\"'}\n  \
         - {id: two, template: blocked}\n  - {id: three, template: blocked, principal: G09}\n  \
         - {id: four, template: blocked, principal: 'Membr::\"x\"'}\n  - {id: four}\n",
        expect![[r#"
            policies/links.yaml:4:47: found `G09`, expected an entity such as `Member::"G09"`
            policies/links.yaml:6:5: found a mapping without `template`, expected key `template`
        "#]],
    );
    check(
        "links:\n  - {id: one, template: blockd, principal: 'Member::\"G09\"'}\n  \
         - {id: two, template: blocked}\n",
        expect![[r#"
            policies/links.yaml:2:5: found unusable Cedar (unable to link template), expected policies in Cedar
            policies/links.yaml:3:5: found unusable Cedar (unable to link template), expected policies in Cedar
        "#]],
    );
    check(
        "links:\n  - {id: four, template: blocked, principal: 'Membr::\"x\"'}\n",
        expect![[r#"
            policies/links.yaml:2:5: found a policy against the schema (unrecognized entity type `Membr`), expected what the schema declares; did you mean `Member`?
        "#]],
    );
}

#[test]
fn a_schema_of_ones_own_takes_the_place_of_the_gateways() {
    let check = |schema: &str, expected: Expect| {
        let registry = REGISTRY.replace("id: hrm\n", "id: hrm\n    attributes: {risk: 3}\n");
        let policy = "@id(\"p\")\nforbid (principal is System, action, resource)\n\
                      when { principal has risk && principal.risk > 2 };\n";
        check_files(
            &[
                ("registry/all.yaml", &registry),
                ("policies/a.cedar", policy),
                ("policies/schema.cedarschema", schema),
            ],
            &expected,
        );
    };
    let own = policy::SCHEMA.replace("  level?: Long,\n", "  level?: Long,\n  risk?: Long,\n");
    check(
        &own,
        expect![[r#"
        good
    "#]],
    );
    check(
        policy::SCHEMA,
        expect![[r#"
            registry/all.yaml:6:9: found what the schema does not take (attribute `risk` on `System::"hrm"` should not exist according to the schema), expected attributes as the schema declares them; attributes are declared in `policies/schema.cedarschema`
        "#]],
    );
    check(
        &own.replace("  risk?: Long", "  risk?: String"),
        expect![[r#"
            policies/a.cedar:3:30: found a policy against the schema (unexpected type: expected Long but saw String), expected what the schema declares
            registry/all.yaml:6:9: found what the schema does not take (in attribute `risk` on `System::"hrm"`, type mismatch: value was expected to have type string, but it actually has type long: `3`), expected attributes as the schema declares them; attributes are declared in `policies/schema.cedarschema`
        "#]],
    );
    check(
        &own.replace("  dossier?: String,\n", ""),
        expect![[r#"
            policies/schema.cedarschema:1:1: found a schema that has `dossier` in another way for Action::"query", expected what the gateway's own schema declares, and more; begin with a copy of the gateway's own schema
        "#]],
    );
    check(
        &own.replace("  dossier?: String", "  dossier: String"),
        expect![[r#"
            policies/schema.cedarschema:1:1: found a schema that has `dossier` in another way for Action::"query", expected what the gateway's own schema declares, and more; begin with a copy of the gateway's own schema
        "#]],
    );
    check(
        &own.replace("action query, update", "action query"),
        expect![[r#"
            policies/schema.cedarschema:1:1: found a schema that no call fits (request's action `Action::"update"` is not declared in the schema), expected what the gateway's own schema declares, and more; begin with a copy of the gateway's own schema
        "#]],
    );
    check(
        "entity Class",
        expect![[r#"
            policies/schema.cedarschema:1:13: found an unusable schema (error parsing schema: unexpected end of input, expected `,`, `;`, `=`, `{`, `enum`, `in`, or `tags`), expected a schema in Cedar
        "#]],
    );
}

/// A policy may name a group of actions that only the schema declares.
#[test]
fn groups_of_actions_are_taken_from_the_schema() {
    let fixture = Fixture::new();
    let schema = policy::SCHEMA
        .replace("action query, update appliesTo", "action query, update in [reading] appliesTo");
    fixture.write("policies/schema.cedarschema", format!("{schema}\naction reading;\n"));
    let policy = "@id(\"group\")\nforbid (principal, action in Action::\"reading\", resource);\n";
    fixture.write("policies/a.cedar", policy);
    let config = fixture.load().unwrap();
    let query = config.source.actions.iter().find(|action| &*action.uid.id == "query").unwrap();
    assert_eq!(query.parents, [cedar::Uid::new("Action", "reading")]);
}

#[test]
fn attributes_keep_to_the_gateways_schema_where_there_are_policies() {
    let registry = REGISTRY.replace("id: hrm\n", "id: hrm\n    attributes: {level: three}\n");
    check_files(
        &[("registry/all.yaml", &registry)],
        &expect![[r#"
        good
    "#]],
    );
    let policy = "forbid (principal, action, resource) when { principal has level };";
    check_files(
        &[("registry/all.yaml", &registry), ("policies/a.cedar", policy)],
        &expect![[r#"
            registry/all.yaml:6:9: found what the schema does not take (in attribute `level` on `System::"hrm"`, type mismatch: value was expected to have type long, but it actually has type string: `"three"`), expected attributes as the schema declares them; attributes are declared in `policies/schema.cedarschema`
        "#]],
    );
}

#[test]
fn receivers_of_events() {
    let events = |events: &str, expected: Expect| {
        check_files(&[("gateway.yaml", &format!("{GATEWAY}{events}\n"))], &expected);
    };
    events(
        "events: {directory: ../events, file: ../events/events.jsonl}",
        expect![[r#"
        good
    "#]],
    );
    events(
        "events: {directory: ../events}",
        expect![[r#"
        gateway.yaml:14:9: found neither `file` nor `syslog`, expected who is told
    "#]],
    );
    events(
        "events: {directory: gateway.yaml, file: events.jsonl}",
        expect![[r#"
        gateway.yaml:14:21: found a path that is not a folder, expected a folder for events
    "#]],
    );
    events(
        "events: {directory: ../events, syslog: {address: 'tls://soc.example.vn', key: absent}}",
        expect![[r#"
            gateway.yaml:14:40: found a mapping without `authorities`, expected key `authorities`
            gateway.yaml:14:40: found a mapping without `certificate`, expected key `certificate`
            gateway.yaml:14:50: found `tls://soc.example.vn`, expected `host:port` with a DNS name or an IP address; leave the scheme out
            gateway.yaml:14:79: found `absent`, which cannot be read (No such file or directory (os error 2)), expected a readable file; relative paths begin at the configuration folder
        "#]],
    );
}
