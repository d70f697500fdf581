//! The one way out of a run, whichever interface a guest calls: granted or not, and how many, how large, how long.
//! Where a call may go is for whoever grants it to know ([`Outbound`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::grants::{Outbound, OutboundError, OutboundRequest, OutboundResponse};
use crate::limits::Limits;
use crate::tape::{Found, Scope, Tape};

/// Shared with calls that wasi runs beside the guest.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Shared>);

struct Shared {
    outbound: Option<Arc<dyn Outbound>>,
    limits: Arc<Limits>,
    /// None: nothing is kept of the calls.
    tape: Option<Tape>,
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    bytes: AtomicU64,
}

/// A place among the calls in flight; held until nothing of the answer is kept for the guest.
pub(crate) struct Passage {
    shared: Arc<Shared>,
    /// The step that was open when the guest made the call: it may be committed before the call is sent.
    scope: Scope,
}

/// A call as the guest wishes it.
pub(crate) struct Wish {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) body: Bytes,
    pub(crate) timeout: Option<Duration>,
}

impl Gate {
    pub(crate) fn new(outbound: Option<Arc<dyn Outbound>>, limits: Arc<Limits>, tape: Option<Tape>) -> Self {
        Gate(Arc::new(Shared {
            outbound,
            limits,
            tape,
            calls: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
        }))
    }

    /// Counted before anything is awaited: a guest can start calls without waiting for them.
    pub(crate) fn enter(&self) -> Result<Passage, OutboundError> {
        let shared = &self.0;
        if shared.outbound.is_none() {
            return Err(OutboundError::NotGranted(
                "this API has no outbound grant: name the host in `grants.outbound`".to_owned(),
            ));
        }
        let most = shared.limits.outbound_in_flight;
        if shared.in_flight.fetch_add(1, Ordering::Relaxed) >= most {
            shared.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(OutboundError::Limit(format!(
                "{most} outbound calls are under way, the limit `outbound_in_flight`"
            )));
        }
        let scope = shared.tape.as_ref().map(Tape::scope).unwrap_or_default();
        let passage = Passage { shared: Arc::clone(shared), scope };
        let most = shared.limits.outbound_calls;
        if shared.calls.fetch_add(1, Ordering::Relaxed) >= most {
            shared.calls.fetch_sub(1, Ordering::Relaxed);
            return Err(OutboundError::Limit(format!(
                "this run has made {most} outbound calls, the limit `outbound_calls`"
            )));
        }
        Ok(passage)
    }

    /// Bodies have this limit each; also for whoever collects one.
    pub(crate) fn body_bytes_max(&self) -> usize {
        self.0.limits.outbound_bytes
    }

    /// Calls let through, and bytes of bodies both ways.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.0.calls.load(Ordering::Relaxed) as u64, self.0.bytes.load(Ordering::Relaxed))
    }
}

impl Passage {
    pub(crate) async fn send(&self, wish: Wish) -> Result<OutboundResponse, OutboundError> {
        let Passage { shared, scope } = self;
        let limits = &shared.limits;
        if wish.body.len() > limits.outbound_bytes {
            return Err(OutboundError::Limit(format!(
                "the body has {} bytes and the limit `outbound_bytes` is {}",
                wish.body.len(),
                limits.outbound_bytes
            )));
        }
        let timeout = wish.timeout.map_or(limits.outbound_time, |wish| wish.min(limits.outbound_time));
        let request = OutboundRequest {
            method: wish.method,
            url: wish.url,
            headers: wish.headers,
            body: wish.body,
            timeout,
            response_bytes_max: limits.outbound_bytes,
        };
        let Some(tape) = &shared.tape else { return self.exchange(request).await };
        let place = match tape.find(scope, &request) {
            Found::Answered(answer) => return answer,
            Found::ToSend(place) => place,
        };
        tape.intend(&place).await?;
        let result = self.exchange(request).await;
        tape.ended(&place, &result).await;
        result
    }

    async fn exchange(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let shared = &self.shared;
        let outbound = shared.outbound.as_ref().expect("a passage is only given where it is granted");
        shared.bytes.fetch_add(request.body.len() as u64, Ordering::Relaxed);
        let response = outbound.send(request).await?;
        shared.bytes.fetch_add(response.body.len() as u64, Ordering::Relaxed);
        Ok(response)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
