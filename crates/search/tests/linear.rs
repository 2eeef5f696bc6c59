//! What the index finds is what reading everything finds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{BEGUN, Call, append, entries, open, subjects};
use model::{Criteria, Decided, Entry, Finished, Reason, Timestamp};
use proptest::prelude::*;
use search::{Finder, Index};

/// What a test remembers of an exchange: its facts as text.
struct Told {
    index: u64,
    time: u64,
    facts: Vec<String>,
}

/// Everything in the ledger, the newest first.
fn linear(ledger: &Path) -> Vec<Told> {
    let mut ends: HashMap<u64, Finished> = HashMap::new();
    let mut firsts = Vec::new();
    for item in audit::entries(ledger, 0).unwrap() {
        let (index, bytes) = item.unwrap();
        match wire::evidence::decode_entry(&bytes).unwrap() {
            Entry::Finished(end) => drop(ends.insert(end.admitted, end)),
            entry => firsts.push((index, entry)),
        }
    }
    let told = |(index, entry): (u64, Entry)| {
        let (time, mut facts) = match entry {
            Entry::Admitted(call) => {
                let facts = vec![
                    format!("member {}", call.member),
                    format!("system {}", call.system),
                    format!("node {}", call.node),
                    format!("method {}", call.method),
                    format!("agreement {}", call.agreement),
                    format!("purpose {}", call.purpose),
                    format!("dossier {:?}", call.dossier),
                    format!("subject {:?}", call.subject),
                    format!("exchange {}", call.exchange),
                    "decided Admitted".to_owned(),
                ];
                (call.time, facts)
            }
            Entry::Refused(call) => {
                let facts = vec![
                    format!("member {}", call.member.unwrap()),
                    format!("system {}", call.system.unwrap()),
                    format!("method {}", call.method.unwrap()),
                    format!("purpose {}", call.purpose.unwrap()),
                    format!("dossier {:?}", call.dossier),
                    format!("exchange {}", call.exchange),
                    format!("reason {:?}", call.reason),
                    "decided Refused".to_owned(),
                ];
                (call.time, facts)
            }
            other => panic!("{other:?}"),
        };
        let end = ends.get(&index).and_then(|end| end.reason);
        facts.extend(end.map(|reason| format!("reason {reason:?}")));
        Told { index, time: time.as_micros(), facts }
    };
    firsts.into_iter().rev().map(told).collect()
}

fn fits(criteria: &Criteria, told: &Told) -> bool {
    let mut asked = Vec::new();
    asked.extend(criteria.member.iter().map(|id| format!("member {id}")));
    asked.extend(criteria.system.iter().map(|id| format!("system {id}")));
    asked.extend(criteria.node.iter().map(|id| format!("node {id}")));
    asked.extend(criteria.method.iter().map(|text| format!("method {text}")));
    asked.extend(criteria.agreement.iter().map(|id| format!("agreement {id}")));
    asked.extend(criteria.purpose.iter().map(|id| format!("purpose {id}")));
    asked.extend(criteria.dossier.iter().map(|text| format!("dossier {:?}", Some(text))));
    asked.extend(criteria.exchange.iter().map(|id| format!("exchange {id}")));
    asked.extend(criteria.reason.iter().map(|reason| format!("reason {reason:?}")));
    asked.extend(criteria.decided.iter().map(|decided| format!("decided {decided:?}")));
    let subjects: Vec<_> =
        criteria.subjects.iter().map(|subject| format!("subject {:?}", Some(subject))).collect();
    asked.iter().all(|fact| told.facts.contains(fact))
        && (subjects.is_empty() || subjects.iter().any(|fact| told.facts.contains(fact)))
        && criteria.from.is_none_or(|from| told.time >= from.as_micros())
        && criteria.until.is_none_or(|until| told.time < until.as_micros())
}

/// All pages of an answer.
fn pages(finder: &Finder, criteria: &Criteria, limit: usize) -> Vec<u64> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let answer = finder.find(criteria, before, limit).unwrap();
        assert!(answer.exchanges.len() <= limit);
        found.extend(answer.exchanges.iter().map(|exchange| exchange.index));
        match answer.before {
            Some(next) => before = Some(next),
            None => return found,
        }
    }
}

