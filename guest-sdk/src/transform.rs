//! What transforms take and return: the message they rewrite, or JSON in its body.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, FromRequest, Headers, Json, Log, Request, Response};

/// A payload for the consumer's endpoint, before it is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhook {
    /// `started`, `progress` or `completed`. The host ignores a change to it.
    pub event: String,
    /// Sent beside those of the gateway, which cannot be replaced.
    pub headers: Headers,
    /// What is signed and sent, in every attempt.
    pub body: Vec<u8>,
    /// What a later host may tell, by name.
    pub attributes: Vec<(String, String)>,
}

impl Webhook {
    /// A payload of that event; in a component the host makes it.
    #[must_use]
    pub fn new(event: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = [("content-type", "application/json")].into_iter().collect();
        Self { event: event.to_owned(), headers, body: body.into(), attributes: Vec::new() }
    }
}

/// What a transform rewrites: [`Request`], [`Response`] or [`Webhook`].
pub trait Message: Sized {
    /// The same without its body.
    #[doc(hidden)]
    fn rest(&self) -> Self;
    #[doc(hidden)]
    fn body(&self) -> &[u8];
    /// Puts another body in place of its own, and says what it is.
    #[doc(hidden)]
    fn set_json(&mut self, body: Vec<u8>);
}

macro_rules! messages {
    ($($message:ident { $($field:ident),* } $headers:ident;)*) => {$(
        impl Message for $message {
            fn rest(&self) -> Self {
                Self { body: Vec::new(), $($field: self.$field.clone()),* }
            }

            fn body(&self) -> &[u8] {
                &self.body
            }

            fn set_json(&mut self, body: Vec<u8>) {
                self.$headers.set("content-type", "application/json");
                self.body = body;
            }
        }

        impl FromMessage<$message> for $message {
            fn from_message(message: $message) -> Result<Self, Failure> {
                Ok(message)
            }
        }

        impl IntoMessage<$message> for $message {
            fn into_message(self, _rest: $message) -> Result<$message, Failure> {
                Ok(self)
            }
        }
    )*};
}

messages! {
    Request { head } headers;
    Response { status, headers, attributes } headers;
    Webhook { event, headers, attributes } headers;
}

/// What a transform can take: made from the message before the transform runs.
#[diagnostic::on_unimplemented(
    message = "a transform of a `{M}` cannot take `{Self}`",
    label = "a `{M}` cannot be read as this",
    note = "a transform takes `&Log` first, if it wants one, and last `{M}` or `Json<T>` (with `T: serde::Deserialize`)"
)]
pub trait FromMessage<M>: Sized {
    /// Reads the message.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_message(message: M) -> Result<Self, Failure>;
}

impl<T: DeserializeOwned> FromMessage<Request> for Json<T> {
    fn from_message(message: Request) -> Result<Self, Failure> {
        Self::from_request(message)
    }
}

impl<T: DeserializeOwned> FromMessage<Response> for Json<T> {
    fn from_message(message: Response) -> Result<Self, Failure> {
        own_json(&message.body, "the response's body is not the JSON that this transform takes")
    }
}

impl<T: DeserializeOwned> FromMessage<Webhook> for Json<T> {
    fn from_message(message: Webhook) -> Result<Self, Failure> {
        own_json(&message.body, "the webhook's body is not the JSON that this transform takes")
    }
}

/// The consumer has not written this body, and need not know what is in it.
fn own_json<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<Json<T>, Failure> {
    serde_json::from_slice(body).map(Json).map_err(|error| {
        Failure::failed("unexpected-json", "The API's own data has another shape than it takes")
            .caused_by(format!("{what}: {error}"))
    })
}

/// What a transform can return.
#[diagnostic::on_unimplemented(
    message = "a transform of a `{M}` cannot return `{Self}`",
    label = "this cannot be made a `{M}`",
    note = "a transform returns `{M}`, `Json<T>` (a new body, with `T: serde::Serialize`; the rest stays), or a `Result` of one of these"
)]
pub trait IntoMessage<M> {
    /// Makes the message; `rest` is the one that came, without its body.
    ///
    /// # Errors
    /// The transform's own refusal, or one of making the message.
    fn into_message(self, rest: M) -> Result<M, Failure>;
}

impl<M: Message, T: Serialize> IntoMessage<M> for Json<T> {
    fn into_message(self, mut rest: M) -> Result<M, Failure> {
        rest.set_json(serde_json::to_vec(&self.0)?);
        Ok(rest)
    }
}

impl<M, T: IntoMessage<M>, E: Into<Failure>> IntoMessage<M> for Result<T, E> {
    fn into_message(self, rest: M) -> Result<M, Failure> {
        self.map_err(Into::into)?.into_message(rest)
    }
}

/// What a response transform can take by reference, before the response.
#[diagnostic::on_unimplemented(
    message = "a response transform cannot take `&{Self}`",
    label = "this is not at hand in a response transform",
    note = "it takes `&Log` and `&Request` by reference, as it wants, and last `Response` or `Json<T>`"
)]
pub trait Beside {
    #[doc(hidden)]
    fn beside<'a>(log: &'a Log, request: &'a Request) -> &'a Self;
}

impl Beside for Log {
    fn beside<'a>(log: &'a Log, _request: &'a Request) -> &'a Self {
        log
    }
}

impl Beside for Request {
    fn beside<'a>(_log: &'a Log, request: &'a Request) -> &'a Self {
        request
    }
}

#[cfg(test)]
mod tests {
    use super::{FromMessage, IntoMessage, Message, Webhook};
    use crate::{Failure, Json, Request, Response, Verdict, testing::request};

    #[test]
    fn json_is_a_new_body_and_the_rest_stays() {
        let mut asked = request("old");
        asked.path = "/v1".to_owned();
        let rewritten: Request = Json([1, 2]).into_message(asked.rest()).unwrap();
        assert_eq!((rewritten.path.as_str(), rewritten.body.as_slice()), ("/v1", b"[1,2]".as_slice()));

        let answer = Response::text("old").with_status(201).with_header("x-a", "1");
        let made: Response = Ok::<_, Failure>(Json("new")).into_message(answer.rest()).unwrap();
        assert_eq!((made.status, made.headers.get("x-a")), (201, Some("1")));
        assert_eq!(made.headers.get("content-type"), Some("application/json"));
        assert_eq!(made.body, br#""new""#);
    }

    #[test]
    fn a_message_by_itself_replaces_all_of_the_one_that_came() {
        let made: Response = Response::new(204).into_message(Response::text("old").rest()).unwrap();
        assert_eq!(made, Response::new(204));
    }

    #[test]
    fn a_shape_that_the_consumer_did_not_write_is_the_owners_failure_and_nothing_of_it_is_shown() {
        let failure = Json::<u32>::from_message(Webhook::new("completed", r#"{"secret":1}"#)).unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Failed);
        assert!(failure.cause().unwrap().contains("expected u32"), "{failure:?}");
        assert!(!format!("{:?}", failure.problem()).contains("u32"));
        let failure = <Json<u32> as FromMessage<Request>>::from_message(request("{}")).unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Invalid);
    }

    #[test]
    fn a_changed_request_leaves_other_holders_of_its_head_alone() {
        let first = request("x");
        let mut second = first.clone();
        second.query = Some("a=1".to_owned());
        assert_eq!((first.query.as_deref(), second.query.as_deref()), (None, Some("a=1")));
    }
}
