//! Answers the body and the content type that it was asked with: as little as a handler can do, for the bench.

use ripost_sdk::{Request, Response};

#[ripost_sdk::handler]
fn echo(request: Request) -> Response {
    let content_type = request.headers.get("content-type").unwrap_or("application/octet-stream");
    Response::bytes(content_type, request.body.as_slice())
}

#[cfg(test)]
mod tests {
    use ripost_sdk::testing::request;

    use super::echo;

    #[test]
    fn the_answer_is_what_was_asked() {
        let answer = echo(request(r#"{"n":1}"#));
        assert_eq!(answer.body, br#"{"n":1}"#);
        assert_eq!(answer.headers.get("content-type"), Some("application/json"));
    }
}
