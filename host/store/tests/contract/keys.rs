use crate::fixture::{Fixture, NOW, key, key_hash};
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;
use ripost_store::{AddKey, AddedKey, EndKey, EndedKey, IfLast, Key, Store as _};
use std::time::Duration;

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn add(consumer: ConsumerId, key: Key) -> AddKey {
    AddKey { consumer, key, at: NOW, keys_max: 3 }
}

fn end(consumer: ConsumerId, name: &str) -> EndKey {
    EndKey { consumer, name: name.to_owned(), now: NOW, ends_at: NOW, if_last: IfLast::Refuse }
}

#[tokio::test]
async fn several_keys_open_at_the_same_time_and_each_ends_by_itself() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(0).await, store.consumer(0).await);
    let second = Key { public: true, ..key([2; 32], "web") };
    assert_eq!(store.add_key(add(one, second)).await.unwrap(), AddedKey::Yes);
    let found = store.consumer_by_key([2; 32]).await.unwrap().unwrap();
    assert_eq!((found.id, found.key_is_public, found.key_expires_at), (one, true, None));
    assert!(!store.consumer_by_key(key_hash(one)).await.unwrap().unwrap().key_is_public);
    assert_eq!(store.add_key(add(one, key([3; 32], "web"))).await.unwrap(), AddedKey::NameTaken);
    assert_eq!(
        store.add_key(add(other, key([3; 32], "web"))).await.unwrap(),
        AddedKey::Yes,
        "names are a consumer's own"
    );
    let names: Vec<String> = store.keys(one).await.unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["key-1", "web"]);
    assert_eq!(store.end_key(end(one, "web")).await.unwrap(), EndedKey::At(NOW));
    assert!(store.consumer_by_key([2; 32]).await.unwrap().is_none());
    assert!(store.consumer_by_key(key_hash(one)).await.unwrap().is_some());
    assert!(store.consumer_by_key([3; 32]).await.unwrap().is_some());
    assert_eq!(store.end_key(end(one, "web")).await.unwrap(), EndedKey::Unknown);
}

#[tokio::test]
async fn the_last_key_that_may_do_as_much_ends_only_if_that_is_said() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    store.add_key(add(consumer, Key { public: true, ..key([2; 32], "web") })).await.unwrap();
    assert_eq!(store.end_key(end(consumer, "key-1")).await.unwrap(), EndedKey::IsLast, "a public key may do less");
    // One that ends sooner is no other key, one that ends later is.
    store.add_key(add(consumer, Key { expires_at: Some(later(60)), ..key([3; 32], "short") })).await.unwrap();
    let in_two_minutes = EndKey { ends_at: later(120), ..end(consumer, "key-1") };
    assert_eq!(store.end_key(in_two_minutes).await.unwrap(), EndedKey::IsLast);
    let in_a_while = EndKey { ends_at: later(30), ..end(consumer, "key-1") };
    assert_eq!(store.end_key(in_a_while).await.unwrap(), EndedKey::At(later(30)));
    let found = store.consumer_by_key(key_hash(consumer)).await.unwrap().unwrap();
    assert_eq!(found.key_expires_at, Some(later(30)), "still known, and until when");
    let put_off = EndKey { ends_at: later(3600), if_last: IfLast::End, ..end(consumer, "key-1") };
    assert_eq!(store.end_key(put_off).await.unwrap(), EndedKey::At(later(30)), "an end is never put off");
    assert_eq!(store.end_key(end(consumer, "short")).await.unwrap(), EndedKey::At(NOW));
    assert_eq!(store.end_key(end(consumer, "key-1")).await.unwrap(), EndedKey::IsLast);
    let at_last = EndKey { if_last: IfLast::End, ..end(consumer, "key-1") };
    assert_eq!(store.end_key(at_last).await.unwrap(), EndedKey::At(NOW));
    // The public key is the last of its own.
    assert_eq!(store.end_key(end(consumer, "web")).await.unwrap(), EndedKey::IsLast);
}

#[tokio::test]
async fn keys_that_have_expired_make_room_and_there_are_never_too_many() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    for (number, seconds) in [(2, 10), (3, 20)] {
        let key = Key { expires_at: Some(later(seconds)), ..key([number; 32], &format!("key-{number}")) };
        assert_eq!(store.add_key(add(consumer, key)).await.unwrap(), AddedKey::Yes);
    }
    assert_eq!(store.add_key(add(consumer, key([4; 32], "key-4"))).await.unwrap(), AddedKey::TooMany);
    let at = later(10);
    let fourth = AddKey { at, ..add(consumer, key([4; 32], "key-2")) };
    assert_eq!(store.add_key(fourth).await.unwrap(), AddedKey::Yes, "what has expired leaves its place and its name");
    assert!(store.consumer_by_key([2; 32]).await.unwrap().is_none());
    let names: Vec<_> = store.keys(consumer).await.unwrap().into_iter().map(|key| (key.name, key.created_at)).collect();
    assert_eq!(names, [("key-1".to_owned(), NOW), ("key-3".to_owned(), NOW), ("key-2".to_owned(), at)]);
    // One that has expired is not missed.
    let expired = EndKey { now: later(20), ends_at: later(20), ..end(consumer, "key-3") };
    assert_eq!(store.end_key(expired).await.unwrap(), EndedKey::At(later(20)));
}

#[tokio::test]
async fn an_erased_consumer_gets_no_key() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    store.erase_consumer(consumer, NOW).await.unwrap();
    assert_eq!(store.add_key(add(consumer, key([2; 32], "again"))).await.unwrap(), AddedKey::Unknown);
    assert!(store.keys(consumer).await.unwrap().is_empty());
}
