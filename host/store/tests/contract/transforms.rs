//! What transforms leave behind: originals, headers of webhooks, payloads that could not be made.

use crate::fixture::{self, Fixture, LANE, NOW, PRICE, accept, claim, completed, delivery};
use bytes::Bytes;
use ripost_domain::delivery::{Next, State};
use ripost_domain::event::Event;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_store::{
    Accept, Finish, Lease, MakePayload, NewDelivery, Record, Redeliver, Redelivered, RequestInput, Store as _,
    StoredUnmade, UndeliveredFilter, Unmade,
};
use std::time::Duration;

const SECRET: &[u8] = b"{\"secret\":1}";
const REASON: &str = "slack.wasm trapped.";

#[tokio::test]
async fn what_the_consumer_sent_is_kept_beside_what_the_handler_sees() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let plain = accept(consumer);
    let sent = RequestInput {
        query: Some("old=1".to_owned()),
        headers: vec![("x-old".to_owned(), Bytes::from_static(b"\xff"))],
        body: Bytes::from_static(b"old"),
        ..plain.input.clone()
    };
    let mut changed = Accept { original: Some(sent.clone()), lease: Lease::Nobody, ..accept(consumer) };
    changed.input.attributes = vec![("locale".to_owned(), "pt-BR \u{1f1e7}".to_owned())];
    store.accept(plain.clone()).await.unwrap();
    store.accept(changed.clone()).await.unwrap();
    assert_eq!(store.original(plain.id).await.unwrap(), None);
    assert_eq!(store.original(changed.id).await.unwrap(), Some(sent));
    assert_eq!(store.input(changed.id).await.unwrap().as_ref(), Some(&changed.input));
    let claimed = store.claim_runs(fixture::runs(NOW, 9)).await.unwrap().remove(0);
    assert_eq!((claimed.id, claimed.input), (changed.id, changed.input));
}

#[tokio::test]
async fn headers_that_a_transform_set_go_with_every_attempt() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let headers = vec![("x-kind".to_owned(), Bytes::from_static(b"report"))];
    for headers in [headers, Vec::new()] {
        let call = accept(consumer);
        store.accept(call.clone()).await.unwrap();
        let new = NewDelivery { headers: headers.clone(), ..delivery(Lease::Nobody) };
        store.finish(Finish { delivery: Some(new), ..completed(&call) }).await.unwrap();
        assert_eq!(store.payload(call.id, "completed").await.unwrap().unwrap().headers, headers);
        let claimed = store.claim_deliveries(claim(NOW.after(Duration::from_secs(1)), LANE, 9)).await.unwrap();
        assert_eq!(claimed.deliveries[0].headers, headers);
    }
    store.sound().await;
}

/// A request whose webhook could not be made.
async fn unmade(store: &Fixture, consumer: ConsumerId, payload: Bytes) -> (RequestId, DeliveryId) {
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let unmade = Some(Unmade { reason: REASON.to_owned() });
    let new = NewDelivery { payload, unmade, ..delivery(Lease::ThisProcess) };
    let id = new.id;
    store.finish(Finish { delivery: Some(new), ..completed(&call) }).await.unwrap();
    (call.id, id)
}

async fn found(store: &Fixture, request: RequestId) -> Option<StoredUnmade> {
    store.unmade(request, "completed").await.unwrap()
}

fn again(request: RequestId) -> Redeliver {
    fixture::send_again(request, NOW, NOW.after(Duration::from_secs(99)))
}

#[tokio::test]
async fn a_payload_that_could_not_be_made_is_never_sent_or_shown() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (request, id) = unmade(&store, consumer, Bytes::from_static(SECRET)).await;
    // It ends exhausted: the money is untouched by it, and it is in the feed.
    let record = store.request(request).await.unwrap().unwrap();
    let stored = record.delivery.unwrap();
    assert_eq!(
        (stored.state, stored.reason.as_deref(), stored.attempts),
        (State::Exhausted, Some("transform-failed"), 0)
    );
    assert_eq!(record.settlement.as_str(), "captured");
    let filter = UndeliveredFilter { consumer: Some(consumer), limit: 9, ..UndeliveredFilter::default() };
    assert_eq!(store.undelivered(filter).await.unwrap().entries[0].delivery.id, id);
    assert_eq!(store.stats().await.unwrap().deliveries_exhausted, 1);
    // Nothing that reads payloads has one, and nothing claims it, after a restart neither.
    let store = store.reopened().await;
    store.recover(NOW).await.unwrap();
    assert_eq!(store.payload(request, "completed").await.unwrap(), None);
    let log = store.deliveries(request).await.unwrap().remove(0);
    assert_eq!((log.payload_bytes, log.unmade), (0, Some(Unmade { reason: REASON.to_owned() })));
    let late = NOW.after(Duration::from_secs(999_999));
    assert!(store.due_lanes(late, 9).await.unwrap().is_empty());
    assert!(store.claim_deliveries(claim(late, LANE, 9)).await.unwrap().deliveries.is_empty());
    assert!(matches!(store.redeliver(again(request)).await.unwrap(), Redelivered::Unmade(of) if of.id == id));
    store.sound().await;
}

