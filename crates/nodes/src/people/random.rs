//! SplitMix64: a small generator whose streams can be opened at any point.

/// What a stream of random numbers is for. Streams of different purposes are independent, so
/// that adding a draw to one leaves the others as they were.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Block = 1,
    Household = 2,
    Citizen = 3,
    CivilService = 4,
    Insurance = 5,
    Benefit = 6,
    Change = 7,
    Serial = 8,
    Kin = 9,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One stream of random numbers.
pub(crate) struct Random(u64);

impl Random {
    /// The stream for one purpose and index; the same three arguments give the same stream.
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut mixer = Self(seed ^ (purpose as u64).wrapping_mul(GOLDEN));
        let start = mixer.next() ^ index.wrapping_mul(GOLDEN);
        Self(Self(start).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1; 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let high = self.next() >> 32;
        ((high * u64::from(bound)) >> 32) as u32
    }

    /// A number from `low` to `high`, both included; `low` when the two cross.
    pub(crate) fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = high.saturating_sub(low).saturating_add(1).max(1);
        low + self.below(span.unsigned_abs()) as i32
    }

    /// True in this many of a thousand cases.
    pub(crate) fn per_mille(&mut self, share: u32) -> bool {
        self.below(1000) < share
    }

    /// One element of a list that is never empty.
    #[expect(clippy::indexing_slicing, reason = "the draw is below the length, which is not 0")]
    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, list: &[T; N]) -> T {
        const { assert!(N > 0) };
        list[self.below(N as u32) as usize]
    }

    /// One element of a list of elements and their weights.
    pub(crate) fn pick_weighted<'a, T>(&mut self, list: &'a [(T, u32)]) -> Option<&'a T> {
        let total = list.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(total);
        for (element, weight) in list {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return Some(element),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, index| Random::new(seed, purpose, index).next();
        assert_eq!(draw(1, Purpose::Block, 7), draw(1, Purpose::Block, 7));
        assert_ne!(draw(1, Purpose::Block, 7), draw(1, Purpose::Block, 8));
        assert_ne!(draw(1, Purpose::Block, 7), draw(1, Purpose::Household, 7));
        assert_ne!(draw(1, Purpose::Block, 7), draw(2, Purpose::Block, 7));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut random = Random::new(3, Purpose::Block, 0);
        for _ in 0..10_000 {
            assert!(random.below(7) < 7);
            assert!((-3..=4).contains(&random.between(-3, 4)));
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.between(5, 2), 5);
    }

    #[test]
    fn weights_are_kept() {
        let mut random = Random::new(3, Purpose::Block, 1);
        let list = [("a", 9), ("b", 1), ("never", 0)];
        let drawn: Vec<_> =
            (0..10_000).map(|_| *random.pick_weighted(&list).expect("not empty")).collect();
        let of = |name| drawn.iter().filter(|drawn| **drawn == name).count();
        assert!((8_700..9_300).contains(&of("a")));
        assert_eq!(of("never"), 0);
    }
}
