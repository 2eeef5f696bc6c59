//! Sealing one segment: what is in it, the file that takes its place, and whether that file gives
//! it back byte for byte.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use model::Timestamp;
use thiserror::Error;
use tlog::note::{Checkpoint, Note};
use tlog::sign::Signer;
use tlog::tree::{Frontier, Hash, leaf_hash};
use zstd::bulk::Compressor;

use crate::closed::{Closed, ClosedError, block_context, encode_tail};
use crate::disk::{Disk, Step};
use crate::frame::{Chain, FrameFault};
use crate::keys::{BlockNonce, DataKey, Fresh, Keys, KeysError};
use crate::sealed::{
    BLOCK_BYTES, BLOCK_BYTES_MAX, BLOCKS_OFFSET, Form, IndexEntry, SEALED_HEADER_BYTES,
    SealedHeader,
};
use crate::segment::{HEADER_BYTES, HeaderBlock, SegmentHeader};
use crate::subtrees::Subtrees;
use crate::zeros;

/// How long an entry is to be kept, from the time it was written. `Duration::MAX`: for ever.
pub(crate) type Term<'a> = dyn Fn(&[u8]) -> Duration + 'a;

/// Why a segment was not sealed. The segment is as it was.
#[derive(Debug, Error)]
pub(crate) enum SealError {
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` is damaged at byte {offset}: {what}; verify the folder", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error(transparent)]
    Closed(#[from] ClosedError),
    #[error("`{}` does not give back the segment, it is removed", .0.display())]
    Differs(PathBuf),
    #[error("there is no key `{0}` to seal with")]
    NoKey(String),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("cannot sign the tree of segment {0}")]
    Sign(u64),
    #[error("the ledger is being closed")]
    Stopped,
}

impl SealError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// A run of whole frames that becomes one block.
#[derive(Clone, Copy, Debug)]
struct Cut {
    offset: usize,
    bytes: usize,
    first_index: u64,
}

/// What is in a segment, every frame of it checked.
pub(crate) struct Survey {
    number: u64,
    first_index: u64,
    pub(crate) after: Frontier,
    earliest: Timestamp,
    latest: Timestamp,
    keep_until: Timestamp,
    raw_bytes: usize,
    raw_digest: Hash,
    last_crc: u32,
    cuts: Vec<Cut>,
    subtrees: Vec<Hash>,
}

impl Survey {
    /// Follows the frames of a whole segment, given as read from `path`, to its end.
    pub(crate) fn of(path: &Path, segment: &[u8], term: &Term<'_>) -> Result<Self, SealError> {
        let damaged = |offset: usize, what: &str| SealError::Damaged {
            path: path.to_owned(),
            offset: offset as u64,
            what: what.to_owned(),
        };
        let HeaderBlock::Whole { header, crc } = HeaderBlock::read(segment) else {
            return Err(damaged(0, "header is not whole"));
        };
        let first_index = header.frontier.size();
        let mut survey = Self {
            number: header.number,
            first_index,
            after: Frontier::new(),
            earliest: header.created,
            latest: header.created,
            keep_until: header.created,
            raw_bytes: HEADER_BYTES,
            raw_digest: Hash::default(),
            last_crc: crc,
            cuts: Vec::new(),
            subtrees: Vec::new(),
        };
        let mut chain = Chain { segment: header.number, prev_crc: crc, frontier: header.frontier };
        let mut subtrees = Subtrees::new(first_index);
        let fault = loop {
            match chain.read(segment, survey.raw_bytes) {
                Ok(frame) => {
                    frame.entries().for_each(|entry| subtrees.push(leaf_hash(entry)));
                    let longest = frame.entries().map(term).max().unwrap_or_default();
                    let header = &frame.header;
                    survey.note(header.frame_bytes(), header.first_index, header.time, longest);
                }
                Err(fault) => break fault,
            }
        };
        let rest = segment.get(survey.raw_bytes..).unwrap_or_default();
        if fault != FrameFault::Zero || !zeros::is_zero(rest) {
            return Err(damaged(survey.raw_bytes, "no whole frame, and not zero"));
        }
        if survey.cuts.iter().any(|cut| cut.bytes > BLOCK_BYTES_MAX) {
            return Err(damaged(0, "a frame is longer than a block may be"));
        }
        let raw = segment.get(..survey.raw_bytes).unwrap_or_default();
        let sum = digest(&SHA256, raw);
        survey.raw_digest.iter_mut().zip(sum.as_ref()).for_each(|(to, from)| *to = *from);
        (survey.last_crc, survey.after) = (chain.prev_crc, chain.frontier);
        survey.subtrees = subtrees.into_hashes();
        Ok(survey)
    }

    /// Takes in the next frame.
    fn note(&mut self, bytes: usize, first_index: u64, time: Timestamp, term: Duration) {
        if self.cuts.is_empty() {
            (self.earliest, self.latest) = (time, time);
        }
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
        self.keep_until = self.keep_until.max(time.after(term));
        match self.cuts.last_mut().filter(|cut| cut.bytes + bytes <= BLOCK_BYTES) {
            Some(cut) => cut.bytes += bytes,
            None => self.cuts.push(Cut { offset: self.raw_bytes, bytes, first_index }),
        }
        self.raw_bytes += bytes;
    }

    /// Whether the segment with this header goes on where this one ends.
    pub(crate) fn leads_to(&self, next: &SegmentHeader) -> bool {
        next.number == self.number + 1
            && next.frontier == self.after
            && next.prev_crc == self.last_crc
    }

    /// The ledger's word for the tree after the last entry.
    ///
    /// INVARIANT: a root is signed only if a checkpoint of at least this size was signed before,
    /// over a tree that this one is a part of; so no second root is signed for its size.
    fn sign(&self, signer: &Signer) -> Result<Vec<u8>, SealError> {
        let (size, root_hash) = (self.after.size(), self.after.root());
        let checkpoint = Checkpoint { origin: signer.origin().clone(), size, root_hash };
        let note = Note::sign(&checkpoint.to_string(), signer);
        note.map(|note| note.to_string().into_bytes()).map_err(|_| SealError::Sign(self.number))
    }

    fn header(&self, note_bytes: u16) -> SealedHeader {
        SealedHeader {
            form: Form::Sealed,
            number: self.number,
            first_index: self.first_index,
            count: self.after.size() - self.first_index,
            root_hash: self.after.root(),
            earliest: self.earliest,
            latest: self.latest,
            keep_until: self.keep_until,
            raw_bytes: self.raw_bytes as u64,
            raw_digest: self.raw_digest,
            blocks: self.cuts.len() as u32,
            last_crc: self.last_crc,
            wrapped: None,
            note_bytes,
        }
    }
}

/// How to seal: with which key, how hard to compress, who signs.
pub(crate) struct Press<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) level: i32,
    pub(crate) signer: &'a Signer,
    /// Asked between blocks; the file is given up when it says so.
    pub(crate) stopped: &'a dyn Fn() -> bool,
}

impl Press<'_> {
    /// Writes the sealed form of a segment, and syncs it. Returns its length in bytes.
    pub(crate) fn write(
        &self,
        disk: &dyn Disk,
        path: &Path,
        segment: &[u8],
        survey: &Survey,
        fresh: &Fresh,
    ) -> Result<u64, SealError> {
        let io = |action| SealError::io(action, path);
        let note = survey.sign(self.signer)?;
        let note_bytes = u16::try_from(note.len()).map_err(|_| SealError::Sign(survey.number))?;
        let mut header = survey.header(note_bytes);
        let mut key = None;
        if let Some(id) = self.key_id {
            let no_key = || SealError::NoKey(id.to_owned());
            let wrapped = self.keys.wrap(id, survey.number, fresh).ok_or_else(no_key)?;
            header.wrapped = Some(wrapped);
            key = Some(DataKey::new(&fresh.data_key).ok_or_else(no_key)?);
        }
        let mut heads = header.encode();
        heads.extend_from_slice(segment.get(..HEADER_BYTES).unwrap_or_default());
        let context = block_context(&heads);
        let options = File::options().write(true).create(true).truncate(true).open(path);
        let file = options.map_err(io("make"))?;
        let write = |bytes: &[u8], at| disk.write_at(Step::Seal, &file, bytes, at);
        write(&heads, 0).map_err(io("write"))?;
        let mut offset = BLOCKS_OFFSET as u64;
        let mut index = Vec::with_capacity(survey.cuts.len());
        let mut compressor = Compressor::new(self.level).map_err(io("compress"))?;
        for (cut, number) in survey.cuts.iter().zip(0..) {
            if (self.stopped)() {
                return Err(SealError::Stopped);
            }
            let frames = segment.get(cut.offset..cut.offset + cut.bytes).unwrap_or_default();
            let mut block = compressor.compress(frames).map_err(io("compress"))?;
            let nonce = BlockNonce { segment: survey.number, block: number };
            if let Some(key) = &key
                && !key.seal(nonce, &context, &mut block)
            {
                return Err(SealError::io("encrypt", path)(io::Error::other("cipher refused")));
            }
            write(&block, offset).map_err(io("write"))?;
            index.push(IndexEntry {
                offset,
                first_index: cut.first_index,
                stored_bytes: block.len() as u32,
                raw_bytes: cut.bytes as u32,
                crc: crc32c::crc32c(&block),
            });
            offset += block.len() as u64;
        }
        let tail = encode_tail(&index, &survey.subtrees, &note);
        write(&tail, offset).map_err(io("write"))?;
        disk.sync(Step::Seal, &file).map_err(io("sync"))?;
        Ok(offset + tail.len() as u64)
    }
}

/// Reads a sealed file again: it has to give back the segment, which is used up to `raw_bytes`
/// and zero after that, byte for byte.
pub(crate) fn compare(path: &Path, keys: &Keys, segment: &[u8]) -> Result<(), SealError> {
    let HeaderBlock::Whole { header, .. } = HeaderBlock::read(segment) else {
        return Err(SealError::Differs(path.to_owned()));
    };
    let closed = Closed::open(path, header.number)?;
    let mut blocks = closed.blocks(keys)?;
    let mut rest = segment;
    let mut take = |bytes: &[u8]| match rest.strip_prefix(bytes) {
        Some(after) => {
            rest = after;
            Ok(())
        }
        None => Err(SealError::Differs(path.to_owned())),
    };
    take(closed.heads.get(SEALED_HEADER_BYTES..).unwrap_or_default())?;
    for number in 0..closed.index.len() {
        take(&blocks.read(&closed, number)?)?;
    }
    match zeros::is_zero(rest) {
        true => Ok(()),
        false => Err(SealError::Differs(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::fs;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::disk::RealDisk;
    use crate::sealed::INDEX_ENTRY_BYTES;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
        -----END PRIVATE KEY-----\n";

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
    }

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.add("2026-a", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
        keys
    }

    /// The golden segment, up to the end of its last frame.
    fn segment() -> Vec<u8> {
        fs::read(golden("segment-v1.log")).unwrap()
    }

    /// Seals the golden segment with fixed randomness.
    fn sealed(key_id: Option<&str>) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealed");
        let signer = Signer::from_pkcs8_pem(PEM, "ledger.example.vn/2026".parse().unwrap());
        let (keys, signer) = (keys(), signer.unwrap());
        let survey = Survey::of(&path, &segment(), &|_| Duration::from_secs(86_400)).unwrap();
        let fresh = Fresh { data_key: [7; 32], wrap_nonce: [8; 12] };
        let press = Press { keys: &keys, key_id, level: 3, signer: &signer, stopped: &|| false };
        let bytes = press.write(&RealDisk, &path, &segment(), &survey, &fresh).unwrap();
        compare(&path, &keys, &segment()).unwrap();
        let file = fs::read(&path).unwrap();
        assert_eq!(file.len() as u64, bytes);
        file
    }

    fn open(file: &[u8]) -> Result<Vec<u8>, ClosedError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealed");
        fs::write(&path, file).unwrap();
        Closed::open(&path, 0)?.raw(&keys())
    }

    /// The format is a promise. What Zstandard makes of a block is its own affair: of the blocks
    /// only that they give back the frames.
    #[test]
    fn a_sealed_segment_is_as_promised() {
        let forms = [(Some("2026-a"), "segment-v1.sealed"), (None, "segment-v1-plain.sealed")];
        for (key_id, name) in forms {
            let made = sealed(key_id);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(golden(name), &made).unwrap();
            }
            let promised = fs::read(golden(name)).unwrap();
            assert_eq!(open(&promised).unwrap(), segment());
            assert_eq!(made.get(..BLOCKS_OFFSET), promised.get(..BLOCKS_OFFSET));
            let closed = |file: &[u8]| {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("sealed");
                fs::write(&path, file).unwrap();
                Closed::open(&path, 0).unwrap()
            };
            let (made, promised) = (closed(&made), closed(&promised));
            assert_eq!((made.subtrees, &made.note), (promised.subtrees.clone(), &promised.note));
            for (form, name) in [
                (Form::Archived, "segment-v1.archived"),
                (Form::Gone { recorded: 9 }, "segment-v1.gone"),
            ] {
                let stub = promised.stub(form);
                if key_id.is_some() && std::env::var_os("UPDATE_GOLDEN").is_some() {
                    fs::write(golden(name), &stub).unwrap();
                }
                if key_id.is_some() {
                    assert_eq!(fs::read(golden(name)).unwrap(), stub);
                }
            }
        }
    }

    /// A file, and where what follows its blocks begins.
    static FILES: LazyLock<[(Vec<u8>, usize); 2]> = LazyLock::new(|| {
        [Some("2026-a"), None].map(|key_id| {
            let file = sealed(key_id);
            let header = SealedHeader::read(&file).unwrap();
            let tail = INDEX_ENTRY_BYTES + 2 * 32 + usize::from(header.note_bytes) + 4;
            let tail_at = file.len() - tail;
            (file, tail_at)
        })
    });

    proptest! {
        /// Whatever single byte is changed, it is found and named.
        #[test]
        fn a_changed_byte_is_named(at: Index, change in 1..=u8::MAX, encrypted: bool) {
            let (mut file, _) = FILES.get(usize::from(encrypted)).unwrap().clone();
            let at = at.index(file.len());
            *file.get_mut(at).unwrap() ^= change;
            match open(&file) {
                Err(ClosedError::Damaged { offset, .. }) => prop_assert_eq!(offset, at as u64),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        /// A forger gets the checksums right; nothing panics, and nothing else is given out.
        #[test]
        fn forged_files_never_panic(
            changes in prop::collection::vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..5),
            encrypted: bool,
            cut: Option<Index>,
        ) {
            let (mut file, tail_at) = FILES.get(usize::from(encrypted)).unwrap().clone();
            for (at, byte, in_header) in changes {
                let tail = file.len() - tail_at;
                let at = if in_header { at.index(284) } else { tail_at + at.index(tail) };
                *file.get_mut(at).unwrap() = byte;
            }
            let crc = crc32c::crc32c(file.get(..508).unwrap());
            file.get_mut(508..512).unwrap().copy_from_slice(&crc.to_le_bytes());
            let body = file.len() - 4;
            let crc = crc32c::crc32c(file.get(tail_at..body).unwrap());
            file.get_mut(body..).unwrap().copy_from_slice(&crc.to_le_bytes());
            file.truncate(cut.map_or(file.len(), |cut| cut.index(file.len())));
            if let Ok(raw) = open(&file) {
                prop_assert_eq!(raw, segment());
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            prop_assert!(open(&bytes).is_err());
        }
    }
}
