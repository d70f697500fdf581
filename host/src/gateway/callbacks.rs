//! Callback URLs: where an owner's service posts its result, a failure, or how far it is.
//!
//! The URL is all that it needs: it names the request and the epoch, and has a MAC over both. An id that there is not
//! and a MAC that is wrong are one and the same 404. The first result that counts ends the request; the same again is
//! welcome, since whoever posts may not have heard the answer.

use super::Gateway;
use super::body::Arriving;
use super::fields::is_json;
use super::json_body::{self, Because, NotJson};
use super::requests::json;
use crate::plugins::ActiveApi;
use crate::problem::{Kind, Problem};
use crate::runs::{CalledBack, capture};
use crate::telemetry::metrics::Outcome;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_store::{Answer, Callback};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Status of the result, if it is not 200.
const STATUS: &str = "ripost-status";
/// What curl says of `-d` when nobody says otherwise.
const FORM: &str = "application/x-www-form-urlencoded";
/// A percentage: what is posted is no result.
const PROGRESS: &str = "ripost-progress";
/// Looks at a request that changes while it is looked at: each change is a step towards its end.
const LOOKS_MAX: u32 = 16;
/// A message for a status line, in a body of its own.
const PROGRESS_BYTES_MAX: usize = 16 << 10;

/// What is posted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The URL itself.
    Callback,
    /// `…/progress` below it.
    Progress,
}

/// What was posted.
enum Said {
    Progress(Progress),
    Result(Answer),
}

/// How far it is.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Progress {
    /// `percent` is what the status calls it.
    #[serde(alias = "percent")]
    progress: Option<u8>,
    #[serde(default)]
    message: String,
}

impl Gateway {
    pub(super) async fn callback(
        &self,
        request: Request<Incoming>,
        token: &str,
        part: Part,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let answered = self.take_callback(request, token, part).await;
        let outcome = match &answered {
            Ok(_) => "taken",
            Err(problem) if problem.is(Kind::UnknownCallback) => "unknown",
            Err(problem) if problem.is(Kind::CallbackStale) => "stale",
            Err(problem) if problem.is(Kind::CallbackConflict) => "conflict",
            Err(problem) if problem.is(Kind::CallbackExpired) => "expired",
            Err(_) => "refused",
        };
        self.metrics.callbacks.get_or_create(&Outcome { outcome }).inc();
        answered
    }

    async fn take_callback(
        &self,
        request: Request<Incoming>,
        token: &str,
        part: Part,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let (id, epoch) = self.keyring.read_callback_token(token).ok_or_else(unknown)?;
        let record = self.store.request(id).await?.ok_or_else(unknown)?;
        if request.method() != Method::POST {
            return Err(Problem::new(Kind::MethodNotAllowed, "A result is sent with POST.")
                .header(header::ALLOW, HeaderValue::from_static("POST")));
        }
        // Without it there are no transforms, and what they are there to take out would go through.
        let active = self.plugins.api_of(record.digest, &record.api).await.map_err(|error| {
            tracing::error!(request.id = %id, api = %record.api, %error, "A callback cannot be taken");
            let detail = "The API cannot be loaded at the moment. The callback counts for nothing yet; post it again.";
            Problem::new(Kind::StoreUnavailable, detail).retry_after(Duration::from_secs(10))
        })?;
        let (head, body) = request.into_parts();
        let is_progress = part == Part::Progress || head.headers.contains_key(PROGRESS);
        let bytes_max = if is_progress { PROGRESS_BYTES_MAX } else { active.limits.response_body_bytes };
        let body = self.read_within(Arriving::new(&head.headers, body), bytes_max).await?;
        let said = if is_progress {
            Said::Progress(progress(&head.headers, &body)?)
        } else {
            Said::Result(result(&head.headers, body)?)
        };
        self.end_by_callback(id, epoch, &said, &active).await
    }

