#[ripost_sdk::webhook_transform]
fn slack(webhook: ripost_sdk::Webhook) {
    drop(webhook);
}

fn main() {}
