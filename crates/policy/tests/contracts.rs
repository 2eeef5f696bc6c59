//! What agreements say about fields becomes masks, by the contract of the service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use mask::Mask;
use model::{Effect, MethodPath, RevisionId};
use policy::source::{Agreement, Fields, Method, Methods, Service, SubjectBudget};
use policy::{Change, Route, Snapshot, Source};

use support::{agreement, contract, node, of_member, source};

const PROTO: &str = r#"
    service Persons {
      rpc Get(GetRequest) returns (Person);
      rpc List(GetRequest) returns (stream People);
      rpc Put(PutRequest) returns (Done);
      rpc Ping(Done) returns (Done);
      rpc Wrap(Done) returns (google.protobuf.Any);
    }
    service Strict { rpc Get(GetRequest) returns (Person); }
    message GetRequest {
      string number = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC,
                         (giaolien.annotations.v1.subject) = true];
    }
    message Person {
      string number = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC,
                         (giaolien.annotations.v1.subject) = true];
      string name = 2 [(giaolien.annotations.v1.class) = CLASS_BASIC];
      string faith = 3 [(giaolien.annotations.v1.class) = CLASS_SENSITIVE];
      string key = 4 [(giaolien.annotations.v1.class) = CLASS_SECRET];
    }
    message People {
      repeated Person persons = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC];
      map<string, Person> by_name = 2 [(giaolien.annotations.v1.class) = CLASS_BASIC];
      int32 total = 3 [(giaolien.annotations.v1.class) = CLASS_OPEN];
    }
    message PutRequest {
      Person person = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC];
      string reason = 2 [(giaolien.annotations.v1.class) = CLASS_OPEN];
    }
    message Done { bool done = 1 [(giaolien.annotations.v1.class) = CLASS_OPEN]; }
"#;

const METHODS: [&str; 5] = ["Get", "List", "Put", "Ping", "Wrap"];

fn service(name: &str, methods: &[&str]) -> Service {
    let method = |name: &&str| Method {
        name: (*name).into(),
        effect: if *name == "Put" { Effect::Update } else { Effect::Query },
        attributes: Default::default(),
    };
    let methods = methods.iter().map(method).collect();
    Service { name: name.into(), methods, attributes: Default::default() }
}

fn persons(agreements: Vec<Agreement>) -> Source {
    let services = vec![service("t.v1.Persons", &METHODS), service("t.v1.Other", &["Get"])];
    Source {
        nodes: vec![node("population", services)],
        contract: Some(contract(PROTO)),
        ..source(agreements)
    }
}

fn with(id: &str, methods: &[&str], fields: &[&str]) -> Agreement {
    Agreement {
        service: "t.v1.Persons".into(),
        methods: Methods::Named(methods.iter().map(|name| (*name).into()).collect()),
        fields: named(fields),
        ..agreement(id, of_member("H26"))
    }
}

fn named(fields: &[&str]) -> Fields {
    match fields {
        ["all"] => Fields::All,
        names => Fields::Named(names.iter().map(|name| (*name).into()).collect()),
    }
}

fn route<'s>(snapshot: &'s Snapshot, method: &str) -> Route<'s> {
    snapshot.route(MethodPath::parse(&format!("/t.v1.Persons/{method}")).unwrap()).unwrap()
}

/// The agreement, as a call under it gets it.
fn under<'s>(snapshot: &'s Snapshot, id: &str, method: &str) -> &'s policy::Agreement {
    use model::Terms;
    let caller = snapshot.system("province").unwrap();
    let purpose = Some("residence".parse().unwrap());
    let terms = Terms { purpose, agreement: Some(id.parse().unwrap()), ..Terms::default() };
    let context =
        policy::Context { terms: &terms, source: support::SOURCE, token: None, now: support::NOW };
    let route = route(snapshot, method);
    let decided = snapshot.decide(&caller, &route, &context, &mut policy::Workspace::default());
    decided.unwrap().agreement
}

fn answer_mask<'s>(snapshot: &'s Snapshot, id: &str, method: &str) -> Option<&'s Arc<Mask>> {
    under(snapshot, id, method).answer_mask(&route(snapshot, method))
}

fn shown(mask: Option<&Arc<Mask>>) -> String {
    match mask {
        None => "untouched".to_owned(),
        Some(mask) => mask.given().map(|field| field.path).collect::<Vec<_>>().join(" "),
    }
}

