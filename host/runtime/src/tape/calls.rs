//! Calls to the outside. One that may change something there is written down before it is sent and again when it was
//! answered; of one that cannot (GET, HEAD, OPTIONS), the answer goes with the next write.
//!
//! Calls are found again by what they are and not by when they came, because wasi runs several at once.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Digest, Inner, Scope, Tape};
use crate::grants::{OutboundError, OutboundRequest, OutboundResponse};
use crate::journal::{CallState, RecordedCall, Writing};

/// More equal calls than this are of no journal of ours.
const NTH_MAX: u32 = 1 << 16;
/// What an entry takes beside its answer.
const ENTRY_BYTES: usize = 128;

/// The place of one call among those that are equal. One that came to nothing leaves its place to the next.
#[derive(Default)]
pub(super) struct Slot {
    /// This run has made it, or makes it.
    taken: bool,
    past: Option<CallState>,
}

/// A call that is to be sent.
pub(crate) struct Place {
    scope: Scope,
    digest: Digest,
    nth: u32,
    /// RFC 9110 §9.2.1: it changes nothing.
    safe: bool,
    /// That it may have been sent is written down.
    intended: bool,
}

/// What there is of a call.
pub(crate) enum Found {
    /// It was made before.
    Answered(Result<OutboundResponse, OutboundError>),
    /// It is to be made.
    ToSend(Place),
}

impl Tape {
    pub(crate) fn find(&self, scope: &Scope, request: &OutboundRequest) -> Found {
        let digest = digest(request);
        let mut inner = self.lock();
        let slots = inner.calls.entry((Arc::clone(&scope.name), digest)).or_default();
        let nth = slots.iter().position(|slot| !slot.taken).unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() - 1
        });
        let slot = &mut slots[nth];
        slot.taken = true;
        let safe = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let intended = match &slot.past {
            Some(CallState::Done(response)) => return Found::Answered(Ok(response.clone())),
            Some(CallState::Refused(text)) => return Found::Answered(Err(OutboundError::Limit(text.clone()))),
            Some(CallState::Intent) if !has_idempotency_key(request) => {
                return Found::Answered(Err(OutboundError::InDoubt(
                    "an earlier run of this request has made this call, and no answer was written down: it may have happened; it has no idempotency-key, so it is not sent again".to_owned(),
                )));
            }
            Some(CallState::Intent) => true,
            Some(CallState::Failed) | None => false,
        };
        let nth = u32::try_from(nth).unwrap_or(u32::MAX);
        Found::ToSend(Place { scope: scope.clone(), digest, nth, safe, intended })
    }

    /// Before it is sent.
    pub(crate) async fn intend(&self, place: &Place) -> Result<(), OutboundError> {
        if place.safe || place.intended {
            return Ok(());
        }
        let room = self.lock().check_bytes(ENTRY_BYTES);
        let written = match room {
            Err(text) => Err(OutboundError::Limit(text)),
            Ok(()) => {
                let call = Some(place.entry(CallState::Intent));
                let written = self.write(Writing::Intent, None, call).await;
                written.map_err(|error| OutboundError::Unavailable(error.to_string()))
            }
        };
        let mut inner = self.lock();
        match &written {
            Ok(()) => inner.bytes += ENTRY_BYTES,
            Err(_) => inner.leave(place),
        }
        written
    }

    /// When it has ended.
    pub(crate) async fn ended(&self, place: &Place, result: &Result<OutboundResponse, OutboundError>) {
        let state = match result {
            Ok(response) if asks_to_be_made_again(response.status) => CallState::Failed,
            Ok(response) => CallState::Done(response.clone()),
            // It may have happened, which is what is written down.
            Err(OutboundError::InDoubt(_)) if !place.safe => return,
            Err(OutboundError::Limit(text)) if !place.safe => CallState::Refused(text.clone()),
            // Nothing was sent; or nothing can have happened.
            Err(_) => CallState::Failed,
        };
        {
            let mut inner = self.lock();
            if state == CallState::Failed {
                inner.leave(place);
            }
            let bytes = size(&state);
            if place.safe {
                if state != CallState::Failed {
                    inner.answered_safely(place, state, bytes);
                }
                return;
            }
            inner.bytes += bytes;
        }
        let call = place.entry(state);
        if self.write(Writing::Done, None, Some(call.clone())).await.is_err() {
            self.lock().pending.calls.push(call);
        }
    }
}

impl Place {
    fn entry(&self, state: CallState) -> RecordedCall {
        let Place { scope, digest, nth, .. } = self;
        RecordedCall { scope: scope.name.to_string(), input: scope.input, digest: *digest, nth: *nth, state }
    }
}

impl Inner {
    fn leave(&mut self, place: &Place) {
        let slots = self.calls.get_mut(&(Arc::clone(&place.scope.name), place.digest));
        if let Some(slot) = slots.and_then(|slots| slots.get_mut(place.nth as usize)) {
            *slot = Slot::default();
        }
    }

    fn answered_safely(&mut self, place: &Place, state: CallState, bytes: usize) {
        if self.check_bytes(bytes).is_err() {
            self.lossy = true;
            return;
        }
        self.bytes += bytes;
        self.pending.calls.push(place.entry(state));
    }

    pub(super) fn remember_call(&mut self, call: &RecordedCall) {
        if call.nth > NTH_MAX {
            return;
        }
        self.bytes += size(&call.state);
        if let Some(input) = call.input
            && !self.committed.contains_key(&call.scope)
        {
            self.begun.insert(call.scope.clone(), input);
        }
        let slots = self.calls.entry((call.scope.as_str().into(), call.digest)).or_default();
        let nth = call.nth as usize;
        if slots.len() <= nth {
            slots.resize_with(nth + 1, Slot::default);
        }
        slots[nth].past = Some(call.state.clone());
    }
}

/// What the outside says when it has not done it, or will not say whether it has.
const fn asks_to_be_made_again(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

fn has_idempotency_key(request: &OutboundRequest) -> bool {
    request.headers.iter().any(|(name, value)| name == "idempotency-key" && !value.is_empty())
}

fn size(state: &CallState) -> usize {
    ENTRY_BYTES
        + match state {
            CallState::Done(OutboundResponse { headers, body, .. }) => {
                body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            }
            CallState::Refused(text) => text.len(),
            CallState::Intent | CallState::Failed => 0,
        }
}

/// Of what the guest wrote. Each part with its length, so that no two calls look alike.
fn digest(request: &OutboundRequest) -> Digest {
    let OutboundRequest { method, url, headers, body, timeout: _, response_bytes_max: _ } = request;
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(method.as_bytes());
    part(url.as_bytes());
    part(&(headers.len() as u64).to_be_bytes());
    for (name, value) in headers {
        part(name.as_bytes());
        part(value);
    }
    part(body);
    hash.finalize().into()
}
