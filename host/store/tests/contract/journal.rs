//! What runs leave for the next run of their request.

use crate::fixture::{Fixture, NOW, PRICE, accept, again, answer, completed, free, runs};
use bytes::Bytes;
use ripost_domain::api::Digest;
use ripost_domain::id::RequestId;
use ripost_store::{
    JournalCall, JournalCallState, JournalEntries, JournalKind, JournalStep, JournalTimes, JournalWrite, Part, Repin,
    Store as _, WriteError,
};

const OLD: Digest = Digest::from_bytes([7; 32]);
const NEW: Digest = Digest::from_bytes([8; 32]);

fn write(id: RequestId, epoch: u32, kind: JournalKind, entries: JournalEntries) -> JournalWrite {
    JournalWrite { id, epoch, digest: OLD, attempt: epoch, at: NOW, kind, entries }
}

fn step(name: &str) -> JournalStep {
    JournalStep { name: name.to_owned(), input: [1; 32], value: Bytes::from_static(b"\"v\"") }
}

fn call(nth: u32, state: JournalCallState) -> JournalCall {
    JournalCall { scope: "charge".to_owned(), input: Some([1; 32]), digest: [2; 32], nth, state }
}

fn times(first: u32, millis: &[u64]) -> JournalTimes {
    JournalTimes { scope: String::new(), first, millis: millis.to_vec() }
}

fn committing(name: &str) -> JournalEntries {
    JournalEntries { steps: vec![step(name)], ..JournalEntries::default() }
}

fn calling(call: JournalCall) -> JournalEntries {
    JournalEntries { calls: vec![call], ..JournalEntries::default() }
}

#[tokio::test]
async fn what_was_written_down_is_there_for_the_next_run_in_its_order_and_after_a_restart() {
    let store = Fixture::new();
    let (one, two) = (free(store.consumer(0).await), free(store.consumer(0).await));
    store.accept(one.clone()).await.unwrap();
    store.accept(two.clone()).await.unwrap();
    let put = async |kind, entries| store.journal(write(one.id, 1, kind, entries)).await.unwrap();
    let before = store.stats().await.unwrap().operations;
    put(JournalKind::Intent, calling(call(0, JournalCallState::Intent))).await;
    put(JournalKind::Intent, calling(call(1, JournalCallState::Intent))).await;
    let done = JournalCallState::Done(answer(b"{}"));
    put(JournalKind::Done, JournalEntries { times: vec![times(0, &[5, 6])], ..calling(call(0, done.clone())) }).await;
    put(JournalKind::Done, calling(call(1, JournalCallState::Failed))).await;
    let refused = call(2, JournalCallState::Refused("too long".to_owned()));
    put(JournalKind::Commit, JournalEntries { calls: vec![refused.clone()], ..committing("charge") }).await;
    put(JournalKind::Commit, JournalEntries { times: vec![times(2, &[9])], ..committing("a") }).await;
    assert_eq!(store.stats().await.unwrap().operations - before, 6, "each is one operation of the writer");
    let store = store.reopened().await;
    let left = store.journal_of(one.id).await.unwrap();
    assert_eq!(left.steps, [step("charge"), step("a")]);
    assert_eq!(left.calls, [call(0, done), call(1, JournalCallState::Failed), refused]);
    assert_eq!(left.times, [times(0, &[5, 6]), times(2, &[9])]);
    assert_eq!(store.journal_of(two.id).await.unwrap(), JournalEntries::default());
    let receipts = store.steps(one.id).await.unwrap();
    let seen: Vec<_> = receipts.iter().map(|step| (step.name.as_str(), step.bytes, step.attempt)).collect();
    assert_eq!(seen, [("charge", 3, 1), ("a", 3, 1)]);
}

