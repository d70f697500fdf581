//! The queue of endpoints: nobody's backlog hides anybody else's, and claims cost what they claim.

use crate::fixture::{Fixture, LANE, NOW, PRICE, accept, claim, completed, delivery, recorded};
use ripost_domain::delivery::{LaneId, Next, State};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;
use ripost_store::{DeliveryClaim, Finish, Lease, NewDelivery, Record, Retry, Store as _};
use std::time::Duration;

const OTHER: LaneId = LaneId::from_bytes([6; 16]);

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

/// Delivered by nobody yet, due at once.
async fn waiting(store: &Fixture, consumer: ConsumerId, lane: LaneId) -> (RequestId, DeliveryId) {
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let new = NewDelivery { lane, ..delivery(Lease::Nobody) };
    let id = new.id;
    store.finish(Finish { delivery: Some(new), ..completed(&call) }).await.unwrap();
    (call.id, id)
}

#[tokio::test]
async fn a_lane_with_a_backlog_is_one_entry_of_the_queue_and_is_offered_again_only_later() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 20).await;
    for _ in 0..10 {
        waiting(&store, consumer, LANE).await;
    }
    waiting(&store, consumer, OTHER).await;
    let now = later(1);
    let mut lanes = store.due_lanes(now, 10).await.unwrap();
    lanes.sort();
    assert_eq!(lanes, [LANE, OTHER]);
    let claimed = store.claim_deliveries(claim(now, LANE, 3)).await.unwrap();
    assert_eq!((claimed.deliveries.len(), claimed.more.as_slice()), (3, &[LANE][..]));
    assert_eq!(store.due_lanes(now, 10).await.unwrap(), [OTHER], "whoever claimed knows that there is more");
    assert_eq!(store.due_lanes(later(40), 10).await.unwrap().len(), 2, "if it forgets, the store offers it again");
    let rest = store.claim_deliveries(claim(now, LANE, 100)).await.unwrap();
    assert_eq!((rest.deliveries.len(), rest.more.len()), (7, 0));
    let other = store.claim_deliveries(claim(now, OTHER, 100)).await.unwrap();
    assert_eq!(other.deliveries.len(), 1);
    assert_eq!(store.due_lanes(later(1000), 10).await.unwrap(), [], "an empty lane is gone");
    assert_eq!(store.stats().await.unwrap().lanes_waiting, 0);
    store.sound().await;
}

#[tokio::test]
async fn a_parked_lane_is_not_offered_before_its_time_and_loses_nothing() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    waiting(&store, consumer, LANE).await;
    let park = DeliveryClaim { lanes: Vec::new(), parked: vec![(LANE, later(60))], ..claim(later(1), LANE, 0) };
    store.claim_deliveries(park).await.unwrap();
    assert_eq!(store.due_lanes(later(59), 10).await.unwrap(), []);
    assert_eq!(store.due_lanes(later(60), 10).await.unwrap(), [LANE]);
    // A new delivery makes it ready again: it is the caller who knows whether the endpoint is tried.
    waiting(&store, consumer, LANE).await;
    assert_eq!(store.due_lanes(later(1), 10).await.unwrap(), [LANE]);
    store.sound().await;
}

#[tokio::test]
async fn after_a_restart_every_lane_is_looked_at() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    waiting(&store, consumer, LANE).await;
    waiting(&store, consumer, OTHER).await;
    let park = DeliveryClaim { parked: vec![(OTHER, later(600))], ..claim(later(1), LANE, 1) };
    assert_eq!(store.claim_deliveries(park).await.unwrap().deliveries.len(), 1);
    let store = store.reopened().await;
    assert_eq!(store.recover(later(2)).await.unwrap().deliveries, 1);
    let mut lanes = store.due_lanes(later(2), 10).await.unwrap();
    lanes.sort();
    assert_eq!(lanes, [LANE, OTHER]);
    store.sound().await;
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_holds_up_nobody_else() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let large = NewDelivery { payload: vec![b'x'; 100_000].into(), ..delivery(Lease::Nobody) };
    let bad = large.id;
    store.finish(Finish { delivery: Some(large), ..completed(&call) }).await.unwrap();
    let (_, good) = waiting(&store, consumer, LANE).await;
    let name = call.id.to_string();
    std::fs::remove_file(store.path().join("results").join(&name[name.len() - 2..]).join(format!("{name}.completed")))
        .unwrap();
    let claimed = store.claim_deliveries(claim(later(1), LANE, 9)).await.unwrap();
    assert_eq!(claimed.deliveries.iter().map(|claimed| claimed.id).collect::<Vec<_>>(), [good]);
    assert_eq!(claimed.unreadable.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [bad]);
    assert_eq!(store.claim_deliveries(claim(later(30), LANE, 9)).await.unwrap().unreadable.len(), 0);
    assert_eq!(store.claim_deliveries(claim(later(62), LANE, 9)).await.unwrap().unreadable.len(), 1);
    store.sound().await;
}

#[tokio::test]
async fn what_is_past_its_time_is_given_up_without_being_claimed() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let retry = Retry { waits: Some(vec![Duration::from_secs(1)]), give_up_at: later(10), base: 0 };
    let new = NewDelivery { retry: retry.clone(), ..delivery(Lease::Nobody) };
    let id = new.id;
    store.finish(Finish { delivery: Some(new), ..completed(&call) }).await.unwrap();
    assert!(store.give_up(later(9), 10).await.unwrap().is_empty());
    let claimed = store.claim_deliveries(claim(later(1), LANE, 1)).await.unwrap().deliveries.remove(0);
    assert_eq!(claimed.retry, retry);
    assert!(store.give_up(later(10), 10).await.unwrap().is_empty(), "an attempt under way is let be");
    store.record(recorded(id, Next::RetryAt(later(20)))).await.unwrap();
    let gone = store.give_up(later(10), 10).await.unwrap();
    assert_eq!(gone.iter().map(|gone| gone.id).collect::<Vec<_>>(), [id]);
    let view = store.request(call.id).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!((view.state, view.reason.as_deref()), (State::Exhausted, Some("max-age")));
    store.sound().await;
}

#[tokio::test]
async fn what_was_only_put_back_has_no_place_in_the_log() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (request, id) = waiting(&store, consumer, LANE).await;
    store.claim_deliveries(claim(later(1), LANE, 1)).await.unwrap();
    let back = Record { logged: false, counted: false, status: None, ..recorded(id, Next::RetryAt(later(5))) };
    store.record(back).await.unwrap();
    let log = store.deliveries(request).await.unwrap().remove(0);
    assert_eq!((log.delivery.attempts, log.attempts.len(), log.delivery.last_status), (0, 0, None));
    store.sound().await;
}
