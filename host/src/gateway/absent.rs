//! What whoever asks for an API is told that does not serve.

use crate::plugins::{Absent, Registry};
use crate::problem::{Kind, Problem};
use std::time::Duration;

/// An operator has to do something first.
const STOPPED_AGAIN_IN: Duration = Duration::from_secs(60);
/// Most components are compiled by then, and who waits for a larger one loses little.
const COMING_AGAIN_IN: Duration = Duration::from_secs(5);

/// Why there is no such API in the registry.
pub(super) fn absent(registry: &Registry, owner: &str, slug: &str) -> Problem {
    match registry.absent(owner, slug) {
        Absent::Stopped => {
            let detail =
                format!("The operator stopped the plugin of `{owner}/{slug}`. Nothing was accepted; call again later.");
            Problem::new(Kind::PluginStopped, detail).retry_after(STOPPED_AGAIN_IN)
        }
        Absent::Coming => {
            let detail = format!(
                "`{owner}/{slug}` is being compiled and does not serve yet. Nothing was accepted; send it again after the time in Retry-After."
            );
            Problem::new(Kind::ApiCompiling, detail).retry_after(COMING_AGAIN_IN)
        }
        Absent::Unknown => {
            Problem::new(Kind::UnknownApi, format!("`{owner}` offers no API `{slug}` here. Check both names."))
        }
    }
}
