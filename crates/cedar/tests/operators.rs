//! Every operator on every kind of value, against the reference.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]

mod support;

use cedar_policy::{PolicySet, Request};
use support::{check, entities, policies, request};

const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "an"},
   "attrs": {"level": 3, "name": "An", "active": true, "home": {"city": "Huế", "zip": {"a": 1}},
             "boss": {"__entity": {"type": "User", "id": "binh"}},
             "ghost": {"__entity": {"type": "User", "id": "nobody"}},
             "roles": ["clerk", "reader", "clerk"], "mixed": [1, "1", true, [1], {"a": 1}],
             "groups": [{"__entity": {"type": "Group", "id": "all"}}],
             "ip": {"__extn": {"fn": "ip", "arg": "10.1.2.3"}},
             "price": {"__extn": {"fn": "decimal", "arg": "1.50"}},
             "born": {"__extn": {"fn": "datetime", "arg": "2000-02-29T12:00:00+0700"}},
             "span": {"__extn": {"fn": "duration", "arg": "1d2h"}}},
   "tags": {"env": "prod", "n": 7, "héllo": [1]},
   "parents": [{"type": "Group", "id": "clerks"}]},
  {"uid": {"type": "User", "id": "binh"}, "attrs": {"level": 9, "boss": {"__entity": {"type": "User", "id": "binh"}}}, "parents": []},
  {"uid": {"type": "Group", "id": "clerks"}, "attrs": {}, "parents": [{"type": "Group", "id": "all"}]},
  {"uid": {"type": "File", "id": "1"}, "attrs": {"owner": {"__entity": {"type": "User", "id": "an"}}, "size": 10},
   "parents": [{"type": "Folder", "id": "root"}]}
]"#;

const CONTEXT: &str = r#"{
  "n": 5, "big": 9223372036854775807, "low": -9223372036854775808, "s": "x*y", "t": true, "f": false,
  "empty": [], "set": [1, 2, 3], "strings": ["a", "b"], "record": {"a": {"b": {"c": 1}}, "has": 1},
  "users": [{"__entity": {"type": "User", "id": "an"}}, {"__entity": {"type": "Group", "id": "all"}}],
  "who": {"__entity": {"type": "User", "id": "an"}}, "stranger": {"__entity": {"type": "Alien", "id": "zork"}},
  "ip": {"__extn": {"fn": "ip", "arg": "::1"}}, "net": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}},
  "price": {"__extn": {"fn": "decimal", "arg": "1.5"}},
  "now": {"__extn": {"fn": "datetime", "arg": "2026-03-01"}}, "span": {"__extn": {"fn": "duration", "arg": "-5ms"}},
  "text_ip": "10.1.2.3/16", "text_decimal": "0.1", "text_datetime": "1969-12-31T23:59:59.999Z", "text_duration": "3h"
}"#;

