//! From what is found broken to what is said of it.

use std::path::{Path, PathBuf};

use tlog::sign::VerifyingKey;

use crate::frame::{FrameFault, SECTOR_BYTES};
use crate::locate::{self, changed};
use crate::scan::later_frame;
use crate::segment::{HEADER_BYTES, MAGIC};
use crate::verify::{Pass, VerifyError};
use crate::zeros;

pub(super) fn bad_checkpoint(file: PathBuf, note: &[u8], keys: &[VerifyingKey]) -> VerifyError {
    let (offset, what) = match locate::in_checkpoint(note, keys) {
        Some(flip) => (flip.at as u64, changed(note, flip)),
        None => (0, "not a checkpoint that a key of this ledger signed".to_owned()),
    };
    VerifyError::Damaged { file, offset, what }
}

/// A segment that is not in use yet has nothing in it.
pub(super) fn check_blank(path: &Path, bytes: &[u8], number: u64) -> Result<(), VerifyError> {
    let Some(stray) = zeros::first_nonzero(bytes) else { return Ok(()) };
    // With entries after it, it is the header that is missing.
    let before_frames = HEADER_BYTES - SECTOR_BYTES;
    let (offset, what) = match later_frame(bytes, before_frames, &FrameFault::Zero, (number, 0)) {
        Some(frame) => (0, format!("header is blank, a whole frame follows at byte {frame}")),
        None => (stray, "not zero, in a segment whose header is blank".to_owned()),
    };
    Err(VerifyError::Damaged { file: path.to_owned(), offset: offset as u64, what })
}

pub(super) fn broken_header(
    path: PathBuf,
    bytes: &mut [u8],
    computed: u32,
    stored: u32,
) -> VerifyError {
    if let Some((flip, _)) = locate::in_segment_header(bytes, computed, stored) {
        let what = format!("{}, in the segment's header", changed(bytes, flip));
        return VerifyError::Damaged { file: path, offset: flip.at as u64, what };
    }
    let no_frames = zeros::is_zero(bytes.get(HEADER_BYTES..).unwrap_or_default());
    if no_frames && bytes.starts_with(&MAGIC) {
        return VerifyError::Torn { file: path, offset: 0 };
    }
    let at = zeros::first_nonzero(bytes).unwrap_or(0);
    let what = "segment's header does not match its checksum".to_owned();
    VerifyError::Damaged { file: path, offset: at as u64, what }
}

impl Pass<'_> {
    /// Tells a changed byte from other damage, and damage from a write that a crash cut.
    pub(super) fn no_frame(
        &self,
        path: &Path,
        bytes: &mut [u8],
        offset: usize,
        fault: FrameFault,
        is_last: bool,
    ) -> VerifyError {
        let damaged = |offset: usize, what: String| VerifyError::Damaged {
            file: path.to_owned(),
            offset: offset as u64,
            what,
        };
        if let FrameFault::Content { offset, what } = fault {
            return damaged(offset, what.to_owned());
        }
        if let Some(flip) = locate::in_frame(bytes, offset, &fault, &self.chain) {
            let (frame, what) = (self.chain.frontier.size(), changed(bytes, flip));
            return damaged(
                flip.at,
                format!("{what}, in the frame that begins with entry {frame}"),
            );
        }
        let rest = bytes.get(offset..).unwrap_or_default();
        let stray = zeros::first_nonzero(rest);
        if let Some(at) = stray.filter(|at| at + 1 == zeros::nonzero_bytes(rest)) {
            let is = rest.get(at).copied().unwrap_or_default();
            return damaged(offset + at, format!("byte is 0x{is:02x}, was 0x00, in unused space"));
        }
        if let Some(later) = later_frame(bytes, offset, &fault, self.chain.place()) {
            return damaged(offset, format!("no whole frame, one follows at byte {later}"));
        }
        let size = self.chain.frontier.size();
        if let Some(vouched) = self.vouched.as_ref().filter(|vouched| vouched.size > size) {
            let last = vouched.size - 1;
            return damaged(offset, format!("no whole frame; entries {size} to {last} are gone"));
        }
        if !is_last {
            return damaged(offset, "no whole frame, later segments follow".to_owned());
        }
        VerifyError::Torn { file: path.to_owned(), offset: offset as u64 }
    }
}
