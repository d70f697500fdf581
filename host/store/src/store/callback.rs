//! Requests whose upstream answers later.

use super::RunReceipt;
use ripost_domain::id::RequestId;

/// The upstream has taken a request and will call back: `running` → `awaiting_callback`.
#[derive(Debug, Clone)]
pub struct AwaitCallback {
    /// Which request.
    pub id: RequestId,
    /// The run's epoch.
    pub epoch: u32,
    /// What the run used that forwarded it.
    pub run: RunReceipt,
}

/// The callback that ends a request, or ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callback {
    /// Of its URL; only the current one may end the request.
    pub epoch: u32,
    /// SHA-256 of what was posted.
    pub digest: [u8; 32],
}
