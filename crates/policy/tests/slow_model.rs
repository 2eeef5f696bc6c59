//! Decisions against a slow, obvious model: a linear scan over what operators wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use mask::Contract;
use model::{MethodPath, PurposeCode, Reason, RevisionId, Terms, Timestamp};
use policy::source::{
    Agreement, Class, Consumer, Fields, Member, Method, Methods, Purpose, Service, State,
};
use policy::{Change, Context, Snapshot, Source, Workspace};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use support::{NOW, SOURCE, agreement, contract, member, node, source, system};

const SYSTEMS: [&str; 6] = ["sys-a", "sys-b", "sys-c", "sys-d", "sys-e", "sys-f"];
const PURPOSES: [&str; 4] = ["p0", "p1", "p2", "p3"];
const METHODS: [&str; 3] = ["M0", "M1", "M2"];
const SERVICES: [&str; 2] = ["t.v1.S", "two.S"];
const PROPERTY_CASES: u32 = if cfg!(debug_assertions) { 60 } else { 2_000 };

/// Two provinces with communes below and offices below those; classes cut across.
fn country() -> Source {
    let classed = |id: &str, parent: Option<&str>, classes: &[&str]| Member {
        classes: classes.iter().map(|id| id.parse().unwrap()).collect(),
        ..member(id, parent)
    };
    let service = |name: &str| Service {
        name: name.into(),
        methods: METHODS
            .map(|name| Method {
                name: name.into(),
                effect: model::Effect::Query,
                attributes: Default::default(),
            })
            .into(),
        attributes: Default::default(),
    };
    Source {
        classes: ["commune", "pilot"]
            .map(|id| Class { id: id.parse().unwrap(), name: id.into() })
            .into(),
        members: vec![
            classed("H1", None, &["pilot"]),
            classed("H2", None, &[]),
            classed("H1.1", Some("H1"), &["pilot", "commune"]),
            classed("H2.1", Some("H2"), &["commune"]),
            classed("H1.1.1", Some("H1.1"), &[]),
            member("G01", None),
        ],
        systems: SYSTEMS
            .iter()
            .zip(["H1", "H2", "H1.1", "H2.1", "H1.1.1", "G01"])
            .zip(1..)
            .map(|((id, member), n)| system(id, member, n))
            .collect(),
        nodes: vec![node("population", SERVICES.map(service).into())],
        purposes: PURPOSES
            .map(|code| Purpose { code: code.parse().unwrap(), name: code.into() })
            .into(),
        agreements: Vec::new(),
        contract: Some(Arc::clone(&CONTRACT)),
        ..source(Vec::new())
    }
}

/// Knows the first of the services.
static CONTRACT: LazyLock<Arc<Contract>> = LazyLock::new(|| {
    contract(
        r#"
        service S {
          rpc M0(A) returns (A);
          rpc M1(B) returns (B);
          rpc M2(A) returns (B);
        }
        message A {
          string x = 1 [(giaolien.annotations.v1.class) = CLASS_OPEN];
          string y = 2 [(giaolien.annotations.v1.class) = CLASS_BASIC];
        }
        message B {
          A a = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC];
          string z = 2 [(giaolien.annotations.v1.class) = CLASS_SECRET];
        }
        "#,
    )
});

/// Fields that fit whatever the methods are.
const FIELDS: [&[&str]; 4] = [&["all"], &["open"], &["basic"], &["open", "sensitive"]];

/// The digest of the mask that answers go through.
fn slow_mask(agreement: &Agreement, method: &str) -> Option<[u8; 32]> {
    let message = &CONTRACT.method(&format!("/{}/{method}", agreement.service))?.output;
    let selection = match &agreement.fields {
        Fields::All if message == "t.v1.A" => return None,
        Fields::All => mask::Selection::from_items(["open", "basic", "sensitive"]),
        Fields::Named(names) => mask::Selection::from_items(names.iter().map(String::as_str)),
    };
    Some(*mask::Mask::compile(&CONTRACT, message, &selection).unwrap().digest())
}

