//! Decisions through the crate's public door: every way to be allowed or refused, and what the
//! refusal says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use expect_test::{Expect, expect};
use model::{Effect, MethodPath, Terms, Timestamp};
use policy::source::{Agreement, Consumer, Methods, Node, Quota, RouteRule, State};
use policy::{Snapshot, Source};

use support::{NOW, SERVICE, agreement, decide, member, of_member, purpose, source, system};

fn check(agreements: Vec<Agreement>, terms: &Terms, expected: Expect) {
    expected.assert_eq(&decide(source(agreements), 2, "VerifyPerson", terms, NOW));
}

#[test]
fn nothing_is_allowed_without_an_agreement() {
    check(
        vec![],
        &purpose("residence"),
        expect![
            "AGREEMENT_MISSING: no agreement allows this system to call the method (system: commune, method: /vn.population.v1.PopulationService/VerifyPerson); conclude an agreement with the provider"
        ],
    );
}

#[test]
fn an_agreement_of_the_member_covers_the_members_below() {
    let agreements = vec![agreement("A", of_member("H26"))];
    check(agreements, &purpose("residence"), expect!["allow A for residence"]);
}

#[test]
fn an_agreement_of_the_member_below_does_not_cover_the_one_above() {
    let agreements = vec![agreement("A", of_member("H26.12"))];
    let decided = decide(source(agreements), 1, "VerifyPerson", &purpose("residence"), NOW);
    assert!(decided.starts_with("AGREEMENT_MISSING"), "{decided}");
}

#[test]
fn the_nearest_consumer_governs_then_the_first_id() {
    let of_system = Consumer::System("commune".parse().unwrap());
    let agreements = |ids: &[(&str, Consumer)]| {
        ids.iter().map(|(id, consumer)| agreement(id, consumer.clone())).collect::<Vec<_>>()
    };
    let (province, commune) = (of_member("H26"), of_member("H26.12"));
    let all = [("B", province.clone()), ("A", province), ("D", commune.clone()), ("C", commune)];
    check(agreements(&all), &purpose("residence"), expect!["allow C for residence"]);
    let with_system = [&all[..], &[("Z", of_system)]].concat();
    check(agreements(&with_system), &purpose("residence"), expect!["allow Z for residence"]);
    let named = Terms { agreement: Some("B".parse().unwrap()), ..purpose("residence") };
    check(agreements(&all), &named, expect!["allow B for residence"]);
}

#[test]
fn a_suspended_agreement_gives_way_to_one_in_force() {
    let suspended = Agreement { state: State::Suspended, ..agreement("A", of_member("H26.12")) };
    let agreements = vec![suspended, agreement("B", of_member("H26"))];
    check(agreements, &purpose("residence"), expect!["allow B for residence"]);
}

#[test]
fn the_purpose_is_implied_only_where_there_is_one() {
    check(
        vec![agreement("A", of_member("H26"))],
        &Terms::default(),
        expect!["allow A for residence"],
    );
    let two = vec!["residence".parse().unwrap(), "benefits".parse().unwrap()];
    let agreements = vec![Agreement { purposes: two, ..agreement("A", of_member("H26")) }];
    check(
        agreements,
        &Terms::default(),
        expect![
            "PURPOSE_MISSING: the call states no purpose and the agreement has more than one (agreement: A, legal_basis: Nghị định 278/2025/NĐ-CP, purposes_covered: residence benefits); send the purpose code in `exchange-purpose`"
        ],
    );
}

