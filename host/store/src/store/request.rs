//! Requests as they stand.

use super::{StoredDelivery, Wants};
use bytes::Bytes;
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::money::{Amount, Split};
use ripost_domain::request::{self, Settlement};
use ripost_domain::time::Timestamp;

/// What is known of a result without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultMeta {
    /// HTTP status.
    pub status: u16,
    /// Headers as the owner gave them.
    pub headers: Vec<(String, Bytes)>,
    /// Length of the body in bytes.
    pub bytes: u64,
}

/// A result with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// Status and headers.
    pub meta: ResultMeta,
    /// The body.
    pub body: Bytes,
}

/// Stored bytes, to be sent: what is large is not read into memory for that.
#[derive(Debug)]
pub enum StoredBody {
    /// All of them.
    Inline(Bytes),
    /// In a file of their own, which is open at its beginning. It can be read to its end, whatever becomes of its name.
    File {
        /// The file.
        file: std::fs::File,
        /// How many.
        bytes: u64,
    },
}

/// Whose requests to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those that a consumer made.
    Consumer(ConsumerId),
    /// Those that an owner's APIs were asked.
    Owner(Name),
    /// All there are.
    Everybody,
}

/// Which requests to list: newest first.
#[derive(Debug, Clone)]
pub struct RequestFilter {
    /// Whose.
    pub whose: Whose,
    /// Older than this one.
    pub before: Option<RequestId>,
    /// In one of these states; none: in any.
    pub states: Vec<request::State>,
    /// Of one API.
    pub api: Option<ApiName>,
    /// Accepted from then on.
    pub since: Option<Timestamp>,
    /// Accepted before then.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
}

/// A page of requests.
#[derive(Debug, Clone, Default)]
pub struct RequestPage {
    /// Without results; with problems unless they are a consumer's.
    pub requests: Vec<RequestRecord>,
    /// The next page is of what is older: behind what was looked at, whether it fitted the filter or not.
    pub next: Option<RequestId>,
    /// Whether there is another page.
    pub more: bool,
}

/// How many of an API's requests ended without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// Which API.
    pub api: ApiName,
    /// That failed.
    pub failed: u64,
    /// That expired.
    pub expired: u64,
}

/// One request as it stands.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// Its id.
    pub id: RequestId,
    /// Whose it is.
    pub consumer: ConsumerId,
    /// What was called.
    pub api: ApiName,
    /// The revision it was accepted under.
    pub digest: Digest,
    /// Where the execution stands.
    pub state: request::State,
    /// Runs that count; one that is under way does not yet.
    pub attempt: u32,
    /// When a run of it is due, or was, by the clock that waits are measured with.
    pub run_at: Timestamp,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its deadline.
    pub expires_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Price and shares.
    pub split: Split,
    /// What became of the money.
    pub settlement: Settlement,
    /// What the consumer has paid; `None`: that is not decided yet, or the request is free.
    pub captured: Option<Amount>,
    /// Where the result goes.
    pub webhook_url: Option<String>,
    /// Which webhooks, and for how long.
    pub wants: Wants,
    /// What the owner answered, of a completed or failed one.
    pub result: Option<ResultMeta>,
    /// Of a failed, cancelled or expired one: a problem as JSON.
    pub problem: Option<Bytes>,
    /// The delivery of `completed`.
    pub delivery: Option<StoredDelivery>,
}
