//! One call of an API, and what a handler can take it as.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use crate::{Failure, Headers};

/// A request without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `req_…`; the same over all runs of this request.
    pub id: String,
    /// The owner of the API: you.
    pub owner: String,
    /// The API's slug.
    pub api: String,
    /// A stable, opaque name for the consumer, different for each owner.
    pub consumer: String,
    /// 1 for the first run.
    pub attempt: u32,
    /// `POST` and the like.
    pub method: String,
    /// What follows `/api/{owner}/api/{slug}`; empty or begins with `/`.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// As the consumer sent them, without those that are for the gateway.
    pub headers: Headers,
    /// Unix time in milliseconds at which the run is stopped.
    pub deadline_ms: u64,
    /// What a later host may tell, by name.
    pub attributes: Vec<(String, String)>,
}

/// A request as it was accepted. The fields of [`Head`] are its own: `request.method`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) head: Arc<Head>,
    /// Without the fields that are for the gateway (`webhook_url` and the like).
    pub body: Vec<u8>,
}

impl Request {
    /// A request of that head and body; in a component the host makes it.
    #[must_use]
    pub fn new(head: Head, body: impl Into<Vec<u8>>) -> Self {
        Self { head: Arc::new(head), body: body.into() }
    }
}

impl Deref for Request {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// For request transforms: `request.path = …`.
impl DerefMut for Request {
    fn deref_mut(&mut self) -> &mut Head {
        Arc::make_mut(&mut self.head)
    }
}

/// What a handler can take: made from the request before the handler runs.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}`",
    label = "a request cannot be read as this",
    note = "a handler takes `&Context` first, if it wants one, and then `Json<T>` (with `T: serde::Deserialize`), `String`, `Vec<u8>` or `Request`"
)]
pub trait FromRequest: Sized {
    /// Reads the request.
    ///
    /// # Errors
    /// Mostly [`Failure::invalid`], with a detail that tells the consumer what to change.
    fn from_request(request: Request) -> Result<Self, Failure>;
}

impl FromRequest for Request {
    fn from_request(request: Request) -> Result<Self, Failure> {
        Ok(request)
    }
}

impl FromRequest for Vec<u8> {
    fn from_request(request: Request) -> Result<Self, Failure> {
        Ok(request.body)
    }
}

impl FromRequest for String {
    fn from_request(request: Request) -> Result<Self, Failure> {
        String::from_utf8(request.body).map_err(|error| {
            Failure::invalid("body-not-text", "The body is not UTF-8 text")
                .detail(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
                .status(400)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FromRequest;
    use crate::{Verdict, testing::request};

    #[test]
    fn a_body_that_is_not_utf8_is_the_consumers_mistake_when_the_handler_takes_text() {
        assert_eq!(String::from_request(request("grüße")).unwrap(), "grüße");
        let failure = String::from_request(request(vec![b'a', b'b', 0xff])).unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Invalid);
        assert_eq!(failure.problem().detail.as_deref(), Some("byte 2 is not UTF-8"));
    }

    #[test]
    fn a_request_reads_like_its_head() {
        let request = request("x");
        assert_eq!((request.method.as_str(), request.attempt), ("POST", 1));
        assert_eq!(request.headers.get("Content-Type"), Some("application/json"));
    }
}
