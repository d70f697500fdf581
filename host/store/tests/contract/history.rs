//! Random histories against a ledger that fits on a page.

use crate::fixture::{Fixture, NOW, accept, again, amount, answer, completed, failed, runs};
use proptest::prelude::*;
use ripost_domain::id::ConsumerId;
use ripost_domain::ledger::Adjustment;
use ripost_domain::money::{Capture, FeeRate};
use ripost_domain::request::State;
use ripost_store::{Accept, AcceptError, Accepted, Adjust, Adjusted, Ending, Finish, RunAgain, Store as _, WriteError};
use std::time::Duration;

#[derive(Debug, Clone)]
enum Step {
    Credit(i64),
    Debit(i64),
    Repeat(usize),
    Accept(i64),
    Complete(usize),
    CompleteFor(usize, i64),
    Fail(usize),
    PutBack(usize, bool),
    ClaimAll,
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_i64..500).prop_map(Step::Credit),
        (1_i64..300).prop_map(Step::Debit),
        any::<usize>().prop_map(Step::Repeat),
        (0_i64..300).prop_map(Step::Accept),
        any::<usize>().prop_map(Step::Complete),
        (any::<usize>(), 0_i64..300).prop_map(|(pick, micros)| Step::CompleteFor(pick, micros)),
        any::<usize>().prop_map(Step::Fail),
        any::<(usize, bool)>().prop_map(|(pick, counted)| Step::PutBack(pick, counted)),
        Just(Step::ClaimAll),
        Just(Step::Recover),
    ]
}

const OWNERS: [&str; 3] = ["demo", "other", "third"];

/// What one request should be.
struct Known {
    call: Accept,
    state: State,
    epoch: u32,
    attempt: u32,
}

fn adjustment(consumer: ConsumerId, adjustment: Adjustment, micros: i64, number: usize) -> Adjust {
    let reference = format!("ref-{number}").parse().unwrap();
    Adjust { consumer, adjustment, amount: amount(micros), reference, at: NOW }
}

async fn follow(steps: Vec<Step>) {
    let store = Fixture::new();
    // As the host does at its start: from then on it is known which runs have begun, here none.
    store.recover(NOW).await.unwrap();
    let consumer = store.consumer(0).await;
    let (mut available, mut held, mut earned) = (0_i64, 0_i64, 0_i64);
    let mut known: Vec<Known> = Vec::new();
    let mut adjusted: Vec<Adjust> = Vec::new();
    for step in steps {
        match step {
            Step::Credit(micros) => {
                let adjust = adjustment(consumer, Adjustment::Credit, micros, adjusted.len());
                assert!(matches!(store.adjust(adjust.clone()).await.unwrap(), Adjusted::Done(_)));
                available += micros;
                adjusted.push(adjust);
            }
            Step::Debit(micros) => {
                let adjust = adjustment(consumer, Adjustment::Debit, micros, adjusted.len());
                match store.adjust(adjust.clone()).await.unwrap() {
                    Adjusted::Done(_) => {
                        assert!(micros <= available);
                        available -= micros;
                        adjusted.push(adjust);
                    }
                    Adjusted::Insufficient(balances) => {
                        assert!(micros > available);
                        assert_eq!((balances.available, balances.held), (amount(available), amount(held)));
                    }
                    other => panic!("{other:?}"),
                }
            }
            Step::Repeat(pick) if !adjusted.is_empty() => {
                let adjust = adjusted[pick % adjusted.len()].clone();
                let again = Adjust { at: NOW.after(Duration::from_secs(60)), ..adjust };
                let again = store.adjust(again).await.unwrap();
                assert!(matches!(again, Adjusted::Before { at, .. } if at == NOW), "{again:?}");
            }
            Step::Accept(price) => {
                let mut call = Accept { split: FeeRate::DEFAULT.split(amount(price)), ..accept(consumer) };
                call.api.owner = OWNERS[known.len() % OWNERS.len()].parse().unwrap();
                match store.accept(call.clone()).await {
                    Ok(Accepted::New) => {
                        assert!(price <= available);
                        available -= price;
                        held += price;
                        known.push(Known { call, state: State::Running, epoch: 1, attempt: 0 });
                    }
                    Err(AcceptError::InsufficientBalance { .. }) => assert!(price > available),
                    other => panic!("{other:?}"),
                }
            }
            Step::Complete(pick) | Step::CompleteFor(pick, _) | Step::Fail(pick) if !known.is_empty() => {
                let pick = pick % known.len();
                let request = &mut known[pick];
                let price = request.call.split.price.as_micros();
                let (end, captured, state) = match step {
                    Step::Complete(_) => (completed(&request.call), price, State::Completed),
                    Step::CompleteFor(_, micros) => {
                        let part = micros.min(price);
                        let ending = Ending::Completed { answer: answer(b"{}"), capture: Capture::Part(amount(part)) };
                        (Finish { ending, ..completed(&request.call) }, part, State::Completed)
                    }
                    _ => (failed(&request.call), 0, State::Failed),
                };
                let done = store.finish(Finish { epoch: request.epoch, ..end }).await;
                if request.state != State::Running {
                    assert!(matches!(done, Err(WriteError::Fenced)));
                    continue;
                }
                done.unwrap();
                held -= price;
                available += price - captured;
                earned += captured - captured * 500 / 10_000;
                request.state = state;
            }
            Step::PutBack(pick, counted) if !known.is_empty() => {
                let pick = pick % known.len();
                let request = &mut known[pick];
                let done = store.run_again(RunAgain { counted, ..again(request.call.id, request.epoch, NOW) }).await;
                assert_eq!(done.is_ok(), request.state == State::Running);
                if done.is_ok() {
                    request.state = State::Accepted;
                    request.attempt += u32::from(counted);
                }
            }
            Step::ClaimAll => {
                let claimed = store.claim_runs(runs(NOW.after(Duration::from_secs(1)), 1000)).await.unwrap();
                assert_eq!(claimed.len(), known.iter().filter(|request| request.state == State::Accepted).count());
                for run in claimed {
                    let request = known.iter_mut().find(|request| request.call.id == run.id).unwrap();
                    request.state = State::Running;
                    request.epoch += 1;
                    assert_eq!((run.epoch, run.attempt), (request.epoch, request.attempt + 1));
                }
            }
            Step::Recover => {
                store.recover(NOW).await.unwrap();
                known
                    .iter_mut()
                    .filter(|request| request.state == State::Running)
                    .for_each(|request| request.state = State::Accepted);
            }
            Step::Complete(_) | Step::CompleteFor(..) | Step::Fail(_) | Step::PutBack(..) | Step::Repeat(_) => {}
        }
    }
    let balances = store.balances(consumer).await.unwrap();
    assert_eq!((balances.available, balances.held), (amount(available), amount(held)));
    let mut paid = 0;
    for owner in OWNERS {
        paid += store.earned(&owner.parse().unwrap()).await.unwrap().as_micros();
    }
    assert_eq!(paid, earned);
    for request in known {
        assert_eq!(store.request(request.call.id).await.unwrap().unwrap().state, request.state);
    }
    store.sound().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_in_whatever_order_the_books_are_sound(steps in proptest::collection::vec(step(), 0..60)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(follow(steps));
    }
}
