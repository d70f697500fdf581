use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::calls::Place;
use super::{Found, Scope, Tape};
use crate::bindings::step::{Begun, StepError};
use crate::call::Clock;
use crate::grants::{OutboundError, OutboundRequest, OutboundResponse};
use crate::journal::{
    CallState, Entries, Journal, JournalError, MemoryJournal, STEP_NAME_BYTES_MAX, STEP_VALUE_BYTES_MAX, STEPS_MAX,
    TIMES_MAX, Writing,
};

/// A clock that is one millisecond later each time.
fn ticking(from: u64) -> Clock {
    let now = AtomicU64::new(from);
    Arc::new(move || now.fetch_add(1, Ordering::Relaxed))
}

fn first(journal: &Arc<MemoryJournal>) -> Tape {
    Tape::new(Arc::clone(journal) as Arc<dyn Journal>, None, ticking(1000))
}

/// What another run has, an hour later.
fn next(journal: &Arc<MemoryJournal>) -> Tape {
    Tape::new(Arc::clone(journal) as Arc<dyn Journal>, Some(&journal.past()), ticking(3_600_000))
}

fn begin(tape: &Tape, name: &str, input: &str) -> Result<Begun, StepError> {
    tape.begin(name.to_owned(), input.as_bytes())
}

fn is_fresh(begun: Result<Begun, StepError>) -> bool {
    matches!(begun, Ok(Begun::Fresh(_)))
}

async fn commit(tape: &Tape, name: &str, value: &str) -> Result<(), StepError> {
    tape.commit(name.to_owned(), value.into()).await
}