#[tokio::test]
async fn a_run_that_lost_its_request_writes_nothing_down() {
    let store = Fixture::new();
    let (call_, ended) = (free(store.consumer(0).await), free(store.consumer(0).await));
    store.accept(call_.clone()).await.unwrap();
    store.accept(ended.clone()).await.unwrap();
    store.finish(completed(&ended)).await.unwrap();
    let fenced = async |write| assert!(matches!(store.journal(write).await, Err(WriteError::Fenced)));
    fenced(write(ended.id, 1, JournalKind::Commit, committing("a"))).await;
    fenced(write(ended.id, 1, JournalKind::Intent, calling(call(0, JournalCallState::Intent)))).await;
    store.run_again(again(call_.id, 1, NOW)).await.unwrap();
    fenced(write(call_.id, 1, JournalKind::Commit, committing("a"))).await;
    assert_eq!(store.claim_runs(runs(NOW, 1)).await.unwrap()[0].epoch, 2);
    fenced(write(call_.id, 1, JournalKind::Commit, committing("a"))).await;
    fenced(write(call_.id, 1, JournalKind::Done, calling(call(0, JournalCallState::Failed)))).await;
    assert_eq!(store.journal_of(call_.id).await.unwrap(), JournalEntries::default());
    store.journal(write(call_.id, 2, JournalKind::Commit, committing("a"))).await.unwrap();
    // A name is committed once: what is there stays.
    assert!(store.journal(write(call_.id, 2, JournalKind::Commit, committing("a"))).await.is_err());
    assert_eq!(store.journal_of(call_.id).await.unwrap().steps, [step("a")]);
}

#[tokio::test]
async fn a_step_binds_its_request_to_the_revision_that_committed_it() {
    let store = Fixture::new();
    let consumer = store.consumer(PRICE * 3).await;
    let (stays, goes, bound_late) = (accept(consumer), accept(consumer), accept(consumer));
    for call in [&stays, &goes, &bound_late] {
        store.accept(call.clone()).await.unwrap();
    }
    store.journal(write(stays.id, 1, JournalKind::Commit, committing("a"))).await.unwrap();
    store.journal(write(goes.id, 1, JournalKind::Intent, calling(call(0, JournalCallState::Intent)))).await.unwrap();
    let repin = Repin { from: OLD, to: NEW, apis: vec![stays.api.clone()] };
    assert_eq!(store.repin(repin.clone()).await.unwrap(), 2);
    let digest = async |id| store.request(id).await.unwrap().unwrap().digest;
    assert_eq!((digest(stays.id).await, digest(goes.id).await), (OLD, NEW));
    assert!(store.revisions_in_use().await.unwrap().contains(&OLD), "it is kept on the disk");
    // A run of the revision that was put aside goes on while its request is moved: what it commits is of its own code.
    assert_eq!(digest(bound_late.id).await, NEW);
    store.journal(write(bound_late.id, 1, JournalKind::Commit, committing("a"))).await.unwrap();
    assert_eq!(digest(bound_late.id).await, OLD);
    assert_eq!(store.repin(repin).await.unwrap(), 0);
    for call in [&stays, &goes, &bound_late] {
        store.finish(completed(call)).await.unwrap();
    }
    store.sound().await;
}

#[tokio::test]
async fn what_the_last_run_was_told_is_kept_with_its_end() {
    let store = Fixture::new();
    let (with, without) = (free(store.consumer(0).await), free(store.consumer(0).await));
    store.accept(with.clone()).await.unwrap();
    store.accept(without.clone()).await.unwrap();
    let tape = Bytes::from_static(b"{\"times\":[]}");
    store.finish(ripost_store::Finish { tape: Some(tape.clone()), ..completed(&with) }).await.unwrap();
    store.finish(completed(&without)).await.unwrap();
    assert_eq!(store.tape(with.id).await.unwrap(), Some(tape));
    assert_eq!(store.tape(without.id).await.unwrap(), None);
}

#[tokio::test]
async fn what_runs_have_left_goes_with_the_contents_of_their_request() {
    for part in [Part::Contents, Part::Everything] {
        let store = Fixture::new();
        let (gone, stays) = (accept(store.consumer(PRICE).await), free(store.consumer(0).await));
        for call in [&gone, &stays] {
            store.accept(call.clone()).await.unwrap();
            let intent = self::call(0, JournalCallState::Intent);
            let entries = JournalEntries { times: vec![times(0, &[5])], ..committing("a") };
            let entries = JournalEntries { calls: vec![intent], ..entries };
            store.journal(write(call.id, 1, JournalKind::Commit, entries)).await.unwrap();
        }
        let tape = Some(Bytes::from_static(b"{}"));
        store.finish(ripost_store::Finish { tape, delivery: None, ..completed(&gone) }).await.unwrap();
        assert_eq!(store.forget(part, vec![gone.id, stays.id]).await.unwrap(), 1);
        assert_eq!(store.journal_of(gone.id).await.unwrap(), JournalEntries::default());
        assert_eq!(store.tape(gone.id).await.unwrap(), None);
        assert_eq!(store.journal_of(stays.id).await.unwrap().steps, [step("a")], "it has not ended");
    }
}
