//! Settings that would have no effect beside others of the same API: refused, because whoever wrote them believes that
//! they have one. [`super::schema`] is made from the same lists.

use super::{Above, DeliveryMode, ManifestError, Reader, raw};

/// What only webhooks have, and with `delivery = "off"` there are none.
pub(super) const OF_WEBHOOKS: &[&str] = &["payload", "retry"];
/// What only a component has, and an API with an upstream has none.
pub(super) const OF_COMPONENTS: &[&str] = &["cases", "config", "grants"];
/// The limits that an upstream is held to as well.
const OF_UPSTREAMS: &[&str] = &["wall", "response_body", "response_headers", "log"];

/// Whether a limit of a run says nothing about an upstream.
pub(super) fn is_of_components(limit: &str) -> bool {
    !OF_UPSTREAMS.contains(&limit)
}

/// Whether a limit is about calls to the outside, which need a grant.
pub(super) fn is_of_calls(limit: &str) -> bool {
    limit.starts_with("outbound_")
}

impl Reader<'_> {
    /// A revision that was good once stays good.
    pub(super) fn check_effects(&self, raw: &raw::Api, delivery: DeliveryMode) -> Result<(), ManifestError> {
        if self.bounds.above == Above::Lower {
            return Ok(());
        }
        if delivery == DeliveryMode::Off {
            let payload = raw.payload.as_ref().map(|payload| payload.span().start);
            let retry = raw.retry.as_ref().map(|retry| retry.span().start);
            for (key, at) in OF_WEBHOOKS.iter().zip([payload, retry]) {
                let Some(at) = at else { continue };
                let message =
                    format!("`{key}` is for webhooks, and with delivery = \"off\" none is sent; leave it out");
                return Err(self.error(at, message));
            }
        }
        let calls_out = raw.grants.as_ref().is_some_and(|grants| !grants.outbound.is_empty());
        let mut limits: Vec<_> = raw.limits.iter().map(|(key, written)| (written.span().start, key)).collect();
        limits.sort_unstable();
        for (at, key) in limits.into_iter().filter(|(_, key)| ripost_runtime::Line::named(key).is_some()) {
            if raw.upstream.is_some() && is_of_components(key) {
                let message =
                    format!("the limit `{key}` is for components, and this API has an upstream; leave it out");
                return Err(self.error(at, message));
            }
            if is_of_calls(key) && !calls_out {
                let message = format!(
                    "the limit `{key}` is for calls to the outside, and none is granted; grant them with `outbound` in [api.grants], or leave it out"
                );
                return Err(self.error(at, message));
            }
        }
        Ok(())
    }
}
