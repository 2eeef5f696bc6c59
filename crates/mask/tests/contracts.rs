//! What descriptor sets become, and what a new contract changes.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect may panic")]

mod support;

use expect_test::expect;
use mask::{Class, Contract, ContractError, Kind, Mask, Selection, Severity, Workspace, compare};

fn text(syntax: &str, declarations: &str) -> String {
    let (contract, _) = support::contract(syntax, declarations);
    contract
        .text()
        .lines()
        .skip_while(|line| *line != "message t.M")
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn a_contract_is_read_from_descriptors() {
    let declarations = r#"
        enum E { NONE = 0; }
        message N { string x = 1; }
        message M {
          string number = 1 [(class) = BASIC, (subject) = true, (dictionary) = "DD.1", (source) = "db"];
          E kind = 70 [(class) = OPEN];
          repeated N list = 3 [(class) = SENSITIVE];
          map<int32, N> by_id = 4 [(class) = BASIC];
          oneof choice { bytes a = 5; sint64 b = 6 [(class) = SECRET]; }
          optional double maybe = 7;
        }
        service S { rpc Get(M) returns (stream N); }"#;
    expect![[r#"
        message t.M
        field 1 number single string basic subject dictionary="DD.1" source="db"
        field 3 list repeated message t.N sensitive
        field 4 by_id repeated map t.M.ByIdEntry basic
        field 5 a single bytes sensitive oneof=0
        field 6 b single sint64 secret oneof=0
        field 7 maybe single double sensitive
        field 70 kind single enum t.E open
        entry t.M.ByIdEntry
        field 1 key single int32 open
        field 2 value single message t.N open
        message t.N
        field 1 x single string sensitive
    "#]]
    .assert_eq(&text("syntax = \"proto3\";", declarations));
    let (contract, _) = support::contract("syntax = \"proto3\";", declarations);
    let method = contract.method("/t.S/Get").unwrap();
    assert_eq!((method.input.as_str(), method.output.as_str()), ("t.M", "t.N"));
    assert_eq!((method.streams_requests, method.streams_answers), (false, true));
    let field = contract.message("t.M").unwrap().field_named("maybe").unwrap();
    assert_eq!((field.class, field.is_classed, field.oneof), (Class::Sensitive, false, None));
    assert_eq!(
        contract.held(contract.message("t.M").unwrap().field(3).unwrap()).unwrap().name,
        "t.N"
    );
    assert!(matches!(contract.message("t.M").unwrap().field(4).unwrap().kind, Kind::Map(_)));
}

#[test]
fn groups_and_required_fields_are_read() {
    let declarations =
        "message M { required string x = 1; repeated group G = 2 { optional int32 y = 1; } }";
    expect![[r#"
        message t.M
        field 1 x required string sensitive
        field 2 g repeated group t.M.G sensitive
        message t.M.G
        field 1 y single int32 sensitive
    "#]]
    .assert_eq(&text("syntax = \"proto2\";", declarations));
}

/// A field of a message, of wire type 2.
fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    match value.len() {
        length @ 0..0x80 => field.push(length as u8),
        length => field.extend([length as u8 | 0x80, (length >> 7) as u8]),
    }
    field.extend_from_slice(value);
    field
}

/// Edition 2023 says in features what proto2 says in types and labels. The compiler of the tests
/// does not know editions, so the descriptors are put together by hand.
#[test]
fn features_of_editions_are_inherited() {
    // `message_encoding: DELIMITED` of the file; `field_presence: LEGACY_REQUIRED` of a field.
    let delimited = [&[0x92, 0x03][..], &bytes(0, b"\x28\x02")[1..]].concat();
    let required = bytes(8, &[&[0xaa, 0x01][..], &bytes(0, b"\x08\x03")[1..]].concat());
    let prefixed = bytes(8, &[&[0xaa, 0x01][..], &bytes(0, b"\x28\x01")[1..]].concat());
    let field = |name: &[u8], number: u8, kind: u8, more: &[u8]| {
        bytes(2, &[&bytes(1, name)[..], &[0x18, number, 0x20, 1, 0x28, kind], more].concat())
    };
    let of_m = bytes(6, b".p.M");
    let message = [
        bytes(1, b"M"),
        field(b"grouped", 1, 11, &of_m),
        field(b"plain", 2, 11, &[&of_m[..], &prefixed].concat()),
        field(b"needed", 3, 9, &required),
    ];
    let file = [bytes(2, b"p"), bytes(4, &message.concat()), bytes(8, &delimited)].concat();
    let contract = Contract::from_descriptor_set(&bytes(1, &file)).unwrap();
    expect![[r#"
        giaolien contract v1
        message p.M
        field 1 grouped single group p.M sensitive
        field 2 plain single message p.M sensitive
        field 3 needed required string sensitive
    "#]]
    .assert_eq(&contract.text());
}

#[test]
fn what_is_no_contract_is_told() {
    let check = |set: &[u8]| Contract::from_descriptor_set(set).unwrap_err().to_string();
    expect!["not a descriptor set: the field goes on after the end of its message"]
        .assert_eq(&check(b"\x0a\x05ab"));
    let message = |fields: &[u8]| bytes(1, &bytes(4, &[&bytes(1, b"M"), fields].concat()));
    let field = |rest: &[u8]| message(&bytes(2, &[&bytes(1, b"x"), rest].concat()));
    expect!["`M.x` has the number 0"].assert_eq(&check(&field(b"\x18\x00\x28\x09")));
    expect!["`M.x` has the unknown type 99"].assert_eq(&check(&field(b"\x18\x01\x28\x63")));
    expect!["`M.x` refers to `N`, which is not in the set; compile it with all imports"]
        .assert_eq(&check(&field(b"\x18\x01\x28\x0b\x32\x02.N")));
    expect!["`M.x` has the unknown class 9"]
        .assert_eq(&check(&field(b"\x18\x01\x28\x09\x42\x04\xa8\xed\x18\x09")));
    expect!["`M.x` is a subject; only a `string` or `bytes` can be"]
        .assert_eq(&check(&field(b"\x18\x01\x28\x05\x42\x04\xb0\xed\x18\x01")));
    expect!["`M.` has no plain name for field 1"]
        .assert_eq(&check(&message(&bytes(2, b"\x18\x01\x28\x09"))));
    expect!["`` declares a message without a name"].assert_eq(&check(&bytes(1, &bytes(4, b""))));
    let twice = [message(b""), message(b"")].concat();
    expect!["`M` is declared twice"].assert_eq(&check(&twice));
    expect!["`a b` is not a name"].assert_eq(&check(&bytes(1, &bytes(4, &bytes(1, b"a b")))));
    // Another organisation's extension under a number of ours.
    let extension = bytes(
        7,
        &[&bytes(1, b"tier")[..], b"\x18\xd5\x8d\x03", &bytes(2, b".google.protobuf.FieldOptions")]
            .concat(),
    );
    expect!["`tier` extends FieldOptions by 50901, the number of `giaolien.annotations.v1.class`"]
        .assert_eq(&check(&bytes(1, &extension)));
    let deep =
        (0..40).fold(bytes(1, b"M"), |inside, _| [bytes(1, b"M"), bytes(3, &inside)].concat());
    expect!["contract has more than 32 messages declared in each other"]
        .assert_eq(&check(&bytes(1, &bytes(4, &deep))));
    let large = vec![0x10; (16 << 20) + 1];
    assert_eq!(
        Contract::from_descriptor_set(&large).unwrap_err(),
        ContractError::TooLarge { what: "bytes", limit: 16 << 20 }
    );
}

#[test]
fn a_new_contract_is_compared() {
    let old = r#"
        enum E { NONE = 0; }
        message N { string x = 1 [(class) = BASIC]; }
        message Gone { string x = 1; }
        message M {
          string same = 1 [(class) = BASIC];
          string gone = 2 [(class) = BASIC];
          string moved = 3 [(class) = BASIC];
          int32 wider = 4 [(class) = BASIC];
          int32 other = 5 [(class) = BASIC];
          string lowered = 6 [(class) = SENSITIVE];
          string raised = 7 [(class) = BASIC];
          string one = 8 [(class) = BASIC];
          string renamed = 9 [(class) = BASIC];
          string who = 10 [(class) = BASIC];
        }
        service S { rpc Get(M) returns (N); rpc Drop(M) returns (N); }"#;
    let new = r#"
        enum E { NONE = 0; }
        message N { string x = 1 [(class) = BASIC]; }
        message New { string x = 1; }
        message M {
          string same = 1 [(class) = BASIC];
          string moved = 30 [(class) = BASIC];
          int64 wider = 4 [(class) = BASIC];
          string other = 5 [(class) = BASIC];
          string lowered = 6 [(class) = BASIC];
          string raised = 7 [(class) = SENSITIVE];
          repeated string one = 8 [(class) = BASIC];
          string called = 9 [(class) = BASIC];
          string who = 10 [(class) = BASIC, (subject) = true, (source) = "db"];
          string added = 11 [(class) = BASIC];
        }
        service S { rpc Get(M) returns (stream M); rpc Add(M) returns (N); }"#;
    let (old, _) = support::contract("syntax = \"proto3\";", old);
    let (new, _) = support::contract("syntax = \"proto3\";", new);
    let changes = compare(&old, &new);
    let text: String = changes.iter().map(|change| format!("{change}\n")).collect();
    expect![[r#"
        breaks `/t.S/Drop`: is no longer there
        breaks `/t.S/Get`: gives `t.M` instead of `t.N`
        breaks `/t.S/Get`: its answers are a stream
        breaks `t.Gone`: is no longer there
        breaks `t.M.gone`: is no longer there
        breaks `t.M.moved`: its number is 30 instead of 3
        breaks `t.M.one`: is repeated instead of single
        breaks `t.M.other`: is `string` instead of `int32`
        breaks `t.M.raised`: its class is sensitive instead of basic
        breaks `t.M.renamed`: is now called `called`; paths and JSON use the name
        loosens `t.M.lowered`: its class is basic instead of sensitive
        alters `t.M.who`: now says whom the message is about
        alters `t.M.who`: its authoritative source is `db` instead of `none`
        alters `t.M.wider`: is `int64` instead of `int32`
        adds `/t.S/Add`: is new
        adds `t.M.added`: is new, of class basic
        adds `t.New`: is new
    "#]]
    .assert_eq(&text);
    assert!(compare(&old, &old).is_empty());
    assert!(changes.iter().all(|change| change.message.starts_with("t.")));
    assert!(Severity::Breaks > Severity::Loosens);
}

#[test]
fn the_sample_services_are_masked_as_agreements_say() {
    let (contract, pool) = support::population();
    let answer = "vn.population.v1.LookUpPersonResponse";
    let given = |items: &[&str]| {
        let selection = Selection::from_items(items.iter().copied());
        let mask = Mask::compile(&contract, answer, &selection).unwrap();
        mask.given().map(|field| field.path).collect::<Vec<_>>().join(" ")
    };
    expect!["citizen.full_name citizen.permanent_residence.province_name"]
        .assert_eq(&given(&["citizen.full_name", "citizen.permanent_residence.province_name"]));
    let basic = given(&["basic"]);
    assert!(basic.contains("citizen.birth_date") && !basic.contains("ethnicity"), "{basic}");
    assert!(given(&["basic", "sensitive"]).contains("citizen.ethnicity"));
    assert_eq!(given(&["open"]), "");
    // One mask for each message, for all that the contract has.
    let mut workspace = Workspace::new();
    for message in contract.messages().iter().filter(|message| !message.is_map_entry) {
        let selection = Selection::from_items(["open", "basic"]);
        let mask = Mask::compile(&contract, &message.name, &selection);
        let required =
            message.fields.iter().any(|field| field.cardinality == mask::Cardinality::Required);
        match mask {
            Ok(mask) => assert_eq!(mask.apply(&mut Vec::new(), &mut workspace).unwrap().length, 0),
            Err(problems) => {
                assert!(required || message.name.starts_with("google."), "{problems:?}")
            }
        }
    }
    assert!(pool.get_message_by_name(answer).is_some());
}
