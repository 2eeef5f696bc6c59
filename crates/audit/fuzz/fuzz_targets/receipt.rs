//! Any bytes as a receipt: refused, or read and checked against the ledger's key without a panic. What
//! the key vouches for is an entry that was written, at its index.
#![no_main]

mod ledger;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use model::Receipt;
use tlog::VerifyingKey;

struct Base {
    key: VerifyingKey,
    receipts: Vec<Receipt>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let durable = ledger::write(folder.path(), false);
        let receipt =
            |(number, durable): (u64, &audit::Durable)| durable.receipt(&ledger::entry(number));
        let receipts = (0..).zip(&durable).map(receipt).collect();
        Base { key: ledger::signer().verifying_key(), receipts }
    })
}

fuzz_target!(|input: &[u8]| {
    let base = base();
    // The first bytes pick a receipt of the ledger; the rest changes its bytes, or is one.
    if let Some(([pick, at, by], rest)) = input.split_first_chunk() {
        let whole = &base.receipts[usize::from(*pick) % base.receipts.len()];
        let mut bytes = wire::evidence::encode_receipt(whole);
        let place = usize::from(*at) * bytes.len() / 256;
        bytes[place] ^= by;
        let end = (place + 1 + rest.len()).min(bytes.len());
        bytes[place + 1..end].copy_from_slice(&rest[..end - place - 1]);
        check(base, &bytes);
    }
    check(base, input);
});

fn check(base: &Base, bytes: &[u8]) {
    let Ok(receipt) = wire::evidence::decode_receipt(bytes) else { return };
    let again = wire::evidence::decode_receipt(&wire::evidence::encode_receipt(&receipt));
    assert_eq!(again.ok().as_ref(), Some(&receipt));
    if audit::verify_receipt(&receipt, &base.key).is_ok() {
        let written = ledger::entry(receipt.index);
        assert!(receipt.index < ledger::ENTRIES && receipt.entry == written, "a forged receipt");
    }
}
