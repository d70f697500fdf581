//! Advances the epochs, on a thread of its own: if every async worker is inside a guest, an async timer never fires,
//! and that is when the tick is needed. It sleeps while nothing runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// Ticks without a run before the thread goes to sleep, so that short runs in a row do not wake it each time.
const IDLE_TICKS: u32 = 50;
/// It looks again by itself, should a wake-up ever be lost.
const PARKED_MAX: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ticks: AtomicU64,
    running: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// How many ticks there have been.
#[derive(Clone, Debug)]
pub(crate) struct Ticks(Arc<Shared>);

impl Ticks {
    pub(crate) fn count(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }
}

/// While one of these lives, the epoch advances.
#[derive(Debug)]
pub(crate) struct Ticking<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn start(engines: Vec<Engine>, tick: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("ripost-epoch".to_owned()).spawn(move || shared.run(&engines, tick))?
        };
        Ok(Ticker { shared, thread: Some(thread) })
    }

    /// Called once for each run.
    pub(crate) fn ticking(&self) -> Ticking<'_> {
        // SeqCst here and in `run`: either the thread sees this run, or this run sees that the thread is parked.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.wake();
        }
        Ticking(&self.shared)
    }

    pub(crate) fn ticks(&self) -> Ticks {
        Ticks(Arc::clone(&self.shared))
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic, and a panic while dropping would abort.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, engines: &[Engine], tick: Duration) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else if idle < IDLE_TICKS {
                idle += 1;
            } else {
                self.parked.store(true, Ordering::SeqCst);
                if self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                    thread::park_timeout(PARKED_MAX);
                }
                self.parked.store(false, Ordering::SeqCst);
                continue;
            }
            thread::sleep(tick);
            for engine in engines {
                engine.increment_epoch();
            }
            self.ticks.fetch_add(1, Ordering::Relaxed);
        }
    }
}
