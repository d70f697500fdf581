//! Calls of APIs with `delivery = "off"`: the answer is on the connection that asked. Never `202`; what is not answered
//! within the API's `wall`, waiting for its turn included, is a 504. Of a free call nothing is written. Of a priced one the
//! price is set aside first, and the call is written with its hold, its capture and its result in one transaction before
//! it is answered; unless the answer is none that is paid for, and then nothing is.

use super::Gateway;
use super::answer::{self, REQUEST_ID, request_id_value};
use super::fields::Fields;
use super::limits::Admitted;
use super::pipeline::{Arrived, Call, insufficient};
use crate::plugins::{ActiveApi, Target};
use crate::problem::{Kind, Problem};
use crate::runs::{Asked, NotRun, decide};
use crate::telemetry::metrics;
use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use ripost_domain::id::RequestId;
use ripost_domain::request::{State, Verdict, judge};
use ripost_store::{AcceptError, Consumer, Direct, Ending, Finish, Lease, Reservation};
use std::time::Duration;

/// Refuses what such an API cannot do.
pub(super) fn check(fields: &Fields) -> Result<(), Problem> {
    if fields.webhook_url.is_some() {
        return Err(Problem::new(
            Kind::WebhookUrlInvalid,
            "This API answers at once and sends no webhooks (delivery = \"off\"). Leave webhook_url out.",
        ));
    }
    Ok(())
}

/// No answer before the deadline. With an id, the call is durable and may still end.
pub(super) fn too_late(id: Option<RequestId>) -> Problem {
    let detail = match id {
        Some(_) => {
            "The request goes on; send it again with the same Idempotency-Key, or read its state under requestId."
        }
        None => "Its turn did not come within the API's time limit (`wall`). Send it again later.",
    };
    let problem = Problem::new(Kind::DeadlineExceeded, detail);
    match id {
        Some(id) => problem.with("requestId", id.to_string()),
        None => problem,
    }
}

impl Gateway {
    /// Runs the handler and answers.
    ///
    /// # Cancel safety
    /// A caller that hangs up drops this, and the guest stops: nothing was promised.
    pub(super) async fn call_directly(
        &self,
        method: &Method,
        consumer: &Consumer,
        api: &ActiveApi,
        call: Call,
        admitted: Admitted,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let Arrived { id, at, steady } = call.arrived;
        let (expires_at, until) = (at.after(api.limits.wall), steady.after(api.limits.wall));
        let reservation = match api.spec.price.is_zero() {
            true => None,
            false => Some(self.store.reserve(consumer.id, api.spec.price).await.map_err(refused)?),
        };
        let input = &call.input;
        let asked = Asked { id, consumer: consumer.id, attempt: 1, input, created_at: at, expires_at, until };
        let ran = match &api.target {
            Target::Handler(handler) => {
                let ran = self.runs.run_directly(asked, api, handler).await;
                ran.map(|outcome| decide::direct(outcome, id, &api.name, api.spec.price, api.limits.wall))
            }
            Target::Upstream { upstream, reach } => self.runs.forward_directly(asked, api, upstream, *reach).await,
        };
        let answered = match ran {
            Ok(answered) => answered,
            Err(NotRun::TooLate) => return Err(too_late(None)),
            Err(NotRun::NoRoom) => {
                let detail = "This owner has as many calls waiting as it may have. Nothing was done; send it again.";
                return Err(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(1)));
            }
        };
        admitted.answered();
        match answered {
            Ok((answer, capture)) => {
                // As with any call: other answers are the consumer's or the owner's failure, and cost nothing.
                let is_paid = judge(answer.status, None) == Verdict::Completed;
                if let Some(reservation) = reservation.filter(|_| is_paid) {
                    let ending = Ending::Completed { answer: answer.clone(), capture };
                    self.settle(consumer, api, call, ending, reservation).await?;
                }
                Ok(answer::response_to(method, id, answer))
            }
            // As a stored problem has it: the owner finds a run that broke by it.
            Err(problem) => {
                Err(problem.with("requestId", id.to_string()).header(REQUEST_ID.clone(), request_id_value(id)))
            }
        }
    }

    /// One transaction: the call, its hold and capture, its result. Whoever hangs up meanwhile has paid, and finds the
    /// result under the request's id.
    async fn settle(
        &self,
        consumer: &Consumer,
        api: &ActiveApi,
        call: Call,
        ending: Ending,
        reservation: Reservation,
    ) -> Result<(), Problem> {
        let Arrived { id, at, .. } = call.arrived;
        let expires_at = at.after(api.limits.wall);
        let accept = call.into_accept(consumer, api, self.fee.split(api.spec.price), expires_at, Lease::ThisProcess);
        let finish = Finish {
            id,
            epoch: 1,
            from: State::Running,
            attempt: 1,
            ending,
            finished_at: self.clock.now(),
            run: None,
            tape: None,
            callback: None,
            delivery: None,
        };
        self.store.answered(Direct { accept, finish, reservation }).await.map_err(refused)?;
        self.metrics.accepted.inc();
        self.metrics.finished.get_or_create(&metrics::State { state: State::Completed.as_str() }).inc();
        Ok(())
    }
}

fn refused(error: AcceptError) -> Problem {
    match error {
        AcceptError::InsufficientBalance { available, price } => insufficient(available, price),
        AcceptError::Store(error) => error.into(),
    }
}
