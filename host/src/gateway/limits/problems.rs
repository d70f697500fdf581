//! What a caller over a limit is told: which one, its value, and when to try again.

use super::fields::Policy;
use super::whole_seconds;
use crate::problem::{Kind, Problem};
use ripost_domain::limit::Rate;
use ripost_domain::time::Timestamp;
use ripost_domain::units::counted;
use std::time::Duration;

/// When a request may have ended.
const ENDED_AFTER: Duration = Duration::from_secs(1);

fn limited(kind: Kind, detail: String, policy: Policy, wait: Duration) -> Problem {
    let name = policy.as_str();
    Problem::new(kind, detail)
        .with("limit", name)
        // The name that the draft of the RateLimit fields gives it.
        .with("violated-policies", vec![name])
        .retry_after(Duration::from_secs(whole_seconds(wait)))
}

/// The rate.
pub(super) fn too_fast(policy: Policy, rate: Rate, wait: Duration) -> Problem {
    let what = match policy {
        Policy::Api => "All consumers together may call this API",
        Policy::ApiConsumer => "Each consumer may call this API",
        Policy::Polls => "With one key you may read and change what is yours",
        _ => "With one key you may call",
    };
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let advice = match policy {
        Policy::Polls => {
            " Wait with `Prefer: wait=30`, a webhook or GET /requests/{id}/events in place of asking again and again."
        }
        _ => "",
    };
    let detail = format!(
        "{what} {rate}, {} at once at most. Nothing was accepted; call again in {wait_ms} ms.{advice}",
        rate.burst()
    );
    limited(Kind::RateLimited, detail, policy, wait).with("max", rate.to_string()).with("retry_after_ms", wait_ms)
}

/// Requests that have not ended.
pub(super) fn at_once(policy: Policy, max: u32) -> Problem {
    let of_what = if policy == Policy::ApiConcurrency { " of this API" } else { "" };
    let at_most = counted(max, "request", "requests");
    let detail = format!(
        "Your limit is {at_most}{of_what} under way at once, and it is reached. Nothing was accepted; call again when one of them has ended (GET /requests lists them), or cancel one."
    );
    limited(Kind::ConcurrencyLimited, detail, policy, ENDED_AFTER).with("max", max)
}

/// Today's requests.
pub(super) fn used_up(policy: Policy, max: u32, until: Timestamp, wait: Duration) -> Problem {
    let of_what = if policy == Policy::ApiDaily { " of this API" } else { "" };
    let at_most = counted(max, "request", "requests");
    let detail = format!(
        "Your limit is {at_most}{of_what} a day (UTC), and it is used up. Nothing was accepted; call again from {until} on."
    );
    limited(Kind::QuotaExceeded, detail, policy, wait).with("max", max).with("resets_at", until.to_string())
}
