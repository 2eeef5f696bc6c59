//! From a real ledger to a file and to a receiver of syslog over TLS.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

use std::fs;
use std::io::Read;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Messages, channel};
use std::thread;
use std::time::{Duration, Instant};

use audit::{Log, SEGMENT_BYTES_MIN};
use events::{Events, Options, Receiver, Source, Syslog};
use model::{Entry, ExchangeId, Opened, Reason, Refused, RevisionId, Timestamp};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

const ORIGIN: &str = "ledger.example.vn";
const PATIENCE: Duration = Duration::from_secs(20);

fn open(folder: &Path) -> Arc<Log> {
    let origin: tlog::Origin = ORIGIN.parse().unwrap();
    let (signer, _) = tlog::Signer::generate(origin.clone()).unwrap();
    let mut options = audit::Options::new(folder.to_owned(), origin, Arc::new(signer));
    options.segment_bytes = SEGMENT_BYTES_MIN;
    Arc::new(Log::open(options).unwrap().0)
}

fn refused(number: u8) -> Entry {
    Entry::Refused(Refused {
        exchange: ExchangeId::from_bytes([number; 16]),
        time: Timestamp::from_secs(1_795_000_000 + u64::from(number)),
        reason: match number % 3 {
            0 => Reason::CertificateRevoked,
            1 => Reason::QuotaExhausted,
            _ => Reason::PolicyForbids,
        },
        certificate: None,
        system: Some("H26.motcua".parse().unwrap()),
        member: Some("H26".parse().unwrap()),
        method: Some("/vn.population.v1.PopulationService/VerifyPérson".into()),
        agreement: None,
        purpose: None,
        dossier: None,
        procedure: None,
        revision: RevisionId(7),
        source: IpAddr::from([10, 0, 0, 9]),
        suppressed: 0,
    })
}

fn append(log: &Log, entry: &Entry) {
    let ticket = log.append(&wire::evidence::encode_entry(entry)).unwrap();
    ticket.wait().unwrap();
}

fn start(log: &Arc<Log>, folder: &Path, receiver: Receiver) -> Events {
    let log = log.clone();
    let source = Source { origin: ORIGIN.to_owned(), version: "1.2.3".to_owned() };
    Events::start(Options {
        source,
        ledger: audit::Source::folder(folder.join("ledger")),
        directory: folder.join("events"),
        receivers: vec![("soc".to_owned(), receiver)],
        durable: Arc::new(move || log.status().size),
    })
    .unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_file_gets_every_event_once_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (log, path) = (open(&folder.path().join("ledger")), folder.path().join("events.jsonl"));
    append(
        &log,
        &Entry::Opened(Opened {
            time: Timestamp::from_secs(1_795_000_000),
            version: "1.2.3".to_owned(),
            discarded_bytes: 0,
        }),
    );
    (0..5).for_each(|number| append(&log, &refused(number)));
    let events = start(&log, folder.path(), Receiver::File(path.clone()));
    until("six events", || lines(&path).len() == 6);
    // What is durable when it is stopped is told before it ends.
    (5..9).for_each(|number| append(&log, &refused(number)));
    events.stop();
    assert_eq!(lines(&path).len(), 10);
    append(&log, &refused(9));
    let events = start(&log, folder.path(), Receiver::File(path.clone()));
    until("the last event", || lines(&path).len() == 11);
    assert_eq!(events.progress()[0].trouble, None);
    drop(events);
    let told = lines(&path);
    for (index, event) in told.iter().enumerate() {
        assert_eq!(event["metadata"]["uid"], format!("{ORIGIN}#{index}"));
    }
    assert_eq!(told[0]["class_uid"], 6002);
    assert_eq!((&told[1]["class_uid"], &told[2]["class_uid"]), (&3002.into(), &6003.into()));
    assert_eq!(told[2]["status_code"], "QUOTA_EXHAUSTED");
    assert_eq!(told[2]["actor"]["user"]["org"]["uid"], "H26");
}

#[test]
fn a_file_that_cannot_be_written_is_told_of_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder.path().join("ledger"));
    let path = folder.path().join("absent/events.jsonl");
    append(&log, &refused(0));
    let events = start(&log, folder.path(), Receiver::File(path.clone()));
    until("trouble", || events.progress()[0].trouble.is_some());
    let trouble = events.progress()[0].trouble.clone().unwrap();
    assert!(trouble.contains("absent/events.jsonl"), "{trouble}");
    fs::create_dir(folder.path().join("absent")).unwrap();
    until("the event", || lines(&path).len() == 1);
    until("no trouble", || events.progress()[0].trouble.is_none());
}

/// A receiver of syslog over TLS; it hangs up after so many bytes of each connection.
struct Collector {
    address: String,
    roots: RootCertStore,
    messages: Messages<String>,
}

impl Collector {
    fn listen(hang_up_after: usize) -> Self {
        let made = rcgen::generate_simple_self_signed(["soc.example.vn".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (send, messages) = channel();
        let config = Arc::new(config);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let tls = ServerConnection::new(config.clone()).unwrap();
                let mut stream =
                    StreamOwned::new(tls, connection.unwrap()).take(hang_up_after as u64);
                // Octet counting: a length, a space, so many bytes.
                while let Some(message) = message(&mut stream) {
                    if send.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        Self { address, roots, messages }
    }

    fn receiver(&self, server_name: &str) -> Receiver {
        let tls = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Receiver::Syslog(Syslog {
            address: self.address.clone(),
            server_name: server_name.to_owned(),
            tls: Arc::new(tls),
            host: "gateway".to_owned(),
            settled_after: Duration::from_millis(300),
        })
    }
}

fn message(stream: &mut impl Read) -> Option<String> {
    let mut length = String::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        match byte[0] {
            b' ' => break,
            digit => length.push(char::from(digit)),
        }
    }
    let mut message = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut message).ok()?;
    Some(String::from_utf8(message).unwrap())
}

#[test]
fn syslog_gets_every_event_though_the_receiver_hangs_up_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder.path().join("ledger"));
    // A connection carries some six messages, the last of them cut.
    let collector = Collector::listen(5_000);
    (0..4).for_each(|number| append(&log, &refused(number)));
    let events = start(&log, folder.path(), collector.receiver("soc.example.vn"));
    let mut missing: Vec<usize> = (0..12).collect();
    let begun = Instant::now();
    let mut appended = 4;
    while !missing.is_empty() {
        assert!(begun.elapsed() < 3 * PATIENCE, "{missing:?}: {:?}", events.progress());
        if let Ok(message) = collector.messages.recv_timeout(Duration::from_millis(100)) {
            let (head, body) = message.split_once(" - {").unwrap();
            assert!(head.starts_with("<10") && head.contains(" gateway giaolien "), "{head}");
            assert!(message.is_ascii());
            let event: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
            let uid = event["metadata"]["uid"].as_str().unwrap().to_owned();
            let index: usize = uid.split_once('#').unwrap().1.parse().unwrap();
            missing.retain(|it| *it != index);
        }
        if appended < 12 {
            append(&log, &refused(appended));
            appended += 1;
        }
    }
}

#[test]
fn a_receiver_of_another_name_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder.path().join("ledger"));
    append(&log, &refused(0));
    let collector = Collector::listen(usize::MAX);
    let events = start(&log, folder.path(), collector.receiver("other.example.vn"));
    until("trouble", || events.progress()[0].trouble.is_some());
    let trouble = events.progress()[0].trouble.clone().unwrap();
    assert!(trouble.contains(&collector.address), "{trouble}");
    assert!(collector.messages.try_recv().is_err());
}
