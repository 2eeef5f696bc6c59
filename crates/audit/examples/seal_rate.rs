//! Bytes of an entry before and after sealing, and seconds for a million entries.
//!
//! `cargo run --release -p audit --example seal_rate -- [folder] [entries]`. Entries are those of
//! calls to national services: an admission and an end each, in the encoding of
//! `proto/giaolien/evidence/v1/evidence.proto`. All persons and agencies are made up.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "an example")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use audit::{Keys, Log, Options, Sealing, Source};
use tlog::Signer;

/// Calls a second, which the times in the entries follow.
const CALLS_PER_SECOND: u64 = 2_000;
const SYSTEMS: u64 = 400;
const METHODS: [&str; 5] = [
    "/vn.population.v1.PopulationService/GetCitizen",
    "/vn.population.v1.PopulationService/VerifyCitizen",
    "/vn.insurance.v1.InsuranceService/GetCoverage",
    "/vn.business.v1.BusinessService/GetEnterprise",
    "/vn.land.v1.LandService/ListParcels",
];
const PURPOSES: [&str; 4] = ["residence", "social-benefit", "business-licence", "land-transfer"];

/// A stream of bytes that does not compress.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| (self.next() >> 32) as u8).take(count).collect()
    }
}

/// A message of protocol buffers in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        if !bytes.is_empty() {
            self.varint(field << 3 | 2);
            self.varint(bytes.len() as u64);
            self.0.extend_from_slice(bytes);
        }
        self
    }
}

/// Makes the two entries of each call.
struct Calls {
    noise: Noise,
    certificates: Vec<Vec<u8>>,
    time_us: u64,
}

impl Calls {
    fn new() -> Self {
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        let certificates = (0..SYSTEMS).map(|_| noise.bytes(32)).collect();
        Self { noise, certificates, time_us: 1_795_000_000_000_000 }
    }

    /// An `Admitted` for the index given, and its `Finished`.
    fn call(&mut self, index: u64) -> [Vec<u8>; 2] {
        let noise = &mut self.noise;
        self.time_us += noise.below(2_000_000 / CALLS_PER_SECOND);
        let system = noise.below(SYSTEMS);
        let method = METHODS.get(noise.below(5) as usize).unwrap();
        let id = noise.bytes(16);
        let admitted = Message::default()
            .bytes(1, &id)
            .number(2, self.time_us)
            .bytes(3, self.certificates.get(system as usize).unwrap())
            .bytes(4, format!("commune-{system:03}-registry").as_bytes())
            .bytes(5, format!("province-{:02}", system % 34).as_bytes())
            .bytes(6, b"national-population")
            .bytes(7, method.as_bytes())
            .number(8, 1)
            .bytes(9, format!("agreement-2026-{:05}", system * 5).as_bytes())
            .bytes(10, PURPOSES.get(noise.below(4) as usize).unwrap().as_bytes())
            .bytes(11, format!("H{:02}.{:08}", system % 34, noise.below(100_000_000)).as_bytes())
            .number(13, 1_794_990_000)
            .bytes(14, &[10, 20, system as u8, 7]);
        let traffic = |noise: &mut Noise, bytes| {
            Message::default().number(1, 1).number(2, bytes).bytes(3, &noise.bytes(32)).0
        };
        let (sent, received) = (24 + noise.below(8), 300 + noise.below(900));
        let (request, response) = (traffic(noise, sent), traffic(noise, received));
        let finished = Message::default()
            .bytes(1, &id)
            .number(2, index)
            .number(3, self.time_us + 800 + noise.below(4_000))
            .bytes(6, &request)
            .bytes(7, &response);
        [Message::default().bytes(2, &admitted.0).0, Message::default().bytes(4, &finished.0).0]
    }
}

/// Writes calls as a gateway does: about a millisecond's worth of entries in a batch.
fn write(options: &Options, entries: u64) -> u64 {
    let (log, _) = Log::open(options.clone()).unwrap();
    let mut calls = Calls::new();
    let mut bytes = 0;
    let mut last = None;
    for index in (0..entries).step_by(2) {
        for entry in calls.call(index) {
            bytes += entry.len() as u64;
            last = Some(log.append(&entry).expect("append"));
        }
        if index % 64 == 0
            && let Some(ticket) = last.take()
        {
            ticket.wait().expect("durable");
        }
    }
    drop(last);
    log.close().unwrap();
    bytes
}

