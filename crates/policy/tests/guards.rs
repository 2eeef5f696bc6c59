//! Cedar policies over agreements, through the crate's public door.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cedar::Datum;
use cedar::text::{File, Files, schema};
use model::{MethodPath, Terms, Timestamp};
use policy::{Context, SCHEMA, Snapshot, Source, Token, Workspace};

use support::{NOW, SERVICE, SOURCE, agreement, of_member, purpose, source};

/// A snapshot in which the commune may verify persons, but for these policies. They are valid
/// under the schema that holds by default.
fn guarded(text: &str) -> Snapshot {
    let files = Files::parse(&[File { name: "guards.cedar", text }], &[]).unwrap();
    let schema = schema(File { name: "guards.cedarschema", text: SCHEMA }).unwrap();
    let found = files.validate(&schema);
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    compile(files)
}

fn compile(files: Files) -> Snapshot {
    let mut source = source(vec![agreement("A", of_member("H26"))]);
    source.systems[1].attributes.insert("level".into(), Datum::Long(3));
    let method = &mut source.nodes[0].services[0].methods[0];
    method.attributes.insert("sensitive".into(), Datum::Bool(true));
    source.nodes[0].attributes.insert("zone".into(), Datum::String("ndxp".into()));
    let policies = Some(Arc::new(files));
    Snapshot::compile(Source { policies, ..source }).unwrap()
}

/// What is decided about the commune's call, and what the policies did: determining ids, then
/// erring ones.
fn ask<'a>(snapshot: &Snapshot, change: impl FnOnce(&mut Context<'a>)) -> String {
    static TERMS: LazyLock<Terms> = LazyLock::new(|| purpose("residence"));
    let mut context = Context { terms: &TERMS, source: SOURCE, token: None, now: NOW };
    change(&mut context);
    let caller = snapshot.system("commune").unwrap();
    let path = format!("/{SERVICE}/VerifyPerson");
    let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
    let mut workspace = Workspace::default();
    let decided = snapshot.decide(&caller, &route, &context, &mut workspace);
    let ids = |ixs: &[cedar::PolicyIx]| {
        let ids = ixs.iter().map(|ix| snapshot.policy(*ix).unwrap().id.to_string());
        ids.collect::<Vec<_>>().join(" ")
    };
    let decided = match decided {
        Ok(decision) => format!("allow {}", decision.agreement.id()),
        Err(refusal) => refusal.reason().name().to_owned(),
    };
    let (determining, erring) = (ids(workspace.determining()), ids(workspace.erring()));
    format!("{decided} [{determining}] [{erring}]")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(ask(&guarded(text), |_| {}), expected);
}

