//! Memory of all runs together. A run that would take more than there is waits for its turn among the owners, so that the
//! process never grows beyond what the operator gives to guests.
//!
//! Memory is set aside in two steps: what a component starts with before its run begins, and all the rest up to its limit
//! when it first grows beyond [`LIGHT_BYTES`]. Each step has bytes of its own and is taken once: whoever waits for the
//! second holds nothing that anybody waits for in order to end, so nobody waits for ever. Runs that stay within
//! [`LIGHT_BYTES`] wait for nothing and cost nothing here; what all of them may have at once is taken off beforehand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fair::{FairPermit, FairSemaphore};

/// What a run may take beside what its component starts with, before it is a matter of size. The kernel takes 0.25 to 0.5 ms
/// to clear a MiB of fresh pages, so one instruction over so much of them is over within a tick.
pub(crate) const LIGHT_BYTES: usize = 4 * MIB;
/// A component that starts with more has each of its runs aside from the beginning. JavaScript engines start with 10 MiB,
/// Python with 13 and C of `zig cc` with 16, and they leave most of it alone.
pub(crate) const LIGHT_FIRST_BYTES: usize = 20 * MIB;
/// How long a run waits for memory before it is put back: longer, and it keeps its place from runs that need none.
const WAIT_MAX: Duration = Duration::from_secs(10);

const MIB: usize = 1024 * 1024;

/// What guests may have of the machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// For all guests together.
    pub bytes: usize,
    /// What runs that stay small have, if there are as many as there can be.
    pub light_bytes_wanted: usize,
    /// Of `bytes`, taken off for them: a quarter at most, since few of them come near it.
    pub light_bytes: usize,
    /// Of what is left, for what components start with; as much is there for what runs grow to.
    pub step_bytes: usize,
}

impl MemoryPlan {
    /// For so many runs at once.
    #[must_use]
    pub fn new(bytes: usize, instances_max: u32) -> Self {
        let instances = usize::try_from(instances_max).unwrap_or(usize::MAX);
        let light_bytes_wanted = instances.saturating_mul(LIGHT_BYTES);
        let light_bytes = light_bytes_wanted.min(bytes / 4);
        MemoryPlan { bytes, light_bytes_wanted, light_bytes, step_bytes: (bytes - light_bytes) / 2 }
    }

    /// The most that any one run can be given.
    #[must_use]
    pub fn run_bytes_max(&self) -> usize {
        (self.step_bytes / MIB * MIB).max(MIB)
    }
}

/// How much of the memory for guests is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// What there is for components that start with much and runs that grow.
    pub bytes_max: u64,
    /// Of that, set aside for runs that are under way.
    pub reserved_bytes: u64,
    /// Runs that wait for memory now.
    pub waiting: u64,
    /// Runs that waited, since the start.
    pub waited: u64,
    /// Of those, the ones that were put back because it took too long.
    pub given_up: u64,
}

/// There was none for too long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("waited {} s for {} MiB of the memory that all guests share (`sandbox.memory`)", WAIT_MAX.as_secs(), .bytes.div_ceil(MIB))]
pub(crate) struct NoMemory {
    bytes: usize,
}

/// What there is. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// In MiB.
    first: FairSemaphore,
    growth: FairSemaphore,
    step_mib: u32,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicU64,
    waited: AtomicU64,
    given_up: AtomicU64,
}

/// One of those that wait, for as long as it lives.
struct Waiting<'a>(&'a Counts);

