//! What is remembered of each key's rate: one number each, of a bounded number of keys.

use ripost_domain::limit::{FullAt, Rate};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Locks are held for a look-up each; this many keep different keys apart.
const SHARDS: usize = 16;

/// Keys of a shard's younger half; both halves of all shards are 131 072 keys.
const YOUNG_MAX: usize = 4096;

/// The rates of keys of one kind.
///
/// A shard has two halves. When the younger is full it becomes the elder, and what was the elder is forgotten: keys
/// that nobody has used for as long as that took, and whose burst is therefore there again or nearly so. Whatever comes,
/// there is no sweep, and memory has a bound.
pub(super) struct Buckets<K> {
    hasher: RandomState,
    shards: [Mutex<Halves<K>>; SHARDS],
}

struct Halves<K> {
    young: HashMap<K, FullAt>,
    old: HashMap<K, FullAt>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(super) fn new() -> Self {
        let halves = || Mutex::new(Halves { young: HashMap::new(), old: HashMap::new() });
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| halves()) }
    }

    fn shard(&self, key: &K) -> std::sync::MutexGuard<'_, Halves<K>> {
        let shard = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one request of the key's at `now` (nanoseconds of a steady clock); when its whole burst is there again.
    ///
    /// # Errors
    /// It has none; how long until it has one.
    pub(super) fn take(&self, key: K, rate: &Rate, now: u64) -> Result<FullAt, Duration> {
        let mut halves = self.shard(&key);
        if let Some(full_at) = halves.young.get_mut(&key) {
            *full_at = rate.take(*full_at, now)?;
            return Ok(*full_at);
        }
        // Moved over by being used, refused or not.
        let before = halves.old.remove(&key).unwrap_or(0);
        let taken = rate.take(before, now);
        if halves.young.len() >= YOUNG_MAX {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(key, taken.unwrap_or(before));
        taken
    }

    /// When the key's whole burst is there again, without taking anything.
    pub(super) fn full_at(&self, key: &K) -> FullAt {
        let halves = self.shard(key);
        halves.young.get(key).or_else(|| halves.old.get(key)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_and_a_million_of_them_have_a_bound() {
        let (buckets, rate) = (Buckets::new(), "2/s".parse().unwrap());
        for key in 0_u128..1_000_000 {
            buckets.take(key, &rate, 1).unwrap();
            if key % 50_000 == 0 {
                // In use all the time: never forgotten.
                assert!(buckets.take(u128::MAX, &rate, 1).is_ok() || key >= 100_000);
            }
        }
        let lens = buckets.shards.iter().map(|shard| {
            let halves = shard.lock().unwrap();
            halves.young.len() + halves.old.len()
        });
        assert!(lens.sum::<usize>() <= 2 * SHARDS * YOUNG_MAX);
        assert!(buckets.take(u128::MAX, &rate, 1).is_err());
        assert_eq!(buckets.take(u128::MAX, &rate, 1), Err(Duration::from_millis(500)));
        assert!(rate.left(buckets.full_at(&u128::MAX), 1) == 0 && rate.left(buckets.full_at(&7), 1) == 2);
    }
}
