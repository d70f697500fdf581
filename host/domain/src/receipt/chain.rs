//! The chain of hashes over a delivery's attempts.

use sha2::{Digest as _, Sha256};

/// Keeps these hashes apart from all others; a change of the encoding is a new tag.
const TAG: &[u8] = b"ripost receipt v1";

/// What the log says of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it began, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took.
    pub duration_ms: u32,
    /// The endpoint's status.
    pub status: Option<u16>,
    /// Class of the failure.
    pub error_class: Option<&'a str>,
    /// [`commit`] of the URL.
    pub url_commitment: [u8; 32],
    /// [`commit`] of the address that was connected to.
    pub peer_commitment: Option<[u8; 32]>,
    /// Version of TLS.
    pub tls: Option<&'a str>,
    /// Of what was kept of the answer.
    pub response_sha256: Option<[u8; 32]>,
}

impl Entry<'_> {
    /// Each field in its place, by length and bytes; one that is not there has a mark of its own.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put(&mut out, &self.attempt.to_be_bytes());
        put(&mut out, &self.at_ms.to_be_bytes());
        put(&mut out, &self.duration_ms.to_be_bytes());
        put_option(&mut out, self.status.map(u16::to_be_bytes).as_ref().map(|status| &status[..]));
        put_option(&mut out, self.error_class.map(str::as_bytes));
        put(&mut out, &self.url_commitment);
        put_option(&mut out, self.peer_commitment.as_ref().map(|hash| &hash[..]));
        put_option(&mut out, self.tls.map(str::as_bytes));
        put_option(&mut out, self.response_sha256.as_ref().map(|hash| &hash[..]));
        out
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put(out, bytes);
    }
}

/// Stands for `value` and says nothing of it to whoever has not the salt.
#[must_use]
pub fn commit(salt: &[u8; 32], value: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(value).finalize().into()
}

/// Where the chain of a delivery begins.
#[must_use]
pub fn genesis(delivery_id: &str, request_id: &str, event: &str, payload_sha256: &[u8; 32]) -> [u8; 32] {
    let mut out = Vec::with_capacity(256);
    for part in [TAG, b"delivery", delivery_id.as_bytes(), request_id.as_bytes(), event.as_bytes(), payload_sha256] {
        put(&mut out, part);
    }
    Sha256::digest(&out).into()
}

/// The chain with one attempt more.
#[must_use]
pub fn link(previous: &[u8; 32], entry: &Entry<'_>) -> [u8; 32] {
    let mut out = Vec::with_capacity(384);
    for part in [TAG, b"attempt", previous, &entry.encode()] {
        put(&mut out, part);
    }
    Sha256::digest(&out).into()
}