fn seal(options: Options, left: usize) -> f64 {
    let begun = Instant::now();
    let (log, _) = Log::open(options).unwrap();
    while log.status().keeping.sealed < left as u64 {
        assert_eq!(log.status().keeping.trouble, None);
        thread::sleep(Duration::from_millis(5));
    }
    let seconds = begun.elapsed().as_secs_f64();
    log.close().unwrap();
    seconds
}

/// Number and bytes of the files with this ending.
fn files(folder: &Path, ending: &str) -> (usize, u64) {
    let lengths = fs::read_dir(folder).unwrap().filter_map(|file| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let is_one = name.starts_with("segment-") && name.ends_with(ending);
        is_one.then(|| file.metadata().unwrap().len())
    });
    lengths.fold((0, 0), |(count, bytes), length| (count + 1, bytes + length))
}

fn verify(source: &Source) -> (u64, f64) {
    let begun = Instant::now();
    let verified = audit::verify(source, None, &mut |_, _| Ok(()), &mut |_, _| {}).unwrap();
    (verified.entries, begun.elapsed().as_secs_f64() / verified.entries as f64 * 1e6)
}

fn measure(folder: &Path, entries: u64, level: i32) {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let origin: tlog::Origin = "ledger.example.vn".parse().unwrap();
    let (signer, _) = Signer::generate(origin.clone()).unwrap();
    let mut options = Options::new(folder.path().into(), origin, Arc::new(signer));
    options.segment_bytes = 16 << 20;
    let entry_bytes = write(&options, entries);
    let mut keys = Keys::default();
    keys.add("measured", &Keys::generate().unwrap()).unwrap();
    let source = Source { keys: keys.clone(), ..Source::folder(folder.path().into()) };
    let (_, raw_verify) = verify(&source);
    // The last three are the one in use and two prepared.
    let left = files(folder.path(), "log").0 - 3;
    let mut sealing = Sealing::new(keys, Some("measured".into()));
    sealing.level = level;
    options.sealing = Some(sealing);
    let seal_seconds = seal(options, left);
    let read = audit::records(&source, 0).unwrap().map(Result::unwrap).count();
    assert_eq!(read as u64, entries);
    let (_, sealed_bytes) = files(folder.path(), "sealed");
    let sealed = sealed_entries(&source, left);
    let (_, verify_seconds) = verify(&source);
    let per = |bytes: u64, of: u64| bytes as f64 / of as f64;
    println!(
        "level {level:>2}: entries {:.0} bytes, raw {:.1}, sealed {:.1} bytes an entry, {:.0} an \
         exchange; {:.2} s per million to seal, to verify {raw_verify:.2} raw, {verify_seconds:.2} sealed",
        per(entry_bytes, entries),
        per((left as u64) * (16 << 20), sealed),
        per(sealed_bytes, sealed),
        per(sealed_bytes, sealed) * 2.0,
        seal_seconds / sealed as f64 * 1e6,
    );
}

/// Entries in the first segments, which are the sealed ones: those that can't be read without a key.
fn sealed_entries(source: &Source, left: usize) -> u64 {
    let shut = Source { keys: Keys::default(), ..source.clone() };
    let gaps = audit::records(&shut, 0).unwrap().filter_map(|item| match item {
        Err(audit::ReadError::Absent { first_index, next_index, .. }) => {
            Some(next_index - first_index)
        }
        _ => None,
    });
    let gaps: Vec<_> = gaps.collect();
    assert_eq!(gaps.len(), left);
    gaps.iter().sum()
}

fn main() {
    let mut given = std::env::args_os().skip(1);
    let folder = given.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let entries = given.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(1_000_000);
    println!("{entries} entries, two an exchange, in {}", folder.display());
    for level in [1, 3, 9, 15] {
        measure(&folder, entries, level);
    }
}