/// What is given of answers and requests of each method.
fn check(agreement: Agreement, expected: Expect) {
    let Methods::Named(methods) = agreement.methods.clone() else { panic!("names no methods") };
    let snapshot = Snapshot::compile(persons(vec![agreement])).unwrap();
    let mut text = String::new();
    for method in methods {
        let (agreement, route) = (under(&snapshot, "A", &method), route(&snapshot, &method));
        let (answer, request) = (agreement.answer_mask(&route), agreement.request_mask(&route));
        writeln!(text, "{method}: {} -> {}", shown(request), shown(answer)).unwrap();
    }
    expected.assert_eq(&text);
}

fn refused(source: Source, expected: Expect) {
    let problems = Snapshot::compile(source).unwrap_err();
    let lines: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    expected.assert_eq(&lines);
}

#[test]
fn all_fields_are_all_but_what_is_secret() {
    check(
        with("A", &METHODS, &["all"]),
        expect![[r#"
        Get: untouched -> number name faith
        List: untouched -> total persons.number by_name.number persons.name by_name.name persons.faith by_name.faith
        Put: reason person.number person.name person.faith -> untouched
        Ping: untouched -> untouched
        Wrap: untouched -> untouched
    "#]],
    );
}

#[test]
fn classes_and_paths_are_given_where_they_are() {
    let most = ["Get", "List", "Put", "Ping"];
    check(
        with("A", &most, &["basic"]),
        expect![[r#"
        Get: untouched -> number name
        List: untouched -> persons.number by_name.number persons.name by_name.name
        Put: reason person.number person.name person.faith -> 
        Ping: untouched -> 
    "#]],
    );
    check(
        with("A", &most, &["open", "sensitive"]),
        expect![[r#"
        Get: untouched -> faith
        List: untouched -> total persons.faith by_name.faith
        Put: reason person.number person.name person.faith -> done
        Ping: untouched -> done
    "#]],
    );
    check(
        with("A", &most, &["name", "persons.faith", "by_name.name", "total"]),
        expect![[r#"
        Get: untouched -> name
        List: untouched -> total persons.faith by_name.name
        Put: reason person.number person.name person.faith -> 
        Ping: untouched -> 
    "#]],
    );
    check(
        with("A", &["Get"], &[".name"]),
        expect![[r#"
        Get: untouched -> name
    "#]],
    );
}

#[test]
fn requests_of_updates_are_masked_too() {
    let most = ["Get", "Put"];
    let with =
        |fields: &[&str]| Agreement { request_fields: named(fields), ..with("A", &most, &["all"]) };
    check(
        with(&["open"]),
        expect![[r#"
        Get: untouched -> number name faith
        Put: reason -> untouched
    "#]],
    );
    check(
        with(&["person.name"]),
        expect![[r#"
        Get: untouched -> number name faith
        Put: person.name -> untouched
    "#]],
    );
}

#[test]
fn words_that_fit_nothing_are_told_with_what_may_help() {
    let fields = ["name", "persons.nam", "secret", "key", "persons.key", "religion", "total.x"];
    let agreement = with("A", &["Get", "List"], &fields);
    refused(
        persons(vec![agreement.clone()]),
        expect![[r#"
        fields[1] of agreement `A`: found `persons.nam` (`t.v1.Person` has no field `nam`), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered; did you mean `name`
        fields[2] of agreement `A`: found `secret` (what is secret is never exchanged), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered
        fields[3] of agreement `A`: found `key` (`key` is secret, which is never exchanged), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered
        fields[4] of agreement `A`: found `persons.key` (`key` is secret, which is never exchanged), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered
        fields[5] of agreement `A`: found `religion` (`t.v1.Person` has no field `religion`), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered
        fields[6] of agreement `A`: found `total.x` (`total` is a int32 and has no fields), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered
    "#]],
    );
    // The next one that says the same is told of too.
    let other = Agreement { id: "B".parse().unwrap(), ..agreement };
    let both = persons(vec![
        with("A", &["Get"], &["nam"]),
        Agreement { fields: named(&["nam"]), methods: Methods::Named(vec!["Get".into()]), ..other },
    ]);
    refused(
        both,
        expect![[r#"
        fields[0] of agreement `A`: found `nam` (`t.v1.Person` has no field `nam`), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered; did you mean `name`
        fields[0] of agreement `B`: found `nam` (`t.v1.Person` has no field `nam`), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered; did you mean `name`
    "#]],
    );
    refused(
        persons(vec![Agreement {
            request_fields: named(&["basic"]),
            ..with("A", &["Get"], &["all"])
        }]),
        expect![[r#"
            request_fields of agreement `A`: found fields of requests, while no method that is covered is an update, expected them for updates alone; take `request_fields` out
        "#]],
    );
    refused(
        persons(vec![Agreement {
            request_fields: named(&["persn"]),
            ..with("A", &["Put"], &["all"])
        }]),
        expect![[r#"
            request_fields[0] of agreement `A`: found `persn` (`t.v1.PutRequest` has no field `persn`), expected `open`, `basic` or `sensitive`, or the path of a field in a message of a method that is covered; did you mean `person`
        "#]],
    );
    refused(
        persons(vec![with("A", &["Wrap"], &["basic"])]),
        expect![[r#"
            fields of agreement `A`: found fields that no mask for `google.protobuf.Any` can give alone (`google.protobuf.Any` cannot be masked by itself), expected fields that leave whole messages; leave its method to an agreement that names no fields
        "#]],
    );
}

#[test]
fn fields_and_persons_need_a_contract() {
    let subjects = Some(SubjectBudget { hour_max: Some(5), day_max: None });
    let other = |agreement: Agreement| Agreement {
        service: "t.v1.Other".into(),
        methods: Methods::All,
        ..agreement
    };
    let bounded = Agreement { subjects, ..with("A", &["Get"], &["all"]) };
    assert!(Snapshot::compile(persons(vec![bounded.clone()])).is_ok());
    assert!(Snapshot::compile(persons(vec![other(with("A", &[], &["all"]))])).is_ok());
    refused(
        persons(vec![other(with("A", &[], &["basic"]))]),
        expect![[r#"
        fields of agreement `A`: found fields, while no contract describes `t.v1.Other`, expected a service whose contract is known; put its `.proto` files, or a descriptor set, below `protos`; or take `fields` out
    "#]],
    );
    refused(
        persons(vec![other(bounded.clone())]),
        expect![[r#"
        subjects of agreement `A`: found a bound on persons, while no contract describes `t.v1.Other`, expected a service whose contract is known; put its `.proto` files, or a descriptor set, below `protos`; or take `subjects` out
    "#]],
    );
    let unknown = Source { contract: None, ..persons(vec![with("A", &["Get"], &["basic"])]) };
    refused(
        unknown,
        expect![[r#"
        fields of agreement `A`: found fields, while no contract describes `t.v1.Persons`, expected a service whose contract is known; put its `.proto` files, or a descriptor set, below `protos`; or take `fields` out
    "#]],
    );
    let nobody = Agreement { methods: Methods::Named(vec!["Ping".into()]), ..bounded };
    refused(
        persons(vec![nobody]),
        expect![[r#"
            subjects of agreement `A`: found a bound on persons, of whom no method that is covered says anything, expected a method with a field of option `(giaolien.annotations.v1.subject)`; mark the field in the contract; or take `subjects` out
        "#]],
    );
}

#[test]
fn a_service_has_the_methods_of_its_contract() {
    let services = vec![service("t.v1.Persons", &["Get", "Lst"]), service("t.v1.Other", &["X"])];
    let source = Source { nodes: vec![node("population", services)], ..persons(Vec::new()) };
    refused(
        source,
        expect![[r#"
        services[0].methods[1] of node `population`: found `Lst`, which the contract does not have, expected a method of `t.v1.Persons`, as its contract has them; did you mean `List`?
    "#]],
    );
}

#[test]
fn whom_messages_are_about_is_read_where_they_say_it() {
    let snapshot = Snapshot::compile(persons(Vec::new())).unwrap();
    let watched = |method| {
        let route = route(&snapshot, method);
        (route.request_watch().is_some(), route.answer_watch().is_some())
    };
    assert_eq!(watched("Get"), (true, true));
    assert_eq!(watched("Put"), (true, false));
    assert_eq!(watched("Ping"), (false, false));
    assert_eq!(watched("Wrap"), (false, false));
    let other = MethodPath::parse("/t.v1.Other/Get").unwrap();
    assert!(snapshot.route(other).unwrap().request_watch().is_none());
    assert!(snapshot.contract().unwrap().method("/t.v1.Persons/Get").is_some());
}

#[test]
fn masks_are_shared_by_agreements_and_revisions() {
    let basis = |id: &str, basis: &str, fields: &[&str]| Agreement {
        legal_basis: basis.into(),
        ..with(id, &["Get"], fields)
    };
    let agreements = vec![basis("A", "1", &["basic"]), basis("B", "2", &["basic"])];
    let first = Snapshot::compile(persons(agreements)).unwrap();
    let mask = |snapshot: &Snapshot, id: &str| answer_mask(snapshot, id, "Get").unwrap().clone();
    assert!(Arc::ptr_eq(&mask(&first, "A"), &mask(&first, "B")));

    let changes = vec![
        Change::Put(basis("C", "3", &["basic"])),
        Change::Put(basis("D", "4", &["name"])),
        Change::Remove("A".parse().unwrap()),
    ];
    let second = first.amend(RevisionId(8), changes).unwrap();
    assert!(Arc::ptr_eq(&mask(&first, "A"), &mask(&second, "C")));
    let third = second.amend(RevisionId(9), vec![Change::Put(basis("E", "5", &["name"]))]).unwrap();
    assert!(Arc::ptr_eq(&mask(&second, "D"), &mask(&third, "E")));
    assert!(Arc::ptr_eq(&mask(&first, "B"), &mask(&third, "B")));

    let bad = third.amend(RevisionId(10), vec![Change::Put(basis("E", "5", &["nam"]))]);
    assert_eq!(bad.unwrap_err().len(), 1);
}

#[test]
fn what_nobody_covers_any_more_is_let_go() {
    let mut snapshot = Snapshot::compile(persons(vec![with("A", &["Get"], &["basic"])])).unwrap();
    let mut weak = Vec::new();
    for (n, revision) in (0..8).zip(8..) {
        let fields = ["name", "number", "faith"].map(|name| (name, (n >> (name.len() % 3)) & 1));
        let fields: Vec<&str> =
            fields.iter().filter(|(_, bit)| *bit == 1).map(|(name, _)| *name).collect();
        let fields = if fields.is_empty() { vec!["open"] } else { fields };
        let put = vec![Change::Put(with("A", &["Get"], &fields))];
        snapshot = snapshot.amend(RevisionId(revision), put).unwrap();
        weak.push(Arc::downgrade(answer_mask(&snapshot, "A", "Get").unwrap()));
    }
    let kept = weak.iter().filter(|mask| mask.upgrade().is_some()).count();
    assert!(kept <= 3, "{kept} masks are kept");
}

#[test]
fn changes_concern_those_under_whom_they_are_noticed() {
    let of_two = |id: &str, methods: &[&str], fields: &[&str]| Agreement {
        purposes: ["residence", "statistics"].map(|code| code.parse().unwrap()).into(),
        ..with(id, methods, fields)
    };
    let agreements = vec![
        of_two("all", &["Get"], &["all"]),
        of_two("basic", &["Get", "List"], &["basic"]),
        of_two("faith", &["List"], &["persons.faith"]),
        of_two("ping", &["Ping"], &["all"]),
        of_two("put", &["Put"], &["all"]),
    ];
    let old = Snapshot::compile(persons(agreements.clone())).unwrap();
    let text = PROTO
        .replace(
            "string faith = 3 [(giaolien.annotations.v1.class) = CLASS_SENSITIVE]",
            "string faith = 3 [(giaolien.annotations.v1.class) = CLASS_BASIC]",
        )
        .replace("string name = 2", "bytes name = 5")
        .replace("rpc Ping(Done) returns (Done)", "rpc Ping(Done) returns (stream Done)");
    let new = Source { contract: Some(contract(&text)), ..persons(agreements) };
    let new = Snapshot::compile(new).unwrap();
    let changes = mask::compare(old.contract().unwrap(), new.contract().unwrap());
    let changes: Vec<_> = changes.iter().collect();
    let mut text = String::new();
    for (when, snapshot) in [("old", &old), ("new", &new)] {
        for (change, concerned) in changes.iter().zip(snapshot.concerned(&changes, 2)) {
            let first: Vec<_> = concerned.first.iter().map(|id| id.to_string()).collect();
            let (first, count) = (first.join(", "), concerned.count);
            writeln!(text, "{when} {}: {first} of {count}", change.name).unwrap();
        }
    }
    expect![[r#"
        old /t.v1.Persons/Ping: ping of 1
        old t.v1.Person.name: all, basic of 3
        old t.v1.Person.faith: all, faith of 3
        new /t.v1.Persons/Ping: ping of 1
        new t.v1.Person.name: all, basic of 3
        new t.v1.Person.faith: all, basic of 4
    "#]]
    .assert_eq(&text);
}
