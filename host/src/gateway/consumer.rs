//! `GET /consumer` and `GET /consumer/webhook-secret`, for the holder of the key.

use super::Gateway;
use super::requests::{allow_get, json};
use crate::problem::{Kind, Problem};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

impl Gateway {
    pub(super) async fn consumer(&self, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        allow_get(request.method())?;
        let consumer = self.identity.identify(request.headers()).await?;
        let balances = self.store.balances(consumer.id).await?;
        let body = serde_json::json!({
            "id": consumer.id,
            "name": consumer.name,
            "createdAt": consumer.created_at,
            "balance": { "available_usdc": balances.available, "held_usdc": balances.held },
            "limits": { "body_bytes_max": self.limits.body },
        });
        Ok(json(body.to_string().into()))
    }

    pub(super) async fn webhook_secret(&self, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        allow_get(request.method())?;
        let consumer = self.identity.identify(request.headers()).await?;
        if consumer.key_is_public {
            let detail = "Anybody can read this key, so it does not show the webhook secret. Ask the operator for a key of your own.";
            return Err(Problem::new(Kind::KeyIsPublic, detail));
        }
        let secret = self.keyring.unseal(consumer.id.as_bytes(), &consumer.sealed_secret).map_err(|error| {
            tracing::error!(consumer.id = %consumer.id, %error, "A webhook secret cannot be opened");
            Problem::new(Kind::Internal, "The operator finds the cause in the log.")
        })?;
        let body = serde_json::json!({ "secret": secret.to_whsec(), "rotation": { "state": "none" } });
        Ok(json(body.to_string().into()))
    }
}
