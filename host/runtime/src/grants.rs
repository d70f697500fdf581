//! What a guest may reach beyond itself, as the host's other parts offer it. What is not granted is refused by the
//! sandbox; what is granted is still within the run's limits, which the sandbox counts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// The grants of one API's runs. The default grants nothing.
#[derive(Clone, Default)]
pub struct Grants {
    /// The owner's durable store.
    pub kv: Option<Arc<dyn Kv>>,
    /// The owner's secrets that this API may use.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// The way out.
    pub outbound: Option<Arc<dyn Outbound>>,
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Grants")
            .field("kv", &self.kv.is_some())
            .field("secrets", &self.secrets.is_some())
            .field("outbound", &self.outbound.is_some())
            .finish()
    }
}

/// A value in the owner's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// As it was set.
    pub value: Bytes,
    /// Grows with each write of its key.
    pub revision: u64,
}

/// Nothing was read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The owner has no room left; the text has the figures.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The key or the value is too large; the text has the figures.
    #[error("{0}")]
    TooLarge(String),
    /// Not now; trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

/// The store of one owner. Durable: what a write returned is there after a crash.
#[async_trait]
pub trait Kv: Send + Sync {
    /// None if the key is absent or has expired.
    async fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError>;
    /// Returns the new revision.
    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<u64, KvError>;
    /// Writes only if the key's revision is the expected one (none: absent); the new revision if it was.
    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<Option<u64>, KvError>;
    /// Whether there was one.
    async fn delete(&self, key: &str) -> Result<bool, KvError>;
    /// Keys with a prefix, in order, after a key, at most 1000.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, KvError>;
}

/// There is no secret of that name for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The grants do not name it.
    #[error("not granted")]
    NotGranted,
    /// Granted, and nobody has set it.
    #[error("not set")]
    Missing,
}

/// The secrets of one API.
pub trait Secrets: Send + Sync {
    /// The value, or what the way out puts the value in place of. Called on an async thread: it must not block.
    ///
    /// # Errors
    /// [`SecretError`].
    fn get(&self, name: &str) -> Result<String, SecretError>;
}

/// One call to the outside, within the run's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRequest {
    /// As the guest wrote it.
    pub method: String,
    /// As the guest wrote it.
    pub url: String,
    /// Names in lower case; nothing is checked yet.
    pub headers: Vec<(String, Bytes)>,
    /// At most `Limits::outbound_bytes`.
    pub body: Bytes,
    /// For the whole exchange.
    pub timeout: Duration,
    /// An answer with a longer body is an error.
    pub response_bytes_max: usize,
}

/// What came back, whatever its status. Not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundResponse {
    /// 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, Bytes)>,
    /// Whole.
    pub body: Bytes,
}

/// Why there is no response. Each text is for the owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// No grant covers it; the text says which grants there are.
    #[error("{0}")]
    NotGranted(String),
    /// It leads to an address that guests may not reach.
    #[error("{0}")]
    AddressForbidden(String),
    /// Too many, or too large; the text has the figures.
    #[error("{0}")]
    Limit(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection, and nothing was sent.
    #[error("{0}")]
    Connection(String),
    /// Sent, and no whole answer.
    #[error("{0}")]
    InDoubt(String),
    /// Not now; trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// Not a request that HTTP can carry.
    #[error("{0}")]
    Invalid(String),
}

/// The way out of one API: its grants, the address guard, the owner's own connections. It follows no redirect and
/// decodes nothing.
#[async_trait]
pub trait Outbound: Send + Sync {
    /// One exchange.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the other side may have had the request.
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError>;
}
