//! The feed, the log, sending again, disabled URLs, secrets.

use crate::fixture::{self, Fixture, LANE, NOW, PRICE, accept, claim, completed, delivery, send_again};
use bytes::Bytes;
use ripost_domain::delivery::{LaneId, Next, State};
use ripost_domain::event::Event;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;
use ripost_store::{
    DeliveryClaim, Finish, Lease, NewDelivery, Record, Redeliver, Redelivered, RotateSecret, Rotated, Store as _,
    Tries, UndeliveredFilter, Which,
};
use std::time::Duration;

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

async fn sent(store: &Fixture, consumer: ConsumerId) -> (RequestId, DeliveryId) {
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let end = completed(&call);
    let id = end.delivery.as_ref().unwrap().id;
    store.finish(end).await.unwrap();
    (call.id, id)
}

/// What came of a first attempt of a consumer's.
fn recorded(consumer: ConsumerId, delivery: DeliveryId, next: Next) -> Record {
    Record { consumer, ..fixture::recorded(delivery, next) }
}

fn all(consumer: ConsumerId) -> UndeliveredFilter {
    UndeliveredFilter { consumer: Some(consumer), limit: 100, ..UndeliveredFilter::default() }
}

async fn ids(store: &Fixture, filter: UndeliveredFilter) -> Vec<DeliveryId> {
    store.undelivered(filter).await.unwrap().entries.into_iter().map(|entry| entry.delivery.id).collect()
}

#[tokio::test]
async fn the_feed_has_what_failed_until_it_is_delivered_and_is_each_consumers_own() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(PRICE * 9).await, store.consumer(PRICE).await);
    let (_, healthy) = sent(&store, one).await;
    store.record(Record { waited: false, ..recorded(one, healthy, Next::Delivered) }).await.unwrap();
    let (_, failing) = sent(&store, one).await;
    let (_, theirs) = sent(&store, other).await;
    store.record(recorded(one, failing, Next::RetryAt(later(5)))).await.unwrap();
    store.record(recorded(other, theirs, Next::Exhausted)).await.unwrap();
    assert_eq!(ids(&store, all(one)).await, [failing]);
    assert_eq!(ids(&store, UndeliveredFilter { limit: 9, ..UndeliveredFilter::default() }).await, [failing, theirs]);
    let first = store.undelivered(all(one)).await.unwrap();
    assert!(!first.more);
    assert!(ids(&store, UndeliveredFilter { after: first.next, ..all(one) }).await.is_empty());
    let claimed = store.claim_deliveries(claim(later(5), LANE, 9)).await.unwrap().deliveries.remove(0);
    assert!(claimed.waited && claimed.id == failing);
    let done = Record { epoch: 2, attempt: 2, ..recorded(one, failing, Next::Delivered) };
    store.record(done).await.unwrap();
    assert!(ids(&store, all(one)).await.is_empty());
    // A place in the feed is never given away again: a cursor of before still means the same.
    let (_, next) = sent(&store, one).await;
    store.record(recorded(one, next, Next::Exhausted)).await.unwrap();
    assert!(store.undelivered(all(one)).await.unwrap().next > first.next);
    store.sound().await;
}

#[tokio::test]
async fn pages_and_filters_miss_nothing_and_repeat_nothing() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 9).await;
    let mut expected = Vec::new();
    for index in 0..7 {
        let (_, id) = sent(&store, consumer).await;
        let next = if index % 2 == 0 { Next::Exhausted } else { Next::Abandoned };
        store.record(recorded(consumer, id, next)).await.unwrap();
        expected.push(id);
    }
    let (mut seen, mut after) = (Vec::new(), 0);
    for _ in 0..9 {
        let page = store.undelivered(UndeliveredFilter { after, limit: 2, ..all(consumer) }).await.unwrap();
        after = page.next;
        seen.extend(page.entries.into_iter().map(|entry| entry.delivery.id));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, expected);
    let only = |state| UndeliveredFilter { state: Some(state), ..all(consumer) };
    assert_eq!(ids(&store, only(State::Exhausted)).await.len(), 4);
    assert_eq!(ids(&store, only(State::Pending)).await.len(), 0);
    assert_eq!(ids(&store, UndeliveredFilter { event: Some("started".to_owned()), ..all(consumer) }).await.len(), 0);
    assert_eq!(ids(&store, UndeliveredFilter { since: Some(later(1)), ..all(consumer) }).await.len(), 0);
    assert_eq!(ids(&store, UndeliveredFilter { until: Some(later(1)), ..all(consumer) }).await.len(), 7);
    let api = accept(consumer).api;
    assert_eq!(ids(&store, UndeliveredFilter { api: Some(api), ..all(consumer) }).await.len(), 7);
}