fn reasons() -> impl Strategy<Value = Option<Reason>> {
    prop::option::weighted(
        0.1,
        prop::sample::select(vec![Reason::DeadlineExceeded, Reason::Cancelled, Reason::Draining]),
    )
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let subject = prop::option::of((0..300_u32, any::<bool>()));
    let of = (0..400_u32, 0..9_u32, 0..5_u32, subject, prop::option::of(0..500_u32));
    let call = (of, prop::bool::weighted(0.2), reasons(), prop::bool::weighted(0.95));
    prop::collection::vec(call, 2000..3000).prop_map(|calls| {
        let call = |(of, number): (_, u64)| {
            let ((member, method, purpose, subject, dossier), refused, reason, ended) = of;
            Call { number, member, method, purpose, subject, dossier, refused, reason, ended }
        };
        calls.into_iter().zip(0..).map(call).collect()
    })
}

fn criteria() -> impl Strategy<Value = Criteria> {
    let words = (
        prop::option::weighted(0.2, 0..60_u32),
        prop::option::weighted(0.2, 0..450_u32),
        prop::option::weighted(0.2, 0..4_u32),
        prop::option::weighted(0.2, 0..10_u32),
        prop::option::weighted(0.2, 0..450_u32),
        prop::option::weighted(0.2, 0..6_u32),
    );
    let rest = (
        prop::option::weighted(0.2, 0..500_u32),
        prop::collection::vec(0..300_u32, 0..4),
        prop::bool::weighted(0.3),
        prop::option::weighted(0.2, any::<bool>()),
        prop::option::weighted(
            0.2,
            prop::sample::select(vec![Reason::Cancelled, Reason::Draining]),
        ),
        prop::option::weighted(0.1, 0..3000_u64),
        prop::option::weighted(0.3, 0..5_000_000_u64),
        prop::option::weighted(0.3, 0..5_000_000_u64),
    );
    (words, rest).prop_map(|(words, rest)| {
        let (member, system, node, method, agreement, purpose) = words;
        let (dossier, persons, about, refused, reason, exchange, from, until) = rest;
        let time = |micros: u64| Timestamp::from_micros(BEGUN + micros);
        let call = |number| Call {
            number,
            member: 0,
            method: 0,
            purpose: 0,
            subject: None,
            dossier: None,
            refused: false,
            reason: None,
            ended: true,
        };
        Criteria {
            from: from.map(time),
            until: until.map(time),
            member: member.map(|n| format!("H{n:02}").parse().unwrap()),
            system: system.map(|n| format!("sys-{n}").parse().unwrap()),
            node: node.map(|n| format!("node-{n}").parse().unwrap()),
            method: method.map(|n| format!("/vn.example.v1.Service{}/Method{n}", n % 3).into()),
            agreement: agreement.map(|n| format!("agreement-{n}").parse().unwrap()),
            purpose: purpose.map(|n| format!("purpose-{n}").parse().unwrap()),
            dossier: dossier.map(|n| format!("000.00.26.{n}").into()),
            subjects: match about {
                true => persons.into_iter().flat_map(subjects).collect(),
                false => Vec::new(),
            },
            decided: refused.map(|yes| if yes { Decided::Refused } else { Decided::Admitted }),
            reason,
            exchange: exchange.map(|number| call(number).exchange()),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn the_index_finds_what_reading_everything_finds(
        calls in calls(),
        asked in prop::collection::vec((criteria(), 50..400_usize), 40),
        cut in 0..4000_u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, to) = (folder.path().join("ledger"), folder.path().join("index"));
        let (log, _) = open(&ledger, "ledger.test");
        append(&log, &entries(&calls, 0));
        // First a part, in one life of the index; then the rest in another.
        let mut index = Index::open(&to, &ledger).unwrap();
        while index.advance(cut).unwrap() {}
        prop_assert!(index.size() <= cut);
        index.close().unwrap();
        let mut index = Index::open(&to, &ledger).unwrap();
        while index.advance(log.status().size).unwrap() {}
        prop_assert_eq!(index.size(), log.status().size);

        let everything = linear(&ledger);
        let finder = Finder::new(&to, &ledger);
        for (criteria, limit) in &asked {
            let fit = everything.iter().filter(|told| fits(criteria, told));
            let expected: Vec<u64> = fit.map(|told| told.index).collect();
            prop_assert_eq!(pages(&finder, criteria, *limit), expected, "{}", criteria);
        }
        log.close().unwrap();
    }
}
