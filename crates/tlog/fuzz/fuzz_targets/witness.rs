//! Any bytes as a request to a witness: nobody without the ledger's key gets a cosignature.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tlog::witness::{self, AddCheckpoint, Answer, States, Witness};
use tlog::{Cosigner, Head, Note, Origin, VerifyingKey};

const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

struct Unused;

impl States for Unused {
    type Error = String;

    fn load(&self, _: &Origin) -> Result<Option<Head>, String> {
        panic!("a request without the ledger's signature came as far as the state");
    }

    fn replace(&self, _: &Origin, _: Option<&Head>, _: &Head) -> Result<bool, String> {
        panic!("a request without the ledger's signature came as far as the state");
    }
}

static WITNESS: LazyLock<Witness<Unused>> = LazyLock::new(|| {
    let (cosigner, _) = Cosigner::generate("witness.example.vn".parse().unwrap()).unwrap();
    let key: VerifyingKey = KEY.parse().unwrap();
    Witness::new(cosigner, vec![key], Unused)
});

fuzz_target!(|bytes: &[u8]| {
    let answer = WITNESS.add_checkpoint(bytes, 1_795_000_000);
    assert!(matches!(answer, Answer::Malformed(_) | Answer::NotSigned | Answer::UnknownLog));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(request) = text.parse::<AddCheckpoint>() {
        assert_eq!(request.to_string(), text);
    }
    let note: Note = "name\n0\n\n\u{2014} name AAAAAAA=\n".parse().unwrap();
    assert!(witness::cosignatures(text, &note, &[WITNESS.key()]).is_err());
});