#[tokio::test]
async fn a_delivery_is_sent_again_on_a_new_schedule_and_to_another_url() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (request, id) = sent(&store, consumer).await;
    let again = send_again(request, later(9), later(99));
    assert!(matches!(store.redeliver(again.clone()).await.unwrap(), Redelivered::UnderWay(_)), "in flight");
    store.record(Record { reason: Some("schedule"), ..recorded(consumer, id, Next::Exhausted) }).await.unwrap();
    let unknown = Redeliver { which: Which::Event(request, "started".to_owned()), ..again.clone() };
    assert_eq!(store.redeliver(unknown).await.unwrap(), Redelivered::Unknown);
    let Redelivered::Due(due) = store.redeliver(again.clone()).await.unwrap() else { panic!("not due") };
    assert_eq!((due.state, due.attempts, due.reason), (State::Pending, 1, None));
    assert!(matches!(store.redeliver(again.clone()).await.unwrap(), Redelivered::UnderWay(_)), "due already");
    let lane = LaneId::from_bytes([8; 16]);
    let to = Some(("https://y.example/new".to_owned(), lane));
    assert!(matches!(store.redeliver(Redeliver { to, ..again }).await.unwrap(), Redelivered::Due(_)));
    let claimed = store.claim_deliveries(claim(later(9), lane, 9)).await.unwrap().deliveries.remove(0);
    assert_eq!((claimed.id, claimed.url.as_str(), claimed.attempt), (id, "https://y.example/new", 2));
    assert_eq!((claimed.retry.base, claimed.retry.give_up_at), (1, later(99)));
    store.claim_deliveries(claim(later(9), LANE, 9)).await.unwrap();
    store.sound().await;
}

#[tokio::test]
async fn what_was_delivered_stays_so_and_a_copy_of_it_is_sent() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (request, id) = sent(&store, consumer).await;
    store.record(recorded(consumer, id, Next::Delivered)).await.unwrap();
    let again = || send_again(request, later(9), later(99));
    let to = Some(("https://y.example/new".to_owned(), LaneId::from_bytes([8; 16])));
    let due = async |redeliver| match store.redeliver(redeliver).await.unwrap() {
        Redelivered::Due(delivery) => delivery,
        other => panic!("{other:?}"),
    };
    let here = due(again()).await;
    let elsewhere = due(Redeliver { to: to.clone(), tries: Tries::BySchedule, ..again() }).await;
    for copy in [&here, &elsewhere] {
        assert_eq!((copy.copy_of, copy.state, copy.attempts), (Some(id), State::Pending, 0));
    }
    assert_eq!((here.url.as_str(), elsewhere.url.as_str()), ("https://x.example/hook", "https://y.example/new"));
    assert!(matches!(store.redeliver(again()).await.unwrap(), Redelivered::UnderWay(copy) if copy.id == here.id));
    // Both have the bytes and the id that their receiver knows, and schedules of their own.
    let lanes = vec![(LANE, 9), (LaneId::from_bytes([8; 16]), 9)];
    let claimed = store.claim_deliveries(DeliveryClaim { lanes, ..claim(later(9), LANE, 9) }).await.unwrap().deliveries;
    for copy in &claimed {
        assert_eq!(
            (copy.webhook_id, &copy.payload, copy.event),
            (id, &delivery(Lease::Nobody).payload, Event::Completed)
        );
    }
    let waits: Vec<_> = claimed.iter().map(|copy| (copy.id, copy.retry.waits.clone())).collect();
    assert_eq!(waits, [(here.id, Some(vec![Duration::ZERO])), (elsewhere.id, None)]);
    // One fails: that is its own affair.
    let failed = Record { reason: Some("schedule"), ..recorded(consumer, here.id, Next::Exhausted) };
    store.record(failed).await.unwrap();
    store.record(recorded(consumer, elsewhere.id, Next::Delivered)).await.unwrap();
    let record = store.request(request).await.unwrap().unwrap();
    assert_eq!(record.delivery.map(|delivery| (delivery.id, delivery.state)), Some((id, State::Delivered)));
    assert_eq!(ids(&store, all(consumer)).await, [here.id], "it is in the feed");
    // Sent again, the failed copy is the same one; what was delivered once more is another.
    assert_eq!(due(again()).await.id, here.id);
    assert_ne!(due(Redeliver { to, ..again() }).await.id, elsewhere.id);
    let by_id = Redeliver { which: Which::Delivery(here.id), ..again() };
    assert!(matches!(store.redeliver(by_id).await.unwrap(), Redelivered::UnderWay(copy) if copy.id == here.id));
    let logs = store.deliveries(request).await.unwrap();
    let bytes = delivery(Lease::Nobody).payload.len() as u64;
    assert_eq!(logs.len(), 4);
    assert!(logs.iter().all(|log| log.payload_bytes == bytes));
    store.sound().await;
}

