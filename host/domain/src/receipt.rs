//! Receipts of deliveries: what was sent where and when, and what came back, in a chain of hashes that the gateway
//! signs. The hashes cover commitments to what only the consumer may see (URL, address), so that the owner's copy,
//! which has none of it, checks by the same hashes.

mod chain;
mod jcs;

pub use chain::{Entry, commit, genesis, link};
pub use jcs::{NotCanonical, canonical};

use crate::id::{DeliveryId, RequestId};
use crate::money::Amount;
use crate::signature::{PublicKey, SigningKey};
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a receipt says it is.
pub const KIND: &str = "ripost.delivery-receipt/1";

/// A receipt as it is handed out and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// [`KIND`].
    pub kind: String,
    /// Base URL of the gateway.
    pub gateway: String,
    /// [`PublicKey::id`] of the key it is signed with.
    pub key_id: String,
    /// When it was signed: what came later is not in it.
    pub issued_at: Timestamp,
    /// What was delivered.
    pub request: Request,
    /// To whom, and how that went.
    pub deliveries: Vec<DeliveryLog>,
    /// Base64 of the Ed25519 signature of the [`canonical`] form without this field.
    pub signature: String,
}

/// The request as it was when the receipt was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Its id.
    pub request_id: RequestId,
    /// `owner/slug`.
    pub api: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Where it stood.
    pub state: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What became of its money; none in receipts of versions that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
}

/// A request's money as it stood when the receipt was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// `none`, `held`, `captured` or `released`.
    pub state: String,
    /// What the request costs at most.
    pub price_usdc: Amount,
    /// What the consumer has paid; none: nothing is decided, or it is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_usdc: Option<Amount>,
}

/// One event for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryLog {
    /// The `webhook-id`.
    pub webhook_id: DeliveryId,
    /// Which event.
    pub event: String,
    /// Of the bytes that were sent, in hex.
    pub payload_sha256: String,
    /// How many they were.
    pub payload_bytes: u64,
    /// Where the delivery stood.
    pub state: String,
    /// What opens the commitments, in hex; the consumer's form only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// In order.
    pub attempts: Vec<AttemptLog>,
}

/// One HTTP try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttemptLog {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// The endpoint's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// [`commit`] of the URL, in hex.
    pub url_commitment: String,
    /// The URL; the consumer's form only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// [`commit`] of the address, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_commitment: Option<String>,
    /// The address that was connected to; the consumer's form only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Version of TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Of what was kept of the answer, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_sha256: Option<String>,
    /// What was kept of the answer, as far as it is text; the consumer's form only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// The chain up to here, in hex.
    pub hash: String,
}

/// A receipt that is not signed yet, in the consumer's form.
#[derive(Debug, Clone)]
pub struct Unsigned {
    /// Base URL of the gateway.
    pub gateway: String,
    /// Now.
    pub issued_at: Timestamp,
    /// What was delivered.
    pub request: Request,
    /// To whom, and how that went.
    pub deliveries: Vec<DeliveryLog>,
}

impl Unsigned {
    /// The form for the owner, who is not told where the consumer receives and what the endpoint answered.
    #[must_use]
    pub fn for_owner(mut self) -> Self {
        for delivery in &mut self.deliveries {
            delivery.salt = None;
            for attempt in &mut delivery.attempts {
                (attempt.url, attempt.peer, attempt.excerpt) = (None, None, None);
            }
        }
        self
    }

    /// Signs what it says now.
    ///
    /// # Panics
    /// If a payload has 2^53 bytes or more: there is no canonical form for such a number.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> Receipt {
        let mut receipt = Receipt {
            kind: KIND.to_owned(),
            gateway: self.gateway,
            key_id: key.public().id(),
            issued_at: self.issued_at,
            request: self.request,
            deliveries: self.deliveries,
            signature: String::new(),
        };
        let signed = receipt.signed_bytes().expect("no payload has 2^53 bytes");
        receipt.signature = STANDARD.encode(key.sign(signed.as_bytes()));
        receipt
    }
}

impl Receipt {
    fn signed_bytes(&self) -> Result<String, NotCanonical> {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.remove("signature");
        }
        canonical(&value)
    }
}

/// The receipt holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many deliveries were checked.
    pub deliveries: usize,
    /// How many attempts.
    pub attempts: usize,
    /// Whether each URL and address that it shows was checked against its commitment: the consumer's form.
    pub opened: bool,
}

/// The receipt is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Something else, or of another version.
    #[error("this is a `{0}`, not a `{KIND}`")]
    Kind(String),
    /// Another key is meant.
    #[error("it is signed with the key {receipt}, and this key is {key}")]
    Key {
        /// What the receipt says.
        receipt: String,
        /// The one at hand.
        key: String,
    },
    /// A delivery is damaged.
    #[error("delivery {delivery}: {fault}")]
    Delivery {
        /// Which.
        delivery: DeliveryId,
        /// How.
        fault: Fault,
    },
    /// An attempt is damaged.
    #[error("delivery {delivery}, attempt {attempt}: {fault}")]
    Attempt {
        /// Which delivery.
        delivery: DeliveryId,
        /// Which attempt.
        attempt: u32,
        /// How.
        fault: Fault,
    },
    /// A number has no canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// The deliveries are consistent, and yet this is not what was signed.
    #[error("the signature does not match: something was changed, added or left out")]
    Signature,
}

