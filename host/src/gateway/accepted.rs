//! What a call is answered that was accepted: the `202`, or its end.

use super::answer::{self, REQUEST_ID, request_id_value};
use super::prefer::Prefer;
use super::view::{self, Head, SettlementView};
use crate::live::Ended;
use crate::problem;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_store::Accept;

/// How soon a caller may usefully ask for the state again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Says that an idempotency key named this request before: the name that payment services have made known.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Of one that has just been accepted.
pub(super) fn accepted_response(base: &str, accept: &Accept) -> Response<Full<Bytes>> {
    let head = Head {
        id: accept.id,
        status: State::Accepted,
        api: &accept.api,
        created_at: accept.created_at,
        expires_at: accept.expires_at,
        finished_at: None,
        attempts: 0,
        next_attempt_at: None,
        settlement: SettlementView::open(accept.split),
        has_webhook: accept.webhook_url.is_some(),
        result_url: &String::new,
    };
    accepted_with(accept.id, view::accepted(base, head))
}

/// The same with what is to be said of it.
pub(super) fn accepted_with(id: RequestId, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::LOCATION, HeaderValue::from_str(&format!("/requests/{id}")).expect("an id is ASCII"));
    headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    headers.insert(REQUEST_ID.clone(), request_id_value(id));
    response
}

/// What it came to, for a caller who has waited.
pub(super) fn answer_ended(method: &Method, id: RequestId, ended: Ended, prefer: Prefer) -> Response<Full<Bytes>> {
    let response = match ended {
        Ended::Answer(answer) => answer::response_to(method, id, answer),
        Ended::Problem { status, json } => {
            let mut response = problem::response_of(status, json);
            response.headers_mut().insert(REQUEST_ID.clone(), request_id_value(id));
            response
        }
    };
    with_preference(response, prefer, true)
}

/// Says which preference was applied.
pub(super) fn with_preference(
    mut response: Response<Full<Bytes>>,
    prefer: Prefer,
    waited: bool,
) -> Response<Full<Bytes>> {
    if let Some(applied) = prefer.applied(waited) {
        response.headers_mut().insert("preference-applied", applied);
    }
    response
}
