use crate::fixture::{Fixture, LANE, NOW, PRICE, accept, again, claim, completed, failed, receipt, runs, waiting};
use bytes::Bytes;
use ripost_domain::request::State;
use ripost_store::{Accept, AwaitCallback, Finish, RunAgain, RunClaim, Store as _, WriteError};
use std::time::Duration;

#[tokio::test]
async fn due_requests_are_claimed_oldest_first_within_both_bounds() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 10).await;
    let mut ids = Vec::new();
    for second in [3, 1, 2] {
        let created_at = NOW.after(Duration::from_secs(second));
        let mut call = Accept { created_at, due_at: created_at, ..waiting(consumer) };
        call.input.body = Bytes::from(vec![b'x'; 1000]);
        store.accept(call.clone()).await.unwrap();
        ids.push((second, call.id));
    }
    ids.sort_unstable();
    assert!(store.claim_runs(runs(NOW, 9)).await.unwrap().is_empty(), "none is due yet");
    let later = NOW.after(Duration::from_secs(9));
    let first = store.claim_runs(runs(later, 1)).await.unwrap();
    assert_eq!((first[0].id, first[0].epoch, first[0].attempt), (ids[0].1, 1, 1));
    assert_eq!(first[0].input.body.len(), 1000);
    let second = store.claim_runs(RunClaim { bytes_max: 10, ..runs(later, 9) }).await.unwrap();
    assert_eq!((second.len(), second[0].id), (1, ids[1].1), "one at least, whatever its size");
    assert_eq!(store.claim_runs(runs(later, 9)).await.unwrap()[0].id, ids[2].1);
    assert!(store.claim_runs(runs(later, 9)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_that_says_not_now_is_due_again_and_the_old_one_is_fenced() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let run_at = NOW.after(Duration::from_secs(5));
    store.run_again(again(call.id, 1, run_at)).await.unwrap();
    let twice = store.run_again(again(call.id, 1, run_at)).await;
    assert!(matches!(twice, Err(WriteError::Fenced)));
    assert_eq!(store.next_run(Vec::new()).await.unwrap(), Some(run_at));
    assert!(store.claim_runs(runs(NOW, 9)).await.unwrap().is_empty());
    let claimed = store.claim_runs(runs(run_at, 9)).await.unwrap();
    assert_eq!((claimed[0].epoch, claimed[0].attempt), (2, 2));
    assert!(matches!(store.finish(completed(&call)).await, Err(WriteError::Fenced)), "the first run comes too late");
    store.finish(Finish { epoch: 2, ..completed(&call) }).await.unwrap();
    store.sound().await;
}

#[tokio::test]
async fn what_a_process_left_is_due_at_the_next_start_and_what_had_begun_counts() {
    let store = Fixture::new();
    store.recover(NOW).await.unwrap();
    let consumer = store.consumer(PRICE * 3).await;
    let (running, ended, waited) = (accept(consumer), accept(consumer), accept(consumer));
    for call in [&running, &ended, &waited] {
        store.accept(call.clone()).await.unwrap();
    }
    let _runs = [store.begin(running.id, 1).unwrap(), store.begin(ended.id, 1).unwrap()];
    store.finish(completed(&ended)).await.unwrap();
    let store = store.reopened().await;
    let recovered = store.recover(NOW).await.unwrap();
    assert_eq!((recovered.runs, recovered.deliveries), (2, 1));
    assert_eq!(store.request(running.id).await.unwrap().unwrap().state, State::Accepted);
    let mut claimed = store.claim_runs(runs(NOW, 9)).await.unwrap();
    claimed.sort_by_key(|run| run.id != running.id);
    let seen: Vec<_> = claimed.iter().map(|run| (run.id, run.epoch, run.attempt)).collect();
    assert_eq!(seen, [(running.id, 2, 2), (waited.id, 2, 1)], "a lease that never had its turn is no run");
    let delivery = store.claim_deliveries(claim(NOW, LANE, 9)).await.unwrap().deliveries.remove(0);
    assert_eq!((delivery.request_id, delivery.epoch, delivery.attempt), (ended.id, 2, 2));
    assert_eq!(store.recover(NOW).await.unwrap().runs, 2);
    store.sound().await;
}

#[tokio::test]
async fn a_wait_is_no_run_however_often_the_process_is_killed() {
    let mut store = Fixture::new();
    store.recover(NOW).await.unwrap();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    for epoch in 2..=20 {
        store = store.reopened().await;
        store.recover(NOW).await.unwrap();
        let run = store.claim_runs(runs(NOW, 9)).await.unwrap().remove(0);
        assert_eq!((run.epoch, run.attempt), (epoch, 1));
    }
    store.finish(Finish { epoch: 20, ..completed(&call) }).await.unwrap();
    assert_eq!(store.request(call.id).await.unwrap().unwrap().attempt, 1);
    store.sound().await;
}

#[tokio::test]
async fn the_clock_that_goes_on_evenly_says_what_is_due_and_what_has_expired() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    // The machine's clock was set forward by a day between the start and the accept.
    let day = Duration::from_secs(86_400);
    let ahead = |call: Accept| Accept { created_at: NOW.after(day), expires_at: call.expires_at.after(day), ..call };
    let (waits, awaits) = (ahead(waiting(consumer)), ahead(accept(consumer)));
    for call in [&waits, &awaits] {
        store.accept(call.clone()).await.unwrap();
    }
    store.await_callback(AwaitCallback { id: awaits.id, epoch: 1, run: receipt(1, "acknowledged") }).await.unwrap();
    let (before, at) = (NOW.after(Duration::from_secs(3599)), NOW.after(Duration::from_secs(3600)));
    assert!(store.expired_requests(before, 9).await.unwrap().is_empty());
    assert_eq!(store.expired_requests(at, 9).await.unwrap().len(), 2);
    assert!(store.claim_runs(runs(at, 9)).await.unwrap().is_empty(), "too late to run");
    let run = store.claim_runs(runs(before, 9)).await.unwrap().remove(0);
    assert_eq!((run.id, run.deadline, run.expires_at), (waits.id, at, waits.expires_at));
    store.sound().await;
}

