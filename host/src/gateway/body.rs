//! Reads a request's body: not longer, not slower and not more of them at once than allowed.

use super::Gateway;
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Reason;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use std::time::Duration;

impl Gateway {
    pub(super) async fn read(&self, body: Incoming) -> Result<Bytes, Problem> {
        self.read_within(body, self.limits.body).await
    }

    /// The same with another limit.
    pub(super) async fn read_within(&self, body: Incoming, max: usize) -> Result<Bytes, Problem> {
        let too_large = || {
            Problem::new(
                Kind::BodyTooLarge,
                format!("At most {max} bytes are accepted. Send less, or a reference to the data."),
            )
            .with("bytes_max", max)
        };
        let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if announced == Some(0) {
            return Ok(Bytes::new());
        }
        // Room is taken for what may come, before it comes.
        let room = announced.unwrap_or(max);
        if room > max {
            return Err(too_large());
        }
        let _room = self.body_bytes.try_acquire_many(u32::try_from(room).unwrap_or(u32::MAX)).map_err(|_| {
            self.metrics.shed.get_or_create(&Reason { reason: "bodies" }).inc();
            Problem::new(Kind::Overloaded, "Too many bodies are being received. Nothing was accepted; send it again.")
                .retry_after(Duration::from_secs(1))
        })?;
        match tokio::time::timeout(self.body_time, Limited::new(body, max).collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(Problem::new(Kind::MalformedRequest, "The body broke off. Send the request again.")),
            Err(_) => Err(Problem::new(
                Kind::RequestTimeout,
                format!("The body must arrive within {} s. Nothing was accepted.", self.body_time.as_secs()),
            )),
        }
    }
}