/// What one run has set aside; given back when it is dropped, which must be after the run's memory is.
#[derive(Debug)]
pub(crate) struct Reserve {
    memory: Memory,
    owner: Arc<str>,
    /// What it holds, and what it has waited for it.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    first: Option<FairPermit>,
    growth: Option<FairPermit>,
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Memory {
    /// `run_bytes_max`: the most that one run asks for; never more than the plan has for one.
    pub(crate) fn new(plan: &MemoryPlan, run_bytes_max: usize) -> Self {
        let step_mib = mib(plan.run_bytes_max());
        // Half of it at most for one owner; but a permit is never cut short, or it would bound nothing.
        let share = (step_mib / 2).max(mib(run_bytes_max));
        let (first, growth) = (FairSemaphore::new(step_mib, share), FairSemaphore::new(step_mib, share));
        Memory(Arc::new(Shared { first, growth, step_mib, counts: Counts::default() }))
    }

    pub(crate) fn reserve(&self, owner: &Arc<str>) -> Reserve {
        Reserve { memory: self.clone(), owner: Arc::clone(owner), held: Mutex::default() }
    }

    pub(crate) fn usage(&self) -> MemoryUse {
        let Shared { first, growth, step_mib, counts } = &*self.0;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bytes = |mib: u32| u64::from(mib) * MIB as u64;
        let free = bytes(first.available()) + bytes(growth.available());
        MemoryUse {
            bytes_max: 2 * bytes(*step_mib),
            reserved_bytes: 2 * bytes(*step_mib) - free,
            waiting: count(&counts.waiting),
            waited: count(&counts.waited),
            given_up: count(&counts.given_up),
        }
    }

    async fn take(&self, semaphore: &FairSemaphore, owner: &Arc<str>, bytes: usize) -> Result<FairPermit, NoMemory> {
        let counts = &self.0.counts;
        counts.waited.fetch_add(1, Ordering::Relaxed);
        counts.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(counts);
        tokio::time::timeout(WAIT_MAX, semaphore.acquire(owner, mib(bytes))).await.map_err(|_elapsed| {
            counts.given_up.fetch_add(1, Ordering::Relaxed);
            NoMemory { bytes }
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reserve {
    /// What a component starts with. Before its run begins: waiting for it is no part of the run.
    ///
    /// # Cancel safety
    /// Whoever stops waiting loses its place and nothing else.
    pub(crate) async fn first(&self, bytes: usize) -> Result<(), NoMemory> {
        let permit = self.take(&self.memory.0.first, bytes).await?;
        self.held().first = Some(permit);
        Ok(())
    }

    /// What it may still grow to. Once in a run.
    ///
    /// # Cancel safety
    /// As [`Reserve::first`].
    pub(crate) async fn growth(&self, bytes: usize) -> Result<(), NoMemory> {
        let permit = self.take(&self.memory.0.growth, bytes).await?;
        self.held().growth = Some(permit);
        Ok(())
    }

    /// Whether it has all that it may grow to.
    pub(crate) fn has_grown(&self) -> bool {
        self.held().growth.is_some()
    }

    /// How long it has waited until now, which is no part of its wall time.
    pub(crate) fn waited(&self) -> Duration {
        let held = self.held();
        held.waited + held.waits_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    async fn take(&self, semaphore: &FairSemaphore, bytes: usize) -> Result<FairPermit, NoMemory> {
        if let Some(permit) = semaphore.try_acquire(&self.owner, mib(bytes)) {
            return Ok(permit);
        }
        self.held().waits_since = Some(Instant::now());
        let taken = self.memory.take(semaphore, &self.owner, bytes).await;
        let mut held = self.held();
        let since = held.waits_since.take();
        held.waited += since.map_or(Duration::ZERO, |since| since.elapsed());
        taken
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_never_gives_out_more_than_there_is() {
        for bytes in [0, 1, 5 * MIB, 256 * MIB, 4096 * MIB, usize::MAX] {
            for instances in [1, 250, 1250] {
                let plan = MemoryPlan::new(bytes, instances);
                assert!(plan.light_bytes + 2 * plan.step_bytes <= bytes, "{plan:?}");
                assert!(plan.light_bytes <= bytes / 4 && plan.run_bytes_max() >= MIB, "{plan:?}");
            }
        }
        let plan = MemoryPlan::new(4096 * MIB, 250);
        assert_eq!((plan.light_bytes, plan.step_bytes), (1000 * MIB, 1548 * MIB));
    }

    #[tokio::test]
    async fn what_is_set_aside_is_shown_and_comes_back() {
        let plan = MemoryPlan::new(160 * MIB, 10);
        let memory = Memory::new(&plan, 60 * MIB);
        let owner: Arc<str> = Arc::from("one");
        let reserve = memory.reserve(&owner);
        assert!(!reserve.has_grown());
        reserve.first(10 * MIB + 1).await.unwrap();
        reserve.growth(50 * MIB).await.unwrap();
        assert!(reserve.has_grown() && reserve.waited() == Duration::ZERO);
        let used = MemoryUse { bytes_max: 120 << 20, reserved_bytes: 61 << 20, ..MemoryUse::default() };
        assert_eq!(memory.usage(), used);
        drop(reserve);
        assert_eq!(memory.usage(), MemoryUse { reserved_bytes: 0, ..used });
    }
}
