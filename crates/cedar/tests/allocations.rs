//! Deciding allocates nothing once a workspace is warm, whatever conditions do.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]

use cedar::{Decision, Engine, Request, Uid, Value, Workspace};

const POLICIES: &str = r#"
permit(principal, action, resource) when { context.purpose == "residence" && context.level > 2 };
permit(principal in Group::"all", action in [Action::"read"], resource is File) when { principal.level < 9 };
permit(principal, action, resource) when { [context.level, 1, principal.level].contains(3) };
permit(principal, action, resource) when { {a: [context.level], b: {c: principal}} == {a: [3, 3], b: {c: principal}} };
permit(principal, action, resource) when { {a: context.level}.a == 3 && [principal, resource].containsAll([resource]) };
permit(principal, action, resource) when { ip(context.from).isInRange(ip("10.0.0.0/8")) };
permit(principal, action, resource) when { decimal("1.0").lessThan(decimal(context.price)) };
permit(principal, action, resource) when { datetime(context.day).offset(duration(context.time)) > datetime("2026-01-01") };
permit(principal, action, resource) when { context.purpose like "res*nce" && principal.name like "A*" };
permit(principal, action, resource) when { context has record.a.b && context.record.a.b == 1 };
permit(principal, action, resource) when { principal.hasTag("env") && principal.getTag("env") == "prod" };
permit(principal, action, resource) when { context.missing };
permit(principal, action, resource) when { context.level + 9223372036854775807 == 0 };
forbid(principal, action, resource) when { context.level.contains(1) };
forbid(principal, action, resource) when { if context.level == 3 then context.purpose == "x" else true };
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "an"}, "attrs": {"level": 3, "name": "An"}, "tags": {"env": "prod"},
   "parents": [{"type": "Group", "id": "all"}]},
  {"uid": {"type": "File", "id": "1"}, "attrs": {}, "parents": []}
]"#;

#[test]
fn a_warm_workspace_allocates_nothing() {
    let entities = cedar_policy::Entities::from_json_str(ENTITIES, None).expect("entities");
    // Many policies that are filed by what they begin with, besides the special ones.
    let mut text = POLICIES.to_owned();
    for ix in 0..200 {
        text += &format!(
            "permit(principal, action, resource) when {{ context.purpose == \"p{ix}\" }};\n"
        );
        text += &format!("permit(principal, action, resource) when {{ resource.kind == {ix} }};\n");
    }
    let policies = text.parse().expect("policies");
    let engine = Engine::from_reference(&policies, &entities).expect("an engine");
    let mut workspace = Workspace::default();

    let uid = |text: &str| text.parse::<Uid>().expect("a uid");
    let context = cedar_policy::Context::from_json_str(
        r#"{"purpose": "residence", "level": 3, "from": "10.1.2.3", "price": "1.5", "day": "2026-03-01",
            "time": "1h", "record": {"a": {"b": 1}}}"#,
        None,
    );
    let entity = |text: &str| text.parse().expect("a uid");
    let request = cedar_policy::Request::new(
        entity("User::\"an\""),
        entity("Action::\"read\""),
        entity("File::\"1\""),
        context.expect("a context"),
        None,
    );
    let prepared = engine.prepare_reference(&request.expect("a request")).expect("known values");
    let stranger = engine.prepare(
        &uid("Stranger::\"x\""),
        &uid("Action::\"other\""),
        &uid("File::\"1\""),
        &Default::default(),
    );
    let known = |kind, id| engine.entity(kind, id).expect("interned");
    let pairs = [
        (engine.key("purpose").expect("interned"), Value::Str("p17")),
        (engine.key("level").expect("interned"), Value::Long(3)),
    ];
    let given =
        Request::new(known("User", "an"), known("Action", "read"), known("File", "1"), &pairs);
    let requests = [prepared.request(), stranger.request(), given];
    let mut decide = || {
        requests.map(|request| {
            let decision = engine.decide(&request, &mut workspace);
            (decision, workspace.determining().len(), workspace.erring().len())
        })
    };
    let first = decide();
    assert_eq!(first[0], (Decision::Allow, 11, 203));
    assert_eq!(first[2].0, Decision::Allow);
    let mut again = first;
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            again = decide();
        }
    });
    assert_eq!(again, first);
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
}
