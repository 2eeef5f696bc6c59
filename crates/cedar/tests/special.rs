//! Templates and links, policies left to the reference, and extension values from text.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]

mod support;

use std::collections::{BTreeMap, HashMap};

use cedar::{CompileError, Decision, Engine, Entity, Request, Uid, Value, Workspace};
use cedar_policy::{PolicyId, PolicySet, SlotId};
use support::{actual, check, entities, expected, policies, request, uid};

const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "an"}, "attrs": {"n": 1}, "parents": [{"type": "Group", "id": "all"}]},
  {"uid": {"type": "File", "id": "1"}, "attrs": {}, "parents": [{"type": "Folder", "id": "root"}]}
]"#;

fn linked() -> PolicySet {
    let mut set = policies(
        r#"
        permit(principal == ?principal, action, resource in ?resource) when { principal.n == 1 };
        forbid(principal in ?principal, action, resource) unless { context.open };
        permit(principal is User in ?principal, action == Action::"read", resource);
        permit(principal, action, resource == ?resource) when { context.open };
        "#,
    );
    let template = |ix: usize| PolicyId::new(format!("policy{ix}"));
    let mut link = |ix, id: &str, principal: Option<&str>, resource: Option<&str>| {
        let mut values = HashMap::new();
        values.extend(principal.map(|it| (SlotId::principal(), uid(it))));
        values.extend(resource.map(|it| (SlotId::resource(), uid(it))));
        set.link(template(ix), PolicyId::new(id), values).expect("a link");
    };
    link(0, "an in root", Some("User::\"an\""), Some("Folder::\"root\""));
    link(0, "an at 1", Some("User::\"an\""), Some("File::\"1\""));
    link(0, "binh in root", Some("User::\"binh\""), Some("Folder::\"root\""));
    link(1, "closed", Some("Group::\"all\""), None);
    link(2, "readers", Some("Group::\"all\""), None);
    link(3, "one", None, Some("File::\"1\""));
    set
}

#[test]
fn linked_templates() {
    let mut requests = Vec::new();
    for principal in ["User::\"an\"", "User::\"binh\"", "Group::\"all\""] {
        for resource in ["File::\"1\"", "Folder::\"root\"", "File::\"2\""] {
            for context in ["{}", r#"{"open": true}"#, r#"{"open": false}"#] {
                requests.push(request(principal, "Action::\"read\"", resource, context));
            }
        }
    }
    let engine = check(&linked(), &entities(ENTITIES), &requests);
    assert_eq!(engine.uncompiled().count(), 0);
    assert_eq!(engine.policies().count(), 6);
    let (_, info) = engine.policies().next().expect("a policy");
    assert_eq!(&*info.id, "an at 1");
    assert!(info.text.starts_with("permit(principal == ?principal"));
}

#[test]
fn policies_left_to_the_reference() {
    let deep = format!("{}context.t{}", "if true then ".repeat(120), " else false".repeat(120));
    let text = format!(
        r#"
        permit(principal == User::"an", action, resource) when {{ ip("1.1.1.1", "2").isIpv4() || true }};
        permit(principal, action, resource) when {{ context has ip && context.ip.isIpv4(1) }};
        permit(principal in Group::"all", action, resource) when {{ true || ip().isIpv4() }};
        permit(principal, action in [Action::"read", Action::"list"], resource) when {{ {deep} }};
        forbid(principal, action == Action::"none", resource) when {{ {deep} }};
        permit(principal is User, action, resource is File in Folder::"root") when {{ {deep} && context.who == principal
            && context.d == decimal("1.5") && context.at == datetime("1969-01-01") && context.span == duration("-1s")
            && context.net.isInRange(ip("10.0.0.0/8")) && context.all.contains({{a: "x"}}) }};
        permit(principal, action, resource);
        "#
    );
    let context = r#"{"t": true, "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.1"}},
        "who": {"__entity": {"type": "User", "id": "an"}}, "d": {"__extn": {"fn": "decimal", "arg": "1.50"}},
        "at": {"__extn": {"fn": "datetime", "arg": "1969-01-01T00:00:00Z"}}, "span": {"__extn": {"fn": "duration", "arg": "-1000ms"}},
        "net": {"__extn": {"fn": "ip", "arg": "10.1.0.0/16"}}, "all": [1, {"a": "x"}]}"#;
    let mut requests = Vec::new();
    for principal in ["User::\"an\"", "User::\"unheard\"", "Alien::\"x\""] {
        for action in ["read", "none", "unheard"] {
            for context in ["{}", context, r#"{"t": 1}"#] {
                requests.push(request(
                    principal,
                    &format!("Action::\"{action}\""),
                    "File::\"1\"",
                    context,
                ));
            }
        }
    }
    let engine = check(&policies(&text), &entities(ENTITIES), &requests);
    let left: Vec<_> = engine.uncompiled().collect();
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(left.iter().any(|(_, reason)| *reason == "its condition nests too deeply"));
}

