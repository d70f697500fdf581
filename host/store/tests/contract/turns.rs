//! Owners take turns: nobody's backlog is anybody else's delay.

use crate::fixture::{Fixture, NOW, PRICE, accept, completed, runs};
use ripost_domain::api::{ApiName, Name};
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;
use ripost_store::{Accept, ClaimedRun, Finish, Lease, RunClaim, Store as _};
use std::collections::BTreeMap;
use std::time::Duration;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn later_than(at: Timestamp) -> Timestamp {
    at.after(Duration::from_secs(3600))
}

/// A free call of an owner's that waits.
fn call(consumer: ConsumerId, owner: &str, at: Timestamp) -> Accept {
    let free = crate::fixture::free(consumer);
    let api = ApiName { owner: name(owner), ..free.api };
    Accept { api, created_at: at, expires_at: later_than(at), due_at: at, lease: Lease::Nobody, ..free }
}

async fn wait(store: &Fixture, consumer: ConsumerId, owner: &str, count: usize) {
    let calls = (0..count).map(|_| {
        let (store, call) = (store.store.clone(), call(consumer, owner, NOW));
        tokio::spawn(async move { store.accept(call).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
}

/// How many of each owner.
fn counted(claimed: &[ClaimedRun]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for run in claimed {
        *counts.entry(run.api.owner.to_string()).or_default() += 1;
    }
    counts
}

async fn claim(store: &Fixture, limit: u32) -> BTreeMap<String, usize> {
    counted(&store.claim_runs(runs(later(9), limit)).await.unwrap())
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.map(|(owner, count)| (owner.to_owned(), count)).into()
}

#[tokio::test]
async fn a_backlog_of_twenty_thousand_delays_nobody_else() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    for _ in 0..10 {
        wait(&store, consumer, "heavy", 2_000).await;
    }
    // All of these came after the whole backlog, on either side of it in the alphabet.
    for owner in ["alpha", "beta", "zulu"] {
        wait(&store, consumer, owner, 3).await;
    }
    let first = claim(&store, 64).await;
    assert_eq!(first, counts([("alpha", 3), ("beta", 3), ("heavy", 55), ("zulu", 3)]));
    // Room for one at a time, and others come all the while.
    for owner in ["alpha", "beta", "zulu"] {
        wait(&store, consumer, owner, 2).await;
    }
    let mut order = Vec::new();
    for _ in 0..8 {
        order.extend(claim(&store, 1).await.into_keys());
    }
    assert_eq!(order, ["alpha", "beta", "heavy", "zulu", "alpha", "beta", "heavy", "zulu"]);
    assert_eq!(store.next_run(Vec::new()).await.unwrap(), Some(NOW));
}

#[tokio::test]
async fn what_some_leave_of_their_share_goes_to_the_others() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    for (owner, count) in [("a", 40), ("b", 1), ("c", 40), ("d", 4)] {
        wait(&store, consumer, owner, count).await;
    }
    assert_eq!(claim(&store, 41).await, counts([("a", 18), ("b", 1), ("c", 18), ("d", 4)]));
    let rest = claim(&store, 100).await;
    assert_eq!(rest, counts([("a", 22), ("c", 22)]));
    assert!(claim(&store, 100).await.is_empty());
}

#[tokio::test]
async fn more_owners_than_room_are_served_in_turn() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    let owners: Vec<String> = (0..10).map(|number| format!("o{number}")).collect();
    for owner in &owners {
        wait(&store, consumer, owner, 2).await;
    }
    let mut served = Vec::new();
    for _ in 0..5 {
        let claimed = store.claim_runs(runs(later(9), 4)).await.unwrap();
        served.extend(claimed.into_iter().map(|run| run.api.owner.to_string()));
    }
    assert_eq!(served, [owners.clone(), owners].concat());
}

#[tokio::test]
async fn owners_that_are_full_are_passed_over_and_lose_nothing() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    wait(&store, consumer, "full", 5).await;
    store.accept(call(consumer, "free", later(3))).await.unwrap();
    store.accept(call(consumer, "late", later(60))).await.unwrap();
    let full = vec![name("full")];
    assert_eq!(store.next_run(Vec::new()).await.unwrap(), Some(NOW));
    assert_eq!(store.next_run(full.clone()).await.unwrap(), Some(later(3)));
    let asked = RunClaim { full: full.clone(), ..runs(later(9), 9) };
    assert_eq!(counted(&store.claim_runs(asked.clone()).await.unwrap()), counts([("free", 1)]));
    let commits = store.stats().await.unwrap().commits;
    assert!(store.claim_runs(asked).await.unwrap().is_empty());
    assert_eq!(store.stats().await.unwrap().commits, commits, "no commit for nothing");
    assert_eq!(store.next_run(full).await.unwrap(), Some(later(60)));
    assert_eq!(store.next_run(vec![name("full"), name("late")]).await.unwrap(), None);
    let some = RunClaim { per_owner_max: 2, ..runs(later(9), 9) };
    assert_eq!(counted(&store.claim_runs(some.clone()).await.unwrap()), counts([("full", 2)]));
    assert_eq!(counted(&store.claim_runs(some).await.unwrap()), counts([("full", 2)]));
    assert_eq!(claim(&store, 9).await, counts([("full", 1)]));
}

#[tokio::test]
async fn one_large_body_does_not_cost_others_their_turn() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    for owner in ["a", "b", "c"] {
        for _ in 0..2 {
            let mut large = call(consumer, owner, NOW);
            large.input.body = vec![b'x'; 1000].into();
            store.accept(large).await.unwrap();
        }
    }
    let mut served = Vec::new();
    for _ in 0..6 {
        let one = store.claim_runs(RunClaim { bytes_max: 1500, ..runs(later(9), 100) }).await.unwrap();
        assert_eq!(one.len(), 1);
        served.push(one[0].api.owner.to_string());
    }
    assert_eq!(served, ["a", "b", "c", "a", "b", "c"]);
}

#[tokio::test]
async fn a_claim_that_takes_turns_is_as_sound_as_any() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 6).await;
    for index in 0..6 {
        let mut priced = Accept { lease: Lease::Nobody, ..accept(consumer) };
        priced.api.owner = name(["x", "y"][index % 2]);
        store.accept(priced).await.unwrap();
    }
    let store = store.reopened().await;
    let claimed = store.claim_runs(runs(later(1), 9)).await.unwrap();
    assert_eq!(counted(&claimed), counts([("x", 3), ("y", 3)]));
    for run in claimed {
        let end = Finish { id: run.id, epoch: run.epoch, ..completed(&accept(consumer)) };
        store.finish(end).await.unwrap();
    }
    assert_eq!(store.next_run(Vec::new()).await.unwrap(), None);
    store.sound().await;
}
