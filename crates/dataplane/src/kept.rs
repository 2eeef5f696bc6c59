//! A request as far as it has passed, kept while it may have to be sent again or copied.

use bytes::{Bytes, BytesMut};

/// What a kept frame costs beside its bytes, so that many small ones are bounded too.
const FRAME_BYTES: usize = 256;
/// Longest request that is sent again, in bytes, frames counted.
const AGAIN_BYTES_MAX: usize = 64 << 10;
/// Longest request that is copied, in bytes, frames counted.
const COPY_BYTES_MAX: usize = 1 << 20;

/// The frames of a request, as long as something needs them whole; then nothing is kept at all.
#[derive(Debug)]
pub(crate) struct Kept {
    frames: Vec<Bytes>,
    /// What the frames cost.
    cost: usize,
    /// Whether the request may still be sent again.
    again: bool,
    /// Whether a copy has still to leave.
    copy: bool,
}

impl Kept {
    /// Keeps what is needed to send the request `again`, or to `copy` it.
    pub(crate) fn new(again: bool, copy: bool) -> Self {
        Self { frames: Vec::new(), cost: 0, again, copy }
    }

    /// Keeps `frame`, without copying its bytes, if it is needed and not too much.
    pub(crate) fn keep(&mut self, frame: &Bytes) {
        self.cost = self.cost.saturating_add(frame.len() + FRAME_BYTES);
        self.again &= self.cost <= AGAIN_BYTES_MAX;
        self.copy &= self.cost <= COPY_BYTES_MAX;
        if self.again || self.copy {
            self.frames.push(frame.clone());
        }
        self.forget_unneeded();
    }

    /// Whether all that was read of the request can be sent again.
    pub(crate) fn is_held(&self) -> bool {
        self.again
    }

    /// The request will not be sent again.
    pub(crate) fn not_again(&mut self) {
        self.again = false;
        self.forget_unneeded();
    }

    /// The frames for the copy, which leaves now; `None` if the request was too long.
    pub(crate) fn leave(&mut self) -> Option<Vec<Bytes>> {
        let due = std::mem::take(&mut self.copy);
        let frames = match self.again {
            true => self.frames.clone(),
            false => std::mem::take(&mut self.frames),
        };
        due.then_some(frames)
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.iter().all(Bytes::is_empty)
    }

    /// All bytes in one piece.
    pub(crate) fn joined(&self) -> BytesMut {
        let mut joined = BytesMut::with_capacity(self.frames.iter().map(Bytes::len).sum());
        self.frames.iter().for_each(|frame| joined.extend_from_slice(frame));
        joined
    }

    fn forget_unneeded(&mut self) {
        if !self.again && !self.copy {
            self.frames = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Bytes = Bytes::from_static(&[7; 10]);

    /// A request of one frame, kept for both.
    fn for_both() -> Kept {
        let mut kept = Kept::new(true, true);
        kept.keep(&FRAME);
        kept
    }

    #[test]
    fn what_is_kept_can_be_sent_again() {
        let mut kept = Kept::new(true, false);
        assert!(kept.is_empty());
        kept.keep(&FRAME);
        kept.keep(&FRAME);
        assert!(kept.is_held());
        assert_eq!(kept.joined(), [7; 20].as_slice());
        assert_eq!(kept.leave(), None, "no copy is due");
    }

    #[test]
    fn it_is_forgotten_once_neither_a_retry_nor_a_copy_needs_it() {
        let mut kept = for_both();
        kept.not_again();
        assert!(!kept.is_empty(), "the copy has not left");
        kept.keep(&FRAME);
        assert_eq!(kept.leave(), Some(vec![FRAME, FRAME]));
        assert!(kept.is_empty(), "answered, then copied");

        let mut kept = for_both();
        assert_eq!(kept.leave(), Some(vec![FRAME]));
        assert!(kept.is_held() && !kept.is_empty(), "there may be a retry");
        kept.not_again();
        assert!(kept.is_empty(), "copied, then answered");
        kept.keep(&FRAME);
        assert!(kept.is_empty(), "a part of a request is of no use");
    }

    #[test]
    fn beyond_a_bound_it_is_not_kept_for_that() {
        let half = Bytes::from(vec![7; AGAIN_BYTES_MAX / 2]);
        let mut kept = Kept::new(true, false);
        kept.keep(&half);
        assert!(kept.is_held());
        kept.keep(&half);
        assert!(!kept.is_held() && kept.is_empty());

        let mut kept = Kept::new(true, true);
        (0..2).for_each(|_| kept.keep(&half));
        assert!(!kept.is_held(), "too long to be sent again");
        assert_eq!(kept.leave().map(|frames| frames.len()), Some(2), "but not to be copied");
        assert!(kept.is_empty());

        let mut kept = Kept::new(true, true);
        (0..COPY_BYTES_MAX / half.len()).for_each(|_| kept.keep(&half));
        assert!(kept.is_empty());
        assert_eq!(kept.leave(), None);
    }

    #[test]
    fn many_small_frames_are_bounded_too() {
        let mut kept = Kept::new(true, false);
        (0..=AGAIN_BYTES_MAX / FRAME_BYTES).for_each(|_| kept.keep(&Bytes::new()));
        assert!(!kept.is_held());
    }
}
