//! What the process is told by signals: to stop, and to read the plugins folder again.

use crate::plugins::{Look, Plugins};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// SIGHUP reads the plugins folder again, and judges again what was rejected.
pub(super) async fn reload_on_hangup(plugins: Arc<Plugins>, stopping: CancellationToken) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be received; `ripost reload` does the same");
            return;
        }
    };
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            heard = hangup.recv() => if heard.is_none() { return },
        }
        tracing::info!(signal = "SIGHUP", "Reading the plugins folder");
        plugins.look(Look::again()).await;
    }
}

pub(super) async fn stop_signal() -> &'static str {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        },
        _ => std::future::pending().await,
    }
}