fn any_consumer() -> impl Strategy<Value = Consumer> {
    let members = prop::sample::select(vec!["H1", "H2", "H1.1", "H2.1", "H1.1.1", "G01"]);
    prop_oneof![
        members.prop_map(|id| Consumer::Member(id.parse().unwrap())),
        prop::sample::select(SYSTEMS.to_vec()).prop_map(|id| Consumer::System(id.parse().unwrap())),
        prop::sample::select(vec!["commune", "pilot"])
            .prop_map(|id| Consumer::Class(id.parse().unwrap())),
    ]
}

fn any_agreement() -> impl Strategy<Value = Agreement> {
    let state = prop_oneof![
        5 => Just(State::Active),
        1 => Just(State::Draft),
        1 => Just(State::Suspended),
        1 => Just(State::Ended),
    ];
    let some =
        |names: &'static [&'static str]| prop::sample::subsequence(names.to_vec(), 1..names.len());
    let methods = prop_oneof![
        Just(Methods::All),
        some(&METHODS)
            .prop_map(|names| Methods::Named(names.into_iter().map(str::to_owned).collect())),
    ];
    let validity = prop_oneof![
        4 => Just((0, 10)),
        1 => Just((0, 5)),
        1 => Just((6, 10)),
        1 => Just((5, 6)),
    ];
    (
        0..200_u32,
        any_consumer(),
        prop::sample::select(SERVICES.to_vec()),
        methods,
        some(&PURPOSES),
        state,
        validity,
        prop::sample::select(FIELDS.to_vec()),
    )
        .prop_map(
            |(id, consumer, service, methods, purposes, state, (from, until), fields)| {
                let at = |n: u64| Timestamp::from_secs(NOW.as_micros() / 1_000_000 - 5 + n);
                Agreement {
                    service: service.into(),
                    methods,
                    purposes: purposes.iter().map(|code| code.parse().unwrap()).collect(),
                    state,
                    valid_from: at(from),
                    valid_until: at(until),
                    fields: match fields {
                        ["all"] => Fields::All,
                        _ if service == "two.S" => Fields::All,
                        names => Fields::Named(names.iter().map(|name| (*name).into()).collect()),
                    },
                    ..agreement(&format!("A{id:03}"), consumer)
                }
            },
        )
}

/// Each id once.
fn any_agreements(most: usize) -> impl Strategy<Value = Vec<Agreement>> {
    prop::collection::vec(any_agreement(), 0..most).prop_map(|agreements| {
        let mut ids = BTreeSet::new();
        agreements.into_iter().filter(|agreement| ids.insert(agreement.id.clone())).collect()
    })
}

struct Asked<'a> {
    system: &'a str,
    service: &'a str,
    method: &'a str,
    terms: Terms,
}

