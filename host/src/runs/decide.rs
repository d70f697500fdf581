//! What a run's outcome means for its request. Pure: the table of answers, applied.

use super::capture;
use crate::egress::SendError;
use crate::problem::{Kind, Problem};
use crate::transforms::Stopped;
use bytes::Bytes;
use ripost_domain::api::ApiName;
use ripost_domain::id::RequestId;
use ripost_domain::money::{Amount, Capture};
use ripost_domain::request::{Fault, Verdict, judge, run_backoff};
use ripost_domain::time::Timestamp;
use ripost_runtime::{Failure, Response, RunError, RunOutcome, Writer};
use ripost_store::{Answer, EndOfHold};
use std::time::Duration;

/// The first wait of a run that found no room, and the longest.
const PUT_BACK_PAUSE: Duration = Duration::from_millis(100);
const PUT_BACK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A request's end, before it is turned into rows.
#[derive(Debug)]
pub(super) enum End {
    /// The result, and how much of the hold it costs.
    Completed(Answer, Capture),
    /// It failed; if that was an answer, it stays readable.
    Failed(Problem, Option<Answer>),
    /// The consumer has withdrawn it.
    Cancelled(Problem, EndOfHold),
    /// Its deadline passed.
    Expired(Problem),
}

/// What follows a run.
#[derive(Debug)]
pub(super) enum Decision {
    /// Nothing more.
    End(End),
    /// Another run, not before this.
    RunAgain(Timestamp),
    /// The same, and the upstream has said that it did not take this one: what it was given is good for nothing.
    RunAnew(Timestamp),
    /// The upstream has taken it and will call back.
    Await,
    /// It did not take place because of us: not before this, and not counted.
    PutBack(Timestamp),
}

/// What a decision depends on besides the outcome.
pub(super) struct Context<'a> {
    /// Which request.
    pub(super) id: RequestId,
    /// Which API.
    pub(super) api: &'a ApiName,
    /// What is held for it.
    pub(super) price: Amount,
    /// Who answers it.
    pub(super) by: By,
    /// The number of this run.
    pub(super) attempt: u32,
    /// How many there may be.
    pub(super) max_attempts: u32,
    /// How often it was put back because of us.
    pub(super) put_back: u32,
    /// The request's deadline, by the even clock.
    pub(super) deadline: Timestamp,
    /// Now, by the same.
    pub(super) now: Timestamp,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A component.
    Handler,
    /// A service of the owner's. The consumer is never told where it is.
    Upstream,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Upstream => "upstream",
        }
    }
}

/// The end of a request that its consumer has withdrawn.
pub(super) fn cancelled(hold: EndOfHold) -> End {
    let detail = match hold {
        EndOfHold::Released => "You cancelled this request. The hold was released.",
        EndOfHold::Captured => {
            "You cancelled this request while it ran, and its API charges for that (cancel = \"charged\")."
        }
    };
    End::Cancelled(Problem::new(Kind::Cancelled, detail), hold)
}

/// The end of a request whose deadline passed.
pub(super) fn expired() -> End {
    End::Expired(Problem::new(
        Kind::DeadlineExceeded,
        "The hold was released. Send the request again, or ask the owner for a longer expires_in.",
    ))
}

/// Decides.
pub(super) fn decide(outcome: Result<RunOutcome, Stopped>, context: &Context<'_>) -> Decision {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(stopped) => return untransformed(stopped, context),
    };
    match outcome {
        Ok(Ok(response)) => answered(response, context),
        Ok(Err(failure)) => refused(failure, context),
        // Ours, and none of it took place, or as much as its journal has: it is never failed for that.
        Err(RunError::PoolExhausted(_) | RunError::MemoryBusy(_)) => {
            Decision::PutBack(put_back_until(context.put_back, context.now, context.deadline))
        }
        // Ours: run again, whoever's turn it is.
        Err(error @ RunError::Host(_)) => match run_at(context, None) {
            Some(at) => Decision::RunAgain(at),
            None => Decision::End(End::Failed(broken(&error, context.id, "The hold was released."), None)),
        },
        Err(RunError::WallLimit { .. }) if context.now >= context.deadline => Decision::End(expired()),
        Err(error) => Decision::End(End::Failed(broken(&error, context.id, "The hold was released."), None)),
    }
}

