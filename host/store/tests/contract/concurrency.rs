use crate::fixture::{Fixture, PRICE, accept, amount, keyed};
use ripost_store::{AcceptError, Accepted, Store as _};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_once_cannot_spend_more_than_there_is() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 20).await;
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let (store, call) = (store.store.clone(), accept(consumer));
            tokio::spawn(async move { store.accept(call).await })
        })
        .collect();
    let mut accepted = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(Accepted::New) => accepted += 1,
            Err(AcceptError::InsufficientBalance { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 20);
    assert_eq!(store.balances(consumer).await.unwrap().available, amount(0));
    store.sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_with_one_key_are_one_request_and_one_hold() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 100).await;
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let (store, call) = (store.store.clone(), keyed(consumer, "once"));
            tokio::spawn(async move { store.accept(call).await })
        })
        .collect();
    let mut new = 0;
    for call in calls {
        new += usize::from(call.await.unwrap().unwrap() == Accepted::New);
    }
    assert_eq!(new, 1);
    assert_eq!(store.balances(consumer).await.unwrap().held, amount(PRICE));
    store.sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_together_is_committed_together() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 10_000).await;
    let before = store.stats().await.unwrap();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let store = store.store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    store.accept(accept(consumer)).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let after = store.stats().await.unwrap();
    let (operations, commits) = (after.operations - before.operations, after.commits - before.commits);
    assert_eq!(operations, 64 * 20);
    assert!(commits * 4 < operations, "{commits} commits for {operations} operations");
    store.sound().await;
}