/// Operands of every kind, constant and not, present and missing.
const OPERANDS: &[&str] = &[
    "true",
    "1",
    "-1",
    "\"a\"",
    "\"10.1.2.3\"",
    "User::\"an\"",
    "Group::\"all\"",
    "Alien::\"zork\"",
    "[]",
    "[1, 2]",
    "[2, 1, 1]",
    "[User::\"an\", Group::\"all\"]",
    "[1, \"a\", User::\"an\"]",
    "[[1], {a: 1}]",
    "{}",
    "{a: 1}",
    "{a: {b: {c: 1}}, \"has\": 1}",
    "ip(\"10.1.2.3\")",
    "ip(\"10.0.0.0/8\")",
    "ip(\"nonsense\")",
    "decimal(\"1.5\")",
    "decimal(\"1.55555\")",
    "datetime(\"2026-03-01\")",
    "datetime(\"2026-02-30\")",
    "duration(\"-5ms\")",
    "duration(\"5\")",
    "principal",
    "action",
    "resource",
    "context",
    "principal.level",
    "principal.name",
    "principal.active",
    "principal.home",
    "principal.boss",
    "principal.ghost",
    "principal.roles",
    "principal.mixed",
    "principal.groups",
    "principal.ip",
    "principal.price",
    "principal.born",
    "principal.span",
    "principal.missing",
    "principal.boss.level",
    "principal.ghost.level",
    "principal.home.zip.a",
    "resource.owner",
    "resource.owner.level",
    "context.n",
    "context.big",
    "context.low",
    "context.s",
    "context.t",
    "context.f",
    "context.empty",
    "context.set",
    "context.strings",
    "context.record",
    "context.record.a.b",
    "context.users",
    "context.who",
    "context.stranger",
    "context.ip",
    "context.net",
    "context.price",
    "context.now",
    "context.span",
    "context.missing",
    "[context.n, 1]",
    "[principal, resource]",
    "{a: context.n}",
    "{a: context.record.a}",
    "[[context.n], {a: context.n}]",
    "[context.missing]",
    "{a: 1, b: context.missing}.a",
    "{a: context.n}.a",
    "(if context.t then principal else 1)",
    "(if context.f then 1 else \"a\")",
    "(if context.n then 1 else 2)",
    "(if true then context.missing else 1)",
    "-context.n",
    "-context.low",
    "context.n + 1",
    "context.big + 1",
    "context.low - 1",
    "context.big * 2",
    "context.n * -3",
    "context.n + context.s",
    "principal.getTag(\"env\")",
    "principal.getTag(\"n\")",
    "principal.getTag(\"none\")",
    "principal.getTag(context.s)",
    "context.stranger.getTag(\"env\")",
    "ip(context.text_ip)",
    "decimal(context.text_decimal)",
    "datetime(context.text_datetime)",
    "duration(context.text_duration)",
    "ip(context.n)",
    "decimal(context.s)",
    "datetime(context.s)",
    "duration(context.s)",
    "context.now.offset(context.span)",
    "context.now.offset(duration(\"9223372036854775807ms\"))",
    "context.now.durationSince(principal.born)",
    "datetime(context.text_datetime).toDate()",
    "datetime(context.text_datetime).toTime()",
    "context.now.toDate()",
    "principal.born.toTime()",
    "principal.span.toHours()",
    "context.span.toMilliseconds()",
    "duration(\"-90061001ms\").toDays()",
    "duration(\"-90061001ms\").toMinutes()",
    "context.now.toHours()",
    "(context.n == 5)",
    "(context.missing == 5)",
    "(1 == 2 || context.n)",
    "(context has n)",
    "(context.s like \"x*\")",
    "(principal is User)",
    "!context.t",
];

fn requests() -> Vec<Request> {
    vec![
        request("User::\"an\"", "Action::\"read\"", "File::\"1\"", CONTEXT),
        request("User::\"an\"", "Action::\"read\"", "User::\"an\"", "{}"),
        request("Alien::\"other\"", "Action::\"write\"", "Alien::\"zork\"", CONTEXT),
        request("Group::\"clerks\"", "Action::\"write\"", "Alien::\"unheard\"", CONTEXT),
    ]
}

/// All conditions at once, alternately as `when` of permits and `unless` of forbids.
fn compare(conditions: impl IntoIterator<Item = String>) {
    let entities = entities(ENTITIES);
    let conditions: Vec<String> = conditions.into_iter().collect();
    for some in conditions.chunks(2000) {
        let text: String = some
            .iter()
            .enumerate()
            .map(|(ix, condition)| match ix % 3 {
                0 => format!("permit(principal, action, resource) when {{ {condition} }};\n"),
                1 => format!("forbid(principal, action, resource) unless {{ {condition} }};\n"),
                _ => format!(
                    "permit(principal, action, resource) when {{ true }} when {{ {condition} }};\n"
                ),
            })
            .collect();
        let set: PolicySet = policies(&text);
        let engine = cedar::Engine::from_reference(&set, &entities).expect("compile");
        assert_eq!(engine.uncompiled().collect::<Vec<_>>(), []);
        let mut workspace = cedar::Workspace::default();
        for request in requests() {
            let (wanted, got) = (
                support::expected(&set, &entities, &request),
                support::actual(&engine, &request, &mut workspace),
            );
            for (wanted, got) in [(&wanted.1, &got.1), (&wanted.2, &got.2)] {
                let differ = |id: &&String| wanted.contains(id) != got.contains(id);
                let differing: Vec<_> = wanted
                    .iter()
                    .chain(got)
                    .filter(differ)
                    .map(|id| id["policy".len()..].parse::<usize>().expect("a number"))
                    .map(|ix| &some[ix])
                    .collect();
                assert!(differing.is_empty(), "{request}: {differing:#?}");
            }
            assert_eq!(wanted, got);
        }
    }
}

#[test]
fn operands_alone() {
    compare(OPERANDS.iter().map(|it| it.to_string()));
}