fn value(begun: Result<Begun, StepError>) -> String {
    match begun {
        Ok(Begun::Done(value)) => String::from_utf8(value).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn request(method: &str, body: &str) -> OutboundRequest {
    OutboundRequest {
        method: method.to_owned(),
        url: "https://a.example/".to_owned(),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        timeout: std::time::Duration::from_secs(1),
        response_bytes_max: 1 << 20,
    }
}

fn keyed(body: &str) -> OutboundRequest {
    OutboundRequest { headers: vec![("idempotency-key".to_owned(), "k".into())], ..request("POST", body) }
}

fn response(status: u16, body: &str) -> OutboundResponse {
    OutboundResponse { status, headers: Vec::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

async fn sent(tape: &Tape, request: &OutboundRequest) -> Place {
    match tape.find(&tape.scope(), request) {
        Found::ToSend(place) => {
            tape.intend(&place).await.unwrap();
            place
        }
        Found::Answered(answer) => panic!("{answer:?}"),
    }
}

async fn answered(tape: &Tape, request: &OutboundRequest, status: u16, body: &str) {
    let place = sent(tape, request).await;
    tape.ended(&place, &Ok(response(status, body))).await;
}

/// What a call that is not sent gives.
fn known(tape: &Tape, request: &OutboundRequest) -> Option<Result<String, OutboundError>> {
    match tape.find(&tape.scope(), request) {
        Found::ToSend(_) => None,
        Found::Answered(answer) => Some(answer.map(|response| String::from_utf8(response.body.into()).unwrap())),
    }
}

fn body(text: &str) -> Option<Result<String, OutboundError>> {
    Some(Ok(text.to_owned()))
}

#[tokio::test]
async fn a_committed_step_gives_what_it_committed_in_the_same_run_and_in_the_next() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    assert!(is_fresh(begin(&tape, "a", "1")));
    commit(&tape, "a", "one").await.unwrap();
    assert_eq!(value(begin(&tape, "a", "1")), "one");
    assert!(is_fresh(begin(&tape, "b", "2")));
    let again = next(&journal);
    assert_eq!(value(begin(&again, "a", "1")), "one");
    assert!(is_fresh(begin(&again, "b", "2")), "begun and never committed");
    assert!(matches!(begin(&again, "b", "2"), Ok(Begun::Fresh(key)) if key == "key-of-b"), "begun again");
    commit(&again, "b", "two").await.unwrap();
}

#[tokio::test]
async fn a_step_with_another_input_is_refused_by_name_whether_it_was_committed_or_had_only_called_out() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    assert!(is_fresh(begin(&tape, "a", "1")));
    commit(&tape, "a", "one").await.unwrap();
    assert!(is_fresh(begin(&tape, "b", "1")));
    sent(&tape, &request("POST", "")).await;
    for tape in [next(&journal), tape] {
        let open = matches!(begin(&tape, "b", "1"), Ok(Begun::Fresh(_)));
        assert!(open);
        assert!(matches!(begin(&tape, "b", "2"), Err(StepError::InputChanged(text)) if text.contains("`b`")));
    }
    for (name, input) in [("a", "2"), ("b", "2")] {
        let error = begin(&next(&journal), name, input);
        assert!(matches!(&error, Err(StepError::InputChanged(text)) if text.contains(name)), "{error:?}");
    }
}

#[tokio::test]
async fn steps_do_not_nest_and_are_committed_only_when_begun() {
    let tape = first(&Arc::default());
    let misuse = |result: Result<(), StepError>, says: &str| match result {
        Err(StepError::Misuse(text)) => assert!(text.contains(says), "{text}"),
        other => panic!("{other:?}"),
    };
    misuse(commit(&tape, "a", "").await, "no step is open");
    assert!(is_fresh(begin(&tape, "a", "")));
    misuse(begin(&tape, "b", "").map(|_| ()), "step `a` is open");
    misuse(commit(&tape, "b", "").await, "the step that is open is `a`");
    commit(&tape, "a", "").await.unwrap();
    misuse(commit(&tape, "a", "").await, "no step is open");
    misuse(begin(&tape, "", "").map(|_| ()), "needs a name");
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_the_figures() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    let limit = |result: Result<(), StepError>, says: &str| match result {
        Err(StepError::Limit(text)) => assert!(text.contains(says), "{text}"),
        other => panic!("{other:?}"),
    };
    limit(begin(&tape, &"n".repeat(STEP_NAME_BYTES_MAX + 1), "").map(|_| ()), "129 bytes");
    assert!(is_fresh(begin(&tape, &"n".repeat(STEP_NAME_BYTES_MAX), "")));
    let large = "v".repeat(STEP_VALUE_BYTES_MAX);
    limit(commit(&tape, &"n".repeat(STEP_NAME_BYTES_MAX), &format!("{large}v")).await, "262145 bytes");
    // What was refused is still open.
    commit(&tape, &"n".repeat(STEP_NAME_BYTES_MAX), "").await.unwrap();
    for index in 1..31 {
        assert!(is_fresh(begin(&tape, &index.to_string(), "")));
        commit(&tape, &index.to_string(), &large).await.unwrap();
    }
    assert!(is_fresh(begin(&tape, "31", "")));
    answered(&tape, &request("POST", "x"), 200, &large).await;
    limit(commit(&tape, "31", &large).await, "8388608 is the most");
    commit(&tape, "31", "").await.unwrap();
    // The next run counts what this one has left.
    let again = next(&journal);
    assert!(is_fresh(begin(&again, "32", "")));
    limit(commit(&again, "32", &large).await, "8388608 is the most");

    let tape = first(&Arc::default());
    for index in 0..STEPS_MAX {
        assert!(is_fresh(begin(&tape, &index.to_string(), "")));
        commit(&tape, &index.to_string(), "").await.unwrap();
    }
    limit(begin(&tape, "one more", "").map(|_| ()), "256 is the most");
    assert_eq!(value(begin(&tape, "7", "")), "", "what is done is done");
}

#[tokio::test]
async fn an_answer_that_was_written_down_is_given_again_and_a_call_without_one_is_in_doubt() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    answered(&tape, &request("POST", "a"), 201, "made").await;
    answered(&tape, &request("POST", "bad"), 404, "no").await;
    sent(&tape, &request("POST", "b")).await;
    sent(&tape, &keyed("c")).await;
    let again = next(&journal);
    assert_eq!(known(&again, &request("POST", "a")), body("made"));
    assert_eq!(known(&again, &request("POST", "bad")), body("no"), "4xx is an answer");
    assert_eq!(known(&again, &request("POST", "a")), None, "there was one of them");
    assert!(matches!(known(&again, &request("POST", "b")), Some(Err(OutboundError::InDoubt(_)))));
    assert_eq!(known(&again, &keyed("c")), None, "the outside knows the key");
    // Calls that wasi made at once may come in another order.
    assert_eq!(known(&next(&journal), &request("POST", "bad")), body("no"));
}

#[tokio::test]
async fn a_call_that_came_to_nothing_is_made_again_and_leaves_its_place_to_the_one_that_did_not() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    for status in [500, 503, 429, 408] {
        answered(&tape, &request("POST", "a"), status, "not now").await;
    }
    let place = sent(&tape, &request("POST", "a")).await;
    tape.ended(&place, &Err(OutboundError::Connection("refused".to_owned()))).await;
    let past = journal.past();
    assert_eq!((past.calls.len(), &past.calls[0].state), (1, &CallState::Failed));
    assert_eq!(known(&next(&journal), &request("POST", "a")), None);
    answered(&tape, &request("POST", "a"), 200, "at last").await;
    assert_eq!(known(&next(&journal), &request("POST", "a")), body("at last"), "without what came before it");
    // One in doubt keeps its place.
    let place = sent(&tape, &request("POST", "b")).await;
    tape.ended(&place, &Err(OutboundError::InDoubt("no answer".to_owned()))).await;
    answered(&tape, &request("POST", "b"), 200, "second").await;
    let again = next(&journal);
    assert!(matches!(known(&again, &request("POST", "b")), Some(Err(OutboundError::InDoubt(_)))));
    assert_eq!(known(&again, &request("POST", "b")), body("second"));
}

