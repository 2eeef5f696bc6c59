//! The formats are promises: segment, checkpoint and receipt, byte for byte.
//!
//! To change a format, raise its version, keep reading the old one, and write the files anew
//! with `UPDATE_GOLDEN=1 cargo test -p audit --test golden`; the diff is what is being promised.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;
use std::path::Path;

use audit::{Log, verify_receipt};
use common::{entry, options, signer};
use model::Receipt;

fn check(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let expected = fs::read(&path).unwrap();
    let differs = expected.iter().zip(bytes).position(|(a, b)| a != b);
    assert_eq!(differs, None, "`{name}` differs at this byte");
    assert_eq!(expected.len(), bytes.len(), "length of `{name}`");
}

fn describe(receipt: &Receipt) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let Receipt { index, first, count, tree_size, .. } = receipt;
    let path: Vec<_> = receipt.path.iter().map(|hash| hex(hash)).collect();
    [
        format!("entry {}\nindex {index}\nfirst {first}\ncount {count}\n", hex(&receipt.entry)),
        format!("path {path:?}\ntree size {tree_size}\nroot {}\n", hex(&receipt.root_hash)),
        format!("time {}\nkey id {:08x}\n", receipt.time.as_micros(), receipt.key_id),
        format!("signature {}\n", hex(&receipt.signature)),
    ]
    .concat()
}

#[test]
fn segment_checkpoint_and_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let mut receipt = None;
    for number in 0..5 {
        let durable = log.append(&entry(number)).unwrap().wait().unwrap();
        receipt = Some(durable.receipt(&entry(number)));
    }
    log.close().unwrap();

    let segment = fs::read(folder.path().join("segment-0000000000.log")).unwrap();
    let used = segment.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512);
    check("segment-v1.log", &segment[..used]);
    check("checkpoint", &fs::read(folder.path().join("checkpoint")).unwrap());
    let receipt = receipt.unwrap();
    verify_receipt(&receipt, &signer().verifying_key()).unwrap();
    check("receipt.txt", describe(&receipt).as_bytes());
    check("key.vkey", format!("{}\n", signer().verifying_key()).as_bytes());
}

#[test]
fn a_ledger_of_version_1_opens() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return;
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folder = tempfile::tempdir().unwrap();
    let mut segment = fs::read(golden.join("segment-v1.log")).unwrap();
    segment.resize(audit::SEGMENT_BYTES_MIN as usize, 0);
    fs::write(folder.path().join("segment-0000000000.log"), segment).unwrap();
    fs::copy(golden.join("checkpoint"), folder.path().join("checkpoint")).unwrap();
    let (log, recovered) = Log::open(options(folder.path())).unwrap();
    assert_eq!((recovered.entries, recovered.discarded_bytes), (5, 0));
    log.close().unwrap();
    let read: Vec<_> = audit::entries(folder.path(), 0).unwrap().map(|e| e.unwrap().1).collect();
    assert_eq!(read, (0..5).map(entry).collect::<Vec<_>>());
}
