//! A request as far as it has passed, kept while it may have to be sent again or elsewhere.

use bytes::{Bytes, BytesMut};

/// What a kept frame costs beside its bytes, so that many small ones are bounded too.
const FRAME_BYTES: usize = 256;

/// The frames of a request, up to a bound; beyond it nothing is kept at all.
#[derive(Debug)]
pub(crate) struct Kept {
    frames: Vec<Bytes>,
    bytes: usize,
    /// Bytes that may still be kept, frames counted.
    room: usize,
    whole: bool,
}

impl Kept {
    /// Keeps up to `bytes_max`.
    pub(crate) fn up_to(bytes_max: usize) -> Self {
        Self { frames: Vec::new(), bytes: 0, room: bytes_max, whole: true }
    }

    /// Keeps `frame`, without copying its bytes.
    pub(crate) fn keep(&mut self, frame: &Bytes) {
        if !self.whole {
            return;
        }
        match self.room.checked_sub(frame.len() + FRAME_BYTES) {
            Some(room) => {
                self.room = room;
                self.bytes += frame.len();
                self.frames.push(frame.clone());
            }
            None => self.forget(),
        }
    }

    /// Lets go of everything and keeps nothing from here on.
    pub(crate) fn forget(&mut self) {
        (self.frames, self.bytes, self.whole) = (Vec::new(), 0, false);
    }

    /// The bytes kept, if nothing is missing.
    pub(crate) fn whole(&self) -> Option<usize> {
        self.whole.then_some(self.bytes)
    }

    /// All bytes in one piece.
    pub(crate) fn joined(&self) -> BytesMut {
        let mut joined = BytesMut::with_capacity(self.bytes);
        self.frames.iter().for_each(|frame| joined.extend_from_slice(frame));
        joined
    }

    /// The frames, if nothing is missing.
    pub(crate) fn frames(&self) -> Option<Vec<Bytes>> {
        self.whole.then(|| self.frames.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_nothing_is_kept() {
        let mut kept = Kept::up_to(2 * (FRAME_BYTES + 10));
        let frame = Bytes::from_static(&[7; 10]);
        kept.keep(&frame);
        kept.keep(&frame);
        assert_eq!((kept.whole(), kept.joined().len()), (Some(20), 20));
        kept.keep(&Bytes::new());
        assert_eq!((kept.whole(), kept.frames()), (None, None));
        assert!(kept.joined().is_empty());
        kept.keep(&frame);
        assert_eq!(kept.whole(), None, "a part of a request is of no use");
    }
}
