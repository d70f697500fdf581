//! Named points between durable steps, where a crash test stops the process for good.
//!
//! With the feature `failpoints` and `RIPOST_FAILPOINT=name` (or `name:3`, the third time it is reached) the thread
//! that reaches the point prints `reached name` on standard error and never goes on; the test then kills the process.
//! `name:3:panic` panics there in place of that.
//! Without the feature a point is nothing at all.

/// The environment variable that names the point.
pub const VARIABLE: &str = "RIPOST_FAILPOINT";

/// Every point there is: one between each two durable steps. A crash test kills the host at each of them.
pub const NAMES: &[&str] = &[
    // accept: request, hold, idempotency key
    "accept.before_transaction",
    "accept.before_commit",
    "accept.after_commit",
    "accept.before_answer",
    // a priced call that is answered on its own connection
    "direct.before_commit",
    "direct.after_commit",
    // a run
    "run.before_claim_commit",
    "run.after_claim_commit",
    "run.before_handler",
    "run.after_handler",
    // a call of a run to the outside: it will be sent, it has ended
    "journal.before_intent_commit",
    "journal.after_intent_commit",
    "journal.before_done_commit",
    "journal.after_done_commit",
    // a step of a run
    "step.before_commit",
    "step.after_commit",
    // a run that is to be repeated
    "run_again.before_commit",
    "run_again.after_commit",
    // an upstream that will call back
    "callback.before_await_commit",
    "callback.after_await_commit",
    // finish: outcome, capture or release, delivery
    "finish.after_result_file",
    "finish.before_commit",
    "finish.after_commit",
    // an attempt of a delivery
    "delivery.before_claim_commit",
    "delivery.after_claim_commit",
    "delivery.before_send",
    "delivery.after_send",
    "delivery.before_add_commit",
    "delivery.after_add_commit",
    "delivery.before_redeliver_commit",
    "delivery.after_redeliver_commit",
    // a payload that could not be made at first
    "delivery.before_make_commit",
    "delivery.after_make_commit",
    "record.before_commit",
    "record.after_commit",
    // a revision
    "revision.before_rename",
    "revision.after_rename",
    "revision.before_swap",
    // back to the revision before: written down, requests moved, written down that they are
    "rollback.after_record",
    "rollback.before_repin",
    "rollback.after_repin",
    // a push: kept, written down, made ready
    "push.before_record",
    "push.after_record",
    // a stop: written down, requests ended
    "stop.after_record",
    // what is old goes: rows, then files
    "retention.before_commit",
    "retention.after_commit",
    // a consumer
    "consumer.before_commit",
    "consumer.after_commit",
    // a credit or a debit
    "adjust.before_commit",
    "adjust.after_commit",
];

/// Stops here for good if this is the point that the environment names.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static WANTED: OnceLock<Option<(String, u32, bool)>> = OnceLock::new();
    static REACHED: AtomicU32 = AtomicU32::new(0);
    debug_assert!(NAMES.contains(&name), "a failpoint that is not in the list");
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let mut parts = text.split(':');
        let name = parts.next()?.to_owned();
        let nth = parts.next().and_then(|nth| nth.parse().ok()).unwrap_or(1);
        Some((name, nth, parts.next() == Some("panic")))
    });
    let Some((wanted, nth, panics)) = wanted else { return };
    if wanted == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
        eprintln!("reached {name}");
        assert!(!panics, "the failpoint {name} panics");
        loop {
            std::thread::park();
        }
    }
}

/// Nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}