    async fn end_by_callback(
        &self,
        id: RequestId,
        epoch: u32,
        said: &Said,
        active: &Arc<ActiveApi>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        for _ in 0..LOOKS_MAX {
            let Some(found) = self.store.unfinished(id).await? else {
                return self.after_the_end(id, epoch, said).await;
            };
            if found.claimed.callback_epoch != epoch {
                return Err(stale());
            }
            if self.clock.steady() >= found.claimed.deadline {
                return Err(expired());
            }
            let answer = match said {
                Said::Progress(Progress { progress, message }) => {
                    self.runs.called_back_progress(&found, active, *progress, message);
                    // It may have ended meanwhile, and what was kept of it been let go already.
                    if self.store.request(id).await?.is_none_or(|record| record.state.is_terminal()) {
                        self.runs.forget_awaiting(id);
                    }
                    return Ok(taken(id, found.state));
                }
                Said::Result(answer) => answer,
            };
            // Whoever posts can mend it, so it is no failure of the request yet.
            if let Err(error) = capture::asked_over_http(answer, found.claimed.split.price) {
                let detail = format!(
                    "Ripost-Capture-Usdc is an amount from 0 to the price, such as 0.020000, but {error}. Nothing was taken; correct it and post again."
                );
                return Err(Problem::new(Kind::InvalidValue, detail));
            }
            let callback = Callback { epoch, digest: digest(answer) };
            // Whoever posts may hang up, and drops this future; the end and what follows from it must not go with it.
            let (runs, active, answer) = (self.runs.clone(), active.clone(), answer.clone());
            let ending = async move { runs.call_back(found, &active, answer, callback).await };
            match self.tasks.spawn(ending).await {
                Ok(CalledBack::Ended(state)) => return Ok(taken(id, state)),
                Ok(CalledBack::Changed) => {}
                Err(_) => return Err(ripost_store::StoreError::Closed.into()),
                Ok(CalledBack::NoRoom) => {
                    let detail = "There was no room to take the result. It counts for nothing yet; post it again.";
                    return Err(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(1)));
                }
            }
        }
        let detail = "The request could not be ended. The result counts for nothing yet; post it again.";
        Err(Problem::new(Kind::StoreUnavailable, detail).retry_after(Duration::from_secs(1)))
    }

    async fn after_the_end(&self, id: RequestId, epoch: u32, said: &Said) -> Result<Response<Full<Bytes>>, Problem> {
        let record = self.store.request(id).await?.ok_or_else(unknown)?;
        if record.state == State::Expired {
            return Err(expired());
        }
        if let Said::Result(answer) = said
            && self.store.callback(id).await? == Some(Callback { epoch, digest: digest(answer) })
        {
            return Ok(taken(id, record.state));
        }
        let state = record.state.as_str();
        let detail = format!("The request is {state} already, and not by this. Nothing was changed.");
        Err(Problem::new(Kind::CallbackConflict, detail).with("state", state))
    }
}

fn unknown() -> Problem {
    let detail = "Post to the URL that came with the request, as it was. Whether it is wrong or its request is no longer kept is not told.";
    Problem::new(Kind::UnknownCallback, detail)
}

fn stale() -> Problem {
    let detail = "The request was forwarded again after it had been refused, and that run has a callback URL of its own. Nothing was changed.";
    Problem::new(Kind::CallbackStale, detail)
}

fn expired() -> Problem {
    Problem::new(Kind::CallbackExpired, "The request has expired; ask for a longer expires_in in the manifest.")
}

fn taken(id: RequestId, state: State) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "requestId": id.to_string(), "status": state.as_str() });
    json(body.to_string().into())
}

