use crate::fixture::{
    Fixture, LANE, NOW, PRICE, accept, amount, answered, claim, completed, delivery, failed, keyed, receipt, recorded,
    send_again, waiting,
};
use bytes::Bytes;
use ripost_domain::delivery::Next;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::limit::Setting;
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use ripost_store::{
    Accept, Answer, ConsumerLimits, Erased, Finish, Lease, OldPage, OldRequests, Part, Redelivered, Store as _,
    UndeliveredFilter,
};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn old(part: Part, finished_before: Timestamp) -> OldRequests {
    OldRequests { part, after: None, finished_before, limit: 100 }
}

/// A request that has ended and whose webhook was delivered.
async fn ended(store: &Fixture, call: Accept) -> (RequestId, Finish) {
    store.accept(call.clone()).await.unwrap();
    let end = Finish { run: Some(receipt(1, "answered")), ..completed(&call) };
    store.finish(end.clone()).await.unwrap();
    let of = end.delivery.as_ref().unwrap().id;
    store.record(ripost_store::Record { consumer: call.consumer, ..recorded(of, Next::Delivered) }).await.unwrap();
    (call.id, end)
}

async fn redeliver(store: &Fixture, request: RequestId) -> Redelivered {
    let at = NOW.after(DAY);
    store.redeliver(send_again(request, at, at.after(DAY))).await.unwrap()
}

#[tokio::test]
async fn contents_go_first_and_what_happened_is_still_told() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (id, end) = ended(&store, keyed(consumer, "k")).await;
    let at = end.finished_at;
    assert_eq!(store.old_requests(old(Part::Contents, at)).await.unwrap(), OldPage::default(), "not yet");
    let later = at.after(Duration::from_millis(1));
    let page = store.old_requests(old(Part::Contents, later)).await.unwrap();
    assert_eq!(page, OldPage { due: vec![id], next: None });
    assert_eq!(store.forget(Part::Contents, page.due).await.unwrap(), 1);
    assert_eq!(store.old_requests(old(Part::Contents, later)).await.unwrap(), OldPage::default());
    assert!(store.input(id).await.unwrap().is_none());
    assert!(store.result(id).await.unwrap().is_none());
    assert!(store.payload(id, "completed").await.unwrap().is_none());
    let record = store.request(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.result), (State::Completed, None));
    let runs = store.runs(id).await.unwrap();
    assert_eq!((runs[0].outcome.as_str(), runs[0].lines.len()), ("answered", 0));
    let payload = end.delivery.unwrap().payload;
    let log = &store.deliveries(id).await.unwrap()[0];
    assert_eq!(log.payload_bytes, payload.len() as u64);
    assert_eq!(log.forgotten_sha256.unwrap(), <[u8; 32]>::from(Sha256::digest(&payload)));
    assert_eq!(log.attempts.len(), 1);
    assert!(matches!(redeliver(&store, id).await, Redelivered::Forgotten(_)));
    let again = store.accept(Accept { id: accept(consumer).id, ..keyed(consumer, "k") }).await.unwrap();
    assert_eq!(again, ripost_store::Accepted::Existing { id, fingerprint: [9; 32] });
    store.sound().await;
}

#[tokio::test]
async fn everything_goes_at_last_but_the_ledger() {
    let store = Fixture::new();
    let consumer = store.consumer(2 * PRICE).await;
    let (first, end) = ended(&store, keyed(consumer, "k")).await;
    let (second, _) = ended(&store, accept(consumer)).await;
    let later = end.finished_at.after(DAY);
    store.forget(Part::Contents, vec![first]).await.unwrap();
    let page = store.old_requests(old(Part::Everything, later)).await.unwrap();
    assert_eq!(page.due, [first, second]);
    assert_eq!(store.forget(Part::Everything, page.due).await.unwrap(), 2);
    for id in [first, second] {
        assert!(store.request(id).await.unwrap().is_none());
        assert!(store.runs(id).await.unwrap().is_empty());
        assert!(store.deliveries(id).await.unwrap().is_empty());
    }
    let api = accept(consumer).api;
    assert!(store.idempotent(consumer, &api, "k").await.unwrap().is_none(), "the key is free again");
    assert_eq!(store.earned(&api.owner).await.unwrap(), amount(2 * 47_500));
    store.sound().await;
}

