use crate::fixture::{
    Fixture, LANE, NOW, PRICE, accept, amount, answer, answered, claim, completed, failed, free, runs, waiting,
};
use bytes::Bytes;
use ripost_domain::money::{Capture, FeeRate};
use ripost_domain::request::{Settlement, State};
use ripost_store::{Accept, EndOfHold, Ending, Finish, Lease, NewDelivery, Store as _, WriteError};
use std::time::Duration;

#[tokio::test]
async fn a_result_captures_and_leaves_a_delivery() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let end = completed(&call);
    assert_eq!(store.finish(end.clone()).await.unwrap().settlement, Settlement::Captured);
    let record = store.request(call.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.settlement), (State::Completed, Settlement::Captured));
    assert_eq!(record.delivery.unwrap().state, ripost_domain::delivery::State::InFlight);
    assert_eq!(store.result(call.id).await.unwrap().unwrap().body, "{\"ok\":true}");
    let payload = store.payload(call.id, "completed").await.unwrap().unwrap();
    assert_eq!((payload.delivery_id, payload.body), (end.delivery.as_ref().unwrap().id, end.delivery.unwrap().payload));
    assert_eq!(store.earned(&call.api.owner).await.unwrap(), amount(47_500));
    assert_eq!(store.balances(consumer).await.unwrap().held, amount(0));
    assert!(store.revisions_in_use().await.unwrap().is_empty());
    store.sound().await;
}

#[tokio::test]
async fn an_answer_can_cost_less_than_the_price_down_to_nothing() {
    let store = Fixture::new();
    let mut earned = 0;
    for (captured, fee, settlement) in [
        (PRICE, 2_500, Settlement::Captured),
        (20_019, 1_000, Settlement::Captured),
        (19, 0, Settlement::Captured),
        (0, 0, Settlement::Released),
    ] {
        let consumer = store.consumer(PRICE).await;
        let call = accept(consumer);
        store.accept(call.clone()).await.unwrap();
        let ending = Ending::Completed { answer: answer(b"{}"), capture: Capture::Part(amount(captured)) };
        assert_eq!(ending.settled(call.split), (settlement, Some(amount(captured))));
        assert_eq!(store.finish(Finish { ending, ..completed(&call) }).await.unwrap().settlement, settlement);
        let record = store.request(call.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.settlement), (State::Completed, settlement));
        assert_eq!((record.captured, record.split), (Some(amount(captured)), call.split), "the price stays as it was");
        let balances = store.balances(consumer).await.unwrap();
        assert_eq!((balances.available, balances.held), (amount(PRICE - captured), amount(0)));
        earned += captured - fee;
        assert_eq!(store.earned(&call.api.owner).await.unwrap(), amount(earned));
    }
    store.sound().await;
}

#[tokio::test]
async fn more_than_the_price_is_never_written() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    for call in [accept(consumer), free(consumer)] {
        store.accept(call.clone()).await.unwrap();
        let held = store.balances(consumer).await.unwrap();
        let more = amount(call.split.price.as_micros() + 1);
        let ending = Ending::Completed { answer: answer(b"{}"), capture: Capture::Part(more) };
        assert!(store.finish(Finish { ending, ..completed(&call) }).await.is_err());
        assert_eq!(store.balances(consumer).await.unwrap(), held);
        assert_eq!(store.request(call.id).await.unwrap().unwrap().state, State::Running);
        store.sound().await;
    }
}

#[tokio::test]
async fn a_part_is_shared_by_the_rate_that_was_frozen_at_accept() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = Accept { split: FeeRate::from_bps(1_234).unwrap().split(amount(PRICE)), ..accept(consumer) };
    store.accept(call.clone()).await.unwrap();
    // As a version did that knew no rates: the price and its fee say it.
    let connection = rusqlite::Connection::open(store.database()).unwrap();
    for rate in ["fee_bps", "NULL"] {
        connection.execute_batch(&format!("UPDATE requests SET fee_bps = {rate}")).unwrap();
        let open = store.unfinished(call.id).await.unwrap().unwrap();
        assert_eq!(open.claimed.split, call.split);
    }
    let ending = Ending::Completed { answer: answer(b"{}"), capture: Capture::Part(amount(10_000)) };
    store.finish(Finish { ending, ..completed(&call) }).await.unwrap();
    assert_eq!(store.earned(&call.api.owner).await.unwrap(), amount(10_000 - 1_234));
    store.sound().await;
}