#[tokio::test]
async fn what_changes_nothing_outside_is_written_down_with_the_next_write_or_not_at_all() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    answered(&tape, &request("GET", ""), 200, "rate 1").await;
    answered(&tape, &request("GET", "failed"), 503, "").await;
    assert_eq!(*journal.past(), Entries::default(), "no write for it");
    assert!(is_fresh(begin(&tape, "a", "")));
    commit(&tape, "a", "").await.unwrap();
    answered(&tape, &request("GET", "later"), 200, "rate 2").await;
    let again = next(&journal);
    assert_eq!(known(&again, &request("GET", "")), body("rate 1"));
    assert_eq!(known(&again, &request("GET", "later")), None);
    assert_eq!(known(&again, &request("GET", "failed")), None);
    let remains = tape.remains().unwrap();
    assert!(remains.entries.calls.len() == 1 && !remains.lossy);
    assert_eq!(tape.remains(), None);
}

#[tokio::test]
async fn an_answer_that_is_more_than_the_guest_may_have_is_told_again_and_not_sent_again() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    let place = sent(&tape, &request("POST", "a")).await;
    tape.ended(&place, &Err(OutboundError::Limit("too long".to_owned()))).await;
    let again = known(&next(&journal), &request("POST", "a"));
    assert_eq!(again, Some(Err(OutboundError::Limit("too long".to_owned()))));
}

#[tokio::test]
async fn calls_belong_to_the_step_that_was_open_when_they_were_made() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    answered(&tape, &request("POST", "x"), 200, "outside").await;
    assert!(is_fresh(begin(&tape, "a", "")));
    let scope = tape.scope();
    answered(&tape, &request("POST", "x"), 200, "inside").await;
    commit(&tape, "a", "").await.unwrap();
    assert_eq!(tape.scope(), Scope::default());
    let again = next(&journal);
    assert_eq!(known(&again, &request("POST", "x")), body("outside"));
    assert_eq!(known(&again, &request("POST", "x")), None, "the one inside is not found outside");
    assert!(matches!(again.find(&scope, &request("POST", "x")), Found::Answered(Ok(_))));
}