#[test]
fn unary_operators() {
    let forms = [
        "!({})",
        "({}) == ({})",
        "({}).isEmpty()",
        "({}) has level",
        "({}) has a.b.c",
        "({}) has home.zip.a",
        "({}) has boss.boss.level",
        "({}) has ghost.level",
        "({}) has missing.level",
        "({}) like \"*a*\"",
        "({}) is User",
        "({}) is NS::Unheard",
        "({}) is User in Group::\"all\"",
        "({}).hasTag(\"env\")",
        "({}).getTag(\"env\") == \"prod\"",
        "({}).isIpv4()",
        "({}).isIpv6()",
        "({}).isLoopback()",
        "({}).isMulticast()",
        "-({}) == -5",
        "ip({}).isIpv4()",
        "decimal({}) == decimal(\"0.10\")",
        "datetime({}) < context.now",
        "duration({}) > duration(\"1h\")",
        "({}).toDate() == datetime(\"2026-03-01\")",
        "({}).toTime() == duration(\"0ms\")",
        "({}).toSeconds() == 93600",
        "({}).level > 2",
        "({}).a == 1",
        "if ({}) then true else false",
        "if context.t then ({}) else 7",
        "true && ({})",
        "({}) && true",
        "false || ({})",
        "({}) || true",
        "false && ({})",
        "true || ({})",
        "({}) && 1",
        "[({})].contains(({}))",
        "{a: ({})} == {a: ({})}",
        "[1, ({})] == [({}), 1, 1]",
        "(({}) == 1) == false",
    ];
    compare(forms.iter().flat_map(|form| OPERANDS.iter().map(|it| form.replace("{}", it))));
}

#[test]
fn binary_operators() {
    let forms = [
        "{l} == {r}",
        "{l} != {r}",
        "{l} < {r}",
        "{l} <= {r}",
        "{l} > {r}",
        "{l} >= {r}",
        "{l} in {r}",
        "{l}.contains({r})",
        "{l}.containsAll({r})",
        "{l}.containsAny({r})",
        "{l}.isInRange({r})",
        "{l}.lessThan({r})",
        "{l}.lessThanOrEqual({r})",
        "{l}.greaterThan({r})",
        "{l}.greaterThanOrEqual({r})",
        "{l}.hasTag({r})",
        "{l}.getTag({r}) == 7",
        "{l} + {r} == 6",
        "{l} - {r} == 4",
        "{l} * {r} == 25",
        "{l}.offset({r}) == context.now",
        "{l}.durationSince({r}) > duration(\"0ms\")",
    ];
    let mut seed = 7_usize;
    let mut conditions = Vec::new();
    for form in forms {
        for left in OPERANDS {
            for right in OPERANDS {
                // Every third pair is plenty; which ones changes with the operator.
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                if (seed >> 33).is_multiple_of(3) {
                    conditions.push(
                        form.replace("{l}", &format!("({left})"))
                            .replace("{r}", &format!("({right})")),
                    );
                }
            }
        }
    }
    assert!(conditions.len() > 80_000);
    compare(conditions);
}

#[test]
fn patterns() {
    let texts = ["", "a", "*", "ab", "a*b", "aXbXc", "aaa", "abab", "ăâ", "a\\\\b", "xyzxyz"];
    let patterns = [
        "", "*", "**", "a", "a*", "*a", "*a*", "a*b", "a\\*b", "\\*", "*b*b", "a**b*", "ab*ab",
        "aba*bab", "*xyz", "ă*", "*â", "a\\\\*", "a*a*a", "a*a*a*a", "xyz*xyz", "*zx*", "\\**",
    ];
    compare(texts.iter().flat_map(|text| {
        patterns.iter().map(move |pattern| format!("\"{text}\" like \"{pattern}\""))
    }));
}

#[test]
fn one_condition_at_a_time_in_scopes() {
    let set = policies(
        r#"
        permit(principal == User::"an", action, resource);
        permit(principal in Group::"all", action == Action::"read", resource);
        permit(principal is User, action in [Action::"read", Action::"write"], resource is File);
        forbid(principal is Alien, action, resource in Alien::"zork");
        permit(principal is User in Group::"all", action, resource is File in Folder::"root");
        permit(principal is Group in Group::"all", action, resource);
        permit(principal in Group::"clerks", action in [], resource);
        forbid(principal is NS::Unheard, action, resource) when { context.missing };
        permit(principal is User in Folder::"root", action, resource) when { context.missing };
        "#,
    );
    check(&set, &entities(ENTITIES), &requests());
    check(&set, &entities("[]"), &requests());
}