/// The handler answered and the answer cannot be had. Ours: the whole is run again, as far as there are runs left.
fn untransformed(stopped: Stopped, context: &Context<'_>) -> Decision {
    let again = if stopped.is_hosts() { run_at(context, None) } else { None };
    match again {
        Some(at) => Decision::RunAgain(at),
        None => Decision::End(End::Failed(stopped.problem(context.api, "The hold was released."), None)),
    }
}

fn answered(response: Response, context: &Context<'_>) -> Decision {
    let retry_after = response
        .headers
        .iter()
        .find(|(name, _)| name == "retry-after")
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_secs));
    let captured = capture::asked(&response, context.price);
    let answer = Answer { status: response.status, headers: response.headers, body: response.body };
    match judge(answer.status, retry_after) {
        Verdict::Completed => Decision::End(match captured {
            Ok(captured) => End::Completed(answer, captured),
            Err(_) => End::Failed(uncapturable(context.by, "The hold was released; ask the owner."), None),
        }),
        Verdict::RunAgain { after } => again(context, after, Some(answer)),
        // What stands before a service answers 5xx in its place, and it may have the request all the same.
        Verdict::Failed(Fault::Owner) if context.by == By::Upstream => match run_at(context, None) {
            Some(at) => Decision::RunAgain(at),
            None => failed(answer, Fault::Owner, context),
        },
        Verdict::Failed(fault) => failed(answer, fault, context),
    }
}

fn failed(answer: Answer, fault: Fault, context: &Context<'_>) -> Decision {
    let (kind, whose) = match fault {
        Fault::Consumer => {
            (Kind::ConsumerError, "Its answer is under links.result; mend the request and send it again.")
        }
        Fault::Owner => (Kind::OwnerFailed, "Its answer is under links.result. The hold was released; ask the owner."),
    };
    let problem =
        Problem::new(kind, format!("The {} answered with status {}. {whose}", context.by.as_str(), answer.status));
    Decision::End(End::Failed(problem, Some(answer)))
}

/// The owner asked for what cannot be captured. What it was is the owner's to read, in the log of the run.
fn uncapturable(by: By, consequence: &str) -> Problem {
    let detail = format!(
        "The {} answered with an amount to capture that is not between zero and the price. {consequence}",
        by.as_str()
    );
    Problem::new(Kind::CaptureInvalid, detail)
}

/// An answer to a synchronous caller, and how much of the price it costs.
pub(crate) fn direct_answer(response: Response, price: Amount, by: By) -> Result<(Answer, Capture), Problem> {
    let captured =
        capture::asked(&response, price).map_err(|_| uncapturable(by, "It costs nothing; ask the owner."))?;
    Ok((Answer { status: response.status, headers: response.headers, body: response.body }, captured))
}

/// What a synchronous caller gets of a run: there is no second one, so "not now" is for the caller to hear.
pub(crate) fn direct(
    outcome: Result<RunOutcome, Stopped>,
    id: RequestId,
    api: &ApiName,
    price: Amount,
    wall: Duration,
) -> Result<(Answer, Capture), Problem> {
    match outcome.map_err(|stopped| stopped.problem(api, "Nothing was written."))? {
        Ok(Ok(response)) => direct_answer(response, price, By::Handler),
        Ok(Err(Failure::Invalid(problem))) => Err(of_owner(api, problem, 400..=499, 422)),
        Ok(Err(Failure::Failed(problem))) => Err(of_owner(api, problem, 500..=599, 502)),
        Ok(Err(Failure::Retry { after_s, problem })) => {
            let problem = of_owner(api, problem, 500..=599, 503);
            Err(match after_s {
                Some(seconds) => problem.retry_after(Duration::from_secs(seconds.into())),
                None => problem,
            })
        }
        // The run had what its wait had left of it; the caller knows the whole.
        Err(RunError::WallLimit { .. }) => {
            let error = RunError::WallLimit { limit: wall };
            Err(Problem::new(Kind::DeadlineExceeded, format!("{}.", sentence(&error.public()))))
        }
        Err(error @ RunError::PoolExhausted(_)) => {
            let detail = format!("{}. Nothing was done; send it again.", sentence(&error.public()));
            Err(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(1)))
        }
        Err(error @ RunError::MemoryBusy(_)) => {
            let public = sentence(&error.public());
            let detail = format!("{public}. It had begun; send the call again if doing it twice does no harm.");
            Err(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(1)))
        }
        Err(error) => Err(broken(&error, id, "Nothing was charged.")),
    }
}