#[tokio::test]
async fn the_clock_says_again_what_was_made_durable_and_then_goes_on() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    assert_eq!([tape.now_ms(), tape.now_ms()], [1000, 1001]);
    assert!(is_fresh(begin(&tape, "a", "")));
    assert_eq!(tape.now_ms(), 1002);
    commit(&tape, "a", "").await.unwrap();
    assert_eq!([tape.now_ms(), tape.now_ms()], [1003, 1004]);
    sent(&tape, &request("POST", "")).await;
    assert_eq!(tape.now_ms(), 1005, "and this was lost");
    // What was read inside a step that is not done again moves nothing outside of it.
    let again = next(&journal);
    assert_eq!([again.now_ms(), again.now_ms()], [1000, 1001]);
    assert!(matches!(begin(&again, "a", ""), Ok(Begun::Done(_))));
    assert_eq!([again.now_ms(), again.now_ms()], [1003, 1004]);
    assert!(again.now_ms() >= 3_600_000);
}

#[tokio::test]
async fn the_clock_never_goes_backwards_even_if_the_machines_does() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = Tape::new(journal.clone(), None, ticking(5_000_000));
    tape.now_ms();
    assert!(is_fresh(begin(&tape, "a", "")));
    commit(&tape, "a", "").await.unwrap();
    let again = next(&journal);
    assert_eq!([again.now_ms(), again.now_ms()], [5_000_000, 5_000_000]);
}

#[tokio::test]
async fn of_a_clock_that_is_read_in_a_loop_the_beginning_is_kept() {
    let journal = Arc::new(MemoryJournal::default());
    let tape = first(&journal);
    for _ in 0..2 * TIMES_MAX {
        tape.now_ms();
    }
    let remains = tape.remains().unwrap();
    assert!(remains.lossy);
    assert_eq!(remains.entries.times.iter().map(|times| times.millis.len()).sum::<usize>(), TIMES_MAX);
}

/// Fails as often as it is told to.
#[derive(Default)]
struct Failing {
    kept: MemoryJournal,
    failures: AtomicU64,
}

#[async_trait::async_trait]
impl Journal for Failing {
    async fn write(&self, writing: Writing, entries: Entries) -> Result<(), JournalError> {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.fetch_sub(1, Ordering::Relaxed);
            return Err(JournalError("the store has failed".to_owned()));
        }
        self.kept.write(writing, entries).await
    }

    fn step_key(&self, step: &str) -> String {
        self.kept.step_key(step)
    }
}

#[tokio::test]
async fn a_write_that_fails_loses_nothing_that_went_with_it() {
    let journal = Arc::new(Failing::default());
    let tape = Tape::new(journal.clone(), None, ticking(1000));
    answered(&tape, &request("GET", ""), 200, "rate").await;
    tape.now_ms();
    assert!(is_fresh(begin(&tape, "a", "")));
    journal.failures.store(1, Ordering::Relaxed);
    assert!(matches!(commit(&tape, "a", "v").await, Err(StepError::Unavailable(_))));
    journal.failures.store(1, Ordering::Relaxed);
    let Found::ToSend(place) = tape.find(&tape.scope(), &request("POST", "")) else { panic!("it was never made") };
    assert!(matches!(tape.intend(&place).await, Err(OutboundError::Unavailable(_))), "and is not sent");
    // Sent, and the answer could not be written down: it goes with the step.
    let place = sent(&tape, &request("POST", "")).await;
    journal.failures.store(1, Ordering::Relaxed);
    tape.ended(&place, &Ok(response(200, "paid"))).await;
    commit(&tape, "a", "v").await.unwrap();
    let past = journal.kept.past();
    assert_eq!((past.steps.len(), past.times.len(), past.calls.len()), (1, 1, 2));
    assert!(past.calls.iter().all(|call| matches!(call.state, CallState::Done(_))), "{:?}", past.calls);
}
