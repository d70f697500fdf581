//! The only place that makes an HTTP error: RFC 9457 problems with a stable `type` that say what to do.
//!
//! `docs/problems.md` has a section for each kind, which [`pages`] serves: a test fails for a kind that has none.

pub mod pages;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Before the slug of every problem of the gateway's own.
const TYPE_PREFIX: &str = "urn:ripost:problem:";

macro_rules! kinds {
    ($($name:ident,)*) => {
        /// Each kind of problem the gateway has. A new one does not compile until its line in `Kind::line` is written,
        /// and fails a test until docs/problems.md has its section.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is described by its title in `line`")]
        pub enum Kind {
            $($name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

kinds! {
    MalformedRequest,
    InvalidPath,
    InvalidHeader,
    InvalidJson,
    DuplicateField,
    MissingKey,
    UnknownKey,
    MissingToken,
    InsufficientBalance,
    KeyIsPublic,
    NotSubscribed,
    ApiPaused,
    Forbidden,
    UnknownApi,
    UnknownRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    RequestInProgress,
    NotFinished,
    DeliveryInFlight,
    PayloadUnmade,
    TooManySecrets,
    LinkExpired,
    ContentsGone,
    LoopDetected,
    InvalidCursor,
    InvalidFilter,
    WebhookUrlDisabled,
    PriceChanged,
    NameTaken,
    BalanceLeft,
    BalanceTooLow,
    ReferenceTaken,
    LastKey,
    BodyTooLarge,
    HeadTooLarge,
    UrlTooLong,
    UnsupportedMediaType,
    UploadTorn,
    InvalidArchive,
    PluginRefused,
    IdempotencyMismatch,
    SchemaMismatch,
    MisplacedField,
    MisnamedField,
    WebhookUrlInvalid,
    WebhookUrlForbidden,
    WebhookEventsUnsupported,
    InvalidValue,
    HandlerTrapped,
    TransformFailed,
    CpuLimit,
    MemoryLimit,
    WallLimit,
    StackOverflow,
    ResourceLimit,
    ResponseInvalid,
    CaptureInvalid,
    OwnerFailed,
    OwnerUnavailable,
    UpstreamFailed,
    UnknownCallback,
    CallbackConflict,
    CallbackStale,
    CallbackExpired,
    ConsumerError,
    RevisionUnavailable,
    ApiCompiling,
    PluginStopped,
    PluginConflict,
    RunLost,
    Cancelled,
    TooLateToCancel,
    DeadlineExceeded,
    TooManyStreams,
    RateLimited,
    ConcurrencyLimited,
    QuotaExceeded,
    Overloaded,
    AnswersOverloaded,
    StoreUnavailable,
    StorageFull,
    Internal,
}

impl Kind {
    /// Status, slug of the type, title.
    const fn line(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (400, "malformed-request", "The request is malformed"),
            Self::InvalidPath => (400, "invalid-path", "The path cannot be forwarded"),
            Self::InvalidHeader => (400, "invalid-header", "A header has a value that cannot be used"),
            Self::InvalidJson => (400, "invalid-json", "The body is not the JSON that its content type promises"),
            Self::DuplicateField => (400, "duplicate-field", "A field is given twice"),
            Self::MissingKey => (401, "missing-key", "The header X-Consumer-Key is missing"),
            Self::UnknownKey => (401, "unknown-key", "The consumer key is not known"),
            Self::MissingToken => (401, "missing-token", "The admin token is missing or wrong"),
            Self::InsufficientBalance => (402, "insufficient-balance", "The balance does not cover the price"),
            Self::KeyIsPublic => (403, "key-is-public", "A public key may not do this"),
            Self::NotSubscribed => (403, "not-subscribed", "The API is for subscribers"),
            Self::ApiPaused => (403, "api-paused", "The API takes no new calls at the moment"),
            Self::Forbidden => (403, "forbidden", "The token's role does not allow this"),
            Self::UnknownApi => (404, "unknown-api", "There is no such API"),
            Self::UnknownRequest => (404, "unknown-request", "There is no such request"),
            Self::NotFound => (404, "not-found", "There is nothing here"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "The method is not allowed here"),
            Self::RequestTimeout => (408, "request-timeout", "The request did not arrive in time"),
            Self::RequestInProgress => {
                (409, "request-in-progress", "A request with this idempotency key is being accepted")
            }
            Self::NotFinished => (409, "not-finished", "The request has no result yet"),
            Self::DeliveryInFlight => (409, "delivery-in-flight", "The delivery is under way"),
            Self::PayloadUnmade => (409, "payload-unmade", "The webhook's payload could not be made"),
            Self::TooManySecrets => (409, "too-many-secrets", "Too many earlier secrets still sign"),
            Self::LinkExpired => (410, "link-expired", "The link's time is over"),
            Self::ContentsGone => (410, "contents-gone", "What was sent and answered is no longer kept"),
            Self::LoopDetected => (508, "loop-detected", "Webhooks lead to webhooks"),
            Self::InvalidCursor => (400, "invalid-cursor", "The cursor is not one of ours"),
            Self::InvalidFilter => (400, "invalid-filter", "A filter cannot be used"),
            Self::WebhookUrlDisabled => (422, "webhook-url-disabled", "The webhook URL wants no more deliveries"),
            Self::PriceChanged => (409, "price-changed", "The price is above the maximum that the request allows"),
            Self::BalanceLeft => (409, "balance-left", "The consumer has a balance"),
            Self::BalanceTooLow => (409, "balance-too-low", "The available balance is lower than the debit"),
            Self::ReferenceTaken => (409, "reference-taken", "The reference was used for something else"),
            Self::LastKey => (409, "last-key", "The key is the consumer's last one"),
            Self::NameTaken => (409, "name-taken", "The name is taken"),
            Self::BodyTooLarge => (413, "body-too-large", "The body is too large"),
            Self::HeadTooLarge => (431, "head-too-large", "The header fields are too many or too large"),
            Self::UrlTooLong => (414, "url-too-long", "The URL is too long"),
            Self::UnsupportedMediaType => {
                (415, "unsupported-media-type", "The body is of another kind than is taken here")
            }
            Self::UploadTorn => (400, "upload-torn", "The upload did not arrive whole"),
            Self::InvalidArchive => (400, "invalid-archive", "The archive is no plugin's folder"),
            Self::PluginRefused => (422, "plugin-refused", "The plugin cannot be taken"),
            Self::IdempotencyMismatch => {
                (422, "idempotency-mismatch", "The idempotency key was used for another request")
            }
            Self::SchemaMismatch => (422, "schema-mismatch", "The body is not as the API's schema has it"),
            Self::MisplacedField => (422, "misplaced-field", "A field for the gateway is where it is not read"),
            Self::MisnamedField => (422, "misnamed-field", "A field is named almost like one for the gateway"),
            Self::WebhookUrlInvalid => (422, "webhook-url-invalid", "The webhook URL cannot be used"),
            Self::WebhookUrlForbidden => {
                (422, "webhook-url-forbidden", "The webhook URL points where webhooks may not go")
            }
            Self::WebhookEventsUnsupported => (422, "webhook-events-unsupported", "A webhook event is not available"),
            Self::InvalidValue => (422, "invalid-value", "A value cannot be used"),
            Self::HandlerTrapped => (502, "handler-trapped", "The handler broke off without an answer"),
            Self::TransformFailed => (502, "transform-failed", "A transform of the API gave no answer"),
            Self::CpuLimit => (502, "cpu-limit", "The handler used more CPU time than its limit"),
            Self::MemoryLimit => (502, "memory-limit", "The handler used more memory than its limit"),
            Self::WallLimit => (502, "wall-limit", "The handler took longer than its limit"),
            Self::StackOverflow => (502, "stack-overflow", "The handler used more stack than its limit"),
            Self::ResourceLimit => (502, "resource-limit", "The handler went over one of its limits"),
            Self::ResponseInvalid => (502, "response-invalid", "The handler's answer cannot be used"),
            Self::CaptureInvalid => (502, "capture-invalid", "The amount to capture is invalid"),
            Self::OwnerFailed => (502, "owner-failed", "The owner's side failed"),
            Self::OwnerUnavailable => {
                (502, "owner-unavailable", "The owner's side was not ready, and no runs are left")
            }
            Self::UpstreamFailed => (502, "upstream-failed", "The upstream gave no answer"),
            Self::UnknownCallback => (404, "unknown-callback", "There is no such callback"),
            Self::CallbackConflict => (409, "callback-conflict", "The request has ended otherwise"),
            Self::CallbackStale => (409, "callback-stale", "The callback is of an earlier run that was refused"),
            Self::CallbackExpired => (410, "callback-expired", "The request's deadline has passed"),
            Self::ConsumerError => (400, "request-refused", "The owner's side refused the request"),
            Self::RevisionUnavailable => {
                (502, "revision-unavailable", "The revision that this request was accepted under cannot be run")
            }
            Self::PluginConflict => (409, "plugin-conflict", "The plugin cannot be changed like that"),
            Self::ApiCompiling => (503, "api-compiling", "The API is still being compiled"),
            Self::PluginStopped => (503, "plugin-stopped", "The operator stopped the plugin"),
            Self::Cancelled => (409, "cancelled", "The request was cancelled"),
            Self::TooLateToCancel => (409, "too-late-to-cancel", "The request cannot be cancelled any more"),
            Self::RunLost => (502, "run-lost", "The runs of this request were lost to restarts of the gateway"),
            Self::DeadlineExceeded => (504, "deadline-exceeded", "The request was not answered before its deadline"),
            Self::TooManyStreams => (429, "too-many-streams", "Too many streams of events are open"),
            Self::RateLimited => (429, "rate-limited", "Calls come faster than they may"),
            Self::ConcurrencyLimited => (429, "concurrency-limited", "Too many requests have not ended"),
            Self::QuotaExceeded => (429, "quota-exceeded", "The day's requests are used up"),
            Self::Overloaded => (503, "overloaded", "The gateway has more work than it may take on"),
            Self::AnswersOverloaded => (503, "answers-overloaded", "Too many large answers are being sent"),
            Self::StoreUnavailable => (503, "store-unavailable", "The gateway cannot write at the moment"),
            Self::StorageFull => (503, "storage-full", "The gateway has no room to keep more requests"),
            Self::Internal => (500, "internal", "Something is wrong with the gateway"),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.line().0
    }

    /// The last part of its type, and the name of its page.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        self.line().1
    }

    /// The type in words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.line().2
    }
}

/// One problem.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Problem {
    // Boxed: it is the rare half of many results.
    fields: Box<Fields>,
}

#[derive(Debug, Clone, Serialize)]
struct Fields {
    /// A stable URI.
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(flatten, skip_serializing_if = "serde_json::Map::is_empty")]
    members: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of the gateway's own; `detail` says what to do.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, slug, title) = kind.line();
        let fields = Fields {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: title.to_owned(),
            status,
            detail: Some(detail.into()),
            members: serde_json::Map::new(),
            headers: Vec::new(),
        };
        Self { fields: Box::new(fields) }
    }

    /// An owner's problem, under the owner's own prefix, so that no guest can imitate one of the gateway's.
    #[must_use]
    pub fn of_owner(owner: &str, status: u16, problem: ripost_runtime::Problem) -> Self {
        let kind: String = problem
            .kind
            .chars()
            .map(|letter| if letter.is_ascii_lowercase() || letter.is_ascii_digit() { letter } else { '-' })
            .take(64)
            .collect();
        let kind = if kind.is_empty() { "failed".to_owned() } else { kind };
        let mut members = serde_json::Map::new();
        if !problem.attributes.is_empty() {
            let attributes = problem.attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
            members.insert("attributes".to_owned(), serde_json::Value::Object(attributes));
        }
        let fields = Fields {
            kind: format!("urn:ripost:owner:{owner}:problem:{kind}"),
            title: problem.title,
            status,
            detail: problem.detail,
            members,
            headers: Vec::new(),
        };
        Self { fields: Box::new(fields) }
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.fields.members.insert(name.to_owned(), value.into());
        self
    }

    /// Says something else of what to do.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.fields.detail = Some(detail.into());
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.headers.push((name, value));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.fields.status
    }

    /// The stable URI.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.fields.kind
    }

    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.fields.kind.strip_prefix(TYPE_PREFIX) == Some(kind.slug())
    }

    /// The JSON body.
    ///
    /// # Panics
    /// Never: there is nothing in it that JSON cannot say.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).expect("a problem is plain JSON").into()
    }

    /// The whole response.
    #[must_use]
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = response_of(self.fields.status, self.to_json());
        response.headers_mut().extend(self.fields.headers);
        response
    }
}

