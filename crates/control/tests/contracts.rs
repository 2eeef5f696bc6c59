//! Contracts below `protos`: what is read, what is wrong with it, and what a new one changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test has no callers")]

mod support;

use std::fmt::Write as _;

use control::Loader;
use expect_test::{Expect, expect};
use model::{MethodPath, RevisionId};
use support::{AGREEMENTS, Fixture, REGISTRY, shown};

const FILE: &str = "protos/vn/population/v1/population.proto";
const PROTO: &str = r#"syntax = "proto3";
package vn.population.v1;

import "giaolien/annotations/v1/annotations.proto";
import "vn/common/v1/case.proto";

service PopulationService {
  rpc VerifyPerson(Request) returns (Person);
  rpc LookUpPerson(Request) returns (Person);
}

message Request {
  string number = 1 [
    (giaolien.annotations.v1.class) = CLASS_BASIC,
    (giaolien.annotations.v1.subject) = true
  ];
  vn.common.v1.Case case = 2 [(giaolien.annotations.v1.class) = CLASS_OPEN];
}

message Person {
  string full_name = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC];
  string ethnicity = 2 [(giaolien.annotations.v1.class) = CLASS_SENSITIVE];
}
"#;
const COMMON: &str = r#"syntax = "proto3";
package vn.common.v1;

import "google/protobuf/timestamp.proto";

message Case {
  google.protobuf.Timestamp opened = 1;
}
"#;

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.write(FILE, PROTO);
    fixture.write("protos/vn/common/v1/case.proto", COMMON);
    fixture
}

/// The agreement `id` with these lines.
fn agreement(id: &str, lines: &str) -> String {
    let agreement = AGREEMENTS.replace("    quota", &format!("    {lines}\n    quota"));
    agreement.replace("agreements:\n", "").replace("id: a1", &format!("id: {id}"))
}

fn agreements(all: &[(&str, &str)]) -> String {
    all.iter().fold("agreements:\n".to_owned(), |text, (id, lines)| text + &agreement(id, lines))
}

fn check(spoil: impl Fn(&Fixture), expected: Expect) {
    let fixture = fixture();
    spoil(&fixture);
    fixture.check(&expected);
}

/// The descriptor set of the files, with all they import.
fn set(files: &[(&str, &str)]) -> Vec<u8> {
    let root = tempfile::tempdir().unwrap();
    let annotations = std::fs::read("../../proto/giaolien/annotations/v1/annotations.proto");
    support::write(root.path(), "giaolien/annotations/v1/annotations.proto", annotations.unwrap());
    for (name, text) in files {
        support::write(root.path(), name, text);
    }
    let mut compiler = protox::Compiler::new([root.path()]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files.iter().map(|(name, _)| name)).unwrap();
    compiler.encode_file_descriptor_set()
}

fn both(population: &str) -> Vec<u8> {
    set(&[("vn/population/v1/population.proto", population), ("vn/common/v1/case.proto", COMMON)])
}

#[test]
fn a_contract_is_read_and_agreements_name_its_fields() {
    let fixture = fixture();
    fixture.write("agreements/all.yaml", agreements(&[("a1", "fields: [basic]")]));
    let config = fixture.load().unwrap_or_else(|error| panic!("{}", shown(Err(error))));
    let contract = config.snapshot.contract().unwrap();
    assert!(contract.message("vn.common.v1.Case").is_some());
    let field = contract.message("vn.population.v1.Person").unwrap().field_named("ethnicity");
    assert_eq!(field.unwrap().class, mask::Class::Sensitive);
    let path = MethodPath::parse("/vn.population.v1.PopulationService/VerifyPerson").unwrap();
    assert!(config.snapshot.route(path).unwrap().request_watch().is_some());
}

