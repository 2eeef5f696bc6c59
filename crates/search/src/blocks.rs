//! Blocks of the ledger: 1,024 entries by index; and eras: 256 blocks.

use std::ops::Range;

/// Entries of a block, as a power of two.
const BLOCK_BITS: u32 = 10;
/// Blocks of an era, as a power of two.
const ERA_BITS: u32 = 8;

/// The block that the entry at `index` lies in.
pub(crate) fn block(index: u64) -> i64 {
    i64::try_from(index >> BLOCK_BITS).unwrap_or(i64::MAX)
}

/// The era that a block lies in.
pub(crate) fn era(block: i64) -> i64 {
    block >> ERA_BITS
}

/// The indices of a block.
pub(crate) fn indices(block: i64) -> Range<u64> {
    let block = u64::try_from(block).unwrap_or_default();
    block << BLOCK_BITS..(block + 1) << BLOCK_BITS
}

/// The blocks that are in all lists. Each list falls.
pub(crate) fn common(mut lists: Vec<Vec<i64>>) -> Vec<i64> {
    lists.sort_by_key(Vec::len);
    let mut lists = lists.into_iter();
    let mut common = lists.next().unwrap_or_default();
    for list in lists {
        let holds = |block: &i64| list.binary_search_by(|other| block.cmp(other)).is_ok();
        common.retain(holds);
    }
    common
}

/// The blocks that are in one list at least.
pub(crate) fn union(lists: Vec<Vec<i64>>) -> Vec<i64> {
    let mut all: Vec<i64> = lists.into_iter().flatten().collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_joined() {
        let lists = || vec![vec![9, 7, 5, 3], vec![8, 7, 3], vec![7, 6, 3, 1]];
        assert_eq!(common(lists()), [7, 3]);
        assert_eq!(union(lists()), [9, 8, 7, 6, 5, 3, 1]);
        assert_eq!((block(1023), block(1024)), (0, 1));
        assert_eq!(indices(1), 1024..2048);
    }
}
