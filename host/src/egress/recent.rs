//! What was found out about names a moment ago. Bounded in time and in number, whoever makes the names up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Names at most.
const NAMES_MAX: usize = 4096;

/// What is known of a name, until it is too old.
pub(super) struct Recent<T> {
    names: Mutex<HashMap<Box<str>, (Instant, T)>>,
}

impl<T: Clone> Recent<T> {
    pub(super) fn new() -> Self {
        Self { names: Mutex::default() }
    }

    pub(super) fn get(&self, name: &str) -> Option<T> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, known) = names.get(name)?;
        (Instant::now() < *until).then(|| known.clone())
    }

    pub(super) fn put(&self, name: &str, known: T, keep: Duration) {
        let now = Instant::now();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX {
            names.retain(|_, (until, _)| now < *until);
        }
        // All of it is in use: this name is asked about again next time.
        if names.len() < NAMES_MAX || names.contains_key(name) {
            names.insert(name.into(), (now + keep, known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_forgotten_in_time_and_never_more_than_the_bound() {
        let recent = Recent::new();
        recent.put("a", 1, Duration::from_secs(5));
        recent.put("b", 2, Duration::from_secs(30));
        advance(Duration::from_secs(6)).await;
        assert_eq!([recent.get("a"), recent.get("b"), recent.get("c")], [None, Some(2), None]);
        for number in 0..2 * NAMES_MAX {
            recent.put(&number.to_string(), 3, Duration::from_secs(30));
        }
        assert_eq!(recent.names.lock().unwrap().len(), NAMES_MAX);
        assert_eq!([recent.get("b"), recent.get("0")], [Some(2), Some(3)], "nobody pushes another's name out");
        recent.put("b", 4, Duration::from_secs(30));
        assert_eq!(recent.get("b"), Some(4));
        advance(Duration::from_secs(31)).await;
        recent.put("new", 5, Duration::from_secs(30));
        assert_eq!((recent.get("new"), recent.names.lock().unwrap().len()), (Some(5), 1));
    }
}
