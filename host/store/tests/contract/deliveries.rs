use crate::fixture::{Fixture, LANE, NOW, PRICE, accept, claim, completed, recorded};
use ripost_domain::delivery::{Next, State};
use ripost_domain::id::{DeliveryId, RequestId};
use ripost_store::{Record, Store as _, WriteError};
use std::time::Duration;

async fn sent(store: &Fixture) -> (RequestId, DeliveryId) {
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let end = completed(&call);
    let delivery = end.delivery.as_ref().unwrap().id;
    store.finish(end).await.unwrap();
    (call.id, delivery)
}

#[tokio::test]
async fn an_attempt_moves_its_delivery_on_once() {
    let store = Fixture::new();
    let (request, delivery) = sent(&store).await;
    let retry_at = NOW.after(Duration::from_secs(5));
    let failure = Record {
        status: Some(500),
        error_class: Some("status".to_owned()),
        ..recorded(delivery, Next::RetryAt(retry_at))
    };
    store.record(failure.clone()).await.unwrap();
    assert!(matches!(store.record(failure).await, Err(WriteError::Fenced)));
    let view = store.request(request).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!((view.state, view.attempts, view.next_attempt_at), (State::Pending, 1, Some(retry_at)));
    assert_eq!((view.last_status, view.last_error.as_deref()), (Some(500), Some("status")));
    assert!(store.claim_deliveries(claim(NOW, LANE, 9)).await.unwrap().deliveries.is_empty(), "not due yet");
    let again = store.claim_deliveries(claim(retry_at, LANE, 9)).await.unwrap().deliveries.remove(0);
    assert_eq!((again.id, again.attempt, again.epoch), (delivery, 2, 2));
    let done = Record { epoch: 2, attempt: 2, ..recorded(delivery, Next::Delivered) };
    store.record(done).await.unwrap();
    let view = store.request(request).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!((view.state, view.attempts, view.next_attempt_at), (State::Delivered, 2, None));
    store.sound().await;
}

#[tokio::test]
async fn an_attempt_that_failed_because_of_us_is_given_back() {
    let store = Fixture::new();
    let (request, delivery) = sent(&store).await;
    let ours = Record { status: None, counted: false, ..recorded(delivery, Next::RetryAt(NOW)) };
    store.record(ours).await.unwrap();
    assert_eq!(store.request(request).await.unwrap().unwrap().delivery.unwrap().attempts, 0);
    assert_eq!(store.claim_deliveries(claim(NOW, LANE, 9)).await.unwrap().deliveries[0].attempt, 1);
}

#[tokio::test]
async fn ended_deliveries_are_counted_and_never_claimed() {
    let store = Fixture::new();
    let (_, exhausted) = sent(&store).await;
    let (_, abandoned) = sent(&store).await;
    store.record(recorded(exhausted, Next::Exhausted)).await.unwrap();
    store.record(recorded(abandoned, Next::Abandoned)).await.unwrap();
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.deliveries_exhausted, stats.deliveries_pending, stats.deliveries_in_flight), (1, 0, 0));
    let far = NOW.after(Duration::from_secs(1 << 30));
    assert!(store.claim_deliveries(claim(far, LANE, 9)).await.unwrap().deliveries.is_empty());
}
