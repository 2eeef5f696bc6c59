//! The pattern of a `like`: literal parts around wildcards.

use memchr::memmem::Finder;

/// As many bytes of a text are compared at once.
const WORD: usize = size_of::<u64>();

/// A pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    first: Literal,
    /// What follows each wildcard but the last.
    middle: Box<[Finder<'static>]>,
    /// What follows the last wildcard; without one, the pattern is its first part alone.
    last: Option<Literal>,
}

impl Pattern {
    /// A pattern of these parts, with a wildcard between each and the next.
    pub(crate) fn new(parts: &[String]) -> Self {
        let (first, rest) = parts.split_first().map_or(("", parts), |(it, rest)| (it, rest));
        let last = rest.split_last().map(|(it, middle)| (Literal::new(it), middle));
        let (last, middle) = last.map_or((None, rest), |(it, middle)| (Some(it), middle));
        let middle = middle.iter().map(|part| Finder::new(part.as_bytes()).into_owned()).collect();
        Self { first: Literal::new(first), middle, last }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let Some(last) = &self.last else { return *self.first.text == *text };
        if !self.first.begins(text) {
            return false;
        }
        let mut rest = text.get(self.first.text.len()..).unwrap_or_default();
        for part in &self.middle {
            let Some(at) = part.find(rest) else { return false };
            rest = rest.get(at + part.needle().len()..).unwrap_or_default();
        }
        last.ends(rest)
    }
}

/// A part that stands at one end: its first and its last bytes tell most texts apart without a
/// comparison of the whole.
#[derive(Debug)]
struct Literal {
    text: Box<[u8]>,
    head: u64,
    tail: u64,
    /// Bits of a word that a text shorter than one leaves open.
    open: u32,
}

impl Literal {
    fn new(text: &str) -> Self {
        let text = text.as_bytes();
        let known = text.len().min(WORD);
        let (mut head, mut tail) = ([0; WORD], [0; WORD]);
        head.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
        tail.iter_mut().rev().zip(text.iter().rev()).for_each(|(to, byte)| *to = *byte);
        let open = u32::try_from((WORD - known) * 8).unwrap_or_default();
        let [head, tail] = [head, tail].map(u64::from_le_bytes);
        Self { text: text.into(), head, tail, open }
    }

    fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk::<WORD>() {
            Some(word) => {
                let differ = u64::from_le_bytes(*word) ^ self.head;
                differ.checked_shl(self.open).unwrap_or(0) == 0
                    && (self.text.len() <= WORD || text.starts_with(&self.text))
            }
            None => text.starts_with(&self.text),
        }
    }

    fn ends(&self, text: &[u8]) -> bool {
        match text.last_chunk::<WORD>() {
            Some(word) => {
                let differ = u64::from_le_bytes(*word) ^ self.tail;
                differ.checked_shr(self.open).unwrap_or(0) == 0
                    && (self.text.len() <= WORD || text.ends_with(&self.text))
            }
            None => text.ends_with(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pattern;

    /// As the Cedar specification has it: each part at the first place where it fits.
    fn slowly(parts: &[String], text: &str) -> bool {
        let [first, middle @ .., last] = parts else { return parts.concat() == text };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some((_, after)) = rest.split_once(part.as_str()) else { return false };
            rest = after;
        }
        rest.ends_with(last.as_str())
    }

    proptest! {
        #[test]
        fn matches_as_the_slow_way_does(
            parts in prop::collection::vec("[abâ]{0,12}", 1..5),
            fillings in prop::collection::vec("[abâ]{0,3}", 5),
            exact in any::<bool>(),
            other in "[abâ]{0,24}",
        ) {
            let filled: String = parts.iter().zip(&fillings).flat_map(|(a, b)| [&**a, b]).collect();
            let text = if exact { filled } else { other };
            prop_assert_eq!(Pattern::new(&parts).matches(&text), slowly(&parts, &text));
        }
    }
}
