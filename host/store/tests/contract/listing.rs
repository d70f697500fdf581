use crate::fixture::{Fixture, NOW, PRICE, accept, completed, free};
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use ripost_store::{Accept, RequestFilter, RequestPage, Store as _};
use std::time::Duration;

fn all(consumer: ConsumerId) -> RequestFilter {
    RequestFilter { consumer, before: None, state: None, api: None, since: None, until: None, limit: 100 }
}

/// Accepted so many seconds after the beginning.
fn at(consumer: ConsumerId, second: u64) -> Accept {
    let created_at = NOW.after(Duration::from_secs(second));
    let before = free(consumer);
    let mut random = [0; 10];
    random.copy_from_slice(&before.id.as_bytes()[6..]);
    Accept { id: RequestId::new(created_at, random), created_at, ..before }
}

fn ids(page: &RequestPage) -> Vec<RequestId> {
    page.requests.iter().map(|record| record.id).collect()
}

fn second(second: u64) -> Option<Timestamp> {
    Some(NOW.after(Duration::from_secs(second)))
}

#[tokio::test]
async fn a_consumer_lists_its_own_requests_newest_first_page_by_page() {
    let store = Fixture::new();
    let (consumer, other) = (store.consumer(0).await, store.consumer(0).await);
    let mut mine = Vec::new();
    for number in 0..7 {
        let call = at(consumer, number);
        mine.insert(0, call.id);
        store.accept(call).await.unwrap();
        store.accept(at(other, number)).await.unwrap();
    }
    assert_eq!(ids(&store.list_requests(all(consumer)).await.unwrap()), mine);
    let (mut seen, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list_requests(RequestFilter { before, limit: 3, ..all(consumer) }).await.unwrap();
        seen.extend(ids(&page));
        before = page.next;
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!((seen, pages), (mine, 3));
    let end = store.list_requests(RequestFilter { before, ..all(consumer) }).await.unwrap();
    assert!(end.requests.is_empty() && !end.more && end.next == before);
    let nobody = ConsumerId::new(NOW, [9; 10]);
    assert!(store.list_requests(all(nobody)).await.unwrap().requests.is_empty());
}

#[tokio::test]
async fn a_list_is_cut_down_by_state_api_and_time() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let (ended, first) = (accept(consumer), at(consumer, 10));
    let elsewhere: ApiName = "demo/other".parse().unwrap();
    let second_one = Accept { api: elsewhere.clone(), ..at(consumer, 20) };
    for call in [&ended, &first, &second_one] {
        store.accept(call.clone()).await.unwrap();
    }
    store.finish(completed(&ended)).await.unwrap();
    let listed = async |filter| ids(&store.list_requests(filter).await.unwrap());
    let all = all(consumer);
    assert_eq!(listed(RequestFilter { state: Some(State::Completed), ..all.clone() }).await, [ended.id]);
    assert_eq!(listed(RequestFilter { state: Some(State::Running), ..all.clone() }).await, [second_one.id, first.id]);
    assert_eq!(listed(RequestFilter { api: Some(elsewhere), ..all.clone() }).await, [second_one.id]);
    assert_eq!(listed(RequestFilter { since: second(10), ..all.clone() }).await, [second_one.id, first.id]);
    assert_eq!(listed(RequestFilter { until: second(20), ..all.clone() }).await, [first.id, ended.id]);
    assert_eq!(listed(RequestFilter { since: second(1), until: second(20), ..all.clone() }).await, [first.id]);
    let page = store.list_requests(RequestFilter { state: Some(State::Completed), ..all }).await.unwrap();
    assert!(page.requests[0].delivery.is_some() && page.requests[0].result.is_none());
}
