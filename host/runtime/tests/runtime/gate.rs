//! The one way out of a run: what is counted, what is bounded, whichever interface a guest calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ripost_runtime::{Call, Grants, Limits, Outbound, OutboundError, OutboundRequest, OutboundResponse, Run};

use crate::common::Guest;
use crate::{answered, call, limits, load, runtime};

/// Answers five bytes a little later, and notes what it was asked.
#[derive(Default)]
struct Recording {
    requests: Mutex<Vec<OutboundRequest>>,
    in_flight: AtomicUsize,
    in_flight_peak: AtomicUsize,
    error: Option<OutboundError>,
}

#[async_trait]
impl Outbound for Recording {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        self.requests.lock().unwrap().push(request);
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.in_flight_peak.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let headers = vec![("x-a".to_owned(), Bytes::from_static(b"b"))];
        Ok(OutboundResponse { status: 201, headers, body: Bytes::from_static(b"hello") })
    }
}

impl Recording {
    fn requests(&self) -> Vec<OutboundRequest> {
        self.requests.lock().unwrap().clone()
    }
}

async fn run_with(guest: &Guest, outbound: Option<Arc<Recording>>, limits: Limits) -> Run {
    let outbound = outbound.map(|recording| recording as Arc<dyn Outbound>);
    let grants = Grants { outbound, ..Grants::default() };
    runtime().run(&load(guest), Call { grants, ..call("", limits) }).await
}

/// Sends five times a `POST` with a body of so many bytes, and answers how each ended: 0, or 16 and the error's case.
fn sender(body_bytes: usize, timeout_ms: u32) -> Guest {
    Guest::new(&format!(
        "(loop $l
           (call $send (i32.const 2048) (i32.const 4) (i32.const 2052) (i32.const 18) (i32.const 0) (i32.const 0)
             (i32.const 8192) (i32.const {body_bytes}) (i32.const 1) (i32.const {timeout_ms}) (i32.const 0) (i32.const 0)
             (i32.const 3072))
           (i32.store8 (i32.add (i32.const 2100) (local.get $i))
             (select (i32.add (i32.const 16) (i32.load8_u (i32.const 3076))) (i32.const 0) (i32.load8_u (i32.const 3072))))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const 5))))
         (call $respond (i32.const 200) (i32.const 2100) (i32.const 5))"
    ))
    .imports(
        r#"(import "ripost:plugin/outbound@1.0.0" "send"
             (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
    )
    .items(r#"(data (i32.const 2048) "POSThttps://a.example/")"#)
}

const LIMIT: u8 = 16 + 2;

#[tokio::test]
async fn calls_are_counted_bounded_and_on_the_runs_account() {
    let recording = Arc::new(Recording::default());
    let bounds = Limits { outbound_calls: 3, outbound_bytes: 1000, outbound_time: Duration::from_secs(1), ..limits() };
    let run = run_with(&sender(100, 5_000), Some(recording.clone()), bounds).await;
    assert_eq!((run.usage.outbound_calls, run.usage.outbound_bytes), (3, 3 * 105));
    assert_eq!(answered(run).body[..], [0, 0, 0, LIMIT, LIMIT]);
    let requests = recording.requests();
    assert_eq!(requests.len(), 3);
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.url.as_str(), first.body.len()), ("POST", "https://a.example/", 100));
    assert_eq!((first.timeout, first.response_bytes_max), (Duration::from_secs(1), 1000), "never more than the limits");
}

#[tokio::test]
async fn a_wish_for_less_time_is_granted_and_a_body_above_the_limit_is_not_sent() {
    let recording = Arc::new(Recording::default());
    let bounds = Limits { outbound_bytes: 100, ..limits() };
    answered(run_with(&sender(100, 70), Some(recording.clone()), bounds.clone()).await);
    assert!(recording.requests().iter().all(|request| request.timeout == Duration::from_millis(70)));
    let before = recording.requests().len();
    let run = run_with(&sender(101, 70), Some(recording.clone()), bounds).await;
    assert_eq!(answered(run).body[..], [LIMIT; 5]);
    assert_eq!(recording.requests().len(), before);
}

#[tokio::test]
async fn what_the_way_out_says_is_what_the_guest_is_told() {
    let text = || "why".to_owned();
    for (case, error) in [
        OutboundError::NotGranted(text()),
        OutboundError::AddressForbidden(text()),
        OutboundError::Limit(text()),
        OutboundError::Timeout,
        OutboundError::Connection(text()),
        OutboundError::InDoubt(text()),
        OutboundError::Unavailable(text()),
        OutboundError::Invalid(text()),
    ]
    .into_iter()
    .enumerate()
    {
        let recording = Arc::new(Recording { error: Some(error.clone()), ..Recording::default() });
        let run = run_with(&sender(0, 1_000), Some(recording), limits()).await;
        assert_eq!(usize::from(answered(run).body[0]), 16 + case, "{error:?}");
    }
}

