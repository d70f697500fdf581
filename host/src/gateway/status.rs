//! `GET /requests/{id}`: as it stands, only if it has changed, or as soon as it does.
//!
//! Whoever waits only watches: hanging up, or the host's stop, changes nothing of the request.

use super::Gateway;
use super::prefer::Prefer;
use super::requests::{json, unknown};
use super::view::{Current, Tag};
use crate::live::Watcher;
use crate::problem::Problem;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use ripost_store::RequestRecord;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The store is asked again after this though nothing was heard of: what another process did is in the store only.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(15);

/// `If-None-Match` (RFC 9110, 13.1.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The caller names no representation.
    Nothing,
    /// `*`: whatever there is.
    Anything,
    /// One of these.
    Tags(Vec<String>),
}

impl Known {
    /// Reads all headers of that name.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::IF_NONE_MATCH);
        let mut tags = Vec::new();
        for value in values.iter().filter_map(|value| value.to_str().ok()) {
            if value.trim() == "*" {
                return Self::Anything;
            }
            // Ours have no comma in them, so one that is cut in two is none of ours.
            tags.extend(value.split(',').map(|tag| tag.trim().trim_start_matches("W/").to_owned()));
        }
        if tags.is_empty() { Self::Nothing } else { Self::Tags(tags) }
    }

    /// Whether the caller has this one.
    pub(super) fn has(&self, etag: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Anything => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// A strong validator.
fn etag(tag: Tag) -> String {
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

impl Gateway {
    /// Answers once: now, or when what the caller waits for is there or its time is over.
    pub(super) async fn status(
        &self,
        headers: &HeaderMap,
        record: RequestRecord,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let (known, prefer) = (Known::read(headers), Prefer::read(headers));
        let id = record.id;
        let Some(wait) = prefer.wait else {
            return Ok(answered(&self.current(record).await?, &known, None));
        };
        let deadline = Instant::now() + wait;
        // Watched before the store is read again: what comes in between is not missed.
        let mut watcher = Watcher::new(self.live.enter(id));
        let applied = prefer.applied(true);
        loop {
            let record = self.store.request(id).await?.ok_or_else(unknown)?;
            let has_ended = record.state.is_terminal();
            let current = self.current(record).await?;
            let is_news = match &known {
                Known::Nothing => has_ended,
                Known::Anything => true,
                Known::Tags(_) => !known.has(&etag(current.tag)),
            };
            if is_news || Instant::now() >= deadline || self.stopping.is_cancelled() {
                return Ok(answered(&current, &known, applied));
            }
            self.news_of(&mut watcher, &known, deadline).await;
        }
    }

    /// Waits until there may be something new for this caller, or no time is left.
    async fn news_of(&self, watcher: &mut Watcher, known: &Known, deadline: Instant) {
        let news = async {
            match known {
                // Progress is no end.
                Known::Nothing => watcher.moved().await,
                Known::Anything | Known::Tags(_) => {
                    watcher.changed().await;
                }
            }
        };
        tokio::select! {
            () = news => {}
            () = sleep_until(deadline.min(Instant::now() + LOOK_EVERY)) => {}
            () = self.stopping.cancelled() => {}
        }
    }
}

fn answered(current: &Current, known: &Known, applied: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let etag = etag(current.tag);
    let mut response = if known.has(&etag) {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    } else {
        json(current.body.clone())
    };
    response.headers_mut().insert(header::ETAG, HeaderValue::from_str(&etag).expect("a tag is hex in quotes"));
    if let Some(applied) = applied {
        response.headers_mut().insert("preference-applied", applied);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(values: &[&str]) -> Known {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_NONE_MATCH, value.parse().unwrap());
        }
        Known::read(&headers)
    }

    #[test]
    fn a_representation_is_known_by_lists_by_weak_tags_and_by_a_star() {
        let tag = etag([0xab; 16]);
        assert_eq!(tag, format!("\"{}\"", "ab".repeat(16)));
        assert_eq!(known(&[]), Known::Nothing);
        for has in [&[&*tag][..], &["\"x\", \"y\"", &tag], &[&format!("\"x\",W/{tag}")], &["*"]] {
            assert!(known(has).has(&tag), "{has:?}");
        }
        for has_not in [&[][..], &["\"x\""], &[tag.trim_matches('"')], &[""]] {
            assert!(!known(has_not).has(&tag), "{has_not:?}");
        }
    }
}
