//! What was probably meant by a word that nobody knows.

/// The candidate that a slip of the finger would have turned into this word.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    let best = candidates.into_iter().map(|candidate| (distance(&word, candidate), candidate)).min()?;
    (best.0 <= 2.min(word.chars().count() / 2)).then_some(best.1)
}

/// Levenshtein's distance, in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
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