#[tokio::test]
async fn what_is_open_or_still_to_be_delivered_stays() {
    let store = Fixture::new();
    let consumer = store.consumer(4 * PRICE).await;
    let (running, queued, sending, exhausted) =
        (accept(consumer), waiting(consumer), accept(consumer), accept(consumer));
    for call in [&running, &queued, &sending, &exhausted] {
        store.accept(call.clone()).await.unwrap();
    }
    let end = Finish { delivery: Some(delivery(Lease::Nobody)), ..completed(&sending) };
    store.finish(end).await.unwrap();
    let end = failed(&exhausted);
    store.finish(end.clone()).await.unwrap();
    let of = end.delivery.unwrap().id;
    store.record(ripost_store::Record { consumer, ..recorded(of, Next::Exhausted) }).await.unwrap();
    let later = NOW.after(DAY);
    for part in [Part::Contents, Part::Everything] {
        let page = store.old_requests(old(part, later)).await.unwrap();
        assert_eq!(page.due, [exhausted.id]);
        // Asked for by name, they stay all the same.
        assert_eq!(store.forget(part, vec![running.id, queued.id, sending.id]).await.unwrap(), 0);
    }
    assert_eq!(store.forget(Part::Contents, vec![exhausted.id]).await.unwrap(), 1);
    let filter = UndeliveredFilter { consumer: Some(consumer), limit: 10, ..UndeliveredFilter::default() };
    let feed = store.undelivered(filter).await.unwrap();
    let in_feed: Vec<_> = feed.entries.iter().map(|entry| entry.request).collect();
    assert_eq!(in_feed, [sending.id], "what cannot be had any more is not offered");
    assert!(store.input(sending.id).await.unwrap().is_some());
    store.sound().await;
}

#[tokio::test]
async fn a_look_goes_on_behind_the_one_before() {
    let store = Fixture::new();
    let consumer = store.consumer(5 * PRICE).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(ended(&store, accept(consumer)).await.0);
    }
    let mut asked = OldRequests { limit: 2, ..old(Part::Everything, NOW.after(DAY)) };
    let mut found = Vec::new();
    for _ in 0..3 {
        let page = store.old_requests(asked).await.unwrap();
        found.extend(page.due);
        let Some(next) = page.next else { break };
        asked.after = Some(next);
    }
    assert_eq!(found, ids);
}

/// Files of the folder, whatever they are.
fn files(store: &Fixture) -> Vec<std::path::PathBuf> {
    let shards = std::fs::read_dir(store.path().join("results")).unwrap();
    shards
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[tokio::test]
async fn files_go_with_their_rows_and_are_counted() {
    let store = Fixture::new();
    let consumer = store.consumer(2 * PRICE).await;
    let large = Bytes::from(vec![b'x'; 100_000]);
    let answer = Answer { status: 200, headers: Vec::new(), body: large.clone() };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let call = accept(consumer);
        store.accept(call.clone()).await.unwrap();
        let mut end = Finish { ending: answered(answer.clone()), ..completed(&call) };
        let delivery = end.delivery.as_mut().unwrap();
        delivery.payload = large.clone();
        let of = delivery.id;
        store.finish(end).await.unwrap();
        store.record(ripost_store::Record { consumer, ..recorded(of, Next::Delivered) }).await.unwrap();
        ids.push(call.id);
    }
    assert_eq!(files(&store).len(), 4);
    assert_eq!(store.disk_usage().await.unwrap().files, 400_000);
    store.forget(Part::Contents, vec![ids[0]]).await.unwrap();
    let log = &store.deliveries(ids[0]).await.unwrap()[0];
    assert_eq!(log.forgotten_sha256.unwrap(), <[u8; 32]>::from(Sha256::digest(&large)));
    assert_eq!(files(&store).len(), 2);
    store.forget(Part::Everything, ids).await.unwrap();
    assert_eq!(files(&store), Vec::<std::path::PathBuf>::new());
    let usage = store.disk_usage().await.unwrap();
    assert_eq!(usage.files, 0);
    assert!(usage.database > 0);
    store.sound().await;
}

#[tokio::test]
async fn an_end_that_comes_second_leaves_the_files_of_the_first_as_they_are() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let end = |letter: u8| {
        let answer = Answer { status: 200, headers: Vec::new(), body: Bytes::from(vec![letter; 100_000]) };
        Finish { ending: answered(answer), delivery: None, ..completed(&call) }
    };
    let too_early = Finish { epoch: 7, ..end(b'x') };
    assert!(matches!(store.finish(too_early).await, Err(ripost_store::WriteError::Fenced)));
    store.finish(end(b'a')).await.unwrap();
    assert!(matches!(store.finish(end(b'b')).await, Err(ripost_store::WriteError::Fenced)));
    let kept = store.result(call.id).await.unwrap().unwrap().body;
    assert!(kept == vec![b'a'; 100_000], "its bytes are those of the first");
    assert_eq!(store.disk_usage().await.unwrap().files, 100_000, "each file is counted once");
}

#[tokio::test]
async fn what_has_gone_makes_room_in_the_database() {
    let store = Fixture::new();
    let consumer = store.consumer(40 * PRICE).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        let call = accept(consumer);
        store.accept(call.clone()).await.unwrap();
        let answer = Answer { status: 200, headers: Vec::new(), body: Bytes::from(vec![b'x'; 60_000]) };
        store.finish(Finish { ending: answered(answer), delivery: None, ..completed(&call) }).await.unwrap();
        ids.push(call.id);
    }
    let before = store.disk_usage().await.unwrap().reusable;
    store.forget(Part::Contents, ids).await.unwrap();
    let after = store.disk_usage().await.unwrap().reusable;
    assert!(after >= before + 40 * 50_000, "{before} {after}");
}

