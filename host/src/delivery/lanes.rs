//! Who may be sent to now: endpoints apart from each other, and none of them everything.
//!
//! A lane is one endpoint of one consumer's. It has a cap of attempts in flight that grows with successes and halves
//! with failures, a breaker that leaves one probe at a time, and a short waiting room in memory; what does not fit
//! waits in the store, where a lane is one entry however long its backlog is. Above the lanes: a cap and a token
//! bucket for each host over all consumers, a cap in all, and half of that, flying or waiting, for lanes that have not
//! proven themselves: a thousand black holes never hold more than that. Lanes take turns, one delivery each.
//!
//! Nothing here waits or sends; the time is an argument.

mod lane;
#[cfg(test)]
mod tests;

use lane::{Host, Lane};
use ripost_domain::delivery::LaneId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many, of what.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// In flight for one lane.
    pub(crate) per_lane: u32,
    /// In flight for one host.
    pub(crate) per_host: u32,
    /// In flight in all.
    pub(crate) total: u32,
    /// Payload bytes in memory, in flight and waiting.
    pub(crate) bytes: usize,
    /// Attempts a second for one host over all consumers; `None`: as many as there are.
    pub(crate) host_per_second: Option<u32>,
    /// Failures in a row that open a breaker.
    pub(crate) breaker_failures: u32,
    /// The wait before its first probe; doubles with each that fails.
    pub(crate) breaker_wait: Duration,
    /// And no longer than this.
    pub(crate) breaker_wait_max: Duration,
    /// Lanes that are remembered.
    pub(crate) lanes_max: usize,
}

/// Waits in memory for its turn, for one lane; what is beyond waits in the store.
const WAITING_PER_LANE: u32 = 64;
/// A lane begins with this many in flight: most endpoints need no more, and a dead one holds no more.
const FIRST_CAP: u32 = 4;

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad,
    /// Nothing: the failure was ours, or it wants no more.
    None,
}

/// What is to be done after something changed.
#[derive(Debug)]
pub(crate) struct Work<T> {
    /// To be sent now; each is in flight already.
    pub(crate) run: Vec<T>,
    /// To be put back into the store, not before the time.
    pub(crate) put_back: Vec<(T, Duration)>,
    /// A breaker has opened, and for how long.
    pub(crate) opened: Option<Duration>,
    /// Lanes with more in the store have room.
    pub(crate) claim: bool,
    /// Something waits for a host's token.
    pub(crate) dry: bool,
}

impl<T> Default for Work<T> {
    fn default() -> Self {
        Self { run: Vec::new(), put_back: Vec::new(), opened: None, claim: false, dry: false }
    }
}

/// From which lanes to claim how many, and which not to offer for a while.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) claim: Vec<(LaneId, u32)>,
    pub(crate) park: Vec<(LaneId, Duration)>,
    pub(crate) bytes: usize,
}

/// Numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) lanes: usize,
    pub(crate) in_flight: u32,
    pub(crate) waiting: u32,
    pub(crate) breakers_open: usize,
}

/// All lanes.
pub(crate) struct Lanes<T> {
    bounds: Bounds,
    lanes: HashMap<LaneId, Lane<T>>,
    hosts: HashMap<Arc<str>, Host>,
    /// Lanes with something that waits in memory and that nothing of their own holds back.
    ready: VecDeque<LaneId>,
    /// Unproven lanes with more in the store, for which the share of the unproven has no room.
    starved: VecDeque<LaneId>,
    /// Lanes with more in the store, and room for it.
    hungry: VecDeque<LaneId>,
    /// Hosts whose bucket is empty, by when it is not.
    dry: Vec<Arc<str>>,
    in_flight: u32,
    admitted: u32,
    /// Of those, what was admitted for lanes that had not proven themselves.
    unproven: u32,
    bytes: usize,
}