fn of_owner(
    api: &ApiName,
    problem: ripost_runtime::Problem,
    allowed: std::ops::RangeInclusive<u16>,
    default: u16,
) -> Problem {
    let status = problem.status.filter(|status| allowed.contains(status)).unwrap_or(default);
    Problem::of_owner(api.owner.as_str(), status, problem)
}

fn refused(failure: Failure, context: &Context<'_>) -> Decision {
    let of_owner = |problem, allowed, default| of_owner(context.api, problem, allowed, default);
    match failure {
        Failure::Invalid(problem) => Decision::End(End::Failed(of_owner(problem, 400..=499, 422), None)),
        Failure::Failed(problem) => Decision::End(End::Failed(of_owner(problem, 500..=599, 502), None)),
        Failure::Retry { after_s, problem } => {
            let after = after_s.map(|seconds| Duration::from_secs(seconds.into()));
            match run_at(context, after) {
                Some(at) => Decision::RunAgain(at),
                None => Decision::End(End::Failed(of_owner(problem, 500..=599, 503), None)),
            }
        }
    }
}

/// When the next run is due; `None`: no run is left, or it would begin after the deadline.
fn run_at(context: &Context<'_>, after: Option<Duration>) -> Option<Timestamp> {
    let at = context.now.after(after.unwrap_or_else(|| run_backoff(context.attempt)));
    (context.attempt < context.max_attempts && at < context.deadline).then_some(at)
}

/// When there may be room: twice as long each time, and at the deadline at the latest, where it expires.
pub(super) fn put_back_until(put_back: u32, now: Timestamp, deadline: Timestamp) -> Timestamp {
    let pause = PUT_BACK_PAUSE.saturating_mul(1 << put_back.min(16)).min(PUT_BACK_PAUSE_MAX);
    now.after(pause).min(deadline)
}

fn again(context: &Context<'_>, after: Option<Duration>, answer: Option<Answer>) -> Decision {
    run_at(context, after).map_or_else(
        || {
            let detail = format!(
                "It asked to be run again, and this was run {} of {}. The hold was released.",
                context.attempt, context.max_attempts
            );
            Decision::End(End::Failed(Problem::new(Kind::OwnerUnavailable, detail), answer))
        },
        |at| match context.by {
            By::Handler => Decision::RunAgain(at),
            By::Upstream => Decision::RunAnew(at),
        },
    )
}

/// What follows when an upstream gave no answer. It may have the request: its callback stays welcome.
pub(super) fn unanswered(error: &SendError, context: &Context<'_>) -> Decision {
    if error.is_ours() {
        return Decision::PutBack(put_back_until(context.put_back, context.now, context.deadline));
    }
    if context.now >= context.deadline {
        return Decision::End(expired());
    }
    if let Some(at) = run_at(context, None) {
        return Decision::RunAgain(at);
    }
    let detail = format!(
        "The upstream gave no answer ({}), and this was run {} of {}. The hold was released; ask the owner.",
        error.public_class(),
        context.attempt,
        context.max_attempts
    );
    Decision::End(End::Failed(Problem::new(Kind::UpstreamFailed, detail), None))
}

/// The end of a request that cannot be forwarded as it is.
pub(super) fn not_forwarded(reason: &str) -> End {
    let detail = format!("It cannot be forwarded: {reason}. Mend the path and send it again.");
    End::Failed(Problem::new(Kind::ConsumerError, detail), None)
}

/// The end of a request whose upstream answered what cannot be used.
pub(super) fn unusable(reason: &str) -> End {
    let detail = format!("The upstream's answer cannot be used: {reason}. The hold was released; ask the owner.");
    End::Failed(Problem::new(Kind::ResponseInvalid, detail), None)
}

/// What an answer that came by a callback means: there is no other run, because it was taken.
pub(super) fn called_back(outcome: Result<Response, Stopped>, context: &Context<'_>) -> Option<End> {
    let decision = match outcome {
        Err(stopped) if stopped.is_hosts() => return None,
        outcome => {
            decide(outcome.map(|response| Ok(Ok(response))), &Context { max_attempts: context.attempt, ..*context })
        }
    };
    match decision {
        Decision::End(end) => Some(end),
        Decision::RunAgain(_) | Decision::RunAnew(_) | Decision::PutBack(_) | Decision::Await => None,
    }
}