#[tokio::test]
async fn a_payload_that_is_made_after_all_is_sent_like_any_other() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (request, id) = unmade(&store, consumer, Bytes::from_static(SECRET)).await;
    let StoredUnmade { delivery, body, reason, api, event, url, .. } = found(&store, request).await.unwrap();
    assert_eq!((delivery, &body[..], reason.as_str(), event.as_str()), (id, SECRET, REASON, "completed"));
    assert_eq!((api.to_string().as_str(), url.as_str()), ("demo/report", "https://x.example/hook"));
    let made = MakePayload {
        delivery,
        payload: Bytes::from_static(b"made"),
        content_type: "text/plain".to_owned(),
        headers: vec![("x-made".to_owned(), Bytes::from_static(b"1"))],
    };
    assert!(store.make(made.clone()).await.unwrap());
    assert!(!store.make(MakePayload { payload: Bytes::from_static(b"twice"), ..made }).await.unwrap());
    assert_eq!(found(&store, request).await, None);
    let stored = store.request(request).await.unwrap().unwrap().delivery.unwrap();
    assert_eq!(stored.state, State::Exhausted, "until somebody asks for it");
    assert!(matches!(store.redeliver(again(request)).await.unwrap(), Redelivered::Due(_)));
    let claimed = store.claim_deliveries(claim(NOW, LANE, 9)).await.unwrap().deliveries.remove(0);
    assert_eq!((&claimed.payload[..], claimed.content_type.as_str(), claimed.attempt), (&b"made"[..], "text/plain", 1));
    assert_eq!(claimed.headers[0].0, "x-made");
    store.record(Record { consumer, ..fixture::recorded(id, Next::Delivered) }).await.unwrap();
    store.sound().await;
}

#[tokio::test]
async fn a_large_body_that_is_unmade_and_the_payload_made_of_it_are_never_mistaken() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let large = Bytes::from(vec![b's'; 100_000]);
    let (request, delivery) = unmade(&store, consumer, large.clone()).await;
    let store = store.reopened().await;
    assert_eq!(found(&store, request).await.unwrap().body, large);
    assert_eq!(store.payload(request, "completed").await.unwrap(), None);
    let payload = Bytes::from(vec![b'm'; 90_000]);
    let made = MakePayload { delivery, payload: payload.clone(), content_type: "a/b".to_owned(), headers: Vec::new() };
    assert!(store.make(made).await.unwrap());
    assert_eq!(store.payload(request, "completed").await.unwrap().unwrap().body, payload);
    let kept = files(&store.path().join("results"));
    assert!(kept.iter().all(|name| !name.ends_with(".unmade")), "{kept:?}");
    // A small payload of a large body is a row.
    let (request, delivery) = unmade(&store, consumer, large).await;
    let made = MakePayload {
        delivery,
        payload: Bytes::from_static(b"s"),
        content_type: "a/b".to_owned(),
        headers: Vec::new(),
    };
    assert!(store.make(made).await.unwrap());
    assert_eq!(store.payload(request, "completed").await.unwrap().unwrap().body, "s");
    store.sound().await;
}

fn files(folder: &camino::Utf8Path) -> Vec<String> {
    let shards = folder.read_dir_utf8().unwrap().map(|shard| shard.unwrap().into_path());
    let names = shards.flat_map(|shard| {
        shard.read_dir_utf8().unwrap().map(|file| file.unwrap().file_name().to_owned()).collect::<Vec<_>>()
    });
    names.collect()
}

#[tokio::test]
async fn news_of_a_start_that_could_not_be_made_can_be_made_later() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let large = Bytes::from(vec![b's'; 100_000]);
    let new = NewDelivery {
        event: Event::Started,
        payload: large.clone(),
        unmade: Some(Unmade { reason: REASON.to_owned() }),
        ..delivery(Lease::Nobody)
    };
    let id = new.id;
    assert!(store.add_delivery(call.id, new).await.unwrap());
    assert_eq!(store.unmade(call.id, "started").await.unwrap().unwrap().body, large);
    let made = MakePayload { delivery: id, payload: large, content_type: "a/b".to_owned(), headers: Vec::new() };
    assert!(store.make(made.clone()).await.unwrap());
    store.finish(completed(&call)).await.unwrap();
    assert_eq!(store.payload(call.id, "started").await.unwrap().unwrap().body, made.payload);
    assert_ne!(store.payload(call.id, "completed").await.unwrap().unwrap().body, made.payload);
    store.sound().await;
}
