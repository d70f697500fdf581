#![deny(warnings)]
use ripost_sdk::{Json, Log, Webhook};

mod typed {
    use super::*;

    #[ripost_sdk::webhook_transform]
    fn text(Json(payload): Json<serde_json::Value>) -> Json<String> {
        Json(payload.to_string())
    }
}

mod whole {
    use super::*;

    #[ripost_sdk::webhook_transform]
    fn name(_: &Log, mut webhook: Webhook) -> Webhook {
        webhook.headers.set("x-event", webhook.event.as_str());
        webhook
    }
}

fn main() {}
