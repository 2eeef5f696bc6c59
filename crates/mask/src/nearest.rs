//! The name that may have been meant.

/// The known name that differs least from `word`, if any is near.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bound = word.chars().count().div_ceil(3);
    let near = known.map(|name| (distance(word, name), name));
    near.filter(|(changes, _)| *changes <= bound).min().map(|(_, name)| name)
}

/// How many characters must be added, removed or replaced to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (place, letter) in from.chars().enumerate() {
        let mut above_left = place;
        let mut left = place + 1;
        for (cell, other) in row.iter_mut().zip(std::iter::once(None).chain(to.iter().map(Some))) {
            let here = match other {
                None => place + 1,
                Some(other) => {
                    let replaced = above_left + usize::from(letter != *other);
                    replaced.min(left + 1).min(*cell + 1)
                }
            };
            above_left = std::mem::replace(cell, here);
            left = here;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_strangers_are_not() {
        let known = ["full_name", "birth_date", "sex"];
        assert_eq!(nearest("ful_name", known.into_iter()), Some("full_name"));
        assert_eq!(nearest("birthdate", known.into_iter()), Some("birth_date"));
        assert_eq!(nearest("income", known.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
