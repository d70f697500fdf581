//! Unfinished requests and their revisions.

use crate::fixture::{Fixture, NOW, PRICE, accept, completed, free, runs, waiting};
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::request::State;
use ripost_store::{Accept, Ending, Finish, PinnedRun, Repin, Store as _};

const OLD: Digest = Digest::from_bytes([7; 32]);
const NEW: Digest = Digest::from_bytes([8; 32]);

fn api(slug: &str) -> ApiName {
    ApiName { owner: "demo".parse().unwrap(), slug: slug.parse().unwrap() }
}

async fn pinned(store: &Fixture, digest: Digest) -> Vec<PinnedRun> {
    store.pinned(digest, None, 10_000).await.unwrap()
}

fn ids(pinned: &[PinnedRun]) -> Vec<RequestId> {
    pinned.iter().map(|pinned| pinned.claimed.id).collect()
}

#[tokio::test]
async fn requests_under_way_go_over_to_another_revision_and_ended_ones_stay() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 9).await;
    let of = |slug: &str, call: Accept| Accept { api: api(slug), ..call };
    let (ended, running, waits) = (of("a", accept(consumer)), of("a", accept(consumer)), of("a", waiting(consumer)));
    let (sibling, stranger) = (of("b", waiting(consumer)), of("c", waiting(consumer)));
    let other = Accept { digest: Digest::from_bytes([1; 32]), ..of("a", waiting(consumer)) };
    for call in [&ended, &running, &waits, &sibling, &stranger, &other] {
        store.accept(call.clone()).await.unwrap();
    }
    store.finish(completed(&ended)).await.unwrap();
    let repin = Repin { from: OLD, to: NEW, apis: vec![api("a"), api("b")] };
    assert_eq!(store.repin(repin.clone()).await.unwrap(), 3);
    assert_eq!(store.repin(repin).await.unwrap(), 0);
    assert_eq!(ids(&pinned(&store, NEW).await), [running.id, waits.id, sibling.id]);
    assert_eq!(ids(&pinned(&store, OLD).await), [stranger.id], "of an API that was not named");
    assert_eq!(store.request(ended.id).await.unwrap().unwrap().digest, OLD);
    let mut in_use = store.revisions_in_use().await.unwrap();
    in_use.sort_by_key(|digest| *digest.as_bytes());
    assert_eq!(in_use, [other.digest, OLD, NEW]);
    // What was running is finished by its run; what waits is run on the new one.
    store.finish(completed(&running)).await.unwrap();
    let claimed = store.claim_runs(runs(NOW, 9)).await.unwrap();
    assert_eq!(claimed.iter().find(|run| run.id == waits.id).unwrap().digest, NEW);
    store.sound().await;
}

#[tokio::test]
async fn a_pinned_request_has_all_that_its_end_needs() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let (running, waits) = (accept(consumer), waiting(consumer));
    store.accept(running.clone()).await.unwrap();
    store.accept(waits.clone()).await.unwrap();
    let pinned = pinned(&store, OLD).await;
    let states: Vec<_> = pinned.iter().map(|pinned| (pinned.state, pinned.claimed.epoch)).collect();
    assert_eq!(states, [(State::Running, 1), (State::Accepted, 0)]);
    assert_eq!(pinned[0].claimed.input, running.input);
    for PinnedRun { state, claimed } in pinned {
        let ending = Ending::Failed { problem: "{}".into(), answer: None };
        let end = Finish { id: claimed.id, epoch: claimed.epoch, from: state, ending, ..completed(&running) };
        store.finish(end).await.unwrap();
    }
    assert_eq!(store.balances(consumer).await.unwrap().held.as_micros(), 0);
    assert!(store.pinned(OLD, None, 9).await.unwrap().is_empty());
    store.sound().await;
}

async fn fill(store: &Fixture, consumer: ConsumerId, count: usize) {
    let calls = (0..count).map(|_| {
        let (store, call) = (store.store.clone(), Accept { lease: ripost_store::Lease::Nobody, ..free(consumer) });
        tokio::spawn(async move { store.accept(call).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_long_backlog_is_moved_in_steps_and_read_in_pages() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    fill(&store, consumer, 2_500).await;
    let before = store.stats().await.unwrap().commits;
    let api = accept(consumer).api;
    assert_eq!(store.repin(Repin { from: OLD, to: NEW, apis: vec![api] }).await.unwrap(), 2_500);
    assert_eq!(store.stats().await.unwrap().commits - before, 3, "a thousand each");
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.pinned(NEW, after, 999).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.claimed.id);
        seen.extend(ids(&page));
    }
    assert!(seen.len() == 2_500 && seen.is_sorted());
}
