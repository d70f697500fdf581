//! Randomness, ids, keys, and what is encrypted at rest.

mod admin_token;
mod file;
pub mod master_key;

pub(crate) use admin_token::FILE_NAME as ADMIN_TOKEN_FILE;
pub use admin_token::{AdminToken, Origin};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use camino::Utf8PathBuf;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use ripost_domain::api::Name;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::signature::{Secret, SigningKey};
use ripost_store::SealedSample;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;

const NONCE_BYTES: usize = 24;

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Not readable or writable.
    #[error("the key file {path} cannot be used (give it to the user that runs the gateway)")]
    File {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a key.
    #[error("{0} is not base64 of 32 bytes: restore it from a backup")]
    NotAKey(master_key::Place),
    /// Not a token.
    #[error(
        "{path} does not hold a token of at least {chars_min} visible characters: write the whole token into it, or delete it, and the next start makes a new one"
    )]
    NotAToken {
        /// The file.
        path: Utf8PathBuf,
        /// So many are needed.
        chars_min: usize,
    },
    /// Nothing is in the token's file.
    #[error("{0} is empty: start the gateway again, and it makes a new token")]
    EmptyToken(Utf8PathBuf),
    /// A stored secret was sealed with another key, or damaged.
    #[error(
        "a stored secret does not open with this master key: restore the master key that belongs to this data folder"
    )]
    DoesNotOpen,
}

/// `N` random bytes from the system.
///
/// # Panics
/// If the system has no randomness; nothing could be kept secret then.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// The random part of a new request's id. Fetched for many requests at once: a system call for each would be a
/// hundredth of what a call costs.
#[must_use]
pub fn random_id() -> [u8; 10] {
    const IDS: usize = 64;
    thread_local! {
        static FETCHED: RefCell<Vec<[u8; 10]>> = const { RefCell::new(Vec::new()) };
    }
    FETCHED.with_borrow_mut(|fetched| {
        if fetched.is_empty() {
            let bytes = random::<{ 10 * IDS }>();
            fetched.extend(bytes.as_chunks().0);
        }
        fetched.pop().expect("there are some now")
    })
}

/// SHA-256: what of a consumer's key or token is kept.
#[must_use]
pub fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A new consumer key. It is shown once; only its hash is kept.
#[must_use]
pub fn new_consumer_key() -> String {
    format!("ck_{}", URL_SAFE_NO_PAD.encode(random::<24>()))
}

/// The name of the key that a consumer is added with.
pub const FIRST_KEY: &str = "key-1";

/// What people tell a key by: its prefix and its last four characters.
#[must_use]
pub fn hint(key: &str) -> String {
    let prefix = key.find('_').map_or("", |end| &key[..=end]);
    let last = key.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    format!("{prefix}…{}", &key[last..])
}

/// A new token of the management API. It is shown once; only its hash is kept.
#[must_use]
pub fn new_token() -> String {
    format!("rpt_{}", URL_SAFE_NO_PAD.encode(random::<32>()))
}

/// A new webhook secret.
#[must_use]
pub fn new_webhook_secret() -> Secret {
    Secret::from_bytes(random::<32>().to_vec()).expect("32 bytes are within the bounds")
}

/// Encrypts secrets at rest. What is sealed for one consumer does not open for another.
pub struct Keyring {
    cipher: XChaCha20Poly1305,
    /// Keyed hash for what must be stable and say nothing.
    mac: Hmac<Sha256>,
}

