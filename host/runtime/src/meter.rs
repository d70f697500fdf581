//! CPU time of one run, and its turn among the heavy ones.
//!
//! Time is the thread's own CPU clock, read around each `poll` and at each tick: waiting costs nothing, neither in
//! the guest nor for a core, and a run that moves between threads is counted on each. A run that has used its first
//! tick, or that takes much memory, is *heavy*: it moves aside, and computes only while it holds a permit. There are fewer
//! permits than worker threads, so guests that spin never hold them all. The permit goes back whenever the guest waits for
//! something, and goes round when others want it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::fair::{FairPermit, FairSemaphore};
use crate::memory::{NoMemory, Reserve};
use crate::ticker::Ticks;

/// How long a run may keep its permit while others want one.
const TURN: Duration = Duration::from_millis(20);
/// A guest that passes no check of the epoch for so many ticks is inside one instruction over much memory, or in a host
/// function: nothing can move it aside meanwhile.
const STRETCH_TICKS: u64 = 3;

/// Why the meter stops a run. Raised as a trap inside the guest.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the CPU budget is used up")]
pub(crate) struct OutOfCpu;

/// The host panicked inside a run: a bug of ours or of the engine, never a reason to end the process.
#[derive(Debug)]
pub(crate) struct HostPanicked(pub(crate) String);

#[derive(Debug)]
pub(crate) struct Meter {
    budget_ns: u64,
    tick_ns: u64,
    ticks: Ticks,
    /// Sum of the polls that ended.
    spent_ns: AtomicU64,
    /// Thread clock when the current poll began.
    poll_began_ns: AtomicU64,
    /// Thread clock and ticks when the guest was last seen to pass a check, or to begin.
    seen_ns: AtomicU64,
    seen_ticks: AtomicU64,
    /// The pending poll is our own doing, not the guest waiting.
    taking_turns: AtomicBool,
    /// It has used its first tick, or takes much memory; never false again.
    is_heavy: AtomicBool,
    /// It held a thread for longer than it should, before it was heavy.
    stretched: AtomicBool,
    owner: Arc<str>,
    heavy: FairSemaphore,
    permit: Mutex<Option<Permit>>,
    memory: Reserve,
}

#[derive(Debug)]
struct Permit {
    _permit: FairPermit,
    /// `spent_ns` when it was taken.
    since_ns: u64,
}

/// Waits for a permit.
type Turn = Pin<Box<dyn Future<Output = FairPermit> + Send>>;

/// What all runs of one runtime share.
#[derive(Clone, Debug)]
pub(crate) struct Measures {
    pub(crate) tick: Duration,
    pub(crate) ticks: Ticks,
    pub(crate) heavy: FairSemaphore,
}

impl Meter {
    /// `is_heavy`: it is known beforehand to be.
    pub(crate) fn new(
        budget: Duration,
        measures: Measures,
        owner: Arc<str>,
        memory: Reserve,
        is_heavy: bool,
    ) -> Arc<Self> {
        let Measures { tick, ticks, heavy } = measures;
        Arc::new(Meter {
            budget_ns: nanos(budget),
            tick_ns: nanos(tick),
            ticks,
            spent_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            seen_ns: AtomicU64::new(0),
            seen_ticks: AtomicU64::new(0),
            taking_turns: AtomicBool::new(false),
            is_heavy: AtomicBool::new(is_heavy),
            stretched: AtomicBool::new(false),
            owner,
            heavy,
            permit: Mutex::new(None),
            memory,
        })
    }

