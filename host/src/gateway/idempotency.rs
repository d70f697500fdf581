//! The consumer's name for one intent: fingerprints, and the accepts that are under way.

use crate::problem::{Kind, Problem};
use http::HeaderMap;
use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A key that a person or a UUID needs no more of.
const KEY_BYTES_MAX: usize = 255;

/// The key of a call, if it has one: quoted as the IETF draft has it, or bare.
///
/// # Errors
/// Empty, too long, repeated, or with characters that are not printable ASCII.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = || {
        Problem::new(
            Kind::InvalidHeader,
            format!(
                "Idempotency-Key must be sent once, with 1 to {KEY_BYTES_MAX} printable ASCII characters, quoted or bare."
            ),
        )
    };
    let text = value.to_str().map_err(|_| invalid())?.trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted).ok_or_else(invalid)?,
        None if text.contains('"') => return Err(invalid()),
        None => text.to_owned(),
    };
    let printable = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if values.next().is_some() || key.is_empty() || key.len() > KEY_BYTES_MAX || !printable {
        return Err(invalid());
    }
    Ok(Some(key))
}

/// What follows the first quotation mark of an sf-string (RFC 9651, 4.2.5) as text. Parameters that somebody adds one
/// day mean nothing here; anything else behind it is a mistake.
fn unquoted(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => break,
            '\\' => match letters.next()? {
                escaped @ ('"' | '\\') => key.push(escaped),
                _ => return None,
            },
            letter => key.push(letter),
        }
    }
    let rest = letters.as_str();
    (rest.is_empty() || rest.starts_with(';')).then_some(key)
}

/// What makes two calls the same: method, path, query, body and the gateway's headers, as they were sent.
#[must_use]
pub fn fingerprint(method: &str, path_and_query: &str, headers: &HeaderMap, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(method.as_bytes());
    part(path_and_query.as_bytes());
    for name in ["content-type", "ripost-webhook-url", "ripost-webhook-events", "ripost-max-price"] {
        part(headers.get(name).map_or(&[], |value| value.as_bytes()));
    }
    part(body);
    hash.finalize().into()
}

type Scope = (ConsumerId, ApiName, String);

/// Keys whose accept has not been committed yet.
#[derive(Default)]
pub struct InFlight {
    keys: Mutex<HashSet<Scope>>,
}

/// Gives the key free again when the accept has ended, whichever way.
pub struct Claim {
    all: Arc<InFlight>,
    scope: Scope,
}

impl InFlight {
    /// Takes the key for one accept; `None` while another has it.
    #[must_use]
    pub fn claim(self: &Arc<Self>, consumer: ConsumerId, api: &ApiName, key: &str) -> Option<Claim> {
        let scope = (consumer, api.clone(), key.to_owned());
        let new = self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.clone());
        new.then(|| Claim { all: self.clone(), scope })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.all.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::time::Timestamp;

    #[test]
    fn a_key_is_the_same_quoted_or_bare_and_nothing_unprintable() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", value.parse().unwrap());
            key(&headers)
        };
        assert_eq!(read("\"8e03978e\"").unwrap().as_deref(), Some("8e03978e"));
        assert_eq!(read("8e03978e").unwrap().as_deref(), Some("8e03978e"));
        assert_eq!(read(" \"a b\" ").unwrap().as_deref(), Some("a b"));
        assert_eq!(read(r#""a\"b\\c""#).unwrap().as_deref(), Some(r#"a"b\c"#), "escapes of an sf-string");
        assert_eq!(read(r"b\c").unwrap().as_deref(), Some(r"b\c"), "a bare one has none");
        assert_eq!(read("\"k\";v=1").unwrap().as_deref(), Some("k"));
        assert_eq!(read(&format!("\"{}\"", "x".repeat(255))).unwrap().map(|key| key.len()), Some(255));
        let long = format!("\"{}\"", "x".repeat(256));
        for bad in ["", "\"\"", "a\"b", "\"a", "a\"", "\"a\"b", r#""a\b""#, r#""a\""#, "a\tb", &long, &"x".repeat(256)]
        {
            assert_eq!(read(bad).unwrap_err().status(), 400, "{bad:?}");
        }
    }

    #[test]
    fn the_parts_of_a_fingerprint_do_not_run_into_each_other() {
        let headers = HeaderMap::new();
        assert_ne!(fingerprint("POST", "/a", &headers, b"b"), fingerprint("POST", "/ab", &headers, b""));
        assert_eq!(fingerprint("POST", "/a", &headers, b"b"), fingerprint("POST", "/a", &headers, b"b"));
    }

    #[test]
    fn a_key_is_free_again_when_its_accept_has_ended() {
        let all = Arc::new(InFlight::default());
        let consumer = ConsumerId::new(Timestamp::from_millis(1), [0; 10]);
        let api = ApiName { owner: "demo".parse().unwrap(), slug: "a".parse().unwrap() };
        let claim = all.claim(consumer, &api, "k");
        assert!(claim.is_some() && all.claim(consumer, &api, "k").is_none());
        drop(claim);
        assert!(all.claim(consumer, &api, "k").is_some());
    }
}