#[test]
fn agreements_that_imply_different_purposes_imply_none() {
    let of = |id: &str, purposes: &[&str]| Agreement {
        purposes: purposes.iter().map(|code| code.parse().unwrap()).collect(),
        ..agreement(id, of_member(if id == "near" { "H26.12" } else { "H26" }))
    };
    let check = |agreements: Vec<Agreement>, terms: &Terms, expected: &str| {
        let decided = decide(source(agreements), 2, "VerifyPerson", terms, NOW);
        assert!(decided.starts_with(expected), "{decided}");
    };
    let unstated = Terms::default();
    let (a, b) = (of("A", &["residence"]), of("B", &["statistics"]));
    check(vec![a.clone(), b.clone()], &unstated, "PURPOSE_MISSING");
    check(vec![a.clone(), of("C", &["residence"])], &unstated, "allow A for residence");
    check(vec![a.clone(), of("near", &["residence", "benefits"])], &unstated, "PURPOSE_MISSING");
    check(vec![a.clone(), b.clone()], &purpose("statistics"), "allow B for statistics");
    let named = Terms { agreement: Some("B".parse().unwrap()), ..Terms::default() };
    check(vec![a.clone(), b.clone()], &named, "allow B for statistics");
    let suspended = Agreement { state: State::Suspended, ..b };
    check(vec![a, suspended], &unstated, "allow A for residence");
}

#[test]
fn purposes_bind() {
    let agreements = || vec![agreement("A", of_member("H26"))];
    check(
        agreements(),
        &purpose("statistics"),
        expect![
            "PURPOSE_NOT_COVERED: the agreement does not cover this purpose (agreement: A, legal_basis: Nghị định 278/2025/NĐ-CP, purposes_covered: residence, purpose: statistics); state a purpose of the agreement, or have the agreement extended"
        ],
    );
    check(
        agreements(),
        &purpose("curiosity"),
        expect![
            "PURPOSE_UNKNOWN: the purpose code is not registered (purpose: curiosity); use a registered purpose code"
        ],
    );
}

#[test]
fn states_and_validity_bind() {
    let with = |change: fn(&mut Agreement)| {
        let mut changed = agreement("A", of_member("H26"));
        change(&mut changed);
        vec![changed]
    };
    let terms = purpose("residence");
    check(
        with(|a| a.state = State::Draft),
        &terms,
        expect![
            "AGREEMENT_DRAFT: the agreement is still a draft (agreement: A, legal_basis: Nghị định 278/2025/NĐ-CP); wait until the provider has activated it"
        ],
    );
    check(
        with(|a| a.state = State::Suspended),
        &terms,
        expect![
            "AGREEMENT_SUSPENDED: the agreement is suspended (agreement: A, legal_basis: Nghị định 278/2025/NĐ-CP); ask the provider why, and to resume it"
        ],
    );
    check(
        with(|a| a.state = State::Ended),
        &terms,
        expect![
            "AGREEMENT_ENDED: the agreement has been ended (agreement: A, legal_basis: Nghị định 278/2025/NĐ-CP); conclude a new agreement"
        ],
    );
    check(
        with(|a| a.valid_from = NOW.after(Duration::from_micros(1))),
        &terms,
        expect![
            "AGREEMENT_NOT_YET_VALID: the agreement is not valid yet (agreement: A, legal_basis: Nghị định 278/2025/NĐ-CP, valid_from: 2026-11-18T11:06:40Z); call again once its validity has begun"
        ],
    );
    check(
        with(|a| a.valid_until = NOW),
        &terms,
        expect![
            "AGREEMENT_EXPIRED: the agreement has expired (agreement: A, legal_basis: Nghị định 278/2025/NĐ-CP, valid_until: 2026-11-18T11:06:40Z); have the agreement renewed"
        ],
    );
    check(with(|a| a.valid_from = NOW), &terms, expect!["allow A for residence"]);
}

#[test]
fn an_agreement_that_does_not_apply_cannot_be_named() {
    let named = Terms { agreement: Some("X".parse().unwrap()), ..purpose("residence") };
    check(
        vec![agreement("A", of_member("H26"))],
        &named,
        expect![
            "AGREEMENT_NOT_APPLICABLE: the agreement named in `exchange-agreement` does not cover this call (agreement_named: X, system: commune, method: /vn.population.v1.PopulationService/VerifyPerson); name an agreement that covers the system and the method, or name none"
        ],
    );
}

#[test]
fn methods_bind() {
    let agreements = || vec![agreement("A", of_member("H26"))];
    let terms = purpose("residence");
    let decided = |method| decide(source(agreements()), 2, method, &terms, NOW);
    assert!(decided("Correct").starts_with("AGREEMENT_MISSING"));
    assert!(decided("LookUp").starts_with("METHOD_UNKNOWN"));
    let all = vec![Agreement { methods: Methods::All, ..agreement("A", of_member("H26")) }];
    assert_eq!(decide(source(all), 2, "Correct", &terms, NOW), "allow A for residence");
}

