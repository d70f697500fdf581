//! Random histories of the execution machine against a model that fits on a page: whatever is asked, by whomever, of a
//! request in whichever state, the store does what the model says, and the books are sound.

use crate::fixture::{Fixture, NOW, accept, again, amount, completed, receipt, runs};
use bytes::Bytes;
use proptest::prelude::*;
use ripost_domain::money::{Capture, FeeRate};
use ripost_domain::request::{Settlement, State};
use ripost_store::{
    Accept, AwaitCallback, BegunRun, Callback, EndOfHold, Ending, Erased, Finish, Lease, OldRequests, Part, RunAgain,
    Store as _, WriteError,
};
use std::time::Duration;

/// Whose word it is: the run that has the request, or one that lost it.
type IsZombie = bool;

#[derive(Debug, Clone, Copy)]
enum End {
    Completed,
    /// For this much of ten.
    CompletedFor(i64),
    Failed,
    Withdrawn,
    WithdrawnAndCharged,
    Expired,
}

/// How a callback's URL stands to the request's.
#[derive(Debug, Clone, Copy)]
enum Url {
    Current,
    Stale,
}

#[derive(Debug, Clone)]
enum Step {
    Accept { price: i64, leased: bool },
    Finish { pick: usize, from: State, zombie: IsZombie, url: Option<Url>, end: End },
    Begin { pick: usize },
    Await { pick: usize, zombie: IsZombie },
    Again { pick: usize, zombie: IsZombie, counted: bool, refused: bool },
    Claim,
    Restart,
    Forget(Part),
    Erase { pick: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let pick = any::<usize>;
    let zombie = || prop::bool::weighted(0.15);
    let from = prop_oneof![1 => Just(State::Accepted), 3 => Just(State::Running), 2 => Just(State::AwaitingCallback)];
    let url = prop_oneof![Just(None), Just(Some(Url::Current)), Just(Some(Url::Stale))];
    let end = prop_oneof![
        2 => Just(End::Completed),
        2 => (0_i64..=10).prop_map(End::CompletedFor),
        1 => Just(End::Failed),
        1 => Just(End::Withdrawn),
        1 => Just(End::WithdrawnAndCharged),
        1 => Just(End::Expired),
    ];
    let part = prop_oneof![Just(Part::Contents), Just(Part::Everything)];
    prop_oneof![
        4 => (0_i64..300, any::<bool>()).prop_map(|(price, leased)| Step::Accept { price, leased }),
        6 => (pick(), from, zombie(), url, end)
            .prop_map(|(pick, from, zombie, url, end)| Step::Finish { pick, from, zombie, url, end }),
        4 => pick().prop_map(|pick| Step::Begin { pick }),
        3 => (pick(), zombie()).prop_map(|(pick, zombie)| Step::Await { pick, zombie }),
        3 => (pick(), zombie(), any::<bool>(), any::<bool>())
            .prop_map(|(pick, zombie, counted, refused)| Step::Again { pick, zombie, counted, refused }),
        3 => Just(Step::Claim),
        1 => Just(Step::Restart),
        1 => part.prop_map(Step::Forget),
        1 => pick().prop_map(|pick| Step::Erase { pick }),
    ]
}

/// What one request should be.
struct Model {
    call: Accept,
    state: State,
    settlement: Settlement,
    captured: Option<i64>,
    epoch: u32,
    attempt: u32,
    /// That its run has begun, and at which epoch.
    begun: Option<(u32, BegunRun)>,
    url: u32,
    has_contents: bool,
    is_kept: bool,
}

impl Model {
    fn is_at(&self, state: State, zombie: IsZombie) -> bool {
        self.is_kept && self.state == state && !zombie
    }

    /// Whether the run that has it now has begun.
    fn has_begun(&self) -> bool {
        self.is_at(State::Running, false) && self.begun.as_ref().is_some_and(|(epoch, _)| *epoch == self.epoch)
    }

