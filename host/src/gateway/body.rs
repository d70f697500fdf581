//! Reads a request's body: not longer, not slower and not more of them at once than allowed.

use super::Gateway;
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Reason;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use std::time::Duration;

/// Of a body that is refused so much is read on, for so long at most: whoever still sends when its connection is closed
/// may never see the answer. What sends more than that has no right to it.
const LINGER_BYTES_MAX: usize = 16 << 20;
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// A body on its way.
pub(super) struct Arriving {
    body: Incoming,
    /// Its sender waits for a `100` (RFC 9110, 10.1.1), which reading it would bring about.
    waits: bool,
}

impl Arriving {
    pub(super) fn new(headers: &HeaderMap, body: Incoming) -> Self {
        Self { body, waits: headers.contains_key(header::EXPECT) }
    }

    /// Reads on without keeping anything, so that the refusal is heard.
    pub(super) async fn linger(mut self) {
        if self.waits || self.body.is_end_stream() {
            return;
        }
        let read_on = async {
            let mut read = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > LINGER_BYTES_MAX {
                    return;
                }
            }
        };
        // Whether it came to its end or not, the answer goes out.
        let _ = tokio::time::timeout(LINGER_TIME_MAX, read_on).await;
    }
}

impl Gateway {
    pub(super) async fn read(&self, body: Incoming) -> Result<Bytes, Problem> {
        self.read_within(Arriving { body, waits: false }, self.limits.body).await
    }

    /// The same with another limit.
    pub(super) async fn read_within(&self, mut arriving: Arriving, max: usize) -> Result<Bytes, Problem> {
        let read = self.read_to_its_end(&mut arriving, max).await;
        if read.is_err() {
            arriving.linger().await;
        }
        read
    }

    async fn read_to_its_end(&self, arriving: &mut Arriving, max: usize) -> Result<Bytes, Problem> {
        let body = &mut arriving.body;
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
