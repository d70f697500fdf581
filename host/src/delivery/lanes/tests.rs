use super::*;
use std::collections::BTreeMap;

const SECOND: Duration = Duration::from_secs(1);

fn bounds() -> Bounds {
    Bounds {
        per_lane: 16,
        per_host: 64,
        total: 128,
        bytes: 1 << 20,
        host_per_second: None,
        breaker_failures: 5,
        breaker_wait: 10 * SECOND,
        breaker_wait_max: 60 * SECOND,
        lanes_max: 1000,
    }
}

fn lane(number: u32) -> LaneId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    LaneId::from_bytes(bytes)
}

/// A delivery of a lane; each lane is a host of its own.
type Delivery = (u32, &'static str);

struct Sim {
    lanes: Lanes<Delivery>,
    now: Instant,
}

impl Sim {
    fn new(bounds: Bounds) -> Self {
        Self { lanes: Lanes::new(bounds), now: Instant::now() }
    }

    /// What may be sent now; `None`: it waits in the store.
    fn offer(&mut self, number: u32, host: &'static str) -> Option<Vec<Delivery>> {
        self.lanes
            .reserve(lane(number), 10, self.now)
            .then(|| self.lanes.push(lane(number), (number, host), |delivery| delivery.1, self.now).run)
    }

    fn end(&mut self, number: u32, verdict: Verdict) -> Work<Delivery> {
        self.lanes.ended(lane(number), 10, verdict, self.now)
    }

    /// Grows the cap of a lane to its most.
    fn prove(&mut self, number: u32, host: &'static str) {
        for _ in 0..16 {
            assert_eq!(self.offer(number, host).map(|run| run.len()), Some(1));
            self.end(number, Verdict::Good);
        }
    }

    fn in_flight(&self) -> u32 {
        self.lanes.counts(self.now).in_flight
    }
}

/// How many of `count` offers fly, how many wait in memory, how many are for the store.
fn flood(sim: &mut Sim, number: u32, host: &'static str, count: u32) -> (usize, usize, usize) {
    let (mut fly, mut stay, mut store) = (0, 0, 0);
    for _ in 0..count {
        match sim.offer(number, host) {
            Some(run) if run.is_empty() => stay += 1,
            Some(run) => fly += run.len(),
            None => store += 1,
        }
    }
    (fly, stay, store)
}

#[test]
fn a_lane_begins_small_grows_with_successes_and_halves_with_failures() {
    let mut sim = Sim::new(bounds());
    assert_eq!(flood(&mut sim, 1, "a", 100), (4, 4, 92));
    let mut sim = Sim::new(bounds());
    sim.prove(1, "a");
    assert_eq!(flood(&mut sim, 1, "a", 100), (16, 64, 20));
    sim.end(1, Verdict::Bad);
    assert_eq!(sim.in_flight(), 15, "the cap is 8 now: none of those that wait takes the place");
    for _ in 0..7 {
        assert!(sim.end(1, Verdict::None).run.is_empty());
    }
    assert_eq!(sim.end(1, Verdict::None).run.len(), 1, "seven are in flight: the next may go");
}

#[test]
fn a_breaker_opens_after_failures_in_a_row_lets_one_probe_through_and_closes_with_a_success() {
    let mut sim = Sim::new(bounds());
    sim.prove(1, "a");
    assert_eq!(flood(&mut sim, 1, "a", 20), (16, 4, 0));
    for _ in 0..4 {
        assert!(sim.end(1, Verdict::Bad).opened.is_none());
    }
    let work = sim.end(1, Verdict::Bad);
    assert_eq!(work.opened, Some(10 * SECOND));
    assert_eq!(work.put_back.len(), 4, "what waits goes back to the store");
    for _ in 0..11 {
        let late = sim.end(1, Verdict::Bad);
        assert!(late.opened.is_none() && late.run.is_empty(), "attempts from before say nothing new");
    }
    assert!(sim.offer(1, "a").is_none());
    assert_eq!(sim.lanes.plan(vec![lane(1)], 10, sim.now).park, [(lane(1), 10 * SECOND)]);
    sim.now += 10 * SECOND;
    let plan = sim.lanes.plan(vec![lane(1)], 10, sim.now);
    assert_eq!(plan.claim, [(lane(1), 1)], "one probe");
    sim.lanes.claimed(&plan, &HashMap::from([(lane(1), 1)]), 10, &[lane(1)], sim.now);
    assert_eq!(sim.lanes.push(lane(1), (1, "a"), |delivery| delivery.1, sim.now).run.len(), 1);
    assert!(sim.lanes.plan(vec![lane(1)], 10, sim.now).claim.is_empty(), "and no second one");
    sim.end(1, Verdict::Bad);
    assert_eq!(sim.lanes.plan(vec![lane(1)], 10, sim.now).park, [(lane(1), 20 * SECOND)], "twice as long");
    sim.now += 20 * SECOND;
    let plan = sim.lanes.plan(vec![lane(1)], 10, sim.now);
    sim.lanes.claimed(&plan, &HashMap::from([(lane(1), 1)]), 10, &[lane(1)], sim.now);
    sim.lanes.push(lane(1), (1, "a"), |delivery| delivery.1, sim.now);
    assert!(sim.end(1, Verdict::Good).claim, "closed: the store is asked for more");
    assert_eq!(sim.lanes.plan(Vec::new(), 10, sim.now).claim, [(lane(1), 4)]);
}

#[test]
fn a_probe_that_failed_because_of_us_is_made_again() {
    let mut sim = Sim::new(bounds());
    for _ in 0..5 {
        assert!(sim.offer(1, "a").is_some());
        sim.end(1, Verdict::Bad);
    }
    assert!(sim.offer(1, "a").is_none());
    sim.now += 10 * SECOND;
    assert_eq!(sim.offer(1, "a").map(|run| run.len()), Some(1));
    sim.end(1, Verdict::None);
    assert_eq!(sim.offer(1, "a").map(|run| run.len()), Some(1));
}

#[test]
fn a_host_has_a_cap_over_all_lanes_and_takes_them_in_turn() {
    let mut sim = Sim::new(Bounds { per_host: 8, ..bounds() });
    for number in 0..4 {
        flood(&mut sim, number, "shared", 10);
    }
    assert_eq!(sim.in_flight(), 8);
    let other = sim.offer(9, "other").map(|run| run.len());
    assert_eq!(other, Some(1), "another host is not held up");
    let mut served: BTreeMap<u32, u32> = BTreeMap::new();
    let mut flying: VecDeque<u32> = [0, 0, 0, 0, 1, 1, 1, 1].into();
    for _ in 0..24 {
        let ended = flying.pop_front().unwrap();
        for (number, _) in sim.end(ended, Verdict::Good).run {
            *served.entry(number).or_default() += 1;
            flying.push_back(number);
        }
    }
    assert_eq!(served.values().sum::<u32>(), 24);
    assert!(served.values().all(|count| *count >= 4), "each lane has had its turns: {served:?}");
}

#[test]
fn a_hosts_tokens_come_back_with_time() {
    let mut sim = Sim::new(Bounds { host_per_second: Some(2), ..bounds() });
    assert_eq!(flood(&mut sim, 1, "a", 4), (2, 2, 0));
    let wait = sim.lanes.next_token(sim.now).unwrap();
    assert!(wait <= SECOND / 2 && !wait.is_zero());
    assert!(sim.lanes.dispatch(sim.now).run.is_empty());
    sim.now += wait;
    assert_eq!(sim.lanes.dispatch(sim.now).run.len(), 1);
    sim.now += SECOND;
    assert_eq!(sim.lanes.dispatch(sim.now).run.len(), 1);
    assert_eq!(sim.lanes.next_token(sim.now), None);
}

#[test]
fn black_holes_never_hold_more_than_half_however_many_there_are() {
    let mut sim = Sim::new(bounds());
    sim.prove(0, "good");
    const HOSTS: [&str; 40] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
        "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35", "36", "37",
        "38", "39",
    ];
    let mut held = 0;
    for (number, host) in (1..).zip(HOSTS) {
        let (fly, stay, _) = flood(&mut sim, number, host, 8);
        held += fly + stay;
    }
    assert_eq!(held, 64);
    assert_eq!(flood(&mut sim, 0, "good", 16).0, 16, "who has answered before is not held up");
    // Their deliveries in the store wait for one of them to end.
    let plan = sim.lanes.plan(vec![lane(40)], 10, sim.now);
    assert_eq!((plan.claim.len(), plan.park.len()), (0, 1));
    sim.end(1, Verdict::Bad);
    assert_eq!(sim.lanes.plan(Vec::new(), 10, sim.now).claim, [(lane(40), 1)]);
}

