//! Counts what passes in one direction: bytes, whole messages, and a running digest.

use model::Traffic;
use sha2::{Digest, Sha256};

/// gRPC's length-prefixed message: one byte of flags, four of length (grpc/doc/PROTOCOL-HTTP2.md).
const PREFIX_BYTES: usize = 5;

/// Secret of a call that its digests begin with. Both ends get it, the ledger does not: whoever
/// has the messages and the salt can show that the ledger speaks of them, while the ledger alone
/// does not let anybody find out by trying what they were.
#[derive(Clone, Copy, Default)]
pub(crate) struct Salt(pub(crate) [u8; 16]);

/// Follows a stream of gRPC message frames without decoding or keeping any of it.
pub(crate) struct Meter {
    digest: Sha256,
    bytes: u64,
    messages: u64,
    /// Bytes of messages and their prefixes, those included that are still to come of the
    /// current message.
    announced: u64,
    prefix: [u8; PREFIX_BYTES],
    prefix_len: usize,
    /// Bytes of the current message still to come.
    remaining: u64,
}

impl Meter {
    pub(crate) fn new(salt: Salt) -> Self {
        let digest = Sha256::new_with_prefix(salt.0);
        let (prefix, prefix_len) = ([0; PREFIX_BYTES], 0);
        Self { digest, bytes: 0, messages: 0, announced: 0, prefix, prefix_len, remaining: 0 }
    }

    /// Takes note of the next bytes.
    pub(crate) fn add(&mut self, data: &[u8]) {
        self.digest.update(data);
        self.bytes += data.len() as u64;
        let mut rest = data;
        while !rest.is_empty() {
            rest = if self.remaining > 0 { self.body(rest) } else { self.prefix(rest) };
        }
    }

    fn body<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let taken = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(data.len());
        self.remaining -= taken as u64;
        self.messages += u64::from(self.remaining == 0);
        data.get(taken..).unwrap_or_default()
    }

    fn prefix<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let mut taken = 0;
        for (slot, byte) in self.prefix.iter_mut().skip(self.prefix_len).zip(data) {
            *slot = *byte;
            taken += 1;
        }
        self.prefix_len += taken;
        if self.prefix_len == PREFIX_BYTES {
            let [_flags, length @ ..] = self.prefix;
            self.remaining = u64::from(u32::from_be_bytes(length));
            let whole = self.remaining + PREFIX_BYTES as u64;
            self.announced = self.announced.saturating_add(whole);
            self.messages += u64::from(self.remaining == 0);
            self.prefix_len = 0;
        }
        data.get(taken..).unwrap_or_default()
    }

    /// Bytes of all messages that have begun, with their prefixes, so that empty messages count
    /// too. A message counts whole once its length is known.
    pub(crate) fn announced(&self) -> u64 {
        self.announced
    }

    /// What has passed so far. Valid evidence for the prefix of a stream that is cut later.
    pub(crate) fn traffic(&self) -> Traffic {
        let digest = self.digest.clone().finalize().into();
        Traffic { messages: self.messages, bytes: self.bytes, digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt([9; 16]);

    fn frame(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&[0], length.to_be_bytes().as_slice(), message].concat()
    }

    #[test]
    fn messages_count_however_the_bytes_are_cut() {
        let stream = [frame(b"one"), frame(b""), frame(&[7; 300])].concat();
        let digest: [u8; 32] = Sha256::digest([&SALT.0, stream.as_slice()].concat()).into();
        for cut in 1..stream.len() {
            let mut meter = Meter::new(SALT);
            stream.chunks(cut).for_each(|chunk| meter.add(chunk));
            let traffic = meter.traffic();
            assert_eq!((traffic.messages, traffic.bytes), (3, stream.len() as u64), "cut {cut}");
            assert_eq!(traffic.digest, digest);
        }
    }

    #[test]
    fn a_message_cut_short_does_not_count() {
        let mut meter = Meter::new(SALT);
        meter.add(&frame(b"whole"));
        meter.add(frame(b"not whole").get(..7).unwrap());
        assert_eq!(meter.traffic().messages, 1);
        assert_eq!(meter.announced(), 2 * 5 + 14, "what it announced does");
    }

    #[test]
    fn messages_without_bytes_are_announced_too() {
        let mut meter = Meter::new(SALT);
        (0..100).for_each(|_| meter.add(&frame(b"")));
        assert_eq!(meter.announced(), 500);
    }
}
