//! `/consumer` and what belongs to it, for the holder of the key; and the gateway's public key, for everybody.

use super::identity::Caller;
use super::requests::{allow_get, json};
use super::webhooks::{only_post, to_json};
use super::{Gateway, limits};
use crate::delivery::Signing;
use crate::keyring;
use crate::problem::{Kind, Problem};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::ConsumerId;
use ripost_domain::signature::Secret;
use ripost_domain::units::{format_duration, parse_duration};
use ripost_store::{Consumer, RotateSecret, Rotated};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// How long an earlier secret still signs, unless the consumer says.
const OVERLAP_DEFAULT: Duration = Duration::from_secs(86_400);
const OVERLAP_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Earlier secrets that may sign at once.
const OLD_MAX: u32 = 5;

type Answered = Result<Response<Full<Bytes>>, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    webhook_signatures: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Rotate {
    overlap: Option<String>,
    secret: Option<String>,
}

#[derive(Serialize)]
struct Limits {
    body_bytes_max: usize,
    /// From the end of a request; at least so long its key names it.
    idempotency_key_kept: String,
    #[serde(flatten)]
    limits: limits::Shown,
}

impl Gateway {
    pub(super) async fn consumer(&self, request: Request<Incoming>) -> Answered {
        if request.method() == Method::PATCH {
            let consumer = self.holder(request.headers()).await?;
            let change: Change = self.read_object(request).await?;
            self.change(&consumer, change).await?;
            return self.consumer_shown(&consumer).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::new(Kind::MethodNotAllowed, "Read it with GET, change it with PATCH.")
                .header(header::ALLOW, HeaderValue::from_static("GET, HEAD, PATCH")));
        }
        let consumer = self.holder(request.headers()).await?;
        self.consumer_shown(&consumer).await
    }

    async fn consumer_shown(&self, consumer: &Caller) -> Answered {
        let balances = self.store.balances(consumer.id).await?;
        let signing = self.signing(consumer.id).await?;
        let limits = self.limiter.shown(consumer).await?;
        let limits = Limits {
            body_bytes_max: self.limits.body,
            idempotency_key_kept: format_duration(self.requests_kept),
            limits,
        };
        let body = serde_json::json!({
            "id": consumer.id,
            "name": consumer.name,
            "createdAt": consumer.created_at,
            "balance": { "available_usdc": balances.available, "held_usdc": balances.held },
            "limits": limits,
            "webhook_signatures": if signing.v1a { &["v1", "v1a"][..] } else { &["v1"][..] },
        });
        Ok(json(body.to_string().into()))
    }

    async fn change(&self, consumer: &Consumer, change: Change) -> Result<(), Problem> {
        let v1a = match change.webhook_signatures.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["v1"] => false,
            ["v1", "v1a"] | ["v1a", "v1"] => true,
            _ => {
                let detail = "webhook_signatures is [\"v1\"] or [\"v1\", \"v1a\"]: v1 is always there, because it is what the public libraries verify.";
                return Err(Problem::new(Kind::InvalidValue, detail));
            }
        };
        self.store.set_v1a(consumer.id, v1a).await?;
        self.secrets.forget(consumer.id);
        Ok(())
    }

    async fn signing(&self, consumer: ConsumerId) -> Result<Arc<Signing>, Problem> {
        self.secrets.of(consumer).await.map_err(|error| {
            tracing::error!(consumer.id = %consumer, %error, "A webhook secret cannot be opened");
            Problem::new(Kind::Internal, "The operator finds the cause in the log.")
        })
    }

    pub(super) async fn webhook_secret(&self, request: &Request<Incoming>) -> Answered {
        allow_get(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        self.secret_shown(consumer.id).await
    }

    async fn secret_shown(&self, consumer: ConsumerId) -> Answered {
        let signing = self.signing(consumer).await?;
        let now = self.clock.now();
        let previous: Vec<_> = signing
            .old
            .iter()
            .filter(|(_, until)| *until > now)
            .map(|(secret, until)| serde_json::json!({ "secret": secret.to_whsec(), "expiresAt": until }))
            .collect();
        let body = serde_json::json!({
            "secret": signing.current.to_whsec(),
            "createdAt": signing.created_at,
            "rotation": { "state": if previous.is_empty() { "none" } else { "overlapping" } },
            "previous": previous,
        });
        Ok(json(body.to_string().into()))
    }

    pub(super) async fn rotate_secret(&self, request: Request<Incoming>) -> Answered {
        only_post(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        let asked: Rotate = self.read_fields(request).await?;
        let overlap = match asked.overlap.as_deref().map(parse_duration) {
            None => OVERLAP_DEFAULT,
            Some(Ok(overlap)) if overlap <= OVERLAP_MAX => overlap,
            Some(_) => {
                let detail = format!(
                    "overlap is a duration between 0 s and {}, such as \"24 h\".",
                    format_duration(OVERLAP_MAX)
                );
                return Err(Problem::new(Kind::InvalidValue, detail));
            }
        };
        let secret = match &asked.secret {
            Some(text) => {
                Secret::parse(text).map_err(|error| Problem::new(Kind::InvalidValue, format!("secret: {error}.")))?
            }
            None => keyring::new_webhook_secret(),
        };
        let now = self.clock.now();
        let rotate = RotateSecret {
            consumer: consumer.id,
            sealed: self.keyring.seal(consumer.id.as_bytes(), &secret),
            at: now,
            overlap_until: now.after(overlap),
            old_max: OLD_MAX,
        };
        match self.store.rotate_secret(rotate).await? {
            Rotated::Yes => {}
            Rotated::TooMany => {
                let detail = format!(
                    "{OLD_MAX} earlier secrets still sign. Wait until one expires (GET /consumer/webhook-secret), or rotate with an overlap of 0 s."
                );
                return Err(Problem::new(Kind::TooManySecrets, detail));
            }
            Rotated::Unknown => return Err(Problem::new(Kind::UnknownKey, "The consumer is gone.")),
        }
        self.secrets.forget(consumer.id);
        tracing::info!(consumer.id = %consumer.id, overlap_s = overlap.as_secs(), "Rotated a webhook secret");
        self.secret_shown(consumer.id).await
    }

    pub(super) fn webhook_keys(&self, request: &Request<Incoming>) -> Answered {
        allow_get(request.method())?;
        let public = self.webhooks.signing_key.public();
        let mut response =
            json(to_json(&serde_json::json!({ "keys": [public.to_jwk()], "whpk": [public.to_whpk()] }))?);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        Ok(response)
    }
}