#[test]
fn a_backlog_in_the_store_is_taken_lane_by_lane_in_turns() {
    let mut sim = Sim::new(Bounds { total: 1000, ..bounds() });
    let offered: Vec<LaneId> = (0..100).map(lane).collect();
    let first = sim.lanes.plan(offered.clone(), 40, sim.now);
    assert_eq!(first.claim.len(), 10);
    assert!(first.claim.iter().all(|(_, count)| *count == 4));
    let counts = first.claim.iter().copied().collect();
    let more: Vec<LaneId> = first.claim.iter().map(|(lane, _)| *lane).collect();
    sim.lanes.claimed(&first, &counts, 400, &more, sim.now);
    let second = sim.lanes.plan(Vec::new(), 40, sim.now);
    assert!(second.claim.iter().all(|(lane, _)| !more.contains(lane)), "those that were left out are next");
    assert_eq!(second.claim.len(), 10);
}

#[test]
fn beside_a_backlog_in_the_store_new_deliveries_only_fill_what_would_stand_idle() {
    let mut sim = Sim::new(bounds());
    sim.prove(1, "a");
    sim.lanes.has_more_in_store(lane(1), sim.now);
    assert_eq!(flood(&mut sim, 1, "a", 100), (16, 0, 84));
    assert_eq!(sim.lanes.plan(Vec::new(), 100, sim.now).claim, [(lane(1), 16)], "the backlog has its turns");
}

