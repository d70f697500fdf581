//! What was probably meant by a word that nobody knows.

/// The candidate that a slip of the finger would have turned into this word.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    let best = candidates.into_iter().map(|candidate| (distance(&word, candidate), candidate)).min()?;
    (best.0 <= 2.min(word.chars().count() / 2)).then_some(best.1)
}

/// Characters to insert, to remove, to replace, or to exchange with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in right.iter().enumerate() {
            let replaced = row[j] + usize::from(from != to);
            let mut least = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *from == right[j - 1] && left[i - 1] == *to {
                least = least.min(above[j - 1] + 1);
            }
            next.push(least);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_seen_through_and_another_word_is_not() {
        let keys = ["memory", "memories", "cpu", "response_body"];
        for (word, meant) in [
            ("memry", "memory"),
            ("CPU", "cpu"),
            ("cpus", "cpu"),
            ("response-body", "response_body"),
            ("memorys", "memory"),
        ] {
            assert_eq!(nearest(word, keys), Some(meant), "{word}");
        }
        for word in ["", "x", "disk", "ram", "threads"] {
            assert_eq!(nearest(word, keys), None, "{word}");
        }
    }
}
