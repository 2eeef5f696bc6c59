//! Allowing a call allocates nothing once the workspace is warm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;

use cedar::text::{File, Files};
use model::{MethodPath, Terms};
use policy::source::{Consumer, RouteRule, Shadow, Share, Split};
use policy::{Context, Selection, Snapshot, Source, Token, Workspace};

use support::{NOW, SERVICE, SOURCE, agreement, certificate, of_member, purpose, source};

const POLICIES: &str = r#"
    @id("level") forbid (principal, action, resource)
    when { resource has sensitive && resource.sensitive }
    unless { principal has level && principal.level >= 3 };
    @id("hours") forbid (principal in Member::"H26", action, resource)
    when { context.weekday > 5 || [context.purpose, "x"].contains("y") };
    @id("zone") forbid (principal, action, resource)
    when { context has zone && context.zone == "nowhere" };
    @id("fields") forbid (principal, action, resource)
    when { context has fields && context.fields.containsAny(["religion", "ethnicity"]) };
    @id("token") forbid (principal, action, resource)
    when { context has token.level && context.token.level < 1 };
    @id("basis") permit (principal, action, resource)
    when { context.agreement.legal_basis like "Nghị định*" };
"#;

#[test]
fn allowing_a_call_allocates_nothing() {
    let files = Files::parse(&[File { name: "guards.cedar", text: POLICIES }], &[]).unwrap();
    let split = Split {
        node: "centre".parse().unwrap(),
        member: Some("H26".parse().unwrap()),
        zone: Some("ndxp".parse().unwrap()),
        header: None,
        share: Share::from_hundredths(5_000),
    };
    let shadow = Some(Shadow { node: "centre".parse().unwrap(), share: Share::ALL });
    let rule =
        RouteRule { service: SERVICE.into(), splits: vec![split], shadow, ..RouteRule::default() };
    // Those of the province are many and kept aside; the commune and a class have one each.
    let own = |id: &str, consumer, code: &str| policy::source::Agreement {
        purposes: vec![code.parse().unwrap()],
        ..agreement(id, consumer)
    };
    let of_class = Consumer::Class("commune".parse().unwrap());
    let of_system = Consumer::System("commune".parse().unwrap());
    let agreements = (0..100).map(|n| agreement(&format!("A{n}"), of_member("H26")));
    let agreements =
        agreements.chain([own("C", of_class, "statistics"), own("S", of_system, "benefits")]);
    let snapshot = Snapshot::compile(Source {
        policies: Some(Arc::new(files)),
        routes: vec![rule],
        ..source(agreements.collect())
    })
    .unwrap();
    let path = format!("/{SERVICE}/VerifyPerson");
    let terms = Terms { fields: ["full_name".into()].into(), ..purpose("residence") };
    let implied = Terms { agreement: Some("A0".parse().unwrap()), ..Terms::default() };
    let (class, system) = (purpose("statistics"), purpose("benefits"));
    let token = Token {
        issuer: "https://vneid.example".into(),
        subject: None,
        level: Some(2),
        unit: None,
        roles: vec!["ho-tich".into()],
        expires: NOW,
    };
    let shown = certificate(2);
    let mut workspace = Workspace::default();
    let mut call = |expected: &str, terms: &Terms, token| {
        let caller = snapshot.identify(&shown, NOW).unwrap();
        let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
        let context = Context { terms, source: SOURCE, token, now: NOW };
        let decision = snapshot.decide(&caller, &route, &context, &mut workspace).unwrap();
        assert_eq!(decision.agreement.id().as_str(), expected);
        let selection = Selection { source: SOURCE, header: &|_| None, draw: 1 };
        assert_eq!(snapshot.destination(&caller, &route, &selection).node.id.as_str(), "centre");
    };
    let mut calls = || {
        call("A0", &terms, Some(&token));
        call("A0", &implied, None);
        call("C", &class, None);
        call("S", &system, None);
    };
    calls();
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| calls()));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert_eq!(workspace.determining().len(), 1);
}