fn progress(headers: &HeaderMap, body: &[u8]) -> Result<Progress, Problem> {
    let wrong = || {
        let detail = "Progress is a percentage from 0 to 100: the header `Ripost-Progress: 40`, or {\"progress\":40,\"message\":\"…\"} posted to …/progress.";
        Problem::new(Kind::InvalidValue, detail)
    };
    let given = headers.get(PROGRESS);
    let told: Progress = match serde_json::from_slice(body) {
        Ok(told) => told,
        // With the header, the body is at most a remark.
        Err(_) if given.is_some() => Progress::default(),
        Err(_) => return Err(wrong()),
    };
    let percent = match given {
        Some(value) => {
            let text = value.to_str().ok().map(|text| text.trim().trim_end_matches('%').trim_end());
            Some(text.and_then(|text| text.parse().ok()).ok_or_else(wrong)?)
        }
        None => told.progress,
    };
    if percent.is_some_and(|percent: u8| percent > 100) || percent.is_none() && told.message.is_empty() {
        return Err(wrong());
    }
    Ok(Progress { progress: percent, ..told })
}

/// The result: 200 unless something else is said. A problem is a failure by itself.
fn result(headers: &HeaderMap, body: Bytes) -> Result<Answer, Problem> {
    let kind = kind_of(headers, &body);
    let text = kind.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let status = match headers.get(STATUS) {
        Some(value) => {
            let status = value.to_str().ok().and_then(|text| text.trim().parse::<u16>().ok());
            status.filter(|status| (200..=599).contains(status)).ok_or_else(|| {
                Problem::new(Kind::InvalidValue, "Ripost-Status is a status of HTTP from 200 to 599, such as 422.")
            })?
        }
        None if is_kind(text, "application/problem+json") => status_of(&body),
        None => 200,
    };
    if is_json(text) {
        let read = json_body::text(headers, &body);
        let read =
            read.and_then(|text| serde_json::from_str::<IgnoredAny>(text).map_err(|error| NotJson::from(&error)));
        read.map_err(|wrong| wrong.problem(Because::OfItsType))?;
    }
    // What else a client sends is about itself and about the way that it took.
    let said = ["content-language", "content-disposition", "content-encoding"];
    let said = said.into_iter().filter_map(|name| Some((name, headers.get(name)?)));
    // Each of them: which one is meant is not for us to guess.
    let amounts = headers.get_all(capture::HEADER).into_iter().map(|value| (capture::HEADER, value));
    let headers = kind.iter().map(|kind| ("content-type", kind)).chain(said).chain(amounts);
    let headers = headers.map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()))).collect();
    Ok(Answer { status, headers, body })
}

/// The content type, which many clients leave out, or leave at what their library says of anything.
fn kind_of(headers: &HeaderMap, body: &[u8]) -> Option<HeaderValue> {
    let said = headers.get(header::CONTENT_TYPE).filter(|said| !said.is_empty());
    let is_json = match said {
        None => is_any_json(body),
        Some(said) => said.to_str().is_ok_and(|said| is_kind(said, FORM)) && is_json_in_a_form(body),
    };
    if is_json { Some(HeaderValue::from_static("application/json")) } else { said.cloned() }
}

fn is_any_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// No form begins with these, unless its sender forgot to encode it.
fn is_json_in_a_form(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')) && is_any_json(body)
}

fn is_kind(content_type: &str, kind: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
}

/// What a problem says of itself.
fn status_of(problem: &[u8]) -> u16 {
    #[derive(Deserialize)]
    struct Stated {
        status: Option<u16>,
    }
    let stated = serde_json::from_slice::<Stated>(problem).ok().and_then(|stated| stated.status);
    stated.filter(|status| (400..=599).contains(status)).unwrap_or(500)
}

