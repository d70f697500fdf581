//! Whether a webhook is signed as Standard Webhooks say, worked out here and not by the host's code.

use crate::Delivery;
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::time::{Duration, UNIX_EPOCH};

/// How far `webhook-timestamp` may be from now; the public libraries take five minutes.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Checks id, time and `v1` signature of a webhook with a secret (`whsec_…`).
///
/// # Errors
/// What is wrong with it.
pub fn verify(delivery: &Delivery, secret: &str) -> Result<()> {
    let key = secret.strip_prefix("whsec_").context("a secret begins with whsec_")?;
    let key = STANDARD.decode(key).context("a secret is base64")?;
    let (id, timestamp) = (delivery.id(), delivery.header("webhook-timestamp"));
    ensure!(id.starts_with("dlv_") || id.starts_with("alt_"), "webhook-id is `{id}`");
    let at = UNIX_EPOCH + Duration::from_secs(timestamp.parse().context("webhook-timestamp is a number of seconds")?);
    // The sender may be up to a second ahead by rounding, so both directions count.
    let away = at.elapsed().unwrap_or_else(|ahead| ahead.duration());
    ensure!(away < TOLERANCE, "webhook-timestamp {timestamp} is {away:?} away");
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &delivery.body].concat();
    let header = delivery.header("webhook-signature");
    let matches = |signature: &str| {
        let Some(Ok(tag)) = signature.strip_prefix("v1,").map(|tag| STANDARD.decode(tag)) else { return false };
        let mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        mac.chain_update(&signed).verify_slice(&tag).is_ok()
    };
    ensure!(header.split(' ').any(matches), "no signature of `{header}` is that of this body");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn delivery(body: &'static str, timestamp: u64, signature: &str) -> Delivery {
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", "dlv_1".parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        let (method, path) = ("POST".to_owned(), "/".to_owned());
        Delivery { connection: 0, method, path, headers, body: body.into(), at: Instant::now() }
    }

    #[test]
    fn only_the_right_bytes_with_the_right_secret_now_are_verified() {
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        #[expect(clippy::disallowed_methods, reason = "a signature is of now")]
        let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let sign = |at: u64| {
            let mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
            let tag = mac.chain_update(format!("dlv_1.{at}.hello")).finalize().into_bytes();
            format!("v1a,ignored v1,{}", STANDARD.encode(tag))
        };
        verify(&delivery("hello", now, &sign(now)), &secret).unwrap();
        verify(&delivery("hellO", now, &sign(now)), &secret).unwrap_err();
        verify(&delivery("hello", now - 1000, &sign(now - 1000)), &secret).unwrap_err();
        verify(&delivery("hello", now, &sign(now)), &format!("whsec_{}", STANDARD.encode([8; 32]))).unwrap_err();
    }
}