#[tokio::test]
async fn the_log_has_every_attempt_in_order() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (request, id) = sent(&store, consumer).await;
    store.record(recorded(consumer, id, Next::RetryAt(NOW))).await.unwrap();
    store.claim_deliveries(claim(NOW, LANE, 1)).await.unwrap();
    let facts = Bytes::from_static(b"{\"reused\":true}");
    let second = Record {
        epoch: 2,
        attempt: 2,
        chain: [3; 32],
        facts: facts.clone(),
        ..recorded(consumer, id, Next::Delivered)
    };
    store.record(second).await.unwrap();
    let log = store.deliveries(request).await.unwrap().remove(0);
    assert_eq!(log.payload_bytes, delivery(Lease::Nobody).payload.len() as u64);
    let seen: Vec<_> = log.attempts.iter().map(|attempt| (attempt.attempt, attempt.hash)).collect();
    assert_eq!(seen, [(1, [2; 32]), (2, [3; 32])]);
    assert_eq!(log.attempts[1].facts, facts);
    store.sound().await;
}

#[tokio::test]
async fn another_event_is_added_once_and_not_to_a_request_that_has_ended() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let started = || NewDelivery { event: Event::Started, ..delivery(Lease::Nobody) };
    assert!(store.add_delivery(call.id, started()).await.unwrap());
    assert!(!store.add_delivery(call.id, started()).await.unwrap());
    store.finish(Finish { delivery: Some(delivery(Lease::Nobody)), ..completed(&call) }).await.unwrap();
    let late = NewDelivery { event: Event::Progress, ..delivery(Lease::Nobody) };
    assert!(!store.add_delivery(call.id, late).await.unwrap());
    assert_eq!(store.deliveries(call.id).await.unwrap().len(), 2);
    store.sound().await;
}

#[tokio::test]
async fn a_url_that_wants_no_more_is_disabled_for_its_consumer_until_it_is_enabled() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(PRICE).await, store.consumer(PRICE).await);
    let (_, id) = sent(&store, one).await;
    store.record(Record { disable: Some("gone"), ..recorded(one, id, Next::Abandoned) }).await.unwrap();
    let disabled = store.disabled_urls(Some(one)).await.unwrap();
    assert_eq!(
        (disabled.len(), disabled[0].url.as_str(), disabled[0].reason.as_str()),
        (1, "https://x.example/hook", "gone")
    );
    assert!(store.disabled_urls(Some(other)).await.unwrap().is_empty());
    assert!(!store.enable_url(other, "https://x.example/hook").await.unwrap());
    assert!(store.enable_url(one, "https://x.example/hook").await.unwrap());
    assert!(store.disabled_urls(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_rotations_within_a_millisecond_lose_no_secret() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    for (secret, at) in [(&b"b"[..], 10), (b"c", 10), (b"d", 10), (b"e", 4)] {
        let sealed = Bytes::from_static(secret);
        let rotate = RotateSecret { consumer, sealed, at: later(at), overlap_until: later(100), old_max: 9 };
        assert_eq!(store.rotate_secret(rotate).await.unwrap(), Rotated::Yes);
    }
    let secrets = store.secrets(consumer, later(20)).await.unwrap().unwrap();
    let old: Vec<_> = secrets.old.iter().map(|(sealed, _)| &sealed[..]).collect();
    assert_eq!((&secrets.current[..], old), (&b"e"[..], vec![&b"d"[..], b"c", b"b", b"sealed"]));
}

#[tokio::test]
async fn a_rotated_secret_signs_until_its_time_and_there_are_never_too_many() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    let rotate = |secret: &'static [u8], at: u64, until: u64| RotateSecret {
        consumer,
        sealed: Bytes::from_static(secret),
        at: later(at),
        overlap_until: later(until),
        old_max: 2,
    };
    assert_eq!(store.rotate_secret(rotate(b"b", 10, 100)).await.unwrap(), Rotated::Yes);
    assert_eq!(store.rotate_secret(rotate(b"c", 20, 50)).await.unwrap(), Rotated::Yes);
    assert_eq!(store.rotate_secret(rotate(b"d", 30, 100)).await.unwrap(), Rotated::TooMany);
    let secrets = store.secrets(consumer, later(30)).await.unwrap().unwrap();
    assert_eq!((&secrets.current[..], secrets.created_at, secrets.v1a), (&b"c"[..], later(20), false));
    let old: Vec<_> = secrets.old.iter().map(|(sealed, until)| (&sealed[..], *until)).collect();
    assert_eq!(old, [(&b"b"[..], later(50)), (&b"sealed"[..], later(100))]);
    assert_eq!(store.secrets(consumer, later(50)).await.unwrap().unwrap().old.len(), 1);
    assert_eq!(store.rotate_secret(rotate(b"d", 60, 60)).await.unwrap(), Rotated::Yes, "no overlap needs no room");
    assert_eq!(store.secrets(consumer, later(60)).await.unwrap().unwrap().old.len(), 1, "and keeps nothing");
    assert!(store.set_v1a(consumer, true).await.unwrap());
    assert!(store.secrets(consumer, later(60)).await.unwrap().unwrap().v1a);
    let nobody = ConsumerId::from_bytes([9; 16]);
    assert_eq!(
        store.rotate_secret(RotateSecret { consumer: nobody, ..rotate(b"x", 1, 2) }).await.unwrap(),
        Rotated::Unknown
    );
    assert!(!store.set_v1a(nobody, true).await.unwrap());
}
