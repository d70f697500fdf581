//! What is known of an exchange besides its result: where its time went, and whom it reached.

use super::error::Phase;
use http::StatusCode;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Filled as far as the exchange came, also if it ended in an error or by its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Where the time went.
    pub phases: Phases,
    /// Whether the connection was open already.
    pub reused: bool,
    /// Whether it was sent before on a connection that had been kept, and that ended without a byte of an answer. All else
    /// is of the second connection.
    pub resent: bool,
    /// Whom it was connected to.
    pub peer: Option<SocketAddr>,
    /// `TLSv1.2` or `TLSv1.3`; nothing for plain HTTP.
    pub tls: Option<&'static str>,
}

/// How long each phase took; of the one that was under way at the end, the time until then. A phase that did not take
/// place has none: look-up and connecting on a connection that is reused, a look-up for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Looking the name up.
    pub dns: Option<Duration>,
    /// Opening a TCP connection.
    pub connect: Option<Duration>,
    /// Its TLS handshake.
    pub tls: Option<Duration>,
    /// From sending the request to the whole head of the answer.
    pub first_byte: Option<Duration>,
    /// Reading the answer's body.
    pub body: Option<Duration>,
}

/// How far an exchange has come: what is known of it when its time is over.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) status: Option<StatusCode>,
    pub(super) facts: Facts,
    under_way: Option<(Phase, Instant)>,
}

impl Progress {
    /// The phase before ends where this one begins.
    pub(super) fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        self.end(now);
        self.under_way = Some((phase, now));
    }

    /// What is sent goes by another connection: nothing of the first one counts.
    pub(super) fn start_over(&mut self, resent: bool) {
        *self = Self { facts: Facts { resent, ..Facts::default() }, ..Self::default() };
    }

    pub(super) fn phase(&self) -> Phase {
        self.under_way.map_or(Phase::Head, |(phase, _)| phase)
    }

    pub(super) fn into_facts(mut self) -> Facts {
        self.end(Instant::now());
        self.facts
    }

    fn end(&mut self, now: Instant) {
        let Some((phase, since)) = self.under_way.take() else { return };
        let phases = &mut self.facts.phases;
        let slot = match phase {
            Phase::Dns => &mut phases.dns,
            Phase::Connect => &mut phases.connect,
            Phase::Tls => &mut phases.tls,
            Phase::Head => &mut phases.first_byte,
            Phase::Body => &mut phases.body,
        };
        *slot = Some(now.duration_since(since));
    }
}
