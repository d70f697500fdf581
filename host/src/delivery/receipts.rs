//! The signed receipt of a request's deliveries: the attempt log, in the form that its reader may see.

use super::facts::{self, Facts, hex};
use super::shown::Reader;
use super::webhooks::Webhooks;
use crate::gateway::view::public_class;
use crate::problem::Problem;
use bytes::Bytes;
use ripost_domain::receipt::{self, Receipt, Unsigned};
use ripost_store::{DeliveryLog, RequestRecord, StoredAttempt};
use sha2::{Digest as _, Sha256};

impl Webhooks {
    /// The consumer's receipt, or the owner's, which has no URL, no address and no excerpt in it and verifies all the
    /// same.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn receipt(&self, record: &RequestRecord, reader: Reader) -> Result<Receipt, Problem> {
        let mut deliveries = Vec::new();
        for log in self.store.deliveries(record.id).await? {
            let payload = self.store.payload(record.id, &log.delivery.event).await?;
            let payload = payload.map(|payload| payload.body).unwrap_or_default();
            let salt = facts::salt(&self.keyring, log.delivery.id);
            deliveries.push(delivery(log, &payload, &salt));
        }
        let unsigned = Unsigned {
            gateway: self.base.to_string(),
            issued_at: self.clock.now(),
            request: receipt::Request {
                request_id: record.id,
                api: record.api.to_string(),
                created_at: record.created_at,
                state: record.state.as_str().to_owned(),
                finished_at: record.finished_at,
                settlement: Some(receipt::Settlement {
                    state: record.settlement.as_str().to_owned(),
                    price_usdc: record.split.price,
                    captured_usdc: record.captured,
                }),
            },
            deliveries,
        };
        let unsigned = if reader == Reader::Consumer { unsigned } else { unsigned.for_owner() };
        Ok(unsigned.sign(&self.signing_key))
    }
}

fn delivery(log: DeliveryLog, payload: &Bytes, salt: &[u8; 32]) -> receipt::DeliveryLog {
    let url = log.delivery.url;
    receipt::DeliveryLog {
        webhook_id: log.delivery.copy_of.unwrap_or(log.delivery.id),
        event: log.delivery.event,
        payload_sha256: hex(&log.forgotten_sha256.unwrap_or_else(|| Sha256::digest(payload).into())),
        payload_bytes: log.payload_bytes,
        state: log.delivery.state.as_str().to_owned(),
        salt: Some(hex(salt)),
        attempts: log.attempts.into_iter().map(|stored| attempt(stored, &url, salt)).collect(),
    }
}

fn attempt(stored: StoredAttempt, url: &str, salt: &[u8; 32]) -> receipt::AttemptLog {
    let facts = Facts::read(&stored.facts);
    let url = stored.url.unwrap_or_else(|| url.to_owned());
    receipt::AttemptLog {
        attempt: stored.attempt,
        at: stored.started_at,
        duration_ms: stored.duration_ms,
        status: stored.status,
        error_class: stored.error_class.as_deref().map(public_class).map(str::to_owned),
        url_commitment: hex(&receipt::commit(salt, url.as_bytes())),
        url: Some(url),
        peer_commitment: facts.peer.as_deref().map(|peer| hex(&receipt::commit(salt, peer.as_bytes()))),
        peer: facts.peer,
        tls: facts.tls,
        response_sha256: stored.status.map(|_| hex(&Sha256::digest(&stored.excerpt))),
        excerpt: stored.status.map(|_| String::from_utf8_lossy(&stored.excerpt).into_owned()),
        hash: hex(&stored.hash),
    }
}
