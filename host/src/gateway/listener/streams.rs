//! The streams of one connection of HTTP/2, each in a task of its own that ends when its answer is not taken in time.

use super::Serving;
use super::pace::Pace;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::task::TaskTracker;

/// A caller may withdraw calls, such as those of a page that was left. More than this, and more than are answered, is a
/// flood: each makes work, and none waits for what comes of it.
const RESETS_FREE: u64 = 200;

/// Until when a piece of this stream's answer has to be taken.
#[derive(Clone, Copy)]
struct Due {
    pace: Pace,
    until: Option<Instant>,
}

tokio::task_local! {
    /// Of the stream whose task this is.
    static DUE: Cell<Due>;
}

/// A piece of the answer is with the parser, to be taken by the reader.
pub(super) fn to_be_taken(bytes: usize) {
    let _ = DUE.try_with(|due| {
        let (Due { pace, until }, now) = (due.get(), Instant::now());
        let until = match until {
            Some(until) => pace.after(until, now, bytes),
            None => pace.begin(now),
        };
        due.set(Due { pace, until: Some(until) });
    });
}

/// The reader has all there is.
pub(super) fn nothing_to_take() {
    let _ = DUE.try_with(|due| due.set(Due { until: None, ..due.get() }));
}

/// Runs the streams, and knows how many there are.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: TaskTracker,
    pace: Pace,
    unread: prometheus_client::metrics::counter::Counter,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
    answered: AtomicU64,
    reset: AtomicU64,
    flood: Notify,
}

/// A call under way; dropped before it is answered, its caller has withdrawn it.
pub(super) struct Under {
    counts: Arc<Counts>,
    answered: Cell<bool>,
}

impl Streams {
    pub(super) fn new(serving: &Serving) -> Self {
        Self {
            tasks: serving.tasks.clone(),
            pace: serving.pace,
            unread: serving.cuts("unread"),
            counts: Arc::default(),
        }
    }

    pub(super) fn begin(&self) -> Under {
        Under { counts: self.counts.clone(), answered: Cell::new(false) }
    }

    /// Ready when more calls were withdrawn than anybody means.
    pub(super) async fn flooded(&self) {
        self.counts.flood.notified().await;
    }

    /// Ready when nothing was asked, and nothing under way, for as long.
    pub(super) async fn idle(&self, time: Duration) {
        loop {
            let before = self.counts.begun.load(Ordering::Relaxed);
            sleep(time).await;
            let (begun, ended) = (self.counts.begun.load(Ordering::Relaxed), self.counts.ended.load(Ordering::Relaxed));
            if begun == before && begun == ended {
                return;
            }
        }
    }

    /// Ready when no stream has ended for as long.
    pub(super) async fn stuck(&self, time: Duration) {
        loop {
            let before = self.counts.ended.load(Ordering::Relaxed);
            sleep(time).await;
            let (begun, ended) = (self.counts.begun.load(Ordering::Relaxed), self.counts.ended.load(Ordering::Relaxed));
            if begun == ended && ended == before {
                return;
            }
        }
    }
}

impl Under {
    pub(super) fn answered(self) {
        self.counts.answered.fetch_add(1, Ordering::Relaxed);
        self.answered.set(true);
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        if self.answered.get() {
            return;
        }
        let reset = self.counts.reset.fetch_add(1, Ordering::Relaxed) + 1;
        if reset > RESETS_FREE && reset > self.counts.answered.load(Ordering::Relaxed) {
            self.counts.flood.notify_one();
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.counts.begun.fetch_add(1, Ordering::Relaxed);
        let (counts, unread) = (self.counts.clone(), self.unread.clone());
        let due = Cell::new(Due { pace: self.pace, until: None });
        self.tasks.spawn(DUE.scope(due, async move {
            let mut stream = pin!(stream);
            let mut sleep = None;
            let taken = poll_fn(|context| match stream.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => poll_due(&mut sleep, context).map(|()| false),
            });
            if !taken.await {
                unread.inc();
            }
            counts.ended.fetch_add(1, Ordering::Relaxed);
        }));
    }
}

/// Ready when the reader has had its time.
fn poll_due(sleep: &mut Option<Pin<Box<Sleep>>>, context: &mut Context<'_>) -> Poll<()> {
    let Some(until) = DUE.with(Cell::get).until else { return Poll::Pending };
    let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
    if sleep.deadline() != until {
        sleep.as_mut().reset(until);
    }
    sleep.as_mut().poll(context)
}
