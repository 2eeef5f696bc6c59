//! Any bytes as a proof file, as a path, and as tiles that a stranger serves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::bundle::{Bundle, Policy};
use tlog::proof::{self, Head};
use tlog::tile::Reader;
use tlog::{Hash, VerifyingKey};

const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Ok(bundle)) = std::str::from_utf8(bytes).map(str::parse::<Bundle>) {
        assert_eq!(bundle.to_string().as_bytes(), bytes);
        let key: VerifyingKey = KEY.parse().unwrap();
        let policy = Policy { log: vec![key], witnesses: Vec::new(), quorum: 0 };
        assert!(bundle.verify(b"entry", &policy).is_err());
    }
    let (numbers, _) = bytes.as_chunks::<8>();
    let [old, new, index] =
        [0, 1, 2].map(|at| numbers.get(at).map_or(0, |number| u64::from_be_bytes(*number)));
    let (path, _): (&[Hash], _) = bytes.get(24..).unwrap_or_default().as_chunks();
    let (old_head, new_head) =
        (Head { size: old, root_hash: [1; 32] }, Head { size: new, root_hash: [2; 32] });
    assert!(proof::verify_consistency(&old_head, &new_head, path).is_err());
    assert!(proof::verify_inclusion(&[3; 32], index, &new_head, path).is_err());
    let mut reader = Reader::new(new_head, |_: &str| Ok::<_, String>(bytes.to_vec()));
    // The proof for the only leaf is empty, and the root of nothing is known.
    assert!(proof::inclusion(&mut reader, index, new).is_err() || new == 1);
    assert!(proof::root(&mut reader, new).is_err() || new == 0);
    assert!(reader.entries(index).is_err());
});
