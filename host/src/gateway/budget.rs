//! Large answers that are sent from memory: all together they have a budget, so that readers who take their time cannot
//! fill it. What is stored is sent from its file instead ([`super::reply`]).

use super::Gateway;
use super::answer::REQUEST_ID;
use super::reply::Reply;
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Reason;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Body as _;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Smaller ones mostly fit into the socket's own buffer, and all connections together bound them.
const COUNTED_FROM: u64 = 64 << 10;

/// Bytes with their part of the budget, which comes back when the last of them has left.
struct Counted {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Gateway {
    /// The answer, if there is room to send it.
    pub(super) fn in_budget(&self, response: Response<Reply>) -> Result<Response<Reply>, Problem> {
        let (head, reply) = response.into_parts();
        let whole = match reply {
            Reply::Whole(whole) if whole.size_hint().lower() > COUNTED_FROM => whole,
            other => return Ok(Response::from_parts(head, other)),
        };
        let bytes = whole.into_inner().unwrap_or_default();
        let permits = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let Ok(permit) = self.answer_bytes.clone().try_acquire_many_owned(permits) else {
            self.metrics.shed.get_or_create(&Reason { reason: "answers" }).inc();
            let detail = "Too many large answers are being sent. The call itself is done: ask for its result again, under the id in Ripost-Request-Id if the request was accepted.";
            let problem = Problem::new(Kind::AnswersOverloaded, detail).retry_after(Duration::from_secs(2));
            return Err(match head.headers.get(&REQUEST_ID) {
                Some(id) => problem.header(REQUEST_ID.clone(), id.clone()),
                None => problem,
            });
        };
        let counted = Bytes::from_owner(Counted { bytes, _permit: permit });
        Ok(Response::from_parts(head, Reply::Whole(Full::new(counted))))
    }
}
