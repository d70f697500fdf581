//! What is known of requests while they are under way, in memory only: progress, and who waits for news or for the end.
//! The store is the truth; losing this loses nothing but a percentage.

use bytes::Bytes;
use ripost_domain::id::RequestId;
use ripost_domain::time::Timestamp;
use ripost_store::Answer;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{MutexGuard as TurnGuard, Notify, watch};

/// Locks are held for a look-up each; this many keep writers of different requests apart.
const SHARDS: usize = 16;
const NOT_STARTED: i64 = i64::MIN;

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
    /// Held while a run begins and while a cancellation is written: one of both is first.
    turn: tokio::sync::Mutex<()>,
    /// When its handler began, in milliseconds; none has: [`NOT_STARTED`].
    started: AtomicI64,
    cancelled: AtomicBool,
    cancel: Notify,
    progress: Mutex<Option<Progress>>,
    told: watch::Sender<Told>,
}

/// What whoever waits is told.
#[derive(Debug, Default)]
struct Told {
    /// Counts what has moved in the store, so that only then the store is asked.
    moves: u32,
    ended: Option<Ended>,
}

/// Somebody who waits for news of a request.
pub struct Watcher {
    entry: Arc<Entry>,
    told: watch::Receiver<Told>,
    moves: u32,
}

/// What a [`Watcher`] has heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The request has progress to show.
    Progress,
    /// The store knows something new.
    Moved,
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
            turn: tokio::sync::Mutex::const_new(()),
            started: AtomicI64::new(NOT_STARTED),
            cancelled: AtomicBool::new(false),
            cancel: Notify::new(),
            progress: Mutex::default(),
            told: watch::Sender::new(Told::default()),
        });
        shard.insert(id, Arc::downgrade(&entry));
        entry
    }

    /// The entry of a request, if somebody holds one.
    #[must_use]
    pub fn get(&self, id: RequestId) -> Option<Arc<Entry>> {
        self.shard(id).get(&id).and_then(Weak::upgrade)
    }

    /// The store has something new of a request: whoever watches it is told.
    pub fn moved(&self, id: RequestId) {
        if let Some(entry) = self.get(id) {
            entry.moved();
        }
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
    /// Its handler begins; false if the request was cancelled before.
    #[must_use]
    pub async fn start(&self, now: Timestamp) -> bool {
        let _turn = self.turn().await;
        if self.is_cancelled() {
            return false;
        }
        self.started.store(now.as_millis(), Ordering::Release);
        self.moved();
        true
    }

    /// While it is held no handler begins.
    pub async fn turn(&self) -> TurnGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The cancellation is durable: a run that is under way is stopped, and none begins.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.cancel.notify_waiters();
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Waits until the request is cancelled.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn cancelled(&self) {
        // Made before the look: it counts from then on, polled or not.
        let told = self.cancel.notified();
        if !self.is_cancelled() {
            told.await;
        }
    }

    /// Its run is over and another will follow, from its own beginning.
    pub fn rest(&self) {
        self.started.store(NOT_STARTED, Ordering::Release);
        *lock(&self.progress) = None;
        self.moved();
    }

    /// The store has something new of it.
    pub fn moved(&self) {
        self.told.send_modify(|told| told.moves = told.moves.wrapping_add(1));
    }

    /// Whether its handler has begun.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire) != NOT_STARTED
    }

    /// When its handler began; `None`: none has, or it is over.
    #[must_use]
    pub fn started_at(&self) -> Option<Timestamp> {
        let millis = self.started.load(Ordering::Acquire);
        (millis != NOT_STARTED).then(|| Timestamp::from_millis(millis))
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
        drop(progress);
        self.told.send_modify(|_| {});
    }

    /// The end is durable: whoever waits is told.
    pub fn end(&self, ended: Ended) {
        self.told.send_modify(|told| {
            told.moves = told.moves.wrapping_add(1);
            told.ended = Some(ended);
        });
    }

    /// Waits for the end.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn ended(&self) -> Ended {
        let mut told = self.told.subscribe();
        let told = told.wait_for(|told| told.ended.is_some()).await.expect("the sender lives in `self`");
        told.ended.clone().expect("that is what was waited for")
    }
}

impl Watcher {
    /// Hears of everything from now on: to be made before the store is read, so that nothing in between is missed.
    #[must_use]
    pub fn new(entry: Arc<Entry>) -> Self {
        let mut told = entry.told.subscribe();
        let moves = told.borrow_and_update().moves;
        Self { entry, told, moves }
    }

    /// What is watched.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Waits for something new since the last time; several things at once are one.
    ///
    /// # Cancel safety
    /// May be dropped at any time: what was not returned is returned the next time.
    pub async fn changed(&mut self) -> News {
        self.told.changed().await.expect("the entry holds the sender");
        self.seen()
    }

    /// Waits until the store knows something new, whatever progress there is meanwhile.
    ///
    /// # Cancel safety
    /// As [`Self::changed`].
    pub async fn moved(&mut self) {
        let before = self.moves;
        self.told.wait_for(|told| told.moves != before).await.expect("the entry holds the sender");
        self.seen();
    }

    fn seen(&mut self) -> News {
        let moves = self.told.borrow_and_update().moves;
        match std::mem::replace(&mut self.moves, moves) == moves {
            true => News::Progress,
            false => News::Moved,
        }
    }
}

impl ripost_runtime::ProgressSink for Entry {
    fn report(&self, percent: Option<u8>, message: &str) {
        Entry::report(self, percent, message);
    }

    fn cancelled(&self) -> bool {
        self.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(7);
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

    #[tokio::test]
    async fn a_cancelled_request_does_not_begin_and_one_that_has_begun_is_told() {
        let live = Live::new();
        let (before, during) = (live.enter(id(4)), live.enter(id(5)));
        let turn = before.turn().await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), before.start(NOW)).await.is_err());
        before.cancel();
        drop(turn);
        assert!(!before.start(NOW).await && !before.has_started());
        before.cancelled().await;

        assert!(during.start(NOW).await);
        let told = during.cancelled();
        during.cancel();
        told.await;
        assert!(ripost_runtime::ProgressSink::cancelled(&*during));
    }

    #[tokio::test]
    async fn a_watcher_hears_of_everything_since_it_last_looked() {
        let live = Live::new();
        let mut watcher = Watcher::new(live.enter(id(2)));
        live.get(id(2)).unwrap().report(Some(1), "one");
        live.get(id(2)).unwrap().report(Some(2), "two");
        assert_eq!(watcher.changed().await, News::Progress);
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(20), watcher.changed()).await;
        assert!(quiet.is_err(), "two reports are one piece of news");
        live.moved(id(2));
        watcher.entry().report(Some(3), "three");
        assert_eq!(watcher.changed().await, News::Moved);
        watcher.entry().end(Ended::Problem { status: 504, json: Bytes::new() });
        watcher.moved().await;
        live.moved(id(3));
    }
}
