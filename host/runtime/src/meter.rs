//! CPU time of one run, and its turn among the heavy ones.
//!
//! Time is the thread's own CPU clock, read around each `poll` and at each tick: waiting costs nothing, neither in
//! the guest nor for a core, and a run that moves between threads is counted on each. A run that has used its first
//! tick needs a permit to go on; there are fewer permits than worker threads, so guests that spin never hold them
//! all. The permit goes back whenever the guest waits for something, and goes round when others want it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::fair::{FairPermit, FairSemaphore};

/// How long a run may keep its permit while others want one.
const TURN: Duration = Duration::from_millis(20);

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
    /// Sum of the polls that ended.
    spent_ns: AtomicU64,
    /// Thread clock when the current poll began.
    poll_began_ns: AtomicU64,
    /// The pending poll is our own doing, not the guest waiting.
    taking_turns: AtomicBool,
    /// It has used its first tick; never false again.
    is_heavy: AtomicBool,
    owner: String,
    heavy: FairSemaphore,
    permit: Mutex<Option<Permit>>,
}

#[derive(Debug)]
struct Permit {
    _permit: FairPermit,
    /// `spent_ns` when it was taken.
    since_ns: u64,
}

impl Meter {
    pub(crate) fn new(budget: Duration, tick: Duration, owner: &str, heavy: FairSemaphore) -> Arc<Self> {
        Arc::new(Meter {
            budget_ns: nanos(budget),
            tick_ns: nanos(tick),
            spent_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            taking_turns: AtomicBool::new(false),
            is_heavy: AtomicBool::new(false),
            owner: owner.to_owned(),
            heavy,
            permit: Mutex::new(None),
        })
    }

    /// CPU time of the polls that ended.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed))
    }

    /// Whether it has used its first tick.
    pub(crate) fn is_heavy(&self) -> bool {
        self.is_heavy.load(Ordering::Relaxed)
    }

    /// Drives `future` and counts. A panic inside it comes back as an error.
    ///
    /// # Cancel safety
    /// Dropping it drops `future`; the permit is freed with the meter.
    pub(crate) async fn measure<F: Future>(&self, future: F) -> Result<F::Output, HostPanicked> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            let began = thread_cpu_ns();
            self.poll_began_ns.store(began, Ordering::Relaxed);
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
            self.spent_ns.fetch_add(thread_cpu_ns().saturating_sub(began), Ordering::Relaxed);
            match polled {
                Ok(Poll::Ready(output)) => {
                    self.give_up_turn();
                    Poll::Ready(Ok(output))
                }
                Ok(Poll::Pending) => {
                    if !self.taking_turns.load(Ordering::Relaxed) {
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
    pub(crate) fn on_tick(self: &Arc<Self>) -> wasmtime::Result<UpdateDeadline> {
        let in_this_poll = thread_cpu_ns().saturating_sub(self.poll_began_ns.load(Ordering::Relaxed));
        let spent = self.spent_ns.load(Ordering::Relaxed) + in_this_poll;
        if spent > self.budget_ns {
            return Err(OutOfCpu.into());
        }
        if spent < self.tick_ns {
            return Ok(UpdateDeadline::Continue(1));
        }
        self.is_heavy.store(true, Ordering::Relaxed);
        self.taking_turns.store(true, Ordering::Relaxed);
        let meter = Arc::clone(self);
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                meter.take_turn(spent).await;
                meter.taking_turns.store(false, Ordering::Relaxed);
            }),
        ))
    }

    async fn take_turn(&self, spent_ns: u64) {
        let keep = {
            let mut permit = self.permit();
            let turn_over = permit.as_ref().is_none_or(|permit| spent_ns - permit.since_ns >= nanos(TURN));
            if turn_over {
                // Back to the end of its owner's queue; owners take turns.
                *permit = None;
            }
            !turn_over
        };
        if !keep {
            let permit = self.heavy.acquire(&Arc::from(self.owner.as_str()), 1).await;
            *self.permit() = Some(Permit { _permit: permit, since_ns: spent_ns });
        }
        // Whoever else is ready on this thread goes first.
        tokio::task::yield_now().await;
    }

    fn give_up_turn(&self) {
        *self.permit() = None;
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
