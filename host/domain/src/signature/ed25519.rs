//! `v1a`: a key of the gateway's own, so that whoever checks needs no secret.

use super::content;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use std::fmt;

const SECRET_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// The text is not a key. Says nothing of what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither `whsk_…` nor base64 of a seed, with or without its public key.
    #[error("a signing key is written as `whsk_` and the base64 of 32 or 64 bytes")]
    NotASigningKey,
    /// The public key in it is that of another one.
    #[error("the two halves of the signing key do not belong together")]
    Halves,
    /// Neither `whpk_…` nor base64 of 32 bytes.
    #[error("a public key is written as `whpk_` and the base64 of 32 bytes")]
    NotAPublicKey,
    /// Not a JSON Web Key of this kind.
    #[error("not a JSON Web Key with `kty` OKP, `crv` Ed25519 and an `x` of 32 bytes")]
    NotAJwk,
}

/// What the gateway signs with.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// From the 32 secret bytes of RFC 8032.
    ///
    /// # Panics
    /// Never: each 32 bytes are a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&seed).expect("each 32 bytes are a seed"))
    }

    /// From `whsk_…`, or from the base64 alone: the seed, or seed and public key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
        let bytes = STANDARD_PAD_INDIFFERENT.decode(encoded).map_err(|_| KeyError::NotASigningKey)?;
        let (seed, public) = bytes.split_first_chunk::<32>().ok_or(KeyError::NotASigningKey)?;
        let key = Self::from_seed(*seed);
        match public.len() {
            0 => Ok(key),
            32 if public == key.public().as_bytes() => Ok(key),
            32 => Err(KeyError::Halves),
            _ => Err(KeyError::NotASigningKey),
        }
    }

    /// What others check with.
    ///
    /// # Panics
    /// Never: a public key has 32 bytes.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("a public key has 32 bytes"))
    }

    /// The signature of any bytes.
    ///
    /// # Panics
    /// Never: a signature has 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("a signature has 64 bytes")
    }

    /// One token for the signature header. Call it when sending, as [`super::sign_v1`].
    ///
    /// # Panics
    /// If `id` has a `.` in it: signed content would mean two things. Delivery ids have none.
    #[must_use]
    pub fn sign_v1a(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        assert!(!id.contains('.'), "a webhook id has no `.`");
        format!("v1a,{}", STANDARD.encode(self.sign(&content(id, timestamp_s, body))))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsk_[redacted]")
    }
}

/// What a gateway's signatures are checked with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From the 32 bytes of RFC 8032. Bytes that are no point of the curve verify nothing.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From `whpk_…`, or from the base64 alone.
    ///
    /// # Errors
    /// [`KeyError::NotAPublicKey`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(PUBLIC_PREFIX).unwrap_or(text);
        let bytes = STANDARD_PAD_INDIFFERENT.decode(encoded).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(KeyError::NotAPublicKey)
    }

    /// `whpk_…`.
    #[must_use]
    pub fn to_whpk(&self) -> String {
        format!("{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }

    /// Names the key: the first 16 hex digits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        Sha256::digest(self.0)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As JSON Web Key (RFC 8037).
    #[must_use]
    pub fn to_jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.id(),
            "x": URL_SAFE_NO_PAD.encode(self.0),
        })
    }

    /// From a JSON Web Key.
    ///
    /// # Errors
    /// [`KeyError::NotAJwk`].
    pub fn from_jwk(jwk: &serde_json::Value) -> Result<Self, KeyError> {
        let x = jwk["x"].as_str().filter(|_| jwk["kty"] == "OKP" && jwk["crv"] == "Ed25519");
        let bytes = x.and_then(|x| URL_SAFE_NO_PAD.decode(x).ok()).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(KeyError::NotAJwk)
    }

    /// Whether `signature` is one of `message` by the holder of the signing key.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_whpk())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
