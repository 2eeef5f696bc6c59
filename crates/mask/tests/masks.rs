//! What masks do to single messages, and what keeps selections from becoming masks.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect may panic")]

mod support;

use expect_test::{Expect, expect};
use mask::{Contract, Fault, MalformedError, Mask, Selection, Watch, Workspace};
use protox::prost_reflect::prost::Message as _;
use protox::prost_reflect::text_format::FormatOptions;
use protox::prost_reflect::{DescriptorPool, DynamicMessage};

const DECLARATIONS: &str = r#"
message Citizen {
  optional string number = 1 [(class) = BASIC, (subject) = true];
  optional string faith = 2 [(class) = SENSITIVE];
  optional Place home = 3 [(class) = BASIC];
  repeated Citizen children = 4 [(class) = BASIC];
  optional Health health = 5 [(class) = SENSITIVE];
  map<string, Place> places = 6 [(class) = BASIC];
  optional google.protobuf.Any details = 7 [(class) = BASIC];
  oneof contact {
    string phone = 8 [(class) = BASIC];
    string address = 9 [(class) = SENSITIVE];
  }
  optional string pin = 10 [(class) = SECRET];
  optional google.protobuf.Timestamp born = 11 [(class) = BASIC];
  repeated int32 marks = 12 [(class) = OPEN];
  optional string not_classed = 13;
  repeated google.protobuf.Any more = 14 [(class) = BASIC];
  optional Vault vault = 15 [(class) = SECRET];
  optional string page = 16 [(class) = OPEN];
}
message Place {
  optional string province = 1 [(class) = BASIC];
  optional string street = 2 [(class) = SENSITIVE];
}
message Health {
  optional string blood = 1 [(class) = BASIC];
  optional string doctor_number = 2 [(class) = BASIC, (subject) = true];
}
message Vault { optional string number = 1 [(class) = OPEN, (subject) = true]; }
message Debt {
  optional int64 amount = 1 [(class) = BASIC];
  optional string reason = 2 [(class) = SENSITIVE];
  optional Debt older = 3 [(class) = BASIC];
}
message Strict {
  required string name = 1 [(class) = BASIC];
  required string faith = 2 [(class) = SENSITIVE];
}
message Asks { optional Strict strict = 1 [(class) = BASIC]; optional string x = 2; }
"#;

struct World {
    contract: Contract,
    pool: DescriptorPool,
}

impl World {
    fn new() -> Self {
        let (contract, pool) = support::contract("syntax = \"proto2\";", DECLARATIONS);
        Self { contract, pool }
    }

    fn mask(&self, items: &[&str]) -> Mask {
        let selection = Selection::from_items(items.iter().copied());
        Mask::compile(&self.contract, "t.Citizen", &selection).unwrap()
    }

