//! What owners' components keep: revisions, expiry, quota.

use crate::fixture::{Fixture, NOW};
use bytes::Bytes;
use proptest::prelude::*;
use ripost_domain::api::Name;
use ripost_domain::time::Timestamp;
use ripost_store::{Expect, KvPage, KvQuota, KvUsage, KvWrite, KvWritten, Store as _};
use std::collections::BTreeMap;
use std::time::Duration;

const QUOTA: KvQuota = KvQuota { bytes: 10_000, keys: 100 };

fn owner(text: &str) -> Name {
    text.parse().unwrap()
}

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn write(key: &str, value: &[u8]) -> KvWrite {
    KvWrite {
        owner: owner("one"),
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value),
        expires_at: None,
        expect: Expect::Any,
        quota: QUOTA,
        now: NOW,
    }
}

async fn set(store: &Fixture, write: KvWrite) -> u64 {
    match store.kv_set(write).await.unwrap() {
        KvWritten::Written(revision) => revision,
        other => panic!("{other:?}"),
    }
}

async fn value(store: &Fixture, whose: &str, key: &str, now: Timestamp) -> Option<Bytes> {
    store.kv_get(&owner(whose), key, now).await.unwrap().map(|entry| entry.value)
}

async fn usage(store: &Fixture) -> (u64, u64) {
    let KvUsage { bytes, keys } = store.kv_usage(&owner("one")).await.unwrap();
    (bytes, keys)
}

fn page(prefix: &str, after: Option<&str>, limit: u32, now: Timestamp) -> KvPage {
    KvPage { owner: owner("one"), prefix: prefix.to_owned(), after: after.map(str::to_owned), limit, now }
}

#[tokio::test]
async fn a_value_is_there_until_it_is_removed_and_is_its_owners_alone() {
    let store = Fixture::new();
    let first = set(&store, write("k", b"1")).await;
    set(&store, KvWrite { owner: owner("two"), ..write("k", b"theirs") }).await;
    let second = set(&store, write("k", b"22")).await;
    assert!(second > first);
    let store = store.reopened().await;
    let entry = store.kv_get(&owner("one"), "k", NOW).await.unwrap().unwrap();
    assert_eq!((&entry.value[..], entry.revision), (&b"22"[..], second));
    assert_eq!(value(&store, "two", "k", NOW).await.unwrap(), "theirs");
    assert_eq!(usage(&store).await, (3, 1));
    assert!(store.kv_delete(&owner("one"), "k", NOW).await.unwrap());
    assert!(!store.kv_delete(&owner("one"), "k", NOW).await.unwrap());
    assert!(!store.kv_delete(&owner("three"), "k", NOW).await.unwrap());
    assert_eq!(value(&store, "one", "k", NOW).await, None);
    assert_eq!(value(&store, "two", "k", NOW).await.unwrap(), "theirs");
    assert_eq!(usage(&store).await, (0, 0));
    // Whoever remembers a revision of before is not mistaken for somebody who knows this one.
    assert!(set(&store, write("k", b"3")).await > second);
}

