//! HTTP to where the manifest's grants allow it.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, Headers};

/// One call to the outside, for [`Context::fetch`](crate::Context::fetch).
///
/// ```
/// use ripost_sdk::OutboundRequest;
///
/// let request = OutboundRequest::post("https://api.example.com/v1/orders")
///     .header("authorization", "Bearer …")
///     .json(&[1, 2, 3])
///     .timeout_ms(2_000);
/// assert_eq!(request.body, b"[1,2,3]");
/// assert_eq!(request.headers.get("content-type"), Some("application/json"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRequest {
    /// HTTP method, upper case.
    pub method: String,
    /// `https://…`, or `http://…` where that is granted.
    pub url: String,
    /// The host adds `host`, `content-length` and what belongs to the connection.
    pub headers: Headers,
    /// May be empty.
    pub body: Vec<u8>,
    /// For the whole exchange; none: the API's limit, which is the most in any case.
    pub timeout_ms: Option<u32>,
    unusable: Option<String>,
}

/// What came back, whatever its status. Redirects are not followed, and nothing is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundResponse {
    /// 200 to 599.
    pub status: u16,
    /// As they came.
    pub headers: Headers,
    /// Whole.
    pub body: Vec<u8>,
    /// Who was asked; none of one that a test has made and nobody has fetched.
    pub(crate) host: Option<String>,
}

/// Why there is no response. The text says which host it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundError {
    /// No grant covers the URL; the text says which do.
    NotGranted(String),
    /// The host leads to an address that handlers may not reach.
    AddressForbidden(String),
    /// Too many calls, or too large; the text has the figures.
    Limit(String),
    /// No answer in time.
    Timeout(String),
    /// No connection; nothing was sent.
    Connection(String),
    /// Sent, and no whole answer: it may have happened.
    InDoubt(String),
    /// The host cannot call out now; trying again may help.
    Unavailable(String),
    /// Not a request that HTTP can carry.
    Invalid(String),
}

