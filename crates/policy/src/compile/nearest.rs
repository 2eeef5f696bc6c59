//! The word that may have been meant.

/// The known word that differs least from `word`, if any is near.
pub fn nearest<W: AsRef<str>>(word: &str, known: impl Iterator<Item = W>) -> Option<String> {
    let bound = word.chars().count().div_ceil(3);
    let near = known.map(|other| (distance(word, other.as_ref()), other.as_ref().to_owned()));
    near.filter(|(d, _)| *d <= bound).min().map(|(_, other)| other)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let next = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            left = next;
            *cell = next;
        }
    }
    row.last().copied().unwrap_or_default()
}