#[tokio::test]
async fn files_that_no_row_names_are_swept_once_they_are_old() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let large = Bytes::from(vec![b'x'; 100_000]);
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let answer = Answer { status: 200, headers: Vec::new(), body: large };
    store.finish(Finish { ending: answered(answer), ..completed(&call) }).await.unwrap();
    let kept = files(&store).pop().unwrap();
    let orphan = kept.with_file_name(format!("{}.result", accept(consumer).id));
    let draft = kept.with_extension("new");
    let young = kept.with_file_name(format!("{}.result", accept(consumer).id));
    for path in [&orphan, &draft, &young] {
        std::fs::write(path, "x").unwrap();
    }
    let now = Timestamp::from_millis(0)
        .after(young.metadata().unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap());
    let long_ago = std::time::UNIX_EPOCH + now.before(Duration::from_secs(3600)).since(Timestamp::from_millis(0));
    for path in [&kept, &orphan, &draft] {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let mut swept = 0;
    for turn in 0..1024 {
        swept += store.sweep_files(turn, now).await.unwrap();
    }
    assert_eq!(swept, 2);
    let mut left = files(&store);
    left.sort();
    let mut expected = vec![kept, young];
    expected.sort();
    assert_eq!(left, expected);
    assert!(store.result(call.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_request_is_erased_with_what_is_still_to_be_delivered() {
    let store = Fixture::new();
    let consumer = store.consumer(2 * PRICE).await;
    let call = accept(consumer);
    assert_eq!(store.erase_request(call.id).await.unwrap(), Erased::Unknown);
    store.accept(call.clone()).await.unwrap();
    assert_eq!(store.erase_request(call.id).await.unwrap(), Erased::Unfinished(State::Running));
    store.finish(Finish { delivery: Some(delivery(Lease::Nobody)), ..completed(&call) }).await.unwrap();
    assert_eq!(store.erase_request(call.id).await.unwrap(), Erased::Gone { undelivered: 1 });
    assert_eq!(store.erase_request(call.id).await.unwrap(), Erased::Unknown);
    let claimed = store.claim_deliveries(claim(NOW.after(DAY), LANE, 10)).await.unwrap();
    assert!(claimed.deliveries.is_empty(), "nothing is sent of it");
    // One whose attempt is under way: what comes of it is written nowhere.
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let end = completed(&call);
    store.finish(end.clone()).await.unwrap();
    assert_eq!(store.erase_request(call.id).await.unwrap(), Erased::Gone { undelivered: 1 });
    let record = ripost_store::Record { consumer, ..recorded(end.delivery.unwrap().id, Next::Delivered) };
    assert!(matches!(store.record(record).await, Err(ripost_store::WriteError::Fenced)));
    store.sound().await;
}

#[tokio::test]
async fn an_erased_consumer_loses_keys_and_name_and_its_requests_go_as_they_end() {
    let store = Fixture::new();
    let consumer = store.consumer(2 * PRICE).await;
    let other = store.consumer(PRICE).await;
    let (done, open) = (ended(&store, accept(consumer)).await.0, accept(consumer));
    store.accept(open.clone()).await.unwrap();
    let (others, _) = ended(&store, accept(other)).await;
    let at = NOW.after(DAY);
    assert!(!store.erase_consumer(ConsumerId::from_bytes([0; 16]), at).await.unwrap());
    assert!(
        store
            .set_consumer_limits(consumer, ConsumerLimits { rate: Setting::None, ..ConsumerLimits::default() })
            .await
            .unwrap()
    );
    assert!(store.erase_consumer(consumer, at).await.unwrap());
    assert_eq!(store.consumer_limits().await.unwrap(), []);
    assert!(!store.erase_consumer(consumer, at).await.unwrap(), "once");
    assert!(store.consumer_by_key(crate::fixture::key_hash(consumer)).await.unwrap().is_none());
    let names: Vec<_> = store.consumers().await.unwrap().into_iter().map(|summary| summary.name).collect();
    assert!(names.contains(&format!("erased {consumer}")), "{names:?}");
    assert_eq!(store.erase_what_is_left(10).await.unwrap(), 1);
    assert!(store.request(done).await.unwrap().is_none());
    assert!(store.request(open.id).await.unwrap().is_some());
    store.finish(completed(&open)).await.unwrap();
    assert_eq!(store.erase_what_is_left(10).await.unwrap(), 1);
    assert_eq!(store.erase_what_is_left(10).await.unwrap(), 0);
    assert!(store.request(open.id).await.unwrap().is_none());
    assert!(store.request(others).await.unwrap().is_some());
    store.sound().await;
}
