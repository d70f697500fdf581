//! What is kept of an attempt beyond its outcome, and its link in the attempt log.

use crate::egress;
use crate::keyring::Keyring;
use ripost_domain::id::{DeliveryId, RequestId};
use ripost_domain::receipt::{self, Entry};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Where the time of an attempt went, in milliseconds; what did not take place is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Phases {
    /// Look-up of the name.
    pub dns_ms: Option<f64>,
    /// TCP.
    pub connect_ms: Option<f64>,
    /// TLS handshake.
    pub tls_ms: Option<f64>,
    /// From the request to the answer's head.
    pub first_byte_ms: Option<f64>,
    /// The answer's body.
    pub body_ms: Option<f64>,
}

/// As stored with the attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// The address that was connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Version of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Whether the connection was there already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// Whether it was sent before on a kept connection that ended without a byte of an answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resent: bool,
    /// Where the time went: look-up, TCP, TLS, first byte, body; in microseconds, null for what did not take place.
    #[serde(rename = "us")]
    pub(super) phases_us: [Option<u32>; 5],
}

impl Facts {
    pub(super) fn new(facts: &egress::Facts) -> Self {
        let micros = |time: Option<Duration>| time.map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        let phases = &facts.phases;
        Self {
            peer: facts.peer.map(|peer| peer.to_string()),
            tls: facts.tls.map(str::to_owned),
            reused: facts.reused,
            resent: facts.resent,
            phases_us: [phases.dns, phases.connect, phases.tls, phases.first_byte, phases.body].map(micros),
        }
    }

    /// Where the time went, as it is shown.
    #[must_use]
    pub fn phases(&self) -> Phases {
        let [dns_ms, connect_ms, tls_ms, first_byte_ms, body_ms] =
            self.phases_us.map(|time| time.map(|micros| f64::from(micros) / 1000.0));
        Phases { dns_ms, connect_ms, tls_ms, first_byte_ms, body_ms }
    }

    /// What was stored; nothing, if it was stored by a version that kept nothing.
    #[must_use]
    pub fn read(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }
}

/// Lower-case hex.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the log of a delivery says of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logged<'a> {
    /// Its number.
    pub(super) attempt: u32,
    /// When, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// How long.
    pub(super) duration_ms: u32,
    /// The endpoint's status.
    pub(super) status: Option<u16>,
    /// Class of the failure.
    pub(super) error_class: Option<&'a str>,
    /// Where to.
    pub(super) url: &'a str,
    /// What was kept of the answer.
    pub(super) response: Option<&'a [u8]>,
}

/// The link of an attempt: what may be hidden from others enters as a salted hash.
#[must_use]
pub(super) fn link(previous: &[u8; 32], salt: &[u8; 32], logged: Logged<'_>, facts: &Facts) -> [u8; 32] {
    let peer = facts.peer.as_deref().map(|peer| receipt::commit(salt, peer.as_bytes()));
    let entry = Entry {
        attempt: logged.attempt,
        at_ms: logged.at_ms,
        duration_ms: logged.duration_ms,
        status: logged.status,
        error_class: logged.error_class,
        url_commitment: receipt::commit(salt, logged.url.as_bytes()),
        peer_commitment: peer,
        tls: facts.tls.as_deref(),
        response_sha256: logged.response.map(|response| Sha256::digest(response).into()),
    };
    receipt::link(previous, &entry)
}

/// Where the log of a delivery begins.
#[must_use]
pub(super) fn genesis(id: DeliveryId, request: RequestId, event: &str, payload: &[u8]) -> [u8; 32] {
    receipt::genesis(&id.to_string(), &request.to_string(), event, &Sha256::digest(payload).into())
}

/// What hides the URL and the address of a delivery from whoever is not told it.
#[must_use]
pub(super) fn salt(keyring: &Keyring, id: DeliveryId) -> [u8; 32] {
    keyring.salt(id)
}
