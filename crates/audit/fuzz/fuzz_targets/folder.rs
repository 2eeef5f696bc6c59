//! A ledger with parts exchanged, checksums mended or not: reading, verifying and opening it never
//! panic, and what verifies has the entries that were written.
#![no_main]

mod ledger;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use audit::{Log, entries, verify_folder};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const HEADER: usize = 4096;
const FRAME_HEADER: usize = 96;

/// A ledger whose segments are raw, and one where the first ones are sealed.
struct Base {
    raw: Vec<(OsString, Vec<u8>)>,
    sealed: Vec<(OsString, Vec<u8>)>,
    folder: TempDir,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let [raw, sealed] = [false, true].map(|seals| {
            let folder = tempfile::tempdir().unwrap();
            ledger::write(folder.path(), seals);
            files(folder.path())
        });
        assert!(sealed.iter().any(|(name, _)| name.to_string_lossy().ends_with(".sealed")));
        Base { raw, sealed, folder }
    })
}

/// The files of a ledger that are evidence.
fn files(folder: &Path) -> Vec<(OsString, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.is_file() && !path.ends_with("lock"))
        .map(|path| (path.file_name().unwrap().to_owned(), fs::read(&path).unwrap()))
        .filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0))
        .collect();
    files.sort();
    files
}

/// Takes bytes off the front of what the fuzzer gave; zeros at its end.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let length = rest.len().min(N);
    taken[..length].copy_from_slice(&rest[..length]);
    *rest = &rest[length..];
    taken
}

fuzz_target!(|input: &[u8]| {
    let base = base();
    let mut rest = input;
    let [flags] = take(&mut rest);
    let mut files = if flags & 0x20 == 0 { base.raw.clone() } else { base.sealed.clone() };
    while !rest.is_empty() {
        let [file, length] = take(&mut rest);
        let number = usize::from(file) % files.len();
        let file = &mut files[number].1;
        let offset = u32::from_le_bytes(take(&mut rest)) as usize;
        if file.is_empty() || length == 255 {
            file.truncate(offset % (file.len() + 1));
            continue;
        }
        let offset = offset % file.len();
        let (patch, more) = rest.split_at(usize::from(length).min(rest.len()));
        rest = more;
        file.iter_mut().skip(offset).zip(patch).for_each(|(byte, patch)| *byte = *patch);
    }
    if flags & 1 == 1 {
        let raw = files.iter_mut().filter(|(_, bytes)| bytes.starts_with(b"GLSEGMNT"));
        raw.for_each(|(_, bytes)| mend(bytes, flags & 2 == 2));
    }
    check(base.folder.path(), &files, flags & 0x1c == 0);
});

/// Makes the checksums right, as a forger does; with `chained`, each frame's of the one before too.
fn mend(file: &mut [u8], chained: bool) {
    if file.len() < HEADER {
        return;
    }
    let crc = crc32c::crc32c(&file[..HEADER - 4]);
    file[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    let (mut at, mut before) = (HEADER, crc);
    while file.len() >= at + FRAME_HEADER && file[at..].starts_with(b"GLFR") {
        let bytes = u32::from_le_bytes(file[at + 12..at + 16].try_into().unwrap()) as usize;
        let end = at + bytes.clamp(FRAME_HEADER, file.len() - at);
        if chained {
            file[at + 44..at + 48].copy_from_slice(&before.to_le_bytes());
        }
        let body = crc32c::crc32c(&file[at + FRAME_HEADER..end]);
        file[at + 80..at + 84].copy_from_slice(&body.to_le_bytes());
        before = crc32c::crc32c(&file[at..at + 92]);
        file[at + 92..at + 96].copy_from_slice(&before.to_le_bytes());
        at = end;
    }
}

fn check(folder: &Path, files: &[(OsString, Vec<u8>)], open: bool) {
    clear(folder);
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    verify(folder);
    if let Ok(read) = entries(folder, 0) {
        let mut next = 0;
        for item in read.map_while(Result::ok) {
            assert_eq!(item.0, next, "indices are dense");
            next += 1;
        }
    }
    if open && let Ok((log, recovered)) = Log::open(ledger::options(folder)) {
        // The checkpoint covers all entries, so nothing less than all of them opens.
        assert_eq!(recovered.entries, ledger::ENTRIES);
        log.close().unwrap();
        drop(log);
    }
}

/// What verifies with the ledger's key has the entries that were written.
fn verify(folder: &Path) {
    let key = ledger::signer().verifying_key();
    let mut seen = Vec::new();
    let mut on_entry = |_: u64, entry: &[u8]| {
        seen.push(entry.to_vec());
        Ok(())
    };
    if verify_folder(folder, Some(&key), &mut on_entry, &mut |_, _| {}).is_ok() {
        let written: Vec<_> = (0..ledger::ENTRIES).map(ledger::entry).collect();
        assert!(seen == written, "it verifies with other entries");
    }
}

fn clear(folder: &Path) {
    for path in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
}
