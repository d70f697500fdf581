//! Secrets, store, calls to the outside and steps: the imports, and their values as this crate's. A component imports an
//! interface only if its handler calls one of these.

use super::Host;
use crate::{
    Headers, KvEntry, KvError, OutboundError, OutboundRequest, OutboundResponse, SecretError, StepError,
    bindings::{kv, outbound, secrets, step},
    step::Begun,
};

impl Host {
    pub(crate) fn secret(&self, name: &str) -> Result<String, SecretError> {
        secrets::get(name).map_err(|error| match error {
            secrets::SecretError::NotGranted => SecretError::NotGranted(name.to_owned()),
            secrets::SecretError::Missing => SecretError::Missing(name.to_owned()),
        })
    }

    pub(crate) fn kv_get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        Ok(kv::get(key)?.map(|entry| KvEntry { value: entry.value, revision: entry.revision }))
    }

    pub(crate) fn kv_set(&self, key: &str, value: &[u8], ttl_s: Option<u32>) -> Result<u64, KvError> {
        Ok(kv::set(key, value, ttl_s)?)
    }

    pub(crate) fn kv_compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: &[u8],
    ) -> Result<Option<u64>, KvError> {
        Ok(kv::compare_and_set(key, expected, value, None)?)
    }

    pub(crate) fn kv_delete(&self, key: &str) -> Result<bool, KvError> {
        Ok(kv::delete(key)?)
    }

    pub(crate) fn kv_list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, KvError> {
        Ok(kv::list(prefix, after)?)
    }

    pub(crate) fn fetch(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let host = request.host().to_owned();
        let response = outbound::send(&outbound::OutboundRequest {
            method: request.method,
            url: request.url,
            headers: request.headers.into_pairs(),
            body: request.body,
            timeout_ms: request.timeout_ms,
            attributes: Vec::new(),
        })
        .map_err(|error| outbound_error(error, &host))?;
        let headers = Headers::from_lower_case(response.headers);
        Ok(OutboundResponse { status: response.status, headers, body: response.body, host: None })
    }

    pub(crate) fn step_begin(&self, name: &str, input: &[u8]) -> Result<Begun, StepError> {
        Ok(match step::begin(name, input)? {
            step::Begun::Done(value) => Begun::Done(value),
            step::Begun::Fresh(key) => Begun::Fresh(key),
        })
    }

    pub(crate) fn step_commit(&self, name: &str, value: &[u8]) -> Result<(), StepError> {
        Ok(step::commit(name, value)?)
    }
}

impl From<step::StepError> for StepError {
    fn from(error: step::StepError) -> Self {
        match error {
            step::StepError::InputChanged(text) => Self::InputChanged(text),
            step::StepError::Misuse(text) => Self::Misuse(text),
            step::StepError::Limit(text) => Self::Limit(text),
            step::StepError::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl From<kv::KvError> for KvError {
    fn from(error: kv::KvError) -> Self {
        match error {
            kv::KvError::NotGranted => Self::NotGranted,
            kv::KvError::QuotaExceeded(text) => Self::QuotaExceeded(text),
            kv::KvError::TooLarge(text) => Self::TooLarge(text),
            kv::KvError::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

/// The host names whom it is about wherever it has a text.
fn outbound_error(error: outbound::OutboundError, host: &str) -> OutboundError {
    use outbound::OutboundError as E;
    match error {
        E::NotGranted(text) => OutboundError::NotGranted(text),
        E::AddressForbidden(text) => OutboundError::AddressForbidden(text),
        E::Limit(text) => OutboundError::Limit(text),
        E::Timeout => OutboundError::Timeout(format!("{host} did not answer in time")),
        E::Connection(text) => OutboundError::Connection(text),
        E::InDoubt(text) => OutboundError::InDoubt(text),
        E::Unavailable(text) => OutboundError::Unavailable(text),
        E::Invalid(text) => OutboundError::Invalid(text),
    }
}
