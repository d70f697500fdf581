//! One server-sent event, and what its `id` says of what the reader has seen.

use bytes::Bytes;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use sha2::{Digest as _, Sha256};

/// Where a request's execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: State,
    /// Which run.
    pub(super) attempt: u32,
}

/// After the last event there is nothing to come back for.
const END: &str = "end";

impl Standing {
    pub(super) fn to_json(self, id: RequestId) -> Vec<u8> {
        let json = serde_json::json!({ "requestId": id, "status": self.state, "attempt": self.attempt });
        json.to_string().into_bytes()
    }

    pub(super) fn last_id(self) -> String {
        format!("{}.{}.{END}", self.state.as_str(), self.attempt)
    }

    pub(super) fn is_last_id(id: &str) -> bool {
        let mut parts = id.split('.');
        let state = parts.next().and_then(State::from_name);
        state.is_some_and(State::is_terminal) && parts.nth(1) == Some(END)
    }
}

/// What a reader has seen. Its text is the `id` of events, so that it needs to be kept nowhere: after a restart of the
/// gateway too, whoever comes back is told what is different from that, and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) standing: Option<Standing>,
    /// Of its JSON.
    progress: Option<u32>,
}

impl Seen {
    /// Back from `Last-Event-ID`; anything else has seen nothing.
    pub(super) fn parse(id: &str) -> Self {
        Self::read(id).unwrap_or_default()
    }

    fn read(id: &str) -> Option<Self> {
        let mut parts = id.split('.');
        let standing = Standing { state: State::from_name(parts.next()?)?, attempt: parts.next()?.parse().ok()? };
        let progress = match parts.next()? {
            "-" => None,
            hex => Some(u32::from_str_radix(hex, 16).ok()?),
        };
        parts.next().is_none().then_some(Self { standing: Some(standing), progress })
    }

    pub(super) fn id(&self) -> String {
        let Some(Standing { state, attempt }) = self.standing else { return String::new() };
        let state = state.as_str();
        match self.progress {
            Some(hash) => format!("{state}.{attempt}.{hash:08x}"),
            None => format!("{state}.{attempt}.-"),
        }
    }

    /// Notes progress; false if the reader has it.
    pub(super) fn is_new(&mut self, json: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(json).into();
        let hash = u32::from_be_bytes(*hash.first_chunk().expect("a hash is longer"));
        self.progress.replace(hash) != Some(hash)
    }
}

/// In the form that `EventSource` reads. Line ends of any kind within the data become lines of their own: in JSON they
/// stand between tokens only, so it says the same afterwards.
pub(super) fn event(name: &str, id: &str, data: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(data.len() + name.len() + id.len() + 32);
    text.extend_from_slice(format!("event: {name}\nid: {id}\n").as_bytes());
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_id_says_what_its_reader_has_seen() {
        let mut seen = Seen { standing: Some(Standing { state: State::Running, attempt: 2 }), progress: None };
        assert_eq!(seen.id(), "running.2.-");
        assert_eq!(Seen::parse(&seen.id()), seen);
        assert!(seen.is_new(b"{\"percent\":40}"));
        assert!(!Seen::parse(&seen.id()).is_new(b"{\"percent\":40}"), "it survives the way there and back");
        assert!(Seen::parse(&seen.id()).is_new(b"{\"percent\":41}"));
        for nothing in ["", "running", "running.x.-", "running.1", "running.1.-.", "flying.1.-", "running.1.zz"] {
            assert_eq!(Seen::parse(nothing), Seen::default(), "{nothing}");
        }
    }

    #[test]
    fn only_the_last_event_is_the_last() {
        let last = Standing { state: State::Failed, attempt: 1 }.last_id();
        assert_eq!(last, "failed.1.end");
        assert!(Standing::is_last_id(&last));
        for other in ["", "end", "running.1.end", "failed.1.-", "failed.end"] {
            assert!(!Standing::is_last_id(other), "{other}");
        }
    }

    #[test]
    fn data_over_several_lines_is_one_event() {
        let bytes = event("completed", "completed.1.end", b"{\"result\":{\r\n \"a\":1\r}}");
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(text, "event: completed\nid: completed.1.end\ndata: {\"result\":{\ndata:  \"a\":1\ndata: }}\n\n");
    }
}
