//! What a handler answers, and what it can be made from.

use serde::Serialize;

use crate::{Failure, Headers, Usdc};

/// The attribute that says how much of the price is captured.
const CAPTURE: &str = "capture-usdc";

/// An answer. 2xx and 3xx complete the request and capture its price; 408, 425, 429 and 503 ask for another run; other
/// 4xx are the consumer's mistake and other 5xx the owner's, and both release the hold.
///
/// ```
/// use ripost_sdk::Response;
///
/// let csv = Response::bytes("text/csv; charset=utf-8", "region,units\nnorth,3\n")
///     .with_header("content-disposition", "attachment; filename=\"report.csv\"");
/// assert_eq!(csv.status, 200);
/// assert_eq!(csv.headers.get("content-type"), Some("text/csv; charset=utf-8"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// An HTTP status.
    pub status: u16,
    /// `content-type` and whatever else the consumer should get.
    pub headers: Headers,
    /// The answer itself.
    pub body: Vec<u8>,
    /// What the host should know, by name.
    pub attributes: Vec<(String, String)>,
}

impl Response {
    /// An answer with no body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Headers::default(), body: Vec::new(), attributes: Vec::new() }
    }

    /// 200 with bytes of some content type.
    #[must_use]
    pub fn bytes(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut response = Self::new(200);
        response.headers.append("content-type", content_type);
        response.body = body.into();
        response
    }

    /// 200 with plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::bytes("text/plain; charset=utf-8", text.into())
    }

    /// 200 with a value as JSON.
    ///
    /// # Errors
    /// If the value cannot be JSON (a map whose keys are not text): the owner's failure.
    pub fn json(value: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self::bytes("application/json", serde_json::to_vec(value)?))
    }

    /// The same answer with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same answer with a header, in place of all of that name.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.set(name, value);
        self
    }

    /// The same answer for less than the API's price, down to nothing: this much is captured and the rest of the hold
    /// goes back to the consumer. More than the price fails the request, and then nothing is captured.
    ///
    /// ```
    /// use ripost_sdk::{Failure, Json, Response, Usdc};
    ///
    /// /// A tenth of a cent a page; the manifest's `price` is the most that a call can cost.
    /// const PER_PAGE: Usdc = Usdc::from_micros(1_000);
    ///
    /// #[ripost_sdk::handler]
    /// fn scan(Json(pages): Json<Vec<String>>) -> Result<Response, Failure> {
    ///     let found: Vec<&String> = pages.iter().filter(|page| page.contains("invoice")).collect();
    ///     Ok(Response::json(&found)?.with_capture(PER_PAGE.times(pages.len() as u64)))
    /// }
    ///
    /// let answer = scan(Json(vec!["invoice 1".to_owned(), "letter".to_owned()])).unwrap();
    /// assert_eq!(answer.capture(), Some(Usdc::from_micros(2_000)));
    /// ```
    #[must_use]
    pub fn with_capture(mut self, amount: Usdc) -> Self {
        self.attributes.retain(|(name, _)| name != CAPTURE);
        self.with_attribute(CAPTURE, amount.to_string())
    }

    /// How much of the price this answer costs; none: all of it.
    #[must_use]
    pub fn capture(&self) -> Option<Usdc> {
        let (_, amount) = self.attributes.iter().find(|(name, _)| name == CAPTURE)?;
        amount.parse().ok()
    }

    /// The same answer with something more for the host to know.
    #[must_use]
    pub fn with_attribute(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }
}

/// What a handler can return.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "this cannot be made a response",
    note = "a handler returns `Json<T>` (with `T: serde::Serialize`), `String`, `Vec<u8>`, `()`, `Response`, or a `Result` of one of these with `Failure`"
)]
pub trait IntoResponse {
    /// Makes the answer.
    ///
    /// # Errors
    /// The handler's own failure, or one of making the answer.
    fn into_response(self) -> Result<Response, Failure>;
}

impl IntoResponse for Response {
    fn into_response(self) -> Result<Response, Failure> {
        Ok(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Result<Response, Failure> {
        Ok(Response::new(204))
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Result<Response, Failure> {
        Ok(Response::text(self))
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Result<Response, Failure> {
        Ok(Response::text(self))
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Result<Response, Failure> {
        Ok(Response::bytes("application/octet-stream", self))
    }
}

impl<T: IntoResponse, E: Into<Failure>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Result<Response, Failure> {
        self.map_err(Into::into)?.into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::{IntoResponse, Response};
    use crate::{Failure, Json, Usdc, Verdict};

    #[test]
    fn what_a_handler_returns_says_its_content_type() {
        let cases: [(Result<Response, Failure>, u16, Option<&str>); 5] = [
            (Json([1, 2]).into_response(), 200, Some("application/json")),
            ("hello".into_response(), 200, Some("text/plain; charset=utf-8")),
            (vec![0_u8].into_response(), 200, Some("application/octet-stream")),
            (().into_response(), 204, None),
            (Response::new(303).with_header("Location", "/elsewhere").into_response(), 303, None),
        ];
        for (response, status, content_type) in cases {
            let response = response.unwrap();
            assert_eq!((response.status, response.headers.get("content-type")), (status, content_type));
        }
    }

    #[test]
    fn an_answer_names_one_amount_to_capture_the_last() {
        let answer = Response::text("x").with_attribute("other", "1");
        assert_eq!(answer.capture(), None);
        let answer = answer.with_capture(Usdc::from_micros(5)).with_capture(Usdc::ZERO);
        let attributes = [("other", "1"), ("capture-usdc", "0.000000")];
        assert_eq!(answer.attributes, attributes.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(answer.capture(), Some(Usdc::ZERO));
    }

    #[test]
    fn an_error_in_a_result_becomes_a_failure() {
        let own: Result<&'static str, Failure> = Err(Failure::invalid("no", "No"));
        assert_eq!(own.into_response().unwrap_err().verdict(), Verdict::Invalid);
        let other: Result<&'static str, std::num::ParseIntError> = "x".parse::<u8>().map(|_| "never");
        assert_eq!(other.into_response().unwrap_err().verdict(), Verdict::Failed);
    }

    #[test]
    fn a_value_that_cannot_be_json_is_the_owners_failure() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        let failure = Json(map).into_response().unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Failed);
        assert_eq!(failure.cause(), Some("key must be a string"));
    }
}