    /// CPU time of the polls that ended.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed))
    }

    /// Whether it has used its first tick, or takes much memory.
    pub(crate) fn is_heavy(&self) -> bool {
        self.is_heavy.load(Ordering::Relaxed)
    }

    /// Whether it has held a thread that others need for longer than a run should.
    pub(crate) fn has_stretched(&self) -> bool {
        self.stretched.load(Ordering::Relaxed)
    }

    /// What it has waited for memory, which is no part of its wall time.
    pub(crate) fn waited(&self) -> Duration {
        self.memory.waited()
    }

    /// Drives `future` and counts. A panic inside it comes back as an error.
    ///
    /// # Cancel safety
    /// Dropping it drops `future`; the permit is freed with the meter.
    pub(crate) async fn measure<F: Future>(&self, future: F) -> Result<F::Output, HostPanicked> {
        let mut future = std::pin::pin!(future);
        let mut turn = None;
        std::future::poll_fn(|context| {
            if self.is_heavy() {
                ready!(self.poll_turn(context, &mut turn));
            }
            let began = thread_cpu_ns();
            self.poll_began_ns.store(began, Ordering::Relaxed);
            self.see(began);
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
            let ended = thread_cpu_ns();
            self.note_stretch(ended);
            self.spent_ns.fetch_add(ended.saturating_sub(began), Ordering::Relaxed);
            match polled {
                Ok(Poll::Ready(output)) => {
                    self.give_up_turn();
                    Poll::Ready(Ok(output))
                }
                Ok(Poll::Pending) => {
                    if !self.taking_turns.swap(false, Ordering::Relaxed) {
                        self.give_up_turn();
                    }
                    Poll::Pending
                }
                Err(panic) => {
                    self.give_up_turn();
                    Poll::Ready(Err(HostPanicked(panic_text(panic.as_ref()))))
                }
            }
        })
        .await
    }

    /// Called from inside the guest at each epoch, on the thread that polls it.
    pub(crate) fn on_tick(&self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_cpu_ns();
        self.note_stretch(now);
        self.see(now);
        let in_this_poll = now.saturating_sub(self.poll_began_ns.load(Ordering::Relaxed));
        let spent = self.spent_ns.load(Ordering::Relaxed) + in_this_poll;
        if spent > self.budget_ns {
            return Err(OutOfCpu.into());
        }
        if spent < self.tick_ns {
            return Ok(UpdateDeadline::Continue(1));
        }
        self.is_heavy.store(true, Ordering::Relaxed);
        self.end_turn_if_over(spent);
        self.taking_turns.store(true, Ordering::Relaxed);
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }

    /// Called before a run grows beyond what is light: from here on it is heavy, and goes on once it has been moved aside
    /// and `bytes` are set aside for it.
    ///
    /// # Cancel safety
    /// Dropping it leaves the run as it was.
    pub(crate) async fn grow(&self, bytes: usize) -> Result<(), NoMemory> {
        if self.memory.has_grown() {
            return Ok(());
        }
        if !self.is_heavy.swap(true, Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        self.memory.growth(bytes).await
    }

    /// Waits for the permit without which a heavy run does not compute.
    fn poll_turn(&self, context: &mut Context<'_>, turn: &mut Option<Turn>) -> Poll<()> {
        if self.permit().is_some() {
            return Poll::Ready(());
        }
        let permit = match turn {
            Some(waiting) => ready!(waiting.as_mut().poll(context)),
            None => match self.heavy.try_acquire(&self.owner, 1) {
                Some(permit) => permit,
                None => {
                    let (heavy, owner) = (self.heavy.clone(), Arc::clone(&self.owner));
                    let waiting = turn.insert(Box::pin(async move { heavy.acquire(&owner, 1).await }));
                    ready!(waiting.as_mut().poll(context))
                }
            },
        };
        *turn = None;
        let since_ns = self.spent_ns.load(Ordering::Relaxed);
        *self.permit() = Some(Permit { _permit: permit, since_ns });
        Poll::Ready(())
    }

    /// Back to the end of its owner's queue, after its turn; owners take turns.
    fn end_turn_if_over(&self, spent_ns: u64) {
        let mut permit = self.permit();
        if permit.as_ref().is_some_and(|permit| spent_ns.saturating_sub(permit.since_ns) >= nanos(TURN)) {
            *permit = None;
        }
    }

    fn give_up_turn(&self) {
        *self.permit() = None;
    }

    fn see(&self, now_ns: u64) {
        self.seen_ns.store(now_ns, Ordering::Relaxed);
        self.seen_ticks.store(self.ticks.count(), Ordering::Relaxed);
    }

    /// By both clocks: ticks pass while the kernel runs others, and a busy machine is late with its ticks.
    fn note_stretch(&self, now_ns: u64) {
        let ticks = self.ticks.count().wrapping_sub(self.seen_ticks.load(Ordering::Relaxed));
        let computed_ns = now_ns.saturating_sub(self.seen_ns.load(Ordering::Relaxed));
        if ticks >= STRETCH_TICKS && computed_ns >= STRETCH_TICKS * self.tick_ns && !self.is_heavy() {
            self.stretched.store(true, Ordering::Relaxed);
        }
    }

    fn permit(&self) -> std::sync::MutexGuard<'_, Option<Permit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn thread_cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| nanos(Duration::from(time)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