    fn problems(&self, message: &str, items: &[&str]) -> String {
        let selection = Selection::from_items(items.iter().copied());
        let problems = Mask::compile(&self.contract, message, &selection).unwrap_err();
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    fn encoded(&self, message: &str, text: &str) -> Vec<u8> {
        let descriptor = self.pool.get_message_by_name(message).unwrap();
        DynamicMessage::parse_text_format(descriptor, text).unwrap().encode_to_vec()
    }

    /// The message after the mask, with the paths of what was withheld.
    fn masked(&self, items: &[&str], text: &str) -> String {
        let mask = self.mask(items);
        let mut message = self.encoded("t.Citizen", text);
        let mut workspace = Workspace::new();
        let applied = mask.apply(&mut message, &mut workspace).unwrap();
        let descriptor = self.pool.get_message_by_name("t.Citizen").unwrap();
        let found = DynamicMessage::decode(descriptor, message.as_slice()).unwrap();
        let options = FormatOptions::new().expand_any(true);
        let paths: Vec<_> = workspace.withheld().map(|id| mask.paths(id).join("|")).collect();
        let found = found.to_text_format_with_options(&options);
        format!("{found}\nwithheld {}: {}\n", applied.withheld, paths.join(" "))
    }
}

const PERSON: &str = r#"
number: "900000000001" faith: "f" home { province: "01" street: "s" }
children { number: "900000000002" faith: "g" home { street: "t" } }
health { blood: "O" doctor_number: "900000000003" }
places { key: "work" value { province: "79" street: "u" } }
phone: "0900" pin: "1234" born { seconds: 5 } marks: [1, 2] not_classed: "n" page: "p"
"#;

fn check(items: &[&str], text: &str, expected: Expect) {
    expected.assert_eq(&World::new().masked(items, text));
}

#[test]
fn a_class_gives_what_is_of_this_class_all_the_way() {
    check(
        &["basic"],
        PERSON,
        expect![[r#"
            number:"900000000001",home{province:"01"},children:[{number:"900000000002",home{}}],places:[{key:"work",value{province:"79"}}],phone:"0900",born{seconds:5}
            withheld 11: faith health pin marks not_classed page home.street|children.home.street|places.street|children.places.street children.faith
        "#]],
    );
    // Blood is basic, but lies in what is sensitive; faith is sensitive and lies in what is basic.
    check(
        &["sensitive"],
        "faith: 'f' health { blood: 'O' } number: '9' home { province: '01' street: 's' }",
        expect![[r#"
            faith:"f",home{street:"s"},health{blood:"O"}
            withheld 2: number home.province|children.home.province|places.province|children.places.province
        "#]],
    );
    check(
        &["open"],
        PERSON,
        expect![[r#"
        marks:[1,2],page:"p"
        withheld 10: number faith home children health places phone pin born not_classed
    "#]],
    );
}

#[test]
fn a_path_gives_one_field_and_a_message_up_to_its_class() {
    check(
        &["faith", "home.street"],
        PERSON,
        expect![[r#"
        faith:"f",home{street:"s"}
        withheld 12: number children health places phone pin born marks not_classed page home.province
    "#]],
    );
    check(
        &["home"],
        PERSON,
        expect![[r#"
        home{province:"01"}
        withheld 13: number faith children health places phone pin born marks not_classed page home.street
    "#]],
    );
    check(
        &["health"],
        PERSON,
        expect![[r#"
        health{blood:"O",doctor_number:"900000000003"}
        withheld 12: number faith home children places phone pin born marks not_classed page
    "#]],
    );
    check(
        &["children.children.number", "places.province"],
        PERSON,
        expect![[r#"
        children:[{}],places:[{key:"work",value{province:"79"}}]
        withheld 15: number faith home health phone pin born marks not_classed page children.number children.faith children.home places.street
    "#]],
    );
    check(
        &["not_classed", "born"],
        PERSON,
        expect![[r#"
        born{seconds:5},not_classed:"n"
        withheld 11: number faith home children health places phone pin marks page
    "#]],
    );
}

#[test]
fn an_any_is_given_if_its_type_is() {
    let any =
        "details { [type.googleapis.com/t.Debt] { amount: 5 reason: 'r' older { amount: 6 } } }
        more { [type.googleapis.com/t.Debt] { amount: 7 } }
        more { [x/t.Place] { province: '01' street: 's' } }";
    check(
        &["basic"],
        any,
        expect![[r#"

        withheld 3: details more
    "#]],
    );
    check(
        &["details.[t.Debt]", "more.[t.Place].street"],
        any,
        expect![[r#"
        details{[type.googleapis.com/t.Debt]{amount:5,older{amount:6}}},more:[{[x/t.Place]{street:"s"}}]
        withheld 3: more.[?] details.[t.Debt].reason more.[t.Place].province
    "#]],
    );
    check(
        &["details.[t.Debt].older.reason", "more.[t.Debt].amount"],
        any,
        expect![[r#"
        details{[type.googleapis.com/t.Debt]{older{}}},more:[{[type.googleapis.com/t.Debt]{amount:7}}]
        withheld 4: more.[?] details.[t.Debt].amount details.[t.Debt].reason details.[t.Debt].older.amount
    "#]],
    );
}

#[test]
fn words_that_name_nothing_are_problems() {
    let world = World::new();
    let items = [
        "secret",
        "fait",
        "home.provinces",
        "home.*",
        "number.x",
        "pin",
        "vault.number",
        "(t.ext)",
        "details",
        "details.amount",
        "details.[t.Deb]",
        "",
        "children..number",
    ];
    expect![[r#"
        `secret`: what is secret is never exchanged
        ``: `t.Citizen` has no field ``
        `(t.ext)`: `t.Citizen` has no field `(t`; extensions are always withheld
        `children..number`: `t.Citizen` has no field ``
        `details`: names an `Any`, of which nothing is given; name the types that it may hold: `details.[package.Type]`
        `details.[t.Deb]`: the contract has no message `t.Deb`; did you mean `t.Debt`
        `details.amount`: `amount` comes after an `Any`; say the type, as in `[package.Type]`
        `fait`: `t.Citizen` has no field `fait`; did you mean `faith`
        `home.*`: `t.Place` has no field `*`; name the fields, or their class
        `home.provinces`: `t.Place` has no field `provinces`; did you mean `province`
        `number.x`: `number` is a string and has no fields
        `pin`: `pin` is secret, which is never exchanged
        `vault.number`: `vault` is secret, which is never exchanged
    "#]].assert_eq(&world.problems("t.Citizen", &items));
    expect![[r#"
        `t.Citicen`: the contract has no such message; did you mean `t.Citizen`
    "#]]
    .assert_eq(&world.problems("t.Citicen", &["basic"]));
    expect![[r#"
        `google.protobuf.Any`: cannot be masked by itself
    "#]]
    .assert_eq(&world.problems("google.protobuf.Any", &["basic"]));
    expect![[r#"
        `t.Strict.faith`: is required, and receivers refuse a message without it; name it, or none of the message
    "#]].assert_eq(&world.problems("t.Asks", &["basic"]));
}

#[test]
fn a_mask_tells_what_it_gives() {
    let world = World::new();
    let mask = world.mask(&["basic", "details.[t.Debt].amount"]);
    let list = |fields: &mut dyn Iterator<Item = mask::FieldView>| {
        fields.map(|field| format!("{} ({})\n", field.path, field.class)).collect::<String>()
    };
    expect![[r#"
        number (basic)
        phone (basic)
        home.province (basic)
        children.home.province (basic)
        places.province (basic)
        children.places.province (basic)
        children.number (basic)
        children.phone (basic)
        children.marks (basic)
        children.page (basic)
        born.seconds (basic)
        children.born.seconds (basic)
        born.nanos (basic)
        children.born.nanos (basic)
        details.[t.Debt].amount (basic)
        details.[t.Debt].older.amount (basic)
    "#]]
    .assert_eq(&list(&mut mask.given()));
    expect![[r#"
        faith (sensitive)
        health (sensitive)
        details.[?] (basic)
        address (sensitive)
        pin (secret)
        marks (open)
        not_classed (sensitive)
        more (basic)
        vault (secret)
        page (open)
        home.street (sensitive)
        children.home.street (sensitive)
        places.street (sensitive)
        children.places.street (sensitive)
        children.faith (sensitive)
        children.health (sensitive)
        children.details (basic)
        children.address (sensitive)
        children.pin (secret)
        children.not_classed (sensitive)
        children.more (basic)
        children.vault (secret)
        details.[t.Debt].reason (sensitive)
        details.[t.Debt].older.reason (sensitive)
    "#]]
    .assert_eq(&list(&mut mask.withheld()));
    assert_eq!(mask.paths(1), ["faith"]);
    // A place is masked in the same way wherever it is.
    let shared = (1..20).map(|id| mask.paths(id)).find(|paths| paths.len() > 1).unwrap();
    assert_eq!(
        shared,
        ["home.street", "children.home.street", "places.street", "children.places.street"]
    );
    assert_eq!(mask.paths(0), ["?"]);
    assert!(mask.paths(9_999).is_empty());
}

#[test]
fn the_digest_follows_from_contract_message_and_selection() {
    let hex =
        |digest: &[u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let world = World::new();
    expect!["84e1665939b19fbf47a6b56f4b644a54723be8b122edbd313b364c6f71fb95a6"]
        .assert_eq(&hex(world.contract.digest()));
    let mask = world.mask(&["basic", "faith"]);
    expect!["fa68048ea9a1d90be9b6ce6d9bfc773949b2f4c677e2053d28e16deb4db93bc7"]
        .assert_eq(&hex(mask.digest()));
    assert_eq!(mask.digest(), world.mask(&["faith", "basic", ".faith"]).digest());
    assert_ne!(mask.digest(), world.mask(&["basic"]).digest());
    let other = DECLARATIONS.replace("street = 2 [(class) = SENSITIVE]", "street = 2");
    let (other, _) = support::contract("syntax = \"proto2\";", &other);
    assert_eq!(other.digest(), world.contract.digest(), "no class is as good as sensitive");
    let other =
        DECLARATIONS.replace("street = 2 [(class) = SENSITIVE]", "street = 2 [(class) = OPEN]");
    let (other, _) = support::contract("syntax = \"proto2\";", &other);
    assert_ne!(other.digest(), world.contract.digest());
}

#[test]
fn subjects_are_read_wherever_they_are() {
    let world = World::new();
    let subjects = |workspace: &Workspace| {
        let text = |subject: &[u8]| String::from_utf8(subject.to_vec()).unwrap();
        workspace.subjects().map(text).collect::<Vec<_>>()
    };
    let expected = ["900000000001", "900000000002", "900000000003", "900000000004"];
    let message =
        world.encoded("t.Citizen", &format!("{PERSON} vault {{ number: '900000000004' }}"));
    let mut workspace = Workspace::new();
    // Whether all, some or nothing of them is given.
    for items in [["basic"], ["number"], ["page"]] {
        let applied = world.mask(&items).apply(&mut message.clone(), &mut workspace).unwrap();
        assert!(applied.withheld > 0);
        assert_eq!(subjects(&workspace), expected, "{items:?}");
    }
    let watch = Watch::compile(&world.contract, "t.Citizen").unwrap();
    watch.read(&message, &mut workspace).unwrap();
    assert_eq!(subjects(&workspace), expected);
    assert!(!watch.is_blind());
    assert!(Watch::compile(&world.contract, "t.Debt").unwrap().is_blind());

    let many: String = (0..1_100).map(|n| format!("children {{ number: '9{n:011}' }}\n")).collect();
    watch.read(&world.encoded("t.Citizen", &many), &mut workspace).unwrap();
    assert_eq!(workspace.subjects().count(), mask::SUBJECTS_MAX);
    assert!(workspace.has_more_subjects());
    watch.read(&world.encoded("t.Citizen", "number: '9'"), &mut workspace).unwrap();
    assert!(!workspace.has_more_subjects());
    let long = format!("number: '{}'", "9".repeat(mask::SUBJECTS_BYTES_MAX + 1));
    watch.read(&world.encoded("t.Citizen", &long), &mut workspace).unwrap();
    assert!(workspace.has_more_subjects());
}

fn malformed(items: &[&str], message: &[u8]) -> Option<(usize, Fault)> {
    let mask = World::new().mask(items);
    let mut out = message.to_vec();
    let result = mask.apply(&mut out, &mut Workspace::new());
    match result {
        Ok(_) => None,
        Err(MalformedError { at, fault }) => {
            assert!(out.is_empty(), "nothing of it may be sent");
            Some((at, fault))
        }
    }
}

#[test]
fn what_decoders_read_differently_is_refused() {
    let basic = |message: &[u8]| malformed(&["basic", "details.[t.Debt]"], message);
    assert_eq!(basic(b""), None);
    assert_eq!(basic(b"\x0a\x05abcd"), Some((0, Fault::Truncated)));
    assert_eq!(basic(b"\x0a\x01a\x12\xff\xff\xff\xff\x7f"), Some((3, Fault::Truncated)));
    assert_eq!(basic(b"\x0a\x01a\x00\x01"), Some((3, Fault::Zero)));
    assert_eq!(basic(b"\x0e"), Some((0, Fault::WireType)));
    assert_eq!(basic(b"\x0f"), Some((0, Fault::WireType)));
    assert_eq!(basic(b"\x0c"), Some((0, Fault::GroupEnd)));
    assert_eq!(basic(b"\x0b\x14"), Some((0, Fault::GroupEnd)));
    assert_eq!(basic(b"\x0b\x08\x01"), Some((0, Fault::GroupOpen)));
    // A number that goes past the end of its message, or of the whole.
    assert_eq!(basic(b"\x1a\x01\x08\x01"), Some((2, Fault::Truncated)));
    assert_eq!(basic(b"\x60"), Some((0, Fault::Truncated)));
    assert_eq!(basic(b"\x79\x01"), Some((0, Fault::Truncated)));
    assert_eq!(basic(b"\x8a\x80\x80\x80\x10"), Some((0, Fault::Tag)));
    assert_eq!(basic(&[0x80; 11]), Some((0, Fault::Varint)));
    // A phone, which is given, and then an address, which is not and unsets the phone.
    assert_eq!(basic(b"\x42\x01p\x4a\x01a"), Some((3, Fault::Oneof)));
    assert_eq!(basic(b"\x4a\x01a\x42\x01p"), None);
    // The parts of an `Any`: its type could come to another value.
    assert_eq!(basic(b"\x3a\x00"), None, "without a type it is withheld");
    let any = b"\x3a\x0a\x0a\x08x/t.Debt";
    assert_eq!(basic(any), None);
    assert_eq!(basic(&any.repeat(2)), Some((12, Fault::Split)));
    assert_eq!(basic(b"\x3a\x04\x12\x00\x12\x00"), Some((0, Fault::Any)));
    let deep = |levels: usize| {
        (0..levels).fold(Vec::new(), |inside, _| {
            let mut outer = vec![0x22];
            outer.push((inside.len() & 0x7f) as u8 | 0x80);
            outer.push((inside.len() >> 7) as u8);
            outer.extend(inside);
            outer
        })
    };
    assert_eq!(basic(&deep(100)), None);
    assert_eq!(basic(&deep(101)), Some((300, Fault::Depth)));
}

#[test]
fn a_declared_field_in_another_wire_type_is_unknown() {
    let world = World::new();
    let mask = world.mask(&["open", "basic", "sensitive"]);
    let check = |message: &[u8], expected: &[u8]| {
        let mut out = message.to_vec();
        let mut workspace = Workspace::new();
        let applied = mask.apply(&mut out, &mut workspace).unwrap();
        assert_eq!(out, expected);
        let unknown = if out == message { vec![] } else { vec![0] };
        assert_eq!(workspace.withheld().collect::<Vec<_>>(), unknown);
        assert_eq!(applied.withheld as usize, unknown.len());
    };
    check(b"\x08\x01\x12\x01f", b"\x12\x01f");
    check(b"\x09AAAAAAAA", b"");
    check(b"\x0dAAAA", b"");
    check(b"\x0b\x0a\x01x\x0c", b"");
    check(b"\x1b\x0a\x01x\x1c", b"");
    // Numbers in a list may come packed or not.
    check(b"\x60\x01\x62\x02\x02\x03", b"\x60\x01\x62\x02\x02\x03");
    // Extensions and numbers that nobody declared.
    check(b"\x12\x01f\xfa\x06\x01x", b"\x12\x01f");
}

#[test]
fn a_message_of_which_nothing_is_withheld_needs_no_memory() {
    let world = World::new();
    let mask = world.mask(&["open", "basic", "sensitive"]);
    let whole = world.encoded("t.Citizen", &PERSON.replace("pin: \"1234\"", ""));
    let masked = world.encoded("t.Citizen", PERSON);
    let (mut same, mut less) = (whole.clone(), masked.clone());
    let mut workspace = Workspace::new();
    let first = mask.apply(&mut masked.clone(), &mut workspace).unwrap();
    assert_eq!(first.withheld, 1);
    let allocated = allocation_counter::measure(|| {
        assert_eq!(mask.apply(&mut same, &mut workspace).unwrap().withheld, 0);
        assert_eq!(mask.apply(&mut less, &mut workspace).unwrap().withheld, 1);
    });
    assert_eq!(allocated.count_total, 0);
    assert_eq!(same, whole);
    assert_eq!(less, whole);
}