impl<T> Lanes<T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: HashMap::new(),
            hosts: HashMap::new(),
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            hungry: VecDeque::new(),
            dry: Vec::new(),
            in_flight: 0,
            admitted: 0,
            unproven: 0,
            bytes: 0,
        }
    }

    fn admitted_max(&self) -> u32 {
        // As many may wait as may fly: a burst is absorbed, a backlog is not.
        self.bounds.total.saturating_mul(2)
    }

    /// How many more may come for lanes that have not proven themselves.
    fn unproven_left(&self) -> u32 {
        (self.bounds.total / 2).max(1).saturating_sub(self.unproven)
    }

    /// One of a lane's is no longer here.
    fn let_go(&mut self, id: LaneId) {
        self.admitted = self.admitted.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.unproven > 0
        {
            lane.unproven -= 1;
            self.unproven = self.unproven.saturating_sub(1);
            if let Some(starved) = self.starved.pop_front() {
                self.hungry.push_back(starved);
            }
        }
    }

    /// Room for one more delivery of `lane`; it has to be used or given back.
    pub(crate) fn reserve(&mut self, id: LaneId, bytes: usize, now: Instant) -> bool {
        let fits =
            self.admitted < self.admitted_max() && (self.admitted == 0 || self.bytes + bytes <= self.bounds.bytes);
        if !fits {
            return false;
        }
        self.make_room_for_a_lane(id);
        let unproven_left = self.unproven_left();
        let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(FIRST_CAP.min(self.bounds.per_lane), now));
        // While some of its deliveries wait in the store, new ones only fill what would stand idle.
        if lane.room(now) == 0 || (lane.in_store && !lane.has_idle_cap()) {
            return false;
        }
        if !lane.proven {
            if unproven_left == 0 {
                return false;
            }
            lane.unproven += 1;
            self.unproven += 1;
        }
        lane.reserved += 1;
        self.admitted += 1;
        self.bytes += bytes;
        true
    }

    /// A reservation that was not used.
    pub(crate) fn give_back(&mut self, id: LaneId, bytes: usize) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.reserved = lane.reserved.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.let_go(id);
        }
    }

    /// Uses a reservation; what may be sent now is returned, not always this one.
    pub(crate) fn push(&mut self, id: LaneId, delivery: T, host_of: impl Fn(&T) -> &str, now: Instant) -> Work<T> {
        let host = host_of(&delivery);
        if !self.hosts.contains_key(host) {
            self.hosts.insert(host.into(), Host::new(self.bounds.host_per_second, now));
        }
        let host = self.hosts.get_key_value(host).map(|(name, _)| name.clone());
        let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(1, now));
        lane.reserved = lane.reserved.saturating_sub(1);
        lane.host = host;
        lane.waiting.push_back(delivery);
        if lane.waiting.len() == 1 && lane.may_fly(now) && !lane.queued {
            lane.queued = true;
            self.ready.push_back(id);
        }
        self.dispatch(now)
    }

    /// The store has more deliveries of this lane that are due.
    pub(crate) fn has_more_in_store(&mut self, id: LaneId, now: Instant) {
        self.make_room_for_a_lane(id);
        let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(FIRST_CAP.min(self.bounds.per_lane), now));
        lane.in_store = true;
        if !lane.hungry && lane.room_for_claim(now) > 0 {
            lane.hungry = true;
            self.hungry.push_back(id);
        }
    }

    /// Which lanes to claim from: those that are known to have more, then those that the store offers. Room is
    /// reserved for what may come; [`Lanes::claimed`] gives the rest back.
    pub(crate) fn plan(&mut self, offered: Vec<LaneId>, limit: u32, now: Instant) -> Plan {
        let mut plan = Plan { bytes: self.bounds.bytes.saturating_sub(self.bytes).max(1), ..Plan::default() };
        let known: Vec<LaneId> = (0..self.hungry.len()).filter_map(|_| self.hungry.pop_front()).collect();
        for id in &known {
            if let Some(lane) = self.lanes.get_mut(id) {
                lane.hungry = false;
            }
        }
        let mut unproven_left = self.unproven_left();
        let mut left = limit.min(self.admitted_max().saturating_sub(self.admitted));
        for (index, id) in known.into_iter().chain(offered).enumerate() {
            self.make_room_for_a_lane(id);
            let lane = self.lanes.entry(id).or_insert_with(|| Lane::new(FIRST_CAP.min(self.bounds.per_lane), now));
            if plan.claim.iter().take(index).any(|(planned, _)| *planned == id) {
                continue;
            }
            if let Some(wait) = lane.closed_for(now) {
                plan.park.push((id, wait));
                continue;
            }
            let starves = !lane.proven && unproven_left == 0;
            let most = if lane.proven { left } else { left.min(unproven_left) };
            let room = lane.room_for_claim(now).min(most);
            if starves && lane.room_for_claim(now) > 0 {
                lane.in_store = true;
                if !lane.hungry {
                    // In one of the two queues: its turn comes when one of the unproven has ended.
                    lane.hungry = true;
                    self.starved.push_back(id);
                }
                plan.park.push((id, Duration::from_secs(30)));
                continue;
            }
            if room == 0 {
                // Its own attempts bring it back when they end, or the next claim does.
                lane.in_store = true;
                if left == 0 && !lane.hungry && lane.room_for_claim(now) > 0 {
                    lane.hungry = true;
                    self.hungry.push_back(id);
                } else {
                    plan.park.push((id, Duration::from_secs(30)));
                }
                continue;
            }
            if !lane.proven {
                lane.unproven += room;
                self.unproven += room;
                unproven_left -= room;
            }
            lane.reserved += room;
            self.admitted += room;
            left -= room;
            plan.claim.push((id, room));
        }
        plan
    }

    /// What a plan's claim brought: `counts` deliveries of each lane are about to be pushed, with `bytes` in all.
    pub(crate) fn claimed(
        &mut self,
        plan: &Plan,
        counts: &HashMap<LaneId, u32>,
        bytes: usize,
        more: &[LaneId],
        now: Instant,
    ) {
        for (id, reserved) in &plan.claim {
            let unused = reserved.saturating_sub(counts.get(id).copied().unwrap_or(0));
            if let Some(lane) = self.lanes.get_mut(id) {
                lane.reserved = lane.reserved.saturating_sub(unused);
                lane.in_store = false;
            }
            (0..unused).for_each(|_| self.let_go(*id));
        }
        self.bytes += bytes;
        for id in more {
            self.has_more_in_store(*id, now);
        }
    }

    /// Somebody asks for a delivery: an open breaker lets its probe go now.
    pub(crate) fn probe_now(&mut self, id: LaneId, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.probe_now(now);
        }
    }

    /// An attempt has ended.
    pub(crate) fn ended(&mut self, id: LaneId, bytes: usize, verdict: Verdict, now: Instant) -> Work<T> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.let_go(id);
        self.bytes = self.bytes.saturating_sub(bytes);
        let mut opened = None;
        let mut put_back = Vec::new();
        if let Some(lane) = self.lanes.get_mut(&id) {
            opened = lane.ended(verdict, &self.bounds, now);
            if let Some(host) = lane.host.as_ref().and_then(|host| self.hosts.get_mut(host)) {
                host.in_flight = host.in_flight.saturating_sub(1);
                // One has ended, one may begin.
                self.ready.extend(host.blocked.pop_front());
            }
            if let Some(wait) = lane.closed_for(now) {
                put_back.extend(lane.waiting.drain(..).map(|delivery| (delivery, wait)));
            } else {
                if !lane.waiting.is_empty() && lane.may_fly(now) && !lane.queued {
                    lane.queued = true;
                    self.ready.push_back(id);
                }
                if lane.in_store && !lane.hungry && lane.room_for_claim(now) > 0 {
                    lane.hungry = true;
                    self.hungry.push_back(id);
                }
            }
        }
        put_back.iter().for_each(|_| self.let_go(id));
        if let Some(lane) = self.lanes.get_mut(&id)
            && lane.is_idle()
        {
            // A lane that is only remembered keeps no room for deliveries.
            lane.waiting = VecDeque::new();
        }
        let mut work = self.dispatch(now);
        work.opened = opened;
        work.put_back = put_back;
        work
    }

    /// Bytes of deliveries that were put back.
    pub(crate) fn release_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whose turn it is now.
    pub(crate) fn dispatch(&mut self, now: Instant) -> Work<T> {
        let mut work = Work::default();
        self.dry.retain(|name| match self.hosts.get_mut(name) {
            Some(host) => {
                let is_dry = host.wait_for_token(now).is_some();
                if !is_dry {
                    self.ready.extend(host.blocked.drain(..));
                }
                is_dry
            }
            None => false,
        });
        while self.in_flight < self.bounds.total {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            let host = lane.host.as_ref().and_then(|name| Some((name.clone(), self.hosts.get_mut(name)?)));
            let Some((name, host)) = host else { continue };
            if host.in_flight >= self.bounds.per_host {
                host.blocked.push_back(id);
                continue;
            }
            if host.wait_for_token(now).is_some() {
                host.blocked.push_back(id);
                if !self.dry.contains(&name) {
                    self.dry.push(name);
                }
                continue;
            }
            lane.queued = false;
            if !lane.may_fly(now) {
                continue;
            }
            let Some(delivery) = lane.waiting.pop_front() else { continue };
            lane.take_off(now);
            host.take_off(now);
            self.in_flight += 1;
            if !lane.waiting.is_empty() && lane.may_fly(now) {
                lane.queued = true;
                self.ready.push_back(id);
            }
            work.run.push(delivery);
        }
        work.claim = !self.hungry.is_empty();
        work.dry = !self.dry.is_empty();
        work
    }

    /// When [`Lanes::dispatch`] has to be called again though nothing has ended.
    pub(crate) fn next_token(&mut self, now: Instant) -> Option<Duration> {
        let hosts = &mut self.hosts;
        self.dry.iter().filter_map(|name| hosts.get_mut(name)?.wait_for_token(now)).min()
    }

    pub(crate) fn counts(&self, now: Instant) -> Counts {
        Counts {
            lanes: self.lanes.len(),
            in_flight: self.in_flight,
            waiting: self.admitted.saturating_sub(self.in_flight),
            breakers_open: self.lanes.values().filter(|lane| lane.closed_for(now).is_some()).count(),
        }
    }

    /// The table is bounded: what is idle is forgotten, healthy lanes first.
    fn make_room_for_a_lane(&mut self, id: LaneId) {
        if self.lanes.len() < self.bounds.lanes_max || self.lanes.contains_key(&id) {
            return;
        }
        self.lanes.retain(|_, lane| !lane.is_idle() || !lane.proven);
        if self.lanes.len() >= self.bounds.lanes_max {
            self.lanes.retain(|_, lane| !lane.is_idle());
        }
        self.hosts.retain(|_, host| host.in_flight > 0 || !host.blocked.is_empty());
    }
}