/// Starts forty requests by wasi:http before it waits for any; answers how many had a response of 201, how many an
/// error, and the last error's case.
fn flooder() -> Guest {
    Guest::new(
        "(local $at i32)
         (loop $start
           (local.set $at (call $request (call $fields)))
           (drop (call $authority (local.get $at) (i32.const 1) (i32.const 2048) (i32.const 9)))
           (drop (call $path (local.get $at) (i32.const 1) (i32.const 2057) (i32.const 1)))
           (call $handle (local.get $at) (i32.const 0) (i32.const 0) (i32.const 3072))
           (if (i32.load8_u (i32.const 3072)) (then unreachable))
           (i32.store (i32.add (i32.const 2304) (i32.mul (local.get $i) (i32.const 4))) (i32.load (i32.const 3080)))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $start (i32.lt_u (local.get $i) (i32.const 40))))
         (local.set $i (i32.const 0))
         (loop $wait
           (local.set $at (i32.load (i32.add (i32.const 2304) (i32.mul (local.get $i) (i32.const 4)))))
           (call $block (call $subscribe (local.get $at)))
           (call $get (local.get $at) (i32.const 3072))
           (if (i32.or (i32.eqz (i32.load8_u (i32.const 3072))) (i32.load8_u (i32.const 3080))) (then unreachable))
           (if (i32.load8_u (i32.const 3088))
             (then
               (i32.store8 (i32.const 2101) (i32.add (i32.const 1) (i32.load8_u (i32.const 2101))))
               (i32.store8 (i32.const 2102) (i32.load8_u (i32.const 3096))))
             (else
               (if (i32.ne (i32.const 201) (call $status (i32.load (i32.const 3096)))) (then unreachable))
               (i32.store8 (i32.const 2100) (i32.add (i32.const 1) (i32.load8_u (i32.const 2100))))))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $wait (i32.lt_u (local.get $i) (i32.const 40))))
         (call $respond (i32.const 200) (i32.const 2100) (i32.const 3))",
    )
    .world("import wasi:io/poll@0.2.0; import wasi:http/types@0.2.0; import wasi:http/outgoing-handler@0.2.0;")
    .imports(
        r#"(import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
           (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
           (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
             (func $authority (param i32 i32 i32 i32) (result i32)))
           (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
             (func $path (param i32 i32 i32 i32) (result i32)))
           (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
             (func $subscribe (param i32) (result i32)))
           (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
           (import "wasi:http/types@0.2.0" "[method]incoming-response.status" (func $status (param i32) (result i32)))
           (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
    )
    .items(r#"(data (i32.const 2048) "a.example/")"#)
}

/// Cases of wasi:http's `error-code`.
const IP_PROHIBITED: u8 = 4;
const LIMIT_REACHED: u8 = 11;
const DENIED: u8 = 15;

#[tokio::test]
async fn a_guest_that_starts_requests_without_waiting_for_them_has_so_many_in_flight_and_no_more() {
    let recording = Arc::new(Recording::default());
    let bounds = Limits { outbound_in_flight: 4, ..limits() };
    let run = run_with(&flooder(), Some(recording.clone()), bounds).await;
    assert_eq!((run.usage.outbound_calls, run.usage.outbound_bytes), (4, 4 * 5));
    assert_eq!(answered(run).body[..], [4, 36, LIMIT_REACHED]);
    assert_eq!((recording.requests().len(), recording.in_flight_peak.load(Ordering::SeqCst)), (4, 4));
    let first = &recording.requests()[0];
    assert_eq!((first.method.as_str(), first.url.as_str()), ("GET", "https://a.example/"));
}

#[tokio::test]
async fn wasi_http_passes_the_same_gate() {
    let run = run_with(&flooder(), None, limits()).await;
    assert_eq!(run.usage.outbound_calls, 0);
    assert_eq!(answered(run).body[..], [0, 40, DENIED], "nothing is granted");
    let error = Some(OutboundError::AddressForbidden("why".to_owned()));
    let recording = Arc::new(Recording { error, ..Recording::default() });
    let bounds = Limits { outbound_calls: 40, outbound_in_flight: 40, ..limits() };
    let run = run_with(&flooder(), Some(recording), bounds).await;
    assert_eq!(run.usage.outbound_calls, 40);
    assert_eq!(answered(run).body[..], [0, 40, IP_PROHIBITED]);
}