#[test]
fn a_set_serves_as_well_as_files_and_beside_them() {
    let fixture = Fixture::new();
    fixture.write("agreements/all.yaml", agreements(&[("a1", "fields: [full_name]")]));
    fixture.write("protos/all.binpb", both(PROTO));
    let of_set = fixture.load().unwrap();
    fixture.write(FILE, PROTO);
    // The import is found in the set.
    let of_both = fixture.load().unwrap_or_else(|error| panic!("{}", shown(Err(error))));
    fixture.write("protos/vn/common/v1/case.proto", COMMON);
    fixture.remove("protos/all.binpb");
    let of_files = fixture.load().unwrap();
    let digest = |config: &control::Config| *config.snapshot.contract().unwrap().digest();
    assert_eq!(digest(&of_set), digest(&of_files));
    assert_eq!(digest(&of_set), digest(&of_both));
}

#[test]
fn what_is_wrong_with_files_is_told_where_it_is() {
    let spoiled = |from: &str, to: &str| {
        assert!(PROTO.contains(from));
        let text = PROTO.replace(from, to);
        move |fixture: &Fixture| fixture.write(FILE, &text)
    };
    check(
        spoiled("message Person {", "mesage Person {"),
        expect![[r#"
        protos/vn/population/v1/population.proto:20:1: found unusable protobuf (expected 'enum', 'extend', 'import', 'message', 'option', 'service', 'package' or ';', but found 'mesage'), expected a contract in protobuf
    "#]],
    );
    check(
        spoiled("returns (Person)", "returns (Persn)"),
        expect![[r#"
        protos/vn/population/v1/population.proto:8:38: found unusable protobuf (name 'Persn' is not defined), expected a contract in protobuf
        protos/vn/population/v1/population.proto:9:38: found unusable protobuf (name 'Persn' is not defined), expected a contract in protobuf
    "#]],
    );
    check(
        spoiled("string ethnicity = 2", "string ethnicity = 1"),
        expect![[r#"
        protos/vn/population/v1/population.proto:22:22: found unusable protobuf (field number '1' is already used), expected a contract in protobuf
    "#]],
    );
    check(
        spoiled("case.proto", "cases.proto"),
        expect![[r#"
        protos/vn/population/v1/population.proto:5:1: found unusable protobuf (import 'vn/common/v1/cases.proto' not found), expected a contract in protobuf; did you mean `vn/common/v1/case.proto`?
    "#]],
    );
    check(
        spoiled("CLASS_BASIC,", "CLASS_BASE,"),
        expect![[r#"
        protos/vn/population/v1/population.proto:14:5: found unusable protobuf (expected a value of type 'giaolien.annotations.v1.Class' for option '(giaolien.annotations.v1.class)', but found 'CLASS_BASE'), expected a contract in protobuf
    "#]],
    );
    check(
        |fixture| fixture.write(FILE, b"// h\xff"),
        expect![[r#"
        protos/vn/population/v1/population.proto:1:5: found bytes that are not UTF-8, expected UTF-8 text; save the file as UTF-8
    "#]],
    );
    check(
        |fixture| fixture.write(FILE, "{".repeat(100_000)),
        expect![[r#"
        protos/vn/population/v1/population.proto:1:65: found brackets that nest deeper, expected at most 64
    "#]],
    );
    let cycle = |fixture: &Fixture| {
        let import = "import \"vn/population/v1/population.proto\";\nmessage";
        fixture.write("protos/vn/common/v1/case.proto", COMMON.replace("message", import));
    };
    check(
        cycle,
        expect![[r#"
        protos/vn/common/v1/case.proto:6:8: found files that import each other (`vn/common/v1/case.proto`, `vn/population/v1/population.proto`), expected imports that lead back to no file
    "#]],
    );
    // Each of several files is told of.
    let several = |fixture: &Fixture| {
        fixture.write(FILE, PROTO.replace("message Person", "Person"));
        fixture.write("protos/vn/common/v1/case.proto", COMMON.replace("opened = 1", "opened"));
        fixture.write("protos/vn/other.proto", "syntax = \"proto2\"; message M { int32 a = 0; }");
    };
    check(
        several,
        expect![[r#"
        protos/vn/common/v1/case.proto:7:35: found unusable protobuf (expected '=', but found ';'), expected a contract in protobuf
        protos/vn/other.proto:1:32: found unusable protobuf (fields must have a label with proto2 syntax (expected one of 'optional', 'repeated' or 'required')), expected a contract in protobuf
        protos/vn/other.proto:1:42: found unusable protobuf (message numbers must be between 1 and 536870911), expected a contract in protobuf
        protos/vn/population/v1/population.proto:20:1: found unusable protobuf (expected 'enum', 'extend', 'import', 'message', 'option', 'service', 'package' or ';', but found 'Person'), expected a contract in protobuf
    "#]],
    );
}

/// What the compiler takes may still be nothing that masks can be made for.
#[test]
fn what_masks_cannot_be_made_for_is_told_where_it_is() {
    let text = format!("{PROTO}\nmessage Later {{ int32 number = 1; }}\n");
    let option = "int32 number = 1 [(giaolien.annotations.v1.subject) = true]";
    let text = text.replace("int32 number = 1", option);
    check(
        |fixture| fixture.write(FILE, &text),
        expect![[r#"
        protos/vn/population/v1/population.proto:25:23: found an unusable contract (`vn.population.v1.Later.number` is a subject; only a `string` or `bytes` can be), expected services and messages that masks can be made for
    "#]],
    );
    let long = "M".repeat(520);
    let fixture = fixture();
    fixture.write(FILE, format!("{PROTO}\nmessage {long} {{}}\n"));
    let told = shown(fixture.load());
    expect![[r#"
        protos:1:1: found an unusable contract (contract has more than 512 bytes in a name), expected services and messages that masks can be made for
    "#]].assert_eq(&told);
}

/// Values of options nest as messages do. The thread of a test has a small stack.
#[test]
fn brackets_nest_as_deep_as_they_may() {
    let deep = format!("option (x) = {}{};", "{ a ".repeat(63), "}".repeat(63));
    let spoil = |fixture: &Fixture| {
        fixture.write(FILE, PROTO.replace("message Person", &format!("{deep}\nmessage Person")))
    };
    check(
        spoil,
        expect![[r#"
        protos/vn/population/v1/population.proto:20:1: found unusable protobuf (name 'x' is not defined), expected a contract in protobuf
    "#]],
    );
}

#[test]
fn what_lies_where_no_contract_is_read_is_told() {
    let astray = |fixture: &Fixture| {
        fixture.write("population.proto", PROTO);
        fixture.write("registry/population.proto", PROTO);
        fixture.write("policies/all.binpb", "");
        fixture.write("protos/readme.txt", "");
        fixture.write("protos/x.yaml", "");
        fixture.write("protos/README.md", "");
        fixture.write("protos/giaolien/annotations/v1/annotations.proto", "syntax = \"proto3\";");
    };
    check(
        astray,
        expect![[r#"
            policies/all.binpb:1:1: found a contract, expected contracts below `protos` alone; move it into the folder `protos`; it has no effect here
            population.proto:1:1: found a contract, expected contracts below `protos` alone; move it into the folder `protos`; it has no effect here
            protos/giaolien/annotations/v1/annotations.proto:1:1: found another version of the gateway's own annotations, expected the gateway's own; take it out: the gateway knows the file without it
            protos/readme.txt:1:1: found a file of another kind, expected files that end in `.proto` or `.binpb`; move it elsewhere
            protos/x.yaml:1:1: found a file of another kind, expected files that end in `.proto` or `.binpb`; move it elsewhere
            registry/population.proto:1:1: found a contract, expected contracts below `protos` alone; move it into the folder `protos`; it has no effect here
        "#]],
    );
}

#[test]
fn sets_that_cannot_be_used_are_told() {
    let files = |bytes: Vec<u8>| move |fixture: &Fixture| fixture.write("protos/a.binpb", &bytes);
    check(
        files(b"no set".to_vec()),
        expect![[r#"
        protos/a.binpb:1:1: found bytes that are no descriptor set (failed to decode Protobuf message: invalid wire type value: 6), expected an encoded `google.protobuf.FileDescriptorSet`; write it with `protoc --include_imports --descriptor_set_out`
    "#]],
    );
    check(
        files(Vec::new()),
        expect![[r#"
        protos/a.binpb:1:1: found an empty descriptor set, expected an encoded `google.protobuf.FileDescriptorSet`; write it with `protoc --include_imports --descriptor_set_out`
    "#]],
    );
    check(
        files([both(PROTO), both(PROTO)].concat()),
        expect![[r#"
        protos/a.binpb:1:1: found `google/protobuf/descriptor.proto` twice, expected an encoded `google.protobuf.FileDescriptorSet`; write it with `protoc --include_imports --descriptor_set_out`
    "#]],
    );
    check(
        files(both(&PROTO.replace("CLASS_SENSITIVE", "CLASS_BASIC"))),
        expect![[r#"
            protos/a.binpb:1:1: found another version of what `protos` has already (loosens `vn.population.v1.Person.ethnicity`: its class is basic instead of sensitive), expected files that mean the same wherever they are; keep one of them, or write both from the same files
        "#]],
    );
    check(
        files(both(&PROTO.replace("rpc LookUp", "rpc Look"))),
        expect![[r#"
            protos/a.binpb:1:1: found another version of what `protos` has already (breaks `/vn.population.v1.PopulationService/LookUpPerson`: is no longer there), expected files that mean the same wherever they are; keep one of them, or write both from the same files
        "#]],
    );
    // Two versions in two sets, and no sources.
    let fixture = Fixture::new();
    fixture.write("protos/a.binpb", both(PROTO));
    fixture.write("protos/b.binpb", both(&PROTO.replace("full_name = 1", "full_name = 4")));
    fixture.check(&expect![[r#"
        protos/b.binpb:1:1: found another version of what `protos` has already (breaks `vn.population.v1.Person.full_name`: its number is 4 instead of 1), expected files that mean the same wherever they are; keep one of them, or write both from the same files
    "#]]);
}

#[test]
fn agreements_and_nodes_are_checked_against_contracts() {
    let fields = "fields: [ful_name, ethnicity, basic, secret]\n    request_fields: [number]";
    let with = |lines: &str| {
        let text = agreements(&[("a1", lines)]);
        move |fixture: &Fixture| fixture.write("agreements/all.yaml", &text)
    };
    check(
        with(fields),
        expect![[r#"
            agreements/all.yaml:13:14: found `ful_name` (`vn.population.v1.Person` has no field `ful_name`), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered; did you mean `full_name`
            agreements/all.yaml:13:42: found `secret` (what is secret is never exchanged), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered
            agreements/all.yaml:14:21: found fields of requests, while no method that is covered is an update, expected them for updates alone; take `request_fields` out
        "#]],
    );
    check(
        with("subjects: {day_max: 5}"),
        expect![[r#"
        good
    "#]],
    );
    check(
        |fixture| {
            let registry = REGISTRY.replace("LookUpPerson]", "LookUpPersons]");
            fixture.write("registry/all.yaml", registry);
        },
        expect![[r#"
            registry/all.yaml:17:56: found `LookUpPersons`, which the contract does not have, expected a method of `vn.population.v1.PopulationService`, as its contract has them; did you mean `LookUpPerson`?
        "#]],
    );
    // Without a contract neither fields nor persons can be told apart.
    check(
        |fixture| {
            with("fields: [full_name]\n    subjects: {day_max: 5}")(fixture);
            fixture.remove("protos");
        },
        expect![[r#"
            agreements/all.yaml:13:13: found fields, while no contract describes `vn.population.v1.PopulationService`, expected a service whose contract is known; put its `.proto` files, or a descriptor set, below `protos`; or take `fields` out
            agreements/all.yaml:14:25: found a bound on persons, while no contract describes `vn.population.v1.PopulationService`, expected a service whose contract is known; put its `.proto` files, or a descriptor set, below `protos`; or take `subjects` out
        "#]],
    );
    // What may only follow from a contract that cannot be read is not told.
    check(
        |fixture| {
            with("fields: [full_name]")(fixture);
            fixture.write(FILE, "syntax");
        },
        expect![[r#"
            protos/vn/population/v1/population.proto:1:1: found unusable protobuf (expected '=', but reached end of file), expected a contract in protobuf
        "#]],
    );
}

/// A chain of imports through every file is the deepest the compiler goes.
#[test]
fn so_many_files_and_no_more() {
    let fixture = Fixture::new();
    let chain = |fixture: &Fixture, files: usize| {
        for n in 0..files {
            let next = (n + 1) % files;
            let import = if next > 0 { format!("import \"{next}.proto\";\n") } else { "".into() };
            let text = format!("syntax = \"proto3\";\n{import}message M{n} {{}}\n");
            fixture.write(&format!("protos/{n}.proto"), text);
        }
    };
    chain(&fixture, 1_000);
    assert_eq!(shown(fixture.load()), "good\n");
    chain(&fixture, 1_001);
    fixture.check(&expect![[r#"
        protos:1:1: found 1001 files, expected at most 1000
    "#]]);
}

#[test]
fn so_many_bytes_and_no_more() {
    let large = format!("{PROTO}// {}", "a".repeat(3 << 20));
    let several = |fixture: &Fixture| {
        for n in 0..3 {
            fixture.write(&format!("protos/{n}.proto"), &large);
        }
    };
    check(
        several,
        expect![[r#"
        protos/2.proto:1:1: found a file that makes them more, expected at most 8 MiB of its kind below `protos`
    "#]],
    );
    let one = |fixture: &Fixture| fixture.write("protos/a.proto", "/".repeat(5 << 20));
    check(
        one,
        expect![[r#"
        protos/a.proto:1:1: found a larger file, expected at most 4 MiB; split it into several files
    "#]],
    );
}

#[test]
fn a_new_contract_is_compared_with_the_one_in_force() {
    let fixture = fixture();
    let all = [
        ("basic", "fields: [basic]"),
        ("c1", "fields: all"),
        ("c2", "fields: [ethnicity]"),
        ("c3", "mode: by_agreement"),
        ("c4", "fields: [sensitive]"),
    ];
    let text = agreements(&all).replace("    mode: by_agreement\n", "");
    fixture.write("agreements/all.yaml", &text);
    let folder = fixture.root.path().join("config");
    let (mut loader, first) = Loader::load(&folder, RevisionId(1)).unwrap();
    let second = loader.reload(&first.snapshot, RevisionId(2)).unwrap();
    assert_eq!(second.amended, Some(0));

    fixture.write("agreements/more.yaml", agreements(&[("d", "fields: [full_name]")]));
    let third = loader.reload(&second.config.snapshot, RevisionId(3)).unwrap();
    assert_eq!((third.amended, third.config.notes.len()), (Some(1), 0));
    assert!(third.config.snapshot.contract().is_some());

    fixture.write(FILE, format!("// A comment changes nothing.\n{PROTO}"));
    let fourth = loader.reload(&third.config.snapshot, RevisionId(4)).unwrap();
    assert_eq!((fourth.amended, fourth.config.notes.len()), (None, 0));

    let changed = PROTO
        .replace("CLASS_SENSITIVE", "CLASS_BASIC")
        .replace("string full_name = 1", "bytes full_name = 3")
        .replace("message Person {", "message Person {\n  string alias = 9;");
    fixture.write(FILE, changed);
    let fifth = loader.reload(&fourth.config.snapshot, RevisionId(5)).unwrap();
    assert_eq!(fifth.amended, None);
    let mut notes = String::new();
    fifth.config.notes.iter().for_each(|note| writeln!(notes, "{note}").unwrap());
    expect![[r#"
        contract: breaks `vn.population.v1.Person.full_name`: its number is 3 instead of 1; concerns agreements `basic`, `c1`, `c3` and 1 more
        contract: loosens `vn.population.v1.Person.ethnicity`: its class is basic instead of sensitive; concerns agreements `basic`, `c1`, `c2` and 1 more
        contract: adds `vn.population.v1.Person.alias`: is new, of class sensitive; concerns agreements `c1`, `c3`, `c4`
    "#]].assert_eq(&notes);

    fixture.write("agreements/all.yaml", AGREEMENTS);
    fixture.remove("agreements/more.yaml");
    fixture.remove("protos");
    let last = loader.reload(&fifth.config.snapshot, RevisionId(6)).unwrap();
    expect!["contract: none is left; there was one of 2 methods"]
        .assert_eq(&last.config.notes.join("\n"));
}
