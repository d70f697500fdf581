//! What the process before left is taken over before anything is run or delivered. A disk that is full at the start keeps
//! nobody from reading: the loops begin when the store can write.

use crate::reconcile::{Every, Reconcile};
use ripost_store::Recovered;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// A store that writes is that quick, and the first calls find everything running.
const WAIT: Duration = Duration::from_millis(500);

/// Starts the loops once what was left is recovered: before this returns, unless the store refuses to write.
pub(super) async fn then_start(reconcile: Reconcile, every: Every, tasks: &TaskTracker) {
    let (started, is_started) = tokio::sync::oneshot::channel();
    let of_loops = tasks.clone();
    let refuses = reconcile.store.clone();
    tasks.spawn(async move {
        if let Some(recovered) = reconcile.recover().await {
            tell(recovered);
            reconcile.start(&of_loops, every);
        }
        // Nobody waits for it any more if it took long.
        let _ = started.send(());
    });
    // However many rows there are to recover, a store that works is waited for.
    let mut is_started = is_started;
    while tokio::time::timeout(WAIT, &mut is_started).await.is_err() {
        if refuses.refusal().is_some() {
            return;
        }
    }
}

fn tell(Recovered { runs, deliveries }: Recovered) {
    if runs + deliveries > 0 {
        tracing::info!(runs, deliveries, "Took over what the process before left");
    }
}
