use crate::fixture::{Fixture, PRICE, accept, amount, free, key_hash, keyed};
use ripost_domain::request::{Settlement, State};
use ripost_store::{Accept, AcceptError, Accepted, Store as _, StoreError};

#[tokio::test]
async fn an_accepted_request_is_there_with_its_hold() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 3).await;
    let call = accept(consumer);
    assert_eq!(store.accept(call.clone()).await.unwrap(), Accepted::New);
    let record = store.request(call.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.settlement, record.attempt), (State::Running, Settlement::Held, 0));
    assert_eq!((record.api, record.digest, record.split), (call.api, call.digest, call.split));
    let balances = store.balances(consumer).await.unwrap();
    assert_eq!((balances.available, balances.held), (amount(PRICE * 2), amount(PRICE)));
    assert_eq!(store.revisions_in_use().await.unwrap(), [call.digest]);
    store.sound().await;
}

#[tokio::test]
async fn a_free_request_moves_no_money() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    let call = free(consumer);
    store.accept(call.clone()).await.unwrap();
    assert_eq!(store.request(call.id).await.unwrap().unwrap().settlement, Settlement::None);
    store.sound().await;
}

#[tokio::test]
async fn who_cannot_pay_leaves_nothing_behind() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE - 1).await;
    let call = keyed(consumer, "k");
    match store.accept(call.clone()).await.unwrap_err() {
        AcceptError::InsufficientBalance { available, price } => {
            assert_eq!((available, price), (amount(PRICE - 1), amount(PRICE)));
        }
        other => panic!("{other}"),
    }
    assert!(store.request(call.id).await.unwrap().is_none());
    assert!(store.idempotent(consumer, &call.api, "k").await.unwrap().is_none());
    store.sound().await;
}

#[tokio::test]
async fn an_idempotency_key_names_one_request_of_one_consumer_and_api() {
    let store = Fixture::new();
    let (one, two) = (store.consumer(PRICE * 9).await, store.consumer(PRICE * 9).await);
    let first = keyed(one, "k");
    assert_eq!(store.accept(first.clone()).await.unwrap(), Accepted::New);
    let again = store.accept(keyed(one, "k")).await.unwrap();
    assert_eq!(again, Accepted::Existing { id: first.id, fingerprint: [9; 32] });
    assert_eq!(store.accept(keyed(two, "k")).await.unwrap(), Accepted::New);
    let mut other = keyed(one, "k");
    other.api.slug = "other".parse().unwrap();
    assert_eq!(store.accept(other).await.unwrap(), Accepted::New);
    assert_eq!(store.balances(one).await.unwrap().held, amount(PRICE * 2));
    store.sound().await;
}

#[tokio::test]
async fn one_bad_operation_sinks_nobody_elses() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 100).await;
    let taken = accept(consumer);
    store.accept(taken.clone()).await.unwrap();
    let calls = (0..40).map(|number| {
        // Every tenth reuses an id, which the database refuses after the hold was written.
        let call = if number % 10 == 0 { Accept { id: taken.id, ..accept(consumer) } } else { accept(consumer) };
        let store = store.store.clone();
        tokio::spawn(async move { store.accept(call).await })
    });
    let (mut new, mut refused) = (0, 0);
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(Accepted::New) => new += 1,
            Err(AcceptError::Store(StoreError::Sql(_))) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, refused), (36, 4));
    assert_eq!(store.balances(consumer).await.unwrap().held, amount(PRICE * 37));
    store.sound().await;
}

#[tokio::test]
async fn consumers_are_known_by_key_and_their_names_are_unique() {
    let store = Fixture::new();
    let id = store.consumer(5).await;
    let consumer = store.consumer_by_key(key_hash(id)).await.unwrap().unwrap();
    assert_eq!((consumer.id, consumer.name.clone()), (id, id.to_string()));
    assert!(store.consumer_by_key([1; 32]).await.unwrap().is_none());
    let taken = ripost_store::NewConsumer {
        id: ripost_domain::id::ConsumerId::new(crate::fixture::NOW, [255; 10]),
        name: consumer.name,
        key: ripost_store::Key { public: true, ..crate::fixture::key([3; 32], "key-1") },
        sealed_secret: bytes::Bytes::new(),
        credit: amount(9),
        created_at: crate::fixture::NOW,
    };
    assert!(!store.add_consumer(taken).await.unwrap());
    assert!(store.consumer_by_key([3; 32]).await.unwrap().is_none());
    assert_eq!(store.consumers().await.unwrap().len(), 1);
    store.sound().await;
}
