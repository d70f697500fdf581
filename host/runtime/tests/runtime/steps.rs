//! Durable steps and the journal, as a guest sees them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ripost_runtime::{
    Call, Grants, Journal, MemoryJournal, Outbound, OutboundError, OutboundRequest, OutboundResponse, Response,
};

use crate::common::Guest;
use crate::{answered, call, limits, load, runtime};

/// Counts, and answers 201.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Outbound for Counting {
    async fn send(&self, _request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(OutboundResponse { status: 201, headers: Vec::new(), body: Bytes::new() })
    }
}

/// Begins step `pay` with the request's body, posts inside of it, and commits its key. Answers 201 with the key if it was
/// fresh, 200 with what was committed if it was done, and 500 and more with the text of an error.
fn payer() -> Guest {
    Guest::new(
        "(call $begin (i32.const 2048) (i32.const 3) (i32.load offset=72 (local.get $request))
           (i32.load offset=76 (local.get $request)) (i32.const 3072))
         (if (i32.load8_u (i32.const 3072)) (then
           (return (call $respond (i32.add (i32.const 500) (i32.load8_u (i32.const 3076)))
             (i32.load (i32.const 3080)) (i32.load (i32.const 3084))))))
         (if (i32.eqz (i32.load8_u (i32.const 3076))) (then
           (return (call $respond (i32.const 200) (i32.load (i32.const 3080)) (i32.load (i32.const 3084))))))
         (call $send (i32.const 2051) (i32.const 4) (i32.const 2055) (i32.const 18) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3200))
         (call $commit (i32.const 2048) (i32.const 3) (i32.load (i32.const 3080)) (i32.load (i32.const 3084))
           (i32.const 3100))
         (if (i32.load8_u (i32.const 3100)) (then unreachable))
         (call $respond (i32.const 201) (i32.load (i32.const 3080)) (i32.load (i32.const 3084)))",
    )
    .imports(
        r#"(import "ripost:plugin/step@1.0.0" "begin" (func $begin (param i32 i32 i32 i32 i32)))
           (import "ripost:plugin/step@1.0.0" "commit" (func $commit (param i32 i32 i32 i32 i32)))
           (import "ripost:plugin/outbound@1.0.0" "send"
             (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
    )
    .items(r#"(data (i32.const 2048) "payPOSThttps://a.example/")"#)
}

async fn run(body: &'static str, journal: Option<&Arc<MemoryJournal>>, outbound: &Arc<Counting>) -> Response {
    let grants = Grants { outbound: Some(outbound.clone()), ..Grants::default() };
    let past = journal.map(|journal| journal.past());
    let journal = journal.map(|journal| Arc::clone(journal) as Arc<dyn Journal>);
    let run = runtime().run(&load(&payer()), Call { grants, journal, past, ..call(body, limits()) }).await;
    assert!(run.remains.is_none(), "all was written down");
    answered(run)
}

#[tokio::test]
async fn what_a_run_has_committed_the_next_does_not_do_again() {
    let (journal, outbound) = (Arc::default(), Arc::default());
    let first = run("order 1", Some(&journal), &outbound).await;
    assert_eq!((first.status, &first.body[..]), (201, &b"key-of-pay"[..]));
    for _ in 0..2 {
        let again = run("order 1", Some(&journal), &outbound).await;
        assert_eq!((again.status, again.body), (200, first.body.clone()));
    }
    assert_eq!(outbound.0.load(Ordering::SeqCst), 1);
    let changed = run("order 2", Some(&journal), &outbound).await;
    assert!(changed.status == 500 && changed.body.starts_with(b"step `pay` was begun before with another input"));
}

#[tokio::test]
async fn a_call_that_was_answered_before_the_crash_is_not_made_again() {
    let (journal, outbound) = (Arc::<MemoryJournal>::default(), Arc::default());
    run("order 1", Some(&journal), &outbound).await;
    // As if it had died between the answer and the commit.
    let mut past = Arc::unwrap_or_clone(journal.past());
    past.steps.clear();
    let grants = Grants { outbound: Some(outbound.clone()), ..Grants::default() };
    let (past, journal) = (Some(Arc::new(past)), Some(Arc::<MemoryJournal>::default() as Arc<dyn Journal>));
    let again = runtime().run(&load(&payer()), Call { grants, past, journal, ..call("order 1", limits()) }).await;
    assert_eq!(answered(again).status, 201);
    assert_eq!(outbound.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_is_not_kept_has_no_steps_and_is_told_before_it_does_anything() {
    let outbound = Arc::default();
    let response = run("order 1", None, &outbound).await;
    assert_eq!((response.status, outbound.0.load(Ordering::SeqCst)), (503, 0));
    assert!(response.body.starts_with(b"steps are for requests that are stored"), "{:?}", response.body);
}
