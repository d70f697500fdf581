use ripost_sdk::{Context, Request};

#[ripost_sdk::request_transform]
fn normalise(ctx: &Context, request: Request) -> Request {
    request
}

fn main() {}
