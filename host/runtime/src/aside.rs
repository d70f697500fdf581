//! Threads of low priority for runs that compute for long.
//!
//! A run begins on the async thread that asked for it; most end there, within a fraction of their first tick. One that
//! goes on, or that is about to take much memory, is moved here: an instruction that fills or copies memory cannot be
//! interrupted, and on fresh pages the kernel clears them meanwhile, at 0.5 ms a MiB. The memory of such a run is given back
//! here as well. The kernel then gives it what the accept path, the sender, the writer and short runs leave,
//! which on an idle machine is everything: with equal priorities, one owner's guests in a loop took half of the CPU
//! time that all others needed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::meter::Meter;

/// From 0, as everything else, to the kernel's 19. At 15 a thread has 3 % of what an ordinary one has of a busy core.
/// Beside a flood (`cargo xtask bench --only flood`) others kept 61 % of their deliveries at 0, 80 % at 10 and 95 to 105 %
/// at 15; on a machine that was busy with other work besides, 79 % at 10 and 79 to 87 % at 15. At 19 long runs stand all
/// but still, and short accepts took twice as long.
const NICENESS: i32 = 15;

/// As many threads as runs may be heavy at once.
#[derive(Debug)]
pub(crate) struct Aside(Option<tokio::runtime::Runtime>);

impl Aside {
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("ripost-heavy")
            .on_thread_start(be_nice)
            .build()?;
        Ok(Aside(Some(runtime)))
    }

    /// Drives a run: here while it is light, aside once it is heavy. `None`: the process is ending.
    ///
    /// # Cancel safety
    /// Dropping it drops `future`, at the latest when the guest next yields.
    pub(crate) async fn drive<T: Send + 'static>(
        &self,
        meter: &Arc<Meter>,
        mut future: Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Option<T> {
        let ended = std::future::poll_fn(|context| {
            if meter.is_heavy() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(context).map(Some)
        });
        if let Some(output) = ended.await {
            return Some(output);
        }
        // Its timers and sockets stay those of the threads it came from.
        let home = Handle::current();
        let mut there = JoinSet::new();
        let rest = std::future::poll_fn(move |context| {
            let _at_home = home.enter();
            future.as_mut().poll(context)
        });
        there.spawn_on(rest, self.0.as_ref()?.handle());
        there.join_next().await?.ok()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last holder may be an async task, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Lowers this thread's priority for good. Should that fail, it competes as before.
fn be_nice() {
    #[expect(unsafe_code, reason = "nix has no function for it")]
    // SAFETY: it takes a number and touches no memory of ours.
    unsafe {
        nix::libc::nice(NICENESS);
    }
}
