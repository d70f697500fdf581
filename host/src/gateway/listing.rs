//! `GET /requests`: a consumer's own, newest first; and `POST /requests/{id}/cancel`.

use super::Gateway;
use super::requests::{allow_get, json};
use super::webhooks::{only_post, to_json};
use crate::problem::{Kind, Problem};
use crate::runs::Cancelled;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_store::{RequestFilter, RequestPage, Whose};
use serde::Serialize;
use serde_json::value::RawValue;

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 500;

#[derive(Serialize)]
struct Page {
    requests: Vec<Box<RawValue>>,
    /// For `before`; null: nothing was ever listed.
    next: Option<RequestId>,
    more: bool,
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidFilter, detail)
}

/// What a query asks for, and what it says of `more`: names of filters that are the caller's own.
///
/// # Errors
/// An unknown name, or a value that is none of its kind.
pub(crate) fn filter(
    whose: Whose,
    query: Option<&str>,
    more: &[&str],
) -> Result<(RequestFilter, Vec<(String, String)>), Problem> {
    let mut filter =
        RequestFilter { whose, before: None, state: None, api: None, since: None, until: None, limit: PAGE_DEFAULT };
    let mut others = Vec::new();
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let time = || value.parse().map_err(|_| invalid(format!("{key} is a time such as 2026-11-24T08:00:00Z.")));
        match &*key {
            "before" => {
                let detail = "before is the `next` of the page before, as it came.";
                filter.before = Some(value.parse().map_err(|_| Problem::new(Kind::InvalidCursor, detail))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                filter.limit = limit.ok_or_else(|| invalid(format!("limit is between 1 and {PAGE_MAX}.")))?;
            }
            "status" => {
                let names = State::ALL.map(State::as_str).join(", ");
                let state = State::from_name(&value);
                filter.state = Some(state.ok_or_else(|| invalid(format!("status is one of {names}.")))?);
            }
            "api" => {
                filter.api = Some(value.parse().map_err(|error| invalid(format!("api: {error}.")))?);
            }
            "since" => filter.since = Some(time()?),
            "until" => filter.until = Some(time()?),
            other if more.contains(&other) => others.push((key.into_owned(), value.into_owned())),
            _ => {
                let names = [&["before", "limit", "status", "api", "since", "until"], more].concat().join(", ");
                return Err(invalid(format!("Unknown filter `{key}`. Filters are: {names}.")));
            }
        }
    }
    Ok((filter, others))
}

impl Gateway {
    /// Each as `GET /requests/{id}` has it, without progress, result and error.
    pub(super) async fn list(&self, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        allow_get(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        let (filter, _) = filter(Whose::Consumer(consumer.id), request.uri().query(), &[])?;
        let RequestPage { requests, next, more } = self.store.list_requests(filter).await?;
        let requests = requests.into_iter().map(|record| self.outline(record)).collect::<Result<_, _>>()?;
        Ok(json(to_json(&Page { requests, next, more })?))
    }

    /// Withdraws a request of the caller's; what was withdrawn before stays so.
    pub(super) async fn cancel(
        &self,
        request: &Request<Incoming>,
        id: RequestId,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        only_post(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        self.own(id, &consumer).await?;
        let cancelled = self.runs.cancel(id).await?;
        let record = self.own(id, &consumer).await?;
        let detail = match cancelled {
            Cancelled::Yes => return Ok(json(self.current(record).await?.body)),
            Cancelled::RunHasBegun => {
                "A run has begun, and this API's requests can be cancelled before that only (cancel = \"before_run\"). Its end will be told as any other."
            }
            Cancelled::Ended => "It has ended already; nothing was changed. What came of it is in GET /requests/{id}.",
        };
        let problem = Problem::new(Kind::TooLateToCancel, detail).with("requestId", id.to_string());
        Err(problem.with("state", record.state.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_whole_or_refused_with_what_there_is() {
        let read = |query: &str| filter(Whose::Everybody, Some(query), &[]).map(|(filter, _)| filter);
        let all = "before=req_01jd6g0000e0g0g0g0g0g0g0g0&limit=7&status=failed&api=demo/a&since=2026-11-24T08:00:00Z";
        let asked = read(all).unwrap();
        assert_eq!((asked.limit, asked.state), (7, Some(State::Failed)));
        assert_eq!(asked.api.unwrap().to_string(), "demo/a");
        assert!(asked.before.is_some() && asked.since.is_some() && asked.until.is_none());
        assert_eq!(read("").unwrap().limit, PAGE_DEFAULT);
        assert!(read("before=req_1").unwrap_err().is(Kind::InvalidCursor));
        for wrong in
            ["limit=0", "limit=501", "status=done", "api=demo", "since=yesterday", "consumer=x", "state=failed"]
        {
            assert!(read(wrong).unwrap_err().is(Kind::InvalidFilter), "{wrong}");
        }
        let (_, others) = filter(Whose::Everybody, Some("limit=7&consumer=Blue+Bottle"), &["consumer"]).unwrap();
        assert_eq!(others, [("consumer".to_owned(), "Blue Bottle".to_owned())]);
    }
}
