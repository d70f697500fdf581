//! A store that refuses writes: told in the log, and tried until it takes them again. Who asks for readiness sees the same.

use ripost_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a store that refuses is tried: nobody else may, since balancers send no calls to a gateway that is not ready.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How often the log says so again.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Until the host stops.
pub async fn tell_of_refusals(store: Arc<dyn Store>, stopping: CancellationToken) {
    let mut told: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(TRY_EVERY) => {}
        }
        let Some(refusal) = store.refusal() else { continue };
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            let cause = refusal.cause.as_str();
            tracing::error!(cause, %refusal, "The store refuses writes; calls are answered 503, and what was accepted waits");
            told = Some(Instant::now());
        }
        match store.try_to_write().await {
            Ok(()) => {
                tracing::info!("The store takes writes again");
                told = None;
            }
            Err(StoreError::Closed) => return,
            // It is what is told the next time.
            Err(_) => {}
        }
    }
}
