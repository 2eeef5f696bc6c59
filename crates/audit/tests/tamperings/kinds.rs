//! The ways in which a ledger is spoiled.

use std::ops::Range;

use tlog::Signer;
use tlog::note::{Checkpoint, Note};

use crate::Random;
use crate::common::{origin, signer};
use crate::ledger::{CHECKPOINT, Files, Finished, HEADER};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One byte is another.
    Flip,
    /// Some bytes are others.
    Overwrite,
    /// Some bytes are zero.
    Blank,
    /// Two sectors, or larger blocks, have changed places.
    SwapBlocks,
    /// A block was written to the wrong place as well.
    Misdirect,
    /// Two frames of the same length have changed places.
    SwapFrames,
    /// A frame was cut out, and the rest moved up.
    CutFrame,
    /// The last frames of a segment are gone.
    CutTail,
    /// Two segments have changed places.
    SwapFiles,
    /// A segment stands in the place of another.
    CopyFile,
    /// A segment of another ledger of the same name and key.
    ForeignFile,
    /// A segment in use is gone.
    DeleteFile,
    /// A file is shorter.
    Truncate,
    /// A file is longer.
    Append,
    /// The checkpoint is gone, spoiled, or that of something else.
    Checkpoint,
}

/// Flips come more often. A spoiled checkpoint takes long to look into, so it comes once.
pub(crate) const KINDS: [Kind; 32] = {
    use Kind::*;
    [
        Flip,
        Flip,
        Flip,
        Flip,
        Flip,
        Flip,
        Overwrite,
        Overwrite,
        Overwrite,
        Blank,
        Blank,
        Blank,
        SwapBlocks,
        SwapBlocks,
        SwapBlocks,
        Misdirect,
        Misdirect,
        Misdirect,
        SwapFrames,
        SwapFrames,
        CutFrame,
        CutFrame,
        CutTail,
        CutTail,
        SwapFiles,
        CopyFile,
        ForeignFile,
        ForeignFile,
        DeleteFile,
        Truncate,
        Append,
        Checkpoint,
    ]
};

impl Kind {
    /// Changes `files`; sometimes to what they were.
    pub(crate) fn apply(self, finished: &Finished, files: &mut Files, random: &mut Random) {
        match self {
            Self::Flip => {
                let bytes = any_segment(files, random);
                let at = any_byte(bytes, random);
                bytes[at] ^= 1 + random.below(255) as u8;
            }
            Self::Overwrite | Self::Blank => {
                let bytes = any_segment(files, random);
                let start = any_byte(bytes, random);
                let end = (start + 2 + random.below(600)).min(bytes.len());
                bytes[start..end].fill_with(|| match self {
                    Self::Blank => 0,
                    _ => random.next() as u8,
                });
            }
            Self::SwapBlocks | Self::Misdirect => move_block(self, files, random),
            Self::SwapFrames => swap_frames(finished, files, random),
            Self::CutFrame => {
                let (name, frame) = any_frame(finished, random);
                let bytes = files.get_mut(&name).unwrap();
                let length = bytes.len();
                bytes.copy_within(frame.end.., frame.start);
                bytes[length - frame.len()..].fill(0);
            }
            Self::CutTail => {
                let (name, frame) = any_frame(finished, random);
                files.get_mut(&name).unwrap()[frame.start..].fill(0);
            }
            Self::SwapFiles => {
                let (one, two) = (any_used(finished, random), any_used(finished, random));
                let (first, second) = (files[&one].clone(), files[&two].clone());
                files.extend([(one, second), (two, first)]);
            }
            Self::CopyFile => {
                let (from, to) = (any_used(finished, random), any_used(finished, random));
                files.insert(to, files[&from].clone());
            }
            Self::ForeignFile => {
                let name = any_used(finished, random);
                if let Some(foreign) = finished.other.get(&name) {
                    files.insert(name, foreign.clone());
                }
            }
            Self::DeleteFile => {
                files.remove(&any_used(finished, random));
            }
            Self::Truncate => {
                let bytes = any_segment(files, random);
                bytes.truncate(random.below(bytes.len()));
            }
            Self::Append => {
                let bytes = any_segment(files, random);
                let more = [1, 512, 4096, 131_072][random.below(4)];
                bytes.extend((0..more).map(|_| 1 + random.below(255) as u8));
            }
            Self::Checkpoint => checkpoint(finished, files, random),
        }
    }
}