impl Keyring {
    /// Of a master key.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key).expect("HMAC takes keys of any length");
        Self { cipher: XChaCha20Poly1305::new(&Key::from(key)), mac }
    }

    /// Tells master keys apart, and says nothing of them.
    #[must_use]
    pub fn check(&self) -> [u8; 32] {
        self.keyed_hash("master key", [&[], &[]])
    }

    /// Whether it is the key that something was sealed with.
    #[must_use]
    pub fn opens(&self, sample: &SealedSample) -> bool {
        match sample {
            SealedSample::Webhook { consumer, sealed } => self.unseal(consumer.as_bytes(), sealed).is_ok(),
            SealedSample::Owner(secret) => {
                self.unseal_owner_secret(&secret.owner, &secret.name, &secret.sealed).is_ok()
            }
        }
    }

    fn keyed_hash(&self, purpose: &str, parts: [&[u8]; 2]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(purpose.as_bytes());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A consumer as one owner knows it: stable, and different for each owner.
    #[must_use]
    pub fn opaque_consumer(&self, owner: &str, consumer: ConsumerId) -> String {
        let hash = self.keyed_hash("consumer", [owner.as_bytes(), consumer.as_bytes()]);
        format!("cus_{}", URL_SAFE_NO_PAD.encode(&hash[..15]))
    }

    /// What stands for an owner's secret in what a handler sends: stable, for a run is replayed, and nobody else's.
    #[must_use]
    pub fn secret_placeholder(&self, owner: &str, name: &str) -> String {
        let hash = self.keyed_hash("secret placeholder", [owner.as_bytes(), name.as_bytes()]);
        let hash = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"));
        format!("ripost_secret_{name}_{hash:016x}")
    }

    /// The seed of a request's randomness: the same over all its runs.
    #[must_use]
    pub fn seed(&self, request: RequestId) -> [u8; 32] {
        self.keyed_hash("seed", [request.as_bytes(), &[]])
    }

    /// The idempotency key of a step: the same over all runs of its request, and unguessable, because whoever knows it can
    /// ask the outside what came of it.
    #[must_use]
    pub fn step_key(&self, request: RequestId, step: &str) -> String {
        let hash = self.keyed_hash("step", [request.as_bytes(), step.as_bytes()]);
        format!("step_{}", URL_SAFE_NO_PAD.encode(&hash[..24]))
    }

    /// What hides URL and address in a delivery's attempt log.
    #[must_use]
    pub fn salt(&self, delivery: DeliveryId) -> [u8; 32] {
        self.keyed_hash("attempt log", [delivery.as_bytes(), &[]])
    }

    /// The gateway's own key, for `v1a` signatures and receipts: it stays as long as the master key does.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(self.keyed_hash("signing key", [&[], &[]]))
    }

    /// What the artefacts in the cache are authenticated with.
    #[must_use]
    pub fn artefact_key(&self) -> [u8; 32] {
        self.keyed_hash("artefacts", [&[], &[]])
    }

    /// The last part of a link to a result that works without a key until `until_s`: id, time and MAC.
    #[must_use]
    pub fn result_token(&self, request: RequestId, until_s: i64) -> String {
        let mac = self.keyed_hash("result", [request.as_bytes(), &until_s.to_be_bytes()]);
        format!("{request}.{until_s}.{}", URL_SAFE_NO_PAD.encode(&mac[..16]))
    }

    /// The request and the end of a link that we made; `None`: we did not.
    #[must_use]
    pub fn read_result_token(&self, token: &str) -> Option<(RequestId, i64)> {
        let mut parts = token.split('.');
        let (request, until_s) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let made = self.result_token(request, until_s);
        bool::from(subtle::ConstantTimeEq::ct_eq(made.as_bytes(), token.as_bytes())).then_some((request, until_s))
    }

    /// The last part of a callback URL: the request, the epoch, and a MAC that only we can make.
    #[must_use]
    pub fn callback_token(&self, request: RequestId, epoch: u32) -> String {
        let mac = self.keyed_hash("callback", [request.as_bytes(), &epoch.to_be_bytes()]);
        format!("{request}.{epoch}.{}", URL_SAFE_NO_PAD.encode(&mac[..16]))
    }

    /// The request and the epoch of a callback URL that we made; `None`: we did not.
    #[must_use]
    pub fn read_callback_token(&self, token: &str) -> Option<(RequestId, u32)> {
        let mut parts = token.split('.');
        let (request, epoch) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let made = self.callback_token(request, epoch);
        bool::from(subtle::ConstantTimeEq::ct_eq(made.as_bytes(), token.as_bytes())).then_some((request, epoch))
    }

    /// What the requests that are forwarded to an owner's upstreams are signed with: it stays as long as the master key
    /// does.
    ///
    /// # Panics
    /// Never: 32 bytes are a secret.
    #[must_use]
    pub fn upstream_secret(&self, owner: &Name) -> Secret {
        let hash = self.keyed_hash("upstream secret", [owner.as_str().as_bytes(), &[]]);
        Secret::from_bytes(hash.to_vec()).expect("32 bytes are within the bounds")
    }

    fn encrypt(&self, context: &[u8], message: &[u8]) -> Bytes {
        let nonce = random::<NONCE_BYTES>();
        let payload = Payload { msg: message, aad: context };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret is short enough to encrypt");
        [&nonce[..], &sealed].concat().into()
    }

    fn decrypt(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(KeyringError::DoesNotOpen)?;
        let payload = Payload { msg: sealed, aad: context };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| KeyringError::DoesNotOpen)
    }

    /// Encrypts a webhook secret for its consumer's row.
    ///
    /// # Panics
    /// Never for secrets, which are short.
    #[must_use]
    pub fn seal(&self, owner: &[u8], secret: &Secret) -> Bytes {
        self.encrypt(owner, secret.as_bytes())
    }

    /// Decrypts it again.
    ///
    /// # Errors
    /// [`KeyringError::DoesNotOpen`]: another master key, another consumer's, or damaged.
    pub fn unseal(&self, owner: &[u8], sealed: &[u8]) -> Result<Secret, KeyringError> {
        Secret::from_bytes(self.decrypt(owner, sealed)?).map_err(|_| KeyringError::DoesNotOpen)
    }

    /// Encrypts one of an owner's secrets: it opens under this owner and name alone.
    ///
    /// # Panics
    /// Never for secrets, which are short.
    #[must_use]
    pub fn seal_owner_secret(&self, owner: &Name, name: &str, value: &SecretString) -> Bytes {
        self.encrypt(&owner_secret_context(owner, name), value.expose_secret().as_bytes())
    }

    /// Decrypts it again.
    ///
    /// # Errors
    /// [`KeyringError::DoesNotOpen`]: another master key, another owner or name, or damaged.
    pub fn unseal_owner_secret(&self, owner: &Name, name: &str, sealed: &[u8]) -> Result<SecretString, KeyringError> {
        let bytes = self.decrypt(&owner_secret_context(owner, name), sealed)?;
        String::from_utf8(bytes).map(SecretString::from).map_err(|_| KeyringError::DoesNotOpen)
    }
}

