//! What a run needs beside the message, and what it found. One serves any number of masks, one
//! after the other, and after a few messages allocates nothing more.

use crate::apply::{SUBJECTS_BYTES_MAX, SUBJECTS_MAX};

/// The memory of runs: bounded by the nesting of messages and by what is said of subjects.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    pub(crate) frames: Vec<Frame>,
    /// A bit for each path id.
    withheld: Vec<u64>,
    subjects: Vec<u8>,
    /// Where each subject ends.
    subject_ends: Vec<usize>,
    has_more_subjects: bool,
}

/// A message or group that is open around the one that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Where the field that holds the inner one begins.
    pub(crate) field: usize,
    /// Where the inner one's content begins.
    pub(crate) begin: usize,
    /// Where the outer one ends.
    pub(crate) end: usize,
    /// In the output: where the inner one's length is, and where its content begins.
    pub(crate) out_length: usize,
    pub(crate) out_begin: usize,
    /// The number of the inner one if it is a group, else 0.
    pub(crate) group: u32,
    /// The path id of the inner one.
    pub(crate) path: u16,
    /// Whether nothing of the outer one is kept.
    pub(crate) is_dark: bool,
    pub(crate) state: u32,
    /// The outer one's bits.
    pub(crate) bits: u64,
}

impl Workspace {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The path ids of what the last run withheld, ascending; [`Mask::paths`](crate::Mask::paths)
    /// has their names.
    pub fn withheld(&self) -> impl Iterator<Item = u16> {
        let words = self.withheld.iter().enumerate();
        words.flat_map(|(word, bits)| {
            let set = (0..64u16).filter(move |bit| bits >> bit & 1 == 1);
            set.map(move |bit| word as u16 * 64 + bit)
        })
    }

    /// Whom the last message was about: the values of its subject fields that are not empty, in
    /// the order of the message, each as often as it stands there.
    pub fn subjects(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.subject_ends.iter().copied());
        begins
            .zip(&self.subject_ends)
            .map(|(begin, end)| self.subjects.get(begin..*end).unwrap_or_default())
    }

    /// Whether there were more subjects than are kept: [`SUBJECTS_MAX`], or
    /// [`SUBJECTS_BYTES_MAX`] bytes of them.
    pub fn has_more_subjects(&self) -> bool {
        self.has_more_subjects
    }

    /// Ready for a message, of which so many paths may be withheld.
    pub(crate) fn clear(&mut self, paths: usize) {
        self.frames.clear();
        self.withheld.clear();
        self.withheld.resize(paths.div_ceil(64), 0);
        self.subjects.clear();
        self.subject_ends.clear();
        self.has_more_subjects = false;
    }

    #[inline(always)]
    pub(crate) fn withhold(&mut self, path: u16) {
        if let Some(word) = self.withheld.get_mut(usize::from(path / 64)) {
            *word |= 1 << (path % 64);
        }
    }

    pub(crate) fn note_subject(&mut self, subject: &[u8]) {
        if subject.is_empty() {
            return;
        }
        let is_full = self.subject_ends.len() == SUBJECTS_MAX
            || self.subjects.len() + subject.len() > SUBJECTS_BYTES_MAX;
        if is_full {
            self.has_more_subjects = true;
            return;
        }
        self.subjects.extend_from_slice(subject);
        self.subject_ends.push(self.subjects.len());
    }
}
