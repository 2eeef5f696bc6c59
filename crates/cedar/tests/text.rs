//! Policies, schemas, entities and requests from text: ids, places, and what problems say.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]

use cedar::authorize::{Answer, InputError, authorize};
use cedar::text::{File, Files, Link, Problem, conform, schema};
use cedar::{Datum, Decision, Engine, Entity, Uid};

const SCHEMA: &str = r#"
entity Group;
entity User in [Group] { level: Long, nick?: String };
entity File;
action read appliesTo { principal: User, resource: File, context: { purpose: String } };
"#;

fn file<'a>(name: &'a str, text: &'a str) -> File<'a> {
    File { name, text }
}

fn ids(files: &Files) -> Vec<String> {
    let mut ids: Vec<_> = files.policies.policies().map(|it| it.id().to_string()).collect();
    ids.sort();
    ids
}

fn problems(files: &[File<'_>], links: &[Link]) -> Vec<String> {
    let problems = Files::parse(files, links).expect_err("problems");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn ids_of_one_file_and_of_several() {
    let text = "permit(principal, action, resource);\n\n// permit(principal, action, resource);\n\
                @id(\"open\")\npermit(principal, action, resource);\npermit(principal, action, resource);";
    let one = Files::parse(&[file("a/one.cedar", text)], &[]).expect("policies");
    assert_eq!(ids(&one), ["open", "policy0", "policy2"]);
    let lines = ["policy0", "open", "policy2"].map(|id| one.places[id].line);
    assert_eq!(lines, [1, 4, 6]);
    let other = file("b/two.cedar", "forbid(principal, action, resource);");
    let two = Files::parse(&[file("a/one.cedar", text), other], &[]).expect("policies");
    assert_eq!(ids(&two), ["one.policy0", "one.policy2", "open", "two.policy0"]);
    assert_eq!(&*two.places["two.policy0"].file, "b/two.cedar");
    let engine = Engine::compile(&two.policies, Vec::new(), &[]).expect("an engine");
    let engine = engine.with_places(&two.places);
    let places: Vec<_> =
        engine.policies().map(|(_, it)| it.place.clone().expect("a place").line).collect();
    assert_eq!(places, [1, 6, 4, 1]);
}

#[test]
fn what_is_wrong_with_policies() {
    let twice = "@id(\"a\") permit(principal, action, resource);\n@id(\"a\")\nforbid(principal, action, resource);";
    assert_eq!(
        problems(&[file("twice.cedar", twice)], &[]),
        ["twice.cedar:2:1: `a`: its id is taken by the policy at twice.cedar:1"]
    );
    let broken = "permit(principal, action, resource) when { context.purpose = \"đ\" };";
    let other = "permit(principal, action);\nforbid(principal, resource);\npermit(principal, action, resource) when { foo(1) };";
    let found = problems(&[file("broken.cedar", broken), file("other.cedar", other)], &[]);
    assert!(found[0].starts_with("broken.cedar:1:"), "{found:?}");
    for line in 1..=3 {
        let place = format!("other.cedar:{line}:");
        assert!(found.iter().any(|it| it.starts_with(&place)), "{place} {found:#?}");
    }
    // Columns count characters.
    let found = problems(
        &[file("đ.cedar", "permit(principal, action, resource) when { \"đđđ\" ] };")],
        &[],
    );
    assert!(found[0].starts_with("đ.cedar:1:50: "), "{found:?}");
}

#[test]
fn links() {
    let text = "@id(\"own\")\npermit(principal == ?principal, action, resource);\npermit(principal, action, resource);";
    let link = |template: &str, id: &str, principal: Option<&str>, resource: Option<&str>| Link {
        template: template.into(),
        id: id.into(),
        principal: principal.map(|it| Uid::new("User", it)),
        resource: resource.map(|it| Uid::new("File", it)),
    };
    let files = Files::parse(&[file("t.cedar", text)], &[link("own", "an", Some("an"), None)])
        .expect("a link");
    assert_eq!(ids(&files), ["an", "policy1"]);
    assert_eq!(files.places["an"].line, 1);
    let wrong = [
        link("own", "policy1", Some("an"), None),
        link("none", "x", Some("an"), None),
        link("own", "y", None, None),
        link("own", "z", Some("an"), Some("1")),
        link("policy1", "w", None, None),
    ];
    let found = problems(&[file("t.cedar", text)], &wrong);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert_eq!(found[0], "t.cedar:1: `policy1`: its id is taken by the policy at t.cedar:3");
}

#[test]
fn policies_in_json() {
    let text =
        "permit(principal == ?principal, action, resource); forbid(principal, action, resource);";
    let mut set: cedar_policy::PolicySet = text.parse().expect("policies");
    let values =
        [(cedar_policy::SlotId::principal(), "User::\"an\"".parse().expect("a uid"))].into();
    let id = cedar_policy::PolicyId::new;
    set.link(id("policy0"), id("linked"), values).expect("a link");
    let json = set.to_json().expect("JSON").to_string();
    let files = Files::parse(&[file("set.json", &json)], &[]).expect("policies");
    assert_eq!(ids(&files), ["linked", "policy1"]);
    let single = r#"{"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"},
                     "resource": {"op": "All"}, "conditions": []}"#;
    assert_eq!(
        ids(&Files::parse(&[file("one.json", single)], &[]).expect("a policy")),
        ["policy0"]
    );
    assert!(problems(&[file("cut.json", "{\n \"a\": ")], &[])[0].starts_with("cut.json:2:"));
    assert!(problems(&[file("odd.json", "{\"a\": 1}")], &[])[0].starts_with("odd.json: "));
}

#[test]
fn validation() {
    let schema = schema(file("s.cedarschema", SCHEMA)).expect("a schema");
    let text = "permit(principal, action == Action::\"read\", resource)\nwhen { principal.lvl > 1 };\n\
                @id(\"nick\")\npermit(principal, action, resource) when { principal.nick == \"x\" };\n\
                permit(principal is Group, action, resource);\n\
                permit(principal, action, resource) when { context.purpose == \"a\" };";
    let files = Files::parse(&[file("p.cedar", text)], &[]).expect("policies");
    let verdict = files.validate(&schema);
    let places: Vec<_> =
        verdict.problems.iter().map(|it| (it.line, it.subject.as_deref())).collect();
    assert_eq!(places, [(2, Some("policy0")), (4, Some("nick"))], "{verdict:#?}");
    assert!(verdict.problems[0].message.contains("lvl"), "{verdict:#?}");
    assert!(verdict.problems[1].hint.is_some(), "{verdict:#?}");
    assert!(
        verdict.warnings.iter().any(|it| it.subject.as_deref() == Some("policy2")),
        "{verdict:#?}"
    );
}

#[test]
fn schemas_and_entities() {
    let wrong: Problem = schema(file("s", "entity User = { a: Long };\nentity User2 { b: Lnog };"))
        .expect_err("a type")[0]
        .clone();
    assert!(wrong.message.contains("Lnog"), "{wrong:?}");
    let wrong = &schema(file("s", "entity User\n\nentity B;")).expect_err("a semicolon")[0];
    assert_eq!(wrong.line, 3, "{wrong:?}");
    assert!(schema(file("s", r#"{"": {"entityTypes": {"User": {}}, "actions": {}}}"#)).is_ok());
    assert!(schema(file("s", r#"{"": {"entityTypes": {"User": {}}"#)).is_err());

    let schema = schema(file("s", SCHEMA)).expect("a schema");
    let user = |id: &str, name: &str, value: Datum| {
        let mut user = Entity::new(Uid::new("User", id));
        user.attributes.insert(name.into(), value);
        user
    };
    let mut lost = user("lost", "level", Datum::Long(1));
    lost.parents.push(Uid::new("File", "1"));
    let entities = [
        user("an", "level", Datum::Long(3)),
        user("binh", "level", Datum::String("3".into())),
        user("chi", "lvl", Datum::Long(3)),
        lost,
        Entity::new(Uid::new("Planet", "x")),
    ];
    let found = conform(&entities, &schema);
    let subjects: Vec<_> =
        found.iter().map(|it| it.subject.as_deref().unwrap_or_default()).collect();
    assert_eq!(
        subjects,
        ["User::\"binh\"", "User::\"chi\"", "User::\"lost\"", "Planet::\"x\""],
        "{found:#?}"
    );
}

const ENTITIES: &str =
    r#"[{"uid": {"type": "User", "id": "an"}, "attrs": {"level": 3}, "parents": []}]"#;

fn answer(decision: Decision, reasons: &[&str], errors: &[&str]) -> Answer {
    let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    Answer { decision, reasons: owned(reasons), errors: owned(errors) }
}

#[test]
fn authorizing() {
    let policies = "permit(principal, action, resource) when { principal.level > 2 };
                    @id(\"z\") permit(principal, action, resource);
                    @id(\"b\") forbid(principal, action, resource) when { context.purpose == \"x\" };
                    @id(\"a\") forbid(principal, action, resource) when { context.purpose == \"x\" };";
    let requests = r#"[
        {"principal": "User::\"an\"", "action": "Action::\"read\"", "resource": {"type": "File", "id": "1"}},
        {"principal": {"__entity": {"type": "User", "id": "no"}}, "action": {"type": "Action", "id": "read"},
         "resource": "File::\"1\"", "context": {"purpose": "y"}},
        {"principal": "User::\"an\"", "action": "Action::\"read\"", "resource": "File::\"1\"", "context": {"purpose": "x"}}]"#;
    let answers = authorize(policies, ENTITIES, requests, None).expect("answers");
    assert!(!answers.one);
    assert_eq!(
        answers.answers,
        [
            answer(Decision::Allow, &["policy0", "z"], &["a", "b"]),
            answer(Decision::Allow, &["z"], &["policy0"]),
            answer(Decision::Deny, &["a", "b"], &[]),
        ]
    );
    let one =
        r#"{"principal": "User::\"an\"", "action": "Action::\"read\"", "resource": "File::\"1\""}"#;
    assert!(authorize(policies, ENTITIES, one, None).expect("an answer").one);
    assert_eq!(authorize("", "[]", "[]", None).expect("nothing").answers, []);
}

#[test]
fn authorizing_with_a_schema() {
    let policy = "permit(principal, action, resource) when { principal.level > 2 && context.purpose == \"x\" };";
    let ask = |policies: &str, entities: &str, principal: &str, context: &str| {
        let request = format!(
            r#"{{"principal": "{principal}::\"an\"", "action": "Action::\"read\"", "resource": "File::\"1\"", "context": {context}}}"#
        );
        authorize(policies, entities, &request, Some(SCHEMA))
    };
    let good = ask(policy, ENTITIES, "User", r#"{"purpose": "x"}"#).expect("an answer");
    assert_eq!(good.answers, [answer(Decision::Allow, &["policy0"], &[])]);
    let wrong = "permit(principal, action, resource) when { principal.lvl > 2 };";
    assert!(matches!(
        ask(wrong, ENTITIES, "User", r#"{"purpose": "x"}"#),
        Err(InputError::Text(_))
    ));
    let entities = ENTITIES.replace('3', "\"3\"");
    assert!(matches!(
        ask(policy, &entities, "User", r#"{"purpose": "x"}"#),
        Err(InputError::Entities(_))
    ));
    for (principal, context) in
        [("Group", r#"{"purpose": "x"}"#), ("User", "{}"), ("User", r#"{"purpose": 1}"#)]
    {
        let answer = ask(policy, ENTITIES, principal, context);
        assert!(matches!(answer, Err(InputError::Request { index: 0, .. })), "{answer:?}");
    }
}

#[test]
fn input_that_cannot_be_answered() {
    let request =
        r#"{"principal": "User::\"an\"", "action": "Action::\"read\"", "resource": "File::\"1\""}"#;
    let ask = |policies: &str, entities: &str, requests: &str| {
        authorize(policies, entities, requests, None).expect_err("no answer").to_string()
    };
    assert!(ask("permit(", "[]", request).starts_with("policies:1:"));
    assert!(ask("", "[", request).starts_with("entities: "));
    assert!(ask("", "[]", "{").starts_with("requests: not JSON: "));
    assert_eq!(
        ask("", "[]", "[1]"),
        "requests[0]: expected an object with `principal`, `action` and `resource`"
    );
    assert_eq!(ask("", "[]", "{}"), "requests[0]: no `principal`");
    let extra = request.replace("\"resource\"", "\"ressource\": 1, \"resource\"");
    assert_eq!(
        ask("", "[]", &format!("[{request}, {extra}]")),
        "requests[1]: unknown key `ressource`, expected `principal`, `action`, `resource` or `context`"
    );
    assert!(
        ask("", "[]", &request.replace("File::", "File:"))
            .starts_with("requests[0]: resource: `File:")
    );
}
