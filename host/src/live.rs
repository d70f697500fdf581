//! What is known of requests while they are under way, in memory only: progress, and who waits for the end.
//! The store is the truth; losing this loses nothing but a percentage.

use bytes::Bytes;
use ripost_domain::id::RequestId;
use ripost_store::Answer;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;

/// Locks are held for a look-up each; this many keep writers of different requests apart.
const SHARDS: usize = 16;

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: Option<u8>,
    /// The owner's words, bounded.
    pub message: String,
}

/// All requests that somebody runs or waits for.
pub struct Live {
    shards: [Mutex<HashMap<RequestId, Weak<Entry>>>; SHARDS],
}

/// One of them; goes away with its last holder.
pub struct Entry {
    id: RequestId,
    all: Arc<Live>,
    started: AtomicBool,
    progress: Mutex<Option<Progress>>,
    ended: watch::Sender<Option<Ended>>,
}

/// How a request ended, for whoever waits for it.
#[derive(Debug, Clone)]
pub enum Ended {
    /// The owner's answer.
    Answer(Answer),
    /// A problem.
    Problem {
        /// Its HTTP status.
        status: u16,
        /// Its body.
        json: Bytes,
    },
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// None yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { shards: std::array::from_fn(|_| Mutex::default()) })
    }

    fn shard(&self, id: RequestId) -> MutexGuard<'_, HashMap<RequestId, Weak<Entry>>> {
        // The last byte of a UUIDv7 is random.
        lock(&self.shards[usize::from(id.as_bytes()[15]) % SHARDS])
    }

    /// The entry of a request, made if nobody holds one.
    #[must_use]
    pub fn enter(self: &Arc<Self>, id: RequestId) -> Arc<Entry> {
        let mut shard = self.shard(id);
        if let Some(entry) = shard.get(&id).and_then(Weak::upgrade) {
            return entry;
        }
        let entry = Arc::new(Entry {
            id,
            all: self.clone(),
            started: AtomicBool::new(false),
            progress: Mutex::default(),
            ended: watch::Sender::new(None),
        });
        shard.insert(id, Arc::downgrade(&entry));
        entry
    }

    /// The entry of a request, if somebody holds one.
    #[must_use]
    pub fn get(&self, id: RequestId) -> Option<Arc<Entry>> {
        self.shard(id).get(&id).and_then(Weak::upgrade)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut shard = self.all.shard(self.id);
        // A newer entry of the same request may have taken the place since the last holder let go.
        if shard.get(&self.id).is_some_and(|entry| entry.strong_count() == 0) {
            shard.remove(&self.id);
        }
    }
}

impl Entry {
    /// Its handler has begun.
    pub fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Whether its handler has begun.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// What the handler said last.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        lock(&self.progress).clone()
    }

    /// What the handler says now; an absent percentage keeps the last one.
    pub fn report(&self, percent: Option<u8>, message: &str) {
        /// A message is for a status line.
        const MESSAGE_CHARS_MAX: usize = 200;
        let mut progress = lock(&self.progress);
        let before = progress.as_ref().and_then(|progress| progress.percent);
        *progress = Some(Progress {
            percent: percent.map(|percent| percent.min(100)).or(before),
            message: message.chars().filter(|letter| !letter.is_control()).take(MESSAGE_CHARS_MAX).collect(),
        });
    }

    /// The end is durable: whoever waits is told.
    pub fn end(&self, ended: Ended) {
        self.ended.send_replace(Some(ended));
    }

    /// Waits for the end.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await.expect("the sender lives in `self`");
        ended.clone().expect("that is what was waited for")
    }
}

impl ripost_runtime::ProgressSink for Entry {
    fn report(&self, percent: Option<u8>, message: &str) {
        Entry::report(self, percent, message);
    }

    fn cancelled(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::time::Timestamp;

    fn id(byte: u8) -> RequestId {
        RequestId::new(Timestamp::from_millis(1), [byte; 10])
    }

    #[tokio::test]
    async fn everybody_who_waits_is_told_and_nothing_stays_behind() {
        let live = Live::new();
        let (runner, waiter) = (live.enter(id(1)), live.enter(id(1)));
        assert!(Arc::ptr_eq(&runner, &waiter));
        runner.report(Some(40), "half\nway");
        assert_eq!(
            live.get(id(1)).unwrap().progress().unwrap(),
            Progress { percent: Some(40), message: "halfway".into() }
        );
        let waiting = waiter.ended();
        runner.end(Ended::Problem { status: 504, json: Bytes::new() });
        drop(runner);
        assert!(matches!(waiting.await, Ended::Problem { status: 504, .. }));
        drop(waiter);
        assert!(live.is_empty());
        assert!(live.get(id(1)).is_none());
    }
}