#[tokio::test]
async fn every_other_end_gives_the_hold_back() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let problem = || Bytes::from_static(b"{\"status\":504}");
    let endings = [
        Ending::Failed { problem: problem(), answer: Some(answer(b"no")) },
        Ending::Failed { problem: problem(), answer: None },
        Ending::Cancelled { problem: problem(), hold: EndOfHold::Released },
        Ending::Expired { problem: problem() },
    ];
    for ending in endings {
        let call = accept(consumer);
        store.accept(call.clone()).await.unwrap();
        let state = ending.state();
        let answered = matches!(ending, Ending::Failed { answer: Some(_), .. });
        store.finish(Finish { ending, ..completed(&call) }).await.unwrap();
        let record = store.request(call.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.settlement), (state, Settlement::Released));
        assert_eq!(record.problem.unwrap(), problem());
        assert_eq!(store.result(call.id).await.unwrap().is_some(), answered);
        assert_eq!(store.balances(consumer).await.unwrap().available, amount(PRICE));
    }
    store.sound().await;
}

#[tokio::test]
async fn a_request_that_is_withdrawn_can_be_charged_and_is_read_as_unfinished_no_more() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let open = store.unfinished(call.id).await.unwrap().unwrap();
    assert_eq!((open.state, open.claimed.epoch, open.claimed.input), (State::Running, 1, call.input.clone()));
    let problem = Bytes::from_static(b"{\"status\":409}");
    let ending = Ending::Cancelled { problem, hold: EndOfHold::Captured };
    let ended = store.finish(Finish { ending, ..completed(&call) }).await.unwrap();
    assert_eq!(ended.settlement, Settlement::Captured);
    let record = store.request(call.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.settlement), (State::Cancelled, Settlement::Captured));
    assert!(store.unfinished(call.id).await.unwrap().is_none());
    assert_eq!(store.earned(&call.api.owner).await.unwrap(), amount(47_500));
    assert_eq!(store.balances(consumer).await.unwrap().held, amount(0));
    assert!(matches!(store.finish(completed(&call)).await, Err(WriteError::Fenced)), "its run writes nothing");
    store.sound().await;
    let store = store.reopened().await;
    store.recover(NOW).await.unwrap();
    assert_eq!(store.request(call.id).await.unwrap().unwrap().state, State::Cancelled);
}

#[tokio::test]
async fn the_first_end_wins_and_a_zombie_writes_nothing() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 2).await;
    let call = accept(consumer);
    store.accept(call.clone()).await.unwrap();
    let stale = store.finish(Finish { epoch: 2, ..completed(&call) }).await;
    assert!(matches!(stale, Err(WriteError::Fenced)));
    let elsewhere = store.finish(Finish { from: State::Accepted, ..failed(&call) }).await;
    assert!(matches!(elsewhere, Err(WriteError::Fenced)));
    store.finish(completed(&call)).await.unwrap();
    assert!(matches!(store.finish(failed(&call)).await, Err(WriteError::Fenced)));
    assert_eq!(store.request(call.id).await.unwrap().unwrap().state, State::Completed);
    store.sound().await;
}

#[tokio::test]
async fn a_request_can_expire_before_it_ran() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE).await;
    let call = waiting(consumer);
    store.accept(call.clone()).await.unwrap();
    let late = NOW.after(Duration::from_secs(3600));
    assert!(store.expired_requests(NOW, 9).await.unwrap().is_empty());
    assert!(store.claim_runs(runs(late, 9)).await.unwrap().is_empty(), "too late to run");
    let expired = store.expired_requests(late, 9).await.unwrap();
    assert_eq!((expired.len(), expired[0].claimed.id, expired[0].claimed.epoch), (1, call.id, 0));
    let problem = Bytes::from_static(b"{}");
    let end = Finish { epoch: 0, from: State::Accepted, ending: Ending::Expired { problem }, ..completed(&call) };
    store.finish(end).await.unwrap();
    assert_eq!(store.balances(consumer).await.unwrap().available, amount(PRICE));
    store.sound().await;
}

#[tokio::test]
async fn large_bodies_are_files_and_are_there_after_a_restart() {
    let store = Fixture::new();
    let consumer = store.consumer(0).await;
    let call = free(consumer);
    store.accept(call.clone()).await.unwrap();
    let (body, payload) = (vec![b'r'; 200_000], Bytes::from(vec![b'p'; 100_000]));
    let delivery = NewDelivery { payload: payload.clone(), ..crate::fixture::delivery(Lease::Nobody) };
    let end = Finish { ending: answered(answer(&body)), delivery: Some(delivery), ..completed(&call) };
    store.finish(end).await.unwrap();
    let store = store.reopened().await;
    assert_eq!(store.result(call.id).await.unwrap().unwrap().body, body);
    assert_eq!(store.payload(call.id, "completed").await.unwrap().unwrap().body, payload);
    let claimed = store.claim_deliveries(claim(NOW.after(Duration::from_secs(1)), LANE, 9)).await.unwrap().deliveries;
    assert_eq!(claimed[0].payload, payload);
    // Less than the two together: an empty database is of some two hundred kilobytes.
    assert!(std::fs::metadata(store.database()).unwrap().len() < 300_000);
    store.sound().await;
}
