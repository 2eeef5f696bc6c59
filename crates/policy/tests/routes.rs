//! Which node gets a call, through the crate's public door.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::net::IpAddr;

use model::{MethodPath, NodeId};
use policy::source::{RouteRule, Shadow, Share, Split};
use policy::{Selection, Snapshot, Source};

use support::{SERVICE, SOURCE, source};

fn share(hundredths: u16) -> Share {
    Share::from_hundredths(hundredths).unwrap()
}

fn centre() -> NodeId {
    "centre".parse().unwrap()
}

fn to_centre() -> Split {
    Split { node: centre(), member: None, zone: None, header: None, share: None }
}

fn rule(splits: Vec<Split>) -> RouteRule {
    RouteRule { service: SERVICE.into(), splits, ..RouteRule::default() }
}

fn compile(routes: Vec<RouteRule>) -> Snapshot {
    Snapshot::compile(Source { routes, ..source(vec![]) }).unwrap()
}

/// Node, and shadow after a slash, of a call of `system`.
fn destination(snapshot: &Snapshot, system: &str, selection: Selection<'_>) -> String {
    let path = format!("/{SERVICE}/VerifyPerson");
    let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
    let caller = snapshot.system(system).unwrap();
    let destination = snapshot.destination(&caller, &route, &selection);
    match destination.shadow {
        Some(shadow) => format!("{}/{}", destination.node.id, shadow.id),
        None => destination.node.id.to_string(),
    }
}

fn plain(draw: u16) -> Selection<'static> {
    Selection { source: SOURCE, header: &|_| None, draw }
}

#[test]
fn without_rules_the_authoritative_node_gets_the_call() {
    assert_eq!(destination(&compile(vec![]), "commune", plain(0)), "population");
}

#[test]
fn a_split_by_member_takes_the_systems_below() {
    let member = |id: &str| Split { member: Some(id.parse().unwrap()), ..to_centre() };
    let of_province = compile(vec![rule(vec![member("H26")])]);
    assert_eq!(destination(&of_province, "commune", plain(0)), "centre");
    let of_commune = compile(vec![rule(vec![member("H26.12")])]);
    assert_eq!(destination(&of_commune, "commune", plain(0)), "centre");
    assert_eq!(destination(&of_commune, "province", plain(0)), "population");
}

#[test]
fn a_split_by_zone_goes_by_the_longest_prefix() {
    let zone = |id: &str| Split { zone: Some(id.parse().unwrap()), ..to_centre() };
    let from = |snapshot: &Snapshot, source: &str| {
        let source: IpAddr = source.parse().unwrap();
        destination(snapshot, "commune", Selection { source, ..plain(0) })
    };
    let ndxp = compile(vec![rule(vec![zone("ndxp")])]);
    assert_eq!(from(&ndxp, "10.1.2.3"), "centre");
    assert_eq!(from(&ndxp, "10.2.2.3"), "population");
    assert_eq!(from(&ndxp, "::ffff:10.1.2.3"), "centre");
    let state = compile(vec![rule(vec![zone("state")])]);
    assert_eq!(from(&state, "10.1.2.3"), "population");
    assert_eq!(from(&state, "2001:db8::7"), "centre");
    assert_eq!(from(&state, "192.0.2.1"), "population");
}

#[test]
fn a_split_by_header_wants_the_very_value() {
    let header = Some(("x-pilot".to_owned(), "yes".to_owned()));
    let snapshot = compile(vec![rule(vec![Split { header, ..to_centre() }])]);
    let with = |value: &'static str| {
        let header = move |name: &str| (name == "x-pilot").then_some(value);
        destination(&snapshot, "commune", Selection { header: &header, ..plain(0) })
    };
    assert_eq!(with("yes"), "centre");
    assert_eq!(with("no"), "population");
}

#[test]
fn shares_add_up_in_their_order() {
    let some = |hundredths| Split { share: Some(share(hundredths)), ..to_centre() };
    let own = Split { node: "population".parse().unwrap(), ..some(1_000) };
    let snapshot = compile(vec![rule(vec![some(2_000), own, some(500)])]);
    let at = |draw| destination(&snapshot, "commune", plain(draw));
    assert_eq!([at(0), at(1_999)], ["centre", "centre"]);
    assert_eq!([at(2_000), at(2_999)], ["population", "population"]);
    assert_eq!([at(3_000), at(3_499), at(3_500)], ["centre", "centre", "population"]);
}

#[test]
fn a_shadow_gets_its_share_and_never_the_call_itself() {
    let shadow = Some(Shadow { node: centre(), share: share(500) });
    let only = compile(vec![RouteRule { shadow: shadow.clone(), ..rule(vec![]) }]);
    assert_eq!(destination(&only, "commune", plain(9_999)), "population/centre");
    assert_eq!(destination(&only, "commune", plain(9_500)), "population/centre");
    assert_eq!(destination(&only, "commune", plain(9_499)), "population");
    let both = compile(vec![RouteRule { shadow: shadow.clone(), ..rule(vec![to_centre()]) }]);
    assert_eq!(destination(&both, "commune", plain(9_999)), "centre");
    // A node that gets a share of the calls gets copies of others.
    let some = Split { share: Some(share(1_000)), ..to_centre() };
    let shifting = compile(vec![RouteRule { shadow, ..rule(vec![some]) }]);
    let at = |draw| destination(&shifting, "commune", plain(draw));
    assert_eq!([at(999), at(1_000), at(9_500)], ["centre", "population", "population/centre"]);
}

#[test]
fn what_a_rule_for_a_method_leaves_open_is_as_for_the_service() {
    let service = RouteRule { retries_max: Some(2), ..rule(vec![to_centre()]) };
    let method = RouteRule {
        method: Some("VerifyPerson".into()),
        request_bytes_max: Some(1 << 20),
        ..rule(vec![])
    };
    let snapshot = compile(vec![method, service]);
    let path = format!("/{SERVICE}/VerifyPerson");
    let limits = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap().limits;
    assert_eq!((limits.retries_max, limits.request_bytes_max), (2, Some(1 << 20)));
    assert_eq!(destination(&snapshot, "commune", plain(0)), "centre");
}

#[test]
fn rules_that_lead_nowhere_are_problems() {
    let split = Split {
        node: "center".parse().unwrap(),
        member: Some("H62".parse().unwrap()),
        zone: Some("nowhere".parse().unwrap()),
        ..to_centre()
    };
    let shadow = Some(Shadow { node: "nodes".parse().unwrap(), share: Share::ALL });
    let first = RouteRule { shadow, ..rule(vec![split]) };
    let unreachable = rule(vec![to_centre(), to_centre()]);
    let routes = vec![first, unreachable];
    let problems = Snapshot::compile(Source { routes, ..source(vec![]) }).unwrap_err();
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect_test::expect![[r#"
        splits[0].node of routes[0]: found `center`, expected a registered node; did you mean `centre`?
        splits[0].member of routes[0]: found `H62`, expected a registered member
        splits[0].zone of routes[0]: found `nowhere`, expected a registered zone
        shadow.node of routes[0]: found `nodes`, expected a registered node
        splits[1] of routes[1]: found a split after those that take every call, expected splits that can be reached"#]].assert_eq(&problems.join("\n"));
}
