//! Any bytes as a segment's header block, checksum mended or not: they are refused, or the header
//! read from them is written as the same bytes.
#![no_main]
#![allow(dead_code, reason = "the modules are the crate's own files")]

#[path = "../../src/fields.rs"]
mod fields;
#[path = "../../src/segment.rs"]
mod segment;
#[path = "../../src/zeros.rs"]
mod zeros;

use libfuzzer_sys::fuzz_target;
use segment::{CRC_OFFSET, HeaderBlock};

fuzz_target!(|input: &[u8]| {
    check(input);
    let mut block = input.to_vec();
    block.resize(CRC_OFFSET, 0);
    let crc = crc32c::crc32c(&block);
    block.extend_from_slice(&crc.to_le_bytes());
    check(&block);
});

fn check(block: &[u8]) {
    if let HeaderBlock::Whole { header, crc } = HeaderBlock::read(block) {
        let (encoded, encoded_crc) = header.encode();
        assert_eq!(crc, encoded_crc);
        assert!(block.starts_with(&encoded));
    }
}