/// The problem of a run that ended without an answer. It names a limit and its value; what the guest said is in the log
/// of the run, for its owner.
fn broken(error: &RunError, id: RequestId, consequence: &str) -> Problem {
    let told = sentence(&error.public());
    let cause = match error.is_owners() {
        true => format!("The owner of the API finds the cause with `ripost runs {id}`."),
        false => "The operator finds the cause in the gateway's log.".to_owned(),
    };
    Problem::new(kind_of(error), format!("{told}. {consequence} {cause}"))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn kind_of(error: &RunError) -> Kind {
    match error {
        RunError::CpuLimit { .. } => Kind::CpuLimit,
        RunError::MemoryLimit { .. } => Kind::MemoryLimit,
        RunError::WallLimit { .. } => Kind::WallLimit,
        RunError::StackOverflow => Kind::StackOverflow,
        RunError::TableLimit { .. } | RunError::HostcallLimit { .. } => Kind::ResourceLimit,
        RunError::ResponseTooLarge { .. } | RunError::InvalidResponse(_) => Kind::ResponseInvalid,
        RunError::Trap { .. } | RunError::Exit { .. } => Kind::HandlerTrapped,
        RunError::Transform(error) => kind_of(error),
        RunError::PoolExhausted(_) | RunError::MemoryBusy(_) | RunError::Host(_) => Kind::Internal,
    }
}

/// The problem of a request whose runs all ended with the process that ran them.
pub(super) fn lost(attempts: u32) -> End {
    let detail =
        format!("{attempts} runs began and none came back. The hold was released; the operator finds more in the log.");
    End::Failed(Problem::new(Kind::RunLost, detail), None)
}

/// The end of a request whose plugin the operator has stopped.
pub(super) fn stopped() -> End {
    let detail = "The operator stopped the plugin before the request had ended. The hold was released. Send it again once the API answers.";
    End::Failed(Problem::new(Kind::PluginStopped, detail), None)
}

/// The problem of a request whose revision cannot be loaded any more. Why not is in the log: it may name folders of this
/// machine, and nothing that the consumer could do.
pub(super) fn unavailable() -> End {
    let detail = "The code that was to answer it is no longer there. The hold was released. Send it again; if that fails too, ask the operator.";
    End::Failed(Problem::new(Kind::RevisionUnavailable, detail), None)
}

/// The bytes of logs as they are kept: one JSON object a line.
pub(super) fn log_lines(logs: &[ripost_runtime::LogLine], dropped: u64) -> Bytes {
    let mut lines = Vec::new();
    for line in logs {
        let fields: serde_json::Map<_, _> =
            line.fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let mut json = serde_json::json!({ "level": line.level.as_str(), "message": line.message, "fields": fields });
        if line.by == Writer::Host {
            json["by"] = "host".into();
        }
        lines.extend_from_slice(json.to_string().as_bytes());
        lines.push(b'\n');
    }
    if dropped > 0 {
        lines.extend_from_slice(format!("{{\"dropped\":{dropped}}}\n").as_bytes());
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide_run(outcome: RunOutcome, context: &Context<'_>) -> Decision {
        decide(Ok(outcome), context)
    }

    fn context(attempt: u32) -> Context<'static> {
        static API: std::sync::OnceLock<ApiName> = std::sync::OnceLock::new();
        let api = API.get_or_init(|| ApiName { owner: "demo".parse().unwrap(), slug: "a".parse().unwrap() });
        let now = Timestamp::from_millis(1_000_000);
        Context {
            id: RequestId::from_bytes([7; 16]),
            api,
            price: Amount::from_micros(50_000).unwrap(),
            by: By::Handler,
            attempt,
            max_attempts: 3,
            put_back: 0,
            deadline: now.after(Duration::from_secs(3600)),
            now,
        }
    }

    fn response(status: u16, headers: &[(&str, &'static str)]) -> RunOutcome {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from_static(value.as_bytes()))).collect();
        Ok(Ok(Response { status, headers, body: Bytes::new(), attributes: Vec::new() }))
    }

    #[test]
    fn an_answer_that_says_not_now_is_run_again_until_no_run_is_left() {
        let at = |decision| match decision {
            Decision::RunAgain(at) => at.since(context(1).now),
            other => panic!("{other:?}"),
        };
        assert_eq!(at(decide_run(response(503, &[]), &context(1))), Duration::from_secs(1));
        assert_eq!(at(decide_run(response(500, &[("retry-after", "7")]), &context(2))), Duration::from_secs(7));
        let last = decide_run(response(503, &[]), &context(3));
        assert!(matches!(last, Decision::End(End::Failed(_, Some(Answer { status: 503, .. })))), "{last:?}");
        let too_late = decide_run(response(503, &[("retry-after", "3600")]), &context(1));
        assert!(matches!(too_late, Decision::End(End::Failed(..))), "{too_late:?}");
    }

    #[test]
    fn an_upstreams_5xx_is_tried_again_and_only_its_own_not_now_makes_its_callback_url_worthless() {
        let of = |attempt| Context { by: By::Upstream, ..context(attempt) };
        let seen = |status, headers: &[(&str, &'static str)], attempt| match decide_run(
            response(status, headers),
            &of(attempt),
        ) {
            Decision::RunAgain(_) => "again",
            Decision::RunAnew(_) => "anew",
            Decision::End(End::Completed(..)) => "completed",
            Decision::End(End::Failed(_, Some(_))) => "failed",
            other => panic!("{other:?}"),
        };
        for (status, first, last) in [
            (200, "completed", "completed"),
            (404, "failed", "failed"),
            (500, "again", "failed"),
            (502, "again", "failed"),
            (503, "anew", "failed"),
            (429, "anew", "failed"),
        ] {
            assert_eq!((seen(status, &[], 1), seen(status, &[], 3)), (first, last), "{status}");
        }
        assert_eq!(seen(500, &[("retry-after", "1")], 1), "anew");
        let silent = || SendError::Timeout { phase: crate::egress::Phase::Head, status: None };
        assert!(matches!(unanswered(&silent(), &of(1)), Decision::RunAgain(_)));
        match unanswered(&silent(), &of(3)) {
            Decision::End(End::Failed(problem, None)) => assert!(problem.is(Kind::UpstreamFailed)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(unanswered(&SendError::Shutdown, &of(3)), Decision::PutBack(_)));
        let posted = called_back(Ok(response(503, &[]).unwrap().unwrap()), &of(1));
        assert!(matches!(posted, Some(End::Failed(_, Some(_)))), "what was taken is never forwarded again: {posted:?}");
    }

    #[test]
    fn an_owners_problem_keeps_a_fitting_status_only() {
        let problem = |status| ripost_runtime::Problem {
            kind: "unknown-action".into(),
            title: "No".into(),
            detail: None,
            status,
            attributes: Vec::new(),
        };
        for (given, status) in [(Some(404), 404), (Some(500), 422), (Some(200), 422), (None, 422)] {
            match decide_run(Ok(Err(Failure::Invalid(problem(given)))), &context(1)) {
                Decision::End(End::Failed(problem, None)) => {
                    assert_eq!(problem.status(), status);
                    assert_eq!(problem.kind(), "urn:ripost:owner:demo:problem:unknown-action");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_run_that_is_cut_off_by_the_deadline_expires() {
        let error = || Err(RunError::WallLimit { limit: Duration::from_secs(1) });
        let mut late = context(1);
        late.deadline = late.now;
        assert!(matches!(decide_run(error(), &late), Decision::End(End::Expired(_))));
        assert!(matches!(decide_run(error(), &context(1)), Decision::End(End::Failed(..))));
    }

    #[test]
    fn a_run_that_found_no_room_is_put_back_for_as_long_as_the_request_lives() {
        let grew = decide_run(Err(RunError::MemoryBusy("full".into())), &context(3));
        assert!(matches!(grew, Decision::PutBack(_)), "{grew:?}");
        let pool = || Err(RunError::PoolExhausted("full".into()));
        let pause = |context: &Context<'_>| match decide_run(pool(), context) {
            Decision::PutBack(at) => at.since(context.now),
            other => panic!("{other:?}"),
        };
        let mut context = context(3);
        let pauses = [0, 1, 2, 5, 6, 40, u32::MAX].map(|put_back| {
            context.put_back = put_back;
            pause(&context)
        });
        assert_eq!(pauses.map(|pause| pause.as_millis()), [100, 200, 400, 3200, 5000, 5000, 5000], "no run is used up");
        context.deadline = context.now.after(Duration::from_secs(2));
        assert_eq!(pause(&context), Duration::from_secs(2), "then it expires");
        let host = decide_run(Err(RunError::Host("broken".into())), &context);
        assert!(matches!(host, Decision::End(End::Failed(..))), "{host:?}: counted, and this was the last");
    }
}