#[test]
fn certificates_bind() {
    let decided = |who, now| decide(source(vec![]), who, "VerifyPerson", &Terms::default(), now);
    assert!(decided(9, NOW).starts_with("CERTIFICATE_REVOKED"));
    assert!(decided(3, NOW).starts_with("CERTIFICATE_UNREGISTERED"));
    assert!(decided(2, Timestamp::from_secs(1_900_000_000)).starts_with("CERTIFICATE_EXPIRED"));
}

#[test]
fn route_rules_change_what_they_name() {
    let rule = |method: Option<&str>, secs| RouteRule {
        service: SERVICE.into(),
        method: method.map(str::to_owned),
        deadline_max: Some(Duration::from_secs(secs)),
        pass_authorization: method.map(|_| true),
        ..RouteRule::default()
    };
    let rules = vec![rule(None, 30), rule(Some("Correct"), 60)];
    let snapshot = Snapshot::compile(Source { routes: rules, ..source(vec![]) }).unwrap();
    let route = |method: &str| {
        let path = format!("/{SERVICE}/{method}");
        let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
        let limits = route.limits;
        (limits.deadline_max.unwrap().as_secs(), limits.pass_authorization, route.effect)
    };
    assert_eq!(route("VerifyPerson"), (30, false, Effect::Query));
    assert_eq!(route("Correct"), (60, true, Effect::Update));
}

#[test]
fn every_problem_of_a_source_is_reported() {
    let mut source = source(vec![
        Agreement {
            methods: Methods::Named(vec!["VerifyPersom".into()]),
            purposes: vec!["residense".parse().unwrap()],
            valid_until: Timestamp::from_secs(0),
            quota: vec![Quota { calls: 0, period: Duration::from_secs(1), burst: 1 }],
            ..agreement("A", of_member("H62"))
        },
        Agreement { node: "populatoin".parse().unwrap(), ..agreement("A", of_member("H26")) },
    ]);
    source.members.push(member("H26", Some("H27")));
    source.members.push(member("X1", Some("X2")));
    source.members.push(member("X2", Some("X1")));
    source.systems.push(system("thief", "H26.13", 2));
    source.nodes.push(Node {
        id: "copy".parse().unwrap(),
        endpoints: vec![],
        provider: "G02".parse().unwrap(),
        ..source.nodes[0].clone()
    });
    let problems = Snapshot::compile(source).unwrap_err();
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect![[r#"
        id of member `H26`: found a second one, expected one member with this id
        parent of member `H26`: found `H27`, expected a registered member; did you mean `H26`?
        parent of member `X1`: found a member that stands below this one, expected a tree
        certificates[0] of system `thief`: found certificate 0202020202020202020202020202020202020202020202020202020202020202, which is registered already, expected a certificate of one system
        member of system `thief`: found `H26.13`, expected a registered member; did you mean `H26.12`?
        provider of node `copy`: found `G02`, expected a registered member; did you mean `G01`?
        endpoints of node `copy`: found none, expected at least one `host:port`
        services[0] of node `copy`: found `vn.population.v1.PopulationService`, which another node offers already, expected a service with one authoritative node
        purposes[0] of agreement `A`: found `residense`, expected a registered purpose; did you mean `residence`?
        valid_until of agreement `A`: found 1970-01-01T00:00:00Z, not after the start, expected an end after the start of validity
        quota[0] of agreement `A`: found zero, expected at least one call
        consumer of agreement `A`: found `H62`, expected a registered member
        methods[0] of agreement `A`: found `VerifyPersom`, expected a registered method of the service; did you mean `VerifyPerson`?
        id of agreement `A`: found a second one, expected one agreement with this id
        node of agreement `A`: found `populatoin`, expected a registered node; did you mean `population`?"#]]
    .assert_eq(&problems.join("\n"));
}
