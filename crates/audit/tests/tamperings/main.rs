//! Random changes of a finished ledger, as chance or a forger makes them: each is found, and the
//! place is named: the segment, and the frame or block in it where the first change is; or the
//! checkpoint.
//!
//! `TAMPERINGS=10000 cargo test -p audit --test tamperings -- --nocapture` makes more of them,
//! `TAMPERING_SEED` repeats a run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails may panic, and tells what it did"
)]

#[path = "../common/mod.rs"]
mod common;
mod kinds;
mod ledger;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use audit::VerifyError;
use kinds::{KINDS, Kind};
use ledger::{CHECKPOINT, Copy, Files, Finished};

const TAMPERINGS: u64 = 300;

/// SplitMix64: enough to choose places.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_tampering_is_found_and_located() {
    let count = number_from("TAMPERINGS", TAMPERINGS);
    let seed = number_from("TAMPERING_SEED", std::process::id().into());
    println!("TAMPERING_SEED={seed}");
    let begun = Instant::now();
    let finished = Finished::new();
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get());
    let work = || {
        let copy = Copy::of(&finished);
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return done;
            }
            let mut random = Random(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
            done.push(tamper_once(&finished, &copy, &mut random));
        }
    };
    let done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut kinds = BTreeMap::<String, u64>::new();
    for (kind, _) in &done {
        *kinds.entry(format!("{kind:?}")).or_default() += 1;
    }
    println!("{count} in {:.1} s: {kinds:?}", begun.elapsed().as_secs_f64());
    assert_eq!(done.len() as u64, count);
    let wrong: Vec<_> = done.into_iter().filter_map(|(_, outcome)| outcome.err()).collect();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Spoils the ledger once; `Err` says what was not found, or not where it is.
fn tamper_once(
    finished: &Finished,
    copy: &Copy,
    random: &mut Random,
) -> (Kind, Result<(), String>) {
    let (kind, files) = loop {
        let kind = *random.pick(&KINDS);
        let mut files = finished.files.clone();
        kind.apply(finished, &mut files, random);
        if files != finished.files {
            break (kind, files);
        }
    };
    copy.write(&finished.files, &files);
    let outcome = match copy.verify() {
        Ok(_) => Err("it was not found".to_owned()),
        Err(error) => check_place(finished, &files, kind, &error)
            .map_err(|why| format!("found as \"{error}\": {why}")),
    };
    copy.write(&files, &finished.files);
    let (name, at) = first_change(finished, &files);
    (kind, outcome.map_err(|why| format!("{kind:?}, first change `{name}` byte {at}: {why}")))
}

/// The first change in the order in which a ledger is read: the file, and the byte.
fn first_change(finished: &Finished, files: &Files) -> (String, usize) {
    let in_order = |name: &&String| (*name == CHECKPOINT, (*name).clone());
    let mut names: Vec<_> = finished.files.keys().chain(files.keys()).collect();
    names.sort_by_key(in_order);
    for name in names {
        match (finished.files.get(name), files.get(name)) {
            (Some(was), Some(is)) if was != is => {
                let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
                return (name.clone(), same);
            }
            (Some(_), Some(_)) => {}
            _ => return (name.clone(), 0),
        }
    }
    panic!("nothing was changed")
}

fn check_place(
    finished: &Finished,
    files: &Files,
    kind: Kind,
    error: &VerifyError,
) -> Result<(), String> {
    let (name, at) = first_change(finished, files);
    let file_is = |file: &std::path::Path| match file.file_name().is_some_and(|f| *f == *name) {
        true => Ok(()),
        false => Err(format!("the file is `{name}`")),
    };
    if name == CHECKPOINT {
        return match error {
            VerifyError::RootMismatch(_)
            | VerifyError::LostEntries { .. }
            | VerifyError::WrongKey { .. } => Ok(()),
            VerifyError::Missing(file) => file_is(file),
            VerifyError::Damaged { file, offset, .. } => {
                file_is(file)?;
                exact(kind, at, *offset)
            }
            _ => Err("the checkpoint was changed".into()),
        };
    }
    match error {
        VerifyError::Missing(file) if !files.contains_key(&name) => file_is(file),
        VerifyError::Damaged { file, offset, .. } | VerifyError::Torn { file, offset } => {
            file_is(file)?;
            let whole = finished.files[&name].len();
            if files[&name].len() > whole {
                // What is too much stands after what was there; the header tells how much that is.
                return match *offset == 24 || *offset as usize >= whole {
                    true => Ok(()),
                    false => Err("bytes were appended".into()),
                };
            }
            if kind == Kind::ForeignFile && *offset as usize == finished.foreign_end(&name) {
                // Sound in itself: what shows is that the next segment does not go on from it.
                return Ok(());
            }
            exact(kind, at, *offset)?;
            let unit = finished.unit(&name, at);
            match unit.contains(&(*offset as usize)) {
                true => Ok(()),
                false => Err(format!("it is in {unit:?}")),
            }
        }
        // The end of the ledger is gone, and nothing is in its place.
        VerifyError::LostEntries { found, vouched } => {
            let expected = (finished.first_entry(&name, at), finished.entries);
            match (Some(*found), *vouched) == expected {
                true => Ok(()),
                false => Err(format!("expected {expected:?}")),
            }
        }
        _ => Err("a segment was changed".into()),
    }
}

/// A single changed byte is named.
fn exact(kind: Kind, at: usize, offset: u64) -> Result<(), String> {
    match kind != Kind::Flip || at as u64 == offset {
        true => Ok(()),
        false => Err(format!("it is byte {at}")),
    }
}