#[test]
fn a_policy_forbids_what_an_agreement_allows() {
    check("", "allow A [] []");
    check(r#"@id("all") forbid (principal, action, resource);"#, "POLICY_FORBIDS [all] []");
    check(
        r#"@id("update") forbid (principal, action == Action::"update", resource);"#,
        "allow A [] []",
    );
}

#[test]
fn a_policy_that_permits_replaces_no_agreement() {
    let text = r#"@id("any") permit (principal, action, resource);"#;
    check(text, "allow A [any] []");
    let files = Files::parse(&[File { name: "guards.cedar", text }], &[]).unwrap();
    let policies = Some(Arc::new(files));
    let snapshot = Snapshot::compile(Source { policies, ..source(vec![]) }).unwrap();
    assert_eq!(ask(&snapshot, |_| {}), "AGREEMENT_MISSING [] []");
    assert_eq!(snapshot.notes().len(), 1, "{:?}", snapshot.notes());
}

#[test]
fn policies_see_the_registry() {
    let sensitive = |level| {
        format!(
            r#"@id("level") forbid (principal, action, resource)
            when {{ resource has sensitive && resource.sensitive }}
            unless {{ principal has level && principal.level >= {level} }};"#
        )
    };
    check(&sensitive(3), "allow A [] []");
    check(&sensitive(4), "POLICY_FORBIDS [level] []");
    check(
        r#"@id("h26") forbid (principal in Member::"H26", action, resource);"#,
        "POLICY_FORBIDS [h26] []",
    );
    check(
        r#"@id("class") forbid (principal in Class::"commune", action, resource);"#,
        "POLICY_FORBIDS [class] []",
    );
    check(
        r#"@id("class") forbid (principal in Class::"ministry", action, resource);"#,
        "allow A [] []",
    );
    check(
        r#"@id("node") forbid (principal, action, resource in Node::"population");"#,
        "POLICY_FORBIDS [node] []",
    );
    check(
        r#"@id("provider") forbid (principal, action, resource)
        when { resource.node.provider == Member::"G01" && principal.member in Member::"H26" };"#,
        "POLICY_FORBIDS [provider] []",
    );
}

#[test]
fn policies_see_what_the_caller_states() {
    let snapshot = guarded(
        r#"@id("dossier") forbid (principal, action, resource) unless { context has dossier };
        @id("fields") forbid (principal, action, resource)
        when { context has fields && context.fields.contains("religion") };
        @id("basis") forbid (principal, action, resource)
        unless { context.agreement.id == "A" && context.agreement.mode == "by_default"
            && context.agreement.legal_basis like "Nghị định *" };"#,
    );
    assert_eq!(ask(&snapshot, |_| {}), "POLICY_FORBIDS [dossier] []");
    let terms = Terms { dossier: Some("HS-1".into()), ..purpose("residence") };
    assert_eq!(ask(&snapshot, |context| context.terms = &terms), "allow A [] []");
    let fields: Box<[Box<str>]> = ["religion".into(), "full_name".into()].into();
    let terms = Terms { fields, ..terms.clone() };
    assert_eq!(ask(&snapshot, |context| context.terms = &terms), "POLICY_FORBIDS [fields] []");
}

#[test]
fn policies_see_the_clock_on_the_wall() {
    let snapshot = guarded(
        r#"@id("hours") forbid (principal, action, resource)
        when { context.weekday > 5 || context.time_of_day < duration("7h30m")
            || context.time_of_day >= duration("17h") };"#,
    );
    let at = |text: &str| {
        // Local time is seven hours ahead.
        let (days, hours) = text.split_once(' ').unwrap();
        let (hour, minute) = hours.split_once(':').unwrap();
        let minutes = hour.parse::<u64>().unwrap() * 60 + minute.parse::<u64>().unwrap() - 7 * 60;
        // 2026-11-16 is a Monday.
        let monday = Timestamp::from_secs(1_794_787_200);
        let days: u64 = days.parse().unwrap();
        let now = monday.after(Duration::from_secs(days * 86_400 + minutes * 60));
        ask(&snapshot, |context| context.now = now)
    };
    let (open, closed) = ("allow A [] []", "POLICY_FORBIDS [hours] []");
    assert_eq!([at("0 7:29"), at("0 7:30"), at("4 16:59")], [closed, open, open]);
    assert_eq!(
        [at("4 17:00"), at("5 10:00"), at("6 10:00"), at("7 10:00")],
        [closed, closed, closed, open]
    );
}

#[test]
fn policies_see_where_a_call_comes_from() {
    let snapshot = guarded(
        r#"@id("zone") forbid (principal, action, resource)
        when { resource.node has zone }
        unless { context has zone && context.zone == resource.node.zone };
        @id("net") forbid (principal, action, resource)
        when { context.source.isInRange(ip("10.1.9.0/24")) };"#,
    );
    let from = |source: &str| {
        let source: IpAddr = source.parse().unwrap();
        ask(&snapshot, |context| context.source = source)
    };
    assert_eq!(from("10.1.2.3"), "allow A [] []");
    assert_eq!(from("::ffff:10.1.2.3"), "allow A [] []");
    assert_eq!(from("10.1.9.3"), "POLICY_FORBIDS [net] []");
    assert_eq!(from("10.2.2.3"), "POLICY_FORBIDS [zone] []");
    assert_eq!(from("192.0.2.1"), "POLICY_FORBIDS [zone] []");
}

#[test]
fn policies_see_the_token() {
    let snapshot = guarded(
        r#"@id("official") forbid (principal, action, resource)
        unless { context has token.level && context.token.level >= 2
            && context.token.roles.contains("ho-tich") && context.token.issuer == "https://vneid.example"
            && context has token.unit && context.token.unit == "H26.12" };"#,
    );
    let token = |level, roles: &[&str]| Token {
        issuer: "https://vneid.example".into(),
        subject: Some("900000000001".into()),
        level: Some(level),
        unit: Some("H26.12".into()),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        expires: NOW,
    };
    let with = |token: &Token| ask(&snapshot, |context| context.token = Some(token));
    assert_eq!(ask(&snapshot, |_| {}), "POLICY_FORBIDS [official] []");
    assert_eq!(with(&token(2, &["ho-tich"])), "allow A [] []");
    assert_eq!(with(&token(1, &["ho-tich"])), "POLICY_FORBIDS [official] []");
    assert_eq!(with(&token(2, &[])), "POLICY_FORBIDS [official] []");
}

#[test]
fn a_policy_that_errs_is_passed_over_and_told() {
    // Not valid under the schema, which is why the schema is asked first.
    let text = r#"@id("errs") forbid (principal, action, resource) when { context.zone > 1 };
        @id("holds") forbid (principal, action, resource) when { context.weekday == 3 };"#;
    let files = Files::parse(&[File { name: "guards.cedar", text }], &[]).unwrap();
    assert_eq!(ask(&compile(files), |_| {}), "POLICY_FORBIDS [holds] [errs]");
}

#[test]
fn the_registry_conforms_to_the_schema() {
    let entities = policy::entities(&source(vec![])).into_iter().map(|(_, made)| made);
    let schema = schema(File { name: "guards.cedarschema", text: SCHEMA }).unwrap();
    assert_eq!(cedar::text::conform(&entities.collect::<Vec<_>>(), &schema), []);
}

#[test]
fn what_would_change_a_refusal_is_told() {
    let snapshot = guarded(
        r#"@id("hours") forbid (principal, action, resource)
        when { context.time_of_day >= duration("17h") } unless { context has dossier };"#,
    );
    let caller = snapshot.system("commune").unwrap();
    let path = format!("/{SERVICE}/VerifyPerson");
    let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
    let terms = purpose("residence");
    let context = Context { terms: &terms, source: SOURCE, token: None, now: NOW };
    let explained = snapshot.explain(&caller, &route, &context);
    assert_eq!(explained.determining[0].id.as_ref(), "hours");
    assert_eq!(explained.candidates[0].missing, []);
    let midnight = Timestamp::from_secs(1_795_021_200);
    assert_eq!(explained.changes, [policy::WhatIf::Dossier, policy::WhatIf::Time(midnight)],);
}

#[test]
fn policies_know_the_groups_of_actions() {
    let text = r#"@id("group") forbid (principal, action in Action::"reading", resource);"#;
    let files = Files::parse(&[File { name: "guards.cedar", text }], &[]).unwrap();
    let policies = Some(Arc::new(files));
    let mut query = cedar::Entity::new(cedar::Uid::new("Action", "query"));
    query.parents.push(cedar::Uid::new("Action", "reading"));
    let actions = ["reading", "update"].map(|id| cedar::Entity::new(cedar::Uid::new("Action", id)));
    let actions = actions.into_iter().chain([query]).collect();
    let agreements = vec![agreement("A", of_member("H26"))];
    let source = Source { policies, actions, ..source(agreements) };
    assert_eq!(ask(&Snapshot::compile(source).unwrap(), |_| {}), "POLICY_FORBIDS [group] []");
}

#[test]
fn an_open_purpose_is_what_fitting_agreements_lack() {
    let other = policy::source::Agreement {
        purposes: vec!["statistics".parse().unwrap()],
        ..agreement("B", of_member("H26"))
    };
    let snapshot =
        Snapshot::compile(source(vec![agreement("A", of_member("H26")), other])).unwrap();
    let caller = snapshot.system("commune").unwrap();
    let path = format!("/{SERVICE}/VerifyPerson");
    let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
    let terms = Terms::default();
    let context = Context { terms: &terms, source: SOURCE, token: None, now: NOW };
    let explained = snapshot.explain(&caller, &route, &context);
    let missing: Vec<_> = explained.candidates.iter().map(|it| it.missing.as_slice()).collect();
    assert_eq!(missing, [[policy::Missing::Purpose], [policy::Missing::Purpose]]);
    assert_eq!(explained.changes.len(), 2);
}
