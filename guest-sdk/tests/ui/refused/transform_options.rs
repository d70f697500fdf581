#[ripost_sdk::webhook_transform(order = 1)]
fn slack(webhook: ripost_sdk::Webhook) -> ripost_sdk::Webhook {
    webhook
}

fn main() {}
