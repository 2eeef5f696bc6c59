//! Loading again: whatever changed, what comes of it is what a fresh load gives.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test has no callers")]

mod support;

use std::fmt::Write as _;
use std::path::PathBuf;

use control::{LoadError, Loader};
use model::{MethodPath, RevisionId, Terms, Timestamp};
use policy::{Context, Snapshot, Workspace};
use proptest::prelude::*;
use support::{AGREEMENTS, Fixture, GATEWAY, REGISTRY};

fn folder(fixture: &Fixture) -> PathBuf {
    fixture.root.path().join("config")
}

/// The agreement `id`, which allows one method.
fn agreement(id: u8, method: u8, suspended: bool) -> String {
    let method = if method == 0 { "VerifyPerson" } else { "LookUpPerson" };
    let state = if suspended { "suspended" } else { "active" };
    AGREEMENTS
        .replace("agreements:\n", "")
        .replace("a1", &format!("a{id}"))
        .replace("VerifyPerson", method)
        .replace("state: active", &format!("state: {state}"))
}

/// What callers see of a revision: who governs each method, or why it is refused.
fn seen(snapshot: &Snapshot) -> String {
    let mut shown = format!("{} agreements", snapshot.agreement_count());
    let caller = snapshot.system("hrm").unwrap();
    for method in ["VerifyPerson", "LookUpPerson"] {
        let path = format!("/vn.population.v1.PopulationService/{method}");
        let path = MethodPath::parse(&path).unwrap();
        for asked in std::iter::once(None).chain((0..6).map(Some)) {
            let agreement = asked.map(|id| format!("a{id}").parse().unwrap());
            let terms = Terms { agreement, ..Terms::default() };
            let context = Context {
                terms: &terms,
                source: [192, 0, 2, 1].into(),
                token: None,
                now: Timestamp::from_secs(1_790_000_000),
            };
            let route = snapshot.route(path).unwrap();
            let decided = snapshot.decide(&caller, &route, &context, &mut Workspace::default());
            let decided = match &decided {
                Ok(decision) => {
                    let mask = decision.agreement.answer_mask(&route).map(|mask| *mask.digest());
                    format!("{} {:?} {mask:?}", decision.agreement.id(), decision.purpose)
                }
                Err(refusal) => format!("{:?}", refusal.reason()),
            };
            write!(shown, "; {method} {asked:?}: {decided}").unwrap();
        }
    }
    shown
}

fn outcome(loaded: Result<String, LoadError>) -> String {
    match loaded {
        Ok(seen) => seen,
        Err(LoadError::Problems(problems)) => format!("{problems:#?}"),
        Err(error) => panic!("{error}"),
    }
}

const CONTRACT: &str = r#"
syntax = "proto3";
package vn.population.v1;
import "giaolien/annotations/v1/annotations.proto";
service PopulationService {
  rpc VerifyPerson(M) returns (M);
  rpc LookUpPerson(M) returns (M);
}
message M { string x = 1 [(giaolien.annotations.v1.class) = CLASS]; }
"#;

/// Something that happens to a folder between two loads.
#[derive(Clone, Debug)]
enum Edit {
    /// A file of agreements is written anew.
    Agreements {
        file: u8,
        agreements: Vec<(u8, u8, bool)>,
    },
    /// A file of agreements is written that means nothing.
    Broken {
        file: u8,
    },
    /// A contract is written, with something secret or without.
    Contract {
        secret: bool,
    },
    NoContract,
    Remove {
        file: u8,
    },
    /// A file of another kind changes.
    Registry {
        more: bool,
    },
    Gateway {
        offset: u8,
    },
    Routes {
        there: bool,
    },
}

