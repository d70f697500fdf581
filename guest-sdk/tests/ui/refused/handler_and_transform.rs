#[ripost_sdk::handler]
fn report(body: String) -> String {
    body
}

#[ripost_sdk::response_transform]
fn redact(response: ripost_sdk::Response) -> ripost_sdk::Response {
    response
}

fn main() {}
