//! Webhooks that lead to calls that lead to webhooks: a circle ends.

use crate::problem::{Kind, Problem};
use http::HeaderMap;

/// Webhooks that lead to webhooks: more than this many in a row is a loop.
const DEPTH_MAX: u8 = 3;

/// How many webhooks led to this call.
pub(super) fn depth(headers: &HeaderMap) -> Result<u8, Problem> {
    let Some(value) = headers.get(crate::delivery::DEPTH) else { return Ok(0) };
    match value.to_str().ok().and_then(|text| text.trim().parse::<u8>().ok()) {
        Some(depth) if depth < DEPTH_MAX => Ok(depth),
        Some(_) => Err(Problem::new(
            Kind::LoopDetected,
            format!(
                "{DEPTH_MAX} webhooks led to this call (header webhook-depth). An endpoint calls an API that sends to it again; break the circle."
            ),
        )),
        None => Err(Problem::new(
            Kind::InvalidHeader,
            "webhook-depth is a small whole number; pass it on as it came, or not at all.",
        )),
    }
}
