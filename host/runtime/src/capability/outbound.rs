//! `outbound`: HTTP to where the grants allow it, one call at a time.

use std::time::Duration;

use bytes::Bytes;

use crate::bindings::outbound::{Host, OutboundError, OutboundRequest};
use crate::bindings::types::Response;
use crate::gate::Wish;
use crate::grants;
use crate::guest::State;

impl Host for State {
    async fn send(&mut self, request: OutboundRequest) -> Result<Response, OutboundError> {
        let passage = self.gate().enter()?;
        let headers = request.headers.into_iter().map(|(mut name, value)| {
            name.make_ascii_lowercase();
            (name, Bytes::from(value))
        });
        let wish = Wish {
            method: request.method,
            url: request.url,
            headers: headers.collect(),
            body: Bytes::from(request.body),
            timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        };
        let response = passage.send(wish).await?;
        Ok(Response {
            status: response.status,
            headers: response.headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
            body: response.body.into(),
            attributes: Vec::new(),
        })
    }
}

impl From<grants::OutboundError> for OutboundError {
    fn from(error: grants::OutboundError) -> Self {
        use grants::OutboundError as E;
        match error {
            E::NotGranted(text) => OutboundError::NotGranted(text),
            E::AddressForbidden(text) => OutboundError::AddressForbidden(text),
            E::Limit(text) => OutboundError::Limit(text),
            E::Timeout => OutboundError::Timeout,
            E::Connection(text) => OutboundError::Connection(text),
            E::InDoubt(text) => OutboundError::InDoubt(text),
            E::Unavailable(text) => OutboundError::Unavailable(text),
            E::Invalid(text) => OutboundError::Invalid(text),
        }
    }
}