#[test]
fn linked_policies_left_to_the_reference() {
    let mut set = policies(
        "permit(principal == ?principal, action, resource in ?resource) when { ip().isIpv4() || true };
         permit(principal == ?principal, action, resource) when { true || ip().isIpv4() };",
    );
    for (ix, who) in ["an", "binh"].iter().enumerate() {
        let values = HashMap::from([(SlotId::principal(), uid(&format!("User::\"{who}\"")))]);
        set.link(PolicyId::new("policy1"), PolicyId::new(format!("link{ix}")), values)
            .expect("a link");
    }
    let values = HashMap::from([
        (SlotId::principal(), uid("User::\"an\"")),
        (SlotId::resource(), uid("Folder::\"root\"")),
    ]);
    set.link(PolicyId::new("policy0"), PolicyId::new("errs"), values).expect("a link");
    let requests = ["an", "binh", "chi"]
        .map(|who| request(&format!("User::\"{who}\""), "Action::\"a\"", "File::\"1\"", "{}"));
    let engine = check(&set, &entities(ENTITIES), &requests);
    assert_eq!(engine.uncompiled().count(), 3);
}

/// Texts one change away from texts that are read, and what the reference makes of them.
#[test]
fn extension_texts() {
    let seeds = [
        (
            "ip",
            "isIpv4()",
            &[
                "10.1.2.3",
                "10.0.0.0/8",
                "0.0.0.0/0",
                "255.255.255.255/32",
                "::1",
                "fe80::1/64",
                "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/128",
                "::ffff:1.2.3.4",
                "1:2:3:4:5:6:7:8",
                "::/0",
                "1.2.3.4:80",
                "01.2.3.4",
            ][..],
        ),
        (
            "decimal",
            "lessThan(decimal(\"1.0\"))",
            &[
                "1.0",
                "-1.0",
                "0.0001",
                "-0.5",
                "922337203685477.5807",
                "922337203685477.5808",
                "-922337203685477.5808",
                "-922337203685477.5809",
                "1.00000",
                "00001.10",
                "١.٠",
                "+1.0",
                ".5",
                "5.",
            ][..],
        ),
        (
            "datetime",
            "toDate() == datetime(\"2024-02-29\")",
            &[
                "2024-02-29",
                "2023-02-29",
                "1900-02-29",
                "2000-02-29",
                "0000-01-01",
                "0000-02-29",
                "9999-12-31",
                "2024-02-29T12:34:56Z",
                "2024-02-29T12:34:56.789Z",
                "2024-02-29T23:59:59+2359",
                "2024-02-29T00:00:00.001-0730",
                "2024-12-31T23:59:60Z",
                "2024-02-29T24:00:00Z",
                "2024-02-29T12:34:56+2400",
                "2024-02-29T12:34:56",
                "2024-2-29",
            ][..],
        ),
        (
            "duration",
            "toMilliseconds() == 1",
            &[
                "1d",
                "1d2h3m4s5ms",
                "-1h",
                "5ms",
                "0ms",
                "-0s",
                "9223372036854775807ms",
                "9223372036854775808ms",
                "-9223372036854775808ms",
                "106751991167d",
                "106751991168d",
                "106751991167d7h12m55s807ms",
                "106751991167d7h12m55s808ms",
                "-106751991167d7h12m55s808ms",
                "18446744073709551616ms",
                "1m1m",
                "1s1m",
                "",
                "-",
                "1",
                "d",
            ][..],
        ),
    ];
    let mut conditions = Vec::new();
    for (function, question, texts) in seeds {
        for text in texts {
            for changed in changes(text) {
                let literal = format!("{function}(\"{}\")", changed.escape_debug());
                conditions.push(format!("{literal}.{question}"));
                conditions.push(format!("{literal} == {function}(\"{}\")", text.escape_debug()));
                // The same at run time.
                conditions.push(format!(
                    "{function}(if context.t then \"{}\" else \"\").{question}",
                    changed.escape_debug()
                ));
            }
        }
    }
    assert!(conditions.len() > 20_000, "{}", conditions.len());
    let world = entities("[]");
    let request = request("U::\"a\"", "Action::\"a\"", "U::\"a\"", r#"{"t": true}"#);
    for some in conditions.chunks(3000) {
        let text: String = some
            .iter()
            .map(|it| format!("permit(principal, action, resource) when {{ {it} }};\n"))
            .collect();
        let set = policies(&text);
        let engine = Engine::from_reference(&set, &world).expect("compile");
        let got = actual(&engine, &request, &mut Workspace::default());
        let wanted = expected(&set, &world, &request);
        for (ix, condition) in some.iter().enumerate() {
            let id = format!("policy{ix}");
            assert_eq!(got.1.contains(&id), wanted.1.contains(&id), "{condition}");
            assert_eq!(got.2.contains(&id), wanted.2.contains(&id), "{condition}");
        }
    }
}

fn changes(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut all = vec![text.to_owned()];
    let join = |parts: &[&[char]]| parts.concat().into_iter().collect::<String>();
    for at in 0..=chars.len() {
        for new in ['0', '9', '.', ':', '/', '-', 'Z', ' ', 'm', 'đ'] {
            all.push(join(&[&chars[..at], &[new], &chars[at..]]));
            if at < chars.len() && new != ' ' {
                all.push(join(&[&chars[..at], &[new], &chars[at + 1..]]));
            }
        }
        if at < chars.len() {
            all.push(join(&[&chars[..at], &chars[at + 1..]]));
        }
    }
    all
}

#[test]
fn entities_must_be_sound() {
    let entity = |id: &str, parents: &[&str]| {
        let mut entity = Entity::new(Uid::new("U", id));
        entity.parents = parents.iter().map(|it| Uid::new("U", *it)).collect();
        entity
    };
    let none = policies("");
    let compile = |entities| Engine::compile(&none, entities, &[]).map(|_| ());
    assert!(
        compile(vec![entity("a", &["b", "c"]), entity("b", &["d"]), entity("c", &["d"])]).is_ok()
    );
    let twice = compile(vec![entity("a", &[]), entity("a", &[])]);
    assert_eq!(twice.expect_err("twice").to_string(), "entity `U::\"a\"` is given more than once");
    let cycle = compile(vec![entity("a", &["b"]), entity("b", &["c"]), entity("c", &["a"])]);
    assert!(matches!(cycle, Err(CompileError::Cycle { .. })));
    assert!(matches!(compile(vec![entity("a", &["a"])]), Err(CompileError::Cycle { .. })));
}

#[test]
fn a_long_chain_of_parents_takes_no_stack() {
    let chain = |ix: usize| {
        let mut entity = Entity::new(Uid::new("U", format!("{ix}")));
        entity.parents = vec![Uid::new("U", format!("{}", ix + 1))];
        entity
    };
    let set = policies("permit(principal in U::\"3000\", action, resource);");
    let engine = Engine::compile(&set, (0..3000).map(chain).collect(), &[]).expect("compile");
    let [user, other] = ["0", "3001"].map(|id| Uid::new("U", id));
    let mut workspace = Workspace::default();
    let mut decide = |who| {
        let prepared = engine.prepare(who, &other, &other, &BTreeMap::new());
        engine.decide(&prepared.request(), &mut workspace)
    };
    assert_eq!(decide(&user), Decision::Allow);
    assert_eq!(decide(&other), Decision::Deny);
}

#[test]
fn a_workspace_serves_engines_one_after_the_other() {
    let world = entities("[]");
    let mut workspace = Workspace::default();
    for ix in 0..20 {
        let keys: String = (0..ix).map(|it| format!(" && context.k{it} == {it}")).collect();
        let set = policies(&format!("permit(principal, action, resource) when {{ true{keys} }};"));
        let engine = Engine::from_reference(&set, &world).expect("compile");
        for given in [0, ix, 20] {
            let pairs: Vec<_> = (0..given).map(|it| format!("\"k{it}\": {it}")).collect();
            let request = request(
                "U::\"a\"",
                "Action::\"a\"",
                "U::\"a\"",
                &format!("{{{}}}", pairs.join(",")),
            );
            assert_eq!(actual(&engine, &request, &mut workspace), expected(&set, &world, &request));
        }
    }
}

#[test]
fn names_that_only_the_request_knows() {
    let set = policies(
        r#"permit(principal, action, resource) when { principal == resource };
           permit(principal, action, resource) when { context.all.contains(principal) };
           permit(principal, action, resource) when { context.a == context.b };
           permit(principal, action, resource) when { context.a has x && context.a.x == "y" };"#,
    );
    let a = r#"{"x": "y", "unheard": {"__entity": {"type": "New::Kind", "id": "k"}}}"#;
    let context = format!(
        r#"{{"a": {a}, "b": {a}, "all": [1, {{"__entity": {{"type": "New", "id": "n"}}}}]}}"#
    );
    let request =
        |principal: &str, resource: &str| request(principal, "Action::\"x\"", resource, &context);
    check(
        &set,
        &entities("[]"),
        &[
            request("New::\"n\"", "New::\"n\""),
            request("New::\"n\"", "Newer::\"n\""),
            request("New::\"m\"", "New::\"n\""),
        ],
    );
}

/// Strings of which only the middle differs, in conditions and in policies filed by them.
#[test]
fn long_strings_that_look_alike() {
    let similar: Vec<String> =
        ["", "a", "b", "ab", "ba", "abc"].map(|it| format!("head-of-it-{it}-tail-of-it")).into();
    let mut all = similar.clone();
    all.extend(
        ["", "a", "12345678", "123456789", "1234567812345678", "12345678123456781"]
            .map(str::to_owned),
    );
    all.extend(["12345678x12345678".to_owned(), "12345678y12345678".to_owned()]);
    all.extend(["\0", "\0\0", "a\0", "\0a"].map(str::to_owned));
    let mut text = String::new();
    for one in &all {
        let one = one.escape_debug();
        text += &format!(
            "permit(principal, action, resource) when {{ context.s == \"{one}\" }};\n\
             permit(principal, action, resource) when {{ context has s && context.s == \"{one}\" }};\n\
             permit(principal, action, resource) when {{ true && context.s != \"{one}\" }};\n\
             permit(principal, action, resource) when {{ context.s == \"{one}\" && context.s == context.t }};\n\
             permit(principal, action, resource) when {{ [\"{one}\", \"z\"].contains(context.s) }};\n"
        );
    }
    let mut requests = Vec::new();
    for s in &all {
        for t in ["", "12345678x12345678", "head-of-it-ab-tail-of-it"] {
            let context = serde_json::json!({"s": s, "t": t}).to_string();
            requests.push(request("U::\"a\"", "Action::\"a\"", "U::\"a\"", &context));
        }
    }
    check(&policies(&text), &entities("[]"), &requests);
}

/// What a caller gives as borrowed values is what the same values from JSON are.
#[test]
fn borrowed_values() {
    let conditions = [
        "context.set == [1, 2, \"a\"]",
        "context.set.contains(2)",
        "context.set.contains(\"b\")",
        "context.set.containsAll([\"a\", 1, 1])",
        "[1, 2, \"a\", 3].containsAll(context.set)",
        "context.set == context.set",
        "context.set.containsAny([[1]])",
        "context.nested.contains([1, 2])",
        "context.nested.contains({b: {c: 1}})",
        "context.nested == [[2, 1], {b: {c: 1}}, {b: {c: 1}}]",
        "context.record == {b: {c: 1}}",
        "context.record.b.c == 1",
        "context.record has b.c",
        "context.record has c",
        "context.record.c == 1",
        "[context.record].contains({b: {c: 1}})",
        "{b: context.record.b} == context.record",
        "principal in context.who",
        "context.who.contains(principal)",
        "resource in context.who",
        "context.set.isEmpty()",
        "context == context",
        "context has set",
        "context.at < datetime(\"2026-03-01\")",
        "context.price.lessThan(decimal(\"1.6\"))",
        "context.from.isLoopback()",
        "context.span == duration(\"1s\")",
        "context.set == context.nested",
        "ip().isIpv4() || true",
        "context.set has a",
        "(if context has set then context.record else 1).b == {c: 1}",
    ];
    let text: String = conditions
        .iter()
        .map(|it| format!("permit(principal, action, resource) when {{ {it} }};\n"))
        .collect();
    // A policy left to the reference takes borrowed values too.
    let text = text
        + "permit(principal, action, resource) when { context.nested.contains({b: {c: 1}}) && ip() == ip() };";
    let (set, world) = (policies(&text), entities(ENTITIES));
    let json = r#"{"set": [2, "a", 1, 2], "nested": [[1, 2], {"b": {"c": 1}}], "record": {"b": {"c": 1}},
        "who": [{"__entity": {"type": "Group", "id": "all"}}], "at": {"__extn": {"fn": "datetime", "arg": "1970-01-01"}},
        "price": {"__extn": {"fn": "decimal", "arg": "1.5"}}, "from": {"__extn": {"fn": "ip", "arg": "::1"}},
        "span": {"__extn": {"fn": "duration", "arg": "1000ms"}}}"#;
    let engine = Engine::from_reference(&set, &world).expect("compile");
    let key = |name| engine.key(name).expect("interned");
    let entity = |kind, id| engine.entity(kind, id).expect("interned");
    let members = [Value::Long(2), Value::Str("a"), Value::Long(1), Value::Long(2)];
    let (pair, inner) = ([Value::Long(2), Value::Long(1)], [(key("c"), Value::Long(1))]);
    let outer = [(key("b"), Value::record(&inner))];
    let nested = [Value::record(&outer), Value::set(&pair), Value::record(&outer)];
    let who = [Value::Entity(entity("Group", "all"))];
    let context = [
        (key("who"), Value::set(&who)),
        (key("set"), Value::set(&members)),
        (key("record"), Value::record(&outer)),
        (key("nested"), Value::set(&nested)),
        (key("at"), Value::Datetime(0)),
        (key("price"), Value::Decimal("1.5".parse().expect("a decimal"))),
        (key("from"), Value::Ip("::1".parse().expect("an address"))),
        (key("span"), Value::Duration(1000)),
    ];
    let (user, file) = (entity("User", "an"), entity("File", "1"));
    let mut workspace = Workspace::default();
    engine.decide(&Request::new(user, user, file, &context), &mut workspace);
    let ids = |all: &[cedar::PolicyIx]| -> Vec<String> {
        let mut ids: Vec<_> =
            all.iter().map(|ix| engine.policy(*ix).expect("its own").id.to_string()).collect();
        ids.sort();
        ids
    };
    let wanted =
        expected(&set, &world, &request("User::\"an\"", "User::\"an\"", "File::\"1\"", json));
    assert_eq!((ids(workspace.determining()), ids(workspace.erring())), (wanted.1, wanted.2));
}

