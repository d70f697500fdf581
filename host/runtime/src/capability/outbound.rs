//! `outbound`: nobody is granted it yet.

use crate::bindings::outbound::{Host, OutboundError, OutboundRequest};
use crate::bindings::types::Response;
use crate::guest::State;

impl Host for State {
    fn send(&mut self, _request: OutboundRequest) -> Result<Response, OutboundError> {
        Err(OutboundError::NotGranted("this API has no outbound grant".to_owned()))
    }
}
