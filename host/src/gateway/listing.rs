//! `GET /requests`: a consumer's own, newest first; and `POST /requests/{id}/cancel`.

use super::Gateway;
use super::requests::{allow_get, json, visible};
use super::webhooks::{only_post, to_json};
use crate::live::Live;
use crate::problem::{Kind, Problem};
use crate::runs::Cancelled;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
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

/// The value of a filter that is a time.
///
/// # Errors
/// It is none; with the plus of an offset that was not escaped named, since that arrives as a space.
pub(crate) fn time_of(key: &str, value: &str) -> Result<Timestamp, Problem> {
    value.parse().map_err(|_| {
        let is_unescaped = value.replacen(' ', "+", 1).parse::<Timestamp>().is_ok();
        let hint = if is_unescaped { " In a query a `+` is a space: write it as %2B." } else { "" };
        invalid(format!("{key} is a time such as 2026-11-24T08:00:00Z.{hint}"))
    })
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
    let mut filter = RequestFilter {
        whose,
        before: None,
        states: Vec::new(),
        api: None,
        since: None,
        until: None,
        limit: PAGE_DEFAULT,
    };
    let mut others = Vec::new();
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let time = || time_of(&key, &value);
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
                filter.states = stored(state.ok_or_else(|| invalid(format!("status is one of {names}.")))?);
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

/// As which states the store has what is shown in this one: a lease alone is not a run yet (`visible`).
fn stored(shown: State) -> Vec<State> {
    match shown {
        State::Accepted => vec![State::Accepted, State::Running],
        other => vec![other],
    }
}

/// Of what the store has found, what is shown in the state that was asked for.
pub(crate) fn retain_shown(page: &mut RequestPage, asked: Option<State>, live: &Live) {
    if let Some(asked) = asked {
        page.requests.retain(|record| visible(record.state, live.get(record.id).as_ref()) == asked);
    }
}

impl Gateway {
    /// Each as `GET /requests/{id}` has it, without progress, result and error.
    pub(super) async fn list(&self, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        allow_get(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        let (filter, _) = filter(Whose::Consumer(consumer.id), request.uri().query(), &[])?;
        let asked = filter.states.first().copied();
        let mut page = self.store.list_requests(filter).await?;
        retain_shown(&mut page, asked, &self.live);
        let RequestPage { requests, next, more } = page;
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
        assert_eq!((asked.limit, &asked.states[..]), (7, &[State::Failed][..]));
        assert_eq!(asked.api.unwrap().to_string(), "demo/a");
        assert!(asked.before.is_some() && asked.since.is_some() && asked.until.is_none());
        assert_eq!(read("").unwrap().limit, PAGE_DEFAULT);
        assert!(read("before=req_1").unwrap_err().is(Kind::InvalidCursor));
        for wrong in
            ["limit=0", "limit=501", "status=done", "api=demo", "since=yesterday", "consumer=x", "state=failed"]
        {
            assert!(read(wrong).unwrap_err().is(Kind::InvalidFilter), "{wrong}");
        }
        let said = |query: &str| read(query).unwrap_err().to_json();
        let says_how = |query: &str| String::from_utf8_lossy(&said(query)).contains("%2B");
        assert!(says_how("since=2026-11-24T08:00:00+00:00") && !says_how("since=yesterday+00:00"));
        assert!(read("since=2026-11-24T08:00:00%2B01:00").unwrap().since.is_some());
        let (_, others) = filter(Whose::Everybody, Some("limit=7&consumer=Blue+Bottle"), &["consumer"]).unwrap();
        assert_eq!(others, [("consumer".to_owned(), "Blue Bottle".to_owned())]);
    }
}