/// What makes a callback the same as another.
fn digest(answer: &Answer) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(answer.status.to_be_bytes());
    for (name, value) in &answer.headers {
        for part in [name.as_bytes(), value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.update([0xff]);
    hash.update(&answer.body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_result_is_200_unless_a_header_or_a_problem_says_otherwise() {
        let problem = ("content-type", "application/problem+json");
        for (given, body, status) in [
            (&[][..], "hello", 200),
            (&[("content-type", "text/plain")], "", 200),
            (&[(STATUS, "422")], "no", 422),
            (&[(STATUS, " 201 ")], "", 201),
            (&[problem], r#"{"status":404}"#, 404),
            (&[problem], r#"{"status":200}"#, 500),
            (&[problem], "{}", 500),
            (&[problem, (STATUS, "409")], r#"{"status":404}"#, 409),
        ] {
            let answer = result(&headers(given), Bytes::from_static(body.as_bytes())).unwrap();
            assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{given:?}");
        }
        for bad in ["199", "600", "ok", "", "-1"] {
            assert_eq!(result(&headers(&[(STATUS, bad)]), Bytes::new()).unwrap_err().status(), 422, "{bad}");
        }
        let json = headers(&[("content-type", "application/json")]);
        assert_eq!(result(&json, Bytes::from_static(b"{")).unwrap_err().status(), 400);
    }

    #[test]
    fn json_without_a_type_or_with_curls_own_is_json() {
        let form = Some("application/x-www-form-urlencoded");
        let json = Some("application/json");
        for (given, body, read) in [
            (None, r#"{"report":1}"#, json),
            (None, " [1]\n", json),
            (None, "5", json),
            (None, "a,b", None),
            (None, "", None),
            (None, "{broken", None),
            (form, r#"{"report":"a=b"}"#, json),
            (form, "\n [1]", json),
            (form, "\"text\"", json),
            (form, "a=b", form),
            (form, "5", form),
            (form, "", form),
            (form, "{broken", form),
            (Some("Application/X-WWW-Form-urlencoded; charset=utf-8"), "{}", json),
            (Some(""), "{}", json),
            (Some("text/plain"), r#"{"report":1}"#, Some("text/plain")),
        ] {
            let headers = given.map(|kind| headers(&[("content-type", kind)])).unwrap_or_default();
            let kept = result(&headers, Bytes::from_static(body.as_bytes())).unwrap().headers;
            let kept = kept.first().map(|(_, kind)| std::str::from_utf8(kind).unwrap());
            assert_eq!(kept, read, "{given:?} {body}");
        }
    }

    #[test]
    fn what_tells_of_the_owner_is_not_part_of_a_result() {
        let sent = [("user-agent", "x"), ("x-forwarded-for", "10.0.0.1"), ("host", "inside"), ("content-type", "a/b")];
        let kept = result(&headers(&sent), Bytes::new()).unwrap().headers;
        assert_eq!(kept, [("content-type".to_owned(), Bytes::from_static(b"a/b"))]);
    }

    #[test]
    fn the_amount_to_capture_is_part_of_what_makes_a_callback_the_same() {
        let posted = |amounts: &[&str]| {
            let mut headers = HeaderMap::new();
            for amount in amounts {
                headers.append(capture::HEADER, amount.parse().unwrap());
            }
            digest(&result(&headers, Bytes::new()).unwrap())
        };
        assert_eq!(posted(&["0.01"]), posted(&["0.01"]));
        let all = [posted(&[]), posted(&["0.01"]), posted(&["0.02"]), posted(&["0.01", "0.02"])];
        assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])), "{all:?}");
    }

    #[test]
    fn progress_is_a_header_or_a_body() {
        let read = |given: &[(&'static str, &str)], body: &str| {
            progress(&headers(given), body.as_bytes()).ok().map(|told| (told.progress, told.message))
        };
        assert_eq!(read(&[(PROGRESS, "40")], ""), Some((Some(40), String::new())));
        assert_eq!(read(&[(PROGRESS, "40 %")], r#"{"message":"half"}"#), Some((Some(40), "half".to_owned())));
        assert_eq!(read(&[], r#"{"progress":7,"message":"m"}"#), Some((Some(7), "m".to_owned())));
        assert_eq!(read(&[], r#"{"message":"m"}"#), Some((None, "m".to_owned())));
        for (given, body) in [
            (&[][..], ""),
            (&[], "{}"),
            (&[], r#"{"progress":101}"#),
            (&[(PROGRESS, "much")], ""),
            (&[], r#"{"progress":-1}"#),
        ] {
            assert_eq!(read(given, body), None, "{given:?} {body}");
        }
    }
}