#[tokio::test]
async fn a_write_that_expects_something_else_changes_nothing() {
    let store = Fixture::new();
    let expecting = |expect| KvWrite { expect, ..write("k", b"new") };
    assert_eq!(store.kv_set(expecting(Expect::Revision(1))).await.unwrap(), KvWritten::Unexpected);
    let first = set(&store, expecting(Expect::Absent)).await;
    assert_eq!(store.kv_set(expecting(Expect::Absent)).await.unwrap(), KvWritten::Unexpected);
    assert_eq!(store.kv_set(expecting(Expect::Revision(first + 1))).await.unwrap(), KvWritten::Unexpected);
    let second = set(&store, expecting(Expect::Revision(first))).await;
    assert_eq!(store.kv_set(expecting(Expect::Revision(first))).await.unwrap(), KvWritten::Unexpected);
    // What has expired is absent, for whoever expects it to be as for whoever expects it not to.
    let short = KvWrite { expires_at: Some(later(5)), ..expecting(Expect::Revision(second)) };
    let third = set(&store, short).await;
    let late = |expect| KvWrite { now: later(5), ..expecting(expect) };
    assert_eq!(store.kv_set(late(Expect::Revision(third))).await.unwrap(), KvWritten::Unexpected);
    assert!(set(&store, late(Expect::Absent)).await > third);
    assert_eq!(usage(&store).await, (4, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_expect_the_same_one_writes() {
    let store = Fixture::new();
    set(&store, write("counter", b"0")).await;
    let adders: Vec<_> = (0..16)
        .map(|_| {
            let store = store.store.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    loop {
                        let entry = store.kv_get(&owner("one"), "counter", NOW).await.unwrap().unwrap();
                        let count: u32 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                        let more = write("counter", (count + 1).to_string().as_bytes());
                        let more = KvWrite { expect: Expect::Revision(entry.revision), ..more };
                        match store.kv_set(more).await.unwrap() {
                            KvWritten::Written(_) => break,
                            KvWritten::Unexpected => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
            })
        })
        .collect();
    for adder in adders {
        adder.await.unwrap();
    }
    assert_eq!(value(&store, "one", "counter", NOW).await.unwrap(), "160");
}

#[tokio::test]
async fn what_has_expired_is_absent_at_once_and_is_removed_in_small_steps() {
    let store = Fixture::new();
    for index in 0..30 {
        set(&store, KvWrite { expires_at: Some(later(10)), ..write(&format!("short{index:02}"), b"x") }).await;
    }
    set(&store, KvWrite { expires_at: Some(later(99)), ..write("long", b"x") }).await;
    set(&store, KvWrite { owner: owner("two"), expires_at: Some(later(10)), ..write("short", b"x") }).await;
    assert_eq!(value(&store, "one", "short00", later(9)).await.unwrap(), "x");
    assert_eq!(value(&store, "one", "short00", later(10)).await, None);
    assert_eq!(store.kv_list(page("", None, 100, later(10))).await.unwrap(), ["long"]);
    assert!(!store.kv_delete(&owner("one"), "short00", later(10)).await.unwrap());
    assert_eq!(usage(&store).await.1, 30, "one was met, the others stay a while");
    set(&store, KvWrite { now: later(10), ..write("another", b"x") }).await;
    let left = usage(&store).await.1;
    assert!((20..30).contains(&left), "a write takes some away: {left}");
    let mut swept = 0;
    while store.kv_sweep(later(10), 7).await.unwrap() == 7 {
        swept += 7;
    }
    assert!(swept >= 14, "{swept}");
    assert_eq!(usage(&store).await, ("long".len() as u64 + "another".len() as u64 + 2, 2));
    assert_eq!(store.kv_usage(&owner("two")).await.unwrap().keys, 0);
    let commits = store.stats().await.unwrap().commits;
    assert_eq!(store.kv_sweep(later(10), 7).await.unwrap(), 0);
    assert_eq!(store.stats().await.unwrap().commits, commits, "no commit for nothing");
}

#[tokio::test]
async fn the_quota_is_a_condition_of_the_write() {
    let store = Fixture::new();
    let quota = KvQuota { bytes: 100, keys: 3 };
    let within = |key: &str, bytes: usize| KvWrite { quota, ..write(key, &vec![b'x'; bytes]) };
    let full = KvWritten::QuotaExceeded { used_bytes: 0, used_keys: 0 };
    assert_eq!(store.kv_set(within("a", 100)).await.unwrap(), full, "the key counts too");
    set(&store, within("a", 99)).await;
    let full = KvWritten::QuotaExceeded { used_bytes: 100, used_keys: 1 };
    assert_eq!(store.kv_set(within("b", 0)).await.unwrap(), full);
    assert_eq!(store.kv_set(within("a", 100)).await.unwrap(), full);
    assert_eq!(value(&store, "one", "a", NOW).await.unwrap().len(), 99, "the old value stays");
    set(&store, within("a", 97)).await;
    set(&store, within("b", 0)).await;
    set(&store, within("c", 0)).await;
    let full = KvWritten::QuotaExceeded { used_bytes: 100, used_keys: 3 };
    assert_eq!(store.kv_set(within("d", 0)).await.unwrap(), full);
    // Who is over a quota that was lowered may still make it less.
    let lowered = |bytes| KvWrite { quota: KvQuota { bytes: 10, keys: 1 }, ..within("a", bytes) };
    set(&store, lowered(50)).await;
    assert!(matches!(store.kv_set(lowered(51)).await.unwrap(), KvWritten::QuotaExceeded { .. }));
    // Another owner has its own.
    set(&store, KvWrite { owner: owner("two"), ..within("a", 99) }).await;
}

#[tokio::test]
async fn what_has_expired_takes_nobodys_room() {
    let store = Fixture::new();
    let quota = KvQuota { bytes: 2_000, keys: 60 };
    for index in 0..60 {
        let key = format!("short{index:02}");
        set(&store, KvWrite { quota, expires_at: Some(later(10)), ..write(&key, b"x") }).await;
    }
    let large = KvWrite { quota, ..write("large", &[b'x'; 1_900]) };
    assert!(matches!(store.kv_set(large.clone()).await.unwrap(), KvWritten::QuotaExceeded { used_keys: 60, .. }));
    set(&store, KvWrite { now: later(10), ..large }).await;
    assert!(usage(&store).await.0 <= quota.bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_do_not_get_past_the_quota() {
    let store = Fixture::new();
    let quota = KvQuota { bytes: 1 << 20, keys: 10 };
    let writers: Vec<_> = (0..40)
        .map(|index| {
            let (store, write) = (store.store.clone(), KvWrite { quota, ..write(&format!("k{index}"), b"x") });
            tokio::spawn(async move { store.kv_set(write).await.unwrap() })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        written += usize::from(matches!(writer.await.unwrap(), KvWritten::Written(_)));
    }
    assert_eq!((written, usage(&store).await.1), (10, 10));
}

#[tokio::test]
async fn keys_are_listed_by_prefix_in_order_page_by_page() {
    let store = Fixture::new();
    for key in ["b/1", "a/3", "a/1", "a/\u{10FFFF}", "a/2", "a", "a0", "é"] {
        set(&store, write(key, b"x")).await;
    }
    set(&store, KvWrite { owner: owner("two"), ..write("a/theirs", b"x") }).await;
    let list =
        async |prefix: &str, after: Option<&str>, limit| store.kv_list(page(prefix, after, limit, NOW)).await.unwrap();
    assert_eq!(list("a/", None, 100).await, ["a/1", "a/2", "a/3", "a/\u{10FFFF}"]);
    assert_eq!(list("a/", None, 2).await, ["a/1", "a/2"]);
    assert_eq!(list("a/", Some("a/2"), 2).await, ["a/3", "a/\u{10FFFF}"]);
    assert_eq!(list("a/", Some("a/25"), 1).await, ["a/3"], "the cursor need not be there any more");
    assert_eq!(list("a/", Some("a"), 1).await, ["a/1"], "a cursor before the prefix");
    assert!(list("a/", Some("b"), 9).await.is_empty(), "and one behind it");
    assert_eq!(list("", None, 100).await, ["a", "a/1", "a/2", "a/3", "a/\u{10FFFF}", "a0", "b/1", "é"]);
    assert!(list("c", None, 100).await.is_empty());
}

/// A step of a random history: key, length of the value, life in seconds; or its removal.
#[derive(Debug, Clone)]
enum Step {
    Set(u8, usize, Option<u64>),
    Delete(u8),
    Pass(u64),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..8, 0_usize..40, proptest::option::of(1_u64..5)).prop_map(|(key, bytes, life)| Step::Set(key, bytes, life)),
        2 => (0_u8..8).prop_map(Step::Delete),
        1 => (1_u64..4).prop_map(Step::Pass),
        1 => Just(Step::Sweep),
    ]
}

async fn follow(steps: Vec<Step>) {
    let store = Fixture::new();
    let quota = KvQuota { bytes: 150, keys: 6 };
    // Key → (length, end of its life).
    let mut known: BTreeMap<String, (usize, Option<Timestamp>)> = BTreeMap::new();
    let (mut now, mut last) = (NOW, 0);
    for step in steps {
        known.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        match step {
            Step::Set(key, bytes, life) => {
                let key = format!("k{key}");
                let expires_at = life.map(|seconds| now.after(Duration::from_secs(seconds)));
                let others = || known.iter().filter(|(other, _)| **other != key);
                let used: usize = others().map(|(other, (bytes, _))| other.len() + bytes).sum();
                let before = known.get(&key).map(|(bytes, _)| *bytes);
                let fits = (used + key.len() + bytes <= 150 || before.is_some_and(|before| bytes <= before))
                    && (before.is_some() || others().count() < 6);
                let write = KvWrite { expires_at, quota, now, ..write(&key, &vec![b'x'; bytes]) };
                match store.kv_set(write).await.unwrap() {
                    KvWritten::Written(revision) => {
                        assert!(fits && revision > last, "{fits} {revision} {last}");
                        last = revision;
                        known.insert(key, (bytes, expires_at));
                    }
                    KvWritten::QuotaExceeded { .. } => assert!(!fits),
                    KvWritten::Unexpected => panic!("nothing was expected"),
                }
            }
            Step::Delete(key) => {
                let key = format!("k{key}");
                let was = store.kv_delete(&owner("one"), &key, now).await.unwrap();
                assert_eq!(was, known.remove(&key).is_some());
            }
            Step::Pass(seconds) => now = now.after(Duration::from_secs(seconds)),
            Step::Sweep => assert!(store.kv_sweep(now, 3).await.unwrap() <= 3),
        }
    }
    known.retain(|_, (_, until)| until.is_none_or(|until| until > now));
    while store.kv_sweep(now, 100).await.unwrap() > 0 {}
    let keys: Vec<&String> = known.keys().collect();
    assert_eq!(store.kv_list(page("", None, 100, now)).await.unwrap().iter().collect::<Vec<_>>(), keys);
    let bytes: usize = known.iter().map(|(key, (bytes, _))| key.len() + bytes).sum();
    assert_eq!(usage(&store).await, (bytes as u64, known.len() as u64), "the sums are those of what is there");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn sums_quota_and_revisions_hold_whatever_happens(steps in proptest::collection::vec(step(), 0..60)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(follow(steps));
    }
}