/// A response from a problem that was stored as JSON.
#[must_use]
pub fn response_of(status: u16, json: Bytes) -> Response<Full<Bytes>> {
    let help = help(&json);
    let mut response = Response::new(Full::new(json));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(help) = help {
        response.headers_mut().append(header::LINK, help);
    }
    response
}

#[derive(Deserialize)]
struct StoredKind<'j> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'j, str>,
}

/// Where the page about a problem of the gateway's own is; an owner's has none.
fn help(json: &[u8]) -> Option<HeaderValue> {
    let StoredKind { kind } = serde_json::from_slice(json).ok()?;
    let slug = kind.strip_prefix(TYPE_PREFIX)?;
    HeaderValue::from_str(&format!("<{}{slug}>; rel=\"help\"", pages::PATH)).ok()
}

impl From<ripost_store::StoreError> for Problem {
    fn from(error: ripost_store::StoreError) -> Self {
        use ripost_store::StoreError as E;
        match error {
            E::Busy => Self::new(Kind::Overloaded, "Nothing was written. Send the request again after the time in Retry-After.")
                .retry_after(Duration::from_secs(1)),
            E::CommitFailed(_) | E::Closed => Self::new(
                Kind::StoreUnavailable,
                "Nothing was written. Send the request again after the time in Retry-After; an idempotency key makes that safe.",
            )
            .retry_after(Duration::from_secs(2)),
            E::Sql(cause) | E::Corrupt(cause) => {
                tracing::error!(error = %cause, "The store refused an operation");
                Self::new(Kind::Internal, "The operator finds the cause in the log.")
            }
            E::File { path, message } => {
                tracing::error!(%path, error = %message, "A result file cannot be read");
                Self::new(Kind::Internal, "The operator finds the cause in the log.")
            }
        }
    }
}

#[cfg(test)]
mod tests;