#[test]
fn room_that_is_not_used_comes_back_and_bytes_are_bounded() {
    let mut sim = Sim::new(Bounds { bytes: 25, ..bounds() });
    assert!(sim.lanes.reserve(lane(1), 10, sim.now));
    assert!(sim.lanes.reserve(lane(2), 10, sim.now));
    assert!(!sim.lanes.reserve(lane(3), 10, sim.now));
    sim.lanes.give_back(lane(1), 10);
    assert!(sim.lanes.reserve(lane(3), 10, sim.now));
    sim.lanes.give_back(lane(2), 10);
    sim.lanes.give_back(lane(3), 10);
    assert!(sim.lanes.reserve(lane(4), 1000, sim.now), "one payload larger than everything still goes, alone");
    assert!(!sim.lanes.reserve(lane(5), 1, sim.now));
}

#[test]
fn the_table_of_lanes_is_bounded() {
    let mut sim = Sim::new(Bounds { lanes_max: 50, ..bounds() });
    for number in 0..1000 {
        assert!(sim.offer(number, "a").is_some());
        sim.end(number, if number % 2 == 0 { Verdict::Good } else { Verdict::Bad });
    }
    assert!(sim.lanes.counts(sim.now).lanes <= 50);
}

proptest::proptest! {
    /// Whatever happens in whatever order: no bound is broken, and at the end nothing is held.
    #[test]
    fn no_history_breaks_a_bound(steps in proptest::collection::vec((0_u32..6, 0_u8..8, 0_u64..3000), 1..400)) {
        let bounds = Bounds { per_lane: 3, per_host: 5, total: 8, ..bounds() };
        let mut sim = Sim::new(bounds);
        let hosts = ["a", "b"];
        let mut flying: Vec<u32> = Vec::new();
        for (number, what, wait) in steps {
            sim.now += Duration::from_millis(wait);
            match what {
                0..=3 => {
                    if let Some(run) = sim.offer(number, hosts[number as usize % 2]) {
                        flying.extend(run.into_iter().map(|(number, _)| number));
                    }
                }
                what => if let Some(ended) = flying.pop() {
                    let verdict = [Verdict::Good, Verdict::Bad, Verdict::Bad, Verdict::None][usize::from(what - 4)];
                    let work = sim.end(ended, verdict);
                    sim.lanes.release_bytes(work.put_back.len() * 10);
                    flying.extend(work.run.into_iter().map(|(number, _)| number));
                }
            }
            proptest::prop_assert_eq!(sim.in_flight() as usize, flying.len());
            proptest::prop_assert!(flying.len() <= 8);
            for number in 0..6 {
                proptest::prop_assert!(flying.iter().filter(|flying| **flying == number).count() <= 3);
            }
            for host in 0..2 {
                proptest::prop_assert!(flying.iter().filter(|flying| *flying % 2 == host).count() <= 5);
            }
        }
        for _ in 0..10_000 {
            let Some(ended) = flying.pop() else { break };
            let work = sim.end(ended, Verdict::Good);
            flying.extend(work.run.into_iter().map(|(number, _)| number));
        }
        let counts = sim.lanes.counts(sim.now);
        proptest::prop_assert_eq!((counts.in_flight, counts.waiting), (0, 0));
    }
}
