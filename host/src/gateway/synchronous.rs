//! Calls of APIs with `delivery = "off"`: the answer is on the connection that asked, and nothing is written. Never `202`;
//! what is not answered within the API's `wall`, waiting for its turn included, is a 504.

use super::Gateway;
use super::answer::{self, REQUEST_ID, request_id_value};
use super::fields::Fields;
use super::limits::Admitted;
use super::pipeline::Arrived;
use crate::plugins::{ActiveApi, Target};
use crate::problem::{Kind, Problem};
use crate::runs::{Asked, NotRun, decide};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use ripost_domain::id::RequestId;
use ripost_store::{Consumer, RequestInput};
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
        consumer: &Consumer,
        api: &ActiveApi,
        arrived: Arrived,
        input: &RequestInput,
        admitted: Admitted,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let Arrived { id, at } = arrived;
        let until = at.after(api.limits.wall);
        let asked = Asked { id, consumer: consumer.id, attempt: 1, input, created_at: at, until };
        let ran = match &api.target {
            Target::Handler(handler) => {
                let ran = self.runs.run_directly(asked, api, handler).await;
                ran.map(|outcome| decide::direct(outcome, &api.name, api.limits.wall))
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
            Ok(answer) => Ok(answer::response(id, answer)),
            Err(problem) => Err(problem.header(REQUEST_ID.clone(), request_id_value(id))),
        }
    }
}
