//! Where every choice of the generator comes from: a seed, or bytes that a fuzzer varies.

/// A stream of choices. The same source gives the same stream.
pub(crate) struct Choices<'a> {
    source: Source<'a>,
}

enum Source<'a> {
    Seed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Choices<'a> {
    pub(crate) fn seeded(seed: u64) -> Choices<'static> {
        Choices { source: Source::Seed(seed) }
    }

    /// Bytes decide as long as they last; afterwards every choice is the first one, so the first
    /// alternative of any list must be one that ends.
    pub(crate) fn bytes(bytes: &'a [u8]) -> Self {
        Choices { source: Source::Bytes(bytes) }
    }

    /// A number below `count`, which must not be zero.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        match &mut self.source {
            Source::Seed(state) => (splitmix(state) % count as u64) as usize,
            Source::Bytes(bytes) => {
                let wanted = if count <= 256 { 1 } else { 2 };
                let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
                *bytes = rest;
                let number = taken.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                number % count
            }
        }
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Whether something happens that shall happen so many times in a hundred.
    pub(crate) fn percent(&mut self, share: usize) -> bool {
        self.below(100) + share >= 100
    }

    /// Whether something happens that shall happen so many times in a thousand.
    pub(crate) fn permille(&mut self, share: usize) -> bool {
        self.below(1000) + share >= 1000
    }

    pub(crate) fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        let at = self.below(items.len());
        &items[at]
    }

    /// An index, as often as its weight says.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if at < *weight {
                return index;
            }
            at -= weight;
        }
        0
    }

    /// Some of the items, in their order, each with the given chance.
    pub(crate) fn some<T: Clone>(&mut self, items: &[T], share: usize) -> Vec<T> {
        items.iter().filter(|_| self.percent(share)).cloned().collect()
    }
}

/// Sebastiano Vigna's SplitMix64: small, and good enough to wander through choices.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
