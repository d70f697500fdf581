//! Limits of single consumers, and what is counted against limits.

use crate::fixture::{Fixture, NOW, accept, completed, failed, free, keyed};
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::limit::{Count, Setting};
use ripost_store::{Accept, ConsumerLimits, Store as _};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn api(slug: &str) -> ApiName {
    ApiName { owner: "demo".parse().unwrap(), slug: slug.parse().unwrap() }
}

#[tokio::test]
async fn a_consumers_own_limits_stay_until_they_are_everybodys_again() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(0).await, store.consumer(0).await);
    let limits = ConsumerLimits {
        rate: "10/s burst 3".parse().unwrap(),
        concurrency: Setting::None,
        daily: Setting::Own(Count::new(5).unwrap()),
    };
    let only_rate = ConsumerLimits { rate: Setting::None, ..ConsumerLimits::default() };
    assert!(store.set_consumer_limits(one, only_rate).await.unwrap());
    assert!(store.set_consumer_limits(one, limits).await.unwrap());
    assert!(store.set_consumer_limits(other, only_rate).await.unwrap());
    assert!(!store.set_consumer_limits(ConsumerId::from_bytes([9; 16]), limits).await.unwrap());
    let store = store.reopened().await;
    let mut all = store.consumer_limits().await.unwrap();
    all.sort_by_key(|(id, _)| *id != one);
    assert_eq!(all, [(one, limits), (other, only_rate)]);
    assert!(store.set_consumer_limits(one, ConsumerLimits::default()).await.unwrap());
    assert_eq!(store.consumer_limits().await.unwrap(), [(other, only_rate)]);
}

#[tokio::test]
async fn what_has_not_ended_is_counted_by_consumer_and_api() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(1_000_000).await, store.consumer(1_000_000).await);
    let ended = [free(one), free(one), free(other)];
    for accept in &ended {
        store.accept(accept.clone()).await.unwrap();
    }
    store.accept(free(one)).await.unwrap();
    store.accept(accept(one)).await.unwrap();
    store.accept(Accept { api: api("other"), ..free(one) }).await.unwrap();
    store.finish(completed(&ended[0])).await.unwrap();
    store.finish(failed(&ended[1])).await.unwrap();
    store.finish(completed(&ended[2])).await.unwrap();
    let mut counts: Vec<_> = store.unfinished_counts().await.unwrap();
    counts.sort_by_key(|of| of.count);
    let counts: Vec<_> = counts.into_iter().map(|of| (of.consumer, of.api, of.count)).collect();
    assert_eq!(counts, [(one, api("other"), 1), (one, api("report"), 2)]);
}

#[tokio::test]
async fn a_days_requests_are_those_whose_ids_were_made_on_it_and_no_refused_ones() {
    let store = Fixture::new();
    let (one, other) = (store.consumer(60_000).await, store.consumer(0).await);
    let at = |millis: u64, random: u8| RequestId::new(NOW.after(Duration::from_millis(millis)), [random; 10]);
    let day_ms = u64::try_from(DAY.as_millis()).unwrap();
    for (id, slug) in [(at(0, 0), "report"), (at(0, 255), "other"), (at(day_ms - 1, 255), "report")] {
        store.accept(Accept { id, api: api(slug), ..free(one) }).await.unwrap();
    }
    store.accept(Accept { id: at(day_ms, 0), ..free(one) }).await.unwrap();
    store.accept(Accept { id: at(1, 1), ..free(other) }).await.unwrap();
    // The same key again, and one that the balance does not cover: neither is a request.
    store.accept(Accept { id: at(2, 1), ..keyed(one, "k") }).await.unwrap();
    store.accept(Accept { id: at(3, 1), ..keyed(one, "k") }).await.unwrap();
    store.accept(Accept { id: at(4, 1), ..accept(one) }).await.unwrap_err();
    let count = async |consumer, api: Option<ApiName>, days: u32| {
        let (from, until) = (NOW.after(DAY * days), NOW.after(DAY * (days + 1)));
        store.accepted_between(consumer, api.as_ref(), from, until).await.unwrap()
    };
    assert_eq!(count(one, None, 0).await, 4);
    assert_eq!(count(one, Some(api("report")), 0).await, 3);
    assert_eq!(count(one, Some(api("other")), 0).await, 1);
    assert_eq!([count(one, None, 1).await, count(one, None, 2).await], [1, 0]);
    assert_eq!(count(other, None, 0).await, 1);
}
