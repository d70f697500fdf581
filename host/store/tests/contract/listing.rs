use crate::fixture::{Fixture, NOW, PRICE, accept, amount, completed, failed, free};
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use ripost_store::{Accept, Ending, Failures, Finish, RequestFilter, RequestPage, Store as _, Whose};
use std::time::Duration;

fn all(consumer: ConsumerId) -> RequestFilter {
    of(Whose::Consumer(consumer))
}

fn of(whose: Whose) -> RequestFilter {
    RequestFilter { whose, before: None, states: Vec::new(), api: None, since: None, until: None, limit: 100 }
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
    assert_eq!(listed(RequestFilter { states: vec![State::Completed], ..all.clone() }).await, [ended.id]);
    assert_eq!(listed(RequestFilter { states: vec![State::Running], ..all.clone() }).await, [second_one.id, first.id]);
    assert_eq!(listed(RequestFilter { api: Some(elsewhere), ..all.clone() }).await, [second_one.id]);
    assert_eq!(listed(RequestFilter { since: second(10), ..all.clone() }).await, [second_one.id, first.id]);
    assert_eq!(listed(RequestFilter { until: second(20), ..all.clone() }).await, [first.id, ended.id]);
    assert_eq!(listed(RequestFilter { since: second(1), until: second(20), ..all.clone() }).await, [first.id]);
    let page = store.list_requests(RequestFilter { states: vec![State::Completed], ..all }).await.unwrap();
    assert!(page.requests[0].delivery.is_some() && page.requests[0].result.is_none());
}

/// A call of another owner's API.
fn elsewhere(call: Accept) -> Accept {
    Accept { api: "other/report".parse().unwrap(), ..call }
}

fn expired(call: &Accept) -> Finish {
    Finish { ending: Ending::Expired { problem: b"{}".as_slice().into() }, ..completed(call) }
}

#[tokio::test]
async fn an_owner_lists_what_its_apis_were_asked_whoever_asked_and_nothing_of_others() {
    let store = Fixture::new();
    let (one, two) = (store.consumer(0).await, store.consumer(0).await);
    let owner = || Whose::Owner("demo".parse().unwrap());
    let mut own = Vec::new();
    for number in 0..6 {
        let call = at(if number % 2 == 0 { one } else { two }, number);
        store.accept(call.clone()).await.unwrap();
        store.accept(elsewhere(at(one, number))).await.unwrap();
        own.insert(0, call);
    }
    for (call, finish) in own.iter().zip([completed, failed, failed, expired]) {
        store.finish(finish(call)).await.unwrap();
    }
    let listed = async |filter| store.list_requests(filter).await.unwrap();
    let of_own: Vec<RequestId> = own.iter().map(|call| call.id).collect();
    assert_eq!(ids(&listed(of(owner())).await), of_own);
    let everything = listed(of(Whose::Everybody)).await;
    assert_eq!(everything.requests.len(), 12);
    for (state, expected) in [
        (State::Completed, &of_own[..1]),
        (State::Failed, &of_own[1..3]),
        (State::Expired, &of_own[3..4]),
        (State::Cancelled, &[]),
        (State::Running, &of_own[4..]),
        (State::Accepted, &[]),
    ] {
        let asked = RequestFilter { states: vec![state], ..of(owner()) };
        assert_eq!(ids(&listed(asked.clone()).await), expected, "{state:?}");
        // Of an API that it does not have there is nothing.
        let api = Some("demo/nothing".parse().unwrap());
        assert!(listed(RequestFilter { api, ..asked.clone() }).await.requests.is_empty(), "{state:?}");
        // A page at a time it is the same.
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = listed(RequestFilter { before, limit: 1, ..asked.clone() }).await;
            seen.extend(ids(&page));
            before = page.next;
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, expected, "{state:?}");
    }
    let late = RequestFilter { since: second(2), until: second(4), states: vec![State::Failed], ..of(owner()) };
    assert_eq!(ids(&listed(late).await), of_own[2..3]);
    let failed = listed(RequestFilter { states: vec![State::Failed], ..of(owner()) }).await;
    assert!(failed.requests.iter().all(|record| record.problem.is_some()), "an owner is told why");
}

#[tokio::test]
async fn failures_are_counted_by_api_from_a_time_on() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    let second_api = |call: Accept| Accept { api: "demo/second".parse().unwrap(), ..call };
    let calls = [
        (at(consumer, 1), failed as fn(&Accept) -> Finish),
        (at(consumer, 10), failed),
        (at(consumer, 11), expired),
        (at(consumer, 12), completed),
        (second_api(at(consumer, 13)), failed),
        (elsewhere(at(consumer, 14)), failed),
    ];
    for (call, finish) in &calls {
        store.accept(call.clone()).await.unwrap();
        store.finish(finish(call)).await.unwrap();
    }
    let counted = store.failures(&"demo".parse().unwrap(), NOW.after(Duration::from_secs(5))).await.unwrap();
    let of = |api: &str, failed, expired| Failures { api: api.parse().unwrap(), failed, expired };
    assert_eq!(counted, [of("demo/report", 1, 1), of("demo/second", 1, 0)]);
}

#[tokio::test]
async fn what_owners_have_earned_is_listed_by_name() {
    let store = Fixture::new();
    let consumer = store.consumer(10 * PRICE).await;
    assert_eq!(store.earnings().await.unwrap(), []);
    for call in [accept(consumer), elsewhere(accept(consumer)), accept(consumer)] {
        store.accept(call.clone()).await.unwrap();
        store.finish(completed(&call)).await.unwrap();
    }
    let part = PRICE / 100 * 95;
    let of = |owner: &str, micros| (owner.parse().unwrap(), amount(micros));
    assert_eq!(store.earnings().await.unwrap(), [of("demo", 2 * part), of("other", part)]);
    assert_eq!(store.earned(&"other".parse().unwrap()).await.unwrap(), amount(part));
}
