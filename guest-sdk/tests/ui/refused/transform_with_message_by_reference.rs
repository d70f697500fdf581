#[ripost_sdk::response_transform]
fn redact(response: &ripost_sdk::Response) -> ripost_sdk::Response {
    response.clone()
}

fn main() {}
