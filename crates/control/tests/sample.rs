//! The sample configuration that comes with the project is good, and speaks of what exists.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test has no callers")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use control::Config;
use model::{Effect, MethodPath, Reason, RevisionId, Terms, Timestamp};
use policy::{Context, Workspace};
use support::{Authority, ledger_key, write};

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn project(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder)
}

/// The names below `pki/` that a text mentions outside comments.
fn material(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.flat_map(|line| line.split("pki/").skip(1))
        .filter_map(|rest| rest.split([',', ']', '}', ' ']).next())
}

/// Copies the sample to `root` and makes the certificates and keys that it names.
fn copy_sample(root: &Path) {
    let sample = project("config");
    let mut names = BTreeSet::new();
    for file in files(&sample).iter().filter(|file| {
        file.extension().is_some_and(|e| ["yaml", "cedar", "proto"].iter().any(|known| e == *known))
    }) {
        let text = fs::read_to_string(file).unwrap();
        names.extend(material(&text).map(str::to_owned));
        write(root, file.strip_prefix(&sample).unwrap().to_str().unwrap(), text);
    }
    let authority = Authority::new();
    for name in &names {
        let pki = |name: &str, pem: String| write(root, &format!("pki/{name}"), pem);
        match name.split_once('.') {
            Some(("ca" | "population-ca", "crt")) => pki(name, authority.pem()),
            Some((_, "crl")) => pki(name, authority.revocation_list()),
            Some(("ledger", "key")) => pki(name, ledger_key()),
            Some((stem, "crt")) => {
                let (certificate, key) = authority.issue(&format!("{stem}.example.gov.vn"));
                pki(name, certificate);
                pki(&format!("{stem}.key"), key);
            }
            _ => {}
        }
    }
}

fn load_sample() -> Config {
    let root = tempfile::tempdir().unwrap();
    copy_sample(root.path());
    let loaded = control::load(root.path(), RevisionId(1));
    loaded.unwrap_or_else(|error| panic!("{}", support::shown(Err(error))))
}

#[test]
fn the_sample_is_good() {
    let config = load_sample();
    assert_eq!(config.counts.agreements, 9);
    assert_eq!(config.counts.policies, 2);
    assert_eq!((config.counts.classes, config.counts.zones), (1, 1));
    assert_eq!(config.source.routes.len(), 3);
    assert_eq!(config.notes, Vec::<String>::new());
    assert_eq!(config.gateway.limits, control::Limits::default());
    assert_eq!(config.gateway.ledger.segment_size, Some(64 << 20));
}

/// Who may look a person up, at which hour in Vietnam on a Friday, and with a dossier or without.
#[test]
fn the_sample_policies_bind() {
    let config = load_sample();
    let look_up = |system: &str, hour: u64, dossier: Option<&str>| {
        let path = "/vn.population.v1.PopulationService/LookUpPerson";
        let route = config.snapshot.route(MethodPath::parse(path).unwrap()).unwrap();
        let terms = Terms {
            purpose: Some("civil-servant-management".parse().unwrap()),
            dossier: dossier.map(Into::into),
            ..Terms::default()
        };
        let context = Context {
            terms: &terms,
            source: [10, 0, 0, 1].into(),
            token: None,
            // 2026-11-20T00:00:00+07:00
            now: Timestamp::from_secs(1_795_107_600 + hour * 3600),
        };
        let caller = config.snapshot.system(system).unwrap();
        let mut workspace = Workspace::default();
        let decided = config.snapshot.decide(&caller, &route, &context, &mut workspace);
        assert_eq!(workspace.erring(), []);
        decided.map(|_| ()).map_err(|refusal| {
            assert_eq!(refusal.reason(), Reason::PolicyForbids);
            refusal.facts().iter().find(|(key, _)| *key == "policies").unwrap().1.clone()
        })
    };
    let night = Err("no-look-up-at-night-without-dossier".to_owned());
    assert_eq!(look_up("moha-hrm", 9, None), Ok(()));
    assert_eq!(look_up("moha-hrm", 20, None), night);
    assert_eq!(look_up("moha-hrm", 6, None), night);
    assert_eq!(look_up("moha-hrm", 24 + 9, None), night);
    assert_eq!(look_up("moha-hrm", 20, Some("000.00.01.G09-261120-0001")), Ok(()));
    // No level is known of the warehouse.
    let sensitive = Err("sensitive-data-from-level-3".to_owned());
    assert_eq!(look_up("moha-warehouse", 9, None), sensitive);
}

#[test]
fn the_sample_registers_the_methods_of_the_sample_services() {
    let config = load_sample();
    let services = config.source.nodes.iter().flat_map(|node| &node.services);
    let registered: BTreeSet<(String, String)> = services
        .flat_map(|service| service.methods.iter().map(|m| (service.name.clone(), m.name.clone())))
        .collect();
    assert_eq!(registered, methods_of_contracts());
}

#[test]
fn the_sample_has_the_contracts_of_the_sample_services() {
    let (sample, own) = (project("config/protos"), project("proto"));
    let names = |root: &Path, below: &str| -> Vec<PathBuf> {
        let files = files(&root.join(below));
        files.iter().map(|file| file.strip_prefix(root).unwrap().to_owned()).collect()
    };
    assert_eq!(names(&sample, "vn"), names(&own, "vn"));
    for name in names(&own, "vn") {
        let read = |root: &Path| fs::read_to_string(root.join(&name)).unwrap();
        assert_eq!(read(&sample), read(&own), "{}: copy it again", name.display());
    }
}

#[test]
fn methods_without_an_effect_are_updates() {
    let config = load_sample();
    let methods = config.source.nodes.iter().flat_map(|n| &n.services).flat_map(|s| &s.methods);
    let updates = methods.filter(|method| method.effect == Effect::Update);
    let updates: BTreeSet<&str> = updates.map(|method| method.name.as_str()).collect();
    let submitting = BTreeSet::from(["SubmitBeneficiary", "SubmitChange", "Synchronise"]);
    assert_eq!(updates, submitting);
}

fn methods_of_contracts() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for file in files(&project("proto/vn")) {
        let text = fs::read_to_string(file).unwrap();
        let word = |line: &str| line.split([' ', ';', '(']).nth(1).unwrap().to_owned();
        let of = |start: &str| {
            text.lines()
                .map(str::trim_start)
                .filter(move |l| l.starts_with(start))
                .map(word)
                .collect::<Vec<_>>()
        };
        let (packages, services) = (of("package "), of("service "));
        let service = format!("{}.{}", packages.first().unwrap(), services.first().unwrap());
        found.extend(of("rpc ").into_iter().map(|method| (service.clone(), method)));
    }
    found
}