fn edit() -> impl Strategy<Value = Edit> {
    let agreement = (0..6_u8, 0..2_u8, any::<bool>());
    prop_oneof![
        6 => (0..3_u8, proptest::collection::vec(agreement, 0..4))
            .prop_map(|(file, agreements)| Edit::Agreements { file, agreements }),
        1 => (0..3_u8).prop_map(|file| Edit::Broken { file }),
        2 => (0..3_u8).prop_map(|file| Edit::Remove { file }),
        1 => any::<bool>().prop_map(|more| Edit::Registry { more }),
        1 => (0..3_u8).prop_map(|offset| Edit::Gateway { offset }),
        1 => any::<bool>().prop_map(|there| Edit::Routes { there }),
        1 => any::<bool>().prop_map(|secret| Edit::Contract { secret }),
        1 => Just(Edit::NoContract),
    ]
}

fn perform(fixture: &Fixture, edit: &Edit) {
    let file = |number: u8| format!("agreements/{number}.yaml");
    match edit {
        Edit::Agreements { file: number, agreements } => {
            let list = agreements.iter().map(|(id, method, off)| agreement(*id, *method, *off));
            let list: String = list.collect();
            let text = if list.is_empty() { String::new() } else { format!("agreements:\n{list}") };
            fixture.write(&file(*number), text);
        }
        Edit::Broken { file: number } => fixture.write(&file(*number), "agreements: [{id: a1}]"),
        Edit::Remove { file: number } => {
            if folder(fixture).join(file(*number)).exists() {
                fixture.remove(&file(*number));
            }
        }
        Edit::Registry { more } => {
            let more = if *more { "  - {code: more, name: Thêm}\n" } else { "" };
            fixture.write("registry/all.yaml", format!("{REGISTRY}{more}"));
        }
        Edit::Gateway { offset } => {
            fixture.write("gateway.yaml", format!("{GATEWAY}utc_offset: +0{offset}:00\n"));
        }
        Edit::Contract { secret } => {
            let class = if *secret { "CLASS_SECRET" } else { "CLASS_OPEN" };
            fixture.write("protos/population.proto", CONTRACT.replace("CLASS", class));
        }
        Edit::NoContract => {
            // There may be none.
            let _ = std::fs::remove_dir_all(folder(fixture).join("protos"));
        }
        Edit::Routes { there: true } => fixture.write("routes.yaml", "routes: []"),
        Edit::Routes { there: false } => {
            if folder(fixture).join("routes.yaml").exists() {
                fixture.remove("routes.yaml");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn loading_again_gives_what_loading_gives(
        steps in proptest::collection::vec(proptest::collection::vec(edit(), 0..3), 1..6),
    ) {
        let fixture = Fixture::new();
        fixture.remove("agreements/all.yaml");
        let (mut loader, first) = Loader::load(&folder(&fixture), RevisionId(1)).unwrap();
        let mut current = first.snapshot;
        for (edits, revision) in steps.iter().zip(2..) {
            edits.iter().for_each(|edit| perform(&fixture, edit));
            let whole = control::load(&folder(&fixture), RevisionId(revision));
            let whole = outcome(whole.map(|config| {
                format!("{:?} {:?} {}", config.counts, config.source, seen(&config.snapshot))
            }));
            let again = loader.reload(&current, RevisionId(revision));
            let again = outcome(again.map(|reloaded| {
                let config = reloaded.config;
                current = config.snapshot;
                format!("{:?} {:?} {}", config.counts, config.source, seen(&current))
            }));
            prop_assert_eq!(again, whole);
        }
    }
}

#[test]
fn only_what_changed_is_read_again() {
    let fixture = Fixture::new();
    fixture.write("agreements/b.yaml", format!("agreements:\n{}", agreement(2, 0, false)));
    let (mut loader, config) = Loader::load(&folder(&fixture), RevisionId(1)).unwrap();
    let mut current = config.snapshot;
    let mut revisions = (2..).map(RevisionId);
    let mut reload = |loader: &mut Loader| {
        let reloaded = loader.reload(&current, revisions.next().unwrap()).unwrap();
        current = reloaded.config.snapshot;
        (reloaded.amended, current.agreement_count())
    };
    assert_eq!(reload(&mut loader), (Some(0), 2));
    // Two more, one changed.
    let list = [agreement(2, 1, false), agreement(3, 0, false), agreement(4, 0, true)].concat();
    fixture.write("agreements/b.yaml", format!("agreements:\n{list}"));
    assert_eq!(reload(&mut loader), (Some(3), 4));
    // Layout and order say nothing.
    let list = [agreement(4, 0, true), agreement(2, 1, false), agreement(3, 0, false)].concat();
    fixture.write("agreements/b.yaml", format!("# In another order.\nagreements:\n{list}"));
    assert_eq!(reload(&mut loader), (Some(0), 4));
    // One moves to another file.
    let list = [agreement(4, 0, true), agreement(2, 1, false)].concat();
    fixture.write("agreements/b.yaml", format!("agreements:\n{list}"));
    fixture.write("agreements/c.yaml", format!("agreements:\n{}", agreement(3, 0, false)));
    assert_eq!(reload(&mut loader), (Some(0), 4));
    fixture.remove("agreements/c.yaml");
    assert_eq!(reload(&mut loader), (Some(1), 3));
    // Anything else is read as a whole.
    fixture.write("routes.yaml", "routes: []");
    assert_eq!(reload(&mut loader), (None, 3));
    fixture.write("pki/ca.crl", "");
    fixture.write("pki/other.txt", "");
    assert_eq!(reload(&mut loader), (Some(0), 3));
}

#[test]
fn an_agreement_in_two_files_is_found() {
    let fixture = Fixture::new();
    let (mut loader, config) = Loader::load(&folder(&fixture), RevisionId(1)).unwrap();
    fixture.write("agreements/b.yaml", format!("agreements:\n{}", agreement(1, 0, false)));
    let again = loader.reload(&config.snapshot, RevisionId(2)).unwrap_err();
    let LoadError::Problems(problems) = again else { panic!() };
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.found, "`a1` a second time");
    fixture.remove("agreements/b.yaml");
    let good = loader.reload(&config.snapshot, RevisionId(3)).unwrap();
    assert_eq!(good.amended, Some(0));
}

#[test]
fn a_revision_that_never_came_into_force_is_not_amended() {
    let fixture = Fixture::new();
    let (mut loader, config) = Loader::load(&folder(&fixture), RevisionId(1)).unwrap();
    fixture.write("agreements/b.yaml", format!("agreements:\n{}", agreement(2, 0, false)));
    let second = loader.reload(&config.snapshot, RevisionId(2)).unwrap();
    assert_eq!((second.amended, second.config.counts.agreements), (Some(1), 2));
    let third = loader.reload(&config.snapshot, RevisionId(3)).unwrap();
    assert_eq!((third.amended, third.config.counts.agreements), (None, 2));
}

#[test]
fn an_apply_that_was_cut_short_is_finished_before_loading() {
    let fixture = Fixture::new();
    fixture.write(".staged/registry/all.yaml", REGISTRY);
    fixture.write(".staged/agreements/new.yaml", AGREEMENTS.replace("a1", "a2"));
    fixture.write(".previous/older.txt", "");
    fixture.write(".replaced/keep.txt", "");
    fixture.write(".applying", "registry\nagreements");
    assert!(matches!(fixture.load(), Err(LoadError::Problems(_))));
    let (_, config) = Loader::load(&folder(&fixture), RevisionId(1)).unwrap();
    assert_eq!(config.counts.agreements, 1);
    let there = |name: &str| folder(&fixture).join(name).exists();
    assert!(there("agreements/new.yaml") && there(".previous/agreements/all.yaml"));
    assert!(there(".previous/keep.txt") && !there(".previous/older.txt"));
    assert!(!there(".applying") && !there("agreements/all.yaml"));
    assert!(fixture.load().is_ok());
}
