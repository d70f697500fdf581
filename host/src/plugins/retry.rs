//! When a revision is tried again that failed through no fault of its own that is known: not at every scan, because each
//! try holds up whatever else has changed.

use super::manifest::Manifest;
use ripost_domain::api::Digest;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first wait, and the longest.
const WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(600);

/// A revision that is to be tried again.
pub(super) struct Retry {
    digest: Digest,
    manifest: Arc<Manifest>,
    wait: Duration,
    at: Instant,
}

impl Retry {
    /// After another try that failed: twice as long as after the one before.
    pub(super) fn after(before: Option<&Self>, digest: Digest, manifest: Arc<Manifest>, now: Instant) -> Self {
        let wait = before.filter(|before| before.digest == digest).map_or(WAIT, |before| before.wait * 2).min(WAIT_MAX);
        Self { digest, manifest, wait, at: now + wait }
    }

    /// At a time that is known.
    pub(super) fn at(digest: Digest, manifest: Arc<Manifest>, at: Instant) -> Self {
        Self { digest, manifest, wait: WAIT, at }
    }

    /// How long it is until then.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// Which one.
    pub(super) fn of(&self) -> (Digest, &Arc<Manifest>) {
        (self.digest, &self.manifest)
    }

    /// Whether it is too early to try this one.
    pub(super) fn waits(&self, digest: Digest, now: Instant) -> bool {
        self.digest == digest && now < self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::manifest::{Above, Bounds};
    use ripost_domain::address::PlainHttp;
    use ripost_runtime::Limits;

    fn manifest() -> Arc<Manifest> {
        let text =
            "[plugin]\nname = \"a\"\nversion = \"1\"\n[[api]]\nowner = \"demo\"\nslug = \"a\"\nhandler = \"a.wasm\"\n";
        let bounds = Bounds {
            default: Limits::default(),
            ceiling: Limits::ceiling(),
            transform: Limits::transform(),
            guests_memory: None,
            concurrency: 16,
            plain_http: PlainHttp::Refused,
            above: Above::Refuse,
        };
        Arc::new(Manifest::parse("plugin.toml", text, &bounds).unwrap())
    }

    #[test]
    fn the_same_revision_waits_for_twice_as_long_each_time_and_another_one_not_at_all() {
        let (one, other) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let now = Instant::now();
        let manifest = manifest();
        let mut retry = Retry::after(None, one, manifest.clone(), now);
        for wait_s in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            let wait = Duration::from_secs(wait_s);
            assert!(retry.waits(one, now + wait - Duration::from_millis(1)) && !retry.waits(one, now + wait));
            assert!(!retry.waits(other, now));
            retry = Retry::after(Some(&retry), one, manifest.clone(), now);
        }
        assert!(!Retry::after(Some(&retry), other, manifest, now).waits(other, now + WAIT));
    }
}