/// Sets that are searched rather than scanned, also with members of several types.
#[test]
fn large_sets() {
    let users: Vec<_> = (0..20).map(|ix| format!("User::\"{ix}\"")).collect();
    let (users, numbers) =
        (users.join(", "), (0..20).map(|it| it.to_string()).collect::<Vec<_>>().join(", "));
    let strings = (0..20).map(|it| format!("\"s{it}\"")).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    for set in [
        format!("[{users}]"),
        format!("[{users}, Group::\"all\"]"),
        format!("[{users}, Group::\"all\", {{a: 1}}]"),
        format!("[true, {users}, Group::\"all\"]"),
        format!("[{numbers}, {strings}, {users}, true, [1], {{a: 1}}]"),
        format!("[{numbers}]"),
        "[]".to_owned(),
    ] {
        for question in [
            "principal in SET",
            "resource in SET",
            "SET.contains(principal)",
            "SET.contains(context.n)",
            "SET.contains(context.s)",
            "SET.contains([1])",
            "SET.contains(true)",
            "SET.contains({a: 1})",
            "SET.containsAll([context.n, context.s])",
            "SET.containsAny([context.n, principal])",
            "context.all.containsAll(SET)",
            "SET.containsAll(context.all)",
            "SET == context.all",
            "principal in context.all",
        ] {
            let question = question.replace("SET", &set);
            text += &format!("permit(principal, action, resource) when {{ {question} }};\n");
        }
    }
    let mut requests = Vec::new();
    let all = (0..20).map(|it| it.to_string()).collect::<Vec<_>>().join(",");
    for principal in ["an", "0", "19", "20", "nobody"] {
        for (n, s) in
            [("0", "\"s0\""), ("19", "\"s19\""), ("20", "\"s20\""), ("-1", "\"\""), ("\"s3\"", "7")]
        {
            let context = format!(r#"{{"n": {n}, "s": {s}, "all": [{all}]}}"#);
            requests.push(request(
                &format!("User::\"{principal}\""),
                "Action::\"a\"",
                "Group::\"all\"",
                &context,
            ));
        }
    }
    check(&policies(&text), &entities(ENTITIES), &requests);
}
