#[ripost_sdk::response_transform]
fn redact() -> ripost_sdk::Response {
    ripost_sdk::Response::new(204)
}

fn main() {}
