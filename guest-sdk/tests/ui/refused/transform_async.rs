#[ripost_sdk::request_transform]
async fn normalise(request: ripost_sdk::Request) -> ripost_sdk::Request {
    request
}

fn main() {}
