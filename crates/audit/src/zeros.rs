//! Finding what is not zero in long runs of zeros, a block at a time.

const BLOCK: [u8; 4096] = [0; 4096];

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Comparing with a block is one call, fast in every build.
    bytes.chunks(BLOCK.len()).all(|chunk| BLOCK.starts_with(chunk))
}

/// Place of the first byte that is not zero.
pub(crate) fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    let block = bytes.chunks(BLOCK.len()).position(|chunk| !BLOCK.starts_with(chunk))?;
    let start = block * BLOCK.len();
    let within = bytes.iter().skip(start).position(|byte| *byte != 0)?;
    Some(start + within)
}

/// Bytes up to and with the last that is not zero.
pub(crate) fn nonzero_bytes(bytes: &[u8]) -> usize {
    let mut bytes = bytes;
    while let Some((rest, block)) = bytes.split_last_chunk()
        && *block == BLOCK
    {
        bytes = rest;
    }
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_is_found_wherever_it_is() {
        for length in [1, 4095, 4096, 4097, 10_000] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes));
            assert_eq!((first_nonzero(&bytes), nonzero_bytes(&bytes)), (None, 0));
            for at in (0..length).step_by(97).chain([length - 1]) {
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = 1);
                assert!(!is_zero(&bytes));
                assert_eq!((first_nonzero(&bytes), nonzero_bytes(&bytes)), (Some(at), at + 1));
                bytes.fill(0);
            }
        }
    }
}