impl OutboundRequest {
    /// A call of any method.
    #[must_use]
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Headers::default(),
            body: Vec::new(),
            timeout_ms: None,
            unusable: None,
        }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST`.
    #[must_use]
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// A `PUT`.
    #[must_use]
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// A `DELETE`.
    #[must_use]
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header, beside those of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.append(name, value);
        self
    }

    /// A body of some content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.set("content-type", content_type);
        self.body = body.into();
        self
    }

    /// A value as a JSON body. One that cannot be JSON (a map whose keys are not text) makes the call
    /// [`OutboundError::Invalid`].
    #[must_use]
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body("application/json", body),
            Err(error) => {
                self.unusable = Some(error.to_string());
                self
            }
        }
    }

    /// Milliseconds for the whole exchange.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// The host and its port, for messages. Never what else is in a URL: there may be a secret in it.
    pub(crate) fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    }

    pub(crate) fn check(&self) -> Result<(), OutboundError> {
        self.unusable.as_ref().map_or(Ok(()), |why| Err(OutboundError::Invalid(why.clone())))
    }
}

impl OutboundResponse {
    /// A response, for what stands in for the outside in tests.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Headers::default(), body: body.into(), host: None }
    }

    fn answer(&self) -> String {
        self.host.as_ref().map_or_else(|| "the answer".to_owned(), |host| format!("the answer of {host}"))
    }

    /// The response if its status is 2xx. Otherwise a failure: 408, 425, 429 and 5xx ask for another run, anything else
    /// is the owner's failure.
    ///
    /// # Errors
    /// As said.
    pub fn success(self) -> Result<Self, Failure> {
        let failure = match self.status {
            200..=299 => return Ok(self),
            408 | 425 | 429 | 500.. => Failure::retry("service-failed", "A service that the API needs has failed"),
            _ => Failure::failed("service-refused", "A service that the API needs has refused it"),
        };
        Err(failure.caused_by(format!("{} has status {}", self.answer(), self.status)))
    }

    /// The body as a value from JSON.
    ///
    /// # Errors
    /// It is not JSON, or of another shape: the owner's failure.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| self.unusable("JSON of this shape", &error))
    }

    /// The body as text.
    ///
    /// # Errors
    /// It is not UTF-8: the owner's failure.
    pub fn text(&self) -> Result<&str, Failure> {
        str::from_utf8(&self.body).map_err(|error| self.unusable("text", &error))
    }

    fn unusable(&self, wanted: &str, error: &dyn std::error::Error) -> Failure {
        Failure::failed("service-answer-unusable", "A service that the API needs gave an answer that it cannot use")
            .caused_by(format!("{} is not {wanted}: {error}", self.answer()))
    }
}

impl fmt::Display for OutboundError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(text)
            | Self::NotGranted(text)
            | Self::AddressForbidden(text)
            | Self::Limit(text)
            | Self::Connection(text)
            | Self::InDoubt(text)
            | Self::Unavailable(text)
            | Self::Invalid(text) => formatter.write_str(text),
        }
    }
}

/// No connection, no answer in time and a host that cannot call out ask for another run. The others are the owner's
/// failure; so is a call in doubt, which must not be made twice without a thought.
impl From<OutboundError> for Failure {
    fn from(error: OutboundError) -> Self {
        let failure = match &error {
            OutboundError::Timeout(_) | OutboundError::Connection(_) | OutboundError::Unavailable(_) => {
                Self::retry("service-unreachable", "A service that the API needs cannot be reached now")
            }
            OutboundError::InDoubt(_) => {
                Self::failed("service-in-doubt", "A service that the API needs did not say what it did")
            }
            OutboundError::NotGranted(_)
            | OutboundError::AddressForbidden(_)
            | OutboundError::Limit(_)
            | OutboundError::Invalid(_) => {
                Self::failed("service-not-callable", "The API cannot call a service that it needs")
            }
        };
        failure.caused_by(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{OutboundError, OutboundRequest, OutboundResponse};
    use crate::{Context, Failure, KvError, SecretError, Verdict};

    #[test]
    fn what_may_pass_asks_for_another_run_and_the_rest_is_the_owners_failure() {
        let text = || "why".to_owned();
        let retry = Verdict::Retry { after_s: None };
        for (failure, verdict) in [
            (Failure::from(OutboundError::Timeout(text())), retry),
            (OutboundError::Connection(text()).into(), retry),
            (OutboundError::Unavailable(text()).into(), retry),
            (OutboundError::InDoubt(text()).into(), Verdict::Failed),
            (OutboundError::NotGranted(text()).into(), Verdict::Failed),
            (OutboundError::AddressForbidden(text()).into(), Verdict::Failed),
            (OutboundError::Limit(text()).into(), Verdict::Failed),
            (OutboundError::Invalid(text()).into(), Verdict::Failed),
            (KvError::Unavailable(text()).into(), retry),
            (KvError::NotGranted.into(), Verdict::Failed),
            (KvError::QuotaExceeded(text()).into(), Verdict::Failed),
            (KvError::TooLarge(text()).into(), Verdict::Failed),
            (SecretError::Missing(text()).into(), Verdict::Failed),
            (SecretError::NotGranted(text()).into(), Verdict::Failed),
        ] {
            assert_eq!(failure.verdict(), verdict, "{failure:?}");
            assert!(failure.cause().is_some_and(|cause| !cause.is_empty()), "{failure:?}");
            assert!(!failure.problem().title.contains("why"), "the consumer is not told");
        }
    }

    #[test]
    fn a_response_that_is_no_success_becomes_a_failure_by_its_status() {
        let verdict = |status| OutboundResponse::new(status, "").success().map_err(|failure| failure.verdict());
        assert!(verdict(204).is_ok());
        let retry = Err(Verdict::Retry { after_s: None });
        for status in [408, 429, 500, 503] {
            assert_eq!(verdict(status).map(|_| ()), retry, "{status}");
        }
        for status in [302, 400, 404] {
            assert_eq!(verdict(status).map(|_| ()), Err(Verdict::Failed), "{status}");
        }
        assert_eq!(OutboundResponse::new(200, "[1]").json::<Vec<u8>>().unwrap(), [1]);
        assert_eq!(OutboundResponse::new(200, "x").json::<u8>().unwrap_err().verdict(), Verdict::Failed);
        assert_eq!(OutboundResponse::new(200, "x").text().unwrap(), "x");
    }

    #[test]
    fn the_owner_reads_which_host_it_was_and_nothing_else_of_its_url() {
        let answer = |status, body: &str| {
            let body = body.to_owned();
            let ctx = Context::test().on_fetch(move |_| Ok(OutboundResponse::new(status, body.clone())));
            ctx.fetch(OutboundRequest::get("https://rates.example:8443/v1?key=hunter2")).unwrap()
        };
        for (failure, cause) in [
            (answer(503, "").success().unwrap_err(), "the answer of rates.example:8443 has status 503"),
            (
                answer(200, "x").json::<u8>().unwrap_err(),
                "the answer of rates.example:8443 is not JSON of this shape: expected value at line 1 column 1",
            ),
        ] {
            assert_eq!(failure.cause(), Some(cause));
        }
        for (url, host) in [
            ("https://a.example/x", "a.example"),
            ("http://user:pw@127.0.0.1:4500", "127.0.0.1:4500"),
            ("https://[::1]:1?q", "[::1]:1"),
            ("a.example", "a.example"),
            ("", ""),
        ] {
            assert_eq!(OutboundRequest::get(url).host(), host);
        }
    }

    #[test]
    fn a_body_that_cannot_be_json_is_an_invalid_call_and_is_not_made() {
        let ctx = Context::test().on_fetch(|_| Ok(OutboundResponse::new(200, "")));
        let keys = BTreeMap::from([(vec![1], 1)]);
        let error = ctx.fetch(OutboundRequest::post("https://a.example").json(&keys)).unwrap_err();
        assert!(matches!(error, OutboundError::Invalid(_)), "{error:?}");
        assert!(ctx.recorded().fetches().is_empty());
    }
}
