use super::*;

type Asked = oneshot::Receiver<Worker>;

fn claim(owner: &str, bytes: u64) -> Claim {
    let mut component = [0; 32];
    component[..8].copy_from_slice(&bytes.to_be_bytes());
    Claim { owner: owner.into(), urgency: Urgency::New, bytes, component }
}

fn has(asked: &mut Asked) -> Option<Worker> {
    asked.try_recv().ok()
}

fn must(asked: &mut Asked) -> Worker {
    has(asked).expect("it is its turn")
}

/// Keeps a worker for long enough to be seen on a clock.
fn work(worker: Worker) {
    std::thread::sleep(Duration::from_millis(2));
    drop(worker);
}

#[test]
fn a_flood_waits_behind_itself_and_another_owner_has_the_next_worker() {
    let turns = Turns::new(1);
    let mut flood: Vec<Asked> = (1..=4).map(|bytes| turns.ask(claim("evil", bytes))).collect();
    let first = must(&mut flood[0]);
    let mut good = turns.ask(claim("good", 1 << 20));
    assert!(has(&mut good).is_none() && has(&mut flood[1]).is_none());
    work(first);
    assert!(has(&mut flood[1]).is_none());
    work(must(&mut good));
    let _second = must(&mut flood[1]);
}

#[test]
fn what_is_small_comes_before_what_is_large_and_what_served_before_first() {
    let turns = Turns::new(1);
    let held = must(&mut turns.ask(claim("demo", 1)));
    let mut large = turns.ask(claim("demo", 12 << 20));
    let mut small = turns.ask(claim("demo", 20 << 10));
    let mut missed = turns.ask(Claim { urgency: Urgency::Missed, ..claim("demo", 13 << 20) });
    work(held);
    work(must(&mut missed));
    work(must(&mut small));
    work(must(&mut large));
}

#[test]
fn owners_that_have_had_nothing_yet_are_served_by_size() {
    let turns = Turns::new(1);
    let held = must(&mut turns.ask(claim("a", 1)));
    let mut large = turns.ask(claim("b", 12 << 20));
    let mut small = turns.ask(claim("c", 20 << 10));
    let mut again = turns.ask(claim("a", 2));
    work(held);
    work(must(&mut small));
    work(must(&mut large));
    work(must(&mut again));
}

#[test]
fn an_owner_has_all_workers_until_another_one_waits() {
    let turns = Turns::new(2);
    let (first, second) = (must(&mut turns.ask(claim("evil", 1))), must(&mut turns.ask(claim("evil", 2))));
    let mut third = turns.ask(claim("evil", 3));
    assert!(!first.take_back.is_cancelled() && !second.take_back.is_cancelled());
    let mut good = turns.ask(claim("good", 4));
    assert!(!first.take_back.is_cancelled(), "what it began first goes on");
    assert!(second.take_back.is_cancelled(), "what it began last begins again");
    drop(second);
    let good = must(&mut good);
    assert!(has(&mut third).is_none());
    // Each has one: whoever comes now waits for one of them to end.
    let mut other = turns.ask(claim("other", 5));
    assert!(!first.take_back.is_cancelled() && !good.take_back.is_cancelled());
    work(good);
    let _other = must(&mut other);
    assert!(has(&mut third).is_none());
}

#[test]
fn only_as_many_are_taken_back_as_are_waited_for() {
    let turns = Turns::new(4);
    let held: Vec<Worker> = (0..4).map(|bytes| must(&mut turns.ask(claim("evil", bytes)))).collect();
    let taken = || held.iter().filter(|worker| worker.take_back.is_cancelled()).count();
    let _one = (turns.ask(claim("a", 10)), turns.ask(claim("a", 11)));
    assert_eq!(taken(), 1);
    let _two = turns.ask(claim("b", 12));
    assert_eq!(taken(), 2);
    let _more: Vec<Asked> = ["c", "d", "e"].into_iter().map(|owner| turns.ask(claim(owner, 13))).collect();
    assert_eq!(taken(), 3, "one is its own");
}

#[test]
fn the_same_component_is_not_compiled_twice_at_once() {
    let turns = Turns::new(2);
    let first = must(&mut turns.ask(claim("a", 7)));
    let mut same = turns.ask(claim("b", 7));
    assert!(has(&mut same).is_none());
    let _other = must(&mut turns.ask(claim("a", 8)));
    assert!(!first.take_back.is_cancelled(), "what it waits for is that very component");
    drop(first);
    let _same = must(&mut same);
}

#[test]
fn who_no_longer_waits_is_passed_over() {
    let turns = Turns::new(1);
    let held = must(&mut turns.ask(claim("a", 1)));
    drop(turns.ask(claim("b", 2)));
    let mut last = turns.ask(claim("b", 3));
    drop(held);
    drop(must(&mut last));
    assert!(turns.lock().kept.is_empty() && turns.lock().free == 1, "nothing is left behind");
}