/// Longer than an id, so that it is never that of a consumer's secret; no name has a zero byte.
fn owner_secret_context(owner: &Name, name: &str) -> Vec<u8> {
    format!("ripost owner secret\0{owner}\0{name}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_get_one_id() {
        let ids: std::collections::HashSet<[u8; 10]> = (0..1000).map(|_| random_id()).collect();
        assert_eq!(ids.len(), 1000);
    }
    #[test]
    fn a_sealed_secret_opens_for_its_consumer_only_and_only_with_its_key() {
        let (keyring, other) = (Keyring::new([1; 32]), Keyring::new([2; 32]));
        let secret = new_webhook_secret();
        let sealed = keyring.seal(b"one", &secret);
        assert_eq!(Keyring::new([1; 32]).unseal(b"one", &sealed).unwrap().as_bytes(), secret.as_bytes());
        assert!(keyring.unseal(b"two", &sealed).is_err());
        assert!(other.unseal(b"one", &sealed).is_err());
        assert!(!sealed.windows(8).any(|window| secret.as_bytes().starts_with(window)));
    }

    #[test]
    fn a_callback_url_is_ours_for_one_request_and_one_epoch() {
        let keyring = Keyring::new([1; 32]);
        let request = RequestId::new(ripost_domain::time::Timestamp::from_millis(1), [1; 10]);
        let token = keyring.callback_token(request, 3);
        assert_eq!(keyring.read_callback_token(&token), Some((request, 3)));
        for forged in [
            token.replacen(".3.", ".4.", 1),
            token.replacen(".3.", ".03.", 1),
            format!("{token}x"),
            keyring.result_token(request, 3),
            format!("{request}.3."),
            String::new(),
        ] {
            assert_eq!(keyring.read_callback_token(&forged), None, "{forged}");
        }
        let (demo, other) = ("demo".parse().unwrap(), "other".parse().unwrap());
        assert_ne!(keyring.upstream_secret(&demo).as_bytes(), keyring.upstream_secret(&other).as_bytes());
    }
}
