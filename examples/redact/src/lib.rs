//! Takes named fields out of a JSON result, however deep they are: what the handler knows and the consumer need not.

mod copy;

use ripost_sdk::{Failure, Log, Response};

/// Names of fields that no consumer sees.
const REDACTED: [&str; 2] = ["generated_at", "revenue_cents"];

#[ripost_sdk::response_transform]
fn redact(log: &Log, mut response: Response) -> Result<Response, Failure> {
    // Another form of the result could hold the same secrets in a way that is not understood here: better none at all.
    if !is_json(&response) {
        return Err(Failure::failed("not-redactable", "This API gives its results as JSON only"));
    }
    let (body, removed) = copy::without(&REDACTED, &response.body)?;
    ripost_sdk::debug!(log, removed = removed, "redacted");
    response.body = body;
    Ok(response)
}

/// `application/json`, and anything `+json`.
fn is_json(response: &Response) -> bool {
    let content_type = response.headers.get("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type == "application/json" || media_type.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use ripost_sdk::{Log, Response, Verdict};
    use serde_json::{Value, json};

    use super::redact;

    #[test]
    fn a_field_is_taken_out_however_deep_it_is_and_the_rest_stays() {
        let result = json!({
            "generated_at": "2026-01-01T00:00:00Z",
            "report": [{ "region": "north", "revenue_cents": 1 }, { "region": "south", "more": { "revenue_cents": 2 } }],
        });
        let log = Log::test();
        let response = redact(&log, Response::json(&result).unwrap().with_status(201)).unwrap();
        assert_eq!(response.status, 201);
        let left: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(left, json!({ "report": [{ "region": "north" }, { "region": "south", "more": {} }] }));
        assert_eq!(log.recorded().logs()[0].fields, [("removed".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn a_result_that_is_not_json_is_held_back() {
        let failure = redact(&Log::test(), Response::bytes("text/csv", "revenue_cents\n1\n")).unwrap_err();
        assert_eq!((failure.verdict(), failure.problem().kind.as_str()), (Verdict::Failed, "not-redactable"));
    }

    #[test]
    fn what_calls_itself_json_and_is_none_is_held_back_too() {
        let failure = redact(&Log::test(), Response::bytes("application/json; charset=utf-8", "{")).unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Failed);
        assert!(failure.cause().is_some());
    }
}