/// The whole rule, read off the documents.
fn slow(source: &Source, asked: &Asked<'_>) -> Result<(String, String), Reason> {
    let chain = chain(source, asked.system);
    let mut named: Vec<(usize, &Agreement)> = Vec::new();
    for agreement in &source.agreements {
        let distance = chain.iter().position(|consumer| *consumer == agreement.consumer);
        let covers = match &agreement.methods {
            Methods::All => true,
            Methods::Named(names) => names.iter().any(|name| name == asked.method),
        };
        let may = asked.terms.agreement.as_ref().is_none_or(|id| *id == agreement.id);
        if let (Some(distance), true, true) =
            (distance, covers && agreement.service == asked.service, may)
        {
            named.push((distance, agreement));
        }
    }
    named.sort_by_key(|(distance, agreement)| (*distance, agreement.id.clone()));
    let in_force = |agreement: &Agreement| match agreement.state {
        State::Active if NOW < agreement.valid_from => Err(Reason::AgreementNotYetValid),
        State::Active if NOW >= agreement.valid_until => Err(Reason::AgreementExpired),
        State::Active => Ok(()),
        State::Draft => Err(Reason::AgreementDraft),
        State::Suspended => Err(Reason::AgreementSuspended),
        State::Ended => Err(Reason::AgreementEnded),
    };
    let forceful = || named.iter().filter(|(_, it)| in_force(it).is_ok()).map(|(_, it)| *it);
    let nearest = |which: &dyn Fn(&Agreement) -> bool| {
        let reasons: BTreeSet<Reason> = named
            .iter()
            .filter(|(_, agreement)| which(agreement))
            .filter_map(|(_, agreement)| in_force(agreement).err())
            .collect();
        let order = [
            Reason::AgreementSuspended,
            Reason::AgreementNotYetValid,
            Reason::AgreementExpired,
            Reason::AgreementDraft,
            Reason::AgreementEnded,
        ];
        order.into_iter().find(|reason| reasons.contains(reason))
    };
    match &asked.terms.purpose {
        Some(purpose) => {
            if let Some(found) = forceful().find(|it| it.purposes.contains(purpose)) {
                return Ok((found.id.to_string(), purpose.to_string()));
            }
            if let Some(reason) = nearest(&|it| it.purposes.contains(purpose)) {
                return Err(reason);
            }
            if forceful().next().is_some() {
                return Err(Reason::PurposeNotCovered);
            }
        }
        None => {
            let implied: BTreeSet<&PurposeCode> =
                forceful().flat_map(|agreement| &agreement.purposes).collect();
            if implied.len() > 1 {
                return Err(Reason::PurposeMissing);
            }
            if let (Some(first), Some(purpose)) = (forceful().next(), implied.first()) {
                return Ok((first.id.to_string(), purpose.to_string()));
            }
        }
    }
    Err(nearest(&|_| true).unwrap_or(match asked.terms.agreement {
        Some(_) => Reason::AgreementNotApplicable,
        None => Reason::AgreementMissing,
    }))
}

/// Who stands for a system, nearest first.
fn chain(source: &Source, system: &str) -> Vec<Consumer> {
    let row = source.systems.iter().find(|row| row.id.as_str() == system).unwrap();
    let mut chain = vec![Consumer::System(row.id.clone())];
    let mut at = Some(row.member.clone());
    while let Some(id) = at {
        let member = source.members.iter().find(|member| member.id == id).unwrap();
        chain.push(Consumer::Member(id));
        let mut classes = member.classes.clone();
        classes.sort();
        chain.extend(classes.into_iter().map(Consumer::Class));
        at = member.parent.clone();
    }
    chain
}

fn fast(snapshot: &Snapshot, asked: &Asked<'_>) -> Result<(String, String), Reason> {
    let caller = snapshot.system(asked.system).unwrap();
    let path = format!("/{}/{}", asked.service, asked.method);
    let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
    let context = Context { terms: &asked.terms, source: SOURCE, token: None, now: NOW };
    let decided = snapshot.decide(&caller, &route, &context, &mut Workspace::default());
    decided
        .map(|decision| (decision.agreement.id().to_string(), decision.purpose.to_string()))
        .map_err(|refusal| refusal.reason())
}

