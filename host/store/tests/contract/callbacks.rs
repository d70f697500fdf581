//! Requests whose upstream answers later.

use crate::fixture::{Fixture, NOW, PRICE, accept, again, amount, completed, failed, receipt, runs, waiting};
use bytes::Bytes;
use ripost_domain::request::State;
use ripost_store::{Accept, AwaitCallback, Callback, Ending, Finish, RunAgain, Store as _, WriteError};
use std::time::Duration;

const CALLBACK: Callback = Callback { epoch: 1, digest: [9; 32] };

fn wait_for(call: &Accept, epoch: u32) -> AwaitCallback {
    AwaitCallback { id: call.id, epoch, run: receipt(epoch, "acknowledged") }
}

/// The good end that a callback brings.
fn called_back(call: &Accept, from: State) -> Finish {
    Finish { from, callback: Some(CALLBACK), ..completed(call) }
}

#[tokio::test]
async fn what_waits_for_a_callback_outlives_a_restart_and_is_never_run_again() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    store.await_callback(wait_for(&call, 1)).await.unwrap();
    assert!(matches!(store.await_callback(wait_for(&call, 1)).await, Err(WriteError::Fenced)));
    assert!(matches!(store.run_again(again(call.id, 1, NOW)).await, Err(WriteError::Fenced)));
    let store = store.reopened().await;
    assert_eq!(store.recover(NOW).await.unwrap().runs, 0);
    assert!(store.claim_runs(runs(NOW.after(Duration::from_secs(9)), 9)).await.unwrap().is_empty());
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.requests_awaiting, stats.requests_running, stats.requests_accepted), (1, 0, 0));
    assert_eq!(store.revisions_in_use().await.unwrap(), [call.digest]);
    assert_eq!(store.pinned(call.digest, None, 9).await.unwrap().len(), 1);
    let found = store.unfinished(call.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.claimed.epoch, found.claimed.callback_epoch), (State::AwaitingCallback, 1, 1));
    assert_eq!(found.claimed.attempt, 1, "what was forwarded counts");
    assert_eq!(found.claimed.input, call.input);
    assert_eq!(store.balances(consumer).await.unwrap().held, amount(PRICE));
    store.sound().await;
    store.finish(called_back(&call, State::AwaitingCallback)).await.unwrap();
    assert_eq!(store.callback(call.id).await.unwrap(), Some(CALLBACK));
    assert!(store.unfinished(call.id).await.unwrap().is_none());
    assert_eq!(store.balances(consumer).await.unwrap().held, amount(0));
    assert_eq!(store.runs(call.id).await.unwrap().len(), 1);
    store.sound().await;
}

#[tokio::test]
async fn a_callback_that_is_first_ends_the_request_in_whichever_state_it_is() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let (running, put_back) = (accept(consumer), accept(consumer));
    for call in [&running, &put_back] {
        store.accept(call.clone()).await.unwrap();
    }
    store.run_again(again(put_back.id, 1, NOW)).await.unwrap();
    store.finish(called_back(&running, State::Running)).await.unwrap();
    store.finish(called_back(&put_back, State::Accepted)).await.unwrap();
    assert!(matches!(store.await_callback(wait_for(&running, 1)).await, Err(WriteError::Fenced)));
    assert!(matches!(store.finish(failed(&running)).await, Err(WriteError::Fenced)), "the answer that comes later");
    assert!(store.claim_runs(runs(NOW, 9)).await.unwrap().is_empty());
    store.sound().await;
}

#[tokio::test]
async fn only_a_refusal_makes_the_callbacks_of_earlier_runs_stale() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = waiting(consumer);
    store.accept(call.clone()).await.unwrap();
    let mut epochs = Vec::new();
    for refused in [false, true, false] {
        let run = store.claim_runs(runs(NOW, 9)).await.unwrap().remove(0);
        epochs.push(run.callback_epoch);
        store.run_again(RunAgain { refused, ..again(call.id, run.epoch, NOW) }).await.unwrap();
    }
    assert_eq!(epochs, [1, 1, 2]);
    let stale = Finish { epoch: 3, ..called_back(&call, State::Accepted) };
    assert!(matches!(store.finish(stale.clone()).await, Err(WriteError::Fenced)));
    assert_eq!(store.callback(call.id).await.unwrap(), None);
    store.finish(Finish { callback: Some(Callback { epoch: 2, ..CALLBACK }), ..stale }).await.unwrap();
    store.sound().await;
}

#[tokio::test]
async fn a_callback_that_never_comes_lets_the_request_expire_and_gives_the_hold_back() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    store.await_callback(wait_for(&call, 1)).await.unwrap();
    assert!(store.expired_requests(NOW, 9).await.unwrap().is_empty());
    let expired = store.expired_requests(call.expires_at, 9).await.unwrap();
    assert_eq!((expired.len(), expired[0].claimed.id, expired[0].state), (1, call.id, State::AwaitingCallback));
    let ending = Ending::Expired { problem: Bytes::from_static(b"{}") };
    store.finish(Finish { from: State::AwaitingCallback, ending, ..completed(&call) }).await.unwrap();
    let late = store.finish(called_back(&call, State::AwaitingCallback)).await;
    assert!(matches!(late, Err(WriteError::Fenced)));
    assert_eq!(store.balances(consumer).await.unwrap().available, amount(PRICE));
    store.sound().await;
}