#[tokio::test]
async fn a_run_that_did_not_take_place_because_of_us_is_not_counted() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    for epoch in 1..=4 {
        let ours = RunAgain { counted: false, run: Some(receipt(1, "pool-exhausted")), ..again(call.id, epoch, NOW) };
        store.run_again(ours.clone()).await.unwrap();
        assert!(matches!(store.run_again(ours).await, Err(WriteError::Fenced)));
        assert_eq!(store.request(call.id).await.unwrap().unwrap().attempt, 0);
        let claimed = store.claim_runs(runs(NOW, 9)).await.unwrap().remove(0);
        assert_eq!((claimed.epoch, claimed.attempt), (epoch + 1, 1), "the epoch grows, the attempt does not");
        let stale = store.finish(Finish { epoch, ..completed(&call) }).await;
        assert!(matches!(stale, Err(WriteError::Fenced)), "the run before comes too late");
    }
    assert!(store.runs(call.id).await.unwrap().is_empty(), "what did not take place has no receipt");
    store.run_again(again(call.id, 5, NOW)).await.unwrap();
    assert_eq!(store.claim_runs(runs(NOW, 9)).await.unwrap()[0].attempt, 2);
    store.finish(Finish { epoch: 6, ..completed(&call) }).await.unwrap();
    store.sound().await;
}

#[tokio::test]
async fn every_counted_run_has_its_receipt_in_the_transaction_of_its_end() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let (first, second) = (receipt(1, "refused"), receipt(2, "answered"));
    store.run_again(RunAgain { run: Some(first.clone()), ..again(call.id, 1, NOW) }).await.unwrap();
    store.claim_runs(runs(NOW, 1)).await.unwrap();
    let late = Finish { run: Some(receipt(1, "late")), ..failed(&call) };
    assert!(matches!(store.finish(late).await, Err(WriteError::Fenced)));
    assert_eq!(store.runs(call.id).await.unwrap(), std::slice::from_ref(&first), "who is fenced writes nothing");
    let end = Finish { epoch: 2, run: Some(second.clone()), ..completed(&call) };
    store.finish(end).await.unwrap();
    let store = store.reopened().await;
    assert_eq!(store.runs(call.id).await.unwrap(), [first, second]);
    assert!(store.runs(accept(consumer).id).await.unwrap().is_empty());
    store.sound().await;
}
