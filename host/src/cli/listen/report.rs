//! What is shown of a delivery.

use super::check::Verdict;
use super::text::{Layout, layout};
use crate::cli::out::{one_line, printable};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use ripost_domain::signature::{ID_HEADER, TIMESTAMP_HEADER};
use ripost_domain::time::Timestamp;
use ripost_domain::units::format_duration;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;

/// Of a body on the terminal.
const SHOWN_BYTES_MAX: usize = 64 << 10;
/// Of a header's value.
const VALUE_BYTES_MAX: usize = 200;

/// What is known when a delivery was read.
pub(super) struct Received<'a> {
    pub(super) at: Timestamp,
    pub(super) head: &'a Parts,
    pub(super) body: &'a Bytes,
    pub(super) verdict: Verdict,
    /// Whether its id was here before: `Some(true)` with the same body.
    pub(super) before: Option<bool>,
    pub(super) answered: Answered,
    pub(super) delay: Duration,
}

/// What it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Answered {
    Status(u16),
    Drip(u16),
    Nothing,
    Reset,
}

/// One delivery.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) at: Timestamp,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) webhook_id: Option<String>,
    pub(super) attempt: Option<String>,
    pub(super) request_id: Option<String>,
    /// From its timestamp to now; negative: it is from the future.
    pub(super) age_s: Option<i64>,
    /// Null: there was nothing to check with.
    pub(super) verified: Option<bool>,
    /// By which signatures, or why not.
    pub(super) reason: Option<String>,
    pub(super) seen_before: bool,
    pub(super) same_body: Option<bool>,
    pub(super) body_bytes: usize,
    pub(super) body_sha256: Option<String>,
    /// If it is JSON.
    pub(super) body: Option<Box<RawValue>>,
    /// If it is anything else.
    pub(super) body_text: Option<String>,
    pub(super) answered: Answered,
    pub(super) delay_ms: u64,
    #[serde(skip)]
    raw: Bytes,
}

impl Report {
    pub(super) fn new(received: Received<'_>) -> Self {
        let Received { at, head, body, verdict, before, answered, delay } = received;
        let (verified, reason) = match verdict {
            Verdict::Verified(by) => (Some(true), Some(by.to_owned())),
            Verdict::Refused(why) => (Some(false), Some(why)),
            Verdict::Unchecked => (None, None),
        };
        let json = layout(body, Layout::Compact, usize::MAX).and_then(|text| RawValue::from_string(text).ok());
        let text = (json.is_none() && !body.is_empty()).then(|| String::from_utf8_lossy(body).into_owned());
        Self {
            verified,
            reason,
            seen_before: before.is_some(),
            same_body: before,
            body_bytes: body.len(),
            body_sha256: Some(Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()),
            body: json,
            body_text: text,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            raw: body.clone(),
            ..Self::of_head(at, head, answered)
        }
    }

    /// One whose body could not be read.
    pub(super) fn unread(at: Timestamp, head: &Parts, why: String, status: StatusCode) -> Self {
        let answered = Answered::Status(status.as_u16());
        Self { verified: Some(false), reason: Some(why), ..Self::of_head(at, head, answered) }
    }

    fn of_head(at: Timestamp, head: &Parts, answered: Answered) -> Self {
        let value = |name: &str| {
            let text = String::from_utf8_lossy(head.headers.get(name)?.as_bytes()).into_owned();
            Some(clip(&text, VALUE_BYTES_MAX).to_owned())
        };
        let sent_s = value(TIMESTAMP_HEADER).and_then(|text| text.parse::<i64>().ok());
        Self {
            at,
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string),
            webhook_id: value(ID_HEADER),
            attempt: value("ripost-attempt"),
            request_id: value("ripost-request-id"),
            age_s: sent_s.map(|sent_s| at.as_seconds().saturating_sub(sent_s)),
            verified: None,
            reason: None,
            seen_before: false,
            same_body: None,
            body_bytes: 0,
            body_sha256: None,
            body: None,
            body_text: None,
            answered,
            delay_ms: 0,
            raw: Bytes::new(),
        }
    }

    /// On one line.
    pub(super) fn to_json(&self) -> anyhow::Result<String> {
        Ok(printable(&serde_json::to_string(self)?))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = one_line(self.reason.as_deref().unwrap_or_default());
        let verdict = match self.verified {
            Some(true) => format!("VERIFIED ({reason})"),
            Some(false) => format!("NOT VERIFIED ({reason})"),
            None => "not verified: no --secret".to_owned(),
        };
        writeln!(f, "{} {} {}  {verdict}", self.at, one_line(&self.method), one_line(&self.path))?;
        let value = |text: &Option<String>| text.as_deref().map_or_else(|| "none".to_owned(), one_line);
        write!(f, "  {ID_HEADER} {}, attempt {}", value(&self.webhook_id), value(&self.attempt))?;
        let before = match (self.seen_before, self.same_body) {
            (false, _) => "",
            (true, Some(false)) => " (seen before WITH ANOTHER BODY)",
            (true, _) => " (seen before)",
        };
        let age = match self.age_s {
            None => "no timestamp".to_owned(),
            Some(age_s @ ..0) => format!("signed {} s in the future", age_s.unsigned_abs()),
            Some(age_s) => format!("signed {age_s} s ago"),
        };
        writeln!(f, "{before}, request {}, {age}", value(&self.request_id))?;
        for line in self.body_lines().lines() {
            writeln!(f, "  {line}")?;
        }
        let delay = match self.delay_ms {
            0 => String::new(),
            delay_ms => format!(" after {}", format_duration(Duration::from_millis(delay_ms))),
        };
        match self.answered {
            Answered::Status(status) => writeln!(f, "  answered {status}{delay}\n"),
            Answered::Drip(status) => writeln!(f, "  answered {status}{delay}, and a body that drips without end\n"),
            Answered::Nothing => writeln!(f, "  answered nothing, and left the connection open\n"),
            Answered::Reset => writeln!(f, "  reset the connection{delay}\n"),
        }
    }
}

impl Report {
    fn body_lines(&self) -> String {
        if self.raw.is_empty() {
            return "no body".to_owned();
        }
        let laid_out = layout(&self.raw, Layout::Lines, SHOWN_BYTES_MAX);
        // A little more than is shown, so that cutting it cannot make the last letter look broken.
        let start = &self.raw[..self.raw.len().min(SHOWN_BYTES_MAX + 4)];
        let text = laid_out.unwrap_or_else(|| String::from_utf8_lossy(start).into_owned());
        let shown = clip(&text, SHOWN_BYTES_MAX);
        let mut lines = printable(shown);
        if shown.len() < text.len() {
            lines.push_str(&format!("\n… ({} bytes in all)", self.body_bytes));
        }
        lines
    }
}

/// At most so many bytes, whole letters.
fn clip(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