    /// The epoch that a run would say.
    fn epoch_said(&self, zombie: IsZombie) -> u32 {
        if zombie { self.epoch.wrapping_sub(1) } else { self.epoch }
    }
}

#[derive(Default)]
struct Books {
    available: i64,
    held: i64,
    earned: i64,
}

impl Books {
    fn end(&mut self, request: &mut Model, captured: i64) {
        let price = request.call.split.price.as_micros();
        if price == 0 {
            return;
        }
        self.held -= price;
        self.available += price - captured;
        self.earned += captured - captured * 500 / 10_000;
        request.captured = Some(captured);
        request.settlement = if captured > 0 { Settlement::Captured } else { Settlement::Released };
    }
}

/// Of a request at this price, with what it leads to and what is captured.
fn ending(end: End, price: i64) -> (Ending, State, i64) {
    let problem = Bytes::from_static(b"{\"status\":502}");
    let cancelled = |hold| Ending::Cancelled { problem: problem.clone(), hold };
    let completed = |capture| Ending::Completed { answer: crate::fixture::answer(b"{}"), capture };
    match end {
        End::Completed => (completed(Capture::Whole), State::Completed, price),
        End::CompletedFor(tenths) => {
            let part = price * tenths / 10;
            (completed(Capture::Part(amount(part))), State::Completed, part)
        }
        End::Failed => (Ending::Failed { problem, answer: None }, State::Failed, 0),
        End::Withdrawn => (cancelled(EndOfHold::Released), State::Cancelled, 0),
        End::WithdrawnAndCharged => (cancelled(EndOfHold::Captured), State::Cancelled, price),
        End::Expired => (Ending::Expired { problem }, State::Expired, 0),
    }
}

fn fenced<T: std::fmt::Debug>(outcome: Result<T, WriteError>, step: &Step) {
    assert!(matches!(outcome, Err(WriteError::Fenced)), "{step:?}: {outcome:?}");
}

async fn follow(steps: Vec<Step>) {
    let mut store = Fixture::new();
    store.recover(NOW).await.unwrap();
    let mut books = Books { available: 3_000, ..Books::default() };
    let consumer = store.consumer(books.available).await;
    let mut known: Vec<Model> = Vec::new();
    for step in &steps {
        let count = known.len();
        match *step {
            Step::Accept { price, leased } => {
                let call = Accept {
                    split: FeeRate::DEFAULT.split(amount(price)),
                    webhook_url: None,
                    lease: if leased { Lease::ThisProcess } else { Lease::Nobody },
                    ..accept(consumer)
                };
                let accepted = store.accept(call.clone()).await;
                assert_eq!(accepted.is_ok(), price <= books.available, "{accepted:?}");
                if accepted.is_ok() {
                    books.available -= price;
                    books.held += price;
                    known.push(Model {
                        state: if leased { State::Running } else { State::Accepted },
                        settlement: if price == 0 { Settlement::None } else { Settlement::Held },
                        captured: None,
                        epoch: u32::from(leased),
                        attempt: 0,
                        begun: None,
                        url: 1,
                        has_contents: true,
                        is_kept: true,
                        call,
                    });
                }
            }
            Step::Finish { pick, from, zombie, url, end } if count > 0 => {
                let request = &mut known[pick % count];
                let (ending, state, captured) = ending(end, request.call.split.price.as_micros());
                let callback = url.map(|url| Callback {
                    epoch: if matches!(url, Url::Stale) { request.url + 1 } else { request.url },
                    digest: [3; 32],
                });
                let epoch = request.epoch_said(zombie);
                let attempt = request.attempt + u32::from(request.has_begun());
                let finish =
                    Finish { epoch, from, attempt, ending, callback, delivery: None, ..completed(&request.call) };
                let done = store.finish(finish).await;
                if request.is_at(from, zombie) && !matches!(url, Some(Url::Stale)) {
                    done.unwrap();
                    request.state = state;
                    request.attempt = attempt;
                    books.end(request, captured);
                } else {
                    fenced(done, step);
                }
            }
            Step::Begin { pick } if count > 0 => {
                let request = &mut known[pick % count];
                if request.is_at(State::Running, false) {
                    // The note before, of an earlier run, gives its place up.
                    request.begun = None;
                    request.begun = Some((request.epoch, store.begin(request.call.id, request.epoch).unwrap()));
                }
            }
            Step::Await { pick, zombie } if count > 0 => {
                let request = &mut known[pick % count];
                let run = receipt(request.attempt, "acknowledged");
                let wait = AwaitCallback { id: request.call.id, epoch: request.epoch_said(zombie), run };
                let done = store.await_callback(wait).await;
                if request.is_at(State::Running, zombie) {
                    done.unwrap();
                    request.state = State::AwaitingCallback;
                    request.attempt += 1;
                } else {
                    fenced(done, step);
                }
            }
            Step::Again { pick, zombie, counted, refused } if count > 0 => {
                let request = &mut known[pick % count];
                let said = again(request.call.id, request.epoch_said(zombie), NOW);
                let done = store.run_again(RunAgain { counted, refused, ..said }).await;
                if request.is_at(State::Running, zombie) {
                    done.unwrap();
                    request.state = State::Accepted;
                    request.attempt += u32::from(counted);
                    request.url += u32::from(refused);
                } else {
                    fenced(done, step);
                }
            }
            Step::Claim => {
                let claimed = store.claim_runs(runs(NOW.after(Duration::from_secs(1)), 1000)).await.unwrap();
                let due = |request: &&mut Model| request.is_at(State::Accepted, false);
                assert_eq!(claimed.len(), known.iter_mut().filter(due).count());
                for run in claimed {
                    let request = known.iter_mut().find(|request| request.call.id == run.id).unwrap();
                    request.state = State::Running;
                    request.epoch += 1;
                    assert_eq!(
                        (run.epoch, run.attempt, run.callback_epoch),
                        (request.epoch, request.attempt + 1, request.url)
                    );
                    assert_eq!(run.input, request.call.input);
                }
            }
            Step::Restart => {
                store = store.reopened().await;
                let running = known.iter_mut().filter(|request| request.is_at(State::Running, false));
                let recovered = running.map(|request| {
                    request.attempt += u32::from(request.has_begun());
                    request.state = State::Accepted;
                });
                let recovered = recovered.count();
                assert_eq!(store.recover(NOW).await.unwrap().runs, recovered as u64);
            }
            Step::Forget(part) => {
                let asked =
                    OldRequests { part, after: None, finished_before: NOW.after(Duration::from_hours(1)), limit: 1000 };
                let due = store.old_requests(asked).await.unwrap().due;
                let gone = known.iter_mut().filter(|request| {
                    let is_there = match part {
                        Part::Contents => request.has_contents,
                        Part::Everything => true,
                    };
                    request.is_kept && request.state.is_terminal() && is_there
                });
                let mut expected = Vec::new();
                for request in gone {
                    request.has_contents = false;
                    request.is_kept = part == Part::Contents;
                    expected.push(request.call.id);
                }
                assert_eq!(due, expected);
                assert_eq!(store.forget(part, due).await.unwrap() as usize, expected.len());
            }
            Step::Erase { pick } if count > 0 => {
                let request = &mut known[pick % count];
                let expected = match request.state {
                    _ if !request.is_kept => Erased::Unknown,
                    state if state.is_terminal() => Erased::Gone { undelivered: 0 },
                    state => Erased::Unfinished(state),
                };
                assert_eq!(store.erase_request(request.call.id).await.unwrap(), expected);
                request.is_kept &= !request.state.is_terminal();
            }
            Step::Finish { .. } | Step::Begin { .. } | Step::Await { .. } | Step::Again { .. } | Step::Erase { .. } => {
            }
        }
    }
    let balances = store.balances(consumer).await.unwrap();
    assert_eq!((balances.available, balances.held), (amount(books.available), amount(books.held)));
    assert_eq!(store.earned(&accept(consumer).api.owner).await.unwrap(), amount(books.earned));
    for request in known {
        let found = store.request(request.call.id).await.unwrap();
        assert_eq!(found.is_some(), request.is_kept);
        let Some(found) = found else { continue };
        assert_eq!(
            (found.state, found.settlement, found.captured, found.attempt),
            (request.state, request.settlement, request.captured.map(amount), request.attempt),
            "{}",
            request.call.id
        );
        assert_eq!(store.input(request.call.id).await.unwrap().is_some(), request.has_contents);
    }
    store.sound().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_the_model_says(steps in proptest::collection::vec(step(), 0..80)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(follow(steps));
    }
}
