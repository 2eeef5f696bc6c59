//! How fast an index fills, how large it is, and how long searches take.
//!
//! `cargo run --release -p search --example index_rate -- [folder [millions of entries …]]`; by
//! default 1 and 10 million entries in a temporary folder, which then needs some 6 GB. Half of the
//! entries begin an exchange, half end one. Times are those of the first and of the median of the
//! searches of each kind, results read back from the ledger included.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "an example")]
#![allow(clippy::indexing_slicing, reason = "an example")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::{Log, Options, Ticket};
use model::{
    Admitted, CertificateDigest, Code, Criteria, Decided, Effect, Entry, ExchangeId, Finished,
    Pseudonym, Reason, Refused, RevisionId, Subject, Timestamp, Traffic,
};
use search::{Finder, Index};
use tlog::{Checkpoint, Note, Signer};

const BEGUN: u64 = 1_795_000_000_000_000;
/// A call every 3 ms: ten million entries are a working day.
const STEP_MICROS: u64 = 3_000;
/// Persons asked about, so that each has some history.
const PERSONS: u64 = 500_000;
const SEARCHES: usize = 21;
const PENDING_MAX: usize = 20_000;

/// Mixes a number, so that calls are spread without a generator's state.
fn mixed(number: u64, salt: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt << 7 | salt);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn pseudonym(person: u64) -> Pseudonym {
    let (a, b) = (mixed(person, 1).to_be_bytes(), mixed(person, 2).to_be_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(a.into_iter().chain(b)).for_each(|(to, from)| *to = from);
    Pseudonym(bytes)
}

fn subject(person: u64) -> Subject {
    Subject { pseudonym: pseudonym(person), period: "2026".parse().unwrap() }
}

fn time(number: u64) -> Timestamp {
    Timestamp::from_micros(BEGUN + number * STEP_MICROS)
}

fn exchange(number: u64) -> ExchangeId {
    let [a, b, c, d, e, f, g, h] = mixed(number, 3).to_be_bytes();
    ExchangeId::new(time(number), [a, b, c, d, e, f, g, h, a, b])
}

fn dossier(number: u64) -> Box<str> {
    format!("000.{:02}.26.H26-261121-{number:07}", number % 34).into()
}

fn first(number: u64) -> Entry {
    let pick = |salt: u64, of: u64| mixed(number, salt) % of;
    let (member, method, purpose) = (pick(4, 3_000), pick(5, 40), pick(6, 30));
    let (system, member) = (format!("system-{member:04}"), format!("H{:02}.{member}", member % 34));
    let method: Box<str> = format!("/vn.service{}.v1.Service/Method{method}", method % 5).into();
    let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    if pick(7, 200) == 0 {
        return Entry::Refused(Refused {
            exchange: exchange(number),
            time: time(number),
            // One reason is rare.
            reason: if number.is_multiple_of(1_000_000) {
                Reason::CertificateRevoked
            } else {
                Reason::AgreementMissing
            },
            certificate: Some(CertificateDigest([1; 32])),
            system: Some(system.parse().unwrap()),
            member: Some(member.parse().unwrap()),
            method: Some(method),
            agreement: None,
            purpose: Some(format!("purpose-{purpose}").parse().unwrap()),
            dossier: Some(dossier(number)),
            procedure: None,
            revision: RevisionId(1_795_000_000),
            source,
            suppressed: 0,
        });
    }
    Entry::Admitted(Admitted {
        exchange: exchange(number),
        time: time(number),
        certificate: CertificateDigest([1; 32]),
        agreement: format!("agreement-{system}").parse().unwrap(),
        system: system.parse().unwrap(),
        member: member.parse().unwrap(),
        node: format!("node-{}", pick(5, 40) % 5).parse().unwrap(),
        method,
        effect: Effect::Query,
        // One purpose is rare.
        purpose: match number % 1_000_000 {
            17 => "rare".to_owned(),
            _ => format!("purpose-{purpose}"),
        }
        .parse()
        .unwrap(),
        dossier: Some(dossier(number)),
        procedure: Some("1.004222".into()),
        revision: RevisionId(1_795_000_000),
        source,
        shadow_node: None,
        subject: Some(subject(pick(8, PERSONS))),
        fields: Vec::new(),
    })
}

fn end(number: u64, admitted: u64) -> Entry {
    let digest = |salt: u64| {
        let mut digest = [0; 32];
        let bytes = (0..4_u64).flat_map(|part| mixed(number, salt + part).to_be_bytes());
        digest.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        digest
    };
    let reason = mixed(number, 9).is_multiple_of(1000).then_some(Reason::DeadlineExceeded);
    Entry::Finished(Finished {
        exchange: exchange(number),
        admitted,
        time: time(number + 10),
        code: if reason.is_some() { Code::DeadlineExceeded } else { Code::Ok },
        reason,
        request: Traffic { messages: 1, bytes: 105, digest: digest(20) },
        response: Traffic { messages: 1, bytes: 900, digest: digest(30) },
        request_masked: None,
        response_masked: None,
    })
}

/// Writes a ledger of that many entries.
fn write(folder: &Path, entries: u64) -> Log {
    let origin: tlog::Origin = "ledger.example.vn".parse().unwrap();
    let (signer, _) = Signer::generate(origin.clone()).unwrap();
    let (log, _) = Log::open(Options::new(folder.to_owned(), origin, Arc::new(signer))).unwrap();
    let mut last: Option<Ticket> = None;
    let mut append = |entry: &Entry, waiting: &mut usize| {
        let ticket = log.append(&wire::evidence::encode_entry(entry)).unwrap();
        let index = ticket.index();
        *waiting += 1;
        if *waiting >= PENDING_MAX {
            drop(ticket.wait().unwrap());
            *waiting = 0;
        }
        last = Some(ticket);
        index
    };
    let (mut number, mut waiting, mut written) = (0, 0, 0);
    while written < entries {
        let entry = first(number);
        let index = append(&entry, &mut waiting);
        written += 1;
        if matches!(entry, Entry::Admitted(_)) {
            append(&end(number, index), &mut waiting);
            written += 1;
        }
        number += 1;
    }
    drop(last.map(|ticket| ticket.wait().unwrap()));
    log
}

fn bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn millis(time: Duration) -> String {
    format!("{:>9.2} ms", time.as_secs_f64() * 1000.0)
}

/// Criteria of one kind; `round` varies what is asked for.
type Kind = (&'static str, fn(u64, u64) -> Criteria);

fn kinds() -> Vec<Kind> {
    vec![
        ("everything", |_, _| Criteria::default()),
        ("one minute", |round, calls| Criteria {
            from: Some(time(mixed(round, 40) % calls)),
            until: Some(time(mixed(round, 40) % calls + 20_000)),
            ..Criteria::default()
        }),
        ("member", |round, _| {
            let member = mixed(round, 41) % 3_000;
            let member = format!("H{:02}.{member}", member % 34).parse().unwrap();
            Criteria { member: Some(member), ..Criteria::default() }
        }),
        ("system and method", |round, _| Criteria {
            system: Some(format!("system-{:04}", mixed(round, 42) % 3_000).parse().unwrap()),
            method: Some("/vn.service1.v1.Service/Method1".into()),
            ..Criteria::default()
        }),
        ("node", |round, _| Criteria {
            node: Some(format!("node-{}", round % 5).parse().unwrap()),
            ..Criteria::default()
        }),
        ("agreement", |round, _| Criteria {
            agreement: Some(
                format!("agreement-system-{:04}", mixed(round, 43) % 3_000).parse().unwrap(),
            ),
            ..Criteria::default()
        }),
        ("rare purpose", |_, _| Criteria {
            purpose: Some("rare".parse().unwrap()),
            ..Criteria::default()
        }),
        ("dossier", |round, calls| Criteria {
            dossier: Some(dossier(mixed(round, 44) % calls)),
            ..Criteria::default()
        }),
        ("person", |round, _| Criteria {
            subjects: vec![subject(mixed(round, 45) % PERSONS)],
            ..Criteria::default()
        }),
        ("exchange-id", |round, calls| Criteria {
            exchange: Some(exchange(mixed(round, 46) % calls)),
            ..Criteria::default()
        }),
        ("refused", |_, _| Criteria { decided: Some(Decided::Refused), ..Criteria::default() }),
        ("reason", |_, _| Criteria {
            reason: Some(Reason::DeadlineExceeded),
            ..Criteria::default()
        }),
        ("rare reason", |_, _| Criteria {
            reason: Some(Reason::CertificateRevoked),
            ..Criteria::default()
        }),
        ("nothing fits", |round, _| Criteria {
            node: Some(format!("node-{}", round % 5).parse().unwrap()),
            decided: Some(Decided::Refused),
            ..Criteria::default()
        }),
    ]
}

/// All pages of a search, at most a hundred exchanges.
fn search(finder: &Finder, criteria: &Criteria) -> (usize, usize) {
    let (mut found, mut pages, mut before) = (0, 0, None);
    loop {
        let answer = finder.find(criteria, before, 100 - found).unwrap();
        (found, pages) = (found + answer.exchanges.len(), pages + 1);
        match answer.before {
            Some(next) if found < 100 => before = Some(next),
            _ => return (found, pages),
        }
    }
}

fn measure(folder: &Path, entries: u64) {
    let (ledger, to) = (folder.join("ledger"), folder.join("index"));
    let begun = Instant::now();
    let log = write(&ledger, entries);
    let size = log.status().size;
    println!("{size} entries written in {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let mut index = Index::open(&to, &ledger).unwrap();
    while index.advance(size).unwrap() {}
    assert_eq!(index.size(), size);
    index.close().unwrap();
    let (taken, bytes) = (begun.elapsed().as_secs_f64(), bytes(&to));
    println!(
        "index built in {taken:.1} s, {:.2} µs and {:.1} bytes an entry, {} MiB",
        taken * 1e6 / size as f64,
        bytes as f64 / size as f64,
        bytes >> 20
    );
    let calls = size / 2;
    println!("{:<20}{:>12}{:>12}{:>12}  found, pages", "search", "first", "median", "longest");
    for (name, criteria) in kinds() {
        // Nothing is remembered from the kind before.
        let finder = Finder::new(&to, &ledger);
        let mut last = (0, 0);
        let mut times: Vec<Duration> = (0..SEARCHES as u64)
            .map(|round| {
                let begun = Instant::now();
                last = search(&finder, &criteria(round, calls));
                begun.elapsed()
            })
            .collect();
        let first = times.first().copied().unwrap_or_default();
        times.sort();
        let median = times.get(SEARCHES / 2).copied().unwrap_or_default();
        let longest = times.last().copied().unwrap_or_default();
        let (found, pages) = last;
        println!(
            "{name:<20}{}{}{}  {found}, {pages}",
            millis(first),
            millis(median),
            millis(longest)
        );
    }
    history_with_proofs(&log, &Finder::new(&to, &ledger), size);
    log.close().unwrap();
}

/// All exchanges of a person, each with its proof file.
fn history_with_proofs(log: &Log, finder: &Finder, size: u64) {
    let tiles = log.tiles();
    let checkpoint = loop {
        let note: Option<Note> = tiles.checkpoint().parse().ok();
        let covers = |note: &Note| note.text().parse::<Checkpoint>().unwrap().size >= size;
        match note.filter(covers) {
            Some(note) => break note,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut proved = 0;
    let mut times: Vec<[Duration; 2]> = (0..SEARCHES as u64)
        .map(|round| {
            let person = subject(mixed(round, 47) % PERSONS);
            let criteria = Criteria { subjects: vec![person], ..Criteria::default() };
            let begun = Instant::now();
            let found = finder.find(&criteria, None, 1000).unwrap().exchanges;
            let searched = begun.elapsed();
            let entries: Vec<_> =
                found.iter().map(|one| (one.index, one.bytes.as_slice())).collect();
            let bundles = tiles.bundles(&checkpoint, &entries).unwrap();
            proved =
                bundles.iter().map(ToString::to_string).filter(|file| !file.is_empty()).count();
            [begun.elapsed(), begun.elapsed() - searched]
        })
        .collect();
    times.sort();
    let [median, longest] = [SEARCHES / 2, SEARCHES - 1].map(|place| times[place]);
    println!(
        "a person's history with proofs: median{}, of it proofs{}; longest{}, of it proofs{}; \
         {proved} exchanges",
        millis(median[0]),
        millis(median[1]),
        millis(longest[0]),
        millis(longest[1])
    );
    let spread: Vec<u64> = (0..100).map(|place| mixed(place, 48) % size).collect();
    let begun = Instant::now();
    assert_eq!(tiles.inclusions(&spread, size).unwrap().len(), spread.len());
    println!("100 proofs of entries anywhere:{}", millis(begun.elapsed()));
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let mut millions: Vec<u64> =
        arguments.map(|text| text.parse().expect("a number of millions")).collect();
    if millions.is_empty() {
        millions = vec![1, 10];
    }
    for millions in millions {
        let folder = place.join(format!("index-rate-{}-{millions}", std::process::id()));
        measure(&folder, millions * 1_000_000);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
