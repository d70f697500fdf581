//! Standard Webhooks signatures over `id.timestamp.body`: `v1` is HMAC-SHA256 with a shared secret, `v1a` is Ed25519.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

mod ed25519;

pub use ed25519::{KeyError, PublicKey, SigningKey};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use std::fmt::{self, Write as _};
use subtle::{Choice, ConstantTimeEq as _};

/// Header with the delivery's id; the same over all attempts.
pub const ID_HEADER: &str = "webhook-id";
/// Header with the moment of this attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Header with the signatures, one for each live secret.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far a receiver's clock may be from the sender's, in seconds: what the public libraries take.
pub const TOLERANCE_S: i64 = 300;

const SECRET_PREFIX: &str = "whsec_";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// `v1,` and the base64 of 32 bytes.
const TOKEN_LEN: usize = 3 + 44;

/// The text or the bytes are not a webhook secret. Says nothing of what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too short to be safe, or longer than the specification has it.
    #[error("a webhook secret has 24 to 64 bytes, this one has {0}")]
    Length(usize),
    /// Neither `whsec_…` nor base64.
    #[error("a webhook secret is written as `whsec_` and base64")]
    NotBase64,
}

/// What a consumer and the gateway share. Shown only by [`Secret::to_whsec`]; wiped when dropped.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// A secret of 24 to 64 raw bytes.
    ///
    /// # Errors
    /// [`SecretError::Length`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let secret = SecretSlice::from(bytes.into());
        let length = secret.expose_secret().len();
        if SECRET_BYTES.contains(&length) { Ok(Self(secret)) } else { Err(SecretError::Length(length)) }
    }

    /// From `whsec_…`, or from the base64 alone as the public libraries accept it.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
        Self::from_bytes(STANDARD_PAD_INDIFFERENT.decode(encoded).map_err(|_| SecretError::NotBase64)?)
    }

    /// The raw bytes: for encrypting at rest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// `whsec_…`: for the holder of the consumer's key, and nobody else.
    #[must_use]
    pub fn to_whsec(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(self.as_bytes()))
    }

    fn mac(&self, id: &str, timestamp_s: i64, body: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp_s}.").as_bytes());
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_[redacted]")
    }
}

/// The value of the signature header: one `v1` token for each secret, separated by one space.
/// Call it when sending, never when enqueuing: receivers refuse timestamps older than [`TOLERANCE_S`].
///
/// # Panics
/// If `id` has a `.` in it: signed content would mean two things. Delivery ids have none.
#[must_use]
pub fn sign_v1(secrets: &[&Secret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    assert!(!id.contains('.'), "a webhook id has no `.`");
    let mut header = String::with_capacity(secrets.len() * (TOKEN_LEN + 1));
    for secret in secrets {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str("v1,");
        STANDARD.encode_string(secret.mac(id, timestamp_s, body), &mut header);
    }
    header
}

/// The three headers as they arrived; `None` for one that did not.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignedHeaders<'a> {
    /// Value of [`ID_HEADER`].
    pub id: Option<&'a str>,
    /// Value of [`TIMESTAMP_HEADER`].
    pub timestamp: Option<&'a str>,
    /// Value of [`SIGNATURE_HEADER`].
    pub signature: Option<&'a str>,
}

/// The webhook is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is not there.
    #[error("the header `{0}` is missing")]
    MissingHeader(&'static str),
    /// The id could be read as id and timestamp.
    #[error("the header `webhook-id` has a `.` in it")]
    InvalidId,
    /// Not seconds since 1970.
    #[error("the header `webhook-timestamp` is not a whole number of seconds")]
    InvalidTimestamp,
    /// Sent too long ago: perhaps a replay.
    #[error("the timestamp is too old")]
    TooOld,
    /// From the future: a clock is wrong.
    #[error("the timestamp is too far in the future")]
    TooNew,
    /// No token fits any of the secrets, or the public key.
    #[error("no signature matches: another secret or key, or the body is not the bytes that were sent")]
    NoMatch,
}

/// Checks a webhook against every secret that is live, in constant time for each token.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    secrets: &[&Secret],
    headers: SignedHeaders<'_>,
    body: &[u8],
    now_s: i64,
    tolerance_s: i64,
) -> Result<(), VerifyError> {
    let signed = Signed::read(headers, now_s, tolerance_s)?;
    let expected: Vec<[u8; 32]> =
        secrets.iter().map(|secret| secret.mac(signed.id, signed.timestamp_s, body)).collect();
    let mut matches = Choice::from(0);
    for offered in signed.tokens("v1") {
        for mac in &expected {
            matches |= mac[..].ct_eq(&offered);
        }
    }
    if matches.into() { Ok(()) } else { Err(VerifyError::NoMatch) }
}

/// Checks a webhook against the sender's public key.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_v1a(
    key: &PublicKey,
    headers: SignedHeaders<'_>,
    body: &[u8],
    now_s: i64,
    tolerance_s: i64,
) -> Result<(), VerifyError> {
    let signed = Signed::read(headers, now_s, tolerance_s)?;
    let content = content(signed.id, signed.timestamp_s, body);
    // Nothing here is secret, so the first match may end it.
    if signed.tokens("v1a").any(|offered| key.verify(&content, &offered)) { Ok(()) } else { Err(VerifyError::NoMatch) }
}

/// The headers, all there and within the tolerance.
struct Signed<'a> {
    id: &'a str,
    timestamp_s: i64,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    fn read(headers: SignedHeaders<'a>, now_s: i64, tolerance_s: i64) -> Result<Self, VerifyError> {
        let id = headers.id.ok_or(VerifyError::MissingHeader(ID_HEADER))?;
        let timestamp = headers.timestamp.ok_or(VerifyError::MissingHeader(TIMESTAMP_HEADER))?;
        let signature = headers.signature.ok_or(VerifyError::MissingHeader(SIGNATURE_HEADER))?;
        if id.contains('.') {
            return Err(VerifyError::InvalidId);
        }
        // `+5` and `05` parse as well, but are not what was signed.
        let timestamp_s: i64 = timestamp.parse().map_err(|_| VerifyError::InvalidTimestamp)?;
        if !is_canonical(timestamp_s, timestamp) {
            return Err(VerifyError::InvalidTimestamp);
        }
        if timestamp_s < now_s.saturating_sub(tolerance_s) {
            return Err(VerifyError::TooOld);
        }
        if timestamp_s > now_s.saturating_add(tolerance_s) {
            return Err(VerifyError::TooNew);
        }
        Ok(Self { id, timestamp_s, signature })
    }

    /// The signatures of one version; what is no base64 is no signature.
    fn tokens(&self, version: &'static str) -> impl Iterator<Item = Vec<u8>> + use<'a> {
        self.signature
            .split(' ')
            .filter_map(move |token| token.split_once(',').filter(|(of, _)| *of == version))
            .filter_map(|(_, encoded)| STANDARD.decode(encoded).ok())
    }
}

/// What is signed.
fn content(id: &str, timestamp_s: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp_s}.").as_bytes(), body].concat()
}

/// The verifiers that consumers are told to copy.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/verify.md")]
struct Documented;

fn is_canonical(number: i64, text: &str) -> bool {
    let mut canonical = String::with_capacity(20);
    write!(canonical, "{number}").expect("a String takes any text");
    canonical == text
}

#[cfg(test)]
mod tests;