/// What is wrong with a delivery or an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a hash.
    #[error("`{0}` is not 64 digits of hex")]
    NotHex(&'static str),
    /// Changed, or one before it was changed, added or left out.
    #[error("its hash does not follow from what it says and the attempt before it")]
    Chain,
    /// Shown, and not what was committed to.
    #[error("`{0}` is not what its commitment stands for")]
    Commitment(&'static str),
    /// Shown, but nothing is there to check it by.
    #[error("`{0}` is shown without what it takes to check it")]
    Unchecked(&'static str),
}

/// Recomputes every chain and commitment, then checks the signature: in this order, so that the error says where.
///
/// # Errors
/// [`ReceiptError`].
pub fn verify(receipt: &Receipt, key: &PublicKey) -> Result<Verified, ReceiptError> {
    if receipt.kind != KIND {
        return Err(ReceiptError::Kind(receipt.kind.clone()));
    }
    if receipt.key_id != key.id() {
        return Err(ReceiptError::Key { receipt: receipt.key_id.clone(), key: key.id() });
    }
    for delivery in &receipt.deliveries {
        delivery.verify(receipt.request.request_id)?;
    }
    let signed = receipt.signed_bytes()?;
    let signature = STANDARD.decode(&receipt.signature).map_err(|_| ReceiptError::Signature)?;
    if !key.verify(signed.as_bytes(), &signature) {
        return Err(ReceiptError::Signature);
    }
    let mut attempts = receipt.deliveries.iter().flat_map(|delivery| &delivery.attempts);
    Ok(Verified {
        deliveries: receipt.deliveries.len(),
        attempts: attempts.clone().count(),
        opened: attempts.any(|attempt| attempt.url.is_some() || attempt.peer.is_some()),
    })
}

impl DeliveryLog {
    fn verify(&self, request: RequestId) -> Result<(), ReceiptError> {
        let here = |fault| ReceiptError::Delivery { delivery: self.webhook_id, fault };
        let payload = unhex(&self.payload_sha256).ok_or(here(Fault::NotHex("payloadSha256")))?;
        let salt = optional(self.salt.as_deref(), "salt").map_err(here)?;
        let mut chain = genesis(&self.webhook_id.to_string(), &request.to_string(), &self.event, &payload);
        for attempt in &self.attempts {
            chain = attempt.verify(&chain, salt.as_ref()).map_err(|fault| ReceiptError::Attempt {
                delivery: self.webhook_id,
                attempt: attempt.attempt,
                fault,
            })?;
        }
        Ok(())
    }
}

impl AttemptLog {
    /// The chain with this attempt.
    fn verify(&self, previous: &[u8; 32], salt: Option<&[u8; 32]>) -> Result<[u8; 32], Fault> {
        let url_commitment = unhex(&self.url_commitment).ok_or(Fault::NotHex("urlCommitment"))?;
        let peer_commitment = optional(self.peer_commitment.as_deref(), "peerCommitment")?;
        open("url", self.url.as_deref(), salt, Some(&url_commitment))?;
        open("peer", self.peer.as_deref(), salt, peer_commitment.as_ref())?;
        let entry = Entry {
            attempt: self.attempt,
            at_ms: self.at.as_millis(),
            duration_ms: self.duration_ms,
            status: self.status,
            error_class: self.error_class.as_deref(),
            url_commitment,
            peer_commitment,
            tls: self.tls.as_deref(),
            response_sha256: optional(self.response_sha256.as_deref(), "responseSha256")?,
        };
        let chain = link(previous, &entry);
        let said = unhex(&self.hash).ok_or(Fault::NotHex("hash"))?;
        if said == chain { Ok(chain) } else { Err(Fault::Chain) }
    }
}

fn open(
    name: &'static str,
    shown: Option<&str>,
    salt: Option<&[u8; 32]>,
    commitment: Option<&[u8; 32]>,
) -> Result<(), Fault> {
    let Some(shown) = shown else { return Ok(()) };
    let (Some(salt), Some(commitment)) = (salt, commitment) else { return Err(Fault::Unchecked(name)) };
    if commit(salt, shown.as_bytes()) == *commitment { Ok(()) } else { Err(Fault::Commitment(name)) }
}

fn optional(text: Option<&str>, name: &'static str) -> Result<Option<[u8; 32]>, Fault> {
    text.map(|text| unhex(text).ok_or(Fault::NotHex(name))).transpose()
}

/// Lower-case hex only: one hash, one text.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
