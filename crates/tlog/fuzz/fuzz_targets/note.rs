//! Any text as note, checkpoint, keys and tile path: what is read is written again as it was.
//! (Of keys, the hexadecimal digits may be capitals.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::note::NoteSignature;
use tlog::tile::{self, Tile};
use tlog::{Checkpoint, Note, VerifyingKey, WitnessKey};

/// The key of the documentation of Go's package `note`.
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

fuzz_target!(|text: &str| {
    if let Ok(note) = text.parse::<Note>() {
        assert_eq!(note.to_string(), text);
        let key: VerifyingKey = KEY.parse().unwrap();
        let _ = note.verify(&key);
        let _ = WitnessKey::new(key.origin().clone(), *key.public()).verify(&note);
        let _ = note.text().parse::<Checkpoint>();
    }
    if let Ok(signature) = text.parse::<NoteSignature>() {
        assert_eq!(signature.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifyingKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(key) = text.parse::<WitnessKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(tile) = text.parse::<Tile>() {
        assert_eq!(tile.to_string(), text);
    }
    for width in [1, 44, 256] {
        if let Ok(entries) = tile::decode_bundle(text.as_bytes(), width) {
            let again = tile::encode_bundle(entries).unwrap();
            assert!(text.as_bytes().starts_with(&again));
        }
    }
});
