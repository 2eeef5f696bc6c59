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
///
/// Digests are chained message by message, so that wherever a stream is cut there is evidence for
/// the messages before: the first is over the salt and the first message frame, each later one
/// over the digest before it and the next frame.
pub(crate) struct Meter {
    salt: Salt,
    /// Of the message under way, with what its digest begins with.
    digest: Sha256,
    /// Over all whole messages.
    chained: Option<[u8; 32]>,
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
        Self {
            salt,
            digest: Sha256::new_with_prefix(salt.0),
            chained: None,
            bytes: 0,
            messages: 0,
            announced: 0,
            prefix: [0; PREFIX_BYTES],
            prefix_len: 0,
            remaining: 0,
        }
    }

    /// Takes note of the next bytes.
    pub(crate) fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        let mut rest = data;
        while !rest.is_empty() {
            let before = self.messages;
            let message = self.message(rest);
            let (part, after) = rest.split_at_checked(message).unwrap_or((rest, &[]));
            self.digest.update(part);
            if self.messages > before {
                self.chained = Some(self.digest.finalize_reset().into());
            }
            rest = after;
        }
    }

    /// Follows the message under way, and returns how many of the bytes belong to it.
    fn message(&mut self, data: &[u8]) -> usize {
        let of_prefix = if self.remaining == 0 { self.prefix(data) } else { 0 };
        let body = data.get(of_prefix..).unwrap_or_default();
        let taken = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(body.len());
        if taken > 0 {
            self.remaining -= taken as u64;
            self.messages += u64::from(self.remaining == 0);
        }
        of_prefix + taken
    }

    /// Follows a prefix, and returns how many of the bytes belong to it.
    fn prefix(&mut self, data: &[u8]) -> usize {
        if self.prefix_len == 0
            && let Some(chained) = self.chained
        {
            self.digest.update(chained);
        }
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
        taken
    }

    /// Bytes of all messages that have begun, with their prefixes, so that empty messages count
    /// too. A message counts whole once its length is known.
    pub(crate) fn announced(&self) -> u64 {
        self.announced
    }

    /// Whole messages.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// What has passed so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let nothing = || Sha256::digest(self.salt.0).into();
        let digest = self.chained.unwrap_or_else(nothing);
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

    /// The digest after some messages, as who has them and the salt makes it.
    fn chained(frames: &[Vec<u8>]) -> [u8; 32] {
        let link = |before: Vec<u8>, frame: &Vec<u8>| {
            Sha256::digest([before, frame.clone()].concat()).to_vec()
        };
        match frames.iter().fold(SALT.0.to_vec(), link) {
            salt if frames.is_empty() => Sha256::digest(salt).into(),
            last => last.try_into().unwrap(),
        }
    }

    #[test]
    fn messages_count_however_the_bytes_are_cut() {
        let frames = [frame(b"one"), frame(b""), frame(&[7; 300])];
        let stream = frames.concat();
        for cut in 1..stream.len() {
            let mut meter = Meter::new(SALT);
            stream.chunks(cut).for_each(|chunk| meter.add(chunk));
            let traffic = meter.traffic();
            assert_eq!((traffic.messages, traffic.bytes), (3, stream.len() as u64), "cut {cut}");
            assert_eq!(traffic.digest, chained(&frames));
        }
    }

    #[test]
    fn wherever_a_stream_is_cut_there_is_evidence_of_the_messages_before() {
        let frames = [frame(b"one"), frame(b"two"), frame(b""), frame(&[7; 300])];
        let stream = frames.concat();
        let ends: Vec<_> = (0..=4).map(|count| frames[..count].concat().len()).collect();
        for cut in 0..=stream.len() {
            let mut meter = Meter::new(SALT);
            meter.add(&stream[..cut]);
            let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
            let expected = Traffic {
                messages: whole as u64,
                bytes: cut as u64,
                digest: chained(&frames[..whole]),
            };
            assert_eq!(meter.traffic(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_cut_short_does_not_count() {
        let mut meter = Meter::new(SALT);
        meter.add(&frame(b"whole"));
        meter.add(frame(b"not whole").get(..7).unwrap());
        assert_eq!(meter.messages(), 1);
        assert_eq!(meter.announced(), 2 * 5 + 14, "what it announced does");
    }

    #[test]
    fn messages_without_bytes_are_announced_too() {
        let mut meter = Meter::new(SALT);
        (0..100).for_each(|_| meter.add(&frame(b"")));
        assert_eq!(meter.announced(), 500);
    }
}