/// Every call that can be made, and a few that name an agreement.
fn every_call(source: &Source, mut check: impl FnMut(&Asked<'_>)) {
    let named = source.agreements.iter().take(3).map(|agreement| Some(agreement.id.clone()));
    let named: Vec<_> = named.chain([None, Some("X".parse().unwrap())]).collect();
    for system in SYSTEMS {
        for (service, method) in SERVICES.iter().flat_map(|s| METHODS.map(|m| (*s, m))) {
            for purpose in PURPOSES.iter().map(Some).chain([None]) {
                for agreement in &named {
                    let terms = Terms {
                        purpose: purpose.map(|code| code.parse().unwrap()),
                        agreement: agreement.clone(),
                        ..Terms::default()
                    };
                    check(&Asked { system, service, method, terms });
                }
            }
        }
    }
}

/// The digest of the mask that answers of a call under an agreement go through.
fn fast_mask(snapshot: &Snapshot, asked: &Asked<'_>) -> Option<[u8; 32]> {
    let caller = snapshot.system(asked.system).unwrap();
    let path = format!("/{}/{}", asked.service, asked.method);
    let route = snapshot.route(MethodPath::parse(&path).unwrap()).unwrap();
    let context = Context { terms: &asked.terms, source: SOURCE, token: None, now: NOW };
    let decided = snapshot.decide(&caller, &route, &context, &mut Workspace::default());
    decided.unwrap().agreement.answer_mask(&route).map(|mask| *mask.digest())
}

fn compare(source: &Source, snapshot: &Snapshot) {
    every_call(source, |asked| {
        let (slow, fast) = (slow(source, asked), fast(snapshot, asked));
        assert_eq!(
            slow, fast,
            "{} calls {}/{} for {:?}",
            asked.system, asked.service, asked.method, asked.terms
        );
        if let Ok((id, _)) = slow {
            let governing = source.agreements.iter().find(|it| it.id.as_str() == id).unwrap();
            let expected = slow_mask(governing, asked.method);
            assert_eq!(fast_mask(snapshot, asked), expected, "{governing:?} {}", asked.method);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(PROPERTY_CASES))]

    #[test]
    fn a_decision_is_what_a_linear_scan_finds(agreements in any_agreements(80)) {
        let source = Source { agreements, ..country() };
        let snapshot = Snapshot::compile(source.clone()).unwrap();
        prop_assert_eq!(snapshot.agreement_count(), source.agreements.len());
        compare(&source, &snapshot);
    }

    #[test]
    fn an_amended_snapshot_is_what_compiling_anew_gives(
        agreements in any_agreements(40),
        batches in prop::collection::vec(
            prop::collection::vec((any_agreement(), any::<bool>()), 1..8),
            1..6,
        ),
    ) {
        let mut source = Source { agreements, ..country() };
        let mut snapshot = Snapshot::compile(source.clone()).unwrap();
        for (batch, revision) in batches.into_iter().zip(8..) {
            let changes = batch.into_iter().map(|(changed, removed)| {
                let had = source.agreements.iter().any(|it| it.id == changed.id);
                source.agreements.retain(|it| it.id != changed.id);
                match removed && had {
                    true => Change::Remove(changed.id),
                    false => {
                        source.agreements.push(changed.clone());
                        Change::Put(changed)
                    }
                }
            });
            snapshot = snapshot.amend(RevisionId(revision), changes.collect()).unwrap();
            prop_assert_eq!(snapshot.revision(), RevisionId(revision));
            prop_assert_eq!(snapshot.agreement_count(), source.agreements.len());
        }
        compare(&source, &snapshot);
    }
}

#[test]
fn many_shards_answer_as_one_scan_does() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut agreements: Vec<Agreement> =
        (0..6_000).map(|_| any_agreement().new_tree(&mut runner).unwrap().current()).collect();
    for (agreement, n) in agreements.iter_mut().zip(0..) {
        agreement.id = format!("B{n:05}").parse().unwrap();
    }
    let mut source = country();
    for n in 0..3_000 {
        let id = format!("office-{n:04}");
        source.systems.push(support::system(&id, "H2.1", 0));
        let system = source.systems.last_mut().unwrap();
        system.certificates.clear();
        if let Some(agreement) = agreements.get_mut(2 * n) {
            agreement.consumer = Consumer::System(system.id.clone());
        }
    }
    source.agreements = agreements;
    let snapshot = Snapshot::compile(source.clone()).unwrap();
    for n in (0..3_000).step_by(97) {
        let system = format!("office-{n:04}");
        for purpose in PURPOSES {
            let terms = support::purpose(purpose);
            let asked = Asked { system: &system, service: SERVICES[n % 2], method: "M1", terms };
            assert_eq!(slow(&source, &asked), fast(&snapshot, &asked), "{system} {purpose}");
        }
    }
    let mut amended = snapshot;
    for (agreement, n) in source.agreements.iter().take(500).zip(9..) {
        let change = Change::Remove(agreement.id.clone());
        amended = amended.amend(RevisionId(n), vec![change]).unwrap();
    }
    source.agreements.drain(..500);
    assert_eq!(amended.agreement_count(), source.agreements.len());
    for n in (0..3_000).step_by(61) {
        let system = format!("office-{n:04}");
        let terms = support::purpose(PURPOSES[n % 4]);
        let asked = Asked { system: &system, service: SERVICES[0], method: "M2", terms };
        assert_eq!(slow(&source, &asked), fast(&amended, &asked), "{system}");
    }
}

#[test]
fn what_cannot_be_amended_changes_nothing() {
    let source = Source { agreements: vec![agreement_of("A001")], ..country() };
    let snapshot = Snapshot::compile(source).unwrap();
    let unknown = Agreement { service: "three.S".into(), ..agreement_of("A002") };
    let changes = vec![
        Change::Remove("A009".parse().unwrap()),
        Change::Remove("A001".parse().unwrap()),
        Change::Put(unknown),
    ];
    let problems = snapshot.amend(RevisionId(8), changes).unwrap_err();
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect_test::expect![[r#"
        id of agreement `A009`: found no agreement, expected an agreement with this id
        service of agreement `A002`: found `three.S`, expected a registered service of node `population`"#]]
    .assert_eq(&problems.join("\n"));
    assert_eq!(snapshot.agreement_count(), 1);
}

fn agreement_of(id: &str) -> Agreement {
    let consumer = Consumer::System("sys-a".parse().unwrap());
    Agreement {
        service: "t.v1.S".into(),
        methods: Methods::All,
        purposes: vec!["p0".parse().unwrap()],
        ..agreement(id, consumer)
    }
}

/// Every agreement as the Cedar policy it is equivalent to, asked about every call.
#[test]
fn agreements_are_equivalent_to_their_cedar_text() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..20 {
        let agreements = any_agreements(30).new_tree(&mut runner).unwrap().current();
        let source = Source { agreements, ..country() };
        let snapshot = Snapshot::compile(source.clone()).unwrap();
        let texts = source.agreements.iter();
        let texts = texts.map(|it| snapshot.agreement_text(it.id.as_str()).unwrap());
        let policies: cedar_policy::PolicySet = texts.collect::<String>().parse().unwrap();
        let entities = policy::entities(&source).into_iter().map(|(_, made)| made).collect();
        let engine = cedar::Engine::compile(&policies, entities, &[]).unwrap();
        every_call(&source, |asked| {
            let (Some(purpose), None) = (&asked.terms.purpose, &asked.terms.agreement) else {
                return;
            };
            let uid = |kind: &str, id: &str| cedar::Uid::new(kind, id);
            let method = format!("/{}/{}", asked.service, asked.method);
            let millis = i64::try_from(NOW.as_micros() / 1000).unwrap();
            let context = [
                ("purpose".into(), cedar::Datum::String(purpose.as_str().into())),
                ("time".into(), cedar::Datum::Datetime(millis)),
            ];
            let prepared = engine.prepare(
                &uid("System", asked.system),
                &uid("Action", "query"),
                &uid("Method", &method),
                &context.into(),
            );
            let mut workspace = cedar::Workspace::default();
            let answer = engine.decide(&prepared.request(), &mut workspace);
            let allowed = answer == cedar::Decision::Allow;
            let decided = slow(&source, asked);
            assert_eq!(allowed, decided.is_ok(), "{} {method} {purpose}", asked.system);
            if let Ok((governing, _)) = decided {
                let mut permits = workspace.determining().iter();
                assert!(permits.any(|ix| {
                    engine
                        .policy(*ix)
                        .unwrap()
                        .annotations
                        .iter()
                        .any(|(key, value)| **key == *"id" && **value == *governing)
                }));
            }
        });
    }
}

/// From one shard to many, in one step and in several.
#[test]
fn a_snapshot_grows_as_it_is_amended() {
    let agreements: Vec<Agreement> = (0..9_000)
        .map(|n| Agreement {
            purposes: vec![PURPOSES[n % 4].parse().unwrap()],
            service: SERVICES[n % 2].into(),
            ..agreement_of(&format!("G{n:05}"))
        })
        .zip((0..9_000).map(|n| Consumer::System(SYSTEMS[n % 6].parse().unwrap())))
        .map(|(agreement, consumer)| Agreement { consumer, ..agreement })
        .collect();
    let mut snapshot = Snapshot::compile(country()).unwrap();
    for (part, revision) in agreements.chunks(3_000).zip(8..) {
        let changes = part.iter().cloned().map(Change::Put).collect();
        snapshot = snapshot.amend(RevisionId(revision), changes).unwrap();
    }
    let source = Source { agreements, ..country() };
    assert_eq!(snapshot.agreement_count(), 9_000);
    for (n, system) in SYSTEMS.iter().enumerate() {
        for purpose in PURPOSES {
            let terms = support::purpose(purpose);
            let asked = Asked { system, service: SERVICES[n % 2], method: "M1", terms };
            assert_eq!(slow(&source, &asked), fast(&snapshot, &asked));
        }
    }
    for agreement in source.agreements.iter().step_by(501) {
        assert!(snapshot.agreement_text(agreement.id.as_str()).is_some());
    }
}

#[test]
fn agreements_that_are_alike_are_bounded() {
    let alike = |count: usize| {
        let agreements = (0..count).map(|n| agreement_of(&format!("A{n:05}")));
        Snapshot::compile(Source { agreements: agreements.collect(), ..country() })
    };
    let full = alike(1_024).unwrap();
    let problems = alike(1_025).unwrap_err();
    expect_test::expect![[r#"purposes of agreement `A01024`: found one more for the same consumer, service and purpose, expected at most 1024"#]]
    .assert_eq(&problems[0].to_string());
    let more = || vec![Change::Put(agreement_of("B"))];
    assert!(full.amend(RevisionId(8), more()).is_err());
    let room = [vec![Change::Remove("A00007".parse().unwrap())], more()].concat();
    assert_eq!(full.amend(RevisionId(8), room).unwrap().agreement_count(), 1_024);
}

/// Services with about as many methods as a slot tells apart.
#[test]
fn an_agreement_covers_the_methods_it_names_in_services_of_any_size() {
    for size in [1, 63, 64, 65, 70, 200] {
        let name = |n: usize| format!("M{n}");
        for named in [1, 63, 64, 65, size] {
            if named > size {
                continue;
            }
            let mut source = Source { contract: None, ..country() };
            source.nodes[0].services[0].methods = (0..size)
                .map(|n| Method {
                    name: name(n),
                    effect: model::Effect::Query,
                    attributes: Default::default(),
                })
                .collect();
            let methods = Methods::Named((0..named).map(name).collect());
            source.agreements = vec![Agreement { methods, ..agreement_of("A001") }];
            let snapshot = Snapshot::compile(source.clone()).unwrap();
            for n in 0..size {
                let method = name(n);
                let terms = support::purpose("p0");
                let asked = Asked { system: "sys-a", service: "t.v1.S", method: &method, terms };
                let allowed = fast(&snapshot, &asked);
                assert_eq!(allowed, slow(&source, &asked), "{named} of {size}: {method}");
                assert_eq!(allowed.is_ok(), n < named);
            }
        }
    }
}
