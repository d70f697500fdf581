//! What is kept of an attempt beyond its outcome, and its link in the attempt log.

use crate::egress;
use crate::keyring::Keyring;
use ripost_domain::id::{DeliveryId, RequestId};
use ripost_domain::receipt::{self, Entry};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

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
    /// Where to: a delivery may be sent again to another URL.
    pub url: String,
    /// The address that was connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Version of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Whether the connection was there already.
    pub reused: bool,
    /// Where the time went.
    pub phases: Phases,
    /// SHA-256 of what was kept of the answer, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_sha256: Option<String>,
}

impl Facts {
    pub(super) fn new(url: &str, facts: &egress::Facts, excerpt: Option<&[u8]>) -> Self {
        let millis = |time: Option<std::time::Duration>| time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3);
        let phases = &facts.phases;
        Self {
            url: url.to_owned(),
            peer: facts.peer.map(|peer| peer.to_string()),
            tls: facts.tls.map(str::to_owned),
            reused: facts.reused,
            phases: Phases {
                dns_ms: millis(phases.dns),
                connect_ms: millis(phases.connect),
                tls_ms: millis(phases.tls),
                first_byte_ms: millis(phases.first_byte),
                body_ms: millis(phases.body),
            },
            response_sha256: excerpt.map(|excerpt| hex(&Sha256::digest(excerpt))),
        }
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
}

/// The link of an attempt: what may be hidden from others enters as a salted hash.
#[must_use]
pub(super) fn link(previous: &[u8; 32], salt: &[u8; 32], logged: Logged<'_>, facts: &Facts) -> [u8; 32] {
    let response = facts.response_sha256.as_deref().and_then(unhex);
    let peer = facts.peer.as_deref().map(|peer| receipt::commit(salt, peer.as_bytes()));
    let entry = Entry {
        attempt: logged.attempt,
        at_ms: logged.at_ms,
        duration_ms: logged.duration_ms,
        status: logged.status,
        error_class: logged.error_class,
        url_commitment: receipt::commit(salt, facts.url.as_bytes()),
        peer_commitment: peer,
        tls: facts.tls.as_deref(),
        response_sha256: response,
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

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