fn any_segment<'a>(files: &'a mut Files, random: &mut Random) -> &'a mut Vec<u8> {
    let segments = files.iter_mut().filter(|(name, _)| name.starts_with("segment-"));
    let mut segments: Vec<_> = segments.map(|(_, bytes)| bytes).collect();
    let at = random.below(segments.len());
    segments.swap_remove(at)
}

/// Most often a byte of what was written, if anything was.
fn any_byte(bytes: &[u8], random: &mut Random) -> usize {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match (written, random.below(8)) {
        (0, _) | (_, 0) => random.below(bytes.len()),
        (_, 1) => random.below(HEADER),
        _ => random.below(written),
    }
}

fn any_used(finished: &Finished, random: &mut Random) -> String {
    random.pick(&finished.used).clone()
}

fn any_frame(finished: &Finished, random: &mut Random) -> (String, Range<usize>) {
    let name = any_used(finished, random);
    let frame = random.pick(&finished.frames[&name]).clone();
    (name, frame)
}

fn move_block(kind: Kind, files: &mut Files, random: &mut Random) {
    let length = [512, 512, 4096, 16_384][random.below(4)];
    let mut place = || {
        let segments: Vec<_> =
            files.keys().filter(|name| name.starts_with("segment-")).cloned().collect();
        let name = random.pick(&segments).clone();
        let at = any_byte(&files[&name], random) / length * length;
        (name, at..at + length)
    };
    let ((from, source), (to, target)) = (place(), place());
    let (first, second) =
        (files[&from][source.clone()].to_vec(), files[&to][target.clone()].to_vec());
    files.get_mut(&to).unwrap()[target].copy_from_slice(&first);
    if kind == Kind::SwapBlocks {
        files.get_mut(&from).unwrap()[source].copy_from_slice(&second);
    }
}

fn swap_frames(finished: &Finished, files: &mut Files, random: &mut Random) {
    let (from, one) = any_frame(finished, random);
    let to = any_used(finished, random);
    let same: Vec<_> =
        finished.frames[&to].iter().filter(|frame| frame.len() == one.len()).cloned().collect();
    if same.is_empty() {
        return;
    }
    let two = random.pick(&same).clone();
    let (first, second) = (files[&from][one.clone()].to_vec(), files[&to][two.clone()].to_vec());
    files.get_mut(&from).unwrap()[one].copy_from_slice(&second);
    files.get_mut(&to).unwrap()[two].copy_from_slice(&first);
}

fn checkpoint(finished: &Finished, files: &mut Files, random: &mut Random) {
    let note = files.get_mut(CHECKPOINT).unwrap();
    let signed = |size, signer: &Signer| {
        let checkpoint = Checkpoint { origin: origin(), size, root_hash: [7; 32] };
        Note::sign(&checkpoint.to_string(), signer).unwrap().to_string().into_bytes()
    };
    match random.below(7) {
        0 => drop(files.remove(CHECKPOINT)),
        1 => *note = finished.other[CHECKPOINT].clone(),
        2 => *note = signed(finished.entries, &signer()),
        3 => *note = signed(finished.entries + 1 + random.below(1000) as u64, &signer()),
        4 => *note = signed(finished.entries, &Signer::generate(origin()).unwrap().0),
        5 => note.truncate(random.below(note.len())),
        _ => {
            let at = random.below(note.len());
            note[at] ^= 1 + random.below(255) as u8;
        }
    }
}
