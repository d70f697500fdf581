//! What stands in for the host when a handler's own tests run natively.

mod outside;
mod steps;

use std::{cell::RefCell, collections::BTreeMap, fmt::Display};

pub use self::steps::CommittedStep;
use self::{outside::Outside, steps::Steps};
use crate::{Head, Headers, Level, Request};

/// 2026-01-01T00:00:00Z: where the clock of a test stands until it is moved.
pub const START_MS: u64 = 1_767_225_600_000;

/// The head that [`Context::test`](crate::Context::test) has: a `POST` of JSON, first attempt, 30 s to run.
#[must_use]
pub fn head() -> Head {
    Head {
        id: "req_test".to_owned(),
        owner: "demo".to_owned(),
        api: "test".to_owned(),
        consumer: "consumer-test".to_owned(),
        attempt: 1,
        method: "POST".to_owned(),
        path: String::new(),
        query: None,
        headers: [("content-type", "application/json")].into_iter().collect::<Headers>(),
        deadline_ms: START_MS + 30_000,
        attributes: Vec::new(),
    }
}

/// A request with that head and this body.
#[must_use]
pub fn request(body: impl Into<Vec<u8>>) -> Request {
    Request::new(head(), body)
}

/// One line that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The message, formatted.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// One report of progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressReport {
    /// How far, if that is known.
    pub percent: Option<u8>,
    /// What the run is at.
    pub message: String,
}

/// Records what a handler told the host, and answers what it asks.
#[derive(Debug, Default)]
pub struct Recorder {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    logs: Vec<LogLine>,
    progress: Vec<ProgressReport>,
    config: BTreeMap<String, String>,
    now_ms: u64,
    cancelled: bool,
    random_calls: usize,
    random: u64,
    outside: Outside,
    steps: Steps,
}

impl Default for State {
    fn default() -> Self {
        Self {
            logs: Vec::new(),
            progress: Vec::new(),
            config: BTreeMap::new(),
            now_ms: START_MS,
            cancelled: false,
            random_calls: 0,
            random: 0,
            outside: Outside::default(),
            steps: Steps::default(),
        }
    }
}

impl Recorder {
    /// Every line logged so far, oldest first.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.state.borrow().logs.clone()
    }

    /// Every report of progress so far, oldest first. A real host may drop some.
    #[must_use]
    pub fn progress(&self) -> Vec<ProgressReport> {
        self.state.borrow().progress.clone()
    }

    /// How often the handler asked the host for random bytes.
    #[must_use]
    pub fn random_calls(&self) -> usize {
        self.state.borrow().random_calls
    }

    /// Moves the clock; it stands still otherwise. Milliseconds since 1970.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.state.borrow_mut().now_ms = now_ms;
    }

    /// Lets the handler see that the consumer has cancelled.
    pub fn cancel(&self) {
        self.state.borrow_mut().cancelled = true;
    }

    pub(crate) fn set_config(&self, key: &str, value: &str) {
        self.state.borrow_mut().config.insert(key.to_owned(), value.to_owned());
    }

    pub(crate) fn log(&self, level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
        self.state.borrow_mut().logs.push(LogLine { level, message: message.to_owned(), fields });
    }

    pub(crate) fn report(&self, percent: Option<u8>, message: &str) {
        self.state.borrow_mut().progress.push(ProgressReport { percent, message: message.to_owned() });
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.state.borrow().cancelled
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.state.borrow().now_ms
    }

    /// splitmix64 from zero: the same in every run, so that a failing test fails again.
    pub(crate) fn random(&self, bytes: u32) -> Vec<u8> {
        let mut state = self.state.borrow_mut();
        state.random_calls += 1;
        let words = bytes.div_ceil(8);
        let mut out = Vec::new();
        for _ in 0..words {
            state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state.random;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            out.extend((word ^ (word >> 31)).to_le_bytes());
        }
        out.truncate(bytes as usize);
        out
    }

    pub(crate) fn config(&self, key: &str) -> Option<String> {
        self.state.borrow().config.get(key).cloned()
    }
}
